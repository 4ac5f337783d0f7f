"""An index of the rows of pairs, which follows what is written and forgotten."""

import threading

import numpy as np
import torch
from torch import Tensor

from ...memory.stores import STORES, Store
from ..forks import renew_in_children
from .rows import Rows
from .segment import ranges

GROWTH = 4
"""An index is made anew from the keys where there are so many times the rows that it was made for."""
SAMPLE = 2**17
"""Rows that a store is shown of those that will be added."""


class Index:
    """A store of the rows of pairs. Rows there keep their numbers as those of a memory move up.

    A pair has one row (its source key) or several (one for each token). What the memory of before had and the present
    one has not is removed; what has come is added behind all others.

    Args:
        store_name: of the store, in `STORES`.
        rows: what it will be made of.

    Attributes:
        store: by the numbers of rows here.
        ids: [M] int64, every pair that was added.
        firsts: [M+1], the first row here of each, and how many there are.
        present: [M], which of them are still there.
        version: another one after each change.
        owner: who may change it: what made it, or took it from a file.
        lost: whether it can no longer be used, and is to be made anew.
        made_for: how many rows it was made for.
    """

    def __init__(self, store_name: str, rows: Rows) -> None:
        self.store_name, self.made_for = store_name, len(rows)
        self.owner: object = None
        sample = rows.sample(SAMPLE).float().cpu()
        self.store: Store = STORES[store_name](sample.shape[1])
        self.store.prepare(sample, len(rows))
        self._begin(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64))

    @classmethod
    def loaded(cls, store_name: str, store: Store, ids: np.ndarray, firsts: np.ndarray) -> "Index":
        """An index that was saved.

        Args:
            store_name: in `STORES`.
            store: a key for each row.
            ids: [M], the pairs.
            firsts: [M+1], the first row of each, and how many there are.
        """
        index = cls.__new__(cls)
        index.store_name, index.store, index.made_for, index.owner = store_name, store, len(store), None
        index._begin(ids, firsts)
        return index

    def _begin(self, ids: np.ndarray, firsts: np.ndarray) -> None:
        self.ids, self.firsts, self.present = ids, firsts, np.ones(len(ids), dtype=bool)
        self.lock = threading.Lock()
        self.version, self.lost = object(), False
        renew_in_children(self)

    def renew(self) -> None:
        """Goes on in a process that was forked off; amid a change of another thread it is lost there."""
        if self.lock.locked():
            self.lock, self.lost = threading.Lock(), True

    def is_outgrown_by(self, count: int) -> bool:
        """Whether it should be made anew for so many rows."""
        return self.lost or count > GROWTH * self.made_for or int(self.firsts[-1]) > 2 * max(count, 1)

    def follow(self, ids: np.ndarray, firsts: np.ndarray, rows: Rows, gone: np.ndarray | None) -> bool:
        """Brings the index to what a memory holds.

        Args:
            ids: [N], the pairs of the memory, in order.
            firsts: [N+1], the first row of each in the memory, and how many there are.
            rows: of the memory.
            gone: the pairs that are here and not in the memory; None where that is not known.

        Returns:
            Whether it could: not where the pairs that are left here are not the first of the memory, in order.
        """
        with self.lock:
            if gone is None:
                gone = self.ids[self.present & ~np.isin(self.ids, ids)]
            lost = np.flatnonzero(self.present & np.isin(self.ids, gone)) if len(gone) else np.empty(0, dtype=np.int64)
            kept = self.present.copy()
            kept[lost] = False
            stay = int(np.count_nonzero(kept))
            sizes = np.diff(self.firsts)
            if not (
                np.array_equal(self.ids[kept], ids[:stay]) and np.array_equal(sizes[kept], np.diff(firsts[: stay + 1]))
            ):
                return False
            if len(lost):
                self.store.remove(ranges(torch.from_numpy(self.firsts[lost]), torch.from_numpy(sizes[lost])))
            shift = int(self.firsts[-1] - firsts[stay])
            for first, part in rows.parts(int(firsts[stay])):
                self.store.add(torch.arange(first, first + len(part)) + shift, part.float().cpu())
            if len(lost) or stay < len(ids):
                self.version = object()
            self.ids = np.concatenate([self.ids, ids[stay:]])
            self.firsts = np.concatenate([self.firsts, firsts[stay + 1 :] + shift])
            self.present = np.concatenate([kept, np.ones(len(ids) - stay, dtype=bool)])
            return True

    def holds(self, ids: Tensor) -> bool:
        """Whether it is of the pairs with these ids [N], in order, and no others."""
        with self.lock:
            return np.array_equal(self.ids[self.present], ids.numpy())

    def view(self) -> "IndexView":
        """The rows that are there now, numbered as in the memory that it follows."""
        with self.lock:
            return IndexView(self)

    def rows_in_memory(self) -> tuple[np.ndarray, np.ndarray]:
        """The number in the memory of the first row of each pair [M], -1 for those that are gone; and its ids [N]."""
        sizes = np.where(self.present, np.diff(self.firsts), 0)
        return np.where(self.present, sizes.cumsum() - sizes, -1), self.ids[self.present]


class IndexView:
    """The rows of an index that one memory has. A search of it no longer finds what a later memory has forgotten."""

    def __init__(self, index: Index) -> None:
        self.index, self._version, self._firsts = index, index.version, index.firsts
        self._there, _ = index.rows_in_memory()

    def search(self, queries: Tensor, k: int) -> Tensor:
        """The rows in the memory that are found nearest to each query, [Q, at most k]; -1 where there are fewer."""
        with self.index.lock:
            mask = None
            if self.index.version is not self._version:  # others go on with it
                mask = torch.from_numpy(np.repeat(self._there >= 0, np.diff(self._firsts)))
            _, found = self.index.store.search(queries.float().cpu(), k, mask)
        rows = found.numpy()
        pairs = self._firsts.searchsorted(rows, side="right") - 1
        moved = torch.from_numpy(self._there[pairs] + rows - self._firsts[pairs])
        return torch.where(found < 0, -1, moved).to(queries.device)
