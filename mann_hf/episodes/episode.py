"""One task: a few labelled texts to learn from, and others to classify."""

from typing import NamedTuple


class Examples(NamedTuple):
    """Texts and their labels.

    Attributes:
        texts: n texts.
        labels: n numbers, positions in the episode's `names`; `UNKNOWN` for texts of none of them.
    """

    texts: list[str]
    labels: list[int]


class Episode(NamedTuple):
    """A small task of N classes.

    Attributes:
        support: the examples that are written to the memory.
        query: the texts that are classified.
        names: the N class names as in the data set, in the order of their numbers.
        seed: random seed for draws of an objective within the episode; None for draws that cannot be repeated.
    """

    support: Examples
    query: Examples
    names: tuple[str, ...]
    seed: int | None = None
