"""A batch of episodes as tensors: each input once, and which of them are support and queries of which episode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class EpisodeBatch:
    """B episodes of N classes, packed: each of their U inputs once, whatever the modality.

    Batches of this kind go through `DataLoader(pin_memory=True)`, `accelerate`'s and the `Trainer`'s device placement
    and wrappers such as DDP and FSDP, which find the tensors in it. It is no tuple and no mapping, as those would be
    taken apart on the way.

    Args:
        inputs: the U inputs in groups of similar size; each group holds the arguments of the model's `embed` by name,
            such as `input_ids` and `attention_mask` [U', L']. Positions count through all groups.
        support_index: [B, S], positions of the support inputs; -1 for none.
        support_labels: [B, S], their labels from 0 to N - 1; -100 marks padding. Several labels [B, S, C], numbers
            [B, S, V].
        query_index: [B, Q], positions of the query inputs; -1 for none.
        labels: [B, Q], the labels of the queries; -100 leaves one out of the loss. None if they are not known.
        n_way: N; by default one more than the largest support label.
        name_index: [B, N], positions of the label names, written beside the support; -1 for labels without one.
        seeds: [B], random seeds for draws of an objective within each episode.

    Raises:
        InvalidInputError: there are no inputs, or shapes that do not belong together.
    """

    inputs: Sequence[Mapping[str, Any]]
    support_index: Tensor
    support_labels: Tensor
    query_index: Tensor
    labels: Tensor | None = None
    n_way: int | None = None
    name_index: Tensor | None = None
    seeds: Tensor | None = None

    def __post_init__(self) -> None:
        support: Any
        support, query, name = self.support_index, self.query_index, self.name_index
        if not isinstance(support, Tensor):  # a tree's structure, which has other things in its leaves' places
            return
        if not self.inputs:
            raise InvalidInputError("an episode batch has no inputs.")
        if support.shape != self.support_labels.shape[:2] or query.dim() != 2 or len(query) != len(support):
            raise InvalidInputError(
                f"support_index is {tuple(support.shape)}, support_labels {tuple(self.support_labels.shape)}, "
                f"query_index {tuple(query.shape)}: they must be [B, S], [B, S] and [B, Q]."
            )
        if name is not None and (name.dim() != 2 or len(name) != len(support)):
            raise InvalidInputError(f"name_index is {tuple(name.shape)}; it must be [B, N] with B = {len(support)}.")

    def __len__(self) -> int:
        """B, the number of episodes."""
        return len(self.support_index)

    def __contains__(self, name: object) -> bool:
        """Whether the batch has a part of this name: the `Trainer` asks for "labels"."""
        return any(part.name == name and getattr(self, part.name) is not None for part in fields(self))

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "EpisodeBatch":
        """The batch on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "EpisodeBatch":
        """The batch in page-locked memory, from which copies to a GPU are faster."""
        return self._map(Tensor.pin_memory)

    @property
    def input_count(self) -> int:
        """U, the number of inputs."""
        return sum(next(len(part) for part in group.values() if isinstance(part, Tensor)) for group in self.inputs)

    def _map(self, function: Any) -> "EpisodeBatch":
        return pytree.tree_map_only(Tensor, function, self)


pytree.register_pytree_node(
    EpisodeBatch,
    lambda batch: ([getattr(batch, part.name) for part in fields(batch)], None),
    lambda parts, _: EpisodeBatch(*parts),
)
