"""What a table is made of, once it is read."""

from typing import Any, NamedTuple


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        number: counted from 1; empty lines do not count.
        cells: those of the columns that were asked for, in their order.
        line: of the file, where it has lines.
        file: its name, in a folder of several.
    """

    number: int
    cells: tuple[Any, ...]
    line: int | None = None
    file: str = ""

    @property
    def place(self) -> str:
        """Where it stands, as messages say it."""
        return placed(self.number, self.line, self.file)


class BadRow(NamedTuple):
    """A row that cannot be read.

    Attributes:
        number: counted from 1.
        reason: what is wrong with it.
        line: of the file, where it has lines.
        file: its name, in a folder of several.
    """

    number: int
    reason: str
    line: int | None = None
    file: str = ""

    @property
    def place(self) -> str:
        """Where it stands, as messages say it."""
        return placed(self.number, self.line, self.file)


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
    """

    source: str
    rows: list[Row]
    columns: tuple[str, ...]
    bad: list[BadRow]
    name: str
    dataset_id: str | None = None
    split: str | None = None


def placed(number: int, line: int | None, file: str) -> str:
    """Where a row stands, as messages say it."""
    place = f"row {number}" if line is None else f"row {number} (line {line})"
    return f"{file}, {place}" if file else place
