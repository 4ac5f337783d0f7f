"""Minimising strictly convex objectives exactly, and differentiating through where they are least."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..errors import InvalidInputError

MAX_STEPS = 60
MAX_INNER_STEPS = 250
SINGLE_CURVATURE_FROM = 10_000_000
"""Multiplications of one gradient above which the curvature is applied in single precision."""
SINGLE_GRADIENT_FROM = 150_000_000
"""Multiplications of one gradient above which it is computed in single precision, too."""
BLOCKS_FROM = 512
"""Slots from which the blocks of the curvature are worth their making."""
BLOCKS_UP_TO = 100_000_000
"""Numbers in all blocks above which they are not made."""
ACTIVE = 0.1
"""Part of the gradient's length that a step may leave to later ones."""
NEAR = 0.3
"""Part of the first gradient's length below which the curvature is close enough to that of the minimum."""


class ConvexObjective(Protocol):
    """A sum of losses over stored keys plus a weight decay, for B independent problems side by side."""

    @property
    def keys(self) -> Tensor: ...

    def detach(self) -> Any: ...

    def to(self, dtype: torch.dtype) -> Any: ...

    def value_and_gradient(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...

    def curvature(self, probabilities: Tensor, direction: Tensor) -> Tensor: ...

    def inverse_blocks(self, probabilities: Tensor) -> Tensor: ...


class Minimum(NamedTuple):
    """Where an objective is least.

    Attributes:
        weight: [B, V, K], in the precision that gradients were computed in.
        blocks: [V, K, K], about the inverse of the curvature of each output by itself; None where none were made.
            Given to the search for the minimum of a similar objective, they shorten it.
    """

    weight: Tensor
    blocks: Tensor | None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2), keepdim=True)


@torch.no_grad()
def minimise(objective: ConvexObjective, weight: Tensor, tolerance: float, blocks: Tensor | None = None) -> Minimum:
    """The minimum by Newton's method, each step solved by conjugate gradients (Nocedal and Wright 2006, algorithm 7.1).

    Args:
        objective: B problems.
        weight: [B, V, K], where to start; this changes how long it takes, not where it ends.
        tolerance: the length of the gradient at which a problem counts as solved.
        blocks: of an earlier `Minimum`; like the start they change the time alone.
    """
    batch, slots, size = objective.keys.shape
    outputs = weight.shape[1]
    work, single = batch * slots * size * outputs, objective.keys.dtype != torch.float64
    coarse = objective.to(torch.float32 if single and work > SINGLE_CURVATURE_FROM else torch.float64)
    objective = objective.to(torch.float32 if single and work > SINGLE_GRADIENT_FROM else torch.float64)
    weight = weight.to(objective.keys.dtype)
    if objective.keys.dtype == torch.float32:  # rounding alone makes a gradient about as long as this
        tolerance = max(tolerance, torch.finfo(torch.float32).eps * slots)
    worth_blocks = batch == 1 and slots >= BLOCKS_FROM and outputs * size**2 <= BLOCKS_UP_TO
    value, gradient, probabilities = objective.value_and_gradient(weight)
    length = _dot(gradient, gradient).sqrt()
    start = length.clamp_min(1.0)
    shortest, idle = length, torch.zeros_like(length)
    stuck = idle > 0
    for _ in range(MAX_STEPS):
        unsolved = (length > tolerance) & ~stuck
        if not unsolved.any():
            break
        if blocks is None and worth_blocks and bool(length < NEAR * start):
            blocks = coarse.inverse_blocks(probabilities.to(coarse.keys.dtype))
        # superlinear convergence without wasted work far away; no more of it than the tolerance asks for
        precision = (length / start).sqrt().clamp_max(0.3).maximum(0.7 * tolerance / length.clamp_min(tolerance))
        step = torch.zeros_like(weight)
        active = _active(gradient, 0.3 * tolerance) if blocks is not None else slice(None)
        step[:, active] = _conjugate_gradients(
            coarse,
            probabilities[..., active],
            -gradient[:, active],
            precision * length,
            None if blocks is None else blocks[active],
        )
        step = step * unsolved
        slope = _dot(gradient, step)[:, 0, 0]
        if blocks is not None and not bool((slope < 0)[unsolved[:, 0, 0]].all()):  # rounding has spoilt the blocks
            blocks, worth_blocks = None, False
            continue
        scale = torch.ones_like(value)
        noise = torch.finfo(value.dtype).eps * (value.abs() + 1)
        for _ in range(30):
            candidate = weight + scale[:, None, None] * step
            new = objective.value_and_gradient(candidate)
            rising = ~(new[0] <= value + 1e-4 * scale * slope + noise)  # NaN, too
            if not rising.any():
                break
            scale = torch.where(rising, scale / 2, scale)
        new_length = _dot(new[1], new[1]).sqrt()
        # rounding is all that is left where steps bring next to nothing: one, if it promised less than the value's
        # rounding, or three on end
        idle = torch.where(new_length > 0.9 * shortest, idle + 1, 0)
        shortest = shortest.minimum(new_length)
        patience = torch.where(-slope <= noise, 1, 3)[:, None, None]
        stuck = stuck | (unsolved & (length < 1e-2 * start) & (idle >= patience))
        weight = torch.where(stuck & (new_length > length), weight, candidate)
        (value, gradient, probabilities), length = new, new_length
    return Minimum(weight, blocks)


def _active(gradient: Tensor, tolerance: float) -> Tensor | slice:
    """The outputs of one problem that a step should move: all but those of a tenth of the gradient, or of none of note.

    What one more example changes are the few outputs that it could be taken for, and their curvature is cheap.
    """
    lengths, order = gradient[0].norm(dim=1).sort()
    rest = lengths.square().cumsum(0).sqrt()
    left = int((rest <= max(tolerance, ACTIVE * float(rest[-1]))).sum())
    return order[left:].sort().values if left > len(order) // 4 else slice(None)


@torch.no_grad()
def _conjugate_gradients(
    objective: ConvexObjective,
    probabilities: Tensor,
    right: Tensor,
    tolerance: Tensor | float,
    blocks: Tensor | None = None,
) -> Tensor:
    """Solves H x = right [B, V, K] for the curvature H at `probabilities` (Nocedal and Wright 2006, algorithm 5.3)."""
    dtype = objective.keys.dtype
    given, right, probabilities = right.dtype, right.to(dtype), probabilities.to(dtype)
    least = torch.finfo(dtype).tiny

    def precondition(residual: Tensor) -> Tensor:
        if blocks is None:
            return residual
        return torch.bmm(residual[0, :, None], blocks.to(dtype))[None, :, 0]  # symmetric, and twice as fast this way

    solution = torch.zeros_like(right)
    residual = right.clone()
    scaled = precondition(residual)
    direction = scaled.clone()
    product = _dot(residual, scaled)
    for _ in range(MAX_INNER_STEPS):
        if not (_dot(residual, residual).sqrt() > tolerance).any():
            break
        image = objective.curvature(probabilities, direction)
        curve = _dot(direction, image)
        size = torch.where(curve > 0, product / curve.clamp_min(least), 0)
        solution += size * direction
        residual -= size * image
        scaled = precondition(residual)
        new_product = _dot(residual, scaled)
        direction = scaled + new_product / product.clamp_min(least) * direction
        product = new_product
    return solution.to(given)


def implicit(objective: ConvexObjective, minimum: Tensor) -> Tensor:
    """The minimum as a function of what the objective is made of, by the implicit function theorem.

    At the minimum the gradient g(W, k) is zero, so dW/dk = -H⁻¹ ∂g/∂k. The gradients have no graph of their own: to
    ask for one (`create_graph=True`) raises `InvalidInputError`.

    Args:
        objective: with keys that may need gradients; what else it is made of gets gradients along with them.
        minimum: [B, V, K], without a graph.
    """
    if not (torch.is_grad_enabled() and objective.keys.requires_grad):
        return minimum
    graph_free = minimum.to(objective.keys.dtype)
    _, gradient, probabilities = objective.value_and_gradient(graph_free)
    return _Implicit.apply(graph_free, gradient, objective, probabilities.detach())


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, minimum: Tensor, gradient: Tensor, objective: Any, probabilities: Tensor) -> Tensor:
        ctx.objective, ctx.probabilities = objective.detach(), probabilities
        return minimum.clone()

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[None, Tensor, None, None]:  # type: ignore[override]
        if torch.is_grad_enabled():  # create_graph=True: the solution below would be taken for a constant
            raise InvalidInputError(
                "second derivatives through a minimum are not known; call backward without create_graph, or use a "
                "reading in closed form such as 'least_squares'."
            )
        tolerance = 1e-6 if outer.dtype == torch.float32 else 1e-10
        length = _dot(outer, outer).sqrt()
        solution = _conjugate_gradients(ctx.objective, ctx.probabilities, outer, tolerance * length)
        return None, -solution, None, None
