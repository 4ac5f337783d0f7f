"""Which letters a sign of a regular expression may match, in Unicode: enough to see that two signs share none."""

import functools
import re
import sys
import unicodedata
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Letters = NDArray[np.bool_]
"""For each code point, whether it is in."""
PROPERTY = re.compile(r"\\([pP])\{(\^?)(L|M|N|P|S|Z|C|[LMNPSZC][a-z])\}")
CODE = re.compile(r"\\(?:x\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))")
CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7, "e": 27}
UNASSIGNED, FIRST_UNASSIGNED = "Cn", 0x378
ALSO_ASCII = {"s": 0x17F, "k": 0x212A}
"""Letters beyond ASCII that are the same as one of it where case does not matter."""


class Possible(NamedTuple):
    """The letters that a sign may match, and those that it matches for certain."""

    may: Letters
    must: Letters

    def inverted(self) -> "Possible":
        return Possible(~self.must, ~self.may)

    def joined(self, other: "Possible") -> "Possible":
        return Possible(self.may | other.may, self.must | other.must)


@functools.lru_cache(maxsize=256)
def possible(sign: str, any_case: bool) -> Possible:
    """The letters of a sign: a letter, an escape, `.` or a class in brackets; all where it cannot be told.

    Args:
        sign: as the expression has it.
        any_case: whether case does not matter.
    """
    if sign == ".":
        return _unknown()
    if sign.startswith("["):
        return _of_class(sign, any_case)
    return _of_item(sign, any_case)


def share(first: str, second: str, any_case: bool) -> bool:
    """Whether two signs may match one letter."""
    return bool(np.any(possible(first, any_case).may & possible(second, any_case).may))


def _unknown() -> Possible:
    return Possible(np.ones(sys.maxunicode + 1, bool), np.zeros(sys.maxunicode + 1, bool))


def _of_class(sign: str, any_case: bool) -> Possible:
    """Of `[...]` with letters, ranges and escapes; others, such as classes within classes, are not told apart."""
    inner = sign[1:-1]
    negated = inner.startswith("^")
    inner = inner[1:] if negated else inner
    if "[" in inner.replace(r"\[", "") or "&&" in inner:
        return _unknown()
    items = [found[0] for found in re.finditer(r"\\(?:[pP]\{[^}]*\}|x\{[^}]*\}|x..|u....|.)|.", inner, re.DOTALL)]
    found, at = Possible(*np.zeros((2, sys.maxunicode + 1), bool)), 0
    while at < len(items):
        if at + 2 < len(items) and items[at + 1] == "-":
            first, last = _code(items[at]), _code(items[at + 2])
            if first is None or last is None:
                return _unknown()
            found, at = found.joined(_range(first, last, any_case)), at + 3
        else:
            found, at = found.joined(_of_item(items[at], any_case)), at + 1
    return found.inverted() if negated else found


def _of_item(item: str, any_case: bool) -> Possible:
    """Of one letter or escape."""
    if (code := _code(item)) is not None:
        return _range(code, code, any_case)
    if any_case and item[1] in "pP":
        return _unknown()
    if property_ := PROPERTY.fullmatch(item):
        found = _of_categories(property_[3])
        return found.inverted() if (property_[1] == "P") != bool(property_[2]) else found
    kind = item[1].lower()
    if len(item) == 2 and kind in "sdw":
        if kind == "s":
            found = _of_categories("Z").joined(_range(9, 13, False)).joined(_range(0x85, 0x85, False))
        elif kind == "d":
            found = _of_categories("Nd")
        else:  # of marks, numbers and symbols some are letters of words
            certain = _of_categories("L", "Nd", "Pc")
            found = Possible(_of_categories("L", "M", "N", "Pc", "So").may, certain.must)
        return found.inverted() if item[1].isupper() else found
    return _unknown()


def _code(item: str) -> int | None:
    """The code point of an item that is one letter; None of others."""
    if len(item) == 1:
        return ord(item)
    if found := CODE.fullmatch(item):
        code = int(found[1] or found[2] or found[3], 16)
        return code if code <= sys.maxunicode else None
    if item[1:] in CONTROLS:
        return CONTROLS[item[1:]]
    return ord(item[1]) if len(item) == 2 and not item[1].isalnum() else None


def _range(first: int, last: int, any_case: bool) -> Possible:
    letters = np.zeros(sys.maxunicode + 1, bool)
    letters[first : last + 1] = True
    if any_case and last < 128:
        for code in range(first, last + 1):
            for same in (chr(code).lower(), chr(code).upper()):
                letters[ord(same)] = True
            if (also := ALSO_ASCII.get(chr(code).lower())) is not None:
                letters[also] = True
    elif any_case and (
        last - first > 64 or any(chr(code).lower() != chr(code).upper() for code in range(first, last + 1))
    ):
        return _unknown()
    # another release of Unicode may have given a letter that has no category here any category
    if last >= FIRST_UNASSIGNED and _category(UNASSIGNED)[first : last + 1].any():
        return Possible(_unknown().may, letters)
    return Possible(letters, letters)


def _of_categories(*names: str) -> Possible:
    letters = functools.reduce(np.logical_or, (_category(name) for name in names))
    return Possible(letters, letters)


@functools.cache
def _category(name: str) -> Letters:
    known, of_each = _categories()
    wanted = [number for number, one in enumerate(known) if one.startswith(name)]
    return np.isin(of_each, np.array(wanted, np.uint8))


@functools.cache
def _categories() -> tuple[list[str], NDArray[np.uint8]]:
    """The names of the categories, and the number of that of each code point."""
    numbers: dict[str, int] = {}
    of_each = (numbers.setdefault(unicodedata.category(chr(code)), len(numbers)) for code in range(sys.maxunicode + 1))
    found = np.fromiter(of_each, np.uint8, sys.maxunicode + 1)
    return list(numbers), found
