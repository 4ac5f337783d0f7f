"""Labels as people give them beside inputs, checked one by one and as a whole."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import InvalidInputError, InvalidTypeError
from ..wording import counted
from .labels import plain
from .pairs import check_same_rows, why_swapped
from .schema import LabelSchema

logger = logging.getLogger(f"transformers.{__name__}")  # which speaks as transformers do


def given_labels(
    labels: Any, examples: int, descriptions: int | None, schema: LabelSchema, texts: Any = None, *, noun: str
) -> list[Any]:
    """The labels of examples and descriptions, each spelled.

    It takes what a user gave, not its own result: a set of the names 0 and 1 is taken, and the tuple that it becomes
    would be refused as a multi-hot row.

    Args:
        labels: what a user gave: a list, an array, a tensor, a column; one label alone for one example.
        examples: how many examples it is for.
        descriptions: how many descriptions, whose labels come behind those of the examples; None for as many as have
            labels.
        schema: what a label is: one name, several, or numbers.
        texts: the examples as a user gave them, whose rows those of the labels are to be.
        noun: what an example is called in messages.

    Raises:
        InvalidInputError: none came, another number of them, or one that is missing; or they are in another order than
            the inputs.
        InvalidTypeError: labels of a type that the problem does not have.
    """
    if why := check_same_rows(texts, labels):
        logger.warning(why)
    if labels is None:
        raise InvalidInputError(f"labels are missing: give one for each {noun} and each description.")
    if hasattr(labels, "columns") or hasattr(labels, "column_names"):
        raise InvalidTypeError(
            f"labels came as a table ({type(labels).__name__}); give its column, as in table['label']."
        )
    labels = plain(_with_names(labels))
    if isinstance(labels, (set, frozenset)):
        raise InvalidTypeError(f"labels are a {type(labels).__name__}, which has no order; give a list.")
    if isinstance(labels, (str, int, float)):
        labels = [labels]
    if isinstance(labels, (bytes, Mapping)) or not isinstance(labels, Iterable):
        raise InvalidTypeError(
            f"labels are of type {type(labels).__name__}; give a list with one label for each {noun}."
        )
    labels = [plain(label) for label in labels]
    if descriptions is not None and len(labels) != examples + descriptions:
        texts = counted(examples, noun) + (f" and {counted(descriptions, 'description')}" if descriptions else "")
        raise InvalidInputError(f"{counted(len(labels), 'label')} came for {texts}; give one label for each.")
    spelled = schema.spell(labels)
    check_described(spelled[examples:])
    return spelled


def check_pairs(texts: Sequence[str | None], labels: Sequence[Any], schema: LabelSchema) -> None:
    """Warns where inputs and labels look swapped.

    Args:
        texts: N texts, or what identifies other inputs; None for those that are not known.
    """
    known = [text for text in texts if text is not None]
    if schema.named and len(known) == len(labels) and (why := why_swapped(known, labels)):
        logger.warning(f"are inputs and labels swapped? {why}; inputs come first, as in remember(inputs, labels).")


def check_described(labels: Iterable[Any]) -> None:
    """Refuses descriptions of no label."""
    if not all(labels):
        raise InvalidInputError(
            "a description came without a label; an input of no label is an example, and a description says what a "
            "label means."
        )


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
