"""Labelled texts of a `datasets.Dataset`, grouped by class."""

import hashlib
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict

from ..controllers.text import check_texts
from ..errors import InvalidInputError, InvalidTypeError, MannError
from ..hub_names import is_owned_name
from ..targets import Spellings, is_missing, spell_label
from ..targets.labels import plain
from ..wording import whole_number

IN_CACHE = re.compile(r"[/\\]([\w.-]+?)___([\w.-]+)[/\\]")
"""How datasets names the folder of a data set from the Hub in its cache."""


class LabelledTable:
    """The texts of a data set by the names of their classes.

    Args:
        dataset: with a column of texts and one of labels (names, whole numbers, or a `ClassLabel`).
        text_column: the name of the column of texts.
        label_column: the name of the column of labels.
        source: what error messages call the data set.

    Attributes:
        names: of the classes, sorted.
        labels: the number of each text's class in them.
        name: of the data set, for people.
        dataset_id: the name on the Hub of what the data set was read from, if it was.

    Raises:
        InvalidTypeError: it is no `datasets.Dataset`, or texts or labels are of a type that they cannot have.
        InvalidInputError: no rows, no such column, an empty text, or a missing label.
    """

    def __init__(
        self, dataset: Any, text_column: str = "text", label_column: str = "label", source: str = "the data set"
    ) -> None:
        if isinstance(dataset, DatasetDict):
            raise InvalidTypeError(
                f"{source} is a DatasetDict of {', '.join(map(repr, dataset))}; give one of its splits."
            )
        if not isinstance(dataset, Dataset):
            raise InvalidTypeError(f"{source} is of type {type(dataset).__name__}; give a datasets.Dataset.")
        for kind, column in (("text_column", text_column), ("label_column", label_column)):
            if column not in dataset.column_names:
                raise InvalidInputError(
                    f"{source} has no column {column!r}; it has {', '.join(map(repr, dataset.column_names))}. "
                    f"Say which it is with {kind}=."
                )
        if not len(dataset):
            raise InvalidInputError(f"{source} has no rows.")
        self.source = source
        feature = dataset.features[label_column]
        named = feature.names if isinstance(feature, ClassLabel) and feature.names is not None else ()
        self._numbered: dict[int | None, str] = {number: spell_label(name) for number, name in enumerate(named)}
        self.dataset_id = _on_hub(dataset)
        self.name = self.dataset_id or dataset.info.dataset_name or "labelled texts"
        dataset = dataset.with_format(None)  # one of tensors has no names and numbers
        try:
            self.texts = check_texts(list(dataset[text_column]))
        except MannError as error:
            raise type(error)(f"{source}, column {text_column!r}: {error}") from None
        known = Spellings()
        names = [self._name(label, row, label_column, known) for row, label in enumerate(_named(dataset, label_column))]
        self.names: list[str] = sorted(set(names))
        number = {name: position for position, name in enumerate(self.names)}
        self.labels = np.array([number[name] for name in names])

    def _name(self, label: Any, row: int, column: str, known: Spellings) -> str:
        try:
            return known.of(label)
        except (InvalidInputError, InvalidTypeError) as error:
            where = f"{self.source}, column {column!r}: row {row} (counted from 0)"
            if is_missing(label):
                raise InvalidInputError(f"{where} has no label; leave such rows out.") from None
            raise type(error)(f"{where}: {error}; episodes are made of texts with one class each.") from None

    def class_names(self, classes: Any) -> list[str]:
        """The names of classes that are given by name or by number.

        Raises:
            InvalidTypeError: no list, or something else in it.
        """
        if isinstance(classes, (str, bytes)) or not isinstance(classes, Iterable):
            raise InvalidTypeError(f"classes is {classes!r}; give a list, as in [{classes!r}].")
        try:
            return [self._numbered.get(whole_number(name)) or spell_label(name) for name in plain(classes)]
        except (InvalidInputError, InvalidTypeError) as error:
            raise type(error)(f"classes: {error}.") from None

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """The rows of each class, in order."""
        order = np.argsort(self.labels, kind="stable")
        ends = np.cumsum(np.bincount(self.labels, minlength=len(self.names)))
        return dict(zip(self.names, np.split(order, ends[:-1]), strict=True))

    @cached_property
    def distinct(self) -> dict[str, np.ndarray]:
        """The first row of each different text, for each class, in order."""
        first = {name: {self.texts[row]: row for row in reversed(rows)} for name, rows in self.rows.items()}
        return {name: np.array(sorted(rows.values())) for name, rows in first.items()}

    @cached_property
    def shared(self) -> dict[str, set[str]]:
        """The texts that several classes have, in order, with these classes."""
        classes: dict[str, set[str]] = {}
        for text, label in zip(self.texts, self.labels.tolist(), strict=True):
            classes.setdefault(text, set()).add(self.names[label])
        return {text: names for text, names in classes.items() if len(names) > 1}

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all texts and labels in their order."""
        digest = hashlib.blake2b(digest_size=16)
        for text, label in zip(self.texts, self.labels.tolist(), strict=True):
            digest.update(f"{len(text)}\x1f{text}\x1f{self.names[label]}\x1e".encode())
        return digest.hexdigest()


def _named(dataset: Dataset, column: str) -> list[Any]:
    """The labels of a column, those of a `ClassLabel` by name."""
    feature = dataset.features[column]
    labels = list(dataset[column])
    if not isinstance(feature, ClassLabel) or feature.names is None:
        return labels
    return [None if label is None or label < 0 else feature.int2str(label) for label in labels]


def _on_hub(dataset: Dataset) -> str | None:
    """The name on the Hub of what a data set was read from, as its name or its file in the cache tells it."""
    if is_owned_name(dataset.info.dataset_name or ""):
        return dataset.info.dataset_name
    found = (IN_CACHE.search(file["filename"]) for file in dataset.cache_files)
    return next((f"{match[1]}/{match[2]}" for match in found if match), None)
