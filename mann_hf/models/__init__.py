"""Memory-augmented models as transformers models, which the Auto classes know once this is imported."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from ..controllers.conv4 import Conv4Config, Conv4Model
from ..controllers.recurrent import RecurrentSeq2SeqConfig, RecurrentSeq2SeqModel
from ..persistent.entries import Entry, Example
from ..persistent.evidence import Evidence
from ..persistent.labelled_memory import LabelledMemory
from .classification import CLASSIFIERS, MANNClassifierOutput, MANNForClassification, model_class_of
from .configuration_base import MANNBaseConfig
from .configuration_mann import MANNConfig
from .configuration_seq2seq import MANNSeq2SeqConfig
from .labelled import MANNLabelledModel
from .modeling_mann import MANNPreTrainedModel
from .modeling_mann_encoder import MANNEncoder, MANNWrappedSeq2Seq
from .modeling_mann_image_classification import MANNForImageClassification
from .modeling_mann_seq2seq import MANNForConditionalGeneration
from .modeling_mann_sequence_classification import MANNForSequenceClassification
from .seq2seq_outputs import MANNSeq2SeqOutput

AutoConfig.register(Conv4Config.model_type, Conv4Config, exist_ok=True)
AutoModel.register(Conv4Config, Conv4Model, exist_ok=True)
AutoConfig.register(RecurrentSeq2SeqConfig.model_type, RecurrentSeq2SeqConfig, exist_ok=True)
AutoModelForSeq2SeqLM.register(RecurrentSeq2SeqConfig, RecurrentSeq2SeqModel, exist_ok=True)
AutoConfig.register(MANNConfig.model_type, MANNConfig, exist_ok=True)
AutoModel.register(MANNConfig, MANNEncoder, exist_ok=True)
AutoConfig.register(MANNSeq2SeqConfig.model_type, MANNSeq2SeqConfig, exist_ok=True)
AutoModel.register(MANNSeq2SeqConfig, MANNWrappedSeq2Seq, exist_ok=True)
AutoModelForSeq2SeqLM.register(MANNSeq2SeqConfig, MANNForConditionalGeneration, exist_ok=True)
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
    "MANNForConditionalGeneration",
    "MANNForImageClassification",
    "MANNForSequenceClassification",
    "MANNLabelledModel",
    "MANNPreTrainedModel",
    "MANNSeq2SeqConfig",
    "MANNSeq2SeqOutput",
    "MANNWrappedSeq2Seq",
    "model_class_of",
]
