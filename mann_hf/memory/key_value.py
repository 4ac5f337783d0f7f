"""A memory of key-value pairs that is written by appending and read by content."""

from copy import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInputError, NotInMemoryError
from ..targets.label_tensors import with_dimensions_of
from .addressing import content_weights, cosine_similarity, unit
from .base import MEMORIES, Memory
from .eviction import EVICTIONS
from .precision import LARGEST, strange
from .state import NO_ID, KeyValueState, compact, concatenate, empty_state

USAGE_DECAY = 0.99
"""γ of `KeyValueMemory.use`."""


class KeyValueControls(NamedTuple):
    """What a step of a `KeyValueMemory` does.

    Attributes:
        keys: [B, W, K], what is written.
        values: [B, W, V].
        queries: [B, R, K], what is read by.
        sharpness: [B, R], β.
    """

    keys: Tensor
    values: Tensor
    queries: Tensor
    sharpness: Tensor


@MEMORIES.register("key_value")
class KeyValueMemory(Memory[KeyValueState]):
    """A memory that grows by a slot for each example, and is read by content.

    As every memory, it has a `step`, for one write and one read. Examples are written and forgotten in any number by
    `write` and `forget`, and read in other ways by the readings of `READINGS`.

    Without eviction, writing appends. The order and batches of writes then change only the order of the slots, and no
    reading depends on that order. Forgetting a slot gives the state that would be there if it had never been written,
    unless something was evicted or merged in between, which cannot be undone; the usage that reads have counted for the
    other slots stays.

    Args:
        key_size: K.
        value_size: V.
        capacity: the largest number of slots in an episode; None for no limit.
        eviction: the rule for a full memory: a name of `EVICTIONS`.
        integer_values: whether a value is one of the whole numbers from 0 to V - 1, such as a token, and not V numbers.

    Raises:
        UnknownNameError: there is no such eviction rule.
        InvalidInputError: the capacity is below 1.
    """

    name = "key_value"

    def __init__(
        self,
        key_size: int,
        value_size: int,
        capacity: int | None = None,
        eviction: str = "least_recently_used",
        integer_values: bool = False,
    ) -> None:
        if capacity is not None and capacity < 1:
            raise InvalidInputError(f"capacity is {capacity}; a memory holds at least 1 slot, or any number with None.")
        self.key_size, self.value_size, self.capacity = key_size, value_size, capacity
        self.eviction_name, self.eviction, self.integer_values = eviction, EVICTIONS[eviction], integer_values

    @property
    def read_size(self) -> int:
        """V."""
        return self.value_size

    @property
    def control_size(self) -> int:
        """2 K + V + 1: a key and a value to write, a query, and a sharpness."""
        if self.integer_values:
            raise InvalidInputError("a controller gives no whole numbers to write: leave integer_values out.")
        return 2 * self.key_size + self.value_size + 1

    def controls(self, numbers: Tensor) -> KeyValueControls:
        """A key, a value, a query and 1 + softplus of the last number as sharpness, from numbers [B, 2 K + V + 1]."""
        sizes = (self.key_size, self.value_size, self.key_size, 1)
        keys, values, queries, sharpness = numbers.split(sizes, dim=1)
        return KeyValueControls(keys[:, None], values[:, None], queries[:, None], 1 + F.softplus(sharpness))

    def step(self, controls: KeyValueControls, state: KeyValueState) -> tuple[Tensor, KeyValueState]:
        """Writes, then reads by content: what the queries read, [B, R · V], and the state after it.

        Controls may be of another floating type than the state, as under autocast; what is read is of the state's.

        Source: Graves et al. 2014, [Neural Turing Machines](https://arxiv.org/abs/1410.5401), equations 2, 5 and 6.

        Raises:
            InvalidInputError: the memory is of whole numbers, which have no weighted mean.
        """
        if self.integer_values:
            raise InvalidInputError("a step reads weighted means, and whole numbers have none: take a reading instead.")
        state = self.write(state, controls.keys, controls.values)
        scores = cosine_similarity(state.keys, controls.queries.to(state.keys.dtype))
        weights = content_weights(scores, controls.sharpness[..., None], state.mask, state.write_count)
        return (weights.to(state.values.dtype) @ state.values).flatten(1), self.use(state, weights)

    def with_value_size(self, value_size: int) -> "KeyValueMemory":
        """The same memory for values of another size."""
        rules = copy(self)
        rules.value_size = value_size
        return rules

    def initial_state(
        self, batch_size: int = 1, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> KeyValueState:
        """A memory that holds nothing: no slots at all."""
        return empty_state(
            batch_size, 0, self.key_size, None if self.integer_values else self.value_size, device, dtype
        )

    def write(
        self,
        state: KeyValueState,
        keys: Tensor,
        values: Tensor,
        ids: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> KeyValueState:
        """The state after N more examples.

        Args:
            state: S slots.
            keys: [B, N, K].
            values: [B, N, V]; with `integer_values` [B, N].
            ids: [B, N] ids of the new slots, unique within an episode; by default the numbers after the largest id.
            mask: [B, N], False for padding, where episodes have different numbers of examples.

        Returns:
            The new state, S + N slots, or at most `capacity`. The input is unchanged.

        Raises:
            InvalidInputError: shapes or types that do not fit, keys or values that are not finite in the type of the
                state, or ids that are taken.
        """
        return self.place(state, keys, values, ids, mask)[0]

    def place(
        self,
        state: KeyValueState,
        keys: Tensor,
        values: Tensor,
        ids: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[KeyValueState, Tensor]:
        """The state after N more examples, as `write` gives it, and where each went.

        Returns:
            The state, and for each example the id [B, N] of the slot that it was written to: of one that was merged the
            id of what was there already. A slot may have been evicted again by a later example of the same call.
        """
        self._check_whole(values)
        keys, values = keys.to(state.keys.dtype), values.to(state.values.dtype)
        mask = self._check(keys, values, state.batch_size, ids, mask)
        ids = self._ids(state, ids, mask)
        if self.capacity is None or state.slots + keys.shape[1] <= self.capacity:
            return self._append(state, keys, values, ids, mask), ids
        placed = []
        for n in range(keys.shape[1]):
            one = slice(n, n + 1)
            state, place = self._write_one(state, keys[:, one], values[:, one], ids[:, one], mask[:, one])
            placed.append(place)
        return state, torch.cat(placed, dim=1)

    def count(self, state: KeyValueState, slots: Tensor, times: Tensor) -> KeyValueState:
        """The state after stored examples were written again: they count for more, and no slot grows older.

        Args:
            state: S slots.
            slots: [M] slot numbers, the same in every episode.
            times: [M], how often each was written again.
        """
        slots, times = slots.to(state.ids.device), times.to(state.ids.device).expand(state.batch_size, -1)
        return state._replace(
            write_count=state.write_count.index_add(1, slots, times),
            usage=state.usage.index_add(1, slots, times.to(state.usage.dtype)),
        )

    def forget(self, state: KeyValueState, ids: Tensor) -> KeyValueState:
        """The state without some slots.

        Args:
            state: S slots.
            ids: [M] ids; each is forgotten in every episode that holds it.

        Raises:
            NotInMemoryError: an id that no episode holds.
        """
        ids = ids.to(state.ids.device)
        known = torch.isin(ids, state.ids[state.mask])
        if not known.all():
            missing = ids[~known].tolist()
            raise NotInMemoryError(f"no slot has the id {', '.join(map(str, missing))}.", missing)
        gone = torch.isin(state.ids, ids) & state.mask
        # an age counts the writes since; those of the slots that go no longer count
        gone_ages = state.age.masked_fill(~gone, torch.iinfo(torch.int64).max).sort(dim=1).values
        younger_gone = torch.searchsorted(gone_ages, state.age)
        return compact(state._replace(mask=state.mask & ~gone, age=state.age - younger_gone))

    def use(self, state: KeyValueState, weights: Tensor, decay: float = USAGE_DECAY) -> KeyValueState:
        r"""The state after a read: $u \leftarrow \gamma u + \sum_q w_q$.

        Source: Santoro et al. 2016, [One-shot Learning with Memory-Augmented Neural
        Networks](https://arxiv.org/abs/1605.06065), equation 20, reads alone.

        Args:
            state: S slots.
            weights: [B, Q, S], how much each query took from each slot.
            decay: γ.
        """
        usage = decay * state.usage + weights.detach().to(state.usage.dtype).sum(dim=1)
        return state._replace(usage=usage.masked_fill(~state.mask, 0))

    def new_slots(self, keys: Tensor, values: Tensor, ids: Tensor, mask: Tensor | None = None) -> KeyValueState:
        """N examples as the slots that `write` appends where there is room.

        Args:
            keys: [B, N, K].
            values: [B, N, V].
            ids: [B, N] ids that no other slot has; they are not compared with each other.
            mask: [B, N], False for padding.

        Raises:
            InvalidInputError: shapes or types that do not fit, or keys or values that are not finite.
        """
        self._check_whole(values)
        return self._slots(keys, values, ids, self._check(keys, values, len(keys), ids, mask))

    @staticmethod
    def _slots(keys: Tensor, values: Tensor, ids: Tensor, mask: Tensor) -> KeyValueState:
        written = mask.long()
        return KeyValueState(
            keys=keys.masked_fill(~mask[..., None], 0),
            values=values.masked_fill(~with_dimensions_of(mask, values), 0),
            usage=mask.to(keys.dtype),
            age=(written.sum(dim=1, keepdim=True) - written.cumsum(dim=1)) * written,  # how many of these come after
            write_count=written,
            mask=mask,
            ids=ids,
        )

    def _check_whole(self, values: Tensor) -> None:
        """Refuses numbers that would be cut to whole ones."""
        if self.integer_values and (values.is_floating_point() or values.is_complex()):
            raise InvalidInputError(
                f"values are of {values.dtype}; this memory takes whole numbers: give values.long()."
            )

    def _check(self, keys: Tensor, values: Tensor, batch: int, ids: Tensor | None, mask: Tensor | None) -> Tensor:
        """Refuses examples that cannot be written; their mask."""
        count = keys.shape[1] if keys.dim() == 3 else "N"
        sizes = {"keys": [self.key_size], "values": [] if self.integer_values else [self.value_size]}
        for name, tensor in {"keys": keys, "values": values, "ids": ids, "mask": mask}.items():
            shape = (batch, count, *sizes.get(name, []))
            if tensor is not None and tuple(tensor.shape) != shape:
                takes = ", ".join(map(str, shape))
                raise InvalidInputError(f"{name} have the shape {tuple(tensor.shape)}; this memory takes ({takes}).")
        if mask is None:
            mask = torch.ones(keys.shape[:2], dtype=torch.bool, device=keys.device)
        if mask.dtype != torch.bool:
            raise InvalidInputError(f"mask is of {mask.dtype}; it must be torch.bool: give mask.bool().")
        if self.integer_values and (((values < 0) | (values >= self.value_size)) & mask).any():
            raise InvalidInputError(
                f"values go outside of 0 to {self.value_size - 1}, the whole numbers that there are."
            )
        for name, tensor in {"keys": keys, "values": values}.items():
            if not tensor.is_floating_point():
                continue
            bad = (strange(tensor) if name == "keys" else ~torch.isfinite(tensor).all(dim=-1)) & mask
            if bad.any():
                beyond = f"; numbers above {LARGEST:g} count as infinity" if name == "keys" else ""
                raise InvalidInputError(
                    f"{name} hold NaN or infinity in {tensor.dtype}, first at example {int(bad.nonzero()[0, 1])}"
                    f"{beyond}."
                )
        return mask

    @staticmethod
    def _ids(state: KeyValueState, ids: Tensor | None, mask: Tensor) -> Tensor:
        """The ids [B, N] of examples: those that came, or the numbers after the largest."""
        if ids is None:
            first = state.ids.amax(dim=1, keepdim=True) + 1 if state.slots else state.ids.new_zeros(state.batch_size, 1)
            ids = first + mask.long().cumsum(dim=1) - 1
            return ids.to(mask.device).masked_fill(~mask, NO_ID)
        ids = ids.to(mask.device).masked_fill(~mask, NO_ID)
        taken = torch.cat([state.ids, ids], dim=1).sort(dim=1).values
        if (ids[mask] < 0).any() or ((taken[:, 1:] == taken[:, :-1]) & (taken[:, 1:] != NO_ID)).any():
            raise InvalidInputError(
                "ids must be 0 or more, and differ from each other and from the stored ids of their episode."
            )
        return ids

    def _append(self, state: KeyValueState, keys: Tensor, values: Tensor, ids: Tensor, mask: Tensor) -> KeyValueState:
        older = (state.age + mask.long().sum(dim=1, keepdim=True)).masked_fill(~state.mask, 0)
        return concatenate(state._replace(age=older), self._slots(keys, values, ids, mask))

    def _write_one(
        self, state: KeyValueState, key: Tensor, value: Tensor, id_: Tensor, mask: Tensor
    ) -> tuple[KeyValueState, Tensor]:
        """One example, [B, 1, ...], into a memory of limited capacity, and the id [B, 1] of its slot."""
        assert self.capacity is not None
        if state.slots < self.capacity:
            return self._append(state, key, value, id_, mask), id_
        free = ~state.mask
        full = ~free.any(dim=1)
        slot, merges = self.eviction(state, key[:, 0], value[:, 0])
        slot = torch.where(full, slot, free.to(torch.int8).argmax(dim=1))
        merges = merges & full
        here = torch.nn.functional.one_hot(slot, state.slots).bool() & mask
        merged = here & merges[:, None]
        replaced = here & ~merges[:, None]
        # equation 4 of the source of `kaiser`: the unit vector along the sum of the old key and the new one
        length = key.norm(dim=-1, keepdim=True)
        blend = unit(unit(state.keys) + unit(key)) * length
        keys = torch.where(merged[..., None], blend, state.keys)
        older = (state.age + mask.long()).masked_fill(~state.mask, 0)
        placed = torch.where(merges[:, None] & mask, state.ids.gather(1, slot[:, None]), id_)
        written = KeyValueState(
            keys=torch.where(replaced[..., None], key, keys),
            values=torch.where(with_dimensions_of(replaced, state.values), value, state.values),
            usage=state.usage.masked_fill(here, 1),
            age=older.masked_fill(here, 0),
            write_count=torch.where(merged, state.write_count + 1, state.write_count.masked_fill(replaced, 1)),
            mask=state.mask | here,
            ids=torch.where(replaced, id_, state.ids),
        )
        return written, placed
