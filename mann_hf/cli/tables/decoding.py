"""Decodes bytes: UTF-8, or an encoding that is named or detected."""

import codecs
import re

from ...errors import InvalidInputError
from .columns import Columns

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
START = 1000
"""Bytes that tell what a file is."""
PARQUET_START = re.compile(rb"PAR1.*\0", re.DOTALL)
OTHERS = {
    re.compile(rb"\x89PNG"): "a PNG picture",
    re.compile(rb"\xff\xd8\xff"): "a JPEG picture",
    re.compile(rb"GIF8[79]a.*\0", re.DOTALL): "a GIF picture",
    re.compile(rb"%PDF-\d"): "a PDF document",
    re.compile(rb"PK\x03\x04"): "a zip archive or an Office document",
    re.compile(rb"\xd0\xcf\x11\xe0"): "an old Office document",
    re.compile(rb"\x1f\x8b"): "a gzip archive",
    PARQUET_START: "a parquet file",
}
"""Kinds of files by their first `START` bytes; GIF and parquet need a zero byte, as a text may begin with GIF89a."""
WESTERN = "cp1252"
"""The encoding of Windows and Excel in Western Europe and America; Latin-1 has the same letters."""
MOST_ACCENTS = 0.3
"""In a text of a Western language, the largest ratio of letters outside of ASCII to those in it."""


def decode(data: bytes, encoding: str | None, source: str, columns: Columns, skip_bad_rows: bool) -> str:
    """Decodes the bytes of a text file.

    Args:
        data: the bytes.
        encoding: None to detect it, with a note if it is not UTF-8.
        source: name of the table in messages.
        columns: prints each note once.
        skip_bad_rows: whether bytes that are not UTF-8 are kept as surrogates, so that their rows can be skipped.

    Raises:
        InvalidInputError: the bytes are not text in that encoding, or no encoding is detected.
    """
    kind = next((kind for start, kind in OTHERS.items() if start.match(data[:START])), None)
    if kind is not None:
        raise InvalidInputError(
            f"{source!r} is {kind}, not text; give a table, or rename the file if only its ending is wrong."
        )
    named = encoding or next((name for mark, name in MARKS if data.startswith(mark)), None) or _two_byte(data)
    if named is not None:
        try:
            text = data.decode(named)
        except UnicodeError as error:
            raise InvalidInputError(f"{source!r} is no text in {named}: {error}.") from None
        except (LookupError, ValueError):  # a name with a zero in it is a ValueError
            raise InvalidInputError(
                f"there is no encoding {named!r}; some are utf-8, utf-16, cp1252, latin-1, cp1251, shift_jis, gb18030."
            ) from None
        if encoding is None:
            columns.say(f"{source}: is read as {named} (--encoding names another).")
        return text.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        failure = error
    lossy = data.decode("utf-8", "replace")
    damaged, whole = lossy.count("\ufffd"), len(re.findall(r"[^\x00-\x7f\ufffd]", lossy))
    if whole > damaged:  # UTF-8 with some damage, and not another encoding
        if skip_bad_rows:
            return data.decode("utf-8-sig", "surrogateescape")
    else:
        accents = sum(byte >= 0x80 for byte in data)
        letters = len(re.findall(rb"[A-Za-z]", data))
        try:
            text = data.decode(WESTERN)
        except UnicodeDecodeError:
            text = ""
        if text and accents <= max(1, MOST_ACCENTS * letters):
            example = re.search(r"\S*[^\x00-\x7f]\S*", text)
            shown = f", as in {example[0][:40]!r}" if example else ""
            columns.say(f"{source}: is no UTF-8 and is read as {WESTERN}{shown} (--encoding names another).")
            return text
    raise InvalidInputError(
        f"{source!r} is not UTF-8 text ({failure.reason} at byte {failure.start}): save it again in UTF-8, or name "
        "its encoding, as in --encoding cp1251."
    )


def lines_of(text: str) -> list[str]:
    """The lines of a text with their line breaks, which may be those of any system."""
    if "\r" in text:
        return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _two_byte(data: bytes) -> str | None:
    """UTF-16 without a byte order mark, which is detected by the zero bytes beside ASCII letters; None otherwise."""
    start = data[:4096]
    half = len(start) // 2
    if half < 2:
        return None
    zeros = [start[place::2].count(0) for place in (0, 1)]
    if zeros[1] > half / 2 and zeros[0] < half / 20:
        return "utf-16-le"
    if zeros[0] > half / 2 and zeros[1] < half / 20:
        return "utf-16-be"
    return None
