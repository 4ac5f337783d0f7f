"""The explicit states of the memories: named tuples of tensors that functions take and return."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..targets.label_tensors import with_dimensions_of

NO_ID = -1
"""The id in a slot that holds nothing."""
FEW = 64
"""The share of columns, as one in so many, below which reading them one by one is faster than reading all in a row."""


class KeyValueState(NamedTuple):
    """The content of a key-value memory, for B episodes side by side.

    Shapes:
        keys: [B, S, K] · values: [B, S, V], or whole numbers [B, S] · every other field: [B, S]

    Source: Santoro et al. 2016, [One-shot Learning with Memory-Augmented Neural
    Networks](https://arxiv.org/abs/1605.06065), equation 20, for the usage.

    Attributes:
        keys: the vectors that queries are compared with.
        values: what is stored under each key.
        usage: how much a slot was used recently: 1 when written, then a decaying sum of its read weights.
        age: how many examples were written after this slot; 0 for the newest.
        write_count: how many examples this slot stands for (more than one after a merge or a repetition).
        mask: whether the slot is in use. Empty slots are zero everywhere and have the id `NO_ID`.
        ids: a number that identifies the slot, unique within an episode.
    """

    keys: Tensor
    values: Tensor
    usage: Tensor
    age: Tensor
    write_count: Tensor
    mask: Tensor
    ids: Tensor

    @property
    def batch_size(self) -> int:
        """B, the number of episodes."""
        return self.keys.shape[0]

    @property
    def slots(self) -> int:
        """S, the number of slots, empty ones included."""
        return self.keys.shape[1]

    def to(self, *args: Any, **kwargs: Any) -> "KeyValueState":
        """The state on another device; a floating dtype changes keys, values and usage alone."""
        return KeyValueState(
            *(
                field.to(*args, **kwargs) if field.is_floating_point() else field.to(_device_of(args, kwargs))
                for field in self
            )
        )

    def select(self, slots: Tensor) -> "KeyValueState":
        """The state with only some slots.

        Args:
            slots: [M] slot numbers, the same in every episode.
        """
        return KeyValueState(*(field.index_select(1, slots) for field in self))

    def detach(self) -> "KeyValueState":
        """The state without gradients."""
        return KeyValueState(*(field.detach() for field in self))


def _device_of(args: tuple, kwargs: dict) -> torch.device | None:
    return torch._C._nn._parse_to(*args, **kwargs)[0]


def empty_state(
    batch_size: int,
    slots: int,
    key_size: int,
    value_size: int | None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> KeyValueState:
    """A state of empty slots: keys [B, S, K], values [B, S, V], or whole numbers [B, S] where there is no V."""
    shape = (batch_size, slots)
    ids = torch.full(shape, NO_ID, device=device, dtype=torch.int64)
    return KeyValueState(
        keys=torch.zeros(*shape, key_size, device=device, dtype=dtype),
        values=torch.zeros_like(ids)
        if value_size is None
        else torch.zeros(*shape, value_size, device=device, dtype=dtype),
        usage=torch.zeros(*shape, device=device, dtype=dtype),
        age=torch.zeros_like(ids),
        write_count=torch.zeros_like(ids),
        mask=torch.zeros(*shape, device=device, dtype=torch.bool),
        ids=ids,
    )


def concatenate(*states: KeyValueState) -> KeyValueState:
    """Joins the slots of several states of the same episodes."""
    return KeyValueState(*(torch.cat(fields, dim=1) for fields in zip(*states, strict=True)))


def compact(state: KeyValueState) -> KeyValueState:
    """Moves the slots in use to the front, in their order, and drops the empty ones that no episode needs."""
    order = torch.argsort(state.mask.logical_not().to(torch.int8), dim=1, stable=True)
    longest = int(state.mask.sum(dim=1).max()) if state.slots else 0
    order = order[:, :longest]

    def pick(field: Tensor) -> Tensor:
        index = order.view(*order.shape, *[1] * (field.dim() - 2)).expand(-1, -1, *field.shape[2:])
        return field.gather(1, index)

    return clear(KeyValueState(*(pick(field) for field in state)))


def around(state: KeyValueState, slots: Tensor) -> KeyValueState:
    """Some slots of each query as a memory of its own: fields [B · Q, M, ...].

    Args:
        state: B episodes.
        slots: [B, Q, M] slot numbers, in any order; -1 for a slot that is not in use.
    """
    episode = torch.arange(state.batch_size, device=slots.device)[:, None, None]
    near = KeyValueState(*(field[episode, slots.clamp_min(0)].flatten(0, 1) for field in state))
    return near._replace(mask=near.mask & (slots >= 0).flatten(0, 1))


def clear(state: KeyValueState) -> KeyValueState:
    """Sets what empty slots hold to zero, so that two memories that hold the same are equal bit for bit."""
    empty = state.mask.logical_not()
    return KeyValueState(
        keys=state.keys.masked_fill(empty[..., None], 0),
        values=state.values.masked_fill(with_dimensions_of(empty, state.values), 0),
        usage=state.usage.masked_fill(empty, 0),
        age=state.age.masked_fill(empty, 0),
        write_count=state.write_count.masked_fill(empty, 0),
        mask=state.mask,
        ids=state.ids.masked_fill(empty, NO_ID),
    )


def slots_by_column(values: Tensor, columns: Sequence[int]) -> list[Tensor]:
    """For each of some columns of values [S, V] the slots that are not zero in it, in order."""
    if len(columns) * FEW < values.shape[1]:
        return [values[:, column].nonzero()[:, 0] for column in columns]
    slots, found = values.nonzero(as_tuple=True)
    found, order = found.sort(stable=True)
    parts = slots[order].split(torch.bincount(found, minlength=values.shape[1]).tolist())
    return [parts[column] for column in columns]


def slots_of_columns(columns: Tensor, mask: Tensor, wanted: Sequence[int]) -> list[Tensor]:
    """For each of some columns the slots in use whose only column it is, in order.

    Args:
        columns: [S], the column of each slot.
        mask: [S], the slots in use.
        wanted: the columns.
    """
    if len(wanted) < FEW:
        return [((columns == column) & mask).nonzero()[:, 0] for column in wanted]
    slots = mask.nonzero()[:, 0]
    found, order = columns[slots].sort(stable=True)
    most = max(int(found[-1]) if len(found) else 0, *wanted) + 1
    parts = slots[order].split(torch.bincount(found, minlength=most).tolist())
    return [parts[column] for column in wanted]
