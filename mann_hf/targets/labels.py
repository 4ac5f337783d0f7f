"""The one spelling of a label, whatever file, data frame or call it comes from.

A label that one tool writes as `True`, `1.0` or `card ` and another as `true`, `1` or `card` is one class. What can be
no label is refused by name: a list that was written as text, a row of zeros and ones, a missing value.
"""

import ast
import datetime as dt
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ..errors import InvalidInputError, InvalidTypeError
from ..wording import shown

UNSEEN = re.compile("[\u00ad\u180e\u200b\u2060\ufeff]")
"""Marks without width that mean nothing within a word: the soft hyphen, zero-width spaces, the byte order mark."""
AT_ENDS = re.compile(r"^[\s\u200c-\u200f]+|[\s\u200c-\u200f]+$")
"""White space, and the joiners and marks of direction that mean something only between letters."""
WHOLE = re.compile(r"[+-]?(?:0|[1-9]\d*)\.0+|[+-]?\d(?:\.\d+)?e\+\d{1,3}", re.ASCII)
"""A number as numpy and data frames write whole ones in a column of floats (1.0, 1e+16); 1.5e+00 is none."""
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
"""A date with a time, as files have it. Data frames write a date with the time of midnight to some of them."""
DURATION = re.compile(
    r"(-?\d{1,8}) days [+]?([01]\d|2[0-3]):([0-5]\d):([0-5]\d(?:\.\d{1,6}0*)?)|"
    r"P(-?\d{1,8})DT(1?\d|2[0-3])H([1-5]?\d)M([1-5]?\d(?:\.\d{1,6}0*)?)S",
    re.ASCII,
)
"""A duration as data frames write it to csv or to json; one of days alone may be written as that: 2 days.

Python knows none finer than microseconds, and two of those would become one.
"""
UNQUOTED_LIST = re.compile(r"\[.*,.*\]|\[[\d.\s+-]+\]|\[\s*['\"].*\]|array\(.*\)", re.DOTALL)
"""Lists as numpy and others write them, without commas or without quotes."""
BYTES = re.compile(r"""b'[^'\\]*'|b"[^"\\]*\"""", re.ASCII)
"""Bytes as Python writes them."""
SPREADSHEET_ERRORS = frozenset(
    ("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!", "#GETTING_DATA")
)
"""What a spreadsheet shows in a cell that it cannot calculate."""
BETWEEN_LABELS = "|"
"""What stands between several labels in a cell of text."""
LONGEST_NUMBER, LARGEST_EXPONENT = 400, 309
"""The most letters of a text that is looked at as a number, and the powers of ten that no float reaches."""
EXACT = 2**53
"""Whole numbers from here on are rounded where they are kept as floats, so that two become one."""
FINER = "times finer than microseconds, of which two would become one; give it as text"
MULTI_HOT = "give the names of its labels, as in [name for name, has in zip(names, row) if has]"


def spell_label(label: Any) -> str:
    """A label as it is kept: text without white space at its ends, the same for numbers and booleans of every type.

    Runs of white space within it become one space, marks without width go, and letters are composed (Unicode NFC).
    Booleans are `true` and `false`, and so are the texts TRUE, True and true; whole numbers have neither sign of plus
    nor point, and so have texts such as 1.0; 007 stays as it is. A date is 2020-01-31, with a time of day other than
    midnight 2020-01-31 10:00:00. A duration is 2 days or 2 days 01:30:00.

    Raises:
        InvalidInputError: no label, half a surrogate pair, or a list that was written as text.
        InvalidTypeError: a list, a number with a fraction or one too large to be exact, bytes, or anything else that
            is no name.
    """
    if is_missing(label):
        raise InvalidInputError("no label; leave out what has none")
    label = plain(label)
    if isinstance(label, str):
        return _checked(str.__str__(label))  # of a member of an enumeration the text, not the member's name
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, int):
        return _whole(label)
    if isinstance(label, (float, Decimal)):
        if math.isfinite(label) and label == int(label):
            return _exact(int(label)) if isinstance(label, float) else _whole(int(label))
        raise InvalidTypeError(
            f"{label} is neither a name nor a whole number; use problem_type='regression' for numbers, or give it as "
            "text"
        )
    if isinstance(label, (list, tuple, set, frozenset)):
        if _is_zeros_and_ones(label):
            raise InvalidTypeError(
                f"{shown(label)} is a row of zeros and ones (one-hot or multi-hot); give the names of its labels"
            )
        raise InvalidTypeError(
            f"{shown(label)} is a list; for several labels an input use problem_type='multi_label_classification'"
        )
    if isinstance(label, (dt.date, dt.time)):
        return same_label(label.isoformat())
    if isinstance(label, dt.timedelta):
        if getattr(label, "nanoseconds", 0):  # of pandas
            raise InvalidInputError(f"{shown(label)} has {FINER}")
        return _spelled_duration(label)
    if isinstance(label, Mapping):
        raise InvalidTypeError(f"{shown(dict(label))} is a dict, not a label")
    if isinstance(label, bytes):
        raise InvalidTypeError(f"{shown(label)} is bytes, not a label; decode it, as in label.decode()")
    raise InvalidTypeError(f"{shown(label)} is of type {type(label).__name__}; a label is a name or a whole number")


class Spellings(dict[str, str]):
    """Finds the spelling of each text once, as a table has few labels and many rows.

    For one call and no longer: a label that is forgotten must not stay in the process.
    """

    def __missing__(self, text: str) -> str:
        self[text] = spelled = spell_label(text)
        return spelled

    def of(self, label: Any) -> str:
        """What `spell_label` makes of a label, with its errors."""
        return self[label] if type(label) is str else spell_label(label)


def labels_in(cell: Any) -> list[Any]:
    """The labels of a table's cell as they are written, none of an empty one: a list, or a text with `|` between them.

    Raises:
        InvalidInputError: a list that was written as text and cannot be read again.
    """
    if isinstance(cell, list):
        return cell
    if is_missing(cell):
        return []
    if not isinstance(cell, str):
        return [cell]
    written = list_in(cell)
    return cell.split(BETWEEN_LABELS) if written is None else written


def spell_labels(labels: Any, spell: Callable[[Any], str] = spell_label) -> tuple[str, ...]:
    """Several labels of one input as they are kept, each once; none of an empty list.

    Args:
        labels: a list, tuple, set or array.
        spell: gives the spelling of one.

    Raises:
        InvalidInputError: a label of it is missing or none that `spell_label` takes.
        InvalidTypeError: no list, tuple, set or array.
    """
    labels = plain(labels)
    if not isinstance(labels, (list, tuple, set, frozenset)):
        raise InvalidTypeError(f"{shown(labels)} is not a list; give the labels of each example as a list of names")
    inner = next((label for label in map(plain, labels) if isinstance(label, (list, tuple, set, frozenset))), None)
    if inner is not None and not _is_zeros_and_ones(inner):
        raise InvalidTypeError(
            f"{shown(labels)} holds a list, {shown(inner)}, where a name belongs; give each input one list of names, "
            "as in ['late', 'broken']"
        )
    spelled = [spell(label) for label in labels]
    if isinstance(labels, (set, frozenset)):
        spelled.sort()
    elif len(set(spelled)) < len(spelled) and set(spelled) <= {"0", "1", "true", "false"}:
        raise InvalidInputError(f"{shown(labels)} is a row of zeros and ones (multi-hot); {MULTI_HOT}")
    return tuple(dict.fromkeys(spelled))


def check_not_multi_hot(rows: Sequence[Any]) -> None:
    """Raises if all rows of several labels have one length and nothing but zeros and ones.

    Args:
        rows: lists as they came, before they are spelled.
    """
    rows = [list(row) for row in map(plain, rows) if isinstance(row, (list, tuple)) and row]
    if rows and len(rows[0]) > 1 and all(len(row) == len(rows[0]) and _is_zeros_and_ones(row) for row in rows):
        raise InvalidInputError(
            f"all rows hold only zeros and ones (multi-hot), such as {shown(rows[0])}; {MULTI_HOT}."
        )


def is_missing(label: Any) -> bool:
    """Whether it stands for no label: None, NaN, NaT or NA of any library, or a text without a letter."""
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    label = plain(label)
    if isinstance(label, str):
        return not same_label(label)
    if isinstance(label, Decimal):
        return label.is_nan()
    return label is None or (isinstance(label, float) and math.isnan(label))


def same_label(text: str) -> str:
    """What two texts that are one label have in common; nothing is refused.

    For labels of a memory that was saved by a version that kept them as they came.
    """
    text = _without_marks(text)
    if text in ("True", "TRUE", "False", "FALSE"):
        return text.lower()
    if moment := MOMENT.fullmatch(text):
        return _spelled_moment(*moment.groups(default=""))
    if duration := DURATION.fullmatch(text):
        days, hours, minutes, seconds = (part for part in duration.groups() if part)
        return _spelled_duration(dt.timedelta(int(days), float(seconds), hours=int(hours), minutes=int(minutes)))
    number = _whole_number(text)
    return text if number is None else str(number)


def _without_marks(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(AT_ENDS.sub("", UNSEEN.sub("", text)).split()))


def _whole_number(text: str) -> int | None:
    """The whole number that a text of `WHOLE` is; None for another text or number, and for one beyond all floats."""
    if len(text) > LONGEST_NUMBER or not WHOLE.fullmatch(text):
        return None
    number = Decimal(text)
    return int(number) if number.adjusted() < LARGEST_EXPONENT and number == int(number) else None


def _spelled_moment(date: str, minutes: str, seconds: str, fraction: str, zone: str) -> str:
    time = f"{minutes}{seconds or ':00'}{fraction.rstrip('0').rstrip('.')}"
    return date if time == "00:00:00" and not zone else f"{date} {time}{zone.replace('Z', '+00:00')}"


def _spelled_duration(duration: dt.timedelta) -> str:
    time = (dt.datetime.min + dt.timedelta(0, duration.seconds, duration.microseconds)).time().isoformat()
    if "." in time:
        time = time.rstrip("0")
    return f"{duration.days} days" + ("" if time == "00:00:00" else f" {'+' * (duration.days < 0)}{time}")


def known_as(labels: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """For each spelled label its name in a memory, or itself if the memory has no such label.

    Args:
        labels: from `spell_label`.
        known: of the memory, some perhaps as they came to a version that did not spell them.
    """
    labels, known = dict.fromkeys(labels), tuple(known)
    if labels.keys() <= set(known):  # as most are; to spell thousands of names takes milliseconds
        return {label: label for label in labels}
    names: dict[str, str] = {}
    for name in known:
        spelled = same_label(name)
        if name == spelled or spelled not in names:
            names[spelled] = name
    return {label: names.get(label, label) for label in labels}


def list_in(text: str) -> list[Any] | None:
    """The list that a text is, as Python or JSON writes it; None for a text that is no list.

    Raises:
        InvalidInputError: a list as numpy or others write it, which cannot be read without a guess, or a dict.
    """
    stripped = text.strip()
    found: Any = None
    if stripped[:1] in ("[", "(", "{") and stripped[-1:] in ("]", ")", "}"):
        for read in (json.loads, ast.literal_eval):
            try:
                found = read(stripped)
                break
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    if isinstance(found, Mapping):
        raise InvalidInputError(f"{shown(found)} is a dict, not a label")
    # Python reads numpy's ['a' 'b'] as one text
    joined = isinstance(found, list) and re.search(r"""['"]\s+['"]""", stripped) is not None
    if isinstance(found, (list, tuple, set)) and not joined:
        return list(found)
    if joined or UNQUOTED_LIST.fullmatch(stripped):
        raise InvalidInputError(
            f"{shown(text)} is a list that was written as text without commas or quotes, and cannot be read again; "
            "save the table as json lines or parquet"
        )
    return None


def check_no_spreadsheet_error(text: str) -> None:
    """Raises if a cell holds what a spreadsheet shows where it cannot calculate."""
    if text[:1] == "#" and text.strip() in SPREADSHEET_ERRORS:
        raise InvalidInputError(f"{shown(text)} is the error of a spreadsheet; mend or empty the cell there")


def _checked(text: str) -> str:
    if "\0" in text:
        raise InvalidInputError(f"{shown(text)} holds a NUL byte; it was probably decoded wrongly")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(
            f"{shown(text)} holds half a surrogate pair, which no file can hold; read it again as UTF-8"
        ) from None
    spelled = same_label(text)
    if (number := _whole_number(_without_marks(text))) is not None:
        return _exact(number)
    check_no_spreadsheet_error(spelled)
    written = list_in(spelled) if spelled[:1] in ("[", "(", "{", "a") else None
    if written is None and BYTES.fullmatch(spelled):
        written = ast.literal_eval(spelled)
    return spelled if written is None else spell_label(written)  # which is refused


def _whole(number: int) -> str:
    try:
        return int.__repr__(number)
    except ValueError:
        raise InvalidInputError("a number of thousands of digits cannot be a label; give it as text") from None


def _exact(number: int) -> str:
    if abs(number) >= EXACT:
        raise InvalidTypeError(
            f"{float(number)} is too large to be kept exactly as a float, where other labels may become the same one; "
            "give it as a text or a whole number"
        )
    return _whole(number)


def plain(value: Any) -> Any:
    """The values of an array, tensor or one of their scalars as Python has them; anything else as it is."""
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    # pandas' own types, as those with a time zone, give moments as Python has them, which numpy does not
    if kind in ("M", "m") and hasattr(value, "tolist") and type(value.dtype).__module__.startswith("numpy"):
        coarse = value.astype(f"{kind}8[us]")  # of a finer unit numpy gives whole numbers
        if re.search(r"\[(\d+)?[npfa]s\]", str(value.dtype)):
            lost = (coarse.astype(value.dtype) != value) & (value == value)  # NaT is not itself
            if lost.any():
                raise InvalidInputError(f"{shown(value)} has {FINER}")
        value = coarse
    for convert in ("tolist", "to_pylist", "as_py"):  # the latter two of pyarrow
        if hasattr(value, convert):
            try:
                return getattr(value, convert)()
            except (RuntimeError, ValueError) as error:  # of torch's sparse and meta tensors, of pyarrow's nanoseconds
                raise InvalidTypeError(
                    f"a {type(value).__name__} cannot be read as plain values ({str(error)[:100]}); give a list"
                ) from None
    return value


def _is_zeros_and_ones(row: Iterable[Any]) -> bool:
    row = [plain(value) for value in row]
    return len(row) > 1 and all(
        (isinstance(value, (int, float)) and value in (0, 1))
        or (isinstance(value, str) and value.strip() in ("0", "1"))
        for value in row
    )
