"""Regular expressions of tokenizers, judged before they are run: whether one can take more than n² steps for n letters.

Tokenizers search with a machine that tries again (backtracks): where a text goes through a pattern in several ways and
then fails, all of them are tried. So a pattern is turned into an automaton of its letters (Glushkov's), without those
after which it has matched already, and refused where one text can go two ways around a loop (exponentially many ways)
or through two loops one after another (n ways), as in Weber and Seidl, "On the degree of ambiguity of finite automata",
https://doi.org/10.1016/0304-3975(91)90381-B.
"""

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .pattern_letters import Alphabet
from .pattern_syntax import Assertion, Choice, Letter, Part, Reader, Repeat, Row, UnreadableError, may_match_nothing

MOST_LETTERS = 1024
"""Letters of the automaton; those of patterns in use have about a hundred."""
MOST_WAYS = 4096
"""In how many ways a text can go through the parts of a pattern that are no loops."""
TOO_MANY_WAYS = f"it has more than {MOST_WAYS:,} ways to match one text"
MANY, FEW = 64, 8
"""Letters up to which a repeat of a fixed number is written out, and a number up to which one of several numbers is."""
MOST_STEPS = 2_000_000
"""The most steps, of a microsecond or two, that judge all patterns of a tokenizer; those in use take a few thousand."""
STEPS_OF_PATTERN, STEPS_OF_SIGN = 1024, 64
"""Steps that it takes to distinguish the letters of a pattern, and those of one of its signs."""


class Budget:
    """The steps that are left for judging the patterns of one tokenizer, however many there are."""

    def __init__(self) -> None:
        self.left = MOST_STEPS

    def spend(self, steps: int = 1) -> None:
        """Takes steps away.

        Raises:
            UnreadableError: there are none left.
        """
        self.left -= steps
        if self.left < 0:
            raise UnreadableError("there are too many choices and repeats to be judged")


def why_slow(pattern: str, budget: Budget | None = None) -> str | None:
    """Why a pattern may take for ever, or cannot be judged; None if it cannot.

    Args:
        pattern: a regular expression.
        budget: of the tokenizer that it belongs to; by default it has one to itself.
    """
    try:
        reader = Reader(pattern)
        _Automaton(reader.read(), reader, budget or Budget()).check()
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
    """The letters of a pattern, and which may follow which in how many ways.

    A set of letters is an integer with a bit for each.
    """

    def __init__(self, part: Part, reader: Reader, budget: Budget) -> None:
        self.signs: list[str] = []
        self.next: list[Counter[int]] = []
        self.spend = budget.spend
        self.spend(STEPS_OF_PATTERN + len(reader.pattern))
        whole = self._piece(part)
        self.first = whole.first
        self.failing = _set(set(range(len(self.signs))) - whole.done)
        self.after = [_set(followers) & self.failing for followers in self.next]
        self.sharing = self._sharing(reader.any_case)
        self.reach = self._reach()
        self.loops = self._loops()

    def check(self) -> None:
        """Raises `_SlowError` where a text can go through it in too many ways before it fails."""
        for loop in set(self.loops.values()):
            self._check_loop(loop)
        for first, loop in self.loops.items():
            for second in self._each(self.reach[first] & self.sharing[first] & ~loop):
                if second in self.loops and self._both_match(first, second):
                    raise _SlowError("several of its repeats without an end can match one text")
        if self._most_ways() > MOST_WAYS:
            raise _SlowError(TOO_MANY_WAYS)

    def _each(self, letters: int) -> Iterator[int]:
        """The letters of a set, each of which is a step."""
        while letters:
            self.spend()
            lowest = letters & -letters
            yield lowest.bit_length() - 1
            letters ^= lowest

    def _piece(self, part: Part) -> _Piece:
        self.spend(16)  # it takes as long as some of them
        piece = self._built(part)
        if piece.empty > MOST_WAYS:
            raise _SlowError(TOO_MANY_WAYS)
        return piece

    def _built(self, part: Part) -> _Piece:
        match part:
            case Letter(sign):
                if len(self.signs) == MOST_LETTERS:
                    raise _SlowError(f"it has more than {MOST_LETTERS:,} letters")
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
        self.spend(len(last) * len(first))
        for letter, ways in last.items():
            for follower, others in first.items():
                self.next[letter][follower] += ways * others

    def _sharing(self, any_case: bool) -> list[int]:
        """For each letter, those that a text may have in its place."""
        places: defaultdict[str, int] = defaultdict(int)
        for letter, sign in enumerate(self.signs):
            places[sign] |= 1 << letter
        self.spend(STEPS_OF_SIGN * len(places) + len(places) ** 2 // 2)
        alphabet = Alphabet(places, any_case)
        may = {sign: alphabet.possible(sign).may for sign in places}
        # a sign shares with itself, though nothing is known that it matches
        found = dict(places)
        for one, other in itertools.combinations(places, 2):
            if may[one] & may[other]:
                found[one] |= places[other]
                found[other] |= places[one]
        return [found[sign] for sign in self.signs]

    def _reach(self) -> list[int]:
        """From each letter, the failing ones that can come later."""
        found = list(self.after)
        self.spend(len(found) ** 2 // 8)
        for between in range(len(found)):
            for letter, later in enumerate(found):
                if later >> between & 1:
                    found[letter] |= found[between]
        return found

    def _loops(self) -> dict[int, int]:
        """For each letter at which a match can fail and that can come again, the letters that can come between."""
        found: dict[int, int] = {}
        for letter in self._each(self.failing):
            if letter not in found and self.reach[letter] >> letter & 1:
                loop = _set(one for one in self._each(self.reach[letter]) if self.reach[one] >> letter & 1)
                found.update(dict.fromkeys(self._each(loop), loop))
        return found

    def _check_loop(self, loop: int) -> None:
        """Refuses a loop that one text can go around in two ways: they part at one letter and meet at one again."""
        after = {letter: self.after[letter] & loop for letter in self._each(loop)}
        twice = any(self.next[letter][follower] > 1 for letter in after for follower in self._each(after[letter]))
        left = [pair for letters in set(after.values()) for pair in self._parting(letters, letters)]
        seen = set()
        while left and not twice:
            if (pair := left.pop()) not in seen:
                seen.add(pair)
                one, other = after[pair[0]], after[pair[1]]
                twice = one & other != 0
                left += self._parting(one, other)
        if twice:
            raise _SlowError("it repeats what has several ways to match one text")

    def _parting(self, some: int, others: int) -> Iterator[tuple[int, int]]:
        """Two letters, one of each set, between which one text can go either way."""
        for one in self._each(some):
            for other in self._each(others & self.sharing[one] & ~(1 << one)):
                yield min(one, other), max(one, other)

    def _both_match(self, first: int, second: int) -> bool:
        """Whether one text goes around the loop of one letter, from it to a later one, and around the loop of that."""
        left, seen = [(first, first, second)], set()
        while left:
            here = left.pop()
            around, later = (self.after[one] & self.loops[one] for one in (here[0], here[2]))
            for between in self._each(self.after[here[1]]):
                if between != second and not self.reach[between] >> second & 1:
                    continue
                for staying in self._each(around & self.sharing[between]):
                    for ahead in self._each(later & self.sharing[between] & self.sharing[staying]):
                        there = (staying, between, ahead)
                        if there == (first, second, second):
                            return True
                        if there not in seen:
                            seen.add(there)
                            left.append(there)
        return False

    def _most_ways(self) -> int:
        """In how many ways, at most, one text goes through the failing letters, loops aside."""
        known: dict[int, int] = {}
        # whatever comes later, outside of a loop, reaches less; but a loop as much as what leads into it alone
        for letter in sorted(
            self._each(self.failing), key=lambda one: (self.reach[one].bit_count(), one not in self.loops)
        ):
            if letter not in known:
                loop = self.loops.get(letter, 0)
                around = list(self._each(loop)) or [letter]
                most = max(self._ways_on(self.next[one], loop, known) for one in around)
                known.update(dict.fromkeys(around, most))
        return max(self._ways_on(letters, 0, known) for letters in (self.first, *self.next))

    def _ways_on(self, letters: Counter[int], loop: int, known: dict[int, int]) -> int:
        here = _set(letters) & self.failing
        alike = (sum(letters[two] for two in self._each(here & self.sharing[one])) for one in self._each(here))
        return max(alike, default=1) * max((known[one] for one in self._each(here & ~loop)), default=1)


def _set(letters: Iterable[int]) -> int:
    return sum(1 << letter for letter in letters)


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
