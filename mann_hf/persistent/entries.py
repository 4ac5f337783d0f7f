"""What the slots of a memory mean to people: entries, their labels and their ids."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from torch import Tensor

from ..targets.schema import Label as Label

Kind = Literal["example", "description", "name"]

LARGEST_ID = 2**53 - 1
"""Ids are whole numbers that JSON readers and JavaScript keep exactly."""


class Example(NamedTuple):
    """What is written to a memory beside a key.

    Attributes:
        label: the label, spelled.
        text: the text, or of other inputs a digest that identifies it; None for nothing.
        kind: `"example"`, `"description"` of a label, or `"name"`, as in `Entry`.
        stored: the input itself as a small file; None where it is not kept.
    """

    label: Label
    text: str | None = None
    kind: Kind = "example"
    stored: bytes | None = None


class Entry(NamedTuple):
    """An entry of a memory.

    Attributes:
        id: identifies the entry, for example to forget it. It follows from text and label, so the same example has the
            same id in every memory.
        text: the text, or of other inputs a digest that identifies it; None if texts are not stored.
        label: the label.
        kind: `"example"`: an input like those to be classified; `"description"`: says what a label means; `"name"`: a
            label's own words.
        stored: the input itself as a small file, such as a PNG of an image, where a model keeps its inputs.
    """

    id: int
    text: str | None
    label: Label
    kind: Kind = "example"
    stored: bytes | None = None

    @property
    def example(self) -> Example:
        """What it was written as."""
        return Example(self.label, self.text, self.kind, self.stored)


def content_id(kind: str, text: str, label: Label) -> int:
    """A whole number up to `LARGEST_ID` that follows from an entry, in whichever order it has several labels."""
    if isinstance(label, tuple) and label and isinstance(label[0], str):
        label = tuple(sorted(map(str, label)))
    identity = "\x1f".join([kind, text, repr(label)])
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "big") & LARGEST_ID


def ids_of(keys: Tensor, examples: Sequence[Example]) -> list[int]:
    """The ids of N examples; where there is no text, the key [K] stands for it."""
    return [
        content_id(kind, key.detach().float().cpu().numpy().tobytes().hex() if text is None else text, label)
        for key, (label, text, kind, _) in zip(keys, examples, strict=True)
    ]


def name_id(label: str) -> int:
    """The id of a label's own words."""
    return content_id("name", label_words(label) or label, label)


def words_entry(label: str) -> Entry:
    """What a label's own words are as an entry."""
    return Entry(name_id(label), label_words(label), label, "name")


def says_words_alone(entry: Entry) -> bool:
    """Whether an entry is a description of one label that says no more than the label's own words."""
    names = label_names(entry.label)
    words = label_words(names[0]) if len(names) == 1 and entry.kind == "description" else None
    return words is not None and entry.id == content_id("description", words, entry.label)  # its text may not be kept


def label_names(label: Label) -> tuple[str, ...]:
    """The names in a label; none in the numbers of a regression."""
    if isinstance(label, str):
        return (label,)
    return tuple(name for name in label if isinstance(name, str))


def renamed(label: Label, names: Mapping[str, str]) -> Label:
    """A label with other names; numbers as they are.

    >>> renamed(("card", "pin"), {"card": "Card", "pin": "PIN"})
    ('Card', 'PIN')
    """
    if isinstance(label, str):
        return names[label]
    return tuple(names[name] for name in label_names(label)) or label


def label_words(label: str) -> str | None:
    """The words of a label's name, without underscores, hyphens and camel case; None if it holds no word.

    >>> label_words("card_arrival"), label_words("BookFlight"), label_words("3")
    ('card arrival', 'book flight', None)
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", label)
    words = re.sub(r"[_\-./:\s]+", " ", spaced).strip().lower()
    return words if re.search(r"[^\W\d_]{2,}", words) else None
