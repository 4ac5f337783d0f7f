"""Numbers and ranges of numbers, as people write them."""

import operator
import re
from typing import Any

from .errors import InvalidInputError
from .wording import shown


def as_count(name: str, value: Any) -> Any:
    """A number, or a range as text such as "5-10" or as a pair.

    Raises:
        InvalidInputError: a text that is neither.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", value)
    if match is None:
        raise InvalidInputError(f"{name} is {value!r}; give a number, or a range such as 5-10.")
    return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))


def whole_number(value: Any) -> int | None:
    """A whole number of Python, numpy or torch; None of anything else, booleans included."""
    if "bool" in str(getattr(value, "dtype", type(value).__name__)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def at_least(name: str, value: Any, least: int = 1) -> int:
    """A whole number from `least` on.

    Raises:
        InvalidInputError: it is another number, or none.
    """
    return _at_least(name, value, least, f"a whole number from {least} on")


def optional_at_least(name: str, value: Any, least: int = 1) -> int | None:
    """As `at_least`; None stays None."""
    return None if value is None else _at_least(name, value, least, f"a whole number from {least} on, or None")


def _at_least(name: str, value: Any, least: int, wanted: str) -> int:
    number = whole_number(value)
    if number is None or number < least:
        raise InvalidInputError(f"{name} is {shown(value)}; give {wanted}.")
    return number
