"""Refuses arguments of loading and saving that do not exist, and names the ones that were probably meant."""

import inspect
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

from ..errors import InvalidTypeError
from ..hub.source import HUB_ARGUMENTS
from ..wording import near
from .configuration_mann import FIELDS

LOADING = (
    *("attn_implementation", "device_map", "dtype", "quantization_config", "subfolder", "trust_remote_code"),
    *("output_loading_info", "reencode", "processing_class"),
)
"""Usual arguments of loading that no signature names."""
SETTABLE = FIELDS - {"encoder_config", "encoder_name"} | {"num_labels", "id2label", "label2id"}
"""Fields of a configuration that can be set beside an encoder's name."""


@contextmanager
def naming_unknown_arguments(function: str, given: Collection[str]) -> Iterator[None]:
    """Says of a `given` argument that nobody takes which one was meant, in place of the class that it came to last.

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
        raise no_such_argument(function, found[1], SETTABLE | loading) from error


def no_such_argument(function: str, name: str, known: Collection[str]) -> InvalidTypeError:
    """The error for an argument that a function does not take, with those that were probably meant."""
    meant = near(name, sorted(known))
    cure = f"did you mean {' or '.join(meant)}?" if meant else "see help() for those that there are."
    return InvalidTypeError(f"{function}() has no argument {name!r}: {cure}")
