"""Numbers and ranges of numbers, as people write them."""

import re
from typing import Any

from .errors import InvalidInputError


def as_count(name: str, told: Any) -> Any:
    """A number, or a range as text such as "5-10" or as a pair.

    Raises:
        InvalidInputError: a text that is neither.
    """
    if not isinstance(told, str):
        return told
    match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", told)
    if match is None:
        raise InvalidInputError(f"{name} is {told!r}; give a number, or a range such as 5-10.")
    return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))
