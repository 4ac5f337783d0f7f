"""The one reference to a model's memory of pairs, with what searches of it have prepared."""

import threading

from ..forks import free
from ..holder import Holder
from .memory import PairMemory
from .search import PairSearch


class PairHolder(Holder[PairMemory]):
    """Holds a memory of pairs for threads that read and threads that write.

    What was prepared for the last search is brought up to date for the next: only what has been written or forgotten
    since is added to it or removed. A branch reads the indexes of what it began with, and has its own once it is
    written to.

    Args:
        memory: what is held at first.
    """

    def __init__(self, memory: PairMemory) -> None:
        self._preparing = threading.RLock()
        self._prepared: PairSearch | None = None
        super().__init__(memory)

    def search(self, store: str) -> PairSearch:
        """The present memory, prepared to be read.

        Args:
            store: the name in `STORES` of what searches a large memory.
        """
        prepared = self._prepared
        if prepared is not None and prepared.memory is self.memory and prepared.store == store:
            return prepared
        with self._preparing:
            memory, before = self.memory, self._prepared
            if before is None or before.memory is not memory or before.store != store:
                self._prepared = before = PairSearch.of(memory, store, before, self)
            return before

    def branch(self) -> "PairHolder":
        """An independent holder of the present memory, with what was prepared for reads."""
        branch, prepared = PairHolder(self.memory), self._prepared
        if prepared is not None and prepared.memory is branch.memory:
            branch._prepared = prepared
        return branch

    def _forget(self) -> None:
        """Brings what was prepared to the present memory: it holds keys of what was forgotten."""
        with self._preparing:
            if self._prepared is not None:
                self._prepared = PairSearch.of(self.memory, self._prepared.store, self._prepared, self)

    def renew(self) -> None:
        self._preparing = free(self._preparing)
        super().renew()
