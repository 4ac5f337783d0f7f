"""One task: a few labelled texts to learn from, and others to be asked."""

from typing import NamedTuple


class Examples(NamedTuple):
    """Texts and what they are.

    Attributes:
        texts: n texts.
        labels: n numbers, positions in the episode's `names`; `UNKNOWN` for texts of none of them.
    """

    texts: list[str]
    labels: list[int]


class Episode(NamedTuple):
    """A small task of N classes.

    Attributes:
        support: what is written to the memory.
        query: what is asked.
        names: the N classes as the data set spells them, each at the place of its number.
        seed: by which an objective draws what it draws within the episode; None for draws that cannot be repeated.
    """

    support: Examples
    query: Examples
    names: tuple[str, ...]
    seed: int | None = None
