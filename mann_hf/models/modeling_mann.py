"""The base class of memory-augmented models: an encoder, and a lasting memory of some kind beside it."""

from typing import Any, ClassVar, TypeVar

import transformers.initialization as init
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from ..cards import MANNModelCardData
from ..errors import InvalidTypeError
from ..persistent.holder import Holder
from . import adapter_base
from .adapter_switches import enable_all
from .arguments import encoder_configuration, settable
from .base_weights import LoadedEncoder, sample
from .configuration_base import MANNBaseConfig
from .folder_mixin import FolderMixin
from .memory_mixin import MemoryMixin

Model = TypeVar("Model", bound="MANNPreTrainedModel")


class MANNPreTrainedModel(FolderMixin, MemoryMixin, PreTrainedModel):
    """A model of transformers whose encoder is the controller of a lasting memory, whatever that holds.

    A subclass names the class of its configuration, makes its own parts in `__init__` and ends that with `post_init`.
    It gives `empty_memory`, `encoder_probe` and what else `MemoryMixin` asks of it, and a `forward`. Parameters besides
    those of the encoder lie in modules of their own, so that they are saved with an adapter, too.

    Attributes:
        modality: of a subclass: the name of its inputs' controller in `CONTROLLERS`; None for any.
        key_parts: names of the modules, besides the encoder, that have a part in keys.
        start_values: names of modules that may be missing in saved weights, as what they start with is not random.
        encoder: the pretrained model that is wrapped.
        key_size: K, the size of keys, as `config.key_size` was when the model was made.
    """

    modality: ClassVar[str | None] = None
    key_parts: ClassVar[tuple[str, ...]] = ()
    start_values: ClassVar[tuple[str, ...]] = ()
    config_class: Any = MANNBaseConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # a loss is a mean, so the Trainer divides it by the number of batches in a step
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _tied_weights_keys: dict = {}

    config: MANNBaseConfig

    def __init__(self, config: MANNBaseConfig) -> None:
        if self.modality not in (None, config.modality):
            raise InvalidTypeError(
                f"{type(self).__name__} is for inputs of the modality {self.modality!r}, and the configuration is of a "
                f"model of {config.controller.noun}s (modality={config.modality!r}): load it with the class of that "
                "modality."
            )
        super().__init__(config)
        self.main_input_name, self.input_modalities = config.controller.main_input, [config.modality]
        own = config.encoder_config
        self.encoder = config.controller.build(own, config.pooling, attn_implementation=own._attn_implementation)
        config.encoder_config = self.encoder.config  # one object, so that what changes the encoder is saved
        self.key_size = config.key_size
        self.model_card_data, self.loaded_encoder = MANNModelCardData(), LoadedEncoder()
        self.loaded_training, self.seen_memories = None, {}

    def post_init(self) -> None:
        """Ends `__init__`, once all parts are made: there is a memory, and transformers has its turn."""
        self._holder = self.new_holder()
        super().post_init()

    def new_holder(self) -> Holder[Any]:
        """What holds the memory; an empty one."""
        return Holder(self.empty_memory())

    @property
    def reading_parts(self) -> tuple[str, ...]:
        """Names of the modules that read the memory, and go on learning with an adapter.

        By default those besides the encoder that have no part in keys; one may have both.
        """
        return tuple(name for name, _ in self.named_children() if name not in ("encoder", *self.key_parts))

    @classmethod
    def from_encoder_config(cls: type[Model], encoder: str | PreTrainedConfig, **kwargs: Any) -> Model:
        """Makes a model with an empty memory around an encoder with random weights, to be trained from scratch.

        Args:
            encoder: the type of an encoder in transformers, such as `"conv4"` or `"bert"`; or its configuration.
            kwargs: fields of the configuration; any others are fields of the encoder's configuration.

        Raises:
            UnknownNameError: there is no such type, reading, pooling, similarity or eviction rule.
            InvalidInputError: a field that cannot be meant, or the encoder reads inputs of another modality.
            InvalidTypeError: a field that there is not, or another modality than that of the class.
        """
        own_fields = settable(cls.config_class)
        fields = {name: value for name, value in kwargs.items() if name in own_fields}
        others = {name: value for name, value in kwargs.items() if name not in fields}
        own = encoder_configuration(encoder, others, own_fields)
        if cls.modality is not None:
            fields.setdefault("modality", cls.modality)
        return cls(cls.config_class(encoder_config=own.to_dict(), **fields)).eval()

    @classmethod
    def from_encoder(cls: type[Model], encoder: PreTrainedModel, config: MANNBaseConfig) -> Model:
        """Makes a model with an empty memory around an encoder that is loaded already.

        Args:
            encoder: the encoder.
            config: of the model; its `encoder_config` becomes that of the encoder.
        """
        with init.no_init_weights():
            model = cls(config)
        for part in dict.fromkeys((*model.reading_parts, *model.key_parts)):
            for module in model.get_submodule(part).modules():
                model._init_weights(module)
        model.encoder, model.config.encoder_config = encoder, encoder.config
        model.config.dtype = encoder.dtype
        model.loaded_encoder = LoadedEncoder(sample(encoder))
        return model.eval()

    def probe_states(self) -> Tensor:
        """[P, H]: what the encoder by itself gives for a few fixed inputs, before `key_parts`; there are none here."""
        return self.encoder_probe()

    def probe_keys(self, states: Tensor) -> Tensor:
        """[P, K]: the keys that such states [P, H] give with `key_parts`; by default the states themselves."""
        return states.to(self.device)

    @property
    def key_settings(self) -> tuple[Any, ...]:
        """Settings, besides weights and adapters, on which keys depend; when they change, a probe is taken anew."""
        return ()

    def encoder_probe(self) -> Tensor:
        """[P, K]: the keys of a few fixed inputs, which identify this encoder.

        Computed at each call: adapters are switched and merged without a trace in the weights' versions.
        """
        raise NotImplementedError

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """Puts an adapter on the encoder; see `PreTrainedModel.add_adapter`.

        Raises:
            InvalidInputError: its initialisation changes the encoder in a way that loading cannot repeat.
        """
        with adapter_base.noting_base(self, adapter_name or "default", adapter_config):
            super().add_adapter(adapter_config, adapter_name)

    def enable_adapters(self) -> None:
        """Switches the adapters on again; see `PreTrainedModel.enable_adapters`."""
        super().enable_adapters()
        enable_all(self)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Makes room for more or fewer tokens; see `PreTrainedModel.resize_token_embeddings`."""
        return self.encoder.resize_token_embeddings(*args, **kwargs)
