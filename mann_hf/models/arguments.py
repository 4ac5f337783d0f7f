"""Refuses arguments of loading and saving that do not exist, and names the ones that were probably meant."""

import inspect
import re
from collections.abc import Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig, PreTrainedModel

from ..errors import InvalidInputError, InvalidTypeError, UnknownNameError
from ..hub.source import HUB_ARGUMENTS
from ..wording import near
from .configuration_base import MANNBaseConfig
from .configuration_mann import MANNConfig

LOADING = (
    *("attn_implementation", "device_map", "dtype", "quantization_config", "subfolder", "trust_remote_code"),
    *("output_loading_info", "reencode", "processing_class"),
)
"""Usual arguments of loading that no signature names."""


def settable(kind: type[MANNBaseConfig]) -> set[str]:
    """Fields of a class of configurations that can be set beside an encoder's name."""
    return kind.own_fields().keys() - {"encoder_config", "encoder_name"} | {"num_labels", "id2label", "label2id"}


SETTABLE = settable(MANNConfig)
"""Fields that models of labelled examples can be given."""


@contextmanager
def naming_unknown_arguments(
    function: str, given: Collection[str], kind: type[MANNBaseConfig] = MANNConfig
) -> Iterator[None]:
    """Says of a `given` argument that nobody takes which one was meant, in place of the class that it came to last.

    Args:
        function: the name of what was called.
        given: names of arguments.
        kind: the class of configurations whose fields are arguments, too.

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
        raise no_such_argument(function, found[1], settable(kind) | loading) from error


def no_such_argument(function: str, name: str, known: Collection[str]) -> InvalidTypeError:
    """The error for an argument that a function does not take, with those that were probably meant."""
    meant = near(name, sorted(known))
    cure = f"did you mean {' or '.join(meant)}?" if meant else "see help() for those that there are."
    return InvalidTypeError(f"{function}() has no argument {name!r}: {cure}")


def encoder_configuration(
    encoder: str | PreTrainedConfig, fields: Mapping[str, Any], others: Set[str]
) -> PreTrainedConfig:
    """The configuration of an encoder that `from_encoder_config` is given, or that of a type with some fields.

    Args:
        encoder: a configuration, or a type of encoders.
        fields: of the encoder's configuration.
        others: names that may have been meant besides those of its fields.

    Raises:
        UnknownNameError: there is no such type.
        InvalidInputError: fields beside a configuration.
        InvalidTypeError: a field that configurations of the type do not have; transformers would keep it unread.
    """
    if isinstance(encoder, PreTrainedConfig):
        if fields:
            raise InvalidInputError(
                f"{', '.join(sorted(fields))}: fields of the encoder are set in the configuration that was given."
            )
        return encoder
    if encoder not in CONFIG_MAPPING:
        meant = near(str(encoder), CONFIG_MAPPING)
        other = ", or another type that transformers knows" if meant else ""
        raise UnknownNameError("type of encoder", encoder, meant or sorted(CONFIG_MAPPING), other)
    kind = CONFIG_MAPPING[encoder]
    arguments = inspect.signature(kind).parameters.values()
    named = {one.name for one in arguments if one.kind is not one.VAR_KEYWORD}
    unnamed = sorted(fields.keys() - named)
    usual = kind() if unnamed else None  # older classes do not name all fields that they have
    for name in unnamed:
        if not hasattr(usual, name) or callable(getattr(usual, name)):
            raise no_such_argument("from_encoder_config", name, others | named | vars(usual).keys())
    return AutoConfig.for_model(encoder, **fields)
