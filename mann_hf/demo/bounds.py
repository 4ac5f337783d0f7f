"""Limits on what a visitor may type or send, and on what is sent to a browser."""

import base64
import binascii
import io
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from ..errors import InvalidInputError, import_extra

MOST_LETTERS_TYPED = 10_000
"""Letters of a text that is asked about or taught."""
MOST_LETTERS_OF_NAME = 200
"""Letters of a label that is taught."""
MOST_NAMES = 50
"""Labels of one example that is taught."""
MOST_LETTERS_SENT = 600
"""Letters of a label that are sent to the browser; a longer one is found again by its beginning."""

MOST_BYTES_OF_FILE = 700_000
"""The most bytes of an image that a browser sends; with a third more as letters it still fits into a request."""
MOST_PIXELS = 2**24
"""The most pixels of an image that a browser sends."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""Formats of images that are read; Pillow knows many more, which no browser sends."""
DATA = re.compile(r"data:image/[a-z.+-]{1,20};base64,", re.ASCII)

NO_IMAGE = "Choose an image first."
NOT_IMAGE = f"That is not an image that this page reads: {', '.join(FORMATS)}."
LARGE_IMAGE = (
    f"The image is too large: this page takes {MOST_BYTES_OF_FILE:,} bytes and {MOST_PIXELS:,} pixels at most. Make it "
    "smaller."
)
NO_TEXT, NO_LABEL = "Type a text first.", "Give the label a name."
NOT_TEXT = "That is not a text. Type one."
HALF_LABELLED = "One of the labels has no name: write the names with one | between them."
HALF_CHARACTER = "Half of a character is missing in what you typed or pasted. Type it again."
LONG_TEXT = f"The text is too long: this page takes at most {MOST_LETTERS_TYPED:,} letters."
LONG_NAME = f"The name is too long: a label may have at most {MOST_LETTERS_OF_NAME} letters."
LONG_SEARCH = f"Look for at most {MOST_LETTERS_SENT} letters."
MANY_NAMES = f"These are too many labels: a text may have at most {MOST_NAMES}."
CONTROL_CHARACTER = "The name of the label holds a line break or another control character. Type it without."
LIKE_BEGINNINGS = "Several long labels begin like that one. Forget their examples one by one."


def short(text: str, most: int) -> str:
    """A text of at most so many letters, with … at the end if it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def typed_text(typed: object, missing: str = NO_TEXT, most: int = MOST_LETTERS_TYPED, too_long: str = LONG_TEXT) -> str:
    """The text that was typed, which comes from a browser as a text or None, checked.

    Raises:
        InvalidInputError: it is empty (the message is `missing`), too long (`too_long`) or not a text.
    """
    if typed is None:
        raise InvalidInputError(missing)
    if not isinstance(typed, str):
        raise InvalidInputError(NOT_TEXT)
    if len(typed) > most:
        raise InvalidInputError(too_long)
    if not typed or typed.isspace():
        raise InvalidInputError(missing)
    try:
        typed.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(HALF_CHARACTER) from None
    return typed


def sent_image(sent: object) -> Any:
    """The image that was sent as the address of its content (`data:image/png;base64,...`), not unpacked yet.

    Raises:
        InvalidInputError: there is none, it is too large, or it is no image of a kind that browsers have.
    """
    if sent is None or sent == "":
        raise InvalidInputError(NO_IMAGE)
    start = DATA.match(sent) if isinstance(sent, str) else None
    if not isinstance(sent, str) or start is None:
        raise InvalidInputError(NOT_IMAGE)
    if len(sent) > start.end() + (MOST_BYTES_OF_FILE + 2) // 3 * 4:
        raise InvalidInputError(LARGE_IMAGE)
    pillow: Any = import_extra("PIL.Image", "images", "images")
    try:
        content = base64.b64decode(sent[start.end() :], validate=True)
        image = pillow.open(io.BytesIO(content), formats=FORMATS)
    except (binascii.Error, ValueError, OSError, SyntaxError, pillow.DecompressionBombError):
        raise InvalidInputError(NOT_IMAGE) from None
    if image.width * image.height > MOST_PIXELS:
        raise InvalidInputError(LARGE_IMAGE)
    return image


def typed_names(typed: object, several: bool) -> list[str]:
    """The labels that were typed, checked: a name or, if an example may have several, names with | between them.

    Raises:
        InvalidInputError: there is none, one is empty or too long, or there are too many.
    """
    most = MOST_LETTERS_OF_NAME if not several else MOST_NAMES * (MOST_LETTERS_OF_NAME + 3)
    text = typed_text(typed, NO_LABEL, most, MANY_NAMES if several else LONG_NAME).strip()
    names = [name.strip() for name in text.split("|")] if several else [text]
    if not all(names):
        raise InvalidInputError(HALF_LABELLED if any(names) else NO_LABEL)
    if len(names) > MOST_NAMES:
        raise InvalidInputError(MANY_NAMES)
    if any(len(name) > MOST_LETTERS_OF_NAME for name in names):
        raise InvalidInputError(LONG_NAME)
    if any(unicodedata.category(letter) == "Cc" for name in names for letter in name):
        raise InvalidInputError(CONTROL_CHARACTER)
    return names


def typed_search(typed: object) -> str:
    """The words to look for; empty if nothing was typed.

    Raises:
        InvalidInputError: they are too long or not a text.
    """
    if typed is None or (isinstance(typed, str) and not typed[:MOST_LETTERS_SENT].strip()):
        return ""
    return typed_text(typed, NO_TEXT, MOST_LETTERS_SENT, LONG_SEARCH)


def called(name: str, labels: Iterable[str]) -> str | None:
    """The label of a name that came back from the browser; None if it is no longer there.

    Raises:
        InvalidInputError: only its beginning was sent, and several labels begin like it.
    """
    found = [label for label in labels if label[:MOST_LETTERS_SENT] == name]
    if len(found) > 1 and name not in found:
        raise InvalidInputError(LIKE_BEGINNINGS)
    return name if name in found else next(iter(found), None)
