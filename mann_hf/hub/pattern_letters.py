"""Which letters a sign of a regular expression may match, in Unicode: enough to see that two signs share none."""

import functools
import itertools
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

PROPERTY = re.compile(r"\\([pP])\{(\^?)(L|M|N|P|S|Z|C|[LMNPSZC][a-z])\}")
CODE = re.compile(r"\\(?:x\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))")
ITEM = re.compile(r"\\(?:[pP]\{[^}]*\}|x\{[^}]*\}|x..|u....|.)|.", re.DOTALL)
CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7, "e": 27}
UNASSIGNED, FIRST_UNASSIGNED = "Cn", 0x378
ALSO_ASCII = {"s": 0x17F, "k": 0x212A}
"""Letters beyond ASCII that are the same as one of it where case does not matter."""
END = sys.maxunicode + 1


class Possible(NamedTuple):
    """The letters that a sign may match, and those that it matches for certain, as bits of an alphabet."""

    may: int
    must: int

    def joined(self, other: "Possible") -> "Possible":
        return Possible(self.may | other.may, self.must | other.must)


class Alphabet:
    """Unicode, cut into the stretches of letters that the signs of one pattern do not tell apart: a bit for each.

    Args:
        signs: a letter, an escape, `.` or a class in brackets, as the expression has it.
        any_case: whether case does not matter.
    """

    def __init__(self, signs: Iterable[str], any_case: bool) -> None:
        single = {*range(128), 0x85, *ALSO_ASCII.values()}
        single.update(code for sign in signs for item in ITEM.findall(sign) if (code := _code(item)) is not None)
        starts = sorted(single | {code + 1 for code in single} | _category_starts() | {END})
        self.any_case = any_case
        self.number = {start: number for number, start in enumerate(starts)}
        self.all = (1 << self.number[END]) - 1
        self.categories: defaultdict[str, int] = defaultdict(int)
        for number, start in enumerate(starts[:-1]):
            self.categories[unicodedata.category(chr(start))] |= 1 << number

    def possible(self, sign: str) -> Possible:
        """The letters of a sign; all where that is not clear."""
        if sign == ".":
            return self._unknown
        return self._of_class(sign) if sign.startswith("[") else self._of_item(sign)

    def _of_class(self, sign: str) -> Possible:
        """The letters of `[...]` with letters, ranges and escapes; all letters for others, such as nested classes."""
        inner = sign[1:-1]
        negated = inner.startswith("^")
        inner = inner[1:] if negated else inner
        if "[" in inner.replace(r"\[", "") or "&&" in inner:
            return self._unknown
        items, found, at = ITEM.findall(inner), Possible(0, 0), 0
        while at < len(items):
            if at + 2 < len(items) and items[at + 1] == "-":
                first, last = _code(items[at]), _code(items[at + 2])
                if first is None or last is None:
                    return self._unknown
                found, at = found.joined(self._range(first, last)), at + 3
            else:
                found, at = found.joined(self._of_item(items[at])), at + 1
        return self._inverted(found) if negated else found

    def _of_item(self, item: str) -> Possible:
        """The letters that one letter or escape stands for."""
        if (code := _code(item)) is not None:
            return self._range(code, code)
        if self.any_case and item[1] in "pP":
            return self._unknown
        if property_ := PROPERTY.fullmatch(item):
            found = self._of_categories(property_[3])
            return self._inverted(found) if (property_[1] == "P") != bool(property_[2]) else found
        kind = item[1].lower()
        if len(item) == 2 and kind in "sdw":
            if kind == "s":
                spaces = self._bits(9, 13) | self._bits(0x85, 0x85)
                found = self._of_categories("Z").joined(Possible(spaces, spaces))
            elif kind == "d":
                found = self._of_categories("Nd")
            else:  # of marks, numbers and symbols some are letters of words
                certain = self._of_categories("L", "Nd", "Pc")
                found = Possible(self._of_categories("L", "M", "N", "Pc", "So").may, certain.must)
            return self._inverted(found) if item[1].isupper() else found
        return self._unknown

    def _range(self, first: int, last: int) -> Possible:
        letters = self._bits(first, last)
        if self.any_case and last < 128:
            for letter in map(chr, range(first, last + 1)):
                also = ALSO_ASCII.get(letter.lower(), ord(letter))
                for same in (ord(letter.lower()), ord(letter.upper()), also):
                    letters |= self._bits(same, same)
        elif self.any_case and (
            last - first > 64 or any(chr(code).lower() != chr(code).upper() for code in range(first, last + 1))
        ):
            return self._unknown
        # another release of Unicode may have given a letter that has no category here any category
        if last >= FIRST_UNASSIGNED and letters & self.categories[UNASSIGNED]:
            return Possible(self.all, letters)
        return Possible(letters, letters)

    def _bits(self, first: int, last: int) -> int:
        """The letters from one code point to another: both are begun and ended in by stretches of their own."""
        start = self.number[first]
        return ((1 << max(self.number[last + 1] - start, 0)) - 1) << start

    def _of_categories(self, *names: str) -> Possible:
        found = (letters for name, letters in self.categories.items() if name.startswith(names))
        letters = functools.reduce(int.__or__, found, 0)
        return Possible(letters, letters)

    def _inverted(self, found: Possible) -> Possible:
        return Possible(self.all & ~found.must, self.all & ~found.may)

    @property
    def _unknown(self) -> Possible:
        return Possible(self.all, 0)


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


@functools.cache
def _category_starts() -> frozenset[int]:
    """The code points whose category is not that of the one before."""
    runs = itertools.groupby(range(END), lambda code: unicodedata.category(chr(code)))
    return frozenset(next(codes) for _, codes in runs)
