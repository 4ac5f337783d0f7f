"""Finds the columns of a table that hold the texts or images and the labels."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...errors import InvalidInputError
from ...wording import counted, listed, shown
from ..modalities import MODALITIES, SOURCE, TEXT, kind_of_inputs
from ..options import TableOptions
from ..output import say

LABEL = "label"
LABELS = (
    *("label", "labels", "intent", "intents", "category", "categories", "class", "classes", "target", "topic"),
    *("tag", "tags", "sentiment", "emotion", "label_text", "label_name"),
    *("kategorie", "klasse", "absicht", "thema"),
    *("étiquette", "catégorie", "classe", "intention", "etiqueta", "categoría", "clase", "intención", "tema"),
)
"""Usual names of a column of labels in English, German, French and Spanish; the first one is preferred."""
TARGET = "target"
TARGETS = (
    *("target", "targets", "tgt", "target_text", "translation", "summary", "highlights", "actions", "action"),
    *("output", "answer", "query", "sql", "human_reference", "ref", "reference", "completion", "response"),
    *("ziel", "zieltext", "übersetzung", "antwort", "traduction", "résumé", "traducción", "resumen", "respuesta"),
)
"""Usual names of a column of targets, what is to be generated for a source; the first one is preferred."""
WORDS = ("label_text", "label_name")
"""Names of columns that spell out the numbers in `label`; `label` is taken if both are there."""
NAME = re.compile(r"\s*[\w.-]{1,40}\s*")
"""A cell that may be the name of a column: a single word."""
ABOVE = 20
"""Number of rows in which a header is looked for."""


class Form(NamedTuple):
    """How a csv file is written, so that answers can be written in the same way.

    Attributes:
        delimiter: None for the usual one of its ending.
        mark: whether it begins with a byte order mark or is not UTF-8.
    """

    delimiter: str | None
    mark: bool


class Columns:
    """Finds the columns of texts or images and of labels, by the names that were given or by usual ones.

    Each guess is printed once. One object serves all files of a folder.

    Args:
        options: how to read the table; the names of columns are taken from it.
        inputs: what the inputs may be, names of `MODALITIES`; the first of them that has a column is taken.
        labels: whether the column of labels is wanted, too.
        answer: what goes with an input: `LABEL`, or for pairs `TARGET`.
        others: whether all other columns are wanted after these. Set to False if the files of a folder differ in them.

    Attributes:
        found: the table's names of the columns, set by `find`.
        input_place: how many other columns come before that of the inputs.
        form: delimiter and mark of the first csv file that was read.
    """

    def __init__(
        self,
        options: TableOptions,
        inputs: Sequence[str] = (TEXT,),
        labels: bool = True,
        others: bool = False,
        answer: str = LABEL,
    ) -> None:
        self.asked = {kind: getattr(options, _field(kind), None) for kind in (*MODALITIES, SOURCE, LABEL, TARGET)}
        named = [one for one in (*MODALITIES, SOURCE) if self.asked[one]]
        if len(named) > 1 or not {*named} <= {*inputs}:
            option, only = f"--{named[-1]}-column", inputs[0] if len(named) == 1 else named[0]
            raise InvalidInputError(f"{option} is of {named[-1]}s, and the inputs are {only}s (--{only}-column).")
        other = TARGET if answer == LABEL else LABEL
        if labels and self.asked[other]:
            raise InvalidInputError(
                f"{option_of(other)} is of {other}s, and with {inputs[0]}s go {answer}s ({option_of(answer)})."
            )
        self.inputs = tuple(named or inputs)
        self.labels, self.answer = labels, answer
        self.others = others
        self.header = not options.no_header
        self.found: tuple[str, ...] = ()
        self.input_place = 0
        self.form: Form | None = None
        self._said: set[str] = set()
        self._rest: list[str] | None = None

    @property
    def input(self) -> str:
        """What the inputs are, or are taken for as long as that is open."""
        return self.inputs[0]

    def settle(self, kind: str) -> None:
        """Says what the inputs are."""
        self.inputs = (kind,)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of columns that are wanted."""
        return (self.input, self.answer) if self.labels else (self.input,)

    def find(self, source: str, there: Sequence[str], cure: str = "", *, named: bool = False) -> tuple[int, ...]:
        """The positions of the columns of texts, labels (several with `--label-column a,b`) and, if wanted, all others.

        Args:
            source: name of the table in messages.
            there: the names of all columns.
            cure: what else may help, for the end of an error.
            named: whether columns always have names, as in JSON and parquet, also with `--no-header`.

        Raises:
            InvalidInputError: a column is missing, or several columns could be meant.
        """
        by_name = self.header or named
        if by_name:
            self._settle_by(source, there, cure)
            positions = [place for kind in self.kinds for place in self._find(source, kind, there, cure)]
        else:
            positions = self._by_number(source, there)
        self.found = tuple(there[place] for place in positions)
        if len(set(positions)) < len(positions):
            raise InvalidInputError(
                f"{source!r}: {self.input}s and {self.answer}s are to come from one column, {self.found[0]!r}."
            )
        if by_name:
            self._say_guessed(source, there, positions)
        elif len(there) > 1:
            places = {kind: ", ".join(self.found[1:] if kind == self.answer else self.found[:1]) for kind in self.kinds}
            taken = " and ".join(f"{kind}s from column {place}" for kind, place in places.items())
            self.say(f"{source}: has no header, reads {taken}.")
        return (*positions, *self._others(source, there, positions))

    def _settle_by(self, source: str, there: Sequence[str], cure: str) -> None:
        """Says what the inputs are by the first of them that has a column.

        Raises:
            InvalidInputError: they may be of several kinds, and none has a column.
        """
        kind = next((kind for kind in self.inputs if self._places(kind, there)), None)
        if kind is None and len(self.inputs) > 1:
            names = " or ".join(repr(usual_names(kind)[0]) for kind in self.inputs)
            choices = " or ".join(filter(None, map(option_of, self.inputs)))
            raise InvalidInputError(
                f"{source!r} has no column {names} nor another usual name; it has {_named(there)}: choose with "
                f"{choices}{cure}."
            )
        self.settle(kind or self.input)

    @property
    def one_a_label(self) -> bool:
        """Whether each label has a column of its own, with zeros and ones."""
        return self.labels and len(self.found) > 2

    def match(self, there: Sequence[str]) -> bool:
        """Whether all columns that are wanted are among these names."""
        wanted = (self.answer,) if self.labels else ()
        return self.have_inputs(there) and all(
            self._places(kind, there) or self._one_each(kind, there) for kind in wanted
        )

    def have_inputs(self, there: Sequence[str]) -> bool:
        """Whether a column of inputs is among these names."""
        return any(self._places(kind, there) for kind in self.inputs)

    def header_in(self, rows: Iterable[Sequence[str]]) -> int | None:
        """The position of the header among the first rows, which may begin with a title; None if none has the columns.

        Below the first row, a header also needs more cells than all rows above, or usual names of inputs and of labels.
        """
        most = 0
        for place, cells in enumerate(rows):
            filled = sum(bool(cell.strip()) for cell in cells)
            if self.match(cells) and (place == 0 or filled > most or self._has_both(cells)):
                return place
            most = max(most, filled)
            if place >= ABOVE:
                break
        return None

    def are_header(self, rows: Sequence[Sequence[str]]) -> bool:
        """Whether the first of these rows is a header, and not a text.

        It is one if it has the preferred name of inputs, or usual names of inputs and of labels, or if all its cells
        are single words with a usual name of inputs among them and the next row has as many cells.
        """
        if not rows:
            return False
        there = rows[0]
        if self._has_surely(there):
            return True
        even = len(rows) > 1 and len(rows[1]) == len(there)
        return even and all(map(NAME.fullmatch, there)) and self.have_inputs(there)

    def check_no_header(self, source: str, cells: Sequence[str]) -> None:
        """Refuses a table with `--no-header` whose first row has usual names in all columns that were found."""
        if all(_plain(cell) in usual_names(kind) for kind, cell in zip(self.kinds, cells, strict=False)):
            raise InvalidInputError(
                f"{source}: the first row, {_named(cells)}, looks like a header: leave out --no-header, or "
                "put a header above it if it is an example."
            )

    def say(self, message: str) -> None:
        """Prints a message, if it was not printed before."""
        if message not in self._said:
            self._said.add(message)
            say(message)

    def _say_guessed(self, source: str, there: Sequence[str], positions: Sequence[int]) -> None:
        """Says which columns were taken unasked, and which others with usual names were passed over."""
        guessed = [
            f"{kind}s from the column {there[place]!r}{_hint(kind)}"
            for kind, place in zip(self.kinds, positions, strict=False)
            if there[place] != (self.asked[kind] or usual_names(kind)[0]) and not (kind == LABEL and self.one_a_label)
        ]
        if guessed:
            self.say(f"{source}: reads {' and '.join(guessed)}.")
        for kind, place in zip(self.kinds, positions, strict=False):
            others = [each for each in there if _plain(each) in usual_names(kind) and each != there[place]]
            if others and not self.asked[kind]:
                self.say(f"{source}: reads {kind}s from {there[place]!r} and not from {_named(others)}{_hint(kind)}.")

    def _others(self, source: str, there: Sequence[str], positions: Sequence[int]) -> list[int]:
        """The positions of all other columns, in the order in which the first file has them."""
        if not self.others:
            return []
        names = numbered(there)
        rest = {name: place for place, name in enumerate(names) if place not in positions}
        if self._rest is None:
            self._rest = list(rest)
            self.input_place = positions[0]
        if set(rest) != set(self._rest):
            self.say(f"{source}: its files differ in their columns, of which only the {self.input}s are kept.")
            self.others = False
            self.input_place = 0
            return []
        self.found = (*self.found, *self._rest)
        return [rest[name] for name in self._rest]

    def _by_number(self, source: str, there: Sequence[str]) -> list[int]:
        """The positions of the columns of a table without a header, where they are called 1, 2, ..."""
        options = " and ".join(
            option_of(kind) or f"a header ({kind})" for kind in self.kinds if self.asked[kind] is None
        )
        given = {kind: self._find(source, kind, there) for kind in self.kinds if self.asked[kind] is not None}
        free = [place for place in range(len(there)) if [place] not in given.values()]
        if options and len(there) > 2:
            raise InvalidInputError(
                f"{source!r} has {len(there)} columns and no header to know them by: say which they are with "
                f"{options}, by number from 1 to {len(there)}."
            )
        if len(free) < len(self.kinds) - len(given):
            raise InvalidInputError(
                f"{source!r} has {counted(len(there), 'column')}, and no column of {self.kinds[-1]}s beside it."
            )
        return [place for kind in self.kinds for place in given.get(kind) or [free.pop(0)]]

    def _find(self, source: str, kind: str, there: Sequence[str], cure: str = "") -> list[int]:
        """The position of the column of inputs or labels; several positions if each label has a column of its own."""
        option, asked = option_of(kind), self.asked[kind]
        choose = f"choose with {option}" if option else f"call that of {kind}s {usual_names(kind)[0]!r}"
        places = self._places(kind, there)
        if not places and (several := self._one_each(kind, there)):
            return several
        if not places:
            also = "" if asked else " nor another usual name"
            if kind == LABEL and len(there) > 2:
                cure = f" (of columns of 0 and 1, one a label, name all: {option} a,b,c){cure}"
            raise InvalidInputError(
                f"{source!r} has no column {asked or usual_names(kind)[0]!r}{also}; it has {_named(there)}: "
                f"{choose}{cure}."
            )
        names = [there[place] for place in places]
        if len(places) > 1 and len(set(names)) == 1:
            raise InvalidInputError(f"{source!r} has {len(places)} columns called {names[0]!r}; rename one.")
        if len(places) > 1:
            raise InvalidInputError(
                f"{source!r} has several columns that could hold the {kind}s, {_named(names)}: {choose}."
            )
        return places

    def _has_surely(self, there: Sequence[str]) -> bool:
        """Whether these are surely names: the preferred name of inputs, or usual names of inputs and of labels."""
        names = {_plain(self.asked[kind] or usual_names(kind)[0]) for kind in self.inputs}
        return any(_plain(each) in names for each in there) or self._has_both(there)

    def _has_both(self, there: Sequence[str]) -> bool:
        """Whether usual names of inputs and of labels are among these."""
        plain = {_plain(each) for each in there}
        return not plain.isdisjoint(usual_names(self.answer)) and any(
            not plain.isdisjoint(usual_names(kind)) for kind in self.inputs
        )

    def _places(self, kind: str, there: Sequence[str]) -> list[int]:
        """The positions of all columns that could be meant."""
        if asked := self.asked[kind]:
            exact = [place for place, each in enumerate(there) if each == asked]
            return exact or [place for place, each in enumerate(there) if _plain(each) == _plain(asked)]
        plain = list(map(_plain, there))
        first = [place for place, each in enumerate(plain) if each == usual_names(kind)[0]]
        usual = [place for place, each in enumerate(plain) if each in usual_names(kind)]
        if first and kind != LABEL:
            return first
        if first:  # another usual name may be the truth, and this one an answer
            return [place for place in usual if plain[place] not in WORDS]
        if not usual and plain == ["0", "1"]:  # a data frame whose columns have no names
            return [int(kind == self.answer)]
        return usual

    def _one_each(self, kind: str, there: Sequence[str]) -> list[int]:
        """The positions of the columns `a,b` of labels; empty unless several are asked for and all are there."""
        asked = (self.asked[kind] or "").split(",") if kind == LABEL else []
        plain = [_plain(each) for each in there]
        places = [plain.index(_plain(each)) for each in asked if plain.count(_plain(each)) == 1]
        return places if len(places) == len(asked) > 1 else []


_ANSWERS = {LABEL: LABELS, TARGET: TARGETS}


def usual_names(kind: str) -> tuple[str, ...]:
    """The usual names of a column of inputs of a kind, of labels, or of targets; the first one is preferred."""
    return _ANSWERS[kind] if kind in _ANSWERS else kind_of_inputs(kind).columns


def option_of(kind: str) -> str | None:
    """The option that names the column of a kind; None where the shell has none, as for kinds of other packages."""
    return f"--{kind}-column" if _field(kind) in TableOptions._fields else None


def _field(kind: str) -> str:
    return f"{kind}_column"


def _hint(kind: str) -> str:
    option = option_of(kind)
    return f" ({option})" if option else ""


def numbered(names: Iterable[str]) -> list[str]:
    """Names of columns, made distinct by a number after those that occur again."""
    names = list(names)
    taken, times, distinct = set(names), Counter[str](), []
    for name in names:
        other = name
        while times[name] and other in taken:
            other = f"{name}.{times[name]}"
            times[name] += 1
        times[name] = times[name] or 1
        taken.add(other)
        distinct.append(other)
    return distinct


def _named(names: Sequence[str]) -> str:
    return listed((shown(name, 40) for name in names), 20)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.strip("\ufeff").split())).casefold()
