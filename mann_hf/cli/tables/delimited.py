"""Reads csv files and others with delimiters.

Cells stay text: `007` and `NA` are labels. A row with too many or too few cells, or with a broken quote, becomes a
row with a problem and its line, and the rows after it are read.
"""

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import InvalidInputError
from ...wording import counted
from ..options import TableOptions
from .columns import ABOVE, Columns, Form
from .decoding import lines_of
from .rows import Row

DELIMITERS = {".csv": ",", ".tsv": "\t"}
OTHERS = (",", ";", "\t", "|")
NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar (|)"}
LARGEST_CELL = 2**25
"""Letters in a cell; csv uses four bytes for each."""
FRACTION = re.compile(r"\d,\d")
SAMPLE = 100
"""Number of rows by which the delimiter is detected."""


class _Lines:
    """An iterator over the lines of a text that can go back."""

    def __init__(self, text: str) -> None:
        self.lines = lines_of(text)
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.read >= len(self.lines):
            raise StopIteration
        self.read += 1
        return self.lines[self.read - 1]


def read_delimited(
    source: str, text: str, ending: str, columns: Columns, options: TableOptions, marked: bool = False
) -> Iterator[Row]:
    """The rows of a text with delimiters between its cells.

    The ending gives the usual delimiter; `marked` says of `Columns.form` that the file has a mark or is not UTF-8.

    Raises:
        InvalidInputError: a column is missing, the header cannot be read, or several delimiters are possible.
    """
    with _large_cells():
        lines = _Lines(text)
        first_line = re.fullmatch(r"sep=(.)\r?\n?", lines.lines[0]) if lines.lines else None  # as Excel writes
        if first_line:
            lines.read = 1
        delimiter = options.delimiter or (first_line and first_line[1]) or None
        if delimiter is None:
            delimiter, others = _found(lines, DELIMITERS[ending], columns)
            if others:  # as in 1;5 that is written 1,0;5,0
                raise InvalidInputError(
                    f"{source}: each row may be cut at {' or '.join(map(_name, (delimiter, *others)))}: say which with "
                    "--delimiter."
                )
        if delimiter != DELIMITERS[ending] and not options.delimiter:
            columns.say(f"{source}: has {_name(delimiter)} between its columns (--delimiter names another).")
        columns.form = columns.form or Form(None if delimiter == DELIMITERS[ending] else delimiter, marked)
        yield from _rows(source, lines, delimiter, columns)


def _rows(source: str, lines: _Lines, delimiter: str, columns: Columns) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    positions: tuple[int, ...] | None = None
    width = number = 0
    titled = False
    above = columns.header_in(_sample(lines, delimiter, ABOVE)) or 0 if columns.header else 0
    while True:
        begin = lines.read + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if positions is None:
                raise InvalidInputError(f"{source}: its header, at line {begin}, cannot be read: {error}.") from None
            number += 1
            yield Row(number, line=begin, problem=f"{error} (is a quote not closed or not doubled?)")
            lines.read = begin  # on with the next line
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        if cells is None:
            break
        if not any(cells) or not any(map(str.strip, cells)):  # an empty line, or one of delimiters alone
            continue
        if above:  # a title
            above -= 1
            titled = True
            continue
        if positions is None:
            width = len(cells)
            if columns.header:
                cure = "; if the first line is a row and no header, add --no-header"
                positions = columns.find(source, cells, cure if width > 1 or "label" not in columns.kinds else "")
                if titled:
                    columns.say(f"{source}: its header is at line {begin}, what is above it is left out.")
                continue
            positions = columns.find(source, [str(place) for place in range(1, width + 1)])
            columns.check_no_header(source, [cells[place] for place in positions])
        number += 1
        if (len(cells) != width and any(cells[width:])) or len(cells) < width:
            problem = (
                f"has {counted(len(cells), 'cell')} and the {'header' if columns.header else 'first row'} {width}; put "
                f"quotes around a text that holds {_name(delimiter)}"
            )
            yield Row(number, line=begin, problem=problem)
            continue
        yield Row(number, tuple(cells[place] for place in positions), begin)
    if positions is None:
        columns.find(source, [])


def has_header(text: str, columns: Columns) -> bool:
    """Whether the first line of a text is the header of a table."""
    with _large_cells():
        lines = _Lines(text)
        return columns.are_header(_sample(lines, _found(lines, ",", columns)[0], 2))


def shape_of_table(text: str) -> tuple[str, list[str]] | None:
    """Delimiter and first row of lines that are clearly rows of a table, because all have the same number of cells."""
    with _large_cells():
        lines = _Lines(text)
        for delimiter in OTHERS:
            rows = _sample(lines, delimiter, SAMPLE)
            glued = all(cell and cell == cell.strip() for cells in rows for cell in cells)
            if delimiter == "," and (
                not any(len(cell.split()) > 2 for cells in rows[1:] for cell in cells)
                or any(FRACTION.search(line) for line in lines.lines[:SAMPLE])
            ):
                continue
            if len(rows) > 1 and glued and {*map(len, rows)} == {len(rows[0])} != {1}:
                return delimiter, rows[0]
    return None


def _found(lines: _Lines, usual: str, columns: Columns) -> tuple[str, list[str]]:
    """The delimiter of a text, and others that would also give each row the same number of cells."""
    candidates = (usual, *(each for each in OTHERS if each != usual))
    samples = {each: _sample(lines, each, SAMPLE) for each in candidates}
    if columns.header:
        headers = {each: columns.header_in(samples[each]) for each in candidates}
        named = [each for each in candidates if headers[each] is not None]
        if named:
            return min(named, key=lambda each: headers[each] or 0), []
    widths = {each: {len(cells) for cells in sample} for each, sample in samples.items()}
    even = [each for each in candidates if len(widths[each]) == 1 and max(widths[each]) > 1]
    return (even[0], [] if columns.header else even[1:]) if even else (usual, [])


def _sample(lines: _Lines, delimiter: str, most: int) -> list[list[str]]:
    """The cells of the first rows with a delimiter, up to a row that cannot be read."""
    some = iter(lines.lines[lines.read : lines.read + 20 * most])
    rows: list[list[str]] = []
    try:
        for cells in csv.reader(some, delimiter=delimiter, strict=True):
            if any(map(str.strip, cells)):
                rows.append(cells)
            if len(rows) >= most:
                break
    except csv.Error:
        pass
    return rows


def _name(delimiter: str) -> str:
    return NAMES.get(delimiter, repr(delimiter))


@contextmanager
def _large_cells() -> Iterator[None]:
    """Within the block csv takes cells of more than 131,072 letters; this limit holds for the whole process."""
    before = csv.field_size_limit(LARGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
