"""Splits of a data set by class, so that the classes of a test were never seen in training."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from ..errors import InvalidInputError
from .table import LabelledTable

PARTS = ("train", "validation", "test")


def select_classes(
    dataset: Dataset,
    classes: Iterable[str | int],
    *,
    text_column: str = "text",
    label_column: str = "label",
    input_column: str | None = None,
) -> Dataset:
    """The rows of some classes.

    Args:
        dataset: all of it.
        classes: a list of names, or of the numbers that labels are; of a `ClassLabel` either.
        text_column: as in `EpisodeSampler`.
        label_column: as in `EpisodeSampler`.
        input_column: as in `EpisodeSampler`.

    Raises:
        InvalidInputError: a class that the data set does not have.
        InvalidTypeError: `classes` is no list: of one text it would not be clear whether its letters are meant.
    """
    table = LabelledTable(dataset, text_column, label_column, input_column=input_column)
    wanted = list(dict.fromkeys(table.class_names(classes)))
    missing = [name for name in wanted if name not in table.rows]
    if missing:
        raise InvalidInputError(f"the data set has no class {', '.join(map(repr, missing[:8]))}.")
    rows = [table.rows[name] for name in wanted]
    return dataset.select(np.sort(np.concatenate(rows)) if rows else [])


def split_classes(
    dataset: Dataset,
    sizes: Iterable[float] = (0.6, 0.2, 0.2),
    *,
    seed: int = 0,
    text_column: str = "text",
    label_column: str = "label",
    input_column: str | None = None,
) -> DatasetDict:
    """Splits a data set into train, validation and test sets that have no class in common.

    Args:
        dataset: the data set to split.
        sizes: for train, validation and test, the share of the classes (numbers below 1 that sum to at most 1) or
            their number.
        seed: random seed that decides which classes go where.
        text_column: as in `EpisodeSampler`.
        label_column: as in `EpisodeSampler`.
        input_column: as in `EpisodeSampler`.

    Returns:
        A `DatasetDict` with the keys `"train"`, `"validation"` and `"test"`.

    Raises:
        InvalidInputError: sizes that make no sense, more classes than there are, or a part without a class.
    """
    table = LabelledTable(dataset, text_column, label_column, input_column=input_column)
    count = len(table.names)
    given: tuple[Any, ...] = tuple(sizes) if isinstance(sizes, Iterable) else (sizes,)
    if len(given) != len(PARTS) or not all(isinstance(size, (int, float, np.number)) and size > 0 for size in given):
        raise InvalidInputError(
            f"sizes are {given if isinstance(sizes, Iterable) else sizes!r}; give three above 0, for "
            f"{', '.join(PARTS)}."
        )
    if all(size < 1 for size in given):
        if sum(given) > 1 + 1e-9:
            raise InvalidInputError(f"sizes are {given}; as shares they must sum to at most 1.")
        ends = [round(sum(given[: part + 1]) * count) for part in range(len(PARTS))]
    elif all(float(size).is_integer() for size in given):
        ends = [int(sum(given[: part + 1])) for part in range(len(PARTS))]
    else:
        raise InvalidInputError(f"sizes are {given}; give shares below 1, or whole numbers of classes.")
    starts = [0, *ends[:-1]]
    if ends[-1] > count or any(end <= start for start, end in zip(starts, ends, strict=True)):
        raise InvalidInputError(
            f"{count} classes cannot be split {given}: every part needs a class, and no class can be in two; "
            f"{_cure(given, count)}"
        )
    order = np.random.default_rng(seed).permutation(count)
    columns: Any = {"text_column": text_column, "label_column": label_column, "input_column": input_column}
    return DatasetDict(
        {
            part: select_classes(dataset, (table.names[place] for place in order[start:end]), **columns)
            for part, start, end in zip(PARTS, starts, ends, strict=True)
        }
    )


def _cure(sizes: Sequence[float], count: int) -> str:
    """Sizes near those that were asked for that would work, at the end of an error."""
    if count < len(PARTS):
        return f"give inputs of {len(PARTS)} classes or more."
    whole = 1 if all(size < 1 for size in sizes) else max(sum(sizes), count)
    near = [max(1, round(size / whole * count)) for size in sizes]
    while sum(near) > count:
        near[near.index(max(near))] -= 1
    return f"sizes={tuple(near)} would work."
