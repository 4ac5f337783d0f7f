"""One sharpness that turns scores into probabilities, fitted on what the memory holds and nothing else."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .reading import MULTI_LABEL, NEVER_LEFT_OUT, REGRESSION, SINGLE_LABEL, Reading, Solution
from .state import KeyValueState

FOLDS = 5
SIZE_EXPONENT = 0.2
"""A memory of n examples a label wants a sharpness in proportion to n ** -SIZE_EXPONENT."""
PRIOR_STRENGTH = 1.0
"""How many answers the reading's own sharpness is worth."""
SAMPLE = 1024
"""Slots of a larger memory that the sharpness is fitted on."""


@torch.no_grad()
def calibrated_sharpness(
    reading: Reading, solution: Solution, examples: Tensor | None = None, sample: int = SAMPLE
) -> Tensor:
    r"""The sharpness that makes left-out answers most likely.

    The examples of each label are dealt into folds, every fold is answered by the memory without it, and β minimises
    the cross entropy of the answers (temperature scaling, Guo et al. 2017, section 4.2, on cross-validated scores).
    Each fold takes about as many examples from every label, so that no label is at a disadvantage when it is asked
    for; that the whole memory holds more examples than the one that answered is made up for by $n^{-0.2}$.

    The result depends on what is stored, not on the order: folds and sample are drawn by the ids.

    Args:
        reading: how the memory is read.
        solution: of one episode (B = 1).
        examples: [S], the slots that are like queries; only they are left out. All slots in use if not given.
        sample: the most slots that are looked at.

    Returns:
        A scalar; the reading's own sharpness where no left-out answer can be had (no label has two slots), and for
        regression, which has no probabilities.
    """
    prior = reading.sharpness.detach()
    if reading.problem_type == REGRESSION:
        return prior
    state = solution.state
    examples = state.mask[0] if examples is None else examples & state.mask[0]
    whole = _examples_per_label(state)
    if int(examples.sum()) > sample:
        kept = _lowest_ids(state, examples, sample)
        state = state.select(kept)
        examples = examples[kept]
        solution = reading.solve(state)
    folds = _deal(state, examples)
    if (folds == NEVER_LEFT_OUT).all():
        return prior
    answered = folds != NEVER_LEFT_OUT
    scores = reading.left_out(solution, folds).double()  # a flat valley: single precision would place it anywhere
    answers = state.values[0, answered]
    lasting = state.values[0].to(scores.dtype) * (state.write_count * state.mask)[0, :, None]
    share = torch.stack([lasting[folds != fold].sum() / lasting.sum() for fold in folds[answered].unique()]).mean()
    size = share * _examples_per_label(state) / whole
    log_beta = _minimise(lambda log_beta: _loss(reading, solution, scores, answered, answers, log_beta, prior))
    return log_beta.exp().to(prior.dtype) * size.to(prior.dtype) ** SIZE_EXPONENT


def _examples_per_label(state: KeyValueState) -> Tensor:
    counts = (state.values[0] * (state.write_count * state.mask)[0, :, None]).sum(0)
    return counts[counts > 0].mean() if (counts > 0).any() else counts.new_ones(())


def _lowest_ids(state: KeyValueState, examples: Tensor, sample: int) -> Tensor:
    """The examples of the lowest ids, and every slot that is no example."""
    order = state.ids[0].masked_fill(~examples, torch.iinfo(torch.int64).max).argsort()[:sample]
    others = (state.mask[0] & ~examples).nonzero()[:, 0]
    return torch.cat([order, others]).sort().values


def _deal(state: KeyValueState, examples: Tensor) -> Tensor:
    """[S]: the fold of each example: its rank within its label by id, modulo `FOLDS`; a label's only slot stays."""
    values = state.values[0].masked_fill(~state.mask[0, :, None], 0)
    # an entry of several labels is dealt with the first of them, in an order that the order of the writes is not in
    values = values[:, (values.long() * state.ids[0, :, None]).sum(0).argsort()]
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
    answered: Tensor,
    answers: Tensor,
    log_beta: Tensor,
    prior: Tensor,
) -> Tensor:
    logits = reading.logits(solution, scores, log_beta.exp())[0, answered].double()
    if reading.problem_type == SINGLE_LABEL:
        fit = F.cross_entropy(logits, answers.argmax(1), reduction="sum")
    else:
        assert reading.problem_type == MULTI_LABEL
        fit = F.binary_cross_entropy_with_logits(logits, answers.double(), reduction="sum") / answers.shape[1]
    return fit + 0.5 * PRIOR_STRENGTH * (log_beta - prior.log().double()).square()


def _minimise(function: Callable[[Tensor], Tensor], low: float = -4.0, high: float = 7.0, steps: int = 45) -> Tensor:
    """Golden-section search (Kiefer 1953) over log β; the losses here have a single valley."""
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
