"""Reads Excel files."""

import io
from collections.abc import Iterator
from typing import Any

from ...errors import InvalidInputError, import_extra
from ...wording import listed
from .columns import Columns
from .rows import BadRow, Row


def read_excel(source: str, data: bytes, columns: Columns, sheet: str | None) -> Iterator[Row | BadRow]:
    """The rows of a sheet, the first unless one is named; of formulas the values that were last saved.

    Raises:
        MissingExtraError: openpyxl is not installed.
        InvalidInputError: it is no Excel file, or has no such sheet.
    """
    openpyxl: Any = import_extra("openpyxl", "an Excel file", "excel")
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except Exception as error:  # of zipfile, of its XML, and its own
        raise InvalidInputError(f"{source!r} is no Excel file (.xlsx) that can be read: {error}") from None
    names = [each.title for each in book.worksheets]
    if not names or (sheet is not None and sheet not in names):
        raise InvalidInputError(f"{source!r} has no sheet {sheet!r}; it has {listed(map(repr, names), 20)}.")
    chosen = sheet or names[0]
    if len(names) > 1 and sheet is None:
        columns.say(f"{source}: reads the first sheet, {chosen!r}, of {len(names)} (--split names another).")
    positions: tuple[int, ...] | None = None
    number = 0
    for line, cells in enumerate(book[chosen].iter_rows(values_only=True), start=1):
        if all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells):
            continue
        if positions is None:
            if columns.header:
                there = ["" if cell is None else str(cell) for cell in cells]
                while there and not there[-1]:
                    there.pop()
                positions = columns.find(source, there)
                continue
            positions = columns.find(source, [str(place) for place in range(1, len(cells) + 1)])
        number += 1
        yield Row(number, tuple(cells[place] if place < len(cells) else None for place in positions), line)
    if positions is None:
        columns.find(source, [])
