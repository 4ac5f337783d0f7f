"""The minimum of a large logistic objective from that of one that differs in a few slots."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..newton import Point, Sketch, conjugate_gradients
from ..precision import precise
from ..state import KeyValueState
from .logistic_blocks import BlockwiseLogistic, Margins, Slots, blocks, objective_of

MOST_RUNS = 64
"""Pieces of a memory that are the same as before, above which it is read anew."""
MOST_CHANGED = 4
"""Work is saved for a memory of which at most one in so many slots has changed."""
ROUNDS = 8
"""Steps of some outputs that are tried before one of all."""
FEW_OUTPUTS = 1 / 4
"""A step is one of some outputs where they are at most this part of all."""
SOME_OUTPUTS = 1 / 2
"""The same where all probabilities are known, so that what a step does to all others is sooner worked out."""
FARTHEST = 20.0
"""How far a score may move for its probability to be worked out from the one before."""
OTHERS = 0.6
"""Part of the tolerance that may be the gradient of other outputs."""
SLOW = 0.7
"""Part of the gradient's length that a step should leave at most."""
LEFT_OUT = 0.03
"""Part of the gradient's length that may be that of other outputs, and part that a step may leave."""
LEFT = 0.4
"""Part of the tolerance that a step need not go below."""
LEAST_CURVATURE = 0.03
"""Part of the curvature that a step does without: that of the slots that have least."""
DOUBT = 0.5
"""Part of the tolerance that may be doubt about the gradient before it is computed anew."""
DOUBT_A_STEP = 0.05
"""Part of the tolerance by which one step may add to the doubt."""
ROUNDING_A_STEP = 0.005
"""Part of the tolerance that the rounding of one step adds to it where no gradient is computed anew."""
HALF_ERROR = 0.005
"""Part of a sum that half precision may be off by, of the changes that a step makes to all other outputs."""


class Run(NamedTuple):
    """A piece of a memory that was there before: slots `new` of the present one are slots `old` of the earlier one."""

    old: slice
    new: slice


def kept_runs(old: Tensor, new: Tensor) -> list[Run]:
    """The pieces that two memories share, by ids [S] and [S']; of what was moved about, at most little is found.

    What was forgotten may have left its place to its neighbours or to the last slot; what is new may be anywhere in
    one piece.
    """
    shared = min(len(old), len(new))
    head = leading(old[:shared] == new[:shared])
    tail = min(shared - head, leading(old.flip(0)[:shared] == new.flip(0)[:shared]))
    middle = shared - head - tail
    same = (old[head : head + middle] == new[head : head + middle]).to(torch.int8)
    edges = same.diff(prepend=same.new_zeros(1), append=same.new_zeros(1)).nonzero()[:, 0].tolist()
    pieces = [slice(head + start, head + stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    runs = [Run(slice(0, head), slice(0, head)), *(Run(piece, piece) for piece in pieces)]
    runs.append(Run(slice(len(old) - tail, len(old)), slice(len(new) - tail, len(new))))
    return [run for run in runs if run.old.stop > run.old.start]


def leading(same: Tensor) -> int:
    """How many entries are true before the first that is not."""
    wrong = (~same).nonzero()
    return int(wrong[0]) if len(wrong) else len(same)


def without(runs: list[slice], slots: int, device: torch.device) -> Tensor:
    """The numbers of the slots that are in none of some slices."""
    left = torch.ones(slots, dtype=torch.bool, device=device)
    for run in runs:
        left[run] = False
    return left.nonzero()[:, 0]


def pieced(runs: list[Run], old: Tensor, new: Tensor) -> Tensor:
    """What slots have, [S', ...]: those of the runs what they had before, and all others in order what is `new`."""
    parts, at, taken = [], 0, 0
    for run in runs:
        gap = run.new.start - at
        parts += [new[taken : taken + gap], old[run.old]]
        at, taken = run.new.stop, taken + gap
    return torch.cat([*parts, new[taken:]])


def renewed(
    before: BlockwiseLogistic, old: KeyValueState, now: KeyValueState, weights: Tensor, runs: list[Run]
) -> BlockwiseLogistic | None:
    """The objective of a memory, with what was worked out before for the slots that it shares with an earlier one.

    Args:
        before: the objective of the earlier memory.
        old: the earlier memory.
        now: the memory; its labels may be more than before.
        weights: [S, 1], what each of its slots counts.
        runs: what they share, by ids.

    Returns:
        None where more than ids has changed of a slot, or of all of them.
    """
    columns = old.values.shape[-1]
    if not len(runs) <= MOST_RUNS or now.keys.dtype != old.keys.dtype or now.values.shape[-1] < columns:
        return None
    new = without([run.new for run in runs], now.slots, now.keys.device)
    gone = old.slots - (now.slots - len(new))
    if (len(new) + gone) * MOST_CHANGED > now.slots:
        return None
    for run in runs:
        values = now.values[0, run.new]
        same = _same(before.weights[run.old], weights[run.new])
        same = same and _same(old.values[0, run.old], values[:, :columns]) and not values[:, columns:].any()
        if not (same and _same(old.keys[0, run.old], now.keys[0, run.new])):
            return None
    more = objective_of(now.select(new), weights[new], before.constant, before.weight_decay, before.exclusive)
    if more.targets.dim() != before.targets.dim():
        return None
    assert before.scale is not None and more.scale is not None
    targets = before.targets
    if targets.dim() > 1:
        targets = torch.nn.functional.pad(targets, (0, now.values.shape[-1] - columns))
    return more._replace(
        keys=now.keys.to(before.keys.dtype),
        scale=pieced(runs, before.scale[0], more.scale[0])[None],
        targets=pieced(runs, targets, more.targets),
        weights=weights,
    )


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal; those that versions of a memory share are not looked at."""
    shared = one.data_ptr() == other.data_ptr() and one.stride() == other.stride()
    return (shared and one.shape == other.shape and one.dtype == other.dtype) or torch.equal(one, other)


def carried(before: BlockwiseLogistic, now: BlockwiseLogistic, runs: list[Run], point: Point) -> Point:
    """What an objective is where a similar one has its minimum, from the slots that they do not share.

    Args:
        before: that had its minimum at `point`.
        now: of as many outputs.
        runs: what they share.
        point: of `before`.
    """
    margins: Margins = point.probabilities
    device = now.keys.device
    gone = without([run.old for run in runs], before.slots, device)
    new = without([run.new for run in runs], now.slots, device)
    less, more = (part.value_and_gradient(point.weight) for part in (before.of(gone), now.of(new)))
    new_margins: Margins = more[2]
    normalisers = pieced(runs, margins.normalisers, new_margins.normalisers) if now.exclusive else margins.normalisers
    known = None
    if margins.known is not None and new_margins.known is not None:
        known = pieced(runs, margins.known, new_margins.known)
    value, gradient = point.value - less[0] + more[0], point.gradient - less[1] + more[1]  # the decay is in both
    weight = point.weight.clone()  # what was found in inference mode could not be trained with
    return Point(weight, value, gradient, Margins(now, weight[0], normalisers, known, margins.doubt))


def settled(point: Point, sketch: Sketch | None, tolerance: float, coarse: Callable[[], BlockwiseLogistic]) -> Point:
    """A point nearer the minimum, by Newton steps of the outputs that have the gradient.

    After one more example these are few, and what a step of theirs does to all the others is worked out where it does
    anything. Where they are not few the point comes back as it is, for `minimise`.

    Args:
        point: where the objective is nearly least.
        sketch: of the curvature.
        tolerance: the length of the gradient that may be left.
        coarse: gives the objective in the precision of the curvature.
    """
    slow = 0
    for _ in range(ROUNDS):
        length = float(point.gradient.norm())
        if length <= tolerance:
            break
        margins: Margins = point.probabilities
        few = _leading_outputs(point.gradient[0], max(OTHERS * tolerance, LEFT_OUT * length))
        share = FEW_OUTPUTS if margins.known is None else SOME_OUTPUTS
        if len(few) > share * point.weight.shape[1]:
            break
        step = _step(point, few, sketch, tolerance)
        # probabilities that are known change by factors, as far as these are no overflow
        reach = float(step.norm(dim=1).max()) * (1 + margins.objective.constant**2) ** 0.5
        move = _moved if margins.known is None or not reach < FARTHEST else _moved_known
        after = move(point, few, step, DOUBT_A_STEP * tolerance, coarse)
        if after is None:
            break
        if move is _moved_known:
            moved: Margins = after.probabilities
            doubt = moved.doubt + ROUNDING_A_STEP * tolerance
            after = after._replace(probabilities=moved._replace(doubt=doubt))
        point, slow = after, slow + (not float(after.gradient.norm()) < SLOW * length)
        if slow > 1:  # the first step from a surprise may make the gradient longer
            break
    return point


def _leading_outputs(gradient: Tensor, rest: float) -> Tensor:
    """The outputs of the longest gradients [V, K], so many that the length of all others is at most `rest`."""
    squares, outputs = gradient.square().sum(1).sort(descending=True)
    left = squares.flip(0).cumsum(0).flip(0)  # from each on
    return outputs[: max(1, int((left > rest**2).sum()))].sort().values


def _step(point: Point, outputs: Tensor, sketch: Sketch | None, tolerance: float) -> Tensor:
    """A Newton step [V', K + 1] of some outputs, with the curvature of the slots that have nearly all of it."""
    margins: Margins = point.probabilities
    objective = margins.objective
    probabilities = margins.probabilities(outputs=outputs)
    curvature = (probabilities * (1 - probabilities)).sum(1) * objective.weights[:, 0]
    slots, _ = _without_least(curvature, LEAST_CURVATURE * float(curvature.sum()))
    if len(slots) * 2 < objective.slots:  # or to copy their keys would take longer than it saves
        objective, probabilities = objective.of(slots), probabilities[slots]
    part = None if sketch is None else sketch.of_outputs(outputs)
    down = -point.gradient[:, outputs]
    product = objective.hessian_of(probabilities)
    left = max(LEFT_OUT * float(down.norm()), LEFT * tolerance)
    return conjugate_gradients(lambda direction: product(direction[0])[None], down, left, part)[0]


def _moved(
    point: Point, outputs: Tensor, step: Tensor, most_doubt: float, half: Callable[[], BlockwiseLogistic] | None = None
) -> Point | None:
    """The point after a step [V', K + 1] of some outputs, by what it changes; None where the objective grows.

    For all outputs but these, an example's probabilities change by one factor, that of its normaliser. Slots of which
    this moves next to no probability are left out, as far as the error of the gradient that this makes stays within
    `most_doubt`. Where few can be left out, half precision does for what is small beside the gradient; without `half`,
    or if that is no faster, the objective is looked at anew.
    """
    margins: Margins = point.probabilities
    objective, decay = margins.objective, margins.objective.weight_decay
    before = margins.weight[outputs]
    both = torch.cat([before, before + step])
    weight = margins.weight.index_add(0, outputs, step)
    common = step.sum(0) / len(weight) if objective.exclusive else torch.zeros_like(step[0])  # see `balanced`
    value = 0.5 * decay * (precise(weight - common).square().sum() - precise(margins.weight).square().sum())
    change = decay * step
    normalisers, factors = margins.normalisers.clone(), torch.zeros_like(objective.weights)
    touched = torch.zeros_like(objective.weights)
    for block in blocks(objective.slots, 2 * len(outputs), step.device):
        weights = objective.weights[block]
        old, new = objective.scores(block, both).chunk(2, dim=1)
        own = _own_change(objective.targets[block], outputs, len(weight), new - old)
        if objective.exclusive:
            was = old.sub_(normalisers[block]).exp_()
            growth = new.sub(normalisers[block]).exp_().sub_(was).sum(1, keepdim=True)
            growth = _exact_where_lost(growth, block, margins, weight)
            normalisers[block] += growth
            factors[block] = growth.neg().expm1()
            touched[block] = weights * factors[block].abs() * (1 - was.sum(1, keepdim=True)).clamp_min(0)
            losses, now = growth, new.sub_(normalisers[block]).exp_()
        else:
            softplus = torch.nn.functional.softplus
            losses = (softplus(new) - softplus(old)).sum(1, keepdim=True)
            was, now = old.sigmoid_(), new.sigmoid_()
        value += precise(weights * (losses - own)).sum()
        objective.add_products(block, now.sub_(was).mul_(weights), change)
    noise = torch.finfo(point.value.dtype).eps * (float(point.value.abs()) + 1)
    if not float(value) <= noise:  # NaN, too
        return None
    balanced = (weight - common)[None]
    rest, doubt = _without_least(touched[:, 0], most_doubt / (1 + objective.constant**2) ** 0.5)
    near, parts = objective, list[Slots]([rest])
    if len(rest) * 2 > objective.slots:
        near, parts = objective if half is None else half(), [*blocks(objective.slots, len(weight), step.device)]
        if near.keys.dtype == objective.keys.dtype:
            return Point(balanced, *objective.value_and_gradient(balanced))
    added = torch.zeros_like(weight)
    for some in parts:
        others = margins._replace(objective=near).probabilities(some).index_fill(1, outputs, 0)
        near.add_products(some, others.mul_(factors[some] * objective.weights[some]), added)
    if near is not objective:
        doubt = HALF_ERROR * float(added.norm())
    gradient = point.gradient[0].index_add(0, outputs, change) - decay * common + added
    normalisers -= objective.scores(slice(None), common[None]) if objective.exclusive else 0
    doubt = margins.doubt + doubt * (1 + objective.constant**2) ** 0.5
    return Point(
        balanced,
        point.value + value.to(point.value),
        gradient[None],
        Margins(objective, balanced[0], normalisers, None, doubt),
    )


def _moved_known(
    point: Point, outputs: Tensor, step: Tensor, most_doubt: float, half: Callable[[], BlockwiseLogistic]
) -> Point | None:
    """What `_moved` gives for exclusive outputs of which all probabilities are known, with one pass over the keys.

    A probability is that before, times one factor for the change of its score, times that of the normaliser.
    """
    margins: Margins = point.probabilities
    objective, decay, known = margins.objective, margins.objective.weight_decay, margins.known
    assert known is not None
    weight = margins.weight.index_add(0, outputs, step)
    common = step.sum(0) / len(weight)  # see `balanced`
    value = 0.5 * decay * (precise(weight - common).square().sum() - precise(margins.weight).square().sum())
    normalisers, after = margins.normalisers.clone(), torch.empty_like(known)
    touched, change = torch.zeros_like(objective.weights), decay * step
    for block in blocks(objective.slots, len(weight), step.device):
        weights, shift = objective.weights[block], objective.scores(block, step)
        own = _own_change(objective.targets[block], outputs, len(weight), shift)
        was = known[block][:, outputs]
        now = shift.exp_().mul_(was)
        growth = _exact_where_lost((now - was).sum(1, keepdim=True), block, margins, weight)
        normalisers[block] += growth
        factors = growth.neg().exp_()
        torch.mul(known[block], factors, out=after[block])
        after[block][:, outputs] = now.mul_(factors)
        touched[block] = weights * (factors - 1).abs_() * (1 - was.sum(1, keepdim=True)).clamp_min(0)
        value += precise(weights * (growth - own)).sum()
    noise = torch.finfo(point.value.dtype).eps * (float(point.value.abs()) + 1)
    if not float(value) <= noise:  # NaN, too
        return None
    difference = (after - known).mul_(objective.weights)
    rest, doubt = _without_least(touched[:, 0], most_doubt / (1 + objective.constant**2) ** 0.5)
    near, parts = objective, list[Slots]([rest])
    if len(rest) * 2 > objective.slots:
        near, parts = half(), [*blocks(objective.slots, len(weight), step.device)]
        doubt = 0.0
    total = torch.zeros_like(weight)
    if len(parts) == 1 or near.keys.dtype != objective.keys.dtype:
        for block in blocks(objective.slots, len(outputs), step.device):
            objective.add_products(block, difference[block][:, outputs], change)
        difference.index_fill_(1, outputs, 0)
    for some in parts:
        near.add_products(some, difference[some], total)
    if near.keys.dtype != objective.keys.dtype:
        doubt = HALF_ERROR * float(total.norm())
    doubt = margins.doubt + doubt * (1 + objective.constant**2) ** 0.5
    gradient = point.gradient[0].index_add(0, outputs, change) - decay * common + total
    normalisers -= objective.scores(slice(None), common[None])
    balanced = weight - common
    margins = Margins(objective, balanced, normalisers, after, doubt)
    return Point(balanced[None], point.value + value.to(point.value), gradient[None], margins)


def _own_change(targets: Tensor, outputs: Tensor, columns: int, change: Tensor) -> Tensor:
    """The sums [n, 1] over targets of what changes in the scores of some outputs, [n, V']."""
    if targets.dim() > 1:
        return torch.linalg.vecdot(targets[:, outputs], change)[:, None]
    place = torch.full((columns,), -1, device=outputs.device)
    place[outputs] = torch.arange(len(outputs), device=outputs.device)
    place = place[targets][:, None]
    return torch.where(place < 0, 0, change.gather(1, place.clamp_min(0)))


def _exact_where_lost(growth: Tensor, block: slice, margins: Margins, weight: Tensor) -> Tensor:
    """log(1 + growth), from all scores where 1 + growth has lost digits."""
    lost = (growth[:, 0] < -0.5).nonzero()[:, 0]
    logs = growth.log1p()
    if len(lost):
        slots = lost + block.start
        scores = margins.objective.scores(slots, weight)
        logs[lost] = scores.logsumexp(1, keepdim=True) - margins.normalisers[slots]
    return logs


def _without_least(touched: Tensor, most: float) -> tuple[Tensor, float]:
    """The slots [n] of all but the least of some amounts [S], whose sum is at most `most`, and that sum."""
    amounts, order = touched.sort()
    sums = precise(amounts).cumsum(0)
    left_out = int((sums <= most).sum())
    return order[left_out:], float(sums[left_out - 1]) if left_out else 0.0
