"""Labelled inputs of a `datasets.Dataset`, grouped by class."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Image, Value

from ..controllers import TEXT
from ..controllers.pictures import UNREADABLE, why_unreadable, without_size_warning
from ..controllers.text import check_texts
from ..errors import InvalidInputError, InvalidTypeError, MannError
from ..hub_names import is_owned_name
from ..targets import Spellings, is_missing, spell_label
from ..targets.labels import plain
from ..wording import whole_number

IN_CACHE = re.compile(r"[/\\]([\w.-]+?)___([\w.-]+)[/\\]")
"""How datasets names the folder of a data set from the Hub in its cache."""


class LabelledTable:
    """The inputs of a data set, such as texts or images, by the names of their classes.

    Args:
        dataset: with a column of inputs and one of labels (names, whole numbers, or a `ClassLabel`).
        text_column: the name of the column of texts.
        label_column: the name of the column of labels.
        source: what error messages call the data set.
        input_column: the name of the column of inputs of any kind, in place of `text_column`.
        noun: what an input is called in messages; `"input"` if left out where there is an `input_column`, else
            `"text"`.

    Attributes:
        inputs: one for each row; those that are no texts are decoded when they are asked for.
        noun: what an input is called in messages.
        names: of the classes, sorted.
        labels: the number of each input's class in them.
        name: of the data set, for people.
        dataset_id: the name on the Hub of what the data set was read from, if it was.

    Raises:
        InvalidTypeError: it is no `datasets.Dataset`, or texts or labels are of a type that they cannot have.
        InvalidInputError: no rows, no such column, an empty text, or a missing label.
    """

    inputs: Sequence[Any]

    def __init__(
        self,
        dataset: Any,
        text_column: str = "text",
        label_column: str = "label",
        source: str = "the data set",
        input_column: str | None = None,
        noun: str | None = None,
    ) -> None:
        if isinstance(dataset, DatasetDict):
            raise InvalidTypeError(
                f"{source} is a DatasetDict of {', '.join(map(repr, dataset))}; give one of its splits."
            )
        if not isinstance(dataset, Dataset):
            raise InvalidTypeError(f"{source} is of type {type(dataset).__name__}; give a datasets.Dataset.")
        given = ("text_column", text_column) if input_column is None else ("input_column", input_column)
        for kind, column in (given, ("label_column", label_column)):
            if column not in dataset.column_names:
                other = ", or with input_column= where the inputs are no texts" if kind == "text_column" else ""
                raise InvalidInputError(
                    f"{source} has no column {column!r}; it has {', '.join(map(repr, dataset.column_names))}. "
                    f"Say which it is with {kind}={other}."
                )
        if not len(dataset):
            raise InvalidInputError(f"{source} has no rows.")
        self.source = source
        feature = dataset.features[label_column]
        named = feature.names if isinstance(feature, ClassLabel) and feature.names is not None else ()
        self._numbered: dict[int | None, str] = {number: spell_label(name) for number, name in enumerate(named)}
        self.dataset_id = hub_name(dataset)
        dataset = dataset.with_format(None)  # one of tensors has no names and numbers
        self.noun = noun or (TEXT if input_column is None else "input")
        if input_column is None or _is_text(dataset.features[input_column]):
            self.inputs = self._texts(dataset, given[1], noun)
        else:
            self.inputs = _Column(dataset, input_column, source)
        self.name = self.dataset_id or dataset.info.dataset_name or f"labelled {self.noun}s"
        known = Spellings()
        names = [self._name(label, row, label_column, known) for row, label in enumerate(_named(dataset, label_column))]
        self.names: list[str] = sorted(set(names))
        number = {name: position for position, name in enumerate(self.names)}
        self.labels = np.array([number[name] for name in names])

    def _texts(self, dataset: Dataset, column: str, noun: str | None) -> list[str]:
        try:
            return check_texts(list(dataset[column]), noun=noun)
        except MannError as error:
            raise type(error)(f"{self.source}, column {column!r}: {error}") from None

    @property
    def texts(self) -> list[str]:
        """The inputs of a data set of texts."""
        assert isinstance(self.inputs, list)
        return self.inputs

    @property
    def are_texts(self) -> bool:
        """Whether the inputs are strings: texts, or the paths of files."""
        return isinstance(self.inputs, list)

    @cached_property
    def keys(self) -> list[str]:
        """What tells inputs apart: of texts they themselves, of others a digest of the content."""
        if not isinstance(self.inputs, _Column):
            return self.texts
        found = []
        for row, digest in enumerate(self.inputs.digests()):
            if digest is None:
                raise InvalidInputError(f"{self.inputs.where(row)} has no input; leave such rows out.")
            found.append(digest)
        return found

    def _name(self, label: Any, row: int, column: str, known: Spellings) -> str:
        try:
            return known.of(label)
        except (InvalidInputError, InvalidTypeError) as error:
            where = f"{self.source}, column {column!r}: row {row} (counted from 0)"
            if is_missing(label):
                raise InvalidInputError(f"{where} has no label; leave such rows out.") from None
            raise type(error)(f"{where}: {error}; episodes are made of {self.noun}s with one class each.") from None

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
        """The first row of each different input, for each class, in order."""
        first = {name: {self.keys[row]: row for row in reversed(rows)} for name, rows in self.rows.items()}
        return {name: np.array(sorted(rows.values())) for name, rows in first.items()}

    @cached_property
    def shared(self) -> dict[str, set[str]]:
        """The keys of the inputs that several classes have, in order, with these classes."""
        classes: dict[str, set[str]] = {}
        for key, label in zip(self.keys, self.labels.tolist(), strict=True):
            classes.setdefault(key, set()).add(self.names[label])
        return {key: names for key, names in classes.items() if len(names) > 1}

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all inputs and labels in their order."""
        digest = hashlib.blake2b(digest_size=16)
        for key, label in zip(self.keys, self.labels.tolist(), strict=True):
            digest.update(f"{len(key)}\x1f{key}\x1f{self.names[label]}\x1e".encode())
        return digest.hexdigest()


class _Column(Sequence):
    """A column of inputs that are no texts; each is decoded when it is asked for."""

    def __init__(self, dataset: Dataset, column: str, source: str) -> None:
        self.column, self.source = column, source
        kept = dataset.select_columns([column])
        self._is_image = isinstance(kept.features[column], Image)
        self._rows = kept if self._is_image else kept.with_format("numpy")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: Any) -> Any:
        if not self._is_image:
            return self._rows[int(row)][self.column]
        try:
            with without_size_warning():
                return self._rows[int(row)][self.column]
        except IndexError:  # which ends an iteration
            raise
        except UNREADABLE as error:
            raise InvalidInputError(
                f"{self.where(row)} is no picture that can be read ({why_unreadable(error)})."
            ) from None

    def where(self, row: int) -> str:
        """A row, as errors name it."""
        return f"{self.source}, column {self.column!r}: row {int(row)} (counted from 0)"

    def digests(self) -> Iterator[str | None]:
        """A digest of each input; None for one that is missing."""
        encoded = self._rows.cast_column(self.column, Image(decode=False)) if self._is_image else self._rows
        for row in encoded:
            yield _digest(row[self.column])


def _digest(value: Any) -> str | None:
    """A digest of an array, or of an image as its file holds it."""
    if isinstance(value, dict):
        value = value["path"] if value.get("bytes") is None else value["bytes"]
    if value is None:
        return None
    if isinstance(value, str | bytes):
        content = value.encode() if isinstance(value, str) else value
    else:
        array = np.ascontiguousarray(value)
        content = f"{array.dtype} {array.shape} ".encode() + array.tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _is_text(feature: Any) -> bool:
    return isinstance(feature, Value) and feature.dtype in ("string", "large_string")


def _named(dataset: Dataset, column: str) -> list[Any]:
    """The labels of a column, those of a `ClassLabel` by name."""
    feature = dataset.features[column]
    labels = list(dataset[column])
    if not isinstance(feature, ClassLabel) or feature.names is None:
        return labels
    return [None if label is None or label < 0 else feature.int2str(label) for label in labels]


def hub_name(dataset: Dataset) -> str | None:
    """The name on the Hub of what a data set was read from, as its name or its file in the cache tells it."""
    if is_owned_name(dataset.info.dataset_name or ""):
        return dataset.info.dataset_name
    found = (IN_CACHE.search(file["filename"]) for file in dataset.cache_files)
    return next((f"{match[1]}/{match[2]}" for match in found if match), None)
