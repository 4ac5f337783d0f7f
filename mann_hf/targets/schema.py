"""How labels are spelled, kept in a file, and shown to people, by the kind of problem.

Without torch: the shell says what is wrong with a table before that is imported, which takes seconds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from ..errors import InvalidInputError, InvalidTypeError
from .labels import BETWEEN_LABELS, Spellings, check_not_multi_hot, labels_in, spell_labels
from .numbers import spell_numbers

Label = str | tuple[str, ...] | tuple[float, ...]
"""What an example is labelled with: a name; several names, or none; or numbers, for regression."""
Answer = dict[str, Any]
"""One output of an answer: its `label`, `score`, `evidence` and `rest`."""
LEAST_SCORE = 0.5
"""The score above which an input has a label, where it may have several."""


class LabelSchema(ABC):
    """What the labels of one kind of problem are to a person. It has no state.

    Attributes:
        name: the name by which configurations and files ask for it.
        named: whether labels are names, each of which has an output of its own, and new ones come with examples. If
            not, the number of outputs is fixed.
        exclusive: whether exactly one output is right for an input.
    """

    name: ClassVar[str] = ""
    named: ClassVar[bool] = True
    exclusive: ClassVar[bool] = True

    @property
    def several(self) -> bool:
        """Whether an input may have several labels, or none."""
        return self.named and not self.exclusive

    @abstractmethod
    def spell(self, labels: Sequence[Any]) -> list[Any]:
        """Labels of N examples as a person gave them, spelled as they are kept.

        Raises:
            InvalidInputError: a label is missing, or no label of this kind; the message says which.
            InvalidTypeError: a label is of a type that this kind does not have.
        """

    @abstractmethod
    def spell_cell(self, cell: Any, spell_name: Callable[[Any], str]) -> Any:
        """The label in a cell of a table, as a command works with it.

        Args:
            cell: its value.
            spell_name: spells one name.

        Raises:
            InvalidInputError: it is no label.
            InvalidTypeError: it is of a type that this kind does not have.
        """

    def check(self, labels: Iterable[Any]) -> None:  # noqa: B027 most kinds take any
        """Refuses spelled labels of another kind.

        Raises:
            InvalidTypeError: one is of a type that this kind does not have.
        """

    def to_json(self, label: Any) -> Any:
        """A spelled label as the file of a memory has it."""
        return label

    @abstractmethod
    def from_json(self, written: Any) -> Any:
        """The spelled label that a file of a memory has.

        Raises:
            ValueError: it is none of this kind; a stranger may have written the file.
        """

    def shown(self, label: Any) -> Any:
        """The label of a stored example as evidence names it."""
        return label

    @abstractmethod
    def chosen(self, ranked: Sequence[Answer], places: Mapping[str, Any] | None = None) -> list[Answer]:
        """The outputs that are the answer to an input, such as the best, or all above one half.

        Args:
            ranked: all outputs, or the best; best first.
            places: the place of each output by its name.
        """

    @abstractmethod
    def as_taught(self, answers: Sequence[Answer]) -> Answer:
        """The chosen outputs of an input as one answer, with a label in the form in which it would be taught."""


class OneName(LabelSchema):
    """One name for each input."""

    def spell(self, labels: Sequence[Any]) -> list[str]:
        return spell_each(Spellings().of, labels)

    def spell_cell(self, cell: Any, spell_name: Callable[[Any], str]) -> str:
        return spell_name(cell)

    def check(self, labels: Iterable[Any]) -> None:
        if not all(isinstance(label, str) for label in labels):
            raise InvalidTypeError("labels must be names (str): this memory has one label for each input.")

    def from_json(self, written: Any) -> str:
        if not isinstance(written, str):
            raise ValueError("a label is no string")
        return written

    def chosen(self, ranked: Sequence[Answer], places: Mapping[str, Any] | None = None) -> list[Answer]:
        return list(ranked[:1])

    def as_taught(self, answers: Sequence[Answer]) -> Answer:
        return answers[0]


class SeveralNames(LabelSchema):
    """Several names for each input, or none."""

    exclusive = False

    def spell(self, labels: Sequence[Any]) -> list[tuple[str, ...]]:
        check_not_multi_hot(labels)
        return spell_each(spell_labels, labels)

    def spell_cell(self, cell: Any, spell_name: Callable[[Any], str]) -> tuple[str, ...]:
        return spell_labels(labels_in(cell), spell_name)

    def from_json(self, written: Any) -> tuple[str, ...]:
        return names_from_json(written)

    def shown(self, label: Any) -> tuple[str, ...]:
        return (label,) if isinstance(label, str) else label  # of a label's own words, as of its examples

    def chosen(self, ranked: Sequence[Answer], places: Mapping[str, Any] | None = None) -> list[Answer]:
        return [answer for answer in ranked if answer["score"] > LEAST_SCORE]

    def as_taught(self, answers: Sequence[Answer]) -> Answer:
        return merged(answers)


class Numbers(LabelSchema):
    """A number for each input, or a list of as many for each."""

    named = exclusive = False

    def spell(self, labels: Sequence[Any]) -> list[tuple[float, ...]]:
        return spell_each(spell_numbers, labels)

    def spell_cell(self, cell: Any, spell_name: Callable[[Any], str]) -> list[float]:
        several = isinstance(cell, str) and BETWEEN_LABELS in cell
        return list(spell_numbers(cell.split(BETWEEN_LABELS) if several else cell))

    def from_json(self, written: Any) -> tuple[float, ...]:
        if not isinstance(written, list) or not all(type(number) in (int, float) for number in written):
            raise ValueError("a label is no number")
        return tuple(float(number) for number in written)

    def shown(self, label: Any) -> Any:
        return label[0] if len(label) == 1 else label  # as it was taught

    def chosen(self, ranked: Sequence[Answer], places: Mapping[str, Any] | None = None) -> list[Answer]:
        return sorted(ranked, key=lambda answer: (places or {})[answer["label"]])

    def as_taught(self, answers: Sequence[Answer]) -> Answer:
        together = merged(answers)
        together["label"] = together.pop("score")  # a number has no score beside it
        return together if len(answers) > 1 else {key: values[0] for key, values in together.items()}


def spell_each(spell: Callable[[Any], Any], labels: Iterable[Any]) -> list[Any]:
    """Labels spelled one by one; an error names the place."""
    spelled = []
    for position, label in enumerate(labels):
        try:
            spelled.append(spell(label))
        except (InvalidInputError, InvalidTypeError) as error:
            raise type(error)(f"label {position} (counted from 0): {error}.") from None
    return spelled


def names_from_json(written: Any) -> tuple[str, ...]:
    """Different names, as a file has them.

    Raises:
        ValueError: they are no list of strings, or a name stands twice.
    """
    if not isinstance(written, list) or not all(isinstance(name, str) for name in written):
        raise ValueError("labels are no strings")
    if len(set(written)) < len(written):
        raise ValueError("a label stands twice")
    return tuple(written)


def merged(answers: Sequence[Answer]) -> Answer:
    """Several outputs as one answer, with a list of each part."""
    return {key: [answer[key] for answer in answers] for key in ("label", "score", "evidence", "rest")}
