"""The base class of readings."""

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import InvalidInputError
from ...registry import Registry
from ...targets.kinds import SINGLE_LABEL, TARGETS, Targets, problem_types, targets_of
from ..addressing import nearest_slots, sharpened
from ..similarity import SIMILARITIES, Similarity
from ..state import KeyValueState

NEVER_LEFT_OUT = -1
"""The fold of a slot that stays in the memory whatever else is left out."""


Terms = Callable[[Tensor, int, Tensor], Tensor]
"""From positions [N] of queries, an output and slots [M] to the terms [B, N, M]."""

Search = Callable[[Tensor, int], Tensor]
"""From queries [B, Q, K] and k to the k slots nearest to each, [B, Q, k]; -1 where there are fewer."""


class Solution(NamedTuple):
    """What a reading computes once from a state, to answer any number of queries.

    Attributes:
        state: the state.
        parts: further tensors; their meaning depends on the reading.
        search: finds the nearest slots, for a reading that reads no others.
    """

    state: KeyValueState
    parts: Any = None
    search: Search | None = None


def compare_all(similarity: Similarity, state: KeyValueState) -> Search:
    """A search that compares each query with the keys of all slots."""
    keys = similarity.searched(state.keys.detach())

    def search(queries: Tensor, k: int) -> Tensor:
        scores, slots = nearest_slots(keys, similarity.asked(queries.detach()), k, state.mask)
        return slots.masked_fill(torch.isneginf(scores), -1)

    return search


def placed(found: Tensor, amounts: Tensor, slots: Tensor) -> Tensor:
    """Amounts that belong to found slots, in the places of some slots; 0 for those that were not found.

    Args:
        found: [B, N, k] slots, each once for a query; -1 for none.
        amounts: [B, N, k].
        slots: [M], each once.

    Returns:
        [B, N, M].
    """
    result = amounts.new_zeros(*found.shape[:2], len(slots))
    if not len(slots):
        return result
    ascending, order = slots.sort()
    place = torch.searchsorted(ascending, found).clamp_max(len(slots) - 1)
    return result.scatter_add(2, order[place], amounts * (ascending[place] == found))


class _ServedTypes:
    """The names of the targets that a class of readings serves, those that were registered elsewhere included."""

    def __get__(self, instance: Any, owner: "type[Reading]") -> tuple[str, ...]:
        return tuple(name for name in problem_types() if owner.serves(targets_of(name)))


class Reading(nn.Module):
    """Computes answers from stored keys and values; has at most a few parameters.

    A read has two steps: `solve` uses the memory alone, and its result is kept until the next write; `scores` and
    `logits` use the queries. Both are differentiable with respect to the stored keys and the queries.

    Args:
        key_size: K.
        problem_type: what values are, by a name of `TARGETS`. `"single_label_classification"`: one-hot rows; logits go
            through a softmax. `"multi_label_classification"`: rows of 0 and 1; logits go through a sigmoid.
            `"regression"`: numbers. `"token_ids"`: whole numbers.
        similarity: a name of `SIMILARITIES`, where the reading allows a choice.
        sharpness: β, the factor that turns scores into logits; by default the reading's own.
        learn_sharpness: whether β is trained.

    Raises:
        UnknownNameError: there is no such similarity.
        InvalidInputError: the reading cannot serve the problem type, or β is not positive.
    """

    problem_types: ClassVar[Any] = _ServedTypes()
    """The names of the targets of a model's problem that it serves; see `serves` for all."""
    default_sharpness: ClassVar[float] = 1.0
    name: ClassVar[str] = ""
    takes_nearest: ClassVar[bool] = False
    """Whether there is a setting by which a query of a large memory reads the nearest slots alone."""
    leaves_out_in_closed_form: ClassVar[bool] = False
    """Whether `left_out` needs no new solution for each fold, so that it can be part of every step of a training."""
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"sharpness": (1e-6, 1e6)}
    """Options as numbers, the least and the largest that a model takes; where both are whole, they count something.

    Beyond them answers in single precision overflow, or are no longer the sum of their evidence.
    """

    old_names: ClassVar[Mapping[str, str]] = {}
    """The present names of options that were called otherwise in configurations saved before."""

    def __init__(
        self,
        key_size: int,
        problem_type: str = SINGLE_LABEL,
        similarity: str = "cosine",
        sharpness: float | None = None,
        learn_sharpness: bool = False,
    ) -> None:
        super().__init__()
        if problem_type not in TARGETS or not self.serves(targets_of(problem_type)):
            every = tuple(TARGETS)
            able = [
                name
                for name, kind in READINGS.items()
                if problem_type in TARGETS and kind.serves(targets_of(problem_type))
            ]
            raise InvalidInputError(
                f"the reading {self.name!r} cannot serve problem_type={problem_type!r}"
                + (f"; choose one of {', '.join(map(repr, able))}." if able else f", which is none of {every}.")
            )
        self.initial_sharpness = self.default_sharpness if sharpness is None else float(sharpness)
        if not 0 < self.initial_sharpness < math.inf:
            raise InvalidInputError(f"sharpness is {sharpness}; it must be above 0 and finite.")
        self.key_size, self.problem_type = key_size, problem_type
        self.targets = targets_of(problem_type)
        self.similarity = SIMILARITIES[similarity](key_size)
        self.log_sharpness = nn.Parameter(torch.empty(1), requires_grad=learn_sharpness)  # FSDP takes no scalars
        self.reset_parameters()

    @classmethod
    def serves(cls, targets: Targets) -> bool:
        """Whether values of these targets can be read."""
        return targets.dense

    @classmethod
    def with_present_names(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with those of `old_names` under their present names.

        Raises:
            InvalidInputError: one is given under both.
        """
        both = next((old for old, name in cls.old_names.items() if old in options and name in options), None)
        if both is not None:
            raise InvalidInputError(f"{both} is the old name of {cls.old_names[both]}: give one of them.")
        return {cls.old_names.get(name, name): value for name, value in options.items()}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Refuses options of a model that are out of `ranges`.

        Raises:
            InvalidInputError: it names option, value and range.
        """
        for name, (least, most) in cls.ranges.items():
            if options.get(name) is None:  # the reading's own
                continue
            if not _is_between(options[name], least, most):
                kind = "a whole number" if isinstance(least, int) else "a number"
                raise InvalidInputError(f"{name} is {options[name]!r}; give {kind} from {least:g} to {most:g}.")

    def reset_parameters(self) -> None:
        """Sets the sharpness to its initial value."""
        nn.init.constant_(self.log_sharpness, math.log(self.initial_sharpness))

    @property
    def sharpness(self) -> Tensor:
        """β, a scalar."""
        return self.log_sharpness.exp().squeeze(0)

    @property
    def nearest_by(self) -> Similarity | None:
        """The similarity of the slots that a query reads, where it reads the nearest alone."""
        return None

    def solve(
        self,
        state: KeyValueState,
        start: Solution | None = None,
        rough: bool = False,
        search: Search | None = None,
    ) -> Solution:
        """Prepares the memory for answering queries.

        Args:
            state: keys [B, S, K], values [B, S, V].
            start: the solution of a similar state, as a starting point. It makes solving faster and does not change the
                result (unless `rough`).
            rough: whether a few digits are enough, which is faster for some readings.
            search: finds slots by `nearest_by`; by default all are compared.
        """
        return Solution(state)

    def without_forgotten(self, solution: Solution, state: KeyValueState) -> Solution | None:
        """A start for the next `solve`, of which no key of the slots is left that `state` has no more.

        Args:
            solution: of a memory.
            state: that memory without some of its slots.

        Returns:
            None where the next solve has to start from nothing.
        """
        return None

    def scores(self, solution: Solution, queries: Tensor) -> Tensor:
        """Scores before the sharpness is applied: [B, Q, K] -> [B, Q, V], or [B, Q, S] for `attention`."""
        raise NotImplementedError

    def logits(self, solution: Solution, scores: Tensor, sharpness: Tensor | float | None = None) -> Tensor:
        """The logits [B, Q, V] (for regression the numbers) for given scores.

        Args:
            sharpness: β; by default the reading's own.
        """
        if not self.targets.calibrated:
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
        """How much each of some slots adds to one output.

        Over all slots the terms sum to `predicted(...)`.

        Args:
            queries: [B, Q, K].
            column: which of the V outputs.
            slots: [M] slot numbers.

        Returns:
            [B, Q, M].
        """
        raise NotImplementedError

    def terms_of(self, solution: Solution, queries: Tensor, sharpness: Tensor | float | None = None) -> Terms:
        """`terms` of some of the queries, of which what many outputs share is computed once."""
        return lambda rows, column, slots: self.terms(solution, queries.index_select(1, rows), column, slots, sharpness)

    def predicted(self, solution: Solution, logits: Tensor) -> Tensor:
        """What the `terms` of all slots sum to, [B, Q, V]: the logits, except for `attention`."""
        return logits

    def left_out(self, solution: Solution, folds: Tensor, rough: bool = False) -> Tensor:
        """Scores for each slot's own key, from a memory without the slot's fold.

        Args:
            folds: [S], the fold of each slot; `NEVER_LEFT_OUT` for slots that always stay. Leave-one-out is
                `arange(S)`.
            rough: whether a few digits are enough; see `solve`.

        Returns:
            [B, S, ·] scores as from `scores`; those of slots that are never left out have no meaning.
        """
        state = solution.state
        result = None
        for fold in folds.unique().tolist():
            if fold == NEVER_LEFT_OUT:
                continue
            out = folds == fold
            kept = self.solve(state._replace(mask=state.mask & ~out), start=solution, rough=rough)
            scores = self.scores(kept, state.keys[:, out])
            if result is None:
                result = scores.new_zeros(*state.mask.shape, scores.shape[2])
            result = result.index_copy(1, out.nonzero()[:, 0], scores)
        return self.scores(solution, state.keys) if result is None else result

    def fit_values(self, state: KeyValueState) -> Tensor:
        """What the reading is fitted to for the stored values, zero in empty slots: [B, S, V]."""
        values = self.targets.fit_values(state.values.to(state.keys.dtype))
        return values.masked_fill(~state.mask[..., None], 0)


def _is_between(value: Any, least: float, most: float) -> bool:
    number = isinstance(value, int if isinstance(least, int) else Real) and not isinstance(value, bool)
    return number and least <= value <= most


READINGS: Registry[type[Reading]] = Registry("reading")
