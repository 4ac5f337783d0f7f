"""Reads the bytes of a file, a pipe or standard input, unpacks them and finds their format."""

import bz2
import codecs
import gzip
import io
import lzma
import os
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ...errors import InvalidInputError
from ...wording import counted, listed, shown
from ..options import Format, TableOptions
from .columns import Columns
from .decoding import PARQUET_START, START, decode
from .delimited import DELIMITERS, has_header, shape_of_table

JSONS = (".json", ".jsonl", ".ndjson")
PARQUET = ".parquet"
EXCELS = (".xlsx", ".xlsm")
LINES = ".txt"
OTHER_SHEETS = (".xls", ".xlsb", ".ods", ".numbers")
ENDINGS = (*DELIMITERS, *JSONS, PARQUET, *EXCELS)
PACKED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}
NO_ZIP = (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError)
"""Errors of opening a damaged zip file."""
ENCRYPTED = 1
"""The flag of a zip file's entry that has a password."""
LOCK = "~$"
"""The beginning of the name of the lock file that Office puts beside an open file."""
STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/")
"""Names under which the shell passes on the output of a command, as in `<(command)`."""
OLD_OFFICE = b"\xd0\xcf\x11\xe0"
"""The beginning of old Office documents, and of new ones with a password."""
TWO_BYTES = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
CALLED = {
    Format.PARQUET: "a parquet file",
    Format.XLSX: "an Excel file",
    Format.JSON: "text in the form of json",
    Format.CSV: "text",
}
LARGEST = 2**28
"""The largest number of bytes of a text file or a pipe, and of a packed file once it is unpacked."""
IN_PARTS = "give it in parts, or as parquet"


class Content(NamedTuple):
    """A file or stream: its name in messages, its unpacked bytes, and the ending of its format (`.txt` for lines)."""

    source: str
    data: bytes
    ending: str


def is_stream(source: str) -> bool:
    """Whether a path is standard input, a pipe or a device, and neither a file nor a folder."""
    return (
        source in STANDARD_INPUT
        or source.startswith(DESCRIPTORS)
        or (os.path.exists(source) and not os.path.isfile(source) and not os.path.isdir(source))
    )


def ending_of(path: str) -> str | None:
    """The ending of a file, without that of packing, if it is that of a table; None otherwise."""
    ending = Path(path.lower()).suffix
    packed = ending in PACKED
    if packed:
        ending = Path(path.lower().removesuffix(ending)).suffix
    return None if ending not in ENDINGS or (packed and ending in (PARQUET, *EXCELS)) else ending


def endings() -> str:
    """The endings of tables, for messages."""
    return ", ".join(ENDINGS)


def cure_of(path: str) -> str:
    """What helps with a file of another kind, for the end of an error; may be empty."""
    return "; save it as .xlsx or csv" if Path(path.lower()).suffix in OTHER_SHEETS else ""


def shows_form(path: str) -> bool:
    """Whether the format of a file follows from its content because its name leaves it open: `.txt` or packed."""
    return Path(path.lower()).suffix in (LINES, *PACKED)


def is_misspelt(path: str) -> bool:
    """Whether the ending of a name is nearly that of a table, as in `tickets.cvs`."""
    known = (*ENDINGS, *PACKED, *OTHER_SHEETS, LINES)
    return bool(get_close_matches(Path(path.lower()).suffix, known, n=1, cutoff=0.7))


def is_slip(typed: str, meant: str) -> bool:
    """Whether a name was surely typed in place of another file's: `tickets.cvs` or `tickets.text`, not `hello.text`.

    Either the names are equal and the ending has one typo, or the ending has its letters in another order and the name
    has at most one typo.
    """
    name, ending = Path(typed.lower()).stem, Path(typed.lower()).suffix
    other, its_ending = Path(meant.lower()).stem, Path(meant.lower()).suffix
    if name == other:
        return _one_typo(ending, its_ending)
    return ending != its_ending and sorted(ending) == sorted(its_ending) and _one_typo(name, other)


def _one_typo(one: str, other: str) -> bool:
    """Whether two words differ in at most one letter, or in the order of two adjacent ones."""
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return max(len(one), len(other)) <= 1 or (len(one) == 2 and one == other[::-1])


def can_be_read(path: Path) -> bool:
    """Whether a path is a folder or a file whose name may be that of a table."""
    return path.is_dir() or (path.is_file() and (ending_of(path.name) is not None or shows_form(path.name)))


def read_file(path: str, options: TableOptions, columns: Columns, lines: bool) -> Content:
    """The content of a file, in the format of the options, of its ending or, if that leaves it open, of its content.

    With `lines` it may be lines of text.

    Raises:
        InvalidInputError: it cannot be read, is empty or too large, or has an ending of another kind.
    """
    if Path(path).name.startswith(LOCK):
        raise InvalidInputError(
            f"{path!r} only says that Office has the file {Path(path).name.removeprefix(LOCK)!r} open; close that file "
            "there, and give its own name."
        )
    ending = _named(options) or ending_of(path)
    if ending is None and not shows_form(path):
        raise InvalidInputError(
            f"{path!r} is read as a table only if its name ends in {endings()} (texts packed as "
            f"{', '.join(PACKED)}, too), or with --format{cure_of(path)}."
        )
    with _readable(repr(path)):
        if ending == PARQUET and Path(path.lower()).suffix == PARQUET and _begins_as_parquet(path):
            return Content(path, b"", PARQUET)  # is read in parts
        if os.path.getsize(path) > LARGEST:
            raise InvalidInputError(f"{path!r} has more than {LARGEST:,} bytes; {IN_PARTS}.")
        data = Path(path).read_bytes()
    data, name = _unpacked(data, path, Path(path.lower()).suffix)
    if not data.strip():
        raise InvalidInputError(f"{path!r} is empty.")
    if ending is not None:
        _check_form(path, data, ending)
    return Content(path, data, ending or ending_of(name) or _form(path, data, options, columns, lines))


def read_stream(source: str, options: TableOptions, columns: Columns, lines: bool) -> Content:
    """The content of standard input (`-`) or a pipe, in the format of the options or of its content.

    With `lines` it may be lines of text.

    Raises:
        InvalidInputError: nothing came, or it is a terminal or a device.
    """
    if source in STANDARD_INPUT:
        source, data = "standard input", _all(_standard_input(), "standard input")
    else:
        kind = os.stat(source).st_mode
        if stat.S_ISBLK(kind) or (stat.S_ISCHR(kind) and source != os.devnull):
            raise InvalidInputError(f"{source!r} is a device; give a file, a folder, a pipe or - for standard input.")
        with _readable(repr(source)), open(source, "rb") as pipe:
            data = _all(pipe, source)
    if not data.strip():
        raise InvalidInputError(f"nothing came from {source}; give it {'texts or ' if lines else ''}a table.")
    for mark, ending in ((b"\x1f\x8b", ".gz"), (b"BZh", ".bz2"), (b"\xfd7zXZ", ".xz")):
        if data.startswith(mark):
            data, _ = _unpacked(data, source, ending)
    return Content(source, data, _named(options) or _form(source, data, options, columns, lines))


def _named(options: TableOptions) -> str | None:
    """The ending of files in the format of the options; None if they name none."""
    return None if options.format is None else LINES if options.format is Format.LINES else f".{options.format.value}"


def _form(source: str, data: bytes, options: TableOptions, columns: Columns, lines: bool) -> str:
    if PARQUET_START.match(data[:START]):
        return PARQUET
    if data.startswith(b"PK\x03\x04"):
        return EXCELS[0]
    text = decode(data, options.encoding, source, columns, options.skip_bad_rows)
    if re.match(r'\s*(\[\s*)?\{\s*"', text):
        return ".jsonl"
    if not lines or options.delimiter or options.no_header:
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


def _begins_as_parquet(path: str) -> bool:
    with open(path, "rb") as file:
        return PARQUET_START.match(file.read(START)) is not None


def _check_form(path: str, data: bytes, ending: str) -> None:
    """Raises if the content of a file is clearly not in the format in which it would be read."""
    binary = ending in (PARQUET, *EXCELS)
    if PARQUET_START.match(data[:START]):
        form = Format.PARQUET
    elif _is_workbook(data):
        form = Format.XLSX
    elif binary and (b"\0" not in data[:START] or data.startswith(TWO_BYTES)):
        form = Format.JSON if data.lstrip()[:1] in (b"[", b"{") else Format.CSV
    elif ending in EXCELS and data.startswith(OLD_OFFICE):
        raise InvalidInputError(
            f"{path!r} has a password, or is an old Excel file (.xls); open it in Excel and save it as .xlsx without a "
            "password."
        )
    else:
        return
    if ending != f".{form.value}" and not (form is Format.XLSX and ending in EXCELS):
        raise InvalidInputError(
            f"{path!r} is {CALLED[form]} by its content, whatever its name: read it with --format {form.value}, or "
            "give it the right ending."
        )


def _is_workbook(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return "xl/workbook.xml" in packed.namelist()
    except NO_ZIP:
        return False


def _standard_input() -> BinaryIO:
    if sys.stdin is None or sys.stdin.closed:
        raise InvalidInputError("there is no standard input; give a file.")
    if sys.stdin.isatty():
        raise InvalidInputError(
            "standard input is a terminal; send it texts or a table, as in `mann-hf predict FOLDER - < texts.txt`."
        )
    return sys.stdin.buffer


def _all(stream: BinaryIO, source: str) -> bytes:
    with _readable(source):
        return _bounded(stream.read(LARGEST + 1), source)


@contextmanager
def _readable(source: str) -> Iterator[None]:
    """Names the source in an error of reading it."""
    try:
        yield
    except OSError as error:
        raise InvalidInputError(f"{source} cannot be read: {error.strerror or error}") from None


def _bounded(data: bytes, source: str) -> bytes:
    if len(data) > LARGEST:
        raise InvalidInputError(f"{source} gives more than {LARGEST:,} bytes; {IN_PARTS}.")
    return data


def _unpacked(data: bytes, source: str, ending: str) -> tuple[bytes, str]:
    """The unpacked bytes of a file that may be packed, and its name without the ending of packing."""
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
            if packed.getinfo(names[0]).flag_bits & ENCRYPTED:
                raise InvalidInputError(f"{source!r} is locked with a password; unpack it and give the file in it.")
            with packed.open(names[0]) as file:
                return _bounded(file.read(LARGEST + 1), source), names[0]
    except (EOFError, OSError, zlib.error, lzma.LZMAError, RuntimeError, *NO_ZIP) as error:
        raise InvalidInputError(f"{source!r} is not a complete {PACKED[ending]} file: {error}") from None
