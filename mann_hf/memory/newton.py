"""Minimising strictly convex objectives exactly, and differentiating through where they are least."""

from typing import Any, Protocol

import torch
from torch import Tensor

MAX_STEPS = 60
MAX_INNER_STEPS = 250
SINGLE_PRECISION_FROM = 100_000_000
"""Multiplications of one gradient above which the work is done in single precision."""


class ConvexObjective(Protocol):
    """A sum of losses over stored keys plus a weight decay, for B independent problems side by side."""

    @property
    def keys(self) -> Tensor: ...

    def detach(self) -> Any: ...

    def to(self, dtype: torch.dtype) -> Any: ...

    def value_and_gradient(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...

    def curvature(self, probabilities: Tensor, direction: Tensor) -> Tensor: ...


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2), keepdim=True)


@torch.no_grad()
def minimise(objective: ConvexObjective, weight: Tensor, tolerance: float) -> Tensor:
    """The minimum by Newton's method, each step solved by conjugate gradients (Nocedal and Wright 2006, algorithm 7.1).

    Args:
        objective: B problems.
        weight: [B, V, K], where to start; this changes how long it takes, not where it ends.
        tolerance: the length of the gradient at which a problem counts as solved.

    Returns:
        [B, V, K] in the precision that the work was done in.
    """
    batch, slots, size = objective.keys.shape
    large = batch * slots * size * weight.shape[1] > SINGLE_PRECISION_FROM
    dtype = torch.float32 if large and objective.keys.dtype != torch.float64 else torch.float64
    objective, weight = objective.to(dtype), weight.to(dtype)
    value, gradient, probabilities = objective.value_and_gradient(weight)
    length = _dot(gradient, gradient).sqrt()
    start = length.clamp_min(1.0)
    for _ in range(MAX_STEPS):
        unsolved = length > tolerance
        if not unsolved.any():
            break
        precision = (length / start).sqrt().clamp_max(0.3)  # superlinear convergence without wasted work far away
        step = _conjugate_gradients(objective, probabilities, -gradient, precision * length)
        step = step * unsolved
        slope = _dot(gradient, step)[:, 0, 0]
        scale = torch.ones_like(value)
        noise = torch.finfo(dtype).eps * (value.abs() + 1)
        for _ in range(30):
            candidate = weight + scale[:, None, None] * step
            new = objective.value_and_gradient(candidate)
            rising = new[0] > value + 1e-4 * scale * slope + noise
            if not rising.any():
                break
            scale = torch.where(rising, scale / 2, scale)
        new_length = _dot(new[1], new[1]).sqrt()
        stalled = bool((new_length >= length)[unsolved].all()) and bool((length < 1e-2 * start)[unsolved].all())
        if stalled:  # rounding is all that is left
            break
        weight, (value, gradient, probabilities), length = candidate, new, new_length
    return weight


@torch.no_grad()
def _conjugate_gradients(
    objective: ConvexObjective, probabilities: Tensor, right: Tensor, tolerance: Tensor | float
) -> Tensor:
    """Solves H x = right [B, V, K] for the curvature H at `probabilities` (Nocedal and Wright 2006, algorithm 5.2)."""
    solution = torch.zeros_like(right)
    residual, direction = right.clone(), right.clone()
    square = _dot(residual, residual)
    for _ in range(MAX_INNER_STEPS):
        if not (square.sqrt() > tolerance).any():
            break
        image = objective.curvature(probabilities, direction)
        size = square / _dot(direction, image).clamp_min(torch.finfo(right.dtype).tiny)
        solution += size * direction
        residual -= size * image
        new_square = _dot(residual, residual)
        direction = residual + new_square / square.clamp_min(torch.finfo(right.dtype).tiny) * direction
        square = new_square
    return solution


def implicit(objective: ConvexObjective, minimum: Tensor) -> Tensor:
    """The minimum as a function of what the objective is made of, by the implicit function theorem.

    At the minimum the gradient g(W, k) is zero, so dW/dk = -H⁻¹ ∂g/∂k. Only first derivatives are right.

    Args:
        objective: with keys, targets or weights that may need gradients.
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
        tolerance = 1e-6 if outer.dtype == torch.float32 else 1e-10
        length = _dot(outer, outer).sqrt()
        solution = _conjugate_gradients(ctx.objective, ctx.probabilities, outer, tolerance * length)
        return None, -solution, None, None
