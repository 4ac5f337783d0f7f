"""Regular expressions of tokenizers, judged before they are run: whether one can take more than n² steps for n letters.

Tokenizers search with a machine that tries again (backtracks). The patterns that people use have neither repeats within
repeats nor several repeats before something that must follow; those that take for ever have.
"""

import re
from typing import NamedTuple

LONGEST = 4096
"""Letters of a pattern; the longest in use has about 600."""
MOST_TIMES = 4096
"""The product of counts that stand around one another, as in `(a{9}){9}`."""
MOST_WAYS = 4096
"""In how many ways the choices of one sequence can go."""
MANY = 64
"""A count from which a repeat is as good as one without an end."""
COUNT = re.compile(r"\{(\d*)(,?)(\d*)\}")
GROUP = re.compile(r"\(\?(?::|=|!|>|<=|<!|[imsxaDSWPu-]*:|<[A-Za-z_]\w*>)")
FLAGS = re.compile(r"\(\?[imsxaDSWPu-]+\)")
CALLS = re.compile(r"\\[1-9kg]")
ESCAPE = re.compile(r"\\(?:[pP]\{[^}]*\}|x\{[^}]*\}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)


class _Part(NamedTuple):
    """What is known of a part of a pattern.

    Attributes:
        varies: whether it has choices, or repeats of no fixed number.
        repeats: how many of its repeats in a row have no end.
        empty: whether it may match nothing.
        times: the product of its counts.
        ways: in how many ways its choices can go, repeats without an end aside.
        looks: whether it looks ahead or behind, and so may fail without taking a letter.
    """

    varies: bool = False
    repeats: int = 0
    empty: bool = False
    times: int = 1
    ways: int = 1
    looks: bool = False


def why_slow(pattern: str) -> str | None:
    """Why a pattern may take for ever, or cannot be judged; None if it cannot."""
    if len(pattern) > LONGEST:
        return f"it has {len(pattern):,} letters, and such patterns have at most {LONGEST:,}"
    try:
        _Reader(pattern).read()
    except _SlowError as error:
        return str(error)
    except RecursionError:
        return "its groups are nested too deep"
    return None


def may_be_empty(pattern: str) -> bool:
    """Whether a pattern that `why_slow` passes may match nothing at all."""
    return _Reader(pattern).read().empty


class _SlowError(Exception):
    """Why a pattern is refused."""


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0

    def read(self) -> _Part:
        part = self._choices()
        if self.at < len(self.pattern):
            raise _SlowError("its brackets do not match")
        return part

    def _choices(self) -> _Part:
        branches = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            branches.append(self._sequence())
        return _Part(
            len(branches) > 1 or any(branch.varies for branch in branches),
            max(branch.repeats for branch in branches),
            any(branch.empty for branch in branches),
            max(branch.times for branch in branches),
            sum(branch.ways for branch in branches),
        )

    def _sequence(self) -> _Part:
        varies, repeats, empty, times, ways = False, 0, True, 1, 1
        while self._peek() not in ("", "|", ")"):
            part = self._repeated(self._atom())
            if repeats > 1 and (part.looks or not part.empty):
                raise _SlowError("something must follow several repeats without an end")
            varies, repeats, empty = varies or part.varies, repeats + part.repeats, empty and part.empty
            times, ways = max(times, part.times), ways * part.ways
            if ways > MOST_WAYS:
                raise _SlowError(f"it has more than {MOST_WAYS:,} choices in a row")
        return _Part(varies, repeats, empty, times, ways)

    def _atom(self) -> _Part:
        sign = self._peek()
        if sign == "(":
            if found := FLAGS.match(self.pattern, self.at):
                self.at = found.end()
                return _Part(empty=True)
            if self.pattern.startswith("(?", self.at):
                found = GROUP.match(self.pattern, self.at)
                if found is None:
                    raise _SlowError("it has a group of an unusual kind")
                self.at = found.end()
                looks = found[0][2:] in ("=", "!", "<=", "<!")
            else:
                self.at, looks = self.at + 1, False
            part = self._choices()
            if self._peek() != ")":
                raise _SlowError("its brackets do not match")
            self.at += 1
            return part._replace(repeats=0, empty=True, looks=True) if looks else part
        if sign == "[":
            self._class()
        elif sign == "\\":
            if CALLS.match(self.pattern, self.at):
                raise _SlowError("it refers to a group of its own")
            found = ESCAPE.match(self.pattern, self.at)
            if found is None:
                raise _SlowError("it ends within a sign")
            self.at = found.end()
        else:
            self.at += 1
        return _Part()

    def _class(self) -> None:
        """Passes over `[...]`, which may hold others."""
        depth, first = 0, True
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
                return
        raise _SlowError("its brackets do not match")

    def _repeated(self, part: _Part) -> _Part:
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
            if self._peek() in ("?", "+") and sign != "{":  # lazy or greedy for good
                self.at += 1
            if most is None or most > 1:
                if part.varies:
                    raise _SlowError("it repeats what has repeats or choices of its own")
                part = part._replace(times=part.times * max(least, most or 1))
            if part.times > MOST_TIMES:
                raise _SlowError(f"it counts further than {MOST_TIMES:,}")
            endless = most is None or most > MANY
            ways = part.ways if most is None or endless else part.ways + most - least
            part = part._replace(
                varies=part.varies or most != least,
                repeats=part.repeats + endless,
                empty=part.empty or least == 0,
                ways=ways,
            )

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]
