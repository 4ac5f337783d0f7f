"""Regular expressions of tokenizers, judged before they are run: whether one can take more than n² steps for n letters.

Tokenizers search with a machine that tries again (backtracks): where a text goes through a pattern in several ways and
then fails, all of them are tried. So a pattern is turned into an automaton of its letters (Glushkov's), without those
after which it has matched already, and refused where one text can go two ways around a loop (exponentially many ways)
or through two loops one after another (n ways), as in Weber and Seidl, "On the degree of ambiguity of finite automata",
https://doi.org/10.1016/0304-3975(91)90381-B.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from .pattern_letters import share
from .pattern_syntax import Assertion, Choice, Letter, Part, Reader, Repeat, Row, UnreadableError, may_match_nothing

MOST_LETTERS = 1024
"""Letters of the automaton; those of patterns in use have about a hundred."""
MOST_WAYS = 4096
"""In how many ways a text can go through the parts of a pattern that are no loops."""
MANY, FEW = 64, 8
"""Letters up to which a repeat of a fixed number is written out, and a number up to which one of several numbers is."""
MOST_STEPS = 200_000
"""Of the search for ways through loops."""


def why_slow(pattern: str) -> str | None:
    """Why a pattern may take for ever, or cannot be judged; None if it cannot."""
    try:
        reader = Reader(pattern)
        _Automaton(reader.read(), reader).check()
    except (UnreadableError, _SlowError) as error:
        return str(error)
    except RecursionError:
        return "its groups are nested too deep"
    return None


def may_be_empty(pattern: str) -> bool:
    """Whether a pattern that `why_slow` passes may match nothing at all."""
    return may_match_nothing(Reader(pattern).read())


class _SlowError(Exception):
    """Why a pattern is refused."""


class _Piece(NamedTuple):
    """A part of a pattern as a piece of the automaton.

    Attributes:
        first: the letters it may begin with, and in how many ways.
        last: the letters it may end with, and in how many ways.
        done: those of them after which nothing of it can fail any more.
        empty: in how many ways it may match nothing.
        free: whether it may match nothing without looking around.
    """

    first: Counter[int]
    last: Counter[int]
    done: frozenset[int]
    empty: int
    free: bool


NOTHING = _Piece(Counter(), Counter(), frozenset(), 1, True)
LOOKING = NOTHING._replace(free=False)


class _Automaton:
    """The letters of a pattern, and which may follow which in how many ways."""

    def __init__(self, part: Part, reader: Reader) -> None:
        self.signs: list[str] = []
        self.next: list[Counter[int]] = []
        self.any_case, self.steps = reader.any_case, 0
        whole = self._piece(part)
        self.failing = set(range(len(self.signs))) - whole.done
        self.first = whole.first

    def check(self) -> None:
        """Raises `_SlowError` where a text can go through it in too many ways before it fails."""
        loops = list(self._loops())
        for loop in loops:
            if any(ways > 1 for letter in loop for follower, ways in self.next[letter].items() if follower in loop):
                raise _SlowError("it repeats what has several ways to match one text")
            self._check_loop(loop)
        for loop in loops:
            for other in loops:
                if loop is not other and self._both_match(loop, other):
                    raise _SlowError("several of its repeats without an end can match one text")
        if self._most_ways() > MOST_WAYS:
            raise _SlowError(f"it has more than {MOST_WAYS:,} ways to match one text")

    def _piece(self, part: Part) -> _Piece:
        match part:
            case Letter(sign):
                if len(self.signs) == MOST_LETTERS:
                    raise _SlowError(f"it counts further than {MOST_LETTERS:,} letters")
                self.signs.append(sign)
                self.next.append(Counter())
                one = Counter([len(self.signs) - 1])
                return _Piece(one, one, frozenset(one), 0, False)
            case Assertion(looked_for):
                return LOOKING if looked_for is None else self._looking(looked_for)
            case Row(parts):
                return functools.reduce(self._then, map(self._piece, parts), NOTHING)
            case Choice(parts):
                return functools.reduce(_either, map(self._piece, parts))
            case Repeat():
                return self._repeat(part)

    def _looking(self, part: Part) -> _Piece:
        """A way that goes no further."""
        return LOOKING._replace(first=self._piece(part).first)

    def _then(self, before: _Piece, after: _Piece) -> _Piece:
        self._join(before.last, after.first)
        return _Piece(
            before.first + _times(after.first, before.empty),
            after.last + _times(before.last, after.empty),
            after.done | (before.done if after.free else frozenset()),
            before.empty * after.empty,
            before.free and after.free,
        )

    def _repeat(self, repeat: Repeat) -> _Piece:
        inner, least, most = repeat
        if most in (0, 1):
            piece = NOTHING if most == 0 else self._piece(inner)
            return _either(piece, NOTHING) if least == 0 else piece
        size, times = _fixed_size(inner), least if most is None else most
        if size and size * times <= MANY and times and (most in (None, least) or most <= FEW):
            rest: Part = Repeat(inner, 0, None) if most is None else Row(())
            for _ in range((most or least) - least):
                rest = Repeat(Row((inner, rest)), 0, 1)
            return self._piece(Row((*[inner] * least, rest)))
        counted = least > 1 or most is not None
        if counted and may_match_nothing(inner):
            raise _SlowError("it counts what may match nothing")
        piece = self._piece(inner)
        self._join(piece.last, piece.first)
        again = 1 + piece.empty
        piece = _Piece(
            _times(piece.first, again), _times(piece.last, again), piece.done, piece.empty * again, piece.free
        )
        if counted:  # judged as if without an end, which has all of its ways
            piece = self._then(piece, LOOKING)
        return _either(piece, NOTHING) if least == 0 else piece

    def _join(self, last: Counter[int], first: Counter[int]) -> None:
        for letter, ways in last.items():
            for follower, others in first.items():
                self.next[letter][follower] += ways * others

    def _share(self, one: int, other: int) -> bool:
        return self._share_signs(self.signs[one], self.signs[other])

    def _share_signs(self, one: str, other: str) -> bool:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise _SlowError("it has too many choices and repeats to be judged")
        return one == other or _shared(one, other, self.any_case)

    def _after(self, letter: int) -> list[int]:
        return [follower for follower in self.next[letter] if follower in self.failing]

    @functools.cached_property
    def _reach(self) -> dict[int, set[int]]:
        """From each failing letter, those that can come later."""
        found: dict[int, set[int]] = {}
        for letter in self.failing:
            found[letter], left = set(), self._after(letter)
            while left:
                if (one := left.pop()) not in found[letter]:
                    found[letter].add(one)
                    left += self._after(one)
        return found

    def _loops(self) -> Iterator[frozenset[int]]:
        """Sets of letters each of which can come again after each."""
        left = set(self.failing)
        for letter in sorted(self.failing):
            if letter in left and letter in self._reach[letter]:
                loop = frozenset(one for one in self._reach[letter] if letter in self._reach[one])
                left -= loop
                yield loop

    def _check_loop(self, loop: frozenset[int]) -> None:
        """Refuses a loop that one text can go around in two ways: they part at one letter and meet at one again."""
        pairs = [(letter, letter) for letter in loop]
        before: dict[tuple[int, int], set[tuple[int, int]]] = {}
        while pairs:
            pair = pairs.pop()
            for one in self._after(pair[0]):
                for other in self._after(pair[1]):
                    if one in loop and other in loop and self._share(one, other):
                        if (one, other) not in before and one != other:
                            pairs.append((one, other))
                        before.setdefault((one, other), set()).add(pair)
        if any(one != other for letter in loop for one, other in before.get((letter, letter), ())):
            raise _SlowError("it repeats what has several ways to match one text")

    def _both_match(self, loop: frozenset[int], later: frozenset[int]) -> bool:
        """Whether one text goes around a loop, from it to a later one, and around that."""
        return any(
            second in self._reach[first] and self._meet(first, second, loop, later)
            for first in loop
            for second in later
        )

    def _meet(self, first: int, second: int, loop: frozenset[int], later: frozenset[int]) -> bool:
        left, seen = [(first, first, second)], set()
        while left:
            here = left.pop()
            for between in self._after(here[1]):
                if between != second and second not in self._reach[between]:
                    continue
                for staying in (one for one in self._after(here[0]) if one in loop and self._share(one, between)):
                    for ahead in (one for one in self._after(here[2]) if one in later and self._share(one, between)):
                        there = (staying, between, ahead)
                        if there == (first, second, second):
                            return True
                        if there not in seen and self._share(staying, ahead):
                            seen.add(there)
                            left.append(there)
        return False

    def _most_ways(self) -> int:
        """In how many ways, at most, one text goes through the failing letters, loops aside."""
        known: dict[int, int] = {}
        # whatever comes later, outside of a loop, reaches less; but a loop as much as what leads into it alone
        for letter in sorted(self.failing, key=lambda one: (len(self._reach[one]), one not in self._reach[one])):
            if letter not in known:
                around = {one for one in self._reach[letter] if letter in self._reach[one]} | {letter}
                known.update(dict.fromkeys(around, 1))
                most = max(self._ways_on(self.next[one], around, known) for one in around)
                known.update(dict.fromkeys(around, most))
        return max(self._ways_on(letters, set(), known) for letters in (self.first, *self.next))

    def _ways_on(self, letters: Counter[int], loop: set[int], known: dict[int, int]) -> int:
        here = [one for one in letters if one in self.failing]
        by_sign: Counter[str] = Counter()
        for one in here:
            by_sign[self.signs[one]] += letters[one]
        alike = (sum(by_sign[two] for two in by_sign if self._share_signs(one, two)) for one in by_sign)
        return max(alike, default=1) * max((known[one] for one in here if one not in loop), default=1)


_shared = functools.lru_cache(maxsize=4096)(share)


def _times(letters: Counter[int], ways: int) -> Counter[int]:
    return Counter({letter: count * ways for letter, count in letters.items()} if ways else {})


def _either(one: _Piece, other: _Piece) -> _Piece:
    return _Piece(
        one.first + other.first,
        one.last + other.last,
        one.done | other.done,
        one.empty + other.empty,
        one.free or other.free,
    )


def _fixed_size(part: Part) -> int | None:
    """How many letters a part without choices has; None of others."""
    match part:
        case Letter():
            return 1
        case Row(parts):
            sizes = [_fixed_size(one) for one in parts]
            return None if None in sizes else sum(size or 0 for size in sizes)
    return None
