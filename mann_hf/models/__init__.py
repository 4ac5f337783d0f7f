"""Memory-augmented models as transformers models."""

from .configuration_mann import MANNConfig
from .labelled_memory import Entry, LabelledMemory
from .modeling_mann import MANNPreTrainedModel
from .modeling_mann_encoder import MANNEncoder
from .modeling_mann_sequence_classification import MANNForSequenceClassification, MANNSequenceClassifierOutput
from .remembering import Evidence

__all__ = [
    "Entry",
    "Evidence",
    "LabelledMemory",
    "MANNConfig",
    "MANNEncoder",
    "MANNForSequenceClassification",
    "MANNPreTrainedModel",
    "MANNSequenceClassifierOutput",
]
