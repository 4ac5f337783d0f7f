"""Reading by attention."""

from typing import Any

import torch
from torch import Tensor

from ...errors import InvalidInputError
from ...targets.base import Targets
from ..addressing import content_weights
from ..similarity import Similarity
from ..state import KeyValueState, around
from .base import NEVER_LEFT_OUT, READINGS, Reading, Search, Solution, Terms, compare_all, placed


@READINGS.register("attention")
class AttentionReading(Reading):
    r"""The weighted mean of the stored labels, with softmax weights by similarity to the query.

    $r = \sum_i w_i v_i$. With one-hot values the outputs are probabilities. Scores are similarities, the sharpness is
    that of the weights, logits are log probabilities, and the terms of a label are the read weights of its slots.

    Source: Graves et al. 2014, [Neural Turing Machines](https://arxiv.org/abs/1410.5401), equations 2 and 5;
    Vinyals et al. 2016, [Matching Networks for One Shot Learning](https://arxiv.org/abs/1606.04080), equation 1;
    for the nearest slots alone Rae et al. 2016, [Scaling Memory-Augmented Neural Networks with Sparse Reads and
    Writes](https://arxiv.org/abs/1610.09027), section 3.1.

    Args:
        nearest: how many slots a query reads, those most similar to it; 0 for all of them.
        outputs: V, where values are whole numbers, such as tokens of a vocabulary, and do not say it; 0 for values that
            do.
    """

    name = "attention"
    takes_nearest = True
    default_sharpness = 20.0
    leaves_out_in_closed_form = True
    floor = 1e-9
    """The smallest probability that logits represent."""
    ranges = {**Reading.ranges, "nearest": (0, 2**31)}

    def __init__(self, key_size: int, *args: Any, nearest: int = 0, outputs: int = 0, **kwargs: Any) -> None:
        super().__init__(key_size, *args, **kwargs)
        if nearest < 0:
            raise InvalidInputError(f"nearest is {nearest}; a query reads at least 1 slot, or all of them with 0.")
        if (outputs > 0) is self.targets.dense:
            wanted = "0, as values say how many there are" if self.targets.dense else "the size of the vocabulary"
            raise InvalidInputError(f"outputs is {outputs}; with problem_type={self.problem_type!r} give {wanted}.")
        self.nearest, self.outputs = nearest, outputs

    @classmethod
    def serves(cls, targets: Targets) -> bool:
        return True  # a weighted sum is all that it takes

    @property
    def nearest_by(self) -> Similarity | None:
        return self.similarity if self.nearest else None

    def solve(
        self,
        state: KeyValueState,
        start: Solution | None = None,
        rough: bool = False,
        search: Search | None = None,
    ) -> Solution:
        if not self.nearest:
            return Solution(state)
        return Solution(state, None, search or compare_all(self.similarity, state))

    def scores(self, solution: Solution, queries: Tensor) -> Tensor:
        if solution.search is None:
            return self._all_scores(solution.state, queries)
        slots, near = self._near(solution, queries)
        scores = queries.new_full((*queries.shape[:2], solution.state.slots + 1), float("-inf"))
        own = self._all_scores(near.state, _alone(queries)).view(slots.shape)
        last = scores.shape[-1] - 1  # where those go that there are not
        return scores.scatter(2, slots.masked_fill(slots < 0, last), own)[..., :last]

    def forward(self, solution: Solution, queries: Tensor, sharpness: Tensor | float | None = None) -> Tensor:
        if solution.search is None:
            return super().forward(solution, queries, sharpness)
        _, near = self._near(solution, queries)  # without a score for each slot of the memory
        logits = super().forward(near, _alone(queries), sharpness)
        return logits.view(*queries.shape[:2], logits.shape[-1])

    def _near(self, solution: Solution, queries: Tensor) -> tuple[Tensor, Solution]:
        """The slots [B, Q, k] that queries read, and these as a memory for each query."""
        assert solution.search is not None
        slots = solution.search(queries, self.nearest)
        return slots, Solution(around(solution.state, slots))

    def _all_scores(self, state: KeyValueState, queries: Tensor) -> Tensor:
        return self.similarity(state.keys, queries).masked_fill(~state.mask[:, None, :], float("-inf"))

    def weights(self, solution: Solution, scores: Tensor, sharpness: Tensor | float | None = None) -> Tensor:
        """The read weights [B, Q, S] for given scores."""
        sharpness = self.sharpness if sharpness is None else sharpness
        return content_weights(scores, sharpness, counts=solution.state.write_count)

    def logits(self, solution: Solution, scores: Tensor, sharpness: Tensor | float | None = None) -> Tensor:
        weights = self.weights(solution, scores, sharpness)
        floor = max(self.floor, torch.finfo(scores.dtype).tiny)  # half precision knows no 1e-9
        return self.targets.read_logits(weights, solution.state.values, floor, self.outputs or None)

    def terms(
        self,
        solution: Solution,
        queries: Tensor,
        column: int,
        slots: Tensor,
        sharpness: Tensor | float | None = None,
    ) -> Tensor:
        rows = torch.arange(queries.shape[1], device=queries.device)
        return self.terms_of(solution, queries, sharpness)(rows, column, slots)

    def terms_of(self, solution: Solution, queries: Tensor, sharpness: Tensor | float | None = None) -> Terms:
        if solution.search is None:
            every = self.weights(solution, self.scores(solution, queries), sharpness)
            weights_of = lambda rows, slots: every[:, rows[:, None], slots]  # noqa: E731
        else:
            found, near = self._near(solution, queries)
            own = self.weights(near, self.scores(near, _alone(queries)), sharpness).view(found.shape)
            weights_of = lambda rows, slots: placed(found[:, rows], own[:, rows], slots)  # noqa: E731

        def terms(rows: Tensor, column: int, slots: Tensor) -> Tensor:
            weights = weights_of(rows, slots)
            held = self.targets.of_output(solution.state.values[:, slots], column)
            return weights * held.to(weights.dtype)[:, None, :]

        return terms

    def predicted(self, solution: Solution, logits: Tensor) -> Tensor:
        return self.targets.read_of_logits(logits)

    def left_out(self, solution: Solution, folds: Tensor, rough: bool = False) -> Tensor:
        same = (folds[:, None] == folds[None, :]) & (folds != NEVER_LEFT_OUT)[:, None]
        state = solution.state
        scores = self._all_scores(state, state.keys).masked_fill(same, float("-inf"))
        if not self.nearest:
            return scores
        best, slots = scores.topk(min(self.nearest, state.slots), dim=2)
        return torch.full_like(scores, float("-inf")).scatter(2, slots, best)


def _alone(queries: Tensor) -> Tensor:
    """Queries [B, Q, K] of which each asks a memory of its own, [B · Q, 1, K]."""
    return queries.flatten(0, 1)[:, None]
