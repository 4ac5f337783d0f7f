"""Data sets of pairs of a source and a target text."""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from datasets import Dataset, DatasetDict

from ..controllers.text import check_texts
from ..errors import InvalidInputError, InvalidTypeError, MannError
from .episode import Pair
from .table import hub_name


class PairTable:
    """The pairs of a data set.

    Args:
        dataset: with a column of sources and one of targets, both texts.
        source_column: the name of the column of sources.
        target_column: the name of the column of targets.
        called: what error messages call the data set.

    Attributes:
        pairs: one for each row.
        name: of the data set, for people.
        dataset_id: the name on the Hub of what the data set was read from, if it was.

    Raises:
        InvalidTypeError: it is no `datasets.Dataset`, or a column holds something else than texts.
        InvalidInputError: no rows, no such column, or an empty text.
    """

    def __init__(
        self,
        dataset: Any,
        source_column: str = "source",
        target_column: str = "target",
        called: str = "the data set",
    ) -> None:
        if isinstance(dataset, DatasetDict):
            raise InvalidTypeError(
                f"{called} is a DatasetDict of {', '.join(map(repr, dataset))}; give one of its splits."
            )
        if not isinstance(dataset, Dataset):
            raise InvalidTypeError(f"{called} is of type {type(dataset).__name__}; give a datasets.Dataset.")
        for kind, column in (("source_column", source_column), ("target_column", target_column)):
            if column not in dataset.column_names:
                raise InvalidInputError(
                    f"{called} has no column {column!r}; it has {', '.join(map(repr, dataset.column_names))}. Say "
                    f"which it is with {kind}=."
                )
        if not len(dataset):
            raise InvalidInputError(f"{called} has no rows.")
        self.called = called
        self.dataset_id = hub_name(dataset)
        self.name = self.dataset_id or dataset.info.dataset_name or "pairs"
        dataset = dataset.with_format(None)
        sources, targets = (self._texts(dataset, column) for column in (source_column, target_column))
        self.pairs = [Pair(*pair) for pair in zip(sources, targets, strict=True)]

    def _texts(self, dataset: Dataset, column: str) -> list[str]:
        try:
            return check_texts(list(dataset[column]))
        except MannError as error:
            raise type(error)(f"{self.called}, column {column!r}: {error}") from None

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def distinct(self) -> list[Pair]:
        """Each pair once, in order."""
        return list(dict.fromkeys(self.pairs))

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all pairs in their order."""
        return digest_of_pairs(self.pairs)


def digest_of_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """What identifies pairs in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for source, target in pairs:
        digest.update(f"{len(source)}\x1f{source}\x1f{target}\x1e".encode())
    return digest.hexdigest()
