"""A model's memory while its encoder is trained."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from transformers.utils import logging

from ..controllers.processor import InputProcessor
from ..errors import InvalidInputError

logger = logging.get_logger(f"transformers.{__name__}")


@contextmanager
def set_aside(model: Any, processing_class: Any, encoding: Callable[[], AbstractContextManager]) -> Iterator[None]:
    """Empties a model's memory during the block; see `MemoryMixin.memory_set_aside`."""
    kept = model.memory
    if not len(kept):
        yield
        return
    processor = model.processor(processing_class)
    model.check_inputs_read(kept, processor)
    model.update_memory(lambda _: (model.empty_memory(), None))
    try:
        yield
    except BaseException:
        try:
            _follow_encoder(model, kept, processor, encoding)
        except Exception as error:  # of the two, the one that ended the block is raised
            logger.warning(str(error))
        raise
    _follow_encoder(model, kept, processor, encoding)


def _follow_encoder(
    model: Any, kept: Any, processor: InputProcessor, encoding: Callable[[], AbstractContextManager]
) -> None:
    """Puts a memory back, and computes its keys again."""
    model.update_memory(lambda _: (kept, None))
    try:
        with encoding():
            model.reencode_memory(processor)
    except InvalidInputError as error:
        raise InvalidInputError(
            f"the keys of the memory could not be computed again with the encoder as it is now: {error} The memory is "
            "as before, with keys of the encoder as it was: mend what is wrong and call reencode_memory(), or give the "
            "model its earlier weights."
        ) from error
