"""Checks of what is written to a memory or forgotten, with errors in words."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..controllers.text import check_texts
from ..errors import InvalidInputError, InvalidTypeError, NotInMemoryError
from ..targets import known_as, same_label, spell_label
from ..targets.kinds import targets_of
from ..wording import counted, listed, near, shown
from .entries import Example, Kind, Label, name_id

MOST_VALUES = 2**30
"""The most that entries times labels may be: the values are a table of both, here of 4 GiB."""


def check_examples(keys: Tensor, examples: Sequence[Example], problem_type: str) -> None:
    """Refuses another number of keys than of examples, and labels that are no names where each example has one."""
    if len(keys) != len(examples):
        raise InvalidInputError(f"{len(keys)} keys came for {counted(len(examples), 'example')}; give one for each.")
    targets_of(problem_type).check([example.label for example in examples])


def examples_of(
    labels: Sequence[Label],
    texts: Sequence[str | None],
    kinds: Sequence[Kind],
    keys: Tensor,
    stored: Sequence[bytes | None] | None = None,
) -> list[Example]:
    """Examples from lists of their parts, which are as many as there are keys."""
    if not len(keys) == len(labels) == len(texts) == len(kinds):
        raise InvalidInputError(
            f"{len(keys)} keys, {len(labels)} labels, {len(texts)} texts and {len(kinds)} kinds came; "
            "there must be one of each for every example."
        )
    return list(map(Example, labels, texts, kinds, [None] * len(keys) if stored is None else stored))


class Parts(NamedTuple):
    """The parts of examples, side by side; None for those that did not come."""

    labels: Any
    texts: Any
    kinds: Any
    stored: Sequence[bytes | None] | None = None


def parts_of(labels: Any, texts: Any, kinds: Any) -> Parts:
    """The parts of examples, which may have come in place of the labels.

    Raises:
        InvalidInputError: a part came beside examples that have it.
        InvalidTypeError: examples and labels came mixed, or what is stored of one is no file.
    """
    given = [labels] if isinstance(labels, Example) else labels
    if not isinstance(given, list | tuple) or not any(isinstance(one, Example) for one in given):
        return Parts(labels, texts, kinds)
    if not all(isinstance(one, Example) for one in given):
        raise InvalidTypeError("examples and labels came mixed: give an Example for each key, or a label for each.")
    if texts is not None or kinds is not None:
        raise InvalidInputError("texts or kinds came beside examples, which have them: leave them out.")
    own, read, is_of, stored = map(list, zip(*given, strict=True))
    if wrong := [type(one).__name__ for one in stored if not isinstance(one, bytes | None)]:
        raise InvalidTypeError(f"stored is of type {wrong[0]}; give the bytes of a small file, such as a PNG.")
    return Parts(own, read, is_of, stored)


def check_words(names: Mapping[str, Tensor], key_size: int) -> None:
    """Refuses keys of labels' words that are not finite or of another size."""
    for name, key in names.items():
        if tuple(key.shape) != (key_size,) or not torch.isfinite(key).all():
            raise InvalidInputError(
                f"the key of the words of {name!r} has the shape {tuple(key.shape)} or holds NaN or infinity; it "
                f"must be {key_size} finite numbers."
            )


FORGET_LABELS = "A label is forgotten with forget(label=...)."
"""Added to the error where words came as ids."""


def whole_numbers(ids: Iterable[Any] | None, of_words: str = FORGET_LABELS) -> set[int]:
    """Ids as whole numbers; an `InvalidTypeError` where they are none, which says `of_words` if they are words."""
    wanted: list[Any] = [] if ids is None else [ids] if isinstance(ids, str) else list(ids)
    try:
        return {operator.index(id_) for id_ in wanted}
    except TypeError:
        hint = f" {of_words}" if any(isinstance(id_, str) for id_ in wanted) else ""
        raise InvalidTypeError(
            f"ids are {shown(ids)}; give the whole numbers that remember() returned.{hint}"
        ) from None


def why_not_held(missing: Sequence[int], named_labels: Sequence[str], capacity: int | None) -> str:
    """Why a memory of these labels' words holds no entry of some ids."""
    names = {name_id(name): name for name in named_labels}
    hints = [
        f"{id_} is the name of the label {names[id_]!r}, which goes with its last example"
        for id_ in missing
        if id_ in names
    ]
    unknown = f"the memory holds no {', '.join(map(str, missing))}; remember() returns ids, evidence names them"
    if capacity is not None:
        unknown += f". It has room for {counted(capacity, 'example')}: what gave way to others is gone"
    return ("; ".join(hints) or unknown) + "."


def check_label(label: str, labels: Sequence[str], problem_type: str) -> None:
    """Refuses to forget a label that is none of these, and names those that may be meant."""
    if not targets_of(problem_type).named:
        raise NotInMemoryError("numbers cannot be forgotten as labels; give ids (evidence names them).", [label])
    if label not in labels:
        meant = " or ".join(map(repr, near(label, labels)))
        raise NotInMemoryError(
            f"the memory holds no label {label!r}; {f'did you mean {meant}? It' if meant else 'it'} knows "
            f"{listed(map(repr, labels))}.",
            [label],
        )


def label_meant(label: Any, labels: Sequence[str]) -> Any:
    """The label among these that is meant, however it is spelled; the given one if it is none of them."""
    if label is None or (isinstance(label, str) and label in labels):
        return label
    try:
        spelled = spell_label(label)
    except (InvalidInputError, InvalidTypeError):  # what can be no label is in no memory
        spelled = same_label(str(label))
    return known_as([spelled], labels)[spelled]


def check_size(entries: int, labels: int) -> None:
    """Refuses a memory that is too large, before its values are made."""
    if entries * labels > MOST_VALUES:
        raise InvalidInputError(
            f"a memory of {entries:,} examples of {labels:,} labels is too large: the two multiplied may be at most "
            f"{MOST_VALUES:,}. Use fewer labels, or several memories."
        )


def checked_texts(texts: Sequence[str | None] | None, count: int) -> list[str | None]:
    """What the keys stand for, checked by `check_texts`; None for those that have no text."""
    if texts is None:
        return [None] * count
    given = [texts] if isinstance(texts, str) else list(texts)
    checked = check_texts(["-" if text is None else text for text in given])
    return [None if before is None else text for before, text in zip(given, checked, strict=True)]


def checked_kinds(kinds: Sequence[Kind] | None, count: int) -> list[Kind]:
    """What each entry is, for as many as there are; an `InvalidInputError` where it is no kind of entry."""
    if kinds is None:
        return ["example"] * count
    chosen: list[Any] = [kinds] if isinstance(kinds, str) else list(kinds)
    strange = list(dict.fromkeys(repr(kind) for kind in chosen if kind not in ("example", "description")))
    if strange:
        raise InvalidInputError(f"kinds are 'example' or 'description', and {listed(strange, 3)} came.")
    return chosen


def checked_names(names: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
    """The keys of the words of labels; an `InvalidTypeError` where they are something else."""
    if names is None:
        return {}
    if not isinstance(names, Mapping) or not all(
        isinstance(label, str) and isinstance(key, Tensor) for label, key in names.items()
    ):
        raise InvalidTypeError("names are keys [K] by label, as name_keys(labels, processing_class) gives them.")
    return names
