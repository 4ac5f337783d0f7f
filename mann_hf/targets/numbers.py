"""The numbers of a regression, whatever file, data frame or call they come from."""

import math
import re
from decimal import Decimal
from numbers import Real
from typing import Any

from ..errors import InvalidInputError, InvalidTypeError
from ..wording import shown
from .labels import check_no_spreadsheet_error, is_missing, list_in, plain, same_label

LARGEST = 3.4e38
"""The largest number of a label; numbers are kept in 32 bits."""
WRITTEN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
"""A number as text, as every table has it."""
WITH_COMMA = re.compile(r"[+-]?[\d.]*,\d[\d,.]*", re.ASCII)


def spell_numbers(label: Any) -> tuple[float, ...]:
    """The numbers that a text is labelled with: a number, one that is written as text, or a list of either.

    Raises:
        InvalidInputError: a number is missing, not finite or too large, or a text is no number.
        InvalidTypeError: something else than numbers, such as a boolean.
    """
    label = plain(label)
    if isinstance(label, str) and (written := list_in(label)) is not None:
        label = written
    numbers = tuple(map(_number, label if isinstance(label, (list, tuple)) else [label]))
    if not numbers:
        raise InvalidInputError("an empty list has no number; leave out what has none")
    return numbers


def _number(value: Any) -> float:
    value = plain(value)
    if is_missing(value):
        raise InvalidInputError("no number; leave out what has none")
    if isinstance(value, str):
        text = value.strip()
        if WITH_COMMA.fullmatch(text):
            raise InvalidInputError(
                f"{shown(value)} has a comma; write decimals behind a point, as in 3.5, and nothing between thousands"
            )
        check_no_spreadsheet_error(text)
        if same_label(text) in ("true", "false"):
            return _number(same_label(text) == "true")
        if not WRITTEN.fullmatch(text):
            raise InvalidInputError(f"{shown(value)} is no number")
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise InvalidTypeError(f"{shown(value)} is of type {type(value).__name__}; a regression takes numbers")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not abs(number) <= LARGEST:
        raise InvalidInputError(f"{shown(value)} is no finite number up to {LARGEST:.1e}")
    return number
