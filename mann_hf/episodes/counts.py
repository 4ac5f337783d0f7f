"""Numbers of an episode, and ranges from which each episode draws its own."""

from collections.abc import Sequence
from typing import Any

from ..errors import InvalidInputError
from ..wording import whole_number

Count = int | tuple[int, int]
"""A number, or the lowest and the highest of a range from which each episode draws its own."""


def as_range(name: str, count: Any, least: int) -> tuple[int, int]:
    """The lowest and highest of a number or range."""
    bounds = tuple(count) if isinstance(count, Sequence) and not isinstance(count, str) else (count, count)
    lowest, highest = map(whole_number, bounds) if len(bounds) == 2 else (None, None)
    if lowest is None or highest is None or not least <= lowest <= highest:
        raise InvalidInputError(
            f"{name} is {count!r}; give a whole number from {least} on, or the lowest and the highest of a range."
        )
    return lowest, highest


def span(bounds: tuple[int, int]) -> int | str:
    """A number or range, for people."""
    low, high = bounds
    return low if low == high else f"{low} to {high}"
