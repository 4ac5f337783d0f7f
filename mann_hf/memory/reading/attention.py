"""Reading by attention."""

import torch
from torch import Tensor

from ..addressing import content_weights
from .base import MULTI_LABEL, NEVER_LEFT_OUT, READINGS, REGRESSION, Reading, Solution, Terms


@READINGS.register("attention")
class AttentionReading(Reading):
    r"""The weighted mean of the stored labels, with softmax weights by similarity to the query.

    $r = \sum_i w_i v_i$ (Graves et al. 2014, eq. 2 and 5).

    With one-hot values the outputs are probabilities (Vinyals et al. 2016, eq. 1). Scores are similarities, the
    sharpness is that of the weights, logits are log probabilities, and the terms of a label are the read weights of its
    slots.
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
        weights, values = self.weights(solution, scores, sharpness), solution.state.values.to(scores.dtype)
        output = weights @ values
        if self.problem_type == REGRESSION:
            return output
        floor = max(self.floor, torch.finfo(output.dtype).tiny)  # half precision knows no 1e-9
        logits = output.clamp_min(floor).log()
        if self.problem_type == MULTI_LABEL:
            rest = weights @ (1 - values)  # 1 - output, but exact where that is close to 0
            closed = (weights == 0).all(dim=-1, keepdim=True)
            return logits - rest.masked_fill(closed, 1).clamp_min(floor).log()
        return logits

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
        if self.problem_type == REGRESSION:
            return logits
        return logits.sigmoid() if self.problem_type == MULTI_LABEL else logits.exp()

    def left_out(self, solution: Solution, folds: Tensor, rough: bool = False) -> Tensor:
        same = (folds[:, None] == folds[None, :]) & (folds != NEVER_LEFT_OUT)[:, None]
        return self.scores(solution, solution.state.keys).masked_fill(same, float("-inf"))
