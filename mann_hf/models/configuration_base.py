"""What the configurations of all memory-augmented models have: an encoder, its inputs, and a memory beside it."""

import copy
import inspect
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from ..controllers.kinds import TEXT, Controller, controller_of
from ..errors import InvalidInputError
from ..hub.configs import check_config, without_attention
from ..hub.files import CONFIG, check_hub_arguments
from ..hub.guard import as_folder_error, naming_file
from ..memory.stores import STORES
from . import config_fields


class MANNBaseConfig(PreTrainedConfig):
    r"""What the configuration of any memory-augmented model says: of which encoder, and how its memory is kept.

    A subclass has a `model_type` of its own and takes its fields by name in `__init__`.

    Args:
        encoder_config: the configuration of the wrapped model, as an object or a dict with its `model_type`.
        encoder_name: the name it was loaded by; messages and memory files show it.
        adapter: the PEFT configuration of an adapter on it. The saved weights are then those of the adapter; the
            wrapped model is loaded by its name.
        modality: of the inputs: a name of `CONTROLLERS`.
        store: the name in `STORES` of what finds the nearest entries of a large memory.
        store_texts: whether the memory keeps and saves the texts it was taught.

    Raises:
        UnknownNameError: there is no store or modality of that name.
        InvalidInputError: a field of a type that cannot be meant.
    """

    sub_configs = {"encoder_config": AutoConfig}
    has_memory = True  # by which a saved model of this library is known from a bare encoder
    pooling: Any = None  # how states become one vector, for models that leave it to the user

    def __init__(
        self,
        encoder_config: PreTrainedConfig | dict[str, Any] | None = None,
        encoder_name: str | None = None,
        adapter: dict[str, Any] | None = None,
        modality: str = TEXT,
        store: str = "exact",
        store_texts: bool = True,
        **kwargs: Any,
    ) -> None:
        config_fields.check_names(store=store, modality=modality)
        controller_of(modality), STORES[store]
        config_fields.check_fields({"encoder_name": encoder_name, "store_texts": store_texts})
        self.encoder_config = own_encoder_config(encoder_config)
        self.encoder_name = encoder_name
        self.adapter = adapter
        self.modality = modality
        self.store = store
        self.store_texts = store_texts
        super().__init__(**kwargs)

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """The content of a configuration's file; see `PreTrainedConfig.get_config_dict`.

        Raises:
            InvalidTypeError: an argument that says where on the Hub it is, of a type that it does not have.
        """
        check_hub_arguments(kwargs)
        return super().get_config_dict(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """A configuration from the content of its file, which a stranger may have written.

        How attention is computed is for the user to say (`attn_implementation`): a file could name code on the Hub.

        Raises:
            InvalidInputError: a field of a type or size that nobody's has, no `encoder_config`, or the content of a
                configuration of another class.
            UnknownNameError: there is no mechanism of a name that it has.
            FolderError: the encoder's part is none that transformers takes.
        """
        place = kwargs.get("name_or_path")  # where an Auto class reads it
        with naming_file(place, CONFIG):
            cls._check_content(config_dict)
        with naming_file(place, CONFIG), as_folder_error(place or config_dict.get("_name_or_path"), CONFIG, kwargs):
            return super().from_dict(without_attention(config_dict), **kwargs)

    @classmethod
    def _check_content(cls, content: Any) -> None:
        """Refuses what is no content of such a configuration."""
        kind = content.get("model_type") if isinstance(content, dict) else None
        if not isinstance(content, dict) or not isinstance(content.get("encoder_config"), dict):
            raise InvalidInputError(
                f"the configuration is of a model of type {kind!r} and has no encoder_config; to make a model from an "
                "encoder, call from_encoder_pretrained(name)."
            )
        other = memory_config_of(kind)
        if other is not None and not issubclass(cls, other) and kind != cls.model_type:
            raise InvalidInputError(
                f"the configuration is of a model of type {kind!r}, and {cls.__name__} is for those of type "
                f"{cls.model_type!r}: load the model by its own class, or by an Auto class of transformers."
            )
        check_config(content)

    @property
    def controller(self) -> Controller:
        """How inputs of this modality are encoded."""
        return controller_of(self.modality)

    @property
    def hidden_size(self) -> int:
        """The size of the encoder's states, by the name that trainers look for."""
        return self.encoder_config.hidden_size

    @property
    def key_size(self) -> int:
        """K, the size of keys; of each class its own."""
        raise NotImplementedError

    def usual(self) -> Any:
        """A configuration of this class for the same encoder with all else as it is by default."""
        return type(self)(self.encoder_config.to_dict(), modality=self.modality)  # a copy: making one changes it

    @classmethod
    def own_fields(cls) -> dict[str, Any]:
        """The fields that a configuration of this class has of its own, each with what it is if it is not given."""
        arguments = inspect.signature(cls.__init__).parameters
        return {name: one.default for name, one in arguments.items() if name not in ("self", "kwargs")}


def memory_config_of(model_type: Any) -> type[MANNBaseConfig] | None:
    """The class of configurations of a type of memory-augmented models; None of any other type."""
    known = CONFIG_MAPPING[model_type] if isinstance(model_type, str) and model_type in CONFIG_MAPPING else None
    return known if isinstance(known, type) and issubclass(known, MANNBaseConfig) else None


def own_encoder_config(given: Any) -> PreTrainedConfig:
    """The encoder's configuration as a model keeps it: a copy of an object, or made of its content; BERT's for None.

    Raises:
        InvalidInputError: it is none, or that of a model with a memory.
    """
    if isinstance(given, dict):
        given = _of_content(given)
    elif given is None:
        given = AutoConfig.for_model("bert")
    elif isinstance(given, PreTrainedConfig):
        given = copy.deepcopy(given)  # on which the model's would set its attn_implementation
    if not isinstance(given, PreTrainedConfig) or isinstance(given, MANNBaseConfig):
        raise InvalidInputError(
            f"encoder_config is of type {type(given).__name__}; give the configuration of an encoder."
        )
    return given


def _of_content(content: dict[str, Any]) -> PreTrainedConfig:
    kind = content.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING or memory_config_of(kind) is not None:
        raise InvalidInputError(
            f"encoder_config has the model_type {kind!r}, which is no encoder of transformers "
            f"{transformers.__version__}; a newer one may know it."
        )
    return AutoConfig.for_model(**content)
