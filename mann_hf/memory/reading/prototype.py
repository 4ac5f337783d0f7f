"""Reading by prototypes."""

from torch import Tensor

from ...targets.base import Targets
from ..addressing import UNIT_EPSILON
from ..precision import precise
from ..similarity import EuclideanSimilarity
from ..state import KeyValueState
from .base import NEVER_LEFT_OUT, READINGS, Reading, Search, Solution


@READINGS.register("prototype")
class PrototypeReading(Reading):
    r"""The similarity of the query to each label's mean key.

    $c_l = \frac{\sum_i n_i v_{il} k_i}{\sum_i n_i v_{il}}$, scores $s(c_l, q)$. The score of a label without
    examples is minus infinity. The term of a slot is the share of its key in the label's score. Prototypes are computed
    and compared in double precision, so that the answers do not depend on the order of the slots.

    Source: Snell et al. 2017, [Prototypical Networks for Few-shot Learning](https://arxiv.org/abs/1703.05175),
    equations 1 and 2.
    """

    name = "prototype"
    default_sharpness = 20.0
    leaves_out_in_closed_form = True

    @classmethod
    def serves(cls, targets: Targets) -> bool:
        return targets.dense and targets.exclusive

    def solve(
        self,
        state: KeyValueState,
        start: Solution | None = None,
        rough: bool = False,
        search: Search | None = None,
    ) -> Solution:
        weights = self._membership(state)
        return Solution(state, (weights.mT @ precise(state.keys), weights.sum(dim=1)))

    def scores(self, solution: Solution, queries: Tensor) -> Tensor:
        sums, total = solution.parts
        return self._compare(sums, total, queries)

    def terms(
        self,
        solution: Solution,
        queries: Tensor,
        column: int,
        slots: Tensor,
        sharpness: Tensor | float | None = None,
    ) -> Tensor:
        sums, total = solution.parts
        count = total[:, column].clamp_min(UNIT_EPSILON)
        state = solution.state
        members = precise(state.values[:, slots, column]) * (state.write_count * state.mask)[:, slots]
        share = members / count[:, None]  # [B, M]
        keys, queries, given = precise(state.keys[:, slots]), precise(queries), queries.dtype
        prototype = sums[:, column] / count[:, None]  # [B, K]
        if isinstance(self.similarity, EuclideanSimilarity):
            offset = queries.square().sum(-1)[..., None] + prototype.square().sum(-1)[:, None, None]
            terms = 2 * queries @ keys.mT - offset
        else:  # the others are linear in the prototype, but for the length that the cosine divides by
            terms = self.similarity(keys, queries)
            if self.similarity.scale_free:
                terms = (
                    terms
                    * (keys.norm(dim=-1) / prototype.norm(dim=-1, keepdim=True).clamp_min(UNIT_EPSILON))[:, None, :]
                )
        return (terms * share[:, None, :]).to(given) * (self.sharpness if sharpness is None else sharpness)

    def left_out(self, solution: Solution, folds: Tensor, rough: bool = False) -> Tensor:
        state = solution.state
        weights = self._membership(state)
        sums, total = solution.parts
        numbers = folds.unique()
        if len(numbers) == len(folds) and NEVER_LEFT_OUT not in numbers:
            return self._leave_one_out(state, weights, sums, total)
        result = state.keys.new_zeros(*state.mask.shape, weights.shape[-1])
        for fold in numbers.tolist():
            if fold == NEVER_LEFT_OUT:
                continue
            out = (folds == fold).nonzero()[:, 0]
            keys, gone = state.keys[:, out], weights[:, out]
            rest = sums - gone.mT @ precise(keys)
            result = result.index_copy(1, out, self._compare(rest, total - gone.sum(1), keys))
        return result

    def _leave_one_out(self, state: KeyValueState, weights: Tensor, sums: Tensor, total: Tensor) -> Tensor:
        """Only the prototype of a slot's own label changes when it is left out, so one pass does for all slots."""
        label = state.values.argmax(dim=-1)  # [B, S]
        weight = weights.gather(2, label[..., None])  # [B, S, 1]
        own_sum = sums.gather(1, label[..., None].expand_as(state.keys)) - weight * state.keys
        own_total = total.gather(1, label)[..., None] - weight
        own = self._compare(own_sum.flatten(0, 1)[:, None], own_total.flatten(0, 1), state.keys.flatten(0, 1)[:, None])
        plain = self._compare(sums, total, state.keys)
        return plain.scatter(2, label[..., None], own.view(*label.shape, 1))

    def _compare(self, sums: Tensor, total: Tensor, queries: Tensor) -> Tensor:
        scores = self.similarity(sums / total.clamp_min(UNIT_EPSILON)[..., None], precise(queries))
        return scores.masked_fill((total <= UNIT_EPSILON)[:, None, :], float("-inf")).to(queries.dtype)

    def _membership(self, state: KeyValueState) -> Tensor:
        """[B, S, V]: how much of each label a slot is, by the number of examples it stands for."""
        return precise(state.values) * (state.write_count * state.mask)[..., None]
