"""How far a long call has come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging

from ..errors import InvalidTypeError

Progress = Callable[[int], Any] | bool | None
"""A function that is called with the number of inputs done since its last call; True for a bar."""


@contextmanager
def following(progress: Progress, total: int | None, noun: str) -> Iterator[Callable[[int], Any] | None]:
    """Gives the function to call, and shows a bar on standard error meanwhile if `progress` is True.

    Args:
        progress: what a user gave.
        total: how many inputs there are; None if that is not known.
        noun: what an input is called.

    `transformers.utils.logging.disable_progress_bar()` turns the bar off, as others.
    """
    if progress is None or progress is False:
        yield None
    elif progress is True:
        with logging.tqdm(total=total, unit=f" {noun}s") as bar:
            yield bar.update
    elif callable(progress):
        yield progress
    else:
        raise InvalidTypeError(f"progress is {progress!r}; give True for a bar, or a function of the {noun}s done.")
