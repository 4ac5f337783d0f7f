"""What a pipeline turns inputs into tensors with, of the arguments by which it may be given."""

import os
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInputError
from ..hub.processing import PROCESSING_CLASSES, load_processing_class
from ..wording import listed

PARTS = ("tokenizer", "image_processor", "feature_extractor", "video_processor")
"""Arguments of transformers' pipelines beside `processor`, which may hold several of them."""


def processing_class_of(model: Any, given: Mapping[str, Any], processor: Any = None) -> Any:
    """The processing class of a pipeline: as it was given, made of its parts, or that of the model.

    Args:
        model: of the pipeline.
        given: the parts by the names of their arguments, each as an object or the folder or repository of one.
        processor: what holds several parts; likewise.

    Raises:
        InvalidInputError: something that inputs of this model have no use for; or none is found.
    """
    controller = model.config.controller
    name, reads_words = controller.processing_class, controller.reads_words(model.config.encoder_config)
    together = PROCESSING_CLASSES[name].with_tokenizer if reads_words else None
    parts = {part: given[part] for part in [name, *(["tokenizer"] if together else [])] if part in given}
    if processor is not None:
        others = [part for part, value in given.items() if value is not getattr(processor, part, None)]
        if others:
            raise InvalidInputError(f"processor came with another {listed(others)}: give it alone, or its parts.")
        found = model.load_processing_class(processor) if _is_place(processor) else processor
        return found if together else getattr(found, name, found)
    unused = [part for part, value in given.items() if not any(value is used for used in parts.values())]
    if unused:
        alone = "" if reads_words else " alone"
        raise InvalidInputError(f"{listed(unused)}: a model of {controller.noun}s{alone} has no use for it.")
    own, tokenizer = parts.get(name), parts.get("tokenizer") if together else None
    if own is None or _is_place(own):
        own = model.load_processing_class(own, alone=tokenizer is not None)
    return own if together is None or tokenizer is None else together(own, _tokenizer(tokenizer))


def _tokenizer(given: Any) -> Any:
    """The tokenizer itself, where its folder or repository may have come."""
    if not _is_place(given):
        return given
    found, why = load_processing_class("tokenizer", [(os.fspath(given), str, {})])
    if found is None:
        raise InvalidInputError(f"no tokenizer was found ({why}); pass one.")
    return found


def _is_place(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)
