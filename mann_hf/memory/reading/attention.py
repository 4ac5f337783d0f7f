"""Reading by attention."""

import torch
from torch import Tensor

from ..addressing import content_weights
from .base import NEVER_LEFT_OUT, READINGS, Reading, Solution, Terms


@READINGS.register("attention")
class AttentionReading(Reading):
    r"""The weighted mean of the stored labels, with softmax weights by similarity to the query.

    $r = \sum_i w_i v_i$. With one-hot values the outputs are probabilities. Scores are similarities, the sharpness is
    that of the weights, logits are log probabilities, and the terms of a label are the read weights of its slots.

    Source: Graves et al. 2014, [Neural Turing Machines](https://arxiv.org/abs/1410.5401), equations 2 and 5;
    Vinyals et al. 2016, [Matching Networks for One Shot Learning](https://arxiv.org/abs/1606.04080), equation 1.
    """

    name = "attention"
    default_sharpness = 20.0
    floor = 1e-9
    """The smallest probability that logits represent."""

    def scores(self, solution: Solution, queries: Tensor) -> Tensor:
        scores = self.similarity(solution.state.keys, queries)
        return scores.masked_fill(~solution.state.mask[:, None, :], float("-inf"))

    def weights(self, solution: Solution, scores: Tensor, sharpness: Tensor | float | None = None) -> Tensor:
        """The read weights [B, Q, S] for given scores."""
        sharpness = self.sharpness if sharpness is None else sharpness
        return content_weights(scores, sharpness, counts=solution.state.write_count)

    def logits(self, solution: Solution, scores: Tensor, sharpness: Tensor | float | None = None) -> Tensor:
        weights = self.weights(solution, scores, sharpness)
        floor = max(self.floor, torch.finfo(scores.dtype).tiny)  # half precision knows no 1e-9
        return self.targets.read_logits(weights, solution.state.values, floor)

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
        weights = self.weights(solution, self.scores(solution, queries), sharpness)

        def terms(rows: Tensor, column: int, slots: Tensor) -> Tensor:
            values = solution.state.values[:, slots, column].to(weights.dtype)
            return weights[:, rows[:, None], slots] * values[:, None, :]

        return terms

    def predicted(self, solution: Solution, logits: Tensor) -> Tensor:
        return self.targets.read_of_logits(logits)

    def left_out(self, solution: Solution, folds: Tensor, rough: bool = False) -> Tensor:
        same = (folds[:, None] == folds[None, :]) & (folds != NEVER_LEFT_OUT)[:, None]
        return self.scores(solution, solution.state.keys).masked_fill(same, float("-inf"))
