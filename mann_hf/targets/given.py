"""Labels as people give them beside texts, checked one by one and as a whole."""

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from numbers import Real
from typing import Any

from ..errors import InvalidInputError, InvalidTypeError
from ..memory.reading import MULTI_LABEL, REGRESSION
from .labels import Spellings, check_not_multi_hot, known_as, plain, shown, spell_labels

LARGEST = 3.4e38
"""Of the numbers of a regression, which are kept in 32 bits."""


def given_labels(
    labels: Any, examples: int, descriptions: int, problem_type: str, known: Sequence[str]
) -> list[str] | list[tuple[str, ...]] | list[tuple[float, ...]]:
    """The labels of examples and descriptions, each as it is kept.

    Args:
        labels: what a user gave: a list, an array, a tensor, a column; one label alone for one text.
        examples: how many texts it is for.
        descriptions: how many descriptions, whose labels come behind those of the texts.
        problem_type: what a label is: one name, several, or numbers.
        known: the labels of the memory, some perhaps as they came to a version that did not spell them.

    Raises:
        InvalidInputError: none came, another number of them, or one that is missing.
        InvalidTypeError: labels of a type that the problem does not have.
    """
    if labels is None:
        raise InvalidInputError("labels are missing: give one for each text and each description.")
    labels = plain(_with_names(labels))
    if isinstance(labels, (set, frozenset)):
        raise InvalidTypeError(f"labels are a {type(labels).__name__}, which has no order; give a list.")
    if isinstance(labels, (str, int, float)):
        labels = [labels]
    if isinstance(labels, (bytes, Mapping)) or not isinstance(labels, Iterable):
        raise InvalidTypeError(f"labels are a {type(labels).__name__}; give a list with one label for each text.")
    labels = [plain(label) for label in labels]
    if len(labels) != examples + descriptions:
        counted = f"{examples} texts" + (f" and {descriptions} descriptions" if descriptions else "")
        raise InvalidInputError(f"{len(labels)} labels came for {counted}; give one label for each.")
    if problem_type == REGRESSION:
        return [_numbers(label, position) for position, label in enumerate(labels)]
    if problem_type == MULTI_LABEL:
        check_not_multi_hot(labels)
        several = [_several_names(label, position) for position, label in enumerate(labels)]
        if not all(several[examples:]):
            raise InvalidInputError(
                "a description came without a label; a text of no label is an example, and a description says what "
                "a label means."
            )
        named = known_as(chain.from_iterable(several), known)
        return [tuple(named[name] for name in names) for names in several]
    spellings = Spellings()
    names = [_one_name(label, position, spellings) for position, label in enumerate(labels)]
    named = known_as(names, known)
    return [named[name] for name in names]


def _one_name(label: Any, position: int, spellings: Spellings) -> str:
    try:
        return spellings.of(label)
    except (InvalidInputError, InvalidTypeError) as error:
        raise type(error)(f"label {position} (counted from 0): {error}.") from None


def _several_names(label: Any, position: int) -> tuple[str, ...]:
    try:
        names = spell_labels(label)
    except (InvalidInputError, InvalidTypeError) as error:
        raise type(error)(f"label {position} (counted from 0): {error}.") from None
    return names


def _numbers(label: Any, position: int) -> tuple[float, ...]:
    numbers = [plain(number) for number in label] if isinstance(label, (list, tuple)) else [label]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (Real, Decimal)):
            raise InvalidTypeError(
                f"label {position} (counted from 0) is {str(label)[:80]!r}, of type {type(number).__name__}; a "
                "regression takes numbers."
            )
    try:
        found = tuple(float(number) for number in numbers)
    except (OverflowError, ValueError):  # beyond all floats, or a NaN that signals
        found = (math.inf,)
    if not found or not all(abs(number) <= LARGEST for number in found):
        raise InvalidTypeError(
            f"label {position} (counted from 0) is {shown(label)}; a regression takes finite numbers, up to "
            f"{LARGEST:.1e}."
        )
    return found


def _with_names(labels: Any) -> Any:
    """A column of a data set with the names of its classes in place of their numbers; anything else as it is."""
    column = getattr(labels, "column_name", None)
    feature: Any = (getattr(getattr(labels, "source", None), "features", None) or {}).get(column)
    return labels if feature is None else [_class_names(feature, label) for label in labels]


def _class_names(feature: Any, label: Any) -> Any:
    label = plain(label)
    part = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
    if part is not None and isinstance(label, list):
        return [_class_names(part, each) for each in label]
    if not hasattr(feature, "int2str") or isinstance(label, str):
        return label
    return None if label is None or label < 0 else feature.int2str(int(label))
