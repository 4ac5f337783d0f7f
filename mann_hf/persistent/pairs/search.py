"""A memory of pairs, prepared to be read: its nearest pairs and tokens, and what belongs to them."""

import threading
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidInputError
from ...memory.stores import STORES
from ...memory.stores.exact import in_order
from ..forks import free, renew_cached_properties_in_children, renew_in_children
from .index import Index, IndexView
from .index_files import load_index
from .memory import PairMemory
from .rows import Rows
from .segment import ranges

EXACT = 100_000
"""Entries up to which a query is compared with all of them, whatever the store."""
WIDER = 16
"""Times more entries than asked for are taken from an approximate store, to be compared by their own keys."""
QUERIES_AT_ONCE = 64
"""Queries whose finds are compared at once by their own keys."""


def needs_index(entries: int, store: str) -> bool:
    """Whether so many entries are searched by an index of a store."""
    return entries > EXACT and not STORES[store].compares_all


class Candidates(NamedTuple):
    """Stored tokens, P for each of B sequences; where there are fewer, -1 and keys of 0 follow.

    Attributes:
        keys: [B, P, K], as they are stored.
        tokens: [B, P].
        slots: [B, P].
        log_probabilities: [B, P], what the model without a memory gave to each as it was stored.
    """

    keys: Tensor
    tokens: Tensor
    slots: Tensor
    log_probabilities: Tensor


class PairSearch:
    """A memory of pairs, prepared to be read; made by `of`. Several threads may share one.

    Pairs and slots are numbered as in its memory. Where a memory goes on from another, `before` hands on the indexes of
    that: a search of the older one no longer finds what the younger has forgotten.

    Attributes:
        memory: whose pairs they are.
        store: the name in `STORES` of what finds the nearest of more than `EXACT` entries.
        starts: [N+1], the first slot of each pair, and S.
    """

    def __init__(
        self, memory: PairMemory, store: str, before: "PairSearch | None" = None, owner: object = None
    ) -> None:
        self.owner, self._preparing = owner, threading.RLock()
        renew_in_children(self)
        self.memory, self.store, self.starts = memory, store, memory.starts.to(memory.device)
        self._views: dict[str, IndexView] = {}
        if before is None or before.store != store or _shape(before.memory) != _shape(memory):
            return
        for part, view in dict(before._views).items():
            if not self._is_exact(rows := self._rows_of(part)) and (index := self._followed(part, rows, view, before)):
                memory.indexes[part] = index
                self._views[part] = index.view()

    @classmethod
    def of(
        cls, memory: PairMemory, store: str = "exact", before: "PairSearch | None" = None, owner: object = None
    ) -> "PairSearch":
        """The pairs of a memory, prepared to be read.

        Args:
            memory: it may be empty.
            store: the name in `STORES` of what finds the nearest of more than `EXACT` entries.
            before: a search of a memory that this one was made of; only what has changed since is then added to its
                indexes and removed from them.
            owner: who may change the indexes that are made; a search of another owner makes its own of a memory that
                has changed.

        Raises:
            UnknownNameError: there is no such store.
            MissingExtraError: a package that it needs is not installed.
        """
        STORES[store].check_installed()
        return cls(memory, store, before, owner)

    @cached_property
    def _source_rows(self) -> Rows:
        memory = self.memory
        empty = torch.empty(0, memory.source_size, device=memory.device)
        return Rows([each.source_keys for each in memory.segments], empty)

    @cached_property
    def _token_rows(self) -> Rows:
        memory = self.memory
        if memory.kind != "token":
            raise InvalidInputError("this memory keeps no keys of tokens: it is an example memory.")
        empty = torch.empty(0, memory.key_size, dtype=memory.key_dtype, device=memory.device)
        return Rows([each.token_keys for each in memory.segments if each.token_keys is not None], empty)

    @cached_property
    def _tokens(self) -> Rows:
        memory = self.memory
        return Rows([each.tokens for each in memory.segments], torch.empty(0, dtype=torch.int32, device=memory.device))

    @cached_property
    def _log_probabilities(self) -> Rows:
        memory = self.memory
        columns = [each.log_probabilities for each in memory.segments if each.log_probabilities is not None]
        return Rows(columns, torch.empty(0, device=memory.device))

    @cached_property
    def source_keys(self) -> Tensor:
        """[N, E], the source keys of all pairs, to be read whole where there are few."""
        return _finite(self._source_rows.whole())

    @cached_property
    def _value_rows(self) -> Rows:
        memory = self.memory
        if memory.kind != "example":
            raise InvalidInputError("this memory keeps no value for each pair: it is a token memory.")
        empty = torch.empty(0, memory.key_size, device=memory.device)
        return Rows([each.values for each in memory.segments if each.values is not None], empty)

    @cached_property
    def values(self) -> Tensor:
        """[N, K], the values of all pairs of an example memory.

        Raises:
            InvalidInputError: it is a token memory.
        """
        return _finite(self._value_rows.whole())

    def nearest_pairs(self, source_keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The pairs whose source keys have the largest inner products with some keys.

        Args:
            source_keys: [B, E].
            k: how many.

        Returns:
            `(scores, numbers)`, each [B, k]: the products in single precision, largest first, and the pairs' numbers;
            minus infinity and -1 where there are fewer pairs.

        Raises:
            InvalidInputError: keys of another shape, k below 1, or stored keys that are not finite.
        """
        return self._nearest("pairs", source_keys, k)

    def nearest_tokens(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The slots whose keys have the largest inner products with queries [Q, K]; see `nearest_pairs`."""
        return self._nearest("tokens", queries, k)

    def candidates(self, numbers: Tensor) -> Candidates:
        """All tokens of some pairs.

        Args:
            numbers: [B, k], each once in a row; -1 stands for none.

        Raises:
            InvalidInputError: it is an example memory, or stored keys are not finite.
        """
        numbers = numbers.to(self.starts.device)
        there = numbers.clamp(min=0)
        if not len(self.memory):
            return self._candidates(numbers.new_empty(len(numbers), 0))
        lengths = torch.where(numbers < 0, 0, self.starts[there + 1] - self.starts[there])
        totals = lengths.sum(1)
        slots = numbers.new_full((len(numbers), int(totals.max()) if len(numbers) else 0), -1)
        filled = torch.arange(slots.shape[1], device=slots.device) < totals[:, None]
        slots[filled] = ranges(self.starts[there].flatten(), lengths.flatten())
        return self._candidates(slots)

    def window(self, slots: Tensor, length: int) -> Candidates:
        """The tokens that follow some slots, each slot once in a row.

        Args:
            slots: [B, M], where to begin; -1 stands for none.
            length: how many tokens from each on, itself among them, but none beyond its pair.

        Raises:
            InvalidInputError: as `candidates`.
        """
        slots = slots.to(self.starts.device)
        if not len(self.memory):
            return self._candidates(slots.new_empty(len(slots), 0))
        numbers, _ = self.where(slots)
        beyond = len(self._tokens)  # stands for none, and is sorted to the end
        each = slots[..., None] + torch.arange(length, device=slots.device)
        inside = (slots >= 0)[..., None] & (each < self.starts[numbers + 1][..., None])
        found = torch.where(inside, each, beyond).flatten(1).sort(dim=1).values
        found[:, 1:] = torch.where(found[:, 1:] == found[:, :-1], beyond, found[:, 1:])
        found = found.sort(dim=1).values
        most = int((found < beyond).sum(1).max()) if found.numel() else 0
        found = found[:, :most]
        return self._candidates(torch.where(found < beyond, found, -1))

    def following(self, slots: Tensor) -> Tensor:
        """The slot behind each in its pair; -1 where its pair ends, and for a slot of -1."""
        slots = slots.to(self.starts.device)
        numbers, _ = self.where(slots)
        inside = (slots >= 0) & (slots + 1 < self.starts[numbers + 1])
        return torch.where(inside, slots + 1, -1)

    def tokens_at(self, slots: Tensor) -> Tensor:
        """The token of each slot; -1 for a slot of -1."""
        slots = slots.to(self.starts.device)
        there = slots >= 0
        tokens = torch.full_like(slots, -1)
        tokens[there] = self._tokens.at(slots[there]).long()
        return tokens

    def log_probabilities_at(self, slots: Tensor) -> Tensor:
        """What the model without a memory gave to the token of each slot as it was stored; 0 for a slot of -1.

        Raises:
            InvalidInputError: it is an example memory, or stored numbers are not finite.
        """
        slots = slots.to(self.starts.device)
        there = slots >= 0
        found = torch.zeros(slots.shape, device=slots.device)
        found[there] = _finite(self._log_probabilities.at(slots[there]))
        return found

    def source_cosines(self, source_keys: Tensor, slots: Tensor) -> Tensor:
        """The inner products of sources' keys [B, E] with those of the pairs of slots [B, P]; 0 for a slot of -1."""
        numbers, _ = self.where(slots)
        each, place = numbers.clamp(min=0).unique(return_inverse=True)
        if not len(self.memory):
            return torch.zeros_like(slots, dtype=torch.float32)
        products = source_keys.to(self.starts.device).float() @ _finite(self._source_rows.at(each)).float().mT
        return products.gather(1, place).masked_fill(slots < 0, 0)

    def examples(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The source keys [B, k, E] and values [B, k, K] of some pairs of an example memory; 0 for a number of -1.

        Args:
            numbers: [B, k].
        """
        numbers = numbers.to(self.starts.device)
        there = numbers >= 0
        found = []
        for rows in (self._source_rows, self._value_rows):
            part = rows.at(numbers[there])
            found.append(
                part.new_zeros((*numbers.shape, part.shape[-1])).masked_scatter(there[..., None], _finite(part))
            )
        return found[0], found[1]

    def where(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """The number of the pair of each slot, and the place of its token there; -1 for a slot of -1."""
        slots = slots.to(self.starts.device)
        numbers = torch.searchsorted(self.starts, slots, right=True) - 1
        positions = slots - self.starts[numbers.clamp(min=0)]
        return numbers, torch.where(slots < 0, -1, positions)

    def _candidates(self, slots: Tensor) -> Candidates:
        rows, none = slots.clamp(min=0), slots < 0
        keys = _finite(self._token_rows.at(rows.flatten())).unflatten(0, slots.shape)
        if bool(none.any()):
            keys[none] = 0
        tokens = self._tokens.at(rows.flatten()).long().unflatten(0, slots.shape).masked_fill(none, -1)
        return Candidates(keys, tokens, slots, self.log_probabilities_at(slots))

    def _rows_of(self, part: str) -> Rows:
        return self._source_rows if part == "pairs" else self._token_rows

    def _is_exact(self, rows: Rows) -> bool:
        return not needs_index(len(rows), self.store)

    def _nearest(self, part: str, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        rows = self._rows_of(part)
        size = self.memory.source_size if part == "pairs" else self.memory.key_size
        if k < 1:
            raise InvalidInputError(f"k is {k}; ask for at least 1.")
        if queries.dim() != 2 or queries.shape[1] != size:
            raise InvalidInputError(f"keys have the shape {list(queries.shape)}; this memory takes [Q, {size}].")
        queries = queries.detach().to(self.starts.device)
        if self._is_exact(rows):
            scores, found = rows.nearest(queries, k)
        else:
            near = self._view(part).search(queries, WIDER * k)
            parts = [
                _compared(rows, some, each, k)
                for some, each in zip(queries.split(QUERIES_AT_ONCE), near.split(QUERIES_AT_ONCE), strict=True)
            ]
            scores, found = (torch.cat(each) for each in zip(*parts, strict=True))
        if not torch.where(found < 0, 0, scores).isfinite().all():
            raise _damaged()
        lacking = (0, k - found.shape[1])
        return (
            torch.nn.functional.pad(scores, lacking, value=float("-inf")),
            torch.nn.functional.pad(found, lacking, value=-1),
        )

    def renew(self) -> None:
        """Goes on in a process that was forked off."""
        self._preparing = free(self._preparing)

    def _view(self, part: str) -> IndexView:
        """The index of the pairs or tokens, made at the first question."""
        with self._preparing:
            return self._prepared_view(part)

    def _prepared_view(self, part: str) -> IndexView:
        if part not in self._views or self._views[part].index.lost:
            rows = self._rows_of(part)
            index = self.memory.indexes.get(part)
            ids = self.memory.ids_in_order
            if index is None or index.lost or index.store_name != self.store or not index.holds(ids):
                index = load_index(self.memory, part, self.store)
                if index is None or index.is_outgrown_by(len(rows)) or not self._follows(index, part, rows, None):
                    index = Index(self.store, rows)
                    self._follows(index, part, rows, None)
                index.owner = self.owner
                self.memory.indexes[part] = index
            self._views[part] = index.view()
        return self._views[part]

    def take_saved_indexes(self) -> None:
        """Gives the memory the indexes that were saved of it, so that they are saved with it again."""
        for part in self._parts():
            rows = self._rows_of(part)
            index = None if part in self.memory.indexes else load_index(self.memory, part)
            if index and not index.is_outgrown_by(len(rows)) and self._follows(index, part, rows, None):
                self.memory.indexes[part] = index

    def _parts(self) -> tuple[str, ...]:
        return ("pairs", "tokens") if self.memory.kind == "token" else ("pairs",)

    def _followed(self, part: str, rows: Rows, view: IndexView, before: "PairSearch") -> Index | None:
        """The index of a memory before, if it can go on as that of this one."""
        mine, theirs = self.memory, before.memory
        same_encoder = mine.probe is theirs.probe or (
            mine.probe is not None and theirs.probe is not None and torch.equal(mine.probe.cpu(), theirs.probe.cpu())
        )
        if view.index.owner is not self.owner or not same_encoder or view.index.is_outgrown_by(len(rows)):
            return None
        old, new = ({id(each): each.ids.numpy() for each in one.segments} for one in (theirs, mine))
        gone = [ids for key, ids in old.items() if key not in new]
        come = [ids for key, ids in new.items() if key not in old]
        none = [np.empty(0, dtype=np.int64)]
        lost = np.setdiff1d(np.concatenate(gone or none), np.concatenate(come or none))
        return view.index if self._follows(view.index, part, rows, lost) else None

    def _follows(self, index: Index, part: str, rows: Rows, gone: np.ndarray | None) -> bool:
        ids = self.memory.ids_in_order.numpy()
        firsts = np.arange(len(ids) + 1) if part == "pairs" else self.starts.cpu().numpy()
        return index.follow(ids, firsts, rows, gone)


renew_cached_properties_in_children(PairSearch)


def _shape(memory: PairMemory) -> tuple[str, int, int]:
    return memory.kind, memory.key_size, memory.source_size


def _compared(rows: Rows, queries: Tensor, found: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of the rows found [Q, M] for each query, by their own keys."""
    keys = rows.at(found.clamp(min=0).flatten()).unflatten(0, found.shape).float()
    scores = torch.einsum("qmk,qk->qm", keys, queries.float()).masked_fill(found < 0, float("-inf"))
    scores, found = in_order(scores, found)
    return scores[:, :k], found[:, :k]


def _finite(keys: Tensor) -> Tensor:
    """The keys, if they are finite: those of a file are looked at as they are read."""
    if keys.numel() and not all(each.isfinite() for each in keys.aminmax()):  # much faster than to look at each
        raise _damaged()
    return keys


def _damaged() -> InvalidInputError:
    return InvalidInputError(
        "the memory holds keys with NaN or infinity, so there is no answer from it; load it again, or compute its keys "
        "anew with reencode_memory()."
    )
