"""Words that many messages share, and numbers as people write them."""

import operator
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from .errors import InvalidInputError

URL = re.compile(r"\s*(?:[a-z][a-z0-9+.-]+://|data:)", re.IGNORECASE)
LETTERS_COMPARED = 100
"""Letters of each name that are compared, which takes the square of their number."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number and its noun: "1 text", "2 texts".

    Args:
        count: the number.
        one: the noun.
        many: its plural, if that is not the noun with an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def with_article(noun: str) -> str:
    """A noun with its article: "a text", "an image"."""
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def listed(names: Iterable[str], most: int = 8) -> str:
    """The first few of many names."""
    names = list(names)
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def shown(value: Any, most: int = 80) -> str:
    """A value as messages have it, cut where it is long.

    Args:
        value: anything.
        most: letters.
    """
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return f"a number of thousands of digits ({type(value).__name__})"
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def holds_words(text: str, words: str, whole: bool = True) -> bool:
    """Whether words stand in a text, beginning where a word begins and, if `whole`, ending where one ends.

    Without a pattern: Python keeps patterns, and labels and texts may have to be forgotten.
    """
    start = text.find(words)
    while start >= 0:
        around = text[start - 1 : start] + (text[start + len(words) :][:1] if whole else "")
        if not any(letter.isalnum() or letter == "_" for letter in around):
            return True
        start = text.find(words, start + 1)
    return False


def near(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Names that were probably meant, likeliest first.

    First come those that differ in case, white space, hyphens and underscores alone, then those spelled alike, then
    those that begin with the name or hold it as a word.
    """
    plain: dict[str, list[str]] = {}
    for each in names:
        plain.setdefault(_plain(each), []).append(each)
    asked = _plain(name)
    if not asked:
        return []
    found = [asked] if asked in plain else []
    found += get_close_matches(asked, plain, n=most, cutoff=0.7)
    found += [each for each in plain if holds_words(each, asked, whole=False)]
    return [each for key in dict.fromkeys(found) for each in plain[key]][:most]


def did_you_mean(names: Iterable[str]) -> str:
    """The question after names that were probably meant; empty if there is none."""
    quoted = " or ".join(map(repr, names))
    return quoted and f"did you mean {quoted}?"


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name[:LETTERS_COMPARED].casefold())).strip()


def as_count(name: str, value: Any) -> Any:
    """A number, or a range as text such as "5-10" or as a pair.

    Raises:
        InvalidInputError: a text that is neither.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", value)
    if match is None:
        raise InvalidInputError(f"{name} is {value!r}; give a number, or a range such as 5-10.")
    return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))


def whole_number(value: Any) -> int | None:
    """A whole number of Python, numpy or torch; None of anything else, booleans included."""
    if "bool" in str(getattr(value, "dtype", type(value).__name__)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def at_least(name: str, value: Any, least: int = 1) -> int:
    """A whole number from `least` on.

    Raises:
        InvalidInputError: it is another number, or none.
    """
    return _at_least(name, value, least, f"a whole number from {least} on")


def optional_at_least(name: str, value: Any, least: int = 1) -> int | None:
    """As `at_least`; None stays None."""
    return None if value is None else _at_least(name, value, least, f"a whole number from {least} on, or None")


def _at_least(name: str, value: Any, least: int, wanted: str) -> int:
    number = whole_number(value)
    if number is None or number < least:
        raise InvalidInputError(f"{name} is {shown(value)}; give {wanted}.")
    return number


def is_url(text: str) -> bool:
    """Whether a text begins as a URL does, one with data in it among them."""
    return URL.match(text) is not None
