"""Reading by logistic regression on the stored keys."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...errors import InvalidInputError
from ...targets.base import Targets
from ..addressing import unit
from ..implicit import implicit
from ..newton import Minimum, Point, Sketch, gradient_precision, minimise
from ..state import KeyValueState
from .base import READINGS, Reading, Search, Solution
from .logistic_large import Earlier, LargeParts, Settings, carry, first_guess, solve_large
from .logistic_updates import leading

ROUGH_TOLERANCE = 1e-4
"""The length of the gradient that a rough solve may leave, for each example."""
FEW_MULTIPLICATIONS = 2**20
"""Multiplications of one gradient below which a solve goes further, for a tenth more time."""
CLOSER = 1e-3
"""Part of the tolerance to which it goes: so near the optimum that scores are the same to the last bit, wherever the
solve started."""


class LogisticParts(NamedTuple):
    """What `LogisticReading.solve` prepares.

    Attributes:
        objective: the loss whose minimum this is; its keys [B, S, K'] are unit keys with a constant behind them.
        weight: [B, V, K'], W.
        all_coefficients: [B, S, V], α.
        minimum: from which the next solve is sooner done.
    """

    objective: "LogisticObjective"
    weight: Tensor
    all_coefficients: Tensor
    minimum: Minimum

    def features(self, slots: Tensor) -> Tensor:
        """[B, M, K'] of some slots [M]."""
        return self.objective.keys.index_select(1, slots)

    def coefficients(self, column: int, slots: Tensor) -> Tensor:
        """[B, M], α of a label and some slots [M]."""
        return self.all_coefficients[..., column][:, slots]


@READINGS.register("logistic")
class LogisticReading(Reading):
    r"""Multinomial logistic regression on the stored keys, solved to its optimum.

    $W = \arg\min_W \sum_i s n_i \, \mathrm{CE}(W k_i, v_i) + \frac{\mu}{2} \lVert W \rVert^2$ is unique, so the
    result depends neither on the order of the writes nor on where the solver starts. At the optimum
    $W = \sum_i \alpha_i k_i^\top$ with
    $\alpha_i = \frac{s n_i}{\mu} (v_i - p_i)$ by the representer theorem, so each slot
    adds $\alpha_{ic} \langle k_i, q \rangle$ to the score of label c. The cost of a read is $K \cdot V$, whatever S is.

    A constant c appended to each unit key is an intercept with weight decay; it adds $c^2$ to every
    $\langle k_i, q \rangle$. For several labels there is one binary regression a label, with a constant of 1.
    Gradients with respect to the keys are computed by the implicit function theorem.

    Source: Yeh et al. 2018, [Representer Point Selection for Explaining Deep Neural
    Networks](https://arxiv.org/abs/1811.09720), theorem 3.1.

    Args:
        example_weight: s, the weight of an example against the weight decay.
        weight_decay: μ.
        constant: c, if an example has exactly one label; 0 for no intercept.
        tolerance: the length of the gradient, averaged over slots, at which solving stops.
    """

    name = "logistic"
    default_sharpness = 2.5
    default_example_weight, default_weight_decay = 10.0, 1.0
    ranges = {
        **Reading.ranges,
        "example_weight": (1e-3, 1e6),
        "weight_decay": (1e-3, 1e6),
        "constant": (0.0, 2.0),
        "tolerance": (1e-12, 1e-6),
    }
    most_times_decay = 1e3
    """The most that s may be of μ: a slot's term is a probability's distance from its target, times s / μ."""

    def __init__(
        self,
        key_size: int,
        *args: Any,
        example_weight: float = default_example_weight,
        weight_decay: float = default_weight_decay,
        constant: float = 0.5,
        tolerance: float = 1e-9,
        **kwargs: Any,
    ) -> None:
        super().__init__(key_size, *args, **kwargs)
        if not (example_weight > 0 and weight_decay > 0 and tolerance > 0):
            raise InvalidInputError(
                f"example_weight is {example_weight}, weight_decay {weight_decay} and tolerance {tolerance}; "
                "all must be above 0."
            )
        if not 0 <= constant < math.inf:
            raise InvalidInputError(f"constant is {constant}; it must be a finite number, 0 for no intercept or above.")
        self.example_weight, self.weight_decay, self.tolerance = example_weight, weight_decay, tolerance
        self.constant = constant if self.targets.exclusive else 1.0

    @classmethod
    def serves(cls, targets: Targets) -> bool:
        return targets.dense and targets.named

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        super().check_options(options)
        weight = options.get("example_weight", cls.default_example_weight)
        decay = options.get("weight_decay", cls.default_weight_decay)
        if weight > cls.most_times_decay * decay:
            raise InvalidInputError(
                f"example_weight is {weight!r} and weight_decay {decay!r}; the first may be at most "
                f"{cls.most_times_decay:g} times the second."
            )

    def solve(
        self,
        state: KeyValueState,
        start: Solution | None = None,
        rough: bool = False,
        search: Search | None = None,
    ) -> Solution:
        tolerance = ROUGH_TOLERANCE * self.example_weight if rough else self.tolerance * min(1.0, self.weight_decay)
        tolerance *= max(1, state.slots)
        if self._is_large(state):
            return Solution(state, self._solve_large(state, start, tolerance))
        keys = self._features(state.keys)
        if not (rough or keys.requires_grad) and keys[0].numel() * state.values.shape[-1] < FEW_MULTIPLICATIONS:
            tolerance *= CLOSER
        objective = LogisticObjective(
            keys=keys,
            targets=state.values.to(keys.dtype),
            weights=self.example_weight * (state.write_count * state.mask).to(keys.dtype)[..., None],
            weight_decay=self.weight_decay,
            exclusive=self.targets.exclusive,
        )
        first, sketch = self._first_guess(objective, state, start)
        found = minimise(objective.detach(), first, tolerance, sketch)
        weight = implicit(objective, found.weight).to(keys.dtype)
        if weight.requires_grad:
            probabilities = objective.probabilities(keys @ weight.mT)
        else:
            probabilities = found.point.probabilities.to(keys.dtype)
        coefficients = objective.weights / self.weight_decay * (objective.targets - probabilities)
        return Solution(state, LogisticParts(objective, weight, coefficients, found))

    def scores(self, solution: Solution, queries: Tensor) -> Tensor:
        return self._features(queries) @ solution.parts.weight.mT.to(queries.dtype)

    def terms(
        self,
        solution: Solution,
        queries: Tensor,
        column: int,
        slots: Tensor,
        sharpness: Tensor | float | None = None,
    ) -> Tensor:
        parts: LogisticParts | LargeParts = solution.parts
        products = self._features(queries) @ parts.features(slots).mT.to(queries.dtype)
        coefficients = parts.coefficients(column, slots).to(queries.dtype)
        return self.logits(solution, products * coefficients[:, None], sharpness)

    def _is_large(self, state: KeyValueState) -> bool:
        """Whether to solve a block of slots at a time: where nothing is trained through one memory."""
        trained = torch.is_grad_enabled() and state.keys.requires_grad
        large = gradient_precision(state.keys, state.values.shape[-1]) == torch.float32
        return large and not trained and len(state.keys) == 1

    def without_forgotten(self, solution: Solution, state: KeyValueState) -> Solution | None:
        if not (isinstance(solution.parts, LargeParts) and self._is_large(state)):
            return None  # little is to be won
        parts = carry(Earlier(solution.state, solution.parts.weight, solution.parts), state, *self._weighed(state))
        return None if parts is None else Solution(state, parts)

    def _solve_large(self, state: KeyValueState, start: Solution | None, tolerance: float) -> LargeParts:
        earlier = None
        if start is not None and len(start.state.keys) == 1:
            parts = start.parts if isinstance(start.parts, LargeParts) else None
            earlier = Earlier(start.state, start.parts.weight.detach().float(), parts)
        return solve_large(state.detach(), *self._weighed(state), tolerance, earlier)

    def _weighed(self, state: KeyValueState) -> tuple[Tensor, Settings]:
        """What each slot counts, [S, 1], and the settings of the objective."""
        weights = self.example_weight * (state.write_count * state.mask).float()[0, :, None]
        return weights, Settings(self.constant, self.weight_decay, self.targets.exclusive)

    def _features(self, keys: Tensor) -> Tensor:
        features = unit(keys)
        return torch.cat([features, torch.full_like(features[..., :1], self.constant)], dim=-1)

    def _first_guess(
        self, objective: "LogisticObjective", state: KeyValueState, start: Solution | None
    ) -> tuple[Tensor | Point, Sketch | None]:
        """Where the solve starts, [B, V, K'], and the sketch of the curvature that it may use."""
        keys = objective.keys.detach()
        parts: LogisticParts | LargeParts | None = None
        if start is not None and len(start.parts.weight) == len(keys):
            parts = start.parts
            carried = None if isinstance(parts, LargeParts) else _carried(start, objective.detach(), state.ids)
            if carried is not None:
                return carried, parts.minimum.sketch
        outputs, before = state.values.shape[-1], None if parts is None else parts.weight.detach().to(keys)
        guess = first_guess(lambda: (objective.weights * objective.targets).detach().mT @ keys, outputs, before)
        sketch = None if parts is None else parts.minimum.sketch
        if sketch is None or len(sketch.averages) > outputs:
            return guess, None
        return guess, sketch.wider(outputs, self.weight_decay)


def _carried(start: Solution, now: "LogisticObjective", new_ids: Tensor) -> Point | None:
    """What an objective is where a similar one is least, worked out from the slots that are not the same in both.

    None where more than one episode, another number of labels or other precision is asked for, or where too much has
    changed for it to pay.
    """
    ids, before, point = start.state.ids, start.parts.objective.detach(), start.parts.minimum.point
    one = len(ids) == len(new_ids) == 1 and before.targets.shape[-1] == now.targets.shape[-1]
    if not one or before[3:] != now[3:] or gradient_precision(now.keys, now.targets.shape[-1]) != point.weight.dtype:
        return None
    shared = min(ids.shape[1], new_ids.shape[1])
    head = leading(ids[0, :shared] == new_ids[0, :shared])
    tail = min(shared - head, leading(ids[0].flip(0)[:shared] == new_ids[0].flip(0)[:shared]))
    if max(ids.shape[1], new_ids.shape[1]) - head - tail > shared // 4:
        return None
    gone, new = slice(head, ids.shape[1] - tail), slice(head, new_ids.shape[1] - tail)
    for old, late in zip(before[:3], now[:3], strict=True):
        if not torch.equal(old[:, :head], late[:, :head]) or not torch.equal(old[:, gone.stop :], late[:, new.stop :]):
            return None
    less = before.slots(gone).to(point.weight.dtype).value_and_gradient(point.weight)
    more = now.slots(new).to(point.weight.dtype).value_and_gradient(point.weight)  # the weight decay is in both
    probabilities = [point.probabilities[:, :head], more[2], point.probabilities[:, gone.stop :]]
    value, gradient = point.value - less[0] + more[0], point.gradient - less[1] + more[1]
    # a weight that was found in inference mode could not be trained with
    return Point(point.weight.clone(), value, gradient, torch.cat(probabilities, dim=1))


class LogisticObjective(NamedTuple):
    """The objective of `LogisticReading`, its gradient and its curvature.

    Attributes:
        keys: [B, S, K].
        targets: [B, S, V].
        weights: [B, S, 1], what each slot counts.
        weight_decay: μ.
        exclusive: whether an example has exactly one label (softmax) or any number (sigmoids).
    """

    keys: Tensor
    targets: Tensor
    weights: Tensor
    weight_decay: float
    exclusive: bool

    def detach(self) -> "LogisticObjective":
        return self._replace(keys=self.keys.detach(), targets=self.targets.detach(), weights=self.weights.detach())

    def to(self, dtype: torch.dtype) -> "LogisticObjective":
        wide = torch.promote_types(dtype, torch.float32)
        return self._replace(keys=self.keys.to(dtype), targets=self.targets.to(wide), weights=self.weights.to(wide))

    def slots(self, some: slice) -> "LogisticObjective":
        """The objective of some slots alone."""
        return self._replace(keys=self.keys[:, some], targets=self.targets[:, some], weights=self.weights[:, some])

    def probabilities(self, scores: Tensor) -> Tensor:
        return scores.softmax(-1) if self.exclusive else scores.sigmoid()

    def value_and_gradient(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Objective [B], its gradient [B, V, K] and the probabilities [B, S, V] at W = `weight` [B, V, K]."""
        outputs = weight.shape[1]
        whole = torch.nn.functional.pad(weight, (0, 0, 0, -outputs % 16))  # products of whole vectors are much faster
        scores = (self.keys @ whole.mT)[..., :outputs]
        if self.exclusive:
            log_probabilities = scores.log_softmax(-1)
            loss = -torch.linalg.vecdot(log_probabilities, self.targets)[..., None]
            probabilities = log_probabilities.exp()
        else:
            right = torch.linalg.vecdot(scores, self.targets)[..., None]
            loss = torch.nn.functional.softplus(scores).sum(-1, keepdim=True) - right
            probabilities = scores.sigmoid()
        value = (self.weights * loss).sum((1, 2)) + 0.5 * self.weight_decay * weight.square().sum((1, 2))
        residual = torch.sub(probabilities, self.targets).mul_(self.weights)
        return value, residual.mT @ self.keys + self.weight_decay * weight, probabilities

    def hessian(self, probabilities: Tensor) -> Callable[[Tensor], Tensor]:
        """The Hessian at a point of these probabilities, as a function of a direction [B, V, K]."""
        half, wide = self.keys.dtype, probabilities.dtype
        weighted = self.weights * (probabilities if self.exclusive else probabilities * (1 - probabilities))

        def product(direction: Tensor) -> Tensor:
            change = (self.keys @ direction.to(half).mT).to(wide)
            if self.exclusive:
                change.sub_(torch.linalg.vecdot(probabilities, change)[..., None])
            return (change.mul_(weighted).to(half).mT @ self.keys).to(wide) + self.weight_decay * direction

        return product

    def curvature_weights(self, probabilities: Tensor) -> Tensor:
        """[B, S, V], w by which the Hessian's block of a label is Σ_i w_i k_i k_iᵀ + μ I."""
        return self.weights * probabilities * (1 - probabilities)

    def features(self, slots: Tensor) -> Tensor:
        """[..., K] of slots [...] of the first episode."""
        return self.keys[0, slots]

    def squares(self) -> Tensor:
        """[S], the squared lengths of the first episode's keys."""
        return self.keys[0].square().sum(1)
