"""The entries of one version of a large memory, and what is known of them without looking at each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from ..memory import KeyValueState
from ..memory.reading import Search
from ..memory.similarity import Similarity
from .entries import Entry
from .growing import Growing
from .shared_slots import SharedSlots, Version


class LabelCounts(NamedTuple):
    """For each of C labels: how many entries and examples are stored under it, and their first slot."""

    entries: Tensor
    examples: Tensor
    first: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class StoredEntries(Sequence[Entry]):
    """What one version of shared slots holds, as the sequence of its entries.

    A slot holds an entry or a label's words, or nothing any more. Slots keep their numbers as others are forgotten, so
    that the place of an entry among the others need not be its slot.

    Attributes:
        shared: the slots of all versions.
        version: which of them this is.
        keys: [1, S, K].
        values: [1, S, C].
        used: [S], the slots of entries.
        examples: [S], the slots of examples.
        columns: [S], the column of each slot's only label, also of words; None where entries have several or none.
        counts: how often each label is stored.
        names: the key [K] of each label's words.
        name_slots: the slot of each label's words.
        strange: whether some key is none that anything can be compared with.
        tables: of the fields that only grow until something is forgotten.
    """

    shared: SharedSlots
    version: Version
    keys: Tensor
    values: Tensor
    used: Tensor
    examples: Tensor
    columns: Tensor | None
    counts: LabelCounts | None
    names: Mapping[str, Tensor]
    name_slots: Mapping[str, int]
    strange: bool
    tables: Mapping[str, Growing]

    @cached_property
    def slots(self) -> Tensor:
        """[M], the slot of each entry."""
        return self.used.nonzero()[:, 0]

    @cached_property
    def _count(self) -> int:
        return int(np.count_nonzero(self._used))

    @cached_property
    def _used(self) -> np.ndarray:
        return self.used.numpy()

    def at(self, slot: int) -> Entry:
        """The entry, or the label's words, in a slot that this version sees."""
        return self.shared.entries[slot]  # type: ignore[return-value]

    def slot_of(self, id_: Any) -> int:
        """The slot of an entry.

        Raises:
            KeyError: there is no entry of this id.
        """
        for slot in self.shared.slots_of(id_):
            if slot < len(self._used) and self._used[slot]:
                return slot
        raise KeyError(id_)

    def search(self, store: str, similarity: Similarity, mask: Tensor) -> Search:
        """A search of some slots, those of a mask [S], by a store; see `LabelledMemory.search`."""
        searched = self.shared.searched(store, similarity.searched)
        last: list[tuple[Tensor, int, Tensor]] = []

        def search(queries: Tensor, k: int) -> Tensor:
            for asked, most, found in last:  # an answer and its evidence ask for the same
                if most == k and torch.equal(asked, queries):
                    return found
            found = searched.search(self.keys[0], mask, similarity.asked(queries.detach())[0], k)[None]
            last[:] = [(queries.detach().clone(), k, found)]
            return found

        return search

    def per_label(self, state: KeyValueState) -> float | None:
        """How often a label was written in some slots, on average; None where entries have several or none."""
        if self.columns is None:
            return None
        return int((state.write_count * state.mask).sum()) / state.values.shape[2]

    def kept(self) -> np.ndarray:
        """[S], the slots of entries and of words."""
        kept = self._used.copy()
        kept[list(self.name_slots.values())] = True
        return kept

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return compress(map(self.at, range(len(self._used))), self._used.data)  # type: ignore[arg-type]

    def __reversed__(self) -> Iterator[Entry]:
        return compress(map(self.at, reversed(range(len(self._used)))), self._used[::-1].data)  # type: ignore[arg-type]

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Entry, ...]: ...
    def __getitem__(self, place: int | slice) -> Entry | tuple[Entry, ...]:
        if isinstance(place, slice):
            return tuple(map(self.at, self.slots.numpy()[place].tolist()))
        return self.at(int(self.slots[place]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (StoredEntries, tuple)) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __reduce__(self) -> tuple:
        return tuple, (tuple(self),)


class SlotById(Mapping[int, int]):
    """The slot of each entry by its id."""

    def __init__(self, entries: StoredEntries) -> None:
        self._entries = entries

    def __getitem__(self, id_: int) -> int:
        return self._entries.slot_of(id_)

    def __iter__(self) -> Iterator[int]:
        return (entry.id for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)
