"""Reads Excel files."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from ...errors import InvalidInputError, MannError, import_extra
from ...targets.labels import EXACT
from ...wording import listed
from .columns import ABOVE, Columns
from .content import LARGEST
from .rows import Row

LAST_ROW = 2**20
CURE = "open the file in Excel or LibreOffice and save it"


def read_excel(source: str, data: bytes, columns: Columns, sheet: str | None) -> Iterator[Row]:
    """The rows of the sheet that is named, or of the first with a table; formulas have the values that were saved last.

    Raises:
        MissingExtraError: openpyxl is not installed.
        InvalidInputError: it is not an Excel file, or has no such sheet or no table.
    """
    with _in_words(source):
        yield from _read(source, data, columns, sheet)


def _read(source: str, data: bytes, columns: Columns, sheet: str | None) -> Iterator[Row]:
    book = _open(source, data, values=True)
    names = [each.title for each in sorted(book.worksheets, key=lambda each: each.sheet_state != "visible")]
    if not names or (sheet is not None and sheet not in names):
        raise InvalidInputError(f"{source!r} has no sheet {sheet!r}; it has {listed(map(repr, names), 20)}.")
    filled = [name for name in names if _top(book[name])]
    tables = [name for name in filled if not columns.header or columns.header_in(_top(book[name])) is not None]
    chosen = sheet or next(iter(tables or filled or names))
    if len(names) > 1 and sheet is None:
        others = listed(repr(name) for name in names if name != chosen)
        columns.say(f"{source}: reads the sheet {chosen!r} and not {others} (--split names another).")
    cure = f" or, for another sheet than {chosen!r}, with --split" if len(names) > 1 else ""
    rows = _rows(source, _Sheet(source, data, book[chosen], chosen), columns, cure)
    return (row._replace(of_sheet=True) for row in rows)


class _Sheet:
    """A sheet, its formulas that were never calculated and its merged cells."""

    def __init__(self, source: str, data: bytes, page: Any, name: str) -> None:
        self.source, self.data, self.page, self.name = source, data, page, name

    @cached_property
    def not_calculated(self) -> dict[int, dict[int, str]]:
        """Names of cells with a formula and no value, by row and column, both counted from 1."""
        formulas = _open(self.source, self.data, values=False)[self.name]
        formulas.reset_dimensions()
        found: dict[int, dict[int, str]] = {}
        for values, written in zip(_cells(self.page, False), _cells(formulas, False), strict=False):
            for value, cell in zip(values, written, strict=False):
                if value.value is None and cell.data_type == "f" and value.data_type != "str":  # which is ""
                    found.setdefault(cell.row, {})[cell.column] = cell.coordinate
        return found

    def merged_with(self, row: int, column: int) -> str | None:
        """The merged range, such as `B2:B4`, that holds a cell; None if none does. Both numbers are counted from 1."""
        return next((name for name, rows, columns in self._merged if row in rows and column in columns), None)

    @cached_property
    def _merged(self) -> list[tuple[str, range, range]]:
        """The ranges of merged cells; they are read only if there are any, because that loads the whole sheet."""
        with zipfile.ZipFile(io.BytesIO(self.data)) as packed:
            sheets = [each for each in packed.namelist() if each.startswith("xl/worksheets/")]
            if not any(b"mergeCell" in packed.read(each) for each in sheets):
                return []
        openpyxl: Any = import_extra("openpyxl", "an Excel file", "excel")
        ranges = openpyxl.load_workbook(io.BytesIO(self.data))[self.name].merged_cells.ranges
        return [
            (each.coord, range(each.min_row, each.max_row + 1), range(each.min_col, each.max_col + 1))
            for each in ranges
        ]


def _rows(source: str, sheet: _Sheet, columns: Columns, cure: str) -> Iterator[Row]:
    positions: tuple[int, ...] | None = None
    above = columns.header_in(_top(sheet.page)) or 0 if columns.header else 0
    titled, number = above > 0, 0
    for line, cells in enumerate(_cells(sheet.page), start=1):
        empty = _is_empty(cells)
        if empty and (positions is None or line not in sheet.not_calculated):
            continue
        if above:
            above -= 1
            continue
        if positions is None:
            if columns.header:
                positions = columns.find(source, _texts(cells), cure)
                if titled:
                    columns.say(f"{source}: its header is in row {line}, what is above it is left out.")
                continue
            positions = columns.find(source, [str(place) for place in range(1, len(cells) + 1)])
            columns.check_no_header(source, [_text(cells[place]) for place in positions])
        number += 1
        wanted = tuple(_kept(cells[place]) if place < len(cells) else None for place in positions)
        needed = positions[: len(columns.kinds)] if columns.others else positions
        if None in wanted and (formulas := sheet.not_calculated.get(line, {}).keys() & {p + 1 for p in needed}):
            cell = sheet.not_calculated[line][min(formulas)]
            problem = f"cell {cell} holds a formula that was never calculated; {CURE}"
            yield Row(number, line=line, problem=problem)
            continue
        merged = [sheet.merged_with(line, p + 1) for p in needed if p >= len(cells) or cells[p] is None]
        if found := next(filter(None, merged), None):
            problem = f"the cells {found} are merged, and only the first has a value; unmerge them and fill each"
            yield Row(number, line=line, problem=problem)
            continue
        yield Row(number, wanted, line)
    if positions is None:
        if sheet.not_calculated:
            raise InvalidInputError(
                f"{source}: the sheet {sheet.name!r} has formulas that were never calculated; {CURE}."
            )
        raise InvalidInputError(f"{source}: the sheet {sheet.name!r} is empty{cure and '; --split names another'}.")


def _open(source: str, data: bytes, values: bool) -> Any:
    """The workbook, with formulas or with their values."""
    openpyxl: Any = import_extra("openpyxl", "an Excel file", "excel")
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        if sum(each.file_size for each in packed.infolist()) > LARGEST:
            raise InvalidInputError(f"{source!r} has more than {LARGEST:,} bytes once it is unpacked.")
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=values)
    for page in book.worksheets:
        page.reset_dimensions()  # some programs write wrong ones
    return book


@contextmanager
def _in_words(source: str) -> Iterator[None]:
    """Names the file in an error of openpyxl; some come only when a sheet is read."""
    try:
        yield
    except MannError:
        raise
    except Exception as error:  # of zipfile, of its XML, and openpyxl's own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidInputError(f"{source!r} cannot be read as an Excel file (.xlsx): {reason[:200]}") from None


def _cells(page: Any, values_only: bool = True) -> Iterator[Any]:
    """The rows of a sheet, at most as many as Excel has: a damaged file may name a row far beyond."""
    return page.iter_rows(values_only=values_only, max_row=LAST_ROW)


def _top(page: Any) -> list[list[str]]:
    """The first rows of a sheet, without empty ones."""
    found: list[list[str]] = []
    for cells in page.iter_rows(values_only=True, max_row=10 * ABOVE):
        if not _is_empty(cells):
            found.append(_texts(cells))
        if len(found) > ABOVE:
            break
    return found


def _is_empty(cells: Sequence[Any]) -> bool:
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells)


def _kept(cell: Any) -> Any:
    """The value of a cell; large whole numbers as floats, as Excel stores them."""
    return float(cell) if type(cell) is int and abs(cell) >= EXACT else cell


def _texts(cells: Sequence[Any]) -> list[str]:
    """The cells of a header as texts, without empty ones at the end."""
    there = list(map(_text, cells))
    while there and not there[-1]:
        there.pop()
    return there


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)
