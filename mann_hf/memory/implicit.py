"""Differentiating through where a strictly convex objective is least."""

from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidInputError
from .newton import ConvexObjective, dot, newton_step


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
                "the solved reading has no second derivatives; call backward without create_graph, or use a reading "
                "in closed form such as 'least_squares'."
            )
        tolerance = 1e-6 if outer.dtype == torch.float32 else 1e-10
        length = dot(outer, outer).sqrt()
        solution = newton_step(ctx.objective, ctx.probabilities, outer, tolerance * length)
        return None, -solution, None, None
