"""What a table is made of, once it is read."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from ...targets import is_missing
from ...targets.labels import same_label
from ...wording import shown
from .columns import Columns, Form

YES = {"1", "true", "yes", "x"}
NO = {"0", "false", "no"}
"""What a cell says in a column of one label of several; an empty one is a no."""


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        number: counted from 1; empty lines do not count.
        cells: those of the columns that were asked for, in their order.
        line: of the file, where it has lines.
        file: its name, in a folder of several.
        of_sheet: whether the line is a row of a sheet, by which its program counts.
    """

    number: int
    cells: tuple[Any, ...]
    line: int | None = None
    file: str = ""
    of_sheet: bool = False

    @property
    def place(self) -> str:
        """Where it stands, as messages say it."""
        return placed(self)


class BadRow(NamedTuple):
    """A row that cannot be read.

    Attributes:
        number: counted from 1.
        reason: what is wrong with it.
        line: of the file, where it has lines.
        file: its name, in a folder of several.
        of_sheet: whether the line is a row of a sheet, by which its program counts.
    """

    number: int
    reason: str
    line: int | None = None
    file: str = ""
    of_sheet: bool = False

    @property
    def place(self) -> str:
        """Where it stands, as messages say it."""
        return placed(self)


class Table(NamedTuple):
    """Rows, and where they come from.

    Attributes:
        source: as messages say it.
        rows: those that could be read.
        columns: the names of the columns that were asked for, as the table has them.
        bad: the rows that could not be read.
        name: as others may read it, who do not know the folders of this machine.
        dataset_id: of a data set on the Hub its name there.
        split: of a data set or a folder.
        text_place: how many of the other columns stand before that of the texts.
        form: how a file with delimiters was written; None for other tables.
    """

    source: str
    rows: list[Row]
    columns: tuple[str, ...]
    bad: list[BadRow]
    name: str
    dataset_id: str | None = None
    split: str | None = None
    text_place: int = 0
    form: Form | None = None


def table_of(
    source: str,
    found: Iterable[Row | BadRow],
    columns: Columns,
    name: str,
    dataset_id: str | None = None,
    split: str | None = None,
) -> Table:
    """The table of these rows, where each label has a column of its own with the names of a text's labels as one cell.

    Args:
        source: as messages say it.
        found: the rows; the columns are found when the first is asked for.
        columns: those that are wanted.
        name: as others may read it.
        dataset_id: of a data set on the Hub its name there.
        split: of a data set or a folder.
    """
    rows: list[Row] = []
    bad: list[BadRow] = []
    for row in found:
        if columns.one_a_label and isinstance(row, Row):
            row = _with_names(row, columns.found[1:])
        if isinstance(row, Row):
            rows.append(row)
        else:
            bad.append(row)
    names = (columns.found[0], ", ".join(columns.found[1:])) if columns.one_a_label else columns.found
    return Table(source, rows, names, bad, name, dataset_id, split, columns.text_place, columns.form)


def _with_names(row: Row, names: tuple[str, ...]) -> Row | BadRow:
    """A row of a text and the names of the labels that have a one."""
    text, *cells = row.cells
    has = []
    for name, cell in zip(names, cells, strict=True):
        said = "" if is_missing(cell) else same_label(str(cell)).casefold()
        if said in YES:
            has.append(name)
        elif said and said not in NO:
            reason = f"column {name!r}: {shown(cell)} is neither 0 nor 1, as the column of one label of several has"
            return BadRow(row.number, reason, *row[2:])
    return row._replace(cells=(text, has))


def placed(row: Row | BadRow) -> str:
    """Where a row stands, as messages say it."""
    if row.of_sheet:
        place = f"row {row.line} of the sheet"
    else:
        place = f"row {row.number}" if row.line is None else f"row {row.number} (line {row.line})"
    return f"{row.file}, {place}" if row.file else place
