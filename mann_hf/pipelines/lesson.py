"""What a call of `remember` teaches: examples and descriptions with their labels, checked, and their keys."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..controllers.processor import InputProcessor
from ..controllers.text import optional_texts
from ..errors import InvalidInputError, InvalidTypeError
from ..models.arguments import no_such_argument
from ..models.embedding import embed_checked
from ..models.memory_keys import phrased
from ..persistent.entries import Example, Label, label_names, label_words, renamed
from ..targets import Targets, known_as
from ..targets.given import check_pairs, given_labels

ARGUMENTS = ("labels", "descriptions", "batch_size", "progress")
"""Arguments of `remember` beside its inputs."""


class Lesson(NamedTuple):
    """Labelled examples and descriptions.

    Attributes:
        processor: of the inputs.
        inputs: N examples, as the processor checks them.
        descriptions: M texts that say what a label means.
        labels: of the examples, then of the descriptions, each spelled.
    """

    processor: InputProcessor
    inputs: list[Any]
    descriptions: list[str]
    labels: list[Label]

    def keys(self, model: Any, batch_size: int | None, advance: Callable[[int], Any] | None) -> Tensor:
        """The keys [N + M, K] of the examples, then of the descriptions."""
        processor, words = self.processor, self.processor.words
        options: dict[str, Any] = {"batch_size": batch_size, "advance": advance}
        if words is None or not self.descriptions:
            return embed_checked(model, processor, self.inputs, **options)
        described = phrased(words, self.descriptions, self.labels[len(self.inputs) :])
        if words is processor:
            return embed_checked(model, processor, [*self.inputs, *described], **options)
        keys = [embed_checked(model, reader, part, **options) for reader, part in self._parts(words, described)]
        return torch.cat(keys)

    def _parts(self, words: InputProcessor, described: list[str]) -> list[tuple[InputProcessor, list[Any]]]:
        return [(reader, part) for reader, part in ((self.processor, self.inputs), (words, described)) if part]

    def examples(self, with_inputs: bool) -> list[Example]:
        """What is written beside the keys; of files what identifies them is known once they are decoded.

        Args:
            with_inputs: whether the inputs are kept.
        """
        processor, count = self.processor, len(self.inputs)
        stored = processor.stored(self.inputs) if with_inputs else [None] * count
        parts = zip(self.labels[:count], processor.contents(self.inputs), stored, strict=True)
        described = zip(self.labels[count:], self.descriptions, strict=True)
        return [
            *(Example(label, content, stored=kept) for label, content, kept in parts),
            *(Example(label, text, "description") for label, text in described),
        ]


def inputs_of(noun: str, inputs: Any, named: dict[str, Any]) -> Any:
    """The inputs of `remember`, under whichever of their two names they came.

    Args:
        noun: what several inputs are called, their second name.
        inputs: those that came under the first; None for none.
        named: what came by further names.

    Raises:
        InvalidTypeError: an argument that there is not, or inputs under both names.
    """
    for name in named:
        if name != noun:
            raise no_such_argument("remember", name, {"inputs", noun, *ARGUMENTS})
    if inputs is not None and named.get(noun) is not None:
        raise InvalidTypeError(f"inputs and {noun} are two names of one argument: give it once.")
    return named.get(noun) if inputs is None else inputs


def lesson_of(
    processor: InputProcessor,
    targets: Targets,
    inputs: Any,
    checked: list[Any],
    labels: Any,
    descriptions: Any,
    known: Iterable[str],
) -> Lesson:
    """What the arguments of `remember` teach.

    Args:
        processor: of the inputs.
        targets: what a label is.
        inputs: the examples as a user gave them, or None.
        checked: the examples, as the processor checks them.
        labels: as a user gave them.
        descriptions: texts; None for none, and with neither inputs nor descriptions the labels' own words.
        known: the labels of the memory.

    Raises:
        InvalidInputError, InvalidTypeError: those of `remember`.
    """
    if inputs is None and descriptions is None and labels is not None:
        return _of_words(processor, targets, labels, known)
    described, noun = optional_texts(descriptions, "descriptions"), processor.noun
    if not checked and not described:
        more = "; or labels with descriptions, or alone for their words" if processor.words is not None else ""
        raise InvalidInputError(f"nothing to remember: give {noun}s and labels{more}.")
    if described and not targets.named:
        raise InvalidInputError("descriptions describe labels, and a regression has none.")
    if described and processor.words is None:
        raise InvalidInputError(
            f"descriptions are words, and the encoder reads {noun}s alone: give examples, or the tokenizer of its text "
            "half if it has one."
        )
    given = inputs if checked else descriptions
    wanted = given_labels(labels, len(checked), len(described), targets, given, noun=noun)
    if processor.words is processor:  # of others the contents are no words
        check_pairs([*processor.contents(checked), *described], wanted, targets)
    return Lesson(processor, checked, described, wanted)


def _of_words(processor: InputProcessor, targets: Targets, labels: Any, known: Iterable[str]) -> Lesson:
    """Labels that are known by their own words alone, as descriptions of themselves."""
    noun = processor.noun
    if not targets.named:
        raise InvalidInputError(f"labels came alone, and numbers have no words: give a {noun} for each.")
    if processor.words is None:
        raise InvalidInputError(
            f"labels came alone, and the encoder reads {noun}s alone, no words: give examples of each label, or the "
            "tokenizer of its text half if it has one."
        )
    wanted = given_labels(labels, 0, None, targets, noun=noun)
    if not wanted:
        raise InvalidInputError("nothing to remember: labels are empty.")
    names = [name for label in wanted for name in label_names(label)]
    spelled = known_as(names, known)
    words = {name: label_words(spelled[name]) for name in names}
    without = next((name for name, text in words.items() if text is None), None)
    if without is not None:
        raise InvalidInputError(
            f"labels came alone, and the label {without!r} holds no word by which it could be known: give examples or "
            "a description of it."
        )
    if not len(words) == len(names) == len(wanted):
        raise InvalidInputError(
            f"labels came alone, and each is then known by its own words: give each label once and by itself, or "
            f"{noun}s beside the labels."
        )
    labels = [renamed(label, spelled) for label in wanted]
    return Lesson(processor, [], [str(words[name]) for name in names], labels)
