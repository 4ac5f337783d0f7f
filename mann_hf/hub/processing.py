"""Loads tokenizers, image processors, and what else turns inputs into tensors, from a folder or repository.

A kind of one's own is registered in `PROCESSING_CLASSES` by the name that a controller has as its `processing_class`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..controllers.image_processor import with_tokenizer
from ..registry import Registry
from .image_processors import has_image_processor, load_image_processor
from .tokenizers import load_tokenizer, was_refused


class ProcessingClass(NamedTuple):
    """How one kind of processing class, as `Trainer` calls them, is loaded.

    Attributes:
        noun: what it is called in messages.
        load: from a folder or repository, and arguments of the Hub.
        is_there: whether an error of `load` is about one that is there; called with the error and the same arguments.
        with_tokenizer: makes one of it and a tokenizer, for encoders that read words, too; None where there is no such.
    """

    noun: str
    load: Callable[..., Any]
    is_there: Callable[..., bool]
    with_tokenizer: Callable[[Any, Any], Any] | None = None


PROCESSING_CLASSES: Registry[ProcessingClass] = Registry("processing class")
PROCESSING_CLASSES.register("tokenizer")(ProcessingClass("tokenizer", load_tokenizer, was_refused))
PROCESSING_CLASSES.register("image_processor")(
    ProcessingClass("image processor", load_image_processor, has_image_processor, with_tokenizer)
)


def load_processing_class(
    name: str, places: Sequence[tuple[str, Callable[[str], str], dict[str, Any]]], **options: Any
) -> tuple[Any, str]:
    """The first processing class that is found.

    Args:
        name: of the kind, in `PROCESSING_CLASSES`.
        places: in the order in which they are looked at, each by its name, what gives the folder or repository of that
            name, and arguments of the Hub.
        options: further arguments of its `load`.

    Returns:
        What was found, and an empty text; or None and why there is none.

    Raises:
        FolderError, UnsafeFileError: one is there, and is damaged or not to be read.
    """
    kind, reasons = PROCESSING_CLASSES[name], []
    for place, find, hub in places:
        try:
            return kind.load(find(place), **options, **hub), ""
        except (OSError, ValueError, ImportError) as error:
            if kind.is_there(error, place, **hub):
                raise
            reasons.append(f"{place}: {(str(error).strip().splitlines() or [type(error).__name__])[0]}")
    return None, "; ".join(reasons) or "nowhere to look"
