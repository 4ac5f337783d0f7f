"""Labels as tensors: what support labels write to a memory, and what query labels say of logits."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInputError
from ..memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from ..wording import shown

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
    lowest, highest = _ends(labels, mask)
    if lowest > highest:
        raise InvalidInputError("support_labels are all -100, so there is nothing to read.")
    if n_way is not None and (isinstance(n_way, bool) or not hasattr(n_way, "__index__")):
        raise InvalidInputError(f"n_way is {shown(n_way)}; give a whole number, or None.")
    count = highest + 1 if n_way is None else int(n_way)
    if lowest < 0 or highest >= count:
        raise InvalidInputError(
            f"support_labels go from {lowest} up to {highest} and n_way is {n_way}; they count from 0 to n_way - 1, "
            f"and {IGNORED} marks what is no example."
        )
    return F.one_hot(labels.masked_fill(~mask, 0), count) * mask[..., None], mask


def check_query_labels(labels: Tensor, queries: torch.Size, count: int, problem_type: str) -> None:
    """Raises an error that says what is wrong with queries' labels, if anything is.

    Args:
        labels: as `query_loss` takes them.
        queries: the shape of what is asked, [...].
        count: C, the columns of the memory.
        problem_type: what labels are.

    Raises:
        InvalidInputError: labels of another shape, or that the memory does not have.
    """
    shape = queries if problem_type == SINGLE_LABEL else (*queries, count)
    if _rows(labels, problem_type, len(shape)).shape != shape:
        raise InvalidInputError(f"labels are {tuple(labels.shape)}; they must be {tuple(shape)}.")
    if problem_type == MULTI_LABEL:
        _check_shares(labels)
    if problem_type != SINGLE_LABEL:
        return
    if labels.is_floating_point():
        raise InvalidInputError(
            f"labels are of {labels.dtype}; {problem_type} takes whole numbers, the positions of labels in the memory. "
            "Numbers to be predicted have the problem type regression."
        )
    known = labels != IGNORED
    if not (known & ((labels < 0) | (labels >= count))).any():
        return
    lowest, highest = _ends(labels, known)
    there = f"they count from 0, and {IGNORED} leaves a query out"
    if highest >= count:
        raise InvalidInputError(f"labels go up to {highest}, and the memory knows {count} labels; {there}.")
    raise InvalidInputError(f"labels go down to {lowest}; {there}.")


def _check_shares(labels: Tensor) -> None:
    """Refuses rows of several labels that are not left out and hold more than yes, no and shares between them."""
    strange = ~((labels >= 0) & (labels <= 1)) & (labels != IGNORED).all(-1, keepdim=True)
    if strange.any():
        raise InvalidInputError(
            f"labels hold {labels[strange][0].item()}; where texts have several labels they are 0 or 1, and {IGNORED} "
            "leaves a query out."
        )


def with_label(labels: Tensor, problem_type: str, dimensions: int) -> Tensor:
    """Which queries [...] have a label.

    Args:
        labels: as `query_loss` takes them.
        problem_type: what labels are.
        dimensions: of the logits.
    """
    if problem_type == SINGLE_LABEL:
        return labels != IGNORED
    rows = _rows(labels, problem_type, dimensions)
    return (~rows.isnan() if problem_type == REGRESSION else rows != IGNORED).all(
        -1
    )  # of a regression -100 is a number


def without_queries(labels: Tensor, absent: Tensor, problem_type: str) -> Tensor:
    """The labels of queries with those that are not there left out of a loss.

    Args:
        labels: as `query_loss` takes them.
        absent: [...], the queries that are not there.
        problem_type: what labels are.
    """
    absent = absent.to(labels.device).view(*absent.shape, *[1] * (labels.dim() - absent.dim()))
    if problem_type == REGRESSION:
        return labels.float().masked_fill(absent, float("nan"))
    return labels.masked_fill(absent, IGNORED)


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


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross entropy of the queries that have a label, the mean over episodes of `mean_over_episodes`.

    Args:
        logits: [B, Q, C] or [Q, C].
        labels: [B, Q] or [Q]; -100 leaves a query out.
    """
    losses = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return mean_over_episodes(losses.view_as(labels), labels != IGNORED)


def query_loss(logits: Tensor, labels: Tensor | None, problem_type: str) -> Tensor | None:
    """Cross entropy, binary cross entropy for several labels, squared error for regression; None without labels.

    It is the mean over an episode's queries that have a label, 0 where none has, then the mean over the episodes (see
    `mean_over_episodes`), with a graph that all parameters are in: each process of a run can then take its part in the
    step. Without episodes it is the mean over queries.

    Args:
        logits: [B, Q, C], or without episodes [Q, C].
        labels: [B, Q]; for several labels [B, Q, C], for regression [B, Q, C] or, for one number a text, [B, Q]; all
            without B where logits are. -100 leaves a query out, for regression NaN does.
        problem_type: what labels are.

    Raises:
        InvalidInputError: labels of another shape, or that the logits do not have.
    """
    if labels is None:
        return None
    labels = labels.to(logits.device)
    check_query_labels(labels, logits.shape[:-1], logits.shape[-1], problem_type)
    if problem_type == SINGLE_LABEL:
        return cross_entropy(logits, labels.long())
    labels = _rows(labels, problem_type, logits.dim())
    kept = with_label(labels, problem_type, logits.dim())
    logits, labels = (each.masked_fill(~kept[..., None], 0) for each in (logits, labels))  # no NaN in a gradient
    measure: Callable[..., Tensor] = F.mse_loss if problem_type == REGRESSION else F.binary_cross_entropy_with_logits
    return mean_over_episodes(measure(logits, labels.to(logits), reduction="none").mean(-1), kept)


def _ends(labels: Tensor, mask: Tensor) -> tuple[int, int]:
    """The lowest and the highest of the whole numbers that a mask leaves, by one look at the device.

    The lowest is above the highest where it leaves none.
    """
    if not labels.numel():
        return 0, -1
    labels, most = labels.long(), torch.iinfo(torch.long).max
    ends = torch.stack([labels.masked_fill(~mask, most).min(), labels.masked_fill(~mask, -most).max()])
    lowest, highest = ends.tolist()
    return lowest, highest


def _rows(labels: Tensor, problem_type: str, dimensions: int) -> Tensor:
    """Labels of a regression with one number a text, in a column of their own."""
    alone = problem_type == REGRESSION and labels.dim() == dimensions - 1
    return labels[..., None] if alone else labels
