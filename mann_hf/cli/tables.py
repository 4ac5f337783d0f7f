"""Reads tables of texts and labels from files and from the Hub.

Files of text are read as they are written: `007`, `NA` and `2020-01-01` stay texts and labels, and a row with a cell
too many is an error, where a data frame would guess types and shift columns. Parquet and the Hub are read by datasets.
"""

import csv
import gzip
import json
import math
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar

from ..errors import InvalidInputError
from ..hub_names import HUB_NAME
from ..wording import listed
from .hub_names import check_on_hub
from .options import ProblemType

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSONS = (".json", ".jsonl", ".ndjson")
PARQUET = ".parquet"
ENDINGS = (*DELIMITERS, *JSONS, PARQUET)
DATA_SET = re.compile(rf"(?P<name>{HUB_NAME.pattern})(:(?P<configuration>[\w.+-]+))?")
BETWEEN_LABELS = "|"

T = TypeVar("T")


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        place: where it stands, as messages say it.
        cells: what is in it, by column.
    """

    place: str
    cells: dict[str, Any]


class Table(NamedTuple):
    """Rows, and where they come from.

    Attributes:
        source: as messages say it.
        rows: what is in it.
        name: as others may read it, who do not know the folders of this machine.
        dataset_id: of a data set on the Hub its name there.
        split: of a data set or a folder.
    """

    source: str
    rows: list[Row]
    name: str
    dataset_id: str | None = None
    split: str | None = None


def is_table(argument: str) -> bool:
    """Whether an argument that may be a text or a table is a table: a path with the ending of one.

    Raises:
        InvalidInputError: it is a file of another kind.
    """
    if os.path.isfile(argument):
        if _ending(argument) is None:
            raise InvalidInputError(
                f"{argument!r} is a file, but none that is read as a table ({_endings()}); if the words themselves are "
                "meant, add --text."
            )
        return True
    return _ending(argument) is not None and not re.search(r"\s", argument)


def read_table(source: str, columns: Sequence[str], split: str | None, usual_split: str) -> Table:
    """Reads some columns of a table.

    Args:
        source: a file, a folder of data files, or a data set on the Hub as `name` or `name:configuration`.
        columns: those that are wanted.
        split: of a Hub data set or a folder; `usual_split` if left out.
        usual_split: of this command.

    Raises:
        InvalidInputError: there is no such table, it cannot be read, lacks a column or is empty.
    """
    if os.path.isfile(source):
        if split is not None:
            raise InvalidInputError(f"{source!r} is a file and has no splits: leave out --split, or name its own file.")
        table = Table(source, list(_rows_of_file(source, columns)), os.path.basename(source))
    else:
        table = _read_data_set(source, columns, split or usual_split)
    if not table.rows:
        raise InvalidInputError(f"{table.source!r} has no rows.")
    return table


def texts_of(table: Table, column: str) -> list[str]:
    """The texts in a column.

    Raises:
        InvalidInputError: a row has none; the message says which.
    """
    return _each(table, column, _text)


def labels_of(table: Table, column: str, problem_type: ProblemType) -> list[Any]:
    """The labels in a column: names; lists of names for several labels; lists of numbers for regression.

    In a cell of text several labels, or several numbers, are separated by `|`.

    Raises:
        InvalidInputError: a row has none, or one of another problem type; the message says which.
    """
    convert = {
        ProblemType.SINGLE_LABEL: _name,
        ProblemType.MULTI_LABEL: _names,
        ProblemType.REGRESSION: _numbers,
    }[problem_type]
    labels = _each(table, column, convert)
    if problem_type is ProblemType.REGRESSION:
        for row, numbers in zip(table.rows, labels, strict=True):
            if len(numbers) != len(labels[0]):
                raise InvalidInputError(
                    f"{table.source}: {row.place}, column {column!r}: {len(numbers)} numbers, where the first row has "
                    f"{len(labels[0])}; give each row as many."
                )
    return labels


class _BadCell(Exception):
    """What is wrong with a cell."""


def _each(table: Table, column: str, convert: Callable[[Any], T]) -> list[T]:
    """The converted cells of a column, or one error for all that are wrong."""
    converted, wrong = [], []
    for row in table.rows:
        try:
            converted.append(convert(row.cells.get(column)))
        except _BadCell as error:
            wrong.append(f"{row.place}, column {column!r}: {error}")
    if wrong:
        more = "" if len(wrong) == 1 else f" ({len(wrong) - 1} more rows are wrong)"
        raise InvalidInputError(f"{table.source}: {wrong[0]}{more}; mend or remove such rows.")
    return converted


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise _BadCell("no text")
    if not isinstance(cell, str):
        raise _BadCell(f"{cell!r} is no text but of type {type(cell).__name__}")
    try:
        cell.encode()
    except UnicodeEncodeError:
        raise _BadCell("the text holds half a surrogate pair, which is no letter") from None
    return cell


def _name(cell: Any) -> str:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise _BadCell("no label")
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, float):
        raise _BadCell(f"{cell!r} is a number and no label (--problem-type regression makes a classifier of numbers)")
    if isinstance(cell, list):
        raise _BadCell(f"{cell!r} are several labels (--multi-label makes a classifier of several labels a text)")
    if not isinstance(cell, str):
        raise _BadCell(f"{cell!r} is no label but of type {type(cell).__name__}")
    return cell


def _names(cell: Any) -> list[str]:
    if isinstance(cell, str):
        cell = [part.strip() for part in cell.split(BETWEEN_LABELS)]
    elif not isinstance(cell, list):
        cell = [cell]
    if not cell:
        raise _BadCell("no label")
    return [_name(part) for part in cell]


def _numbers(cell: Any) -> list[float]:
    parts = cell.split(BETWEEN_LABELS) if isinstance(cell, str) else cell if isinstance(cell, list) else [cell]
    try:
        numbers = [math.nan if isinstance(part, bool) else float(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise _BadCell(f"{cell!r} is no finite number")
    return numbers


def _ending(path: str) -> str | None:
    """The ending that says how a file is read; None for a file of another kind."""
    ending = Path(path.lower().removesuffix(".gz")).suffix
    if ending == PARQUET and path.lower().endswith(".gz"):
        return None
    return ending if ending in ENDINGS else None


def _endings() -> str:
    return ", ".join(ENDINGS)


def _rows_of_file(path: str, columns: Sequence[str]) -> Iterator[Row]:
    ending = _ending(path)
    if ending is None:
        raise InvalidInputError(f"{path!r} is read only if its name ends in {_endings()} (all but parquet also .gz).")
    if ending == PARQUET:
        return _parquet_rows(path, columns)
    return _csv_rows(path, columns, DELIMITERS[ending]) if ending in DELIMITERS else _json_rows(path, columns)


@contextmanager
def _open(path: str) -> Iterator[TextIO]:
    """The file as text, with errors in words."""
    opener = gzip.open if path.lower().endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{path!r} is no text in UTF-8 ({error.reason} at byte {error.start}): save it again in UTF-8."
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInputError(f"{path!r} is no whole gzip file: {error}") from None
    except OSError as error:
        raise InvalidInputError(f"{path!r} cannot be read: {error.strerror or error}") from None


def _csv_rows(path: str, columns: Sequence[str], delimiter: str) -> Iterator[Row]:
    with _open(path) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            _check_columns(path, columns, header)
            end = reader.line_num
            number = 0
            for cells in reader:
                begin, end = end + 1, reader.line_num
                if not cells:  # an empty line
                    continue
                number += 1
                place = f"row {number} (line {begin})"
                if len(cells) != len(header):
                    raise InvalidInputError(
                        f"{path}: {place} has {len(cells)} cells and the header {len(header)}; put quotes around a "
                        f"text that holds {'a tab' if delimiter == chr(9) else 'a comma'}."
                    )
                yield Row(place, dict(zip(header, cells, strict=True)))
        except csv.Error as error:
            raise InvalidInputError(
                f"{path}: cannot be read at line {reader.line_num}: {error}; is a quote not closed or not doubled?"
            ) from None


def _json_rows(path: str, columns: Sequence[str]) -> Iterator[Row]:
    """The objects of a list, or one a line; the content says which, as either goes by the name of json."""
    with _open(path) as file:
        first = next((line for line in file if line.strip()), "")
        file.seek(0)
        listed = first.lstrip().startswith("[")
        found = _json_list(path, file) if listed else _json_lines(path, file)
        some_row = False
        for place, cells in found:
            if not isinstance(cells, dict):
                raise InvalidInputError(f"{path}: {place} is no object such as {{{columns[0]!r}: ...}}.")
            if not some_row:
                _check_columns(path, columns, list(cells))
                some_row = True
            yield Row(place, cells)


def _json_list(path: str, file: TextIO) -> Iterator[tuple[str, Any]]:
    try:
        yield from ((f"row {number}", cells) for number, cells in enumerate(json.load(file), start=1))
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"{path}: no valid JSON at line {error.lineno}: {error.msg}.") from None


def _json_lines(path: str, file: TextIO) -> Iterator[tuple[str, Any]]:
    number = 0
    for line_number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        number += 1
        try:
            yield f"row {number} (line {line_number})", json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidInputError(
                f"{path}: no valid JSON at line {line_number}: {error.msg}; give an object a line, or a list of them."
            ) from None


def _parquet_rows(path: str, columns: Sequence[str]) -> Iterator[Row]:
    with _datasets_in_words(path):
        import datasets

        found = datasets.load_dataset("parquet", data_files=os.path.abspath(path), split="train", streaming=True)
        yield from _rows(path, found, columns)


def _read_data_set(source: str, columns: Sequence[str], split: str) -> Table:
    """A folder of data files or a data set on the Hub, read the same way."""
    name: str = source
    configuration: str | None = None
    if not os.path.isdir(source):
        match = DATA_SET.fullmatch(source)
        if _ending(source) is not None or match is None:
            raise InvalidInputError(
                f"there is no file {source!r}; give a file ({_endings()}) or a data set on the Hub as 'name' or "
                "'name:configuration'."
            )
        name, configuration = match["name"], match["configuration"]
        check_on_hub(name, "dataset")
    title = f"{source} ({split})"
    with _datasets_in_words(source):
        import datasets

        found = datasets.load_dataset(name, configuration, split=split)
        rows = list(_rows(title, found, columns))
    if os.path.isdir(source):
        return Table(title, rows, os.path.basename(os.path.abspath(source)), split=split)
    return Table(title, rows, source, name, split)


@contextmanager
def _datasets_in_words(source: str) -> Iterator[None]:
    """Keeps the talk of datasets back and says which table an error of it is about."""
    import datasets
    from datasets.utils import logging

    level, had_bars = logging.get_verbosity(), not datasets.are_progress_bars_disabled()
    logging.set_verbosity(logging.CRITICAL)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        yield
    except InvalidInputError:
        raise
    except Exception as error:  # pyarrow's and the Hub's among them
        said = str(error.__cause__ or error) or type(error).__name__
        missing = "" if os.path.exists(source) else f"there is no file or folder {source!r}, and as a data set "
        raise InvalidInputError(f"{missing}{source!r} cannot be read: {said}") from error
    finally:
        logging.set_verbosity(level)
        if had_bars:
            datasets.enable_progress_bars()


def _rows(source: str, found: Any, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a data set, with the names of classes in place of their numbers."""
    features = found.features
    _check_columns(source, columns, list(features))
    for number, cells in enumerate(found.select_columns(list(columns)), start=1):
        yield Row(f"row {number}", {column: _named(features[column], cells[column]) for column in columns})


def _named(feature: Any, cell: Any) -> Any:
    """A cell with the names of its classes: -1 and null, which stand for no label, become None."""
    if isinstance(cell, list) and hasattr(feature, "feature"):
        return [_named(feature.feature, part) for part in cell]
    if hasattr(feature, "int2str"):
        return None if cell is None or cell < 0 else feature.int2str(cell)
    return cell


def _check_columns(source: str, wanted: Iterable[str], there: list[str]) -> None:
    for column in wanted:
        if there.count(column) > 1:
            raise InvalidInputError(f"{source!r} has {there.count(column)} columns called {column!r}; rename one.")
        if column not in there:
            alone = there[0] if len(there) == 1 else ""
            cure = "choose with --text-column and --label-column."
            if re.search(r"[;,\t|]", alone):
                cure = "a csv file has commas between its columns, a tsv file tabs."
            raise InvalidInputError(
                f"{source!r} has no column {column!r}; it has {listed(map(repr, there), 20)}: {cure}"
            )
