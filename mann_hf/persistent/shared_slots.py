"""Slots that the versions of a large memory share, so that a write copies neither the keys nor the entries."""

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from .entries import Entry
from .forks import renew_in_children
from .searched_slots import SearchedSlots


class Version:
    """Stands for one version of shared slots: it is there as long as anybody sees that version, or an older one."""

    __slots__ = ("__weakref__", "newer")

    def __init__(self) -> None:
        self.newer: Version | None = None


class _Rows(np.ndarray):
    """Rows as one version sees them. Each tensor over them, and each view of it, keeps the version."""

    version: Version


class SharedSlots:
    """The keys, values and entries of all versions of a memory, in main memory.

    A version sees the first slots, as many as there were, less those that it has forgotten. Only the newest version
    may go on: it appends behind what any version sees, in place while there is room. What a version forgets is zeroed
    and dropped as soon as nobody sees an older one.

    Attributes:
        keys: [room, K].
        values: [room, C].
        entries: what each slot holds; None where it was forgotten.
        slot_by_id: the slot in which an id was written last.
        newest: the version that may go on.
    """

    def __init__(self, keys: Tensor, values: Tensor, entries: Sequence[Entry]) -> None:
        room = _room_for(len(entries))
        self.keys, self.values = _roomy(keys.numpy(), room), _roomy(values.numpy(), room)
        self.entries: list[Entry | None] = list(entries)
        self.slot_by_id = {entry.id: slot for slot, entry in enumerate(entries)}
        self.newest = Version()
        self._older: dict[int, list[int]] = {}  # the slots of ids that were forgotten and written again
        self._searched: dict[tuple[str, Callable[[Tensor], Tensor]], SearchedSlots] = {}
        self._waiting: deque[tuple[np.ndarray, tuple[np.ndarray, ...]]] = deque()
        self._lock = threading.Lock()
        renew_in_children(self)

    def renew(self) -> None:
        """Goes on in a process that was forked off while another thread wrote: no version has seen its slots."""
        self._lock = threading.Lock()

    def seen_by(self, version: Version, count: int) -> tuple[Tensor, Tensor]:
        """The keys [1, S, K] and values [1, S, C] of a version of so many slots."""
        return _seen(self.keys, count, version), _seen(self.values, count, version)

    def searched(self, store: str, form: Callable[[Tensor], Tensor]) -> SearchedSlots:
        """The slots in a store of this name, their keys in a form; see `SearchedSlots`."""
        found = self._searched.get((store, form))
        return found or self._searched.setdefault((store, form), SearchedSlots(store, form))

    def slots_of(self, id_: int) -> Iterator[int]:
        """The slots in which an id was written, the last first."""
        slot = self.slot_by_id.get(id_)
        if slot is not None:
            yield slot
            yield from reversed(self._older.get(id_, ()))

    def advance(
        self,
        version: Version,
        used: np.ndarray,
        new: tuple[Tensor, Tensor, Sequence[Entry]] | None = None,
        gone: np.ndarray | None = None,
        columns: list[int] | None = None,
    ) -> Version | None:
        """The version after a write; None if another write was made to this one, which then has to be copied.

        Args:
            version: what is written to.
            used: [S], the slots that the new version goes on to see.
            new: keys [N, K], values [N, C] and entries that are appended.
            gone: the slots that the new version forgets.
            columns: for each column of the values the one it has been; -1 for a new one.
        """
        with self._writing():
            if self.newest is not version:
                return None
            before = (self.keys, self.values)
            if columns is not None:
                self.values = _with_columns(self.values, used, columns)
            if new is not None:
                self._append(used, *new)
            after = version.newer = Version()
            if gone is not None and len(gone):
                # not at exit, when all is gone in any case
                weakref.finalize(version, self._forget, gone, before).atexit = False
            self.newest = after
            return after

    def _append(self, used: np.ndarray, keys: Tensor, values: Tensor, entries: Sequence[Entry]) -> None:
        count, end = len(used), len(used) + len(entries)
        if end > len(self.keys):
            self.keys, self.values = (_roomy(rows, _room_for(end), used) for rows in (self.keys, self.values))
        self.keys[count:end], self.values[count:end] = keys.numpy(), values.numpy()
        self.entries[count:] = entries
        for slot, entry in enumerate(entries, count):
            before = self.slot_by_id.get(entry.id)
            if before is not None and before < count:
                self._older.setdefault(entry.id, []).append(before)
            self.slot_by_id[entry.id] = slot

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            yield
        self._wipe_waiting()

    def _forget(self, slots: np.ndarray, tables: tuple[np.ndarray, ...]) -> None:
        """Called when nobody sees some slots any more: in any thread, and amid any work, a write included."""
        self._waiting.append((slots, tables))
        self._wipe_waiting()

    def _wipe_waiting(self) -> None:
        while self._waiting and self._lock.acquire(blocking=False):  # or the writer sees to it
            try:
                while self._waiting:
                    self._wipe(*self._waiting.popleft())
            finally:
                self._lock.release()

    def _wipe(self, slots: np.ndarray, tables: tuple[np.ndarray, ...]) -> None:
        for table in tables:
            table[slots] = 0
        for searched in tuple(self._searched.values()):
            searched.forget(torch.from_numpy(slots))
        for slot in slots.tolist():
            entry, self.entries[slot] = self.entries[slot], None
            assert entry is not None
            older = self._older.get(entry.id, [])
            if slot in older:
                older.remove(slot)
                if not older:
                    del self._older[entry.id]
            else:
                del self.slot_by_id[entry.id]


def _seen(table: np.ndarray, count: int, version: Version) -> Tensor:
    rows = table[:count].view(_Rows)
    rows.version = version
    return torch.from_numpy(rows)[None]


def _room_for(slots: int) -> int:
    return 2 * slots  # what is not written to yet takes up no memory


def _roomy(rows: np.ndarray, room: int, used: np.ndarray | None = None) -> np.ndarray:
    """A table with room for more rows, without those that are not used."""
    table = np.zeros((room, *rows.shape[1:]), rows.dtype)
    kept = len(rows) if used is None else len(used)
    table[:kept] = rows[:kept]
    if used is not None:
        table[:kept][~used] = 0
    return table


def _with_columns(table: np.ndarray, used: np.ndarray, columns: list[int]) -> np.ndarray:
    """The table with other columns, as in `SharedSlots.advance`: behind all that there were, or some of these."""
    kept, old = len(used), [column for column in columns if column >= 0]
    wider = np.zeros((len(table), len(columns)), table.dtype)
    if old == [*range(len(old))]:
        wider[:kept, : len(old)] = table[:kept, : len(old)]
    else:  # several times faster than an index
        np.take(table[:kept], columns, axis=1, out=wider[:kept], mode="clip")
    wider[:kept][~used] = 0
    return wider
