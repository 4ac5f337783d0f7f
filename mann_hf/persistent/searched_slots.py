"""The keys of shared slots in a store, which follows what is written and forgotten."""

import threading
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from ..memory.stores import STORES, Store
from .forks import renew_in_children

ADDED_AT_ONCE = 2**16
"""Keys that are brought into the form of the store at a time."""


class SearchedSlots:
    """A store over the slots of all versions of a memory.

    A version that asks adds what it sees and the store does not have yet; each search is of the slots of one version
    alone. What no version sees any more is removed.

    Args:
        name: of the store, in `STORES`.
        form: what makes keys to be searched of those that are stored; see `Similarity.searched`.
    """

    def __init__(self, name: str, form: Callable[[Tensor], Tensor]) -> None:
        self._name, self._form = name, form
        self._store: Store | None = None
        self._gone: deque[Tensor] = deque()
        self._lock = threading.Lock()
        renew_in_children(self)

    def renew(self) -> None:
        """Begins anew in a process that was forked off while another thread changed the store."""
        if self._lock.locked():
            self._store, self._lock = None, threading.Lock()

    def search(self, keys: Tensor, mask: Tensor, queries: Tensor, k: int) -> Tensor:
        """The k slots nearest to each query, [Q, k]; fewer where the version sees fewer.

        Args:
            keys: [S, K], as a version sees them.
            mask: [S], which of them are in use.
            queries: [Q, K'], in the form for searches.
            k: how many.
        """
        with self._lock:
            self._remove()
            store = self._store = self._store or STORES[self._name](queries.shape[1])
            known = torch.nn.functional.pad(store.holds[: len(mask)], (0, max(0, len(mask) - len(store.holds))))
            for new in (mask & ~known).nonzero()[:, 0].split(ADDED_AT_ONCE):
                if len(new):
                    store.add(new, self._form(keys[new]))
            _, slots = store.search(queries, k, mask)
        self._remove_waiting()
        return slots

    def forget(self, slots: Tensor) -> None:
        """Removes slots that no version sees any more; called in any thread, and amid any work, a search included."""
        self._gone.append(slots)
        self._remove_waiting()

    def _remove_waiting(self) -> None:
        while self._gone and self._lock.acquire(blocking=False):  # or the searcher sees to it
            try:
                self._remove()
            finally:
                self._lock.release()

    def _remove(self) -> None:
        while self._gone:
            slots = self._gone.popleft()
            if self._store is not None:
                self._store.remove(slots)
