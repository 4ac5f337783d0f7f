"""Turns scores into probabilities by one number, fitted on the memory's own examples."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .precision import precise
from .reading import NEVER_LEFT_OUT, Reading, Solution
from .state import KeyValueState

FOLDS = 5
SIZE_EXPONENT = 0.25
"""A memory of n examples a label wants a sharpness in proportion to n ** -SIZE_EXPONENT."""
PRIOR_STRENGTH = 1.0
"""How many answers the reading's own sharpness is worth."""
SAMPLE = 1024
"""Slots of a larger memory that the sharpness is fitted on."""


class Calibration(NamedTuple):
    """A fitted sharpness, and the slots it was fitted on.

    Attributes:
        sharpness: multiplies the scores of the whole memory; the results are calibrated logits.
        fitted: the sharpness for the smaller memories that answered for left-out examples; None if there were none.
        sample: the slots used for fitting, in the order of their ids.
        examples: [S], which of these slots were left out in turn.
    """

    sharpness: Tensor
    fitted: Tensor | None = None
    sample: KeyValueState | None = None
    examples: Tensor | None = None


@torch.no_grad()
def calibrate(
    reading: Reading,
    state: KeyValueState,
    examples: Tensor | None = None,
    sample: int = SAMPLE,
    before: Calibration | None = None,
) -> Calibration:
    r"""Fits the sharpness on the memory's answers about its own examples, each left out of the memory when asked.

    The examples of each label, and those of none, are split into folds, the memory without a fold answers for that
    fold, and β minimises the cross entropy of the answers: temperature scaling on cross-validated scores. Each fold
    takes about as many examples from every label, so that no label is at a disadvantage when it is asked for. The whole
    memory holds more examples than the memories that answered; the factor $n^{-0.25}$ corrects for that.

    The result depends on what is stored, not on the order of writing.

    Source: Guo et al. 2017, [On Calibration of Modern Neural Networks](https://arxiv.org/abs/1706.04599), section 4.2.

    Args:
        reading: how the memory is read.
        state: a memory of one episode (B = 1).
        examples: [S], the slots that are like queries; only they are left out. By default all slots in use.
        sample: the largest number of slots used for fitting.
        before: an earlier calibration with the same reading and parameters. If the sample is still the same, it is not
            fitted again.

    Returns:
        The calibration. If no label has two slots, and for regression (which has no probabilities), it has the
        reading's own sharpness.
    """
    prior = reading.sharpness.detach()
    prior = prior.to(torch.promote_types(prior.dtype, torch.float32))  # half precision would round what is fitted
    if not reading.targets.calibrated or not state.values.shape[-1]:
        return Calibration(prior)
    examples = state.mask[0] if examples is None else examples & state.mask[0]
    whole = _examples_per_label(state)
    kept = _in_order(state, examples, sample)
    state, examples = state.select(kept), examples[kept]
    folds = _deal(state, examples)
    if not state.values[0, folds != NEVER_LEFT_OUT].any():  # nothing is left out, or what has no label alone
        return Calibration(prior)
    if before is not None and before.fitted is not None and _same_sample(before, state, examples):
        fitted = before.fitted
    else:
        fitted = _fit(reading, state, folds, prior)
    lasting = state.values[0].sum(1) * _counts(state)
    dealt = folds[folds != NEVER_LEFT_OUT].unique()
    share = torch.stack([lasting[folds != fold].sum() / lasting.sum() for fold in dealt]).mean()
    size = share * _examples_per_label(state) / whole
    return Calibration(fitted * size.to(prior.dtype) ** SIZE_EXPONENT, fitted, state, examples)


def _fit(reading: Reading, state: KeyValueState, folds: Tensor, prior: Tensor) -> Tensor:
    """The sharpness that makes the answers of memories without their fold most likely."""
    solution = reading.solve(state, rough=True)
    answered = folds != NEVER_LEFT_OUT
    scores = reading.left_out(solution, folds, rough=True)[:, answered]
    scores = precise(scores)  # a flat valley: less would place it anywhere
    answers = state.values[0, answered]
    loss = lambda log_beta: _loss(reading, solution, scores, answers, log_beta.to(scores), prior)  # noqa: E731
    log_beta = _minimise(loss)
    return log_beta.exp().to(prior.dtype)


def _same_sample(before: Calibration, state: KeyValueState, examples: Tensor) -> bool:
    """Whether a calibration was fitted on these slots."""
    assert before.sample is not None and before.examples is not None
    looked_at = ("ids", "keys", "values", "write_count", "mask")
    same = all(torch.equal(getattr(before.sample, name), getattr(state, name)) for name in looked_at)
    return same and torch.equal(before.examples, examples)


def _counts(state: KeyValueState) -> Tensor:
    """[S], how many examples each slot stands for; 0 where it is empty."""
    return (state.write_count * state.mask)[0].to(state.values.dtype)


def _examples_per_label(state: KeyValueState) -> Tensor:
    counts = _counts(state) @ state.values[0]
    return counts[counts > 0].mean() if (counts > 0).any() else counts.new_ones(())


def _in_order(state: KeyValueState, examples: Tensor, sample: int) -> Tensor:
    """The examples of the lowest ids, and every slot that is no example, in the order of the ids."""
    kept = ~examples
    kept[state.ids[0].masked_fill(kept, torch.iinfo(torch.int64).max).argsort()[:sample]] = True
    slots = kept.nonzero()[:, 0]
    return slots[state.ids[0, slots].argsort(stable=True)]


def _deal(state: KeyValueState, examples: Tensor) -> Tensor:
    """[S]: the fold of each example: its rank within its label by id, modulo `FOLDS`; a label's only slot stays."""
    values = state.values[0].masked_fill(~state.mask[0, :, None], 0)
    # an entry of several labels is dealt with the first of them, in an order that the order of the writes is not in
    values = values[:, (values.long() * state.ids[0, :, None]).sum(0).argsort()]
    values = torch.cat([values, (values.sum(1, keepdim=True) == 0).to(values.dtype)], dim=1)  # of none
    label = values.argmax(dim=1)
    total = values.sum(0)[label]
    order = state.ids[0].argsort(stable=True)
    order = order[(label[order] * 2 + (~examples[order]).long()).argsort(stable=True)]
    group = (label * 2 + (~examples).long())[order]
    first = torch.ones_like(group, dtype=torch.bool)
    first[1:] = group[1:] != group[:-1]
    start = torch.arange(len(group), device=group.device).masked_fill(~first, 0).cummax(0).values
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(group), device=group.device) - start
    return (rank % FOLDS).masked_fill(~examples | (total < 2), NEVER_LEFT_OUT)


def _loss(
    reading: Reading,
    solution: Solution,
    scores: Tensor,
    answers: Tensor,
    log_beta: Tensor,
    prior: Tensor,
) -> Tensor:
    logits = reading.logits(solution, scores, log_beta.exp())[0]
    fit = reading.targets.calibration_loss(logits, answers)
    return fit + 0.5 * PRIOR_STRENGTH * (log_beta - precise(prior).log()).square()


def _minimise(function: Callable[[Tensor], Tensor], low: float = -4.0, high: float = 7.0, steps: int = 45) -> Tensor:
    """Golden-section search over log β; the losses here have a single valley.

    Source: Kiefer 1953, [Sequential Minimax Search for a Maximum](https://doi.org/10.1090/S0002-9939-1953-0055639-3).
    """
    ratio = (5**0.5 - 1) / 2
    number = lambda x: torch.tensor(x, dtype=torch.float64)  # noqa: E731
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(number(left)), function(number(right))
    for _ in range(steps):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(number(left))
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(number(right))
    return number((low + high) / 2)
