"""Memory-augmented neural networks for Hugging Face: few-shot classification with an editable memory."""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
from transformers.pipelines import PIPELINE_REGISTRY

from .errors import MannError
from .hub.resolve import resolve_encoder
from .models import MANNConfig, MANNEncoder, MANNForSequenceClassification
from .pipelines import FewShotTextClassificationPipeline

if TYPE_CHECKING:
    from .episodes import Episode, EpisodeCollator, EpisodeSampler, select_classes, split_classes
    from .training import EpisodicTrainer, EpisodicTrainingArguments

try:
    __version__ = version("mann_hf")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"

FEW_SHOT_TASK = "few-shot-text-classification"

AutoConfig.register(MANNConfig.model_type, MANNConfig, exist_ok=True)
AutoModel.register(MANNConfig, MANNEncoder, exist_ok=True)
AutoModelForSequenceClassification.register(MANNConfig, MANNForSequenceClassification, exist_ok=True)
PIPELINE_REGISTRY.register_pipeline(
    FEW_SHOT_TASK,
    pipeline_class=FewShotTextClassificationPipeline,
    pt_model=AutoModelForSequenceClassification,
)

LATER = {
    "episodes": ("Episode", "EpisodeCollator", "EpisodeSampler", "select_classes", "split_classes"),
    "training": ("EpisodicTrainer", "EpisodicTrainingArguments"),
}
"""What is imported when it is asked for: those who only teach and ask need no part of it."""
SUBMODULES = ("cards", "demo", "episodes", "training")


def __getattr__(name: str) -> Any:
    if name in SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    for module, names in LATER.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Episode",
    "EpisodeCollator",
    "EpisodeSampler",
    "EpisodicTrainer",
    "EpisodicTrainingArguments",
    "FewShotTextClassificationPipeline",
    "MANNConfig",
    "MANNForSequenceClassification",
    "MannError",
    "__version__",
    "resolve_encoder",
    "select_classes",
    "split_classes",
]
