"""Reads tables of texts or images and labels from a file, a folder, a pipe or a data set on the Hub.

Text files are read by Python's csv and json, which change no cell: `007` and `NA` stay as they are, and a row with a
cell too many is reported with its line. (pyarrow and pandas lose the lines, mend or drop rows with a broken quote in
silence, and guess the types of JSON.) Parquet and the Hub are read by datasets, Excel by openpyxl. Labels are spelled
by `mann_hf.targets`.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import InvalidInputError
from ...hub.near_paths import near_paths
from ..modalities import TEXT, kind_of_inputs
from ..options import TableOptions
from ..output import say
from .columns import LABEL, TARGET, Columns
from .content import (
    EXCELS,
    JSONS,
    PARQUET,
    Content,
    can_be_read,
    cure_of,
    ending_of,
    endings,
    is_misspelt,
    is_slip,
    is_stream,
    read_file,
    read_stream,
    shows_form,
)
from .decoding import decode, lines_of
from .delimited import DELIMITERS, read_delimited
from .examples import Examples, checked, examples_of, inputs_of, pairs_of, rows_of
from .excel import read_excel
from .folders import (
    check_no_classes,
    choose,
    choose_inputs,
    choose_of,
    data_files,
    files_of_classes,
    read_class_folders,
    settle_inputs,
)
from .hub import read_hub, read_parquet
from .objects import read_objects
from .rows import Row, Table, table_of
from .saved import files_by_card, is_saved_data_set, read_saved

__all__ = [
    "DELIMITERS",
    "TARGET",
    "Examples",
    "Row",
    "Table",
    "checked",
    "examples_of",
    "inputs_of",
    "is_stream",
    "is_table",
    "pairs_of",
    "read_table",
    "rows_of",
]


def is_table(argument: str, options: TableOptions, kind: str = TEXT) -> bool:
    """Whether an argument that may be an input or a table is a table.

    It is one if it exists, if it has the ending of one, or if it is a slip for the name of a file that exists. A file
    with another ending is an image, for a classifier of these.

    Raises:
        InvalidInputError: it is a file, but not of a known kind.
    """
    if is_stream(argument) or os.path.isdir(argument):
        return True
    if kind != TEXT:
        return ending_of(argument) is not None or options.format is not None
    ending = ending_of(argument) or (Path(argument).suffix if shows_form(argument) else None)
    if os.path.isfile(argument):
        if ending is None and options.format is None:
            raise InvalidInputError(
                f"{argument!r} is a file, but not a known kind of table ({endings()}). Add --format to say how to read "
                f"it, or --text to classify the words themselves{cure_of(argument)}."
            )
        return True
    in_folder = os.path.dirname(argument)
    if ending is None and len(argument.split()) == 1 and is_misspelt(argument):
        there = near_paths(argument, can_be_read)
        if any(is_slip(argument, path) for path in there):
            return True
        if there:
            say(f"{argument!r} is read as a text, as no file has this name (near it: {there[0]!r}; --table reads one).")
        return False
    return ending is not None and (len(argument.split()) == 1 or (in_folder != "" and os.path.isdir(in_folder)))


def read_table(
    source: str,
    options: TableOptions,
    usual_split: str,
    *,
    labels: bool = True,
    others: bool = False,
    inputs: Sequence[str] = (TEXT,),
    answer: str = LABEL,
) -> Table:
    """Reads the inputs of a table and, where they are wanted, their labels or targets.

    Args:
        source: a file, a folder of data files or of class folders, `-` for standard input, a pipe, or a data set on
            the Hub as `name` or `name:configuration`.
        options: how to read it.
        usual_split: the split to read if the options name none.
        labels: whether labels are wanted; if not, standard input and a `.txt` file may hold lines of text.
        others: whether all other columns are wanted too, after these.
        inputs: what the inputs may be: texts, images, or those that are found.
        answer: what goes with an input, `LABEL` or `TARGET`.

    Raises:
        InvalidInputError: there is no such table, it cannot be read, it lacks a column or it is empty.
        MissingExtraError: an Excel file, without the package that reads it.
    """
    columns = Columns(options, inputs, labels, others, answer)
    folder = source if os.path.isdir(source) else os.path.dirname(source) if os.path.isfile(source) else ""
    if is_stream(source):
        content = read_stream(
            source, options, columns, lines=not labels and not kind_of_inputs(columns.input).are_files
        )
        table = table_of(content.source, _rows(content, options, columns), columns, content.source)
    elif os.path.isfile(source):
        content = read_file(source, options, columns, lines=not labels and not kind_of_inputs(columns.input).are_files)
        if options.split is not None and content.ending not in EXCELS:
            raise InvalidInputError(f"{source!r} is a file and has no splits: leave out --split, or name its own file.")
        table = table_of(source, _rows(content, options, columns), columns, os.path.basename(source))
    elif os.path.isdir(source):
        table = _folder(source, options, usual_split, columns)
    else:
        table = read_hub(source, columns, options.split or usual_split)
        if options.split is None:
            columns.say(f"{source}: reads the split {usual_split!r} (--split names another).")
    if not table.rows and not table.bad:
        raise InvalidInputError(f"{table.source!r} has no rows.")
    return table._replace(folder=folder)


def _rows(content: Content, options: TableOptions, columns: Columns) -> Iterator[Row]:
    source, data, ending = content
    if ending == PARQUET:
        return _parquet_of(source, data, columns) if data else read_parquet(source, source, columns)
    if ending in EXCELS:
        return read_excel(source, data, columns, options.split)
    text = decode(data, options.encoding, source, columns, options.skip_bad_rows)
    if not text.strip():
        raise InvalidInputError(f"{source!r} is empty.")
    if ending in JSONS:
        return read_objects(source, text, columns)
    if ending in DELIMITERS:
        marked = columns.others and text.encode("utf-8", "surrogateescape") != data
        return read_delimited(source, text, ending, columns, options, marked)
    return _lines(source, text, columns)


def _parquet_of(source: str, data: bytes, columns: Columns) -> Iterator[Row]:
    """The rows of a parquet file that came through a pipe, by way of a file: parquet is read from its end."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "table.parquet")
        path.write_bytes(data)
        yield from read_parquet(source, str(path), columns)


def _lines(source: str, text: str, columns: Columns) -> Iterator[Row]:
    if columns.labels:
        raise InvalidInputError(f"{source!r} is read as lines of text, which have no {columns.answer}s; give a table.")
    columns.find(source, [columns.asked[columns.input] or (columns.input if columns.header else "1")])
    lines = (line.rstrip("\r\n") for line in lines_of(text))
    written = ((place, line) for place, line in enumerate(lines, start=1) if line.strip())
    yield from (Row(number, (line,), place) for number, (place, line) in enumerate(written, start=1))


def _folder(folder: str, options: TableOptions, usual_split: str, columns: Columns) -> Table:
    name = os.path.basename(os.path.abspath(folder))
    if is_saved_data_set(folder):
        return read_saved(folder, name, options.split, usual_split, columns)
    carded = files_by_card(folder)
    files = data_files(folder)
    if carded is not None:
        chosen = choose_of(folder, carded.files, options.split, usual_split)
        found = carded.named(_rows_of_files(folder, chosen.files, options, columns), columns)
    elif files:
        check_no_classes(folder, files, columns)
        chosen = choose(folder, files, options.split, usual_split, columns)
        found = _rows_of_files(folder, chosen.files, options, columns)
    else:
        files = files_of_classes(folder, settle_inputs(folder, columns), columns)
        chosen = choose_inputs(folder, files, options.split, usual_split, columns)
        found = read_class_folders(folder, chosen, columns, options)
    chosen.say(folder, columns)
    title = folder if chosen.split is None else f"{folder} ({chosen.split})"
    table = table_of(title, found, columns, name, split=chosen.split)
    return table if table.columns else table._replace(columns=columns.kinds)  # class folders have no header


def _rows_of_files(folder: str, files: list[Path], options: TableOptions, columns: Columns) -> Iterator[Row]:
    options = options._replace(split=None)
    for path in files:
        file = path.relative_to(folder)
        for row in _rows(read_file(str(path), options, columns, lines=False), options, columns):
            if not row.problem and kind_of_inputs(columns.input).are_files and isinstance(row.cells[0], str):
                row = row._replace(cells=(str(file.parent / row.cells[0]), *row.cells[1:]))
            yield row._replace(file=file.as_posix() if len(files) > 1 else "")
