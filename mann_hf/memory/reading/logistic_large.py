"""Solving the logistic reading of one large memory."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..addressing import unit
from ..newton import Minimum, Point, curvature_precision, minimise, reachable
from ..state import KeyValueState
from .logistic_blocks import BlockwiseLogistic, Margins, objective_of
from .logistic_updates import DOUBT, carried, kept_runs, pieced, renewed, settled, without

FIRST_LENGTH = 10.0
"""The length of W's rows where a solve starts that has no earlier solution."""
THINNED_FROM, THINNING = 64, 8
"""Slots for each label from which one in so many is solved for first."""
THINNED_TOLERANCE = 1e-3
"""The length of the gradient that a thinned solve may leave, for each example."""
KEPT_NUMBERS = 2**24
"""Numbers of features in half precision above which they are not kept for the next solve."""


class LargeParts(NamedTuple):
    """What `LogisticReading.solve` prepares of a large memory.

    Attributes:
        objective: the loss whose minimum this is.
        minimum: from which the next solve is sooner done.
        coarse_features: [1, S, K + 1] in the precision of the curvature; None where they are as quickly made anew, or
            too many.
    """

    objective: BlockwiseLogistic
    minimum: Minimum
    coarse_features: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """[1, V, K + 1], W."""
        return self.minimum.weight

    def features(self, slots: Tensor) -> Tensor:
        """[1, M, K + 1] of some slots [M]."""
        return self.objective.features(slots)[None]

    def coefficients(self, column: int, slots: Tensor) -> Tensor:
        """[1, M], α of a label and some slots [M]."""
        margins: Margins = self.minimum.point.probabilities
        probabilities = margins.probabilities(slots, slice(column, column + 1))
        targets = self.objective.targets[slots]
        targets = targets == column if targets.dim() == 1 else targets[:, column]
        counts = self.objective.weights[slots, 0] / self.objective.weight_decay
        return (counts * (targets.to(counts) - probabilities[:, 0]))[None]


class Earlier(NamedTuple):
    """An earlier solution, of a memory that may have much in common with this one.

    Attributes:
        state: that memory.
        weight: [1, V', K + 1], W.
        parts: None where it was small.
    """

    state: KeyValueState
    weight: Tensor
    parts: LargeParts | None


class Settings(NamedTuple):
    """The settings of an objective, see `BlockwiseLogistic`."""

    constant: float
    weight_decay: float
    exclusive: bool


@torch.no_grad()
def carry(earlier: Earlier, state: KeyValueState, weights: Tensor, settings: Settings) -> LargeParts | None:
    """The objective of a memory, worked out from that of an earlier one, where the earlier one had its minimum.

    Only the slots that the two do not share are looked at. None where they share too little.

    Args:
        earlier: the solution.
        state: the memory (B = 1).
        weights: [S, 1], what its slots count.
        settings: of its objective.
    """
    parts = earlier.parts
    if parts is None or parts.objective[-3:] != settings:
        return None
    runs = kept_runs(earlier.state.ids[0], state.ids[0])
    objective = renewed(parts.objective, earlier.state, state, weights, runs)
    if objective is None:
        return None
    sketch, coarse = parts.minimum.sketch, parts.coarse_features
    if coarse is not None:
        new = objective.features(without([run.new for run in runs], state.slots, state.keys.device))
        coarse = pieced(runs, coarse[0], new.to(coarse.dtype))[None]
    if objective.outputs == parts.objective.outputs:
        point = carried(parts.objective, objective, runs, parts.minimum.point)
        return LargeParts(objective, Minimum(point, sketch), coarse)
    point = _at(objective, first_guess(objective.means, objective.outputs, earlier.weight[0]))
    sketch = sketch and sketch.wider(objective.outputs, settings.weight_decay)
    return LargeParts(objective, Minimum(point, sketch), coarse)


@torch.no_grad()
def solve_large(
    state: KeyValueState, weights: Tensor, settings: Settings, tolerance: float, earlier: Earlier | None
) -> LargeParts:
    """Solves for a memory (B = 1) whose slots count `weights` [S, 1], to a length of the gradient of `tolerance`."""
    near = None if earlier is None else carry(earlier, state, weights, settings)
    if near is not None:
        objective, (point, sketch), features = near
        coarse = _Coarse(objective, features)
        tolerance = reachable(tolerance, objective.keys, objective.outputs)
        point = settled(point, sketch, tolerance, coarse)
        if point.probabilities.doubt > DOUBT * tolerance:
            point = _at(objective, point.weight[0])
        found = minimise(objective, point, tolerance, sketch, near=True, coarse=coarse)
        return LargeParts(objective, found, coarse.kept())
    objective = objective_of(state, weights, *settings)
    start = first_guess(objective.means, objective.outputs, None if earlier is None else earlier.weight[0])
    if objective.slots >= THINNED_FROM * objective.outputs:
        some = objective.of(slice(0, None, THINNING), THINNING)
        start = minimise(some, start[None], THINNED_TOLERANCE * float(some.weights.sum())).weight[0]
    coarse = _Coarse(objective)
    found = minimise(objective, _at(objective, start), tolerance, coarse=coarse)
    return LargeParts(objective, found, coarse.kept())


class _Coarse:
    """An objective in the precision of the curvature, made when it is first asked for.

    Args:
        objective: the objective.
        features: [1, S, K + 1] of all slots in that precision, where they are known.
    """

    def __init__(self, objective: BlockwiseLogistic, features: Tensor | None = None) -> None:
        self.objective = objective
        self.coarse = None if features is None else objective._replace(keys=features, scale=None)

    def __call__(self) -> BlockwiseLogistic:
        if self.coarse is None:
            self.coarse = self.objective.to(curvature_precision(self.objective.keys, self.objective.outputs))
        return self.coarse

    def kept(self) -> Tensor | None:
        """The features for the next solve; None if they were not asked for, are the keys themselves or too many."""
        if self.coarse is None or self.coarse.scale is not None or self.coarse.keys.numel() > KEPT_NUMBERS:
            return None
        return self.coarse.keys


def _at(objective: BlockwiseLogistic, weight: Tensor) -> Point:
    """The point of a weight [V, K + 1], with a common part that exclusive losses do not see taken away."""
    weight = weight - weight.mean(0) if objective.exclusive else weight
    return Point(weight[None], *objective.value_and_gradient(weight[None]))


def first_guess(means: Callable[[], Tensor], outputs: int, before: Tensor | None) -> Tensor:
    """Where a solve starts, [..., V, K + 1]: at an earlier solution, and for labels that it does not have along their
    mean key, at about the length that solutions come to have.

    Args:
        means: gives a vector along the mean of each label's features, [..., V, K + 1].
        outputs: V.
        before: [..., V', K + 1], the earlier solution.
    """
    if before is not None and before.shape[-2] >= outputs:
        return before[..., :outputs, :].clone()  # what was found in inference mode could not be trained with
    along = unit(means())
    guess = FIRST_LENGTH * (along - along.mean(dim=-2, keepdim=True))
    if before is not None:
        guess[..., : before.shape[-2], :] = before
    return guess
