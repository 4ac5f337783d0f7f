"""Rules for a full memory: which slot a new example replaces."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..registry import Registry
from .addressing import unit
from .state import KeyValueState

EvictionRule = Callable[[KeyValueState, Tensor, Tensor], tuple[Tensor, Tensor]]
"""`rule(state, key [B, K], value [B, V]) -> (slot [B], merges [B])`: the slot to write into, and whether the example is
merged into what the slot holds (else it replaces it). The state is full: every slot is in use."""

EVICTIONS: Registry[EvictionRule] = Registry("eviction rule")


@EVICTIONS.register("least_recently_used")
def least_recently_used(state: KeyValueState, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Replaces the least recently used slot; of equally used ones the oldest.

    Source: Santoro et al. 2016, [One-shot Learning with Memory-Augmented Neural
    Networks](https://arxiv.org/abs/1605.06065), section 3.2.
    """
    lowest = state.usage.amin(dim=1, keepdim=True)
    slot = state.age.masked_fill(state.usage > lowest, -1).argmax(dim=1)
    return slot, torch.zeros_like(slot, dtype=torch.bool)


@EVICTIONS.register("oldest")
def oldest(state: KeyValueState, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Replaces the slot that was written longest ago."""
    slot = state.age.argmax(dim=1)
    return slot, torch.zeros_like(slot, dtype=torch.bool)


@EVICTIONS.register("kaiser")
def kaiser(state: KeyValueState, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Merges the example into the nearest slot if that has the same label; otherwise replaces the oldest slot.

    Source: Kaiser et al. 2017, [Learning to Remember Rare Events](https://arxiv.org/abs/1703.03129), section 2.

    The paper adds noise to the ages to break ties between parallel writers. Here writes come one after another and no
    two ages are equal, so no noise is needed.
    """
    nearest = (unit(state.keys) @ unit(key)[..., None]).squeeze(-1).argmax(dim=1)
    held = state.values[torch.arange(state.batch_size, device=nearest.device), nearest]
    same = held == value
    merges = same if same.dim() == 1 else same.all(dim=-1)
    return torch.where(merges, nearest, state.age.argmax(dim=1)), merges
