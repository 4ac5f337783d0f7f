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
MOST_LOOKS = 60
"""At the loss of a sharpness."""
CLOSE = 1e-7
"""How close to the best log β the search comes, times 1 + its size: the loss does not tell nearer ones apart."""
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
    per_label: float | None = None,
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
        per_label: how many examples a label of the memory has, on average; counted if it is left out.

    Returns:
        The calibration. If no label has two slots, and for regression (which has no probabilities), it has the
        reading's own sharpness.
    """
    prior = reading.sharpness.detach()
    prior = prior.to(torch.promote_types(prior.dtype, torch.float32))  # half precision would round what is fitted
    if not reading.targets.calibrated or not state.values.shape[-1]:
        return Calibration(prior)
    examples = state.mask[0] if examples is None else examples & state.mask[0]
    whole = _examples_per_label(state) if per_label is None else per_label
    kept = _in_order(state, examples, sample, before)
    state, examples = state.select(kept), examples[kept]
    folds = _deal(state, examples)
    lasting = state.values[0].sum(1) * _counts(state)
    if not lasting[folds != NEVER_LEFT_OUT].any():  # nothing is left out, or what has no label alone
        return Calibration(prior)
    if before is not None and before.fitted is not None and _same_sample(before, state, examples):
        fitted = before.fitted
    else:
        fitted = _fit(reading, state, folds, prior)
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


def _in_order(state: KeyValueState, examples: Tensor, sample: int, before: Calibration | None) -> Tensor:
    """The examples of the lowest ids, and every slot in use that is no example, in the order of the ids."""
    ids, lowest = state.ids[0], None
    if before is not None and before.sample is not None and before.examples is not None and before.examples.any():
        known = before.sample.ids[0, before.examples]  # most of these are the lowest still
        lowest = (examples & (ids <= known.max())).nonzero()[:, 0]
    if lowest is None or len(lowest) < sample:
        lowest = examples.nonzero()[:, 0]
    if len(lowest) > sample:
        lowest = lowest[ids[lowest].topk(sample, largest=False, sorted=False).indices]
    slots = (state.mask[0] & ~examples).index_fill(0, lowest, True).nonzero()[:, 0]
    return slots[ids[slots].argsort(stable=True)]


def _deal(state: KeyValueState, examples: Tensor) -> Tensor:
    """[S]: the fold of each example: its rank within its label by id, modulo `FOLDS`; a label's only slot stays."""
    values = state.values[0]
    several = values.sum(1)
    if (several > 1).any():
        # an entry of several labels is dealt with the first of them, in an order that the order of the writes is not in
        values = values[:, (values.long() * state.ids[0, :, None]).sum(0).argsort()]
    label = values.argmax(dim=1).masked_fill(several == 0, values.shape[1])  # those of none among themselves
    total = torch.cat([values.sum(0), (several == 0).sum()[None].to(values.dtype)])[label]
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


def _minimise(function: Callable[[Tensor], Tensor], low: float = -4.0, high: float = 7.0) -> Tensor:
    """Where a function of log β is least, by parabolas and golden sections; the losses here have a single valley.

    Source: Brent 1973, [Algorithms for Minimization without
    Derivatives](https://maths-people.anu.edu.au/~brent/pub/pub011.html), chapter 5.
    """
    number = lambda x: torch.tensor(x, dtype=torch.float64)  # noqa: E731
    golden = (3 - 5**0.5) / 2
    best = second = third = low + golden * (high - low)
    at_best = at_second = at_third = float(function(number(best)))
    step = before = 0.0
    for _ in range(MOST_LOOKS):
        middle, near = (low + high) / 2, CLOSE * (1 + abs(best))
        if abs(best - middle) <= 2 * near - (high - low) / 2:
            break
        r, q = (best - second) * (at_best - at_third), (best - third) * (at_best - at_second)
        p, q = (best - third) * q - (best - second) * r, 2 * (q - r)
        p, q = (-p, q) if q > 0 else (p, -q)
        if abs(before) > near and abs(p) < abs(q * before / 2) and q * (low - best) < p < q * (high - best):
            step, before = p / q, step  # to the least of the parabola through the three best
        else:
            before = (high if best < middle else low) - best
            step = golden * before
        here = best + (step if abs(step) >= near else near if step > 0 else -near)
        value = float(function(number(here)))
        if value <= at_best:
            low, high = (best, high) if here >= best else (low, best)
            third, second, best = second, best, here
            at_third, at_second, at_best = at_second, at_best, value
            continue
        low, high = (here, high) if here < best else (low, here)
        if value <= at_second or second == best:
            third, second, at_third, at_second = second, here, at_second, value
        elif value <= at_third or third in (best, second):
            third, at_third = here, value
    return number(best)
