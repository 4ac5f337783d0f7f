"""What every way of reading offers."""

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import InvalidInputError
from ...registry import Registry
from ..addressing import sharpened
from ..similarity import SIMILARITIES
from ..state import KeyValueState

SINGLE_LABEL = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
REGRESSION = "regression"
PROBLEM_TYPES = (SINGLE_LABEL, MULTI_LABEL, REGRESSION)

NEVER_LEFT_OUT = -1
"""The fold of a slot that stays in the memory whatever else is left out."""


class Solution(NamedTuple):
    """What a way of reading prepares from a state once, to answer any number of queries.

    Attributes:
        state: the state it was prepared from.
        parts: tensors that only the way of reading that made them understands.
    """

    state: KeyValueState
    parts: Any = None


class Reading(nn.Module):
    """A way to read values out of stored keys and values: a law with at most a few parameters.

    A read has two halves: `solve` looks at the memory alone and is kept until the next write, `scores` and `logits`
    look at the queries. Every half is differentiable with respect to the stored keys and the queries.

    Args:
        key_size: K.
        problem_type: what values are. `"single_label_classification"`: one-hot rows; logits go through a softmax.
            `"multi_label_classification"`: rows of 0 and 1; logits go through a sigmoid. `"regression"`: numbers.
        similarity: a name of `SIMILARITIES`, where the reading allows a choice.
        sharpness: β, by which scores are multiplied before they become logits; the reading's own default if left out.
        learn_sharpness: whether β is a parameter that training moves.

    Raises:
        UnknownNameError: there is no such similarity.
        InvalidInputError: the reading cannot serve the problem type, or β is not positive.
    """

    problem_types: ClassVar[tuple[str, ...]] = PROBLEM_TYPES
    default_sharpness: ClassVar[float] = 1.0
    name: ClassVar[str] = ""

    def __init__(
        self,
        key_size: int,
        problem_type: str = SINGLE_LABEL,
        similarity: str = "cosine",
        sharpness: float | None = None,
        learn_sharpness: bool = False,
    ) -> None:
        super().__init__()
        if problem_type not in self.problem_types:
            able = [name for name, reading in READINGS.items() if problem_type in reading.problem_types]
            raise InvalidInputError(
                f"the reading {self.name!r} cannot serve problem_type={problem_type!r}"
                + (f"; choose one of {', '.join(map(repr, able))}." if able else f", which is none of {PROBLEM_TYPES}.")
            )
        self.initial_sharpness = self.default_sharpness if sharpness is None else float(sharpness)
        if not 0 < self.initial_sharpness < math.inf:
            raise InvalidInputError(f"sharpness is {sharpness}; it must be above 0 and finite.")
        self.key_size, self.problem_type = key_size, problem_type
        self.similarity = SIMILARITIES[similarity](key_size)
        self.log_sharpness = nn.Parameter(torch.empty(1), requires_grad=learn_sharpness)  # FSDP takes no scalars
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the sharpness to where it starts."""
        nn.init.constant_(self.log_sharpness, math.log(self.initial_sharpness))

    @property
    def sharpness(self) -> Tensor:
        """β, a scalar."""
        return self.log_sharpness.exp().squeeze(0)

    def solve(self, state: KeyValueState, start: Solution | None = None, rough: bool = False) -> Solution:
        """Prepares to answer.

        Args:
            state: keys [B, S, K], values [B, S, V].
            start: the solution of a similar state, from which a new one is reached sooner. It changes the time a solve
                takes, never where it ends (but for a rough solve).
            rough: whether a few digits are enough, where fewer digits take less time.
        """
        return Solution(state)

    def scores(self, solution: Solution, queries: Tensor) -> Tensor:
        """What the memory says before sharpness: [B, Q, K] -> [B, Q, V], or [B, Q, S] for a read by weights."""
        raise NotImplementedError

    def logits(self, solution: Solution, scores: Tensor, sharpness: Tensor | float | None = None) -> Tensor:
        """The logits [B, Q, V] (for regression the numbers) that belong to scores.

        Args:
            sharpness: β; the reading's own if left out.
        """
        if self.problem_type == REGRESSION:
            return scores
        return sharpened(scores, self.sharpness if sharpness is None else sharpness)

    def forward(self, solution: Solution, queries: Tensor, sharpness: Tensor | float | None = None) -> Tensor:
        """Logits for queries: [B, Q, K] -> [B, Q, V]."""
        return self.logits(solution, self.scores(solution, queries), sharpness)

    def terms(
        self,
        solution: Solution,
        queries: Tensor,
        column: int,
        slots: Tensor,
        sharpness: Tensor | float | None = None,
    ) -> Tensor:
        """How much single slots add to one column of what is predicted.

        Over all slots the terms sum to `predicted(...)`.

        Args:
            queries: [B, Q, K].
            column: which of the V outputs.
            slots: [M] slot numbers.

        Returns:
            [B, Q, M].
        """
        raise NotImplementedError

    def predicted(self, solution: Solution, logits: Tensor) -> Tensor:
        """What `terms` sum to, [B, Q, V]: the logits, where a reading does not say otherwise."""
        return logits

    def left_out(self, solution: Solution, folds: Tensor, rough: bool = False) -> Tensor:
        """Scores for each slot's own key, from a memory that lacks the slot's fold.

        Args:
            folds: [S], a slot's fold; `NEVER_LEFT_OUT` for slots that always stay. Leave-one-out is `arange(S)`.
            rough: whether a few digits are enough; see `solve`.

        Returns:
            [B, S, ·] scores as `scores` gives them; those of slots that are never left out mean nothing.
        """
        state = solution.state
        result = self.scores(solution, state.keys)
        for fold in folds.unique().tolist():
            if fold == NEVER_LEFT_OUT:
                continue
            out = folds == fold
            kept = self.solve(state._replace(mask=state.mask & ~out), start=solution, rough=rough)
            scores = self.scores(kept, state.keys[:, out])
            result = result.index_copy(1, out.nonzero()[:, 0], scores)
        return result

    def targets(self, state: KeyValueState) -> Tensor:
        """The values as a solved reading fits them, zero in empty slots: [B, S, V]."""
        values = state.values.to(state.keys.dtype)
        if self.problem_type == MULTI_LABEL:
            values = 2 * values - 1
        return values.masked_fill(~state.mask[..., None], 0)


READINGS: Registry[type[Reading]] = Registry("reading")
