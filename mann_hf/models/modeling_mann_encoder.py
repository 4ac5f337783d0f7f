"""The encoder of a saved classifier, or a wrapped encoder-decoder, by itself, for those who ask `AutoModel`."""

from typing import Any, ClassVar

from transformers import PreTrainedModel

from ..hub.guard import UnloadedModel
from .configuration_base import MANNBaseConfig
from .configuration_mann import MANNConfig
from .configuration_seq2seq import MANNSeq2SeqConfig
from .labelled import MANNLabelledModel
from .modeling_mann import MANNPreTrainedModel
from .modeling_mann_seq2seq import MANNForConditionalGeneration


class MANNEncoder:
    """What `AutoModel` gives of a classifier: its encoder, a plain model of its family with an adapter if it has one.

    Pooling, prompts and memory are the classifier's own: `embed_inputs` of its class gives keys. For models with
    another configuration it is derived from, as an Auto class asks for the class of the configuration.

    Attributes:
        config_class: of the configurations of the models whose encoder it gives.
        model_class: by which those are loaded.
    """

    config_class: ClassVar[type[MANNBaseConfig]] = MANNConfig
    model_class: ClassVar[type[MANNPreTrainedModel]] = MANNLabelledModel

    @classmethod
    def from_pretrained(cls, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """The encoder from a folder or repository; see `MANNPreTrainedModel.from_pretrained`."""
        loaded = cls.model_class.from_pretrained(*args, output_loading_info=True, **kwargs)
        if type(loaded) is UnloadedModel:
            return loaded
        model, info = loaded
        encoder = model.encoder
        encoder.name_or_path = model.name_or_path
        return (encoder, info) if output_loading_info else encoder

    @classmethod
    def _from_config(cls, config: MANNBaseConfig, **kwargs: Any) -> PreTrainedModel:
        """The encoder with random weights, as `AutoModel.from_config` asks for it."""
        return config.controller.build(config.encoder_config, config.pooling, **kwargs)


class MANNWrappedSeq2Seq(MANNEncoder):
    """What `AutoModel` gives of a model that generates: the encoder-decoder that it wraps, with its own head.

    The memory is read by `MANNForConditionalGeneration` alone, which `AutoModelForSeq2SeqLM` gives.
    """

    config_class = MANNSeq2SeqConfig
    model_class = MANNForConditionalGeneration
