"""The bytes behind a file, a pipe or standard input, and in which form they are."""

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import sys
import zipfile
import zlib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ...errors import InvalidInputError
from ...wording import counted, listed, shown
from ..options import Format, TableOptions
from .columns import Columns
from .decoding import decode
from .delimited import DELIMITERS, has_header, shape_of_table

JSONS = (".json", ".jsonl", ".ndjson")
PARQUET = ".parquet"
EXCELS = (".xlsx", ".xlsm")
LINES = ".txt"
OTHER_SHEETS = (".xls", ".xlsb", ".ods", ".numbers")
ENDINGS = (*DELIMITERS, *JSONS, PARQUET, *EXCELS)
PACKED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}
STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/")
"""Where the shell puts what it hands on, as in `<(command)`."""
LARGEST = 2**28
"""Bytes that are read of a pipe or a file of text at most, and of a packed file once it is unpacked."""
IN_PARTS = "give it in parts, or as parquet"


class Content(NamedTuple):
    """What was read.

    Attributes:
        source: as messages say it.
        data: its bytes, unpacked.
        ending: that of files in its form, or `.txt` for lines of text.
    """

    source: str
    data: bytes
    ending: str


def is_stream(source: str) -> bool:
    """Whether it is standard input, a pipe or a device, and neither a file nor a folder."""
    return (
        source in STANDARD_INPUT
        or source.startswith(DESCRIPTORS)
        or (os.path.exists(source) and not os.path.isfile(source) and not os.path.isdir(source))
    )


def ending_of(path: str) -> str | None:
    """The ending that says how a file is read; None for a file of another kind."""
    ending = Path(path.lower()).suffix
    packed = ending in PACKED
    if packed:
        ending = Path(path.lower().removesuffix(ending)).suffix
    return None if ending not in ENDINGS or (packed and ending in (PARQUET, *EXCELS)) else ending


def endings() -> str:
    """The endings of tables, as messages say them."""
    return ", ".join(ENDINGS)


def cure_of(path: str) -> str:
    """What helps with a file of another kind, at the end of an error; empty if nothing is known."""
    return "; save it as .xlsx or csv" if Path(path.lower()).suffix in OTHER_SHEETS else ""


def shows_form(path: str) -> bool:
    """Whether the content of a file says how it is read, as its name does not: a `.txt`, or a packed file."""
    return Path(path.lower()).suffix in (LINES, *PACKED)


def is_misspelt(path: str) -> bool:
    """Whether the ending of a name is nearly one of a table's, as in `tickets.cvs`."""
    known = (*ENDINGS, *PACKED, *OTHER_SHEETS, LINES)
    return bool(get_close_matches(Path(path.lower()).suffix, known, n=1, cutoff=0.7))


def can_be_read(path: Path) -> bool:
    """Whether a path is that of a file that may be a table, by its name, or of a folder."""
    return path.is_dir() or (path.is_file() and (ending_of(path.name) is not None or shows_form(path.name)))


def read_file(path: str, options: TableOptions, columns: Columns, lines: bool) -> Content:
    """The content of a file, by its ending, in the form that it shows, or as the options have it.

    Args:
        path: of the file.
        options: of the command.
        columns: those that are wanted.
        lines: whether it may be lines of text.

    Raises:
        InvalidInputError: it cannot be read, is empty or too large, or its ending is none of a table.
    """
    ending = _named(options) or ending_of(path)
    if ending is None and not shows_form(path):
        raise InvalidInputError(
            f"{path!r} is read as a table only if its name ends in {endings()} (texts packed as "
            f"{', '.join(PACKED)}, too), or with --format{cure_of(path)}."
        )
    if ending == PARQUET and Path(path.lower()).suffix == PARQUET:
        return Content(path, b"", PARQUET)  # which is read in parts
    try:
        if os.path.getsize(path) > LARGEST:
            raise InvalidInputError(f"{path!r} has more than {LARGEST:,} bytes; {IN_PARTS}.")
        data = Path(path).read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path!r} cannot be read: {error.strerror or error}") from None
    data, name = _unpacked(data, path, Path(path.lower()).suffix)
    if not data.strip():
        raise InvalidInputError(f"{path!r} is empty.")
    return Content(path, data, ending or ending_of(name) or _form(path, data, options, columns, lines))


def read_stream(source: str, options: TableOptions, columns: Columns, lines: bool) -> Content:
    """The content of standard input or a pipe, in the form that it shows.

    Args:
        source: `-`, or a path.
        options: of the command.
        columns: those that are wanted.
        lines: whether it may be lines of text.

    Raises:
        InvalidInputError: nothing came, it is a terminal, or no pipe at all.
    """
    if source in STANDARD_INPUT:
        source, data = "standard input", _all(_standard_input(), "standard input")
    else:
        kind = os.stat(source).st_mode
        if stat.S_ISBLK(kind) or (stat.S_ISCHR(kind) and source != os.devnull):
            raise InvalidInputError(f"{source!r} is a device; give a file, a folder, a pipe or - for standard input.")
        try:
            with open(source, "rb") as pipe:
                data = _all(pipe, source)
        except OSError as error:
            raise InvalidInputError(f"{source!r} cannot be read: {error.strerror or error}") from None
    if not data.strip():
        raise InvalidInputError(f"nothing came from {source}; give it {'texts or ' if lines else ''}a table.")
    for mark, ending in ((b"\x1f\x8b", ".gz"), (b"BZh", ".bz2"), (b"\xfd7zXZ", ".xz")):
        if data.startswith(mark):
            data, _ = _unpacked(data, source, ending)
    return Content(source, data, _named(options) or _form(source, data, options, columns, lines))


def _named(options: TableOptions) -> str | None:
    """The ending of files in the form that an option names."""
    return None if options.format is None else LINES if options.format is Format.LINES else f".{options.format.value}"


def _form(source: str, data: bytes, options: TableOptions, columns: Columns, lines: bool) -> str:
    if data.startswith(b"PAR1"):
        return PARQUET
    if data.startswith(b"PK\x03\x04"):
        return EXCELS[0]
    text = decode(data, options.encoding, source, columns, options.skip_bad_rows)
    if re.match(r'\s*(\[\s*)?\{\s*"', text):
        return ".jsonl"
    if not lines or options.delimiter or not options.header:
        return ".csv"
    if has_header(text, columns):
        columns.say(f"{source}: is read as a table, by its header (--format lines reads each line as a text).")
        return ".csv"
    if (shape := shape_of_table(text)) is not None:
        names = listed((shown(name, 40) for name in shape[1]), 20)
        raise InvalidInputError(
            f"{source}: looks like a table, whose first row is {names}: name the column of texts with --format csv "
            "--text-column NAME (or add --no-header), or read each line as a text with --format lines."
        )
    columns.say(f"{source}: each line is read as a text (--format csv reads a table).")
    return LINES


def _standard_input() -> BinaryIO:
    if sys.stdin is None or sys.stdin.closed:
        raise InvalidInputError("there is no standard input; give a file.")
    if sys.stdin.isatty():
        raise InvalidInputError(
            "standard input is a terminal; send it texts or a table, as in `mann-hf predict FOLDER - < texts.txt`."
        )
    return sys.stdin.buffer


def _all(stream: BinaryIO, source: str) -> bytes:
    try:
        data = stream.read(LARGEST + 1)
    except OSError as error:
        raise InvalidInputError(f"{source} cannot be read: {error.strerror or error}") from None
    return _bounded(data, source)


def _bounded(data: bytes, source: str) -> bytes:
    if len(data) > LARGEST:
        raise InvalidInputError(f"{source} gives more than {LARGEST:,} bytes; {IN_PARTS}.")
    return data


def _unpacked(data: bytes, source: str, ending: str) -> tuple[bytes, str]:
    """The bytes of a file that may be packed, and the name that it has once it is not."""
    if ending not in PACKED:
        return data, source
    try:
        if ending != ".zip":
            opened: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[ending]
            with opened(io.BytesIO(data)) as file:
                return _bounded(file.read(LARGEST + 1), source), Path(source).stem
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            names = [each.filename for each in packed.infolist() if not each.is_dir()]
            names = [name for name in names if not Path(name).name.startswith(".") and "__MACOSX" not in name]
            if len(names) != 1:
                raise InvalidInputError(
                    f"{source!r} holds {counted(len(names), 'file')}, {listed(map(repr, names))}; unpack it and name "
                    "one, or its folder."
                )
            with packed.open(names[0]) as file:
                return _bounded(file.read(LARGEST + 1), source), names[0]
    except (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError) as error:
        raise InvalidInputError(f"{source!r} is not a complete {PACKED[ending]} file: {error}") from None
