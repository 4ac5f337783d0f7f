"""Rules for a full memory: which slot a new example replaces."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ..registry import Registry
from .addressing import unit
from .state import KeyValueState


class EvictionRule(ABC):
    """Which slot of a full memory a new example is written into.

    A rule has no state, and may be shared.

    Attributes:
        merges: whether it may merge an example into what a slot holds, so that a slot may stand for several examples.
        counts_use: whether it asks how much a slot was read, so that reads have to be recorded.
    """

    merges: ClassVar[bool] = False
    counts_use: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, state: KeyValueState, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The slot [B] to write into, and whether the example is merged into what it holds [B]; else it replaces that.

        Args:
            state: full: every slot is in use.
            key: [B, K].
            value: [B, V].
        """


EVICTIONS: Registry[EvictionRule] = Registry("eviction rule")


class LeastRecentlyUsed(EvictionRule):
    """Replaces the least recently used slot; of equally used ones the oldest.

    Source: Santoro et al. 2016, [One-shot Learning with Memory-Augmented Neural
    Networks](https://arxiv.org/abs/1605.06065), section 3.2.
    """

    counts_use = True

    def __call__(self, state: KeyValueState, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        lowest = state.usage.amin(dim=1, keepdim=True)
        slot = state.age.masked_fill(state.usage > lowest, -1).argmax(dim=1)
        return slot, torch.zeros_like(slot, dtype=torch.bool)


class Oldest(EvictionRule):
    """Replaces the slot that was written longest ago."""

    def __call__(self, state: KeyValueState, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        slot = state.age.argmax(dim=1)
        return slot, torch.zeros_like(slot, dtype=torch.bool)


class Kaiser(EvictionRule):
    """Merges the example into the nearest slot if that has the same label; otherwise replaces the oldest slot.

    Source: Kaiser et al. 2017, [Learning to Remember Rare Events](https://arxiv.org/abs/1703.03129), section 2.

    The paper adds noise to the ages to break ties between parallel writers. Here writes come one after another and no
    two ages are equal, so no noise is needed.
    """

    merges = True

    def __call__(self, state: KeyValueState, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        nearest = (unit(state.keys) @ unit(key)[..., None]).squeeze(-1).argmax(dim=1)
        held = state.values[torch.arange(state.batch_size, device=nearest.device), nearest]
        same = held == value
        merges = same if same.dim() == 1 else same.all(dim=-1)
        return torch.where(merges, nearest, state.age.argmax(dim=1)), merges


least_recently_used = EVICTIONS.register("least_recently_used")(LeastRecentlyUsed())
oldest = EVICTIONS.register("oldest")(Oldest())
kaiser = EVICTIONS.register("kaiser")(Kaiser())
