"""Reading by logistic regression on the stored keys."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...errors import InvalidInputError
from ..addressing import unit
from ..newton import implicit, minimise
from ..state import KeyValueState
from .base import MULTI_LABEL, READINGS, SINGLE_LABEL, Reading, Solution

BLOCK_SLOTS = 512
"""How many slots a block of `LogisticObjective.inverse_blocks` takes as they are."""


FIRST_LENGTH = 10.0
"""The length of W's rows where a solve starts that has no earlier solution."""


class LogisticParts(NamedTuple):
    """What `LogisticReading.solve` prepares.

    Attributes:
        keys: [B, S, K'] the features that were fitted: unit keys, with a constant behind them for several labels.
        weight: [B, V, K'], W.
        coefficients: [B, S, V], α.
        blocks: [V, K', K'], by which the next solve is sooner done; see `Minimum`.
    """

    keys: Tensor
    weight: Tensor
    coefficients: Tensor
    blocks: Tensor | None = None


@READINGS.register("logistic")
class LogisticReading(Reading):
    r"""Multinomial logistic regression on the unit keys, at its optimum.

    $W = \arg\min_W \sum_i s n_i \, \mathrm{CE}(W k_i, v_i) + \frac{\mu}{2} \lVert W \rVert^2$ is unique, so neither the
    order of the writes nor where the solver starts matters. At the optimum $W = \sum_i \alpha_i k_i^\top$ with
    $\alpha_i = \frac{s n_i}{\mu} (v_i - p_i)$ (the representer theorem; Yeh et al. 2018, theorem 3.1), so each slot
    adds $\alpha_{ic} \langle k_i, q \rangle$ to the score of label c, while a read costs $K \cdot V$ whatever S is.

    Several labels at once are as many binary regressions, with a constant feature for how common a label is.
    Gradients with respect to the keys go through the optimum by the implicit function theorem.

    Args:
        example_weight: s, what an example counts against the weight decay.
        weight_decay: μ.
        tolerance: the length of the objective's gradient at which the solve ends, a slot's average.
    """

    name = "logistic"
    problem_types = (SINGLE_LABEL, MULTI_LABEL)
    default_sharpness = 2.5

    def __init__(
        self,
        key_size: int,
        *args: Any,
        example_weight: float = 10.0,
        weight_decay: float = 1.0,
        tolerance: float = 1e-9,
        **kwargs: Any,
    ) -> None:
        super().__init__(key_size, *args, **kwargs)
        if not (example_weight > 0 and weight_decay > 0 and tolerance > 0):
            raise InvalidInputError(
                f"example_weight is {example_weight}, weight_decay {weight_decay} and tolerance {tolerance}; "
                "all must be above 0."
            )
        self.example_weight, self.weight_decay, self.tolerance = example_weight, weight_decay, tolerance

    def solve(self, state: KeyValueState, start: Solution | None = None) -> Solution:
        keys = self._features(state.keys)
        objective = LogisticObjective(
            keys=keys,
            targets=state.values.to(keys.dtype),
            weights=self.example_weight * (state.write_count * state.mask).to(keys.dtype)[..., None],
            weight_decay=self.weight_decay,
            exclusive=self.problem_type == SINGLE_LABEL,
        )
        first, blocks = self._first_guess(keys, state, start)
        found = minimise(objective.detach(), first, self.tolerance * max(1, state.slots), blocks)
        weight = implicit(objective, found.weight).to(keys.dtype)
        residual = objective.targets - objective.probabilities(keys @ weight.mT)
        coefficients = objective.weights / self.weight_decay * residual
        return Solution(state, LogisticParts(keys, weight, coefficients, found.blocks))

    def scores(self, solution: Solution, queries: Tensor) -> Tensor:
        return self._features(queries) @ solution.parts.weight.mT

    def terms(
        self,
        solution: Solution,
        queries: Tensor,
        column: int,
        slots: Tensor,
        sharpness: Tensor | float | None = None,
    ) -> Tensor:
        parts: LogisticParts = solution.parts
        products = self._features(queries) @ parts.keys[:, slots].mT
        return self.logits(solution, products * parts.coefficients[:, None, slots, column], sharpness)

    def _features(self, keys: Tensor) -> Tensor:
        features = unit(keys)
        if self.problem_type == MULTI_LABEL:
            features = torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)
        return features

    def _first_guess(self, keys: Tensor, state: KeyValueState, start: Solution | None) -> tuple[Tensor, Tensor | None]:
        """Where the solve starts, [B, V, K'], and the blocks that it may use.

        Without an earlier solution: along each label's mean key, at about the length that solutions come to have.
        """
        values = (state.values * (state.write_count * state.mask)[..., None]).to(keys.dtype)
        means = unit(values.mT @ keys.detach())
        guess = FIRST_LENGTH * (means - means.mean(dim=1, keepdim=True))
        if start is None or len(start.parts.weight) != len(keys):
            return guess, None
        before, blocks = start.parts.weight.detach(), start.parts.blocks
        columns = min(before.shape[1], guess.shape[1])
        guess[:, :columns] = before[:, :columns]
        if blocks is not None and len(blocks) != guess.shape[1]:
            new = torch.eye(keys.shape[-1], dtype=blocks.dtype, device=blocks.device).expand(
                guess.shape[1] - columns, -1, -1
            )
            blocks = torch.cat([blocks[:columns], new / self.weight_decay])
        return guess, blocks


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
        return self._replace(keys=self.keys.to(dtype), targets=self.targets.to(dtype), weights=self.weights.to(dtype))

    def probabilities(self, scores: Tensor) -> Tensor:
        return scores.softmax(-1) if self.exclusive else scores.sigmoid()

    def value_and_gradient(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Objective [B], its gradient [B, V, K] and the probabilities [B, S, V] at W = `weight` [B, V, K]."""
        scores = self.keys @ weight.mT
        if self.exclusive:
            log_normaliser = scores.logsumexp(-1, keepdim=True)
            loss = log_normaliser - (scores * self.targets).sum(-1, keepdim=True)
            probabilities = (scores - log_normaliser).exp_()
        else:
            loss = (torch.nn.functional.softplus(scores) - scores * self.targets).sum(-1, keepdim=True)
            probabilities = scores.sigmoid()
        value = (self.weights * loss).sum((1, 2)) + 0.5 * self.weight_decay * weight.square().sum((1, 2))
        gradient = (self.weights * (probabilities - self.targets)).mT @ self.keys + self.weight_decay * weight
        return value, gradient, probabilities

    def curvature(self, probabilities: Tensor, direction: Tensor) -> Tensor:
        """The Hessian at a point of these probabilities times a direction [B, V, K]."""
        change = self.keys @ direction.mT
        if self.exclusive:
            change = probabilities * (change - (probabilities * change).sum(-1, keepdim=True))
        else:
            change = probabilities * (1 - probabilities) * change
        return (self.weights * change).mT @ self.keys + self.weight_decay * direction

    def inverse_blocks(self, probabilities: Tensor) -> Tensor:
        """About the inverse of the Hessian's block of each output: [1, S, V] -> [V, K, K].

        The slots that weigh most in a block count as they are, the others as if their keys were like the average.
        """
        keys = self.keys[0]
        curvature = (self.weights * probabilities * (1 - probabilities))[0]  # [S, V]
        count = min(len(keys), BLOCK_SLOTS)
        average = keys.mT @ keys / len(keys)
        decay = self.weight_decay * torch.eye(keys.shape[1], dtype=keys.dtype, device=keys.device)
        heavy, slots = curvature.mT.topk(count, dim=1)  # [V, M]
        light = curvature.sum(0) - heavy.sum(1)
        blocks = []
        for weight, slot, rest in zip(heavy, slots, light, strict=True):
            near = keys[slot]
            block = (near * weight[:, None]).mT @ near + rest * average + decay
            block.diagonal().add_(
                10 * torch.finfo(block.dtype).eps * block.diagonal().sum()
            )  # rounding leaves it definite
            blocks.append(torch.cholesky_inverse(torch.linalg.cholesky(block)))
        return torch.stack(blocks)
