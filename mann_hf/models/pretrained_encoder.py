"""A pretrained encoder, and the configuration of a model around it."""

import inspect
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import transformers.initialization as init
from transformers import PreTrainedModel

from ..errors import InvalidTypeError
from ..hub.encoders import load_encoder
from ..hub.loading_arguments import check_loading_arguments
from ..hub.resolve import resolve_encoder
from ..hub.sentence_transformers import TextEncoderSettings, load_projection, read_settings
from ..hub.source import HUB_ARGUMENTS, Source
from ..wording import near
from . import base_weights
from .config_fields import targets_named
from .configuration_mann import MANNConfig
from .memory_keeping import MemoryKeepingModel

Model = TypeVar("Model", bound="ModelFromEncoder")


class _LeftOut:
    def __repr__(self) -> str:  # as `help` shows it
        return "<default>"


LEFT_OUT: Any = _LeftOut()
"""The default of arguments that are left to the encoder's files, and then to `MANNConfig`."""
LOADING = (
    *("attn_implementation", "device_map", "dtype", "quantization_config", "subfolder", "trust_remote_code"),
    *("output_loading_info", "reencode", "tokenizer"),
)
"""Usual arguments of loading that no signature names."""


class ModelFromEncoder(MemoryKeepingModel):
    """Is made around a pretrained text encoder."""

    @classmethod
    def from_encoder_pretrained(
        cls: type[Model],
        encoder_name: str | os.PathLike,
        *,
        pooling: str = LEFT_OUT,
        normalize: bool = LEFT_OUT,
        max_seq_length: int | None = LEFT_OUT,
        prompts: dict[str, str] | None = LEFT_OUT,
        prompt_name: str | None = LEFT_OUT,
        lower_case: bool = LEFT_OUT,
        reading: str | None = LEFT_OUT,
        similarity: str = LEFT_OUT,
        reading_options: dict[str, Any] | None = LEFT_OUT,
        capacity: int | None = LEFT_OUT,
        eviction: str = LEFT_OUT,
        label_names: bool = LEFT_OUT,
        store_texts: bool = LEFT_OUT,
        problem_type: str | None = LEFT_OUT,
        pool_prompt: bool = LEFT_OUT,
        num_labels: int = LEFT_OUT,
        id2label: dict[int, str] = LEFT_OUT,
        label2id: dict[str, int] = LEFT_OUT,
        **kwargs: Any,
    ) -> Model:
        """Makes a model with an empty memory from a pretrained text encoder.

        Pooling, dense layers, normalisation, length limit and prompts of a sentence-transformers model are kept.

        Args:
            encoder_name: a folder, a Hub id, or a name that `resolve_encoder` knows.
            pooling: a field of `MANNConfig`, as are the arguments up to `label2id`; see there. Fields that are not
                given are those of the sentence-transformers model, or the defaults.
            kwargs: further arguments of the encoder's `from_pretrained` (`dtype`, `attn_implementation`, `revision`,
                `token`, `cache_dir`, ...).

        Raises:
            EncoderNotFoundError: no encoder of this name was found.
            UnsafeFileError: its weights are a pickle, or lie outside of the folder or repository; see `load_encoder`.
            UnknownNameError: there is no such reading, pooling, similarity or eviction rule.
            InvalidTypeError: an argument that there is not, or of a type that it does not have.
        """
        fields = config_fields()
        given = {name: value for name, value in locals().items() if name in fields and value is not LEFT_OUT}
        with naming_unknown_arguments("from_encoder_pretrained", kwargs):
            encoder, config, settings = read_encoder(encoder_name, {**given, **kwargs})
        model = cls._around(encoder, config)
        if settings is not None and config.projection == list(settings.projection):
            load_projection(model.projection, settings)
            model.projection.to(encoder.device, encoder.dtype)
        return model

    @classmethod
    def _around(cls: type[Model], encoder: PreTrainedModel, config: MANNConfig) -> Model:
        """A model with fresh memory parameters around an encoder that is loaded already."""
        with init.no_init_weights():
            model = cls(config)
        for module in (*model.reading.modules(), *model.projection.modules()):
            model._init_weights(module)
        model.encoder, model.config.encoder_config = encoder, encoder.config
        model.config.dtype = encoder.dtype
        model.loaded_weights = base_weights.sample(encoder)
        return model.eval()


def read_encoder(
    encoder_name: str | os.PathLike, arguments: dict[str, Any]
) -> tuple[PreTrainedModel, MANNConfig, TextEncoderSettings | None]:
    """Loads an encoder, and says what a model around it is made of.

    Args:
        encoder_name: a folder, a Hub id, or a name that `resolve_encoder` knows.
        arguments: fields of `MANNConfig`, and arguments of the encoder's `from_pretrained`.

    Returns:
        The encoder, the configuration, and what sentence-transformers files beside the encoder say, if there are any.
    """
    check_loading_arguments(arguments)
    places = {name: arguments[name] for name in HUB_ARGUMENTS if name in arguments}
    place = resolve_encoder(encoder_name, **places)
    fields = {name: value for name, value in arguments.items() if name in config_fields()}
    loading = {name: value for name, value in arguments.items() if name not in fields}
    folder = Path(os.path.expanduser(encoder_name))  # the encoder itself may lie in a folder of it
    source = Source.of(place, loading).at_one_commit()
    settings = read_settings(Source.of(folder) if folder.is_dir() else replace(source, subfolder=""))
    if settings is not None:
        known = {
            "pooling": settings.pooling,
            "normalize": settings.normalize,
            "max_seq_length": settings.max_length,
            "prompts": settings.prompts,
            "prompt_name": settings.default_prompt_name,
            "lower_case": settings.lower_case,
            "projection": list(settings.projection),
            "pool_prompt": settings.pool_prompt,
        }
        fields = {**{name: value for name, value in known.items() if value is not None}, **fields}
    encoder = load_encoder(place, **{**loading, **source.arguments})
    encoder.config.name_or_path = ""  # a folder of this machine, maybe that of a package
    outputs = {"num_labels", "id2label"}
    if not targets_named(fields.get("problem_type")).named and not fields.keys() & outputs:
        fields["num_labels"] = 1
    config = MANNConfig(encoder_config=encoder.config.to_dict(), encoder_name=str(encoder_name), **fields)
    return encoder, config, settings


def config_fields() -> set[str]:
    """The names of a configuration's fields that can be set beside an encoder's name."""
    own = set(inspect.signature(MANNConfig.__init__).parameters) - {"self", "kwargs", "encoder_config", "encoder_name"}
    return own | {"num_labels", "id2label", "label2id"}


@contextmanager
def naming_unknown_arguments(function: str, given: Collection[str]) -> Iterator[None]:
    """Says of an argument that nobody takes which one was meant, in place of the class that was handed it last.

    Args:
        function: that the user called.
        given: the names of the arguments that it hands on.

    Raises:
        InvalidTypeError: in place of a TypeError about one of them.
    """
    try:
        yield
    except TypeError as error:
        found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if found is None or found[1] not in given:
            raise
        loading = {*LOADING, *HUB_ARGUMENTS, *inspect.signature(PreTrainedModel.from_pretrained).parameters}
        raise no_such_argument(function, found[1], config_fields() | loading) from error


def no_such_argument(function: str, name: str, known: Collection[str]) -> InvalidTypeError:
    """The error for an argument that a function does not take, with those that were probably meant."""
    meant = near(name, sorted(known))
    cure = f"did you mean {' or '.join(meant)}?" if meant else "see help() for those that there are."
    return InvalidTypeError(f"{function}() has no argument {name!r}: {cure}")
