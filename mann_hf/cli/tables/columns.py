"""Which columns of a table hold the texts and the labels."""

from collections.abc import Sequence

from ...errors import InvalidInputError
from ...wording import listed
from ..options import TableOptions
from ..output import say

USUAL = {
    "text": (
        *("text", "texts", "utterance", "utterances", "utt", "sentence", "sentences", "query", "question", "message"),
        *("content", "input", "prompt", "body", "comment", "review", "tweet", "document", "phrase", "request"),
    ),
    "label": (
        *("label", "labels", "intent", "intents", "category", "categories", "class", "classes", "target", "topic"),
        *("tag", "tags", "sentiment", "emotion", "label_text", "label_name"),
    ),
}
"""The names that columns usually have, first the one that is looked for before others."""


class Columns:
    """Finds the columns that were asked for, says so where their names were guessed, each time once.

    Args:
        options: of the command, of which the names of columns are taken.
        kinds: what is asked for, of `"text"` and `"label"`.
    """

    def __init__(self, options: TableOptions, kinds: Sequence[str] = ("text", "label")) -> None:
        self.asked = {"text": options.text_column, "label": options.label_column}
        self.kinds = tuple(kinds)
        self.header = options.header
        self.found: tuple[str, ...] = ()
        self._said: set[str] = set()

    def find(self, source: str, there: Sequence[str], cure: str = "", *, named: bool = False) -> tuple[int, ...]:
        """The positions of the columns.

        Args:
            source: as messages say it.
            there: the names of all columns.
            cure: what else may help, at the end of an error.
            named: whether columns have names in any case, as those of json and parquet do.

        Raises:
            InvalidInputError: a column is missing, or there are several that it could be.
        """
        header = self.header or named
        positions: list[int] = []
        for kind in self.kinds:
            option = f"--{kind}-column"
            asked = self.asked[kind]
            name = asked or (USUAL[kind][0] if header else str(list(USUAL).index(kind) + 1))
            places = self._places(kind, there, header)
            if not places:
                also = "" if asked or not header else " nor another usual name"
                raise InvalidInputError(
                    f"{source!r} has no column {name!r}{also}; it has {listed(map(repr, there), 20)}: choose with "
                    f"{option}{cure}."
                )
            names = [there[place] for place in places]
            if len(places) > 1 and len(set(names)) == 1:
                raise InvalidInputError(f"{source!r} has {len(places)} columns called {names[0]!r}; rename one.")
            if len(places) > 1:
                raise InvalidInputError(
                    f"{source!r} has several columns that could hold the {kind}s, {listed(map(repr, names), 20)}: "
                    f"choose with {option}."
                )
            positions += places
        self.found = tuple(there[place] for place in positions)
        if len(set(positions)) < len(positions):
            raise InvalidInputError(f"{source!r}: texts and labels are to come from one column, {self.found[0]!r}.")
        guessed = [
            f"{kind}s from the column {name!r} (--{kind}-column)"
            for kind, name in zip(self.kinds, self.found, strict=True)
            if header and name != (self.asked[kind] or USUAL[kind][0])
        ]
        if guessed:
            self.say(f"{source}: reads {' and '.join(guessed)}.")
        return tuple(positions)

    def match(self, there: Sequence[str]) -> bool:
        """Whether these names have all that is asked for."""
        return all(self._places(kind, there, self.header) for kind in self.kinds)

    def are_header(self, there: Sequence[str]) -> bool:
        """Whether these are surely names of columns and no words of a text: the first name of texts, or usual ones of
        texts and of labels.
        """
        name = (self.asked["text"] or USUAL["text"][0]).casefold()
        if any(_plain(each) == name for each in there):
            return True
        return all(any(_plain(each) in USUAL[kind] for each in there) for kind in USUAL)

    def say(self, message: str) -> None:
        """Says something once."""
        if message not in self._said:
            self._said.add(message)
            say(message)

    def _places(self, kind: str, there: Sequence[str], header: bool) -> list[int]:
        """Where a column may be; several places where that is not clear."""
        asked = self.asked[kind]
        if not header:
            name = asked or str(list(USUAL).index(kind) + 1)
            return [place for place, each in enumerate(there) if each == name]
        names = [asked or USUAL[kind][0]]
        exact = [place for place, each in enumerate(there) if each == names[0]]
        if exact:
            return exact
        alike = [place for place, each in enumerate(there) if _plain(each) == _plain(names[0])]
        if alike or asked:
            return alike
        usual = [place for place, each in enumerate(there) if _plain(each) in USUAL[kind]]
        if not usual and [_plain(each) for each in there] == ["0", "1"]:  # a data frame whose columns have no names
            return [list(USUAL).index(kind)]
        return usual


def _plain(name: str) -> str:
    return " ".join(name.strip("\ufeff").split()).casefold()
