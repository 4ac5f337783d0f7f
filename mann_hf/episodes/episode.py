"""One task: a few labelled inputs to learn from, and others to classify."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Pair(NamedTuple):
    """A source text and the target text that belongs to it."""

    source: str
    target: str


class Examples(NamedTuple):
    """Inputs, such as texts, images or pairs of texts, and their labels.

    Attributes:
        inputs: n inputs.
        labels: n numbers, positions in the episode's `names`; `UNKNOWN` for inputs of none of them.
    """

    inputs: list[Any]
    labels: list[int]

    @property
    def texts(self) -> list[str]:
        """The inputs of a task of texts."""
        return self.inputs


class Episode(NamedTuple):
    """A small task of N classes.

    Attributes:
        support: the examples that are written to the memory.
        query: the inputs that are classified.
        names: the N class names as in the data set, in the order of their numbers.
        seed: random seed for draws of an objective within the episode; None for draws that cannot be repeated.
    """

    support: Examples
    query: Examples
    names: tuple[str, ...]
    seed: int | None = None


class NumberedInputs:
    """Numbers inputs in the order in which they come; equal texts or pairs of them, and one object that comes again,
    have one number.

    Attributes:
        inputs: those that have a number, in order.
    """

    def __init__(self) -> None:
        self.inputs: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def __call__(self, inputs: Sequence[Any]) -> list[int]:
        """The number of each input; -1 for None."""
        return [-1 if one is None else self._number(one) for one in inputs]

    def _number(self, one: Any) -> int:
        number = self._numbers.setdefault(one if isinstance(one, str | Pair) else id(one), len(self.inputs))
        if number == len(self.inputs):
            self.inputs.append(one)  # which keeps its id from another
        return number
