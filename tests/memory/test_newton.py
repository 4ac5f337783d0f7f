"""Minimising objectives of known minimum, easy and hard."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from mann_hf.memory import newton
from mann_hf.memory.newton import implicit, minimise

B, S, K, V = 3, 6, 4, 2


class Sum(NamedTuple):
    """Σ_i φ(W k_i - t_i) + μ/2 ‖W‖² with φ(x) = x²/2, or log cosh x, whose curvature falls off fast."""

    keys: Tensor
    targets: Tensor
    decay: float = 1.0
    quadratic: bool = True

    def detach(self) -> "Sum":
        return self._replace(keys=self.keys.detach(), targets=self.targets.detach())

    def to(self, dtype: torch.dtype) -> "Sum":
        return self._replace(keys=self.keys.to(dtype), targets=self.targets.to(dtype))

    def value_and_gradient(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        off = self.keys @ weight.mT - self.targets
        if self.quadratic:
            loss, slope = off.square() / 2, off
        else:
            loss, slope = torch.logaddexp(off, -off) - math.log(2), off.tanh()
        value = loss.sum((1, 2)) + self.decay / 2 * weight.square().sum((1, 2))
        return value, slope.mT @ self.keys + self.decay * weight, slope

    def curvature(self, slope: Tensor, direction: Tensor) -> Tensor:
        change = self.keys @ direction.mT
        if not self.quadratic:
            change = (1 - slope.square()) * change
        return change.mT @ self.keys + self.decay * direction

    def inverse_blocks(self, slope: Tensor) -> Tensor:
        """Exact for one output at a time, as every output has its own row of W."""
        weight = torch.ones_like(slope) if self.quadratic else 1 - slope.square()
        eye = torch.eye(self.keys.shape[-1], dtype=self.keys.dtype)
        blocks = torch.einsum("sv,sk,sl->vkl", weight[0], self.keys[0], self.keys[0]) + self.decay * eye
        return torch.linalg.inv(blocks)


def problem(quadratic: bool = True, decay: float = 1.0, batch: int = B) -> Sum:
    keys, targets = torch.randn(batch, S, K, dtype=torch.float64), torch.randn(batch, S, V, dtype=torch.float64)
    return Sum(keys, targets, decay, quadratic)


def least(objective: Sum, weight: Tensor, tolerance: float) -> Tensor:
    return minimise(objective, weight, tolerance).weight


def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets small problems be solved as large ones are."""
    monkeypatch.setattr(newton, "SINGLE_GRADIENT_FROM", 0)
    monkeypatch.setattr(newton, "SINGLE_CURVATURE_FROM", 0)


def start(batch: int = B) -> Tensor:
    return torch.zeros(batch, V, K, dtype=torch.float64)


def length(objective: Sum, weight: Tensor) -> Tensor:
    return objective.value_and_gradient(weight)[1].square().sum((1, 2)).sqrt()


def same(actual: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("decay", [1e-3, 1.0, 1e3])
def test_the_minimum_of_a_quadratic_is_what_numpy_solves(decay: float) -> None:
    objective = problem(decay=decay)
    found = least(objective, start(), 1e-10)
    for b in range(B):
        keys, targets = objective.keys[b].numpy(), objective.targets[b].numpy()
        expected = np.linalg.solve(keys.T @ keys + decay * np.eye(K), keys.T @ targets).T
        same(found[b], torch.from_numpy(expected), 1e-8)


@pytest.mark.parametrize("distance", [1.0, 10.0, 1e3, 1e6])
def test_where_it_starts_changes_nothing(distance: float) -> None:
    objective = problem(quadratic=False)
    expected = least(objective, start(), 1e-11)
    assert (length(objective, expected) < 1e-10).all()
    far = distance * torch.randn(B, V, K, dtype=torch.float64)
    same(least(objective, far, 1e-11), expected)


def test_it_ends_where_full_newton_steps_run_away() -> None:
    objective = Sum(torch.ones(1, 1, 1).double(), torch.zeros(1, 1, 1).double(), decay=1e-3, quadratic=False)
    weight = 3.0  # of log cosh; its Newton step from 3 leads to about -90
    step = (math.tanh(weight) + 1e-3 * weight) / (1 - math.tanh(weight) ** 2 + 1e-3)
    assert abs(weight - step) > 10 * weight
    found = least(objective, torch.full((1, 1, 1), weight).double(), 1e-12)
    assert abs(found.item()) < 1e-9


@pytest.mark.parametrize("tolerance", [0.0, 1e-300])
@pytest.mark.parametrize("quadratic", [True, False])
def test_it_ends_when_rounding_is_all_that_is_left(
    tolerance: float, quadratic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = problem(quadratic)
    looks = 0
    original = Sum.value_and_gradient

    def counted(self: Sum, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nonlocal looks
        looks += 1
        return original(self, weight)

    with monkeypatch.context() as patch:
        patch.setattr(Sum, "value_and_gradient", counted)
        minimise(objective, start(), tolerance)
    assert looks < newton.MAX_STEPS
    assert (length(objective, least(objective, start(), tolerance)) < 1e-12).all()


def test_what_is_solved_is_left_alone() -> None:
    objective = problem(quadratic=False)
    solved = least(objective, start(), 1e-8)
    assert torch.equal(least(objective, solved, 1e-6), solved)
    mixed = torch.where(torch.tensor([True, False, True])[:, None, None], solved, start() + 5)
    found = least(objective, mixed, 1e-6)
    assert torch.equal(found[[0, 2]], solved[[0, 2]])
    same(found[1], solved[1], 1e-5)


def test_problems_side_by_side_are_as_each_alone() -> None:
    objective = problem(quadratic=False)
    objective = objective._replace(targets=objective.targets * torch.tensor([1.0, 100.0, 0.0])[:, None, None])
    together = least(objective, start(), 1e-11)
    for b in range(B):
        alone = objective._replace(keys=objective.keys[b : b + 1], targets=objective.targets[b : b + 1])
        same(together[b : b + 1], least(alone, start(1), 1e-11))


def test_an_objective_without_losses_is_least_at_zero() -> None:
    objective = Sum(torch.zeros(2, 0, K).double(), torch.zeros(2, 0, V).double())
    same(least(objective, torch.ones(2, V, K).double(), 1e-10), start(2))


def test_nothing_that_comes_in_is_changed() -> None:
    objective, weight = problem(quadratic=False), start() + 3
    before = objective.keys.clone(), objective.targets.clone(), weight.clone()
    found = least(objective, weight, 1e-8)
    torch.testing.assert_close((objective.keys, objective.targets, weight), before, atol=0, rtol=0)
    implicit(objective._replace(keys=objective.keys.requires_grad_()), found).sum().backward()
    torch.testing.assert_close((objective.keys.detach(), objective.targets, weight), before, atol=0, rtol=0)


def test_small_problems_are_solved_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = problem(quadratic=False).to(torch.float32)
    exact = least(objective, start(), 1e-10)
    assert exact.dtype == torch.float64
    assert (length(objective.to(torch.float64), exact) < 1e-9).all()
    single_precision(monkeypatch)
    rounded = least(objective, start().float(), 1e-10)
    assert rounded.dtype == torch.float32
    same(rounded.double(), exact, 1e-5)
    assert least(problem(), start(), 1e-10).dtype == torch.float64  # as exact as what comes in


def test_no_graph_is_built() -> None:
    objective = problem()
    watched = objective._replace(keys=objective.keys.requires_grad_())
    assert not least(watched, start(), 1e-8).requires_grad


@pytest.mark.parametrize("quadratic", [True, False])
@pytest.mark.parametrize("slots", [50, 700])
def test_what_was_learned_of_the_curvature_changes_the_time_alone(quadratic: bool, slots: int) -> None:
    keys, targets = torch.randn(1, slots, K, dtype=torch.float64), torch.randn(1, slots, V, dtype=torch.float64)
    objective = Sum(keys, targets, 1.0, quadratic)
    first = minimise(objective, start(1), 1e-9)
    other = objective._replace(targets=3 * targets.flip(1))
    expected = minimise(other, start(1), 1e-9).weight
    assert (length(other, expected) < 1e-8).all()
    misleading = torch.stack([torch.diag(torch.tensor([1e-3, 1.0, 1e3, 5.0])).double()] * V)
    for blocks in (first.blocks, misleading, None):
        same(minimise(other, first.weight, 1e-9, blocks).weight, expected)


@pytest.mark.parametrize("quadratic", [True, False])
def test_gradients_through_the_minimum_are_those_of_finite_differences(quadratic: bool) -> None:
    objective = problem(quadratic, batch=2)

    def minimum(keys: Tensor, targets: Tensor) -> Tensor:
        now = objective._replace(keys=keys, targets=targets)
        return implicit(now, least(now.detach(), start(2), 1e-13))

    inputs: Any = (objective.keys.requires_grad_(), objective.targets.requires_grad_())
    assert torch.autograd.gradcheck(minimum, inputs, atol=1e-6, rtol=1e-5)


def test_without_gradients_the_minimum_is_what_it_was() -> None:
    objective = problem()
    found = least(objective, start(), 1e-8)
    assert implicit(objective, found) is found
    with torch.no_grad():
        assert implicit(objective._replace(keys=objective.keys.requires_grad_()), found) is found


def test_gradients_of_single_precision_are_close_to_those_of_double() -> None:
    objective = problem(quadratic=False)
    outer = torch.randn(B, V, K, dtype=torch.float64)
    gradients = []
    for dtype in (torch.float64, torch.float32):
        now = objective.detach().to(dtype)
        now = now._replace(keys=now.keys.clone().requires_grad_())
        implicit(now, least(now.detach(), start(), 1e-10)).backward(outer.to(dtype))
        assert now.keys.grad is not None
        gradients.append(now.keys.grad.double())
    same(gradients[1], gradients[0], 1e-4)
