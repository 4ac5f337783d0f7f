"""Writes answers to a file: the columns of the table that was asked about, then those of the answers."""

import csv
import io
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from ..errors import InvalidInputError, import_extra
from ..targets.labels import BETWEEN_LABELS
from ..wording import counted
from .output import say
from .tables import DELIMITERS, is_stream
from .tables.columns import Form, numbered

EXCEL = ".xlsx"
OUTPUTS = (*DELIMITERS, ".json", ".jsonl", EXCEL)
FLAT = (*DELIMITERS, EXCEL)
"""Formats that cannot hold evidence, which is a list."""
ADDED = {key: f"predicted_{key}" for key in ("label", "score", "evidence", "rest")} | {"row": "row"}
"""The columns of the answers, under names that nothing reads as labels; a name that the table has gets a number."""
NOT_FLAT = ("evidence", "rest")
GENERATED = {"text": "generated_text", "evidence": "evidence", "row": "row"}
"""Likewise for texts that were generated."""
Row = dict[str, Any]
"""The cells of a row by their columns."""
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
"""A number in plain form, unlike an id such as 00123."""
DIGITS = 15
"""Digits of a number that Excel keeps."""
SURROGATE = re.compile("[\ud800-\udfff]")
"""Stands in a text for half a character of JSON or a byte that is not UTF-8; it cannot be encoded."""
LONGEST_CELL = 32_767
"""Characters that Excel takes in a cell."""


def check_output(output: Path, folder: str, source: str | None, evidence: int | None) -> str:
    """Checks the file to write before any work is done, and returns its ending.

    Raises:
        InvalidInputError: the file cannot be written, or would replace the table or a part of the classifier.
        MissingExtraError: an Excel file, without the package that writes it.
    """
    ending = output.suffix.lower()
    if ending not in OUTPUTS:
        raise typer.BadParameter(f"{str(output)!r} should end in {', '.join(OUTPUTS)}.", param_hint="--output")
    if evidence and ending in FLAT:
        raise typer.BadParameter("evidence is written to .json and .jsonl alone.", param_hint="--output")
    if ending == EXCEL:
        import_extra("openpyxl", "an Excel file", "excel")
    if not output.parent.is_dir():
        raise InvalidInputError(
            f"there is no folder {str(output.parent)!r} to write {output.name!r} to; make it first."
        )
    if output.is_dir():
        raise InvalidInputError(f"{str(output)!r} is a folder; give the name of a file to write.")
    if not os.access(output.parent, os.W_OK):
        raise InvalidInputError(f"{str(output.parent)!r} may not be written to; give --output another folder.")
    if output.resolve().is_relative_to(Path(folder).resolve()):
        raise InvalidInputError(f"{str(output)!r} lies in the classifier's own folder; give --output another place.")
    if source is not None and output.exists() and any(_is_same(output, read) for read in _read_of(source)):
        raise InvalidInputError(
            f"{str(output)!r} is the table that is asked about, and would be lost; give --output another name."
        )
    return ending


def write_answers(
    output: Path,
    rows: Sequence[Row],
    answers: Sequence[Sequence[dict[str, Any]]],
    column: str,
    numbers: Sequence[int] | None = None,
    form: Form | None = None,
    added: Mapping[str, str] = ADDED,
) -> None:
    """Writes one row for each answer; the file is written whole or not at all.

    Args:
        output: the file, with an ending of `OUTPUTS`.
        rows: the rows of the texts that were asked about, with all their cells.
        answers: for each row its answers.
        column: the name of the column of texts.
        numbers: of the rows, counted from 1, which become a column of their own; None for no such column.
        form: the delimiter and mark of the table, if it has them; a csv file is written with the same.
        added: the columns of the answers, by their keys.
    """
    from ..hub.saving import write_whole

    ending = output.suffix.lower()
    names = _names_beside(list(rows[0]), added)
    left_out = {name for key, name in names.items() if key in NOT_FLAT} if ending in FLAT else set()
    given = {key for ranked in answers for answer in ranked for key in answer} | ({"row"} if numbers else set())
    renamed = [repr(names[key]) for key in added if key in given and names[key] not in {added[key], *left_out}]
    if renamed:
        say(f"{output}: the table has columns of these names already, so the answers are in {' and '.join(renamed)}.")
    if ending == EXCEL and form is not None:
        rows = _with_numbers(rows, column)
    cells_of_text = (cell for row in rows for cell in row.values() if isinstance(cell, str))
    if damaged := sum(SURROGATE.search(cell) is not None for cell in cells_of_text):
        say(f"{output}: {counted(damaged, 'cell has', 'cells have')} bytes that are no letters, written as \ufffd.")
    written = []
    for place, (row, ranked) in enumerate(zip(rows, answers, strict=True)):
        number = {names["row"]: numbers[place]} if numbers else {}
        written += [_as_json(row) | {names[key]: part for key, part in answer.items()} | number for answer in ranked]
    if ending in FLAT:
        header = [name for name in written[0] if name not in left_out]
        ours = {name for key, name in names.items() if key in ("label", "score")}
        lines = ([(_joined if name in ours else _cell)(row[name]) for name in header] for row in written)
        content = _excel(header, lines) if ending == EXCEL else _delimited(header, lines, ending, form)
    elif ending == ".json":
        content = json.dumps(written, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"
    else:
        content = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in written).encode()
    write_whole(output, content)


def _names_beside(taken: Sequence[str], added: Mapping[str, str]) -> dict[str, str]:
    """Names for the columns of the answers, by their keys, that the table does not have."""
    return dict(zip(added, numbered([*taken, *added.values()])[len(taken) :], strict=True))


def _read_of(source: str) -> list[Any]:
    """The files that a table is read from, as paths or file descriptors."""
    if is_stream(source):
        return [0] if source == "-" else [source]
    return [*Path(source).rglob("*")] if os.path.isdir(source) else [source]


def _is_same(output: Path, read: Any) -> bool:
    try:
        return os.path.samestat(os.stat(output), os.stat(read))
    except OSError:
        return False


def _joined(value: Any) -> Any:
    """Several labels or numbers as one cell, in the form in which a table is taught."""
    if not isinstance(value, list):
        return value
    parts = list(map(str, value))
    return repr(parts) if any(BETWEEN_LABELS in part for part in parts) else BETWEEN_LABELS.join(parts)


def _cell(value: Any) -> Any:
    """A value as a cell: lists and objects as JSON, dates and the like as text."""
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _as_json(value: Any) -> Any:
    """What JSON has of a cell: no NaN, no half letters, and text for dates and the like."""
    if isinstance(value, dict):
        return {_encodable(str(key)): _as_json(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_as_json(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int) else _encodable(str(value))


def _encodable(text: str) -> str:
    """A text that can be encoded, with U+FFFD in place of surrogates."""
    return SURROGATE.sub("\ufffd", text)


def _delimited(header: Sequence[str], lines: Iterable[Sequence[Any]], ending: str, form: Form | None) -> bytes:
    delimiter = DELIMITERS[ending]
    if form is not None and form.delimiter is not None and ending == ".csv":
        delimiter = form.delimiter
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter).writerows([header, *lines])
    return written.getvalue().encode("utf-8-sig" if form is not None and form.mark else "utf-8")


def _with_numbers(rows: Sequence[Row], column: str) -> Sequence[Row]:
    """The rows with numbers in place of texts in each other column than `column` whose cells are all plain numbers.

    A number is plain if Excel shows it as it was written. It shows 1.10, which may be a version, as 1.1.
    """
    numeric = {name for name in rows[0] if name != column and _are_numbers([row[name] for row in rows])}
    return [{name: _number(cell) if name in numeric else cell for name, cell in row.items()} for row in rows]


def _are_numbers(cells: Sequence[Any]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(
        isinstance(cell, str)
        and NUMBER.fullmatch(cell)
        and sum(map(str.isdigit, cell)) <= DIGITS
        and f"{_number(cell):.{DIGITS}g}" == cell
        for cell in filled
    )


def _number(cell: str) -> int | float | None:
    return (float(cell) if "." in cell else int(cell)) if cell else None


def _excel(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> bytes:
    """An Excel file. A text that begins with = stays text, and characters that no cell can hold become spaces."""
    openpyxl: Any = import_extra("openpyxl", "an Excel file", "excel")
    cells: Any = import_extra("openpyxl.cell.cell", "an Excel file", "excel")
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("answers")
    cut = 0
    for line in [header, *lines]:
        row = []
        for value in line:
            if isinstance(value, str):
                text = cells.ILLEGAL_CHARACTERS_RE.sub(" ", value)
                cut += len(text) > LONGEST_CELL
                cell = openpyxl.cell.WriteOnlyCell(sheet, text[:LONGEST_CELL])
                cell.data_type = "s"
                value = cell
            row.append(value)
        sheet.append(row)
    if cut:
        say(f"{cut:,} cells are cut to the {LONGEST_CELL:,} letters that Excel takes.")
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()
