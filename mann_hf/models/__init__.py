"""Memory-augmented models as transformers models, which the Auto classes know once this is imported."""

from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification

from ..controllers.conv4 import Conv4Config, Conv4Model
from ..persistent.entries import Entry, Example
from ..persistent.evidence import Evidence
from ..persistent.labelled_memory import LabelledMemory
from .classification import CLASSIFIERS, MANNClassifierOutput, MANNForClassification, model_class_of
from .configuration_base import MANNBaseConfig
from .configuration_mann import MANNConfig
from .labelled import MANNLabelledModel
from .modeling_mann import MANNPreTrainedModel
from .modeling_mann_encoder import MANNEncoder
from .modeling_mann_image_classification import MANNForImageClassification
from .modeling_mann_sequence_classification import MANNForSequenceClassification

AutoConfig.register(Conv4Config.model_type, Conv4Config, exist_ok=True)
AutoModel.register(Conv4Config, Conv4Model, exist_ok=True)
AutoConfig.register(MANNConfig.model_type, MANNConfig, exist_ok=True)
AutoModel.register(MANNConfig, MANNEncoder, exist_ok=True)
AutoModelForSequenceClassification.register(MANNConfig, MANNForSequenceClassification, exist_ok=True)
AutoModelForImageClassification.register(MANNConfig, MANNForImageClassification, exist_ok=True)

__all__ = [
    "CLASSIFIERS",
    "Entry",
    "Evidence",
    "Example",
    "LabelledMemory",
    "MANNBaseConfig",
    "MANNClassifierOutput",
    "MANNConfig",
    "MANNEncoder",
    "MANNForClassification",
    "MANNForImageClassification",
    "MANNForSequenceClassification",
    "MANNLabelledModel",
    "MANNPreTrainedModel",
    "model_class_of",
]
