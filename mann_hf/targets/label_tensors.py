"""Masks and means of labels as tensors, whatever the labels mean."""

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""The label of what is no example: padding among the support, and in classification queries without a loss."""


def mean_over_episodes(losses: Tensor, mask: Tensor) -> Tensor:
    """The mean within each episode of what a mask leaves, 0 where it leaves nothing, then the mean over all B episodes.

    So the means of parts of a batch with as many episodes each, on several processes or in steps that are accumulated,
    average to that of the whole, however many texts the episodes have. A graph stays where nothing is left.

    Args:
        losses: [B, Q]; of one episode alone [Q].
        mask: of the same shape.
    """
    within = losses.masked_fill(~mask, 0).sum(-1) / mask.sum(-1).clamp_min(1)
    return within.mean()


def cross_entropies(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """The cross entropy of each query, and which queries have a label.

    Args:
        logits: [B, Q, C] or [Q, C].
        labels: [B, Q] or [Q]; -100 leaves a query out.
        label_smoothing: the share of each label's probability that is spread evenly over the C.
    """
    losses = F.cross_entropy(
        logits.flatten(0, -2),
        labels.flatten(),
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return losses.view_as(labels), labels != IGNORED


def lowest_and_highest(labels: Tensor, mask: Tensor) -> tuple[int, int]:
    """The lowest and the highest of the whole numbers that a mask leaves, by one look at the device.

    The lowest is above the highest where it leaves none.
    """
    if not labels.numel():
        return 0, -1
    labels, most = labels.long(), torch.iinfo(torch.long).max
    ends = torch.stack([labels.masked_fill(~mask, most).min(), labels.masked_fill(~mask, -most).max()])
    lowest, highest = ends.tolist()
    return lowest, highest


def with_dimensions_of(field: Tensor, other: Tensor) -> Tensor:
    """A field of queries or slots [B, S], with further dimensions of 1, so that it broadcasts with one [B, S, ...]."""
    return field.to(other.device).view(*field.shape, *[1] * (other.dim() - field.dim()))
