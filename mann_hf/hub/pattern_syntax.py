"""Regular expressions of tokenizers, read into the parts that they are made of."""

import re
from typing import NamedTuple

LONGEST = 4096
"""Letters of a pattern; the longest in use has about 600."""
COUNT = re.compile(r"\{(\d*)(,?)(\d*)\}")
GROUP = re.compile(r"\(\?(?::|=|!|>|<=|<!|[imsaDSWPu-]*:|<([A-Za-z_]\w*)>)")
FLAGS = re.compile(r"\(\?[imsaDSWPu-]+\)")
EARLIER = re.compile(r"\\(?:([1-9]\d?)|k<([A-Za-z_]\w*)>)")
CALLS = re.compile(r"\\[kgXRKcCM0yY]")
ESCAPE = re.compile(r"\\(?:[pP]\{[^}]*\}|x\{[^}]*\}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
ASSERTIONS = ("^", "$", r"\b", r"\B", r"\A", r"\Z", r"\z", r"\G")


class UnreadableError(Exception):
    """Why a pattern is not read."""


class Letter(NamedTuple):
    """One letter: a sign that stands for some."""

    sign: str


class Assertion(NamedTuple):
    """Takes no letter, and may fail.

    Attributes:
        part: what is looked for ahead or behind; None of a boundary.
    """

    part: "Part | None" = None


class Row(NamedTuple):
    """Parts one after another."""

    parts: tuple["Part", ...]


class Choice(NamedTuple):
    """One of several parts."""

    parts: tuple["Part", ...]


class Repeat(NamedTuple):
    """A part several times.

    Attributes:
        part: what is repeated.
        least: how often at least.
        most: how often at most; None for no end.
    """

    part: "Part"
    least: int
    most: int | None


Part = Letter | Assertion | Row | Choice | Repeat


class Reader:
    """Reads one pattern.

    Attributes:
        any_case: whether case does not matter in some part of it.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > LONGEST:
            raise UnreadableError(f"it has {len(pattern):,} letters, and such patterns have at most {LONGEST:,}")
        self.pattern, self.at, self.any_case = pattern, 0, False
        self.groups: dict[str, Part] = {}
        self.opened = 0

    def read(self) -> Part:
        """The whole pattern.

        Raises:
            UnreadableError: it is none, or has parts that cannot be judged.
        """
        part = self._choices()
        if self.at < len(self.pattern):
            raise UnreadableError("its brackets do not match")
        return part

    def _choices(self) -> Part:
        branches = [self._row()]
        while self._peek() == "|":
            self.at += 1
            branches.append(self._row())
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _row(self) -> Part:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._single()))
        return Row(tuple(parts))

    def _single(self) -> Part:
        sign = self._peek()
        if sign == "(":
            return self._group()
        if sign == "[":
            return Letter(self._class())
        if sign == "\\":
            sign = self._escape()
            if earlier := EARLIER.fullmatch(sign):
                return self._earlier(earlier[1] or earlier[2])
        else:
            self.at += 1
        return Assertion() if sign in ASSERTIONS else Letter(sign)

    def _group(self) -> Part:
        if found := FLAGS.match(self.pattern, self.at):
            self.at, self.any_case = found.end(), self.any_case or "i" in found[0]
            return Row(())
        opening, name, start = "(", None, self.at
        if self.pattern.startswith("(?", self.at):
            found = GROUP.match(self.pattern, self.at)
            if found is None:
                raise UnreadableError("it has a group of an unusual kind")
            opening, name = found[0], found[1]
        self.at += len(opening)
        if opening.endswith(":") and "i" in opening:
            self.any_case = True
        if opening == "(":
            self.opened += 1
            name = str(self.opened)
        part = self._choices()
        if self._peek() != ")":
            raise UnreadableError("its brackets do not match")
        self.at += 1
        if opening[2:] in ("=", "!", "<=", "<!"):
            return Assertion(part)
        if name is not None and not EARLIER.search(self.pattern, start, self.at):
            self.groups[name] = part
        return part

    def _earlier(self, name: str) -> Part:
        """What a group has matched before, which is a way that the group can match."""
        numbered = [each for each in self.groups if each.isdigit()]
        if name not in self.groups or len(numbered) not in (0, len(self.groups)):
            raise UnreadableError("it refers to a group that is not there, or that refers to another")
        return self.groups[name]

    def _escape(self) -> str:
        if (found := EARLIER.match(self.pattern, self.at)) is None and CALLS.match(self.pattern, self.at):
            raise UnreadableError("it refers to a group of its own, or has an unusual escape")
        found = found or ESCAPE.match(self.pattern, self.at)
        if found is None:
            raise UnreadableError("it ends within a sign")
        self.at = found.end()
        return found[0]

    def _class(self) -> str:
        """The text of `[...]`, which may hold others."""
        start, depth, first = self.at, 0, True
        while self.at < len(self.pattern):
            sign = self.pattern[self.at]
            if sign == "\\":
                self.at += 1
            elif sign == "[":
                depth += 1
                first = True
                self.at += 1
                if self._peek() == "^":
                    self.at += 1
                continue
            elif sign == "]" and not first:
                depth -= 1
            first = False
            self.at += 1
            if depth == 0:
                return self.pattern[start : self.at]
        raise UnreadableError("its brackets do not match")

    def _repeated(self, part: Part) -> Part:
        while True:
            sign = self._peek()
            if sign in ("*", "+", "?") and sign:
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
                self.at += 1
            elif (found := COUNT.match(self.pattern, self.at)) and (found[1] or found[3]):
                least = int(found[1] or 0)
                most = least if not found[2] else int(found[3]) if found[3] else None
                self.at = found.end()
            else:
                return part
            if self._peek() == "?" or (self._peek() == "+" and sign != "{"):  # lazy, or greedy for good
                least = 0 if sign == "{" and most == least else least  # of `{2}?`
                self.at += 1
            part = Repeat(part, least, most) if most is None or least <= most else Repeat(part, most, least)

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]


def may_match_nothing(part: Part) -> bool:
    """Whether a part may match no letter at all."""
    match part:
        case Letter():
            return False
        case Assertion():
            return True
        case Row(parts):
            return all(map(may_match_nothing, parts))
        case Choice(parts):
            return any(map(may_match_nothing, parts))
        case Repeat(inner, least, _):
            return least == 0 or may_match_nothing(inner)
