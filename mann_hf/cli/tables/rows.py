"""The rows of a table that was read."""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...targets import is_missing
from ...targets.labels import same_label
from ...wording import is_url, shown
from ..modalities import TEXT, kind_of_inputs
from .columns import Columns, Form

YES = {"1", "true", "yes", "x"}
NO = {"0", "false", "no"}
"""Cells of a column that stands for one label: the text has it or not. An empty cell is a no."""


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        number: counted from 1, without empty lines.
        cells: the cells of the columns that were asked for, in that order.
        line: its line in the file; None if the file has no lines.
        file: the name of the file, in a folder of several.
        of_sheet: whether `line` is a row number of a spreadsheet.
        problem: why it cannot be used; empty where it can.
    """

    number: int
    cells: tuple[Any, ...] = ()
    line: int | None = None
    file: str = ""
    of_sheet: bool = False
    problem: str = ""

    @property
    def place(self) -> str:
        """Its place in the table, for messages."""
        if self.of_sheet:
            place = f"row {self.line} of the sheet"
        else:
            place = f"row {self.number}" if self.line is None else f"row {self.number} (line {self.line})"
        return f"{self.file}, {place}" if self.file else place


class Table(NamedTuple):
    """The rows of a table and where they come from.

    Attributes:
        source: its name in messages.
        rows: the rows that could be read.
        columns: the table's names of the columns that were asked for.
        bad: the rows that could not be read.
        name: its name in model cards, without the folders of this machine.
        dataset_id: its name on the Hub, for a data set from there.
        split: the split that was read, of a data set or a folder.
        input_place: how many other columns come before that of the inputs.
        form: delimiter and mark of a csv file; None for other tables.
        kind: what the inputs are, a name of `MODALITIES`.
        folder: that from which the paths in its cells lead on.
    """

    source: str
    rows: list[Row]
    columns: tuple[str, ...]
    bad: list[Row]
    name: str
    dataset_id: str | None = None
    split: str | None = None
    input_place: int = 0
    form: Form | None = None
    kind: str = TEXT
    folder: str = ""

    def located(self, cell: str) -> str:
        """An input as a classifier takes it: as it is, or the path of its file from the present folder."""
        return cell if not kind_of_inputs(self.kind).are_files or is_url(cell) else os.path.join(self.folder, cell)


def table_of(
    source: str,
    found: Iterable[Row],
    columns: Columns,
    name: str,
    dataset_id: str | None = None,
    split: str | None = None,
) -> Table:
    """Collects rows as a table; if each label has a column of its own, they become one cell with a list of names.

    The columns are found when the first row is read; see `Table` for the others.
    """
    rows: list[Row] = []
    bad: list[Row] = []
    for row in found:
        if columns.one_a_label and not row.problem:
            row = _with_names(row, columns.found[1:])
        (bad if row.problem else rows).append(row)
    names = (columns.found[0], ", ".join(columns.found[1:])) if columns.one_a_label else columns.found
    return Table(source, rows, names, bad, name, dataset_id, split, columns.input_place, columns.form, columns.input)


def _with_names(row: Row, names: tuple[str, ...]) -> Row:
    """The row with the names of the labels whose cells are a yes, as one cell."""
    text, *cells = row.cells
    has = []
    for name, cell in zip(names, cells, strict=True):
        answer = "" if is_missing(cell) else same_label(str(cell)).casefold()
        if answer in YES:
            has.append(name)
        elif answer and answer not in NO:
            reason = f"column {name!r}: {shown(cell)} is neither 0 nor 1, as the column of one label of several has"
            return row._replace(problem=reason)
    return row._replace(cells=(text, has))
