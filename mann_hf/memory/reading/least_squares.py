"""Reading by kernel least squares."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...errors import InvalidInputError
from ..addressing import unit
from ..precision import precise
from ..similarity import CosineSimilarity, Similarity
from ..state import KeyValueState, around
from .base import NEVER_LEFT_OUT, READINGS, Reading, Search, Solution, Terms, compare_all, placed


class LeastSquaresParts(NamedTuple):
    """What `LeastSquaresReading.solve` prepares.

    Attributes:
        keys: [B, S, K] unit keys; None where the memory is solved around each query.
        coefficients: [B, S, V], α in double precision, as all that is computed with them: the terms are larger than
            their sum, and in single precision the order of the slots would show in the answers. None without keys.
        offset: [B, 1, V], what an answer is without any evidence.
        factor: [B, S, S], the lower Cholesky factor of the regularised kernel in the order `order`.
        order: [S], the slot in each row of `factor`.
    """

    keys: Tensor | None
    coefficients: Tensor | None
    offset: Tensor
    factor: Tensor | None = None
    order: Tensor | None = None


@READINGS.register("least_squares")
class LeastSquaresReading(Reading):
    r"""Kernel least squares (ridge regression) on the stored keys.

    $r(q) = \sum_i \alpha_i \kappa(k_i, q)$ with $(K + \lambda N^{-1}) A = V$, $\kappa(k, q) = \exp(\gamma (\cos(k, q) -
    1))$ and N the number of examples that each slot stands for. A left-out answer is the stored value less
    $[K'^{-1}]_{FF}^{-1} \alpha_F$ for a fold F, in closed form. For regression the values are taken around their mean.

    Source: Saunders et al. 1998, [Ridge Regression Learning Algorithm in Dual
    Variables](https://dl.acm.org/doi/10.5555/645527.657464), equation 8; for left-out single slots Rifkin and
    Lippert 2007, [Notes on Regularized Least Squares](https://hdl.handle.net/1721.1/37318), section 3.

    One more example extends the Cholesky factor. Above `exact_slots` slots, each query is answered by solving for its
    `nearest` slots alone, and a write costs nothing.

    Args:
        width: γ of the kernel.
        ridge: λ.
        exact_slots: the largest number of slots that are solved together.
        nearest: how many slots a query is answered from in larger memories; `neighbours` is its old name.
    """

    name = "least_squares"
    leaves_out_in_closed_form = True
    takes_nearest = True
    default_sharpness = 30.0
    ranges = {
        **Reading.ranges,
        "width": (1e-6, 1e5),
        "ridge": (1e-8, 1e8),
        "exact_slots": (0, 2**31),
        "nearest": (1, 2**31),
    }
    old_names = {"neighbours": "nearest"}

    def __init__(
        self,
        key_size: int,
        *args: Any,
        width: float = 3.0,
        ridge: float = 0.1,
        exact_slots: int = 4096,
        nearest: int = 128,
        **kwargs: Any,
    ) -> None:
        kwargs = self.with_present_names(kwargs)
        nearest = kwargs.pop("nearest", nearest)
        super().__init__(key_size, *args, **kwargs)
        if not (width > 0 and ridge > 0):
            raise InvalidInputError(f"width is {width} and ridge is {ridge}; both must be above 0.")
        if nearest < 1:
            raise InvalidInputError(f"nearest is {nearest}; a query is answered from at least 1 slot.")
        self.width, self.ridge, self.exact_slots, self.nearest = width, ridge, exact_slots, nearest

    def solve(
        self,
        state: KeyValueState,
        start: Solution | None = None,
        rough: bool = False,
        search: Search | None = None,
    ) -> Solution:
        offset = self._offset(state)
        if state.slots > self.exact_slots:
            parts = LeastSquaresParts(None, None, offset)
            return Solution(state, parts, search or compare_all(CosineSimilarity(self.key_size), state))
        keys = unit(state.keys)
        factor, order = self._extended(state, keys, start)
        ordered = self._targets(state, offset)[:, order].to(factor.dtype)
        coefficients = torch.empty_like(ordered).index_copy(1, order, torch.cholesky_solve(ordered, factor))
        return Solution(state, LeastSquaresParts(keys, coefficients, offset, factor, order))

    def scores(self, solution: Solution, queries: Tensor) -> Tensor:
        parts: LeastSquaresParts = solution.parts
        if parts.keys is None or parts.coefficients is None:
            return self._local(solution, queries)[0].to(queries.dtype)
        kernel = self._kernel(precise(parts.keys), precise(unit(queries)))
        return (kernel @ parts.coefficients + parts.offset).to(queries.dtype)

    def terms(
        self,
        solution: Solution,
        queries: Tensor,
        column: int,
        slots: Tensor,
        sharpness: Tensor | float | None = None,
    ) -> Tensor:
        parts: LeastSquaresParts = solution.parts
        if parts.keys is None or parts.coefficients is None:
            rows = torch.arange(queries.shape[1], device=queries.device)
            return self.terms_of(solution, queries, sharpness)(rows, column, slots)
        kernel = self._kernel(precise(parts.keys[:, slots]), precise(unit(queries)))
        return self.logits(solution, kernel * parts.coefficients[:, None, slots, column], sharpness)

    def terms_of(self, solution: Solution, queries: Tensor, sharpness: Tensor | float | None = None) -> Terms:
        if solution.parts.keys is not None:
            return super().terms_of(solution, queries, sharpness)
        _, near, coefficients, kernel = self._local(solution, queries)

        def terms(rows: Tensor, column: int, slots: Tensor) -> Tensor:
            own = coefficients[:, rows, :, column] * kernel[:, rows]
            return self.logits(solution, placed(near[:, rows], own, slots), sharpness)

        return terms

    def left_out(self, solution: Solution, folds: Tensor, rough: bool = False) -> Tensor:
        parts: LeastSquaresParts = solution.parts
        if parts.factor is None or parts.keys is None or parts.coefficients is None or self.targets.centred:
            return super().left_out(solution, folds, rough)  # the mean around which it solves changes too
        assert parts.order is not None
        inverse = torch.cholesky_inverse(parts.factor)
        position = parts.order.argsort()
        inverse = inverse[:, position][:, :, position]
        targets, alpha = self.fit_values(solution.state).to(inverse.dtype), parts.coefficients
        numbers = folds.unique()
        if len(numbers) == len(folds) and NEVER_LEFT_OUT not in numbers:
            residual = alpha / inverse.diagonal(dim1=1, dim2=2)[..., None]
            return (targets - residual).to(parts.keys.dtype)
        result = torch.zeros_like(targets)
        for fold in numbers.tolist():
            if fold == NEVER_LEFT_OUT:
                continue
            out = (folds == fold).nonzero()[:, 0]
            residual = torch.linalg.solve(inverse[:, out][:, :, out], alpha[:, out])
            result = result.index_copy(1, out, targets[:, out] - residual)
        return result.to(parts.keys.dtype)

    @property
    def nearest_by(self) -> Similarity | None:
        return CosineSimilarity(self.key_size)

    def _kernel(self, keys: Tensor, queries: Tensor) -> Tensor:
        """κ for unit keys [B, S, K] and unit queries [B, Q, K]: [B, Q, S]."""
        return torch.exp(self.width * (queries @ keys.mT - 1))

    def _offset(self, state: KeyValueState) -> Tensor:
        """The mean of what is fitted, [B, 1, V]; 0 for targets that are not taken around it."""
        if not self.targets.centred:
            return state.keys.new_zeros(state.batch_size, 1, state.values.shape[-1])
        targets = self.fit_values(state)
        weights = (state.write_count * state.mask).to(targets.dtype)[..., None]
        return (weights * targets).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp_min(1)

    def _targets(self, state: KeyValueState, offset: Tensor) -> Tensor:
        return (self.fit_values(state) - offset).masked_fill(~state.mask[..., None], 0)

    def _regularised(self, state: KeyValueState, keys: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Rows and columns of K + λ N⁻¹ in double precision; an empty slot is a row of the identity."""
        used = state.mask[:, rows, None] & state.mask[:, None, columns]
        kernel = self._kernel(precise(keys[:, columns]), precise(keys[:, rows])).masked_fill(~used, 0)
        same = rows[:, None] == columns[None, :]
        diagonal = torch.where(state.mask, self.ridge / state.write_count.clamp_min(1).to(kernel.dtype), 1.0)
        return kernel + same * diagonal[:, rows, None]

    def _extended(self, state: KeyValueState, keys: Tensor, start: Solution | None) -> tuple[Tensor, Tensor]:
        """The Cholesky factor, grown from that of `start` where `state` is `start` and a few slots more."""
        every = torch.arange(state.slots, device=keys.device)
        known = self._kept_order(state, start)
        if known is None:
            return torch.linalg.cholesky(self._regularised(state, keys, every, every)), every
        assert start is not None
        old: Tensor = start.parts.factor.detach()
        new = every[~torch.isin(every, known)]
        if not len(new):
            return old, known
        cross = self._regularised(state, keys, new, known)
        lower = torch.linalg.solve_triangular(old, cross.mT, upper=False).mT
        corner = torch.linalg.cholesky(self._regularised(state, keys, new, new) - lower @ lower.mT)
        top = torch.cat([old, old.new_zeros(len(old), old.shape[1], len(new))], dim=2)
        return torch.cat([top, torch.cat([lower, corner], dim=2)], dim=1), torch.cat([known, new])

    @staticmethod
    def _kept_order(state: KeyValueState, start: Solution | None) -> Tensor | None:
        """For each row of the factor of `start`, the slot of `state` that holds the same; None if any is gone."""
        if start is None or state.batch_size != 1 or state.keys.requires_grad or start.parts.factor is None:
            return None
        before = start.state
        if before.batch_size != 1:
            return None
        ids, order = state.ids[0].sort()
        if not before.slots or before.slots > state.slots or (ids[1:] == ids[:-1]).any():
            return None
        place = torch.searchsorted(ids, before.ids[0]).clamp_max(len(ids) - 1)
        slots = order[place]
        same = (
            torch.equal(ids[place], before.ids[0])
            and torch.equal(state.keys[0, slots], before.keys[0])
            and torch.equal(state.mask[0, slots], before.mask[0])
            and torch.equal(state.write_count[0, slots], before.write_count[0])
        )
        return slots[start.parts.order] if same else None

    def _local(self, solution: Solution, queries: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Solves around each query: scores [B, Q, V], slots [B, Q, M], coefficients [B, Q, M, V], kernel [B, Q, M]."""
        assert solution.search is not None
        slots = solution.search(queries, self.nearest)
        near = around(solution.state, slots)  # a memory of M slots for each query
        offset = solution.parts.offset.repeat_interleave(queries.shape[1], dim=0)
        keys, every = unit(near.keys), torch.arange(near.slots, device=slots.device)
        factor = torch.linalg.cholesky(self._regularised(near, keys, every, every))
        coefficients = torch.cholesky_solve(precise(self._targets(near, offset)), factor)
        kernel = self._kernel(precise(keys), precise(unit(queries).flatten(0, 1)[:, None]))
        scores = kernel @ coefficients + offset
        each = lambda part: part.unflatten(0, queries.shape[:2])  # noqa: E731
        return each(scores[:, 0]), slots, each(coefficients), each(kernel[:, 0])
