"""Memory-augmented neural networks for Hugging Face: few-shot classification with an editable memory."""

from importlib.metadata import PackageNotFoundError, version

from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.pipelines import PIPELINE_REGISTRY

from .controllers.resolve import resolve_encoder
from .errors import MannError
from .models import MANNConfig, MANNForSequenceClassification
from .pipelines import FewShotTextClassificationPipeline

try:
    __version__ = version("mann_hf")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"

FEW_SHOT_TASK = "few-shot-text-classification"

AutoConfig.register(MANNConfig.model_type, MANNConfig, exist_ok=True)
AutoModelForSequenceClassification.register(MANNConfig, MANNForSequenceClassification, exist_ok=True)
PIPELINE_REGISTRY.register_pipeline(
    FEW_SHOT_TASK,
    pipeline_class=FewShotTextClassificationPipeline,
    pt_model=AutoModelForSequenceClassification,
)

__all__ = [
    "FewShotTextClassificationPipeline",
    "MANNConfig",
    "MANNForSequenceClassification",
    "MannError",
    "__version__",
    "resolve_encoder",
]
