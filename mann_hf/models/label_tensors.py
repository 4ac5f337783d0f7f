"""Labels as tensors: what support labels write to a memory, and what query labels say of logits."""

import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInputError
from ..memory.reading import REGRESSION, SINGLE_LABEL

IGNORED = -100
"""The label of what is no example: padding among the support, and in classification queries without a loss."""


def support_values(labels: Tensor, problem_type: str, n_way: int | None = None) -> tuple[Tensor, Tensor]:
    """The values [B, S, V] that labels write, and the mask [B, S] of those that are examples.

    Args:
        labels: [B, S]; for several labels [B, S, C], for regression [B, S, V] or, for one number a text, [B, S].
        problem_type: what labels are.
        n_way: N, the labels in an episode; one more than the largest label if left out.

    Raises:
        InvalidInputError: labels of another shape or type, or outside of the N.
    """
    if problem_type != SINGLE_LABEL:
        labels = _rows(labels, problem_type, dimensions=3)
        if labels.dim() != 3:
            raise InvalidInputError(f"support_labels are {tuple(labels.shape)}; {problem_type} takes [B, S, C].")
        mask = (labels != IGNORED).all(-1)
        return labels.masked_fill(~mask[..., None], 0), mask
    if labels.dim() != 2 or labels.is_floating_point():
        raise InvalidInputError(
            f"support_labels are {tuple(labels.shape)} of {labels.dtype}; {problem_type} takes whole numbers [B, S]."
        )
    labels, mask = labels.long(), labels != IGNORED
    if not mask.any():
        raise InvalidInputError("support_labels are all -100, so there is nothing to read.")
    lowest, highest = int(labels[mask].min()), int(labels[mask].max())
    count = highest + 1 if n_way is None else n_way
    if lowest < 0 or highest >= count:
        raise InvalidInputError(
            f"support_labels go from {lowest} up to {highest} and n_way is {n_way}; they count from 0 to n_way - 1, "
            f"and {IGNORED} marks what is no example."
        )
    return F.one_hot(labels.masked_fill(~mask, 0), count) * mask[..., None], mask


def query_loss(logits: Tensor, labels: Tensor | None, problem_type: str) -> Tensor | None:
    """Cross entropy, binary cross entropy for several labels, squared error for regression; None without labels.

    Args:
        logits: [..., C].
        labels: [...]; for several labels [..., C], for regression [..., C] or, for one number a text, [...]. -100
            leaves a query out, for regression NaN does.
        problem_type: what labels are.

    Raises:
        InvalidInputError: labels of another shape, or that the logits do not have.
    """
    if labels is None:
        return None
    labels = labels.to(logits.device)
    if problem_type == SINGLE_LABEL:
        if labels.shape != logits.shape[:-1]:
            raise InvalidInputError(f"labels are {tuple(labels.shape)}; they must be {tuple(logits.shape[:-1])}.")
        numbers = labels[labels != IGNORED]
        if len(numbers) and int(numbers.max()) >= logits.shape[-1]:
            raise InvalidInputError(
                f"labels go up to {int(numbers.max())}, and the memory knows {logits.shape[-1]} labels."
            )
        if len(numbers) and int(numbers.min()) < 0:
            raise InvalidInputError(
                f"labels go down to {int(numbers.min())}; they count from 0, and {IGNORED} leaves a query out."
            )
        return F.cross_entropy(logits.flatten(0, -2), labels.flatten().long(), ignore_index=IGNORED)
    labels = _rows(labels, problem_type, logits.dim())
    if labels.shape != logits.shape:
        raise InvalidInputError(f"labels are {tuple(labels.shape)}; they must be {tuple(logits.shape)}.")
    if problem_type == REGRESSION:
        kept = ~labels.isnan().any(-1)  # -100 is a number like others
        return F.mse_loss(logits[kept], labels[kept].to(logits))
    kept = (labels != IGNORED).all(-1)
    return F.binary_cross_entropy_with_logits(logits[kept], labels[kept].to(logits))


def _rows(labels: Tensor, problem_type: str, dimensions: int) -> Tensor:
    """Labels of a regression with one number a text, in a column of their own."""
    alone = problem_type == REGRESSION and labels.dim() == dimensions - 1
    return labels[..., None] if alone else labels
