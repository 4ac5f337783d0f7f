"""Minimising objectives of known minimum, easy and hard."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from mann_hf.memory import newton
from mann_hf.memory.implicit import implicit
from mann_hf.memory.newton import Point, Sketch, minimise
from mann_hf.memory.reading.logistic import LogisticObjective

B, S, K, V = 3, 6, 4, 2


class Sum(NamedTuple):
    """Σ_i φ(W k_i - t_i) + μ/2 ‖W‖² with φ(x) = x²/2, or log cosh x, whose curvature falls off fast."""

    keys: Tensor
    targets: Tensor
    weight_decay: float = 1.0
    quadratic: bool = True
    exclusive: bool = False

    def detach(self) -> "Sum":
        return self._replace(keys=self.keys.detach(), targets=self.targets.detach())

    def to(self, dtype: torch.dtype) -> "Sum":
        wide = torch.promote_types(dtype, torch.float32)
        return self._replace(keys=self.keys.to(dtype), targets=self.targets.to(wide))

    def value_and_gradient(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        off = self.keys @ weight.mT - self.targets
        if self.quadratic:
            loss, slope = off.square() / 2, off
        else:
            loss, slope = torch.logaddexp(off, -off) - math.log(2), off.tanh()
        value = loss.sum((1, 2)) + self.weight_decay / 2 * weight.square().sum((1, 2))
        return value, slope.mT @ self.keys + self.weight_decay * weight, slope

    def hessian(self, slope: Tensor) -> Callable[[Tensor], Tensor]:
        weights = self.curvature_weights(slope)

        def product(direction: Tensor) -> Tensor:
            change = weights * (self.keys @ direction.to(self.keys).mT).to(slope)
            return (change.to(self.keys).mT @ self.keys).to(slope) + self.weight_decay * direction

        return product

    def curvature_weights(self, slope: Tensor) -> Tensor:
        return torch.ones_like(slope) if self.quadratic else 1 - slope.square()

    def features(self, slots: Tensor) -> Tensor:
        return self.keys[0, slots]

    def squares(self) -> Tensor:
        return self.keys[0].square().sum(1)


def problem(quadratic: bool = True, decay: float = 1.0, batch: int = B) -> Sum:
    keys, targets = torch.randn(batch, S, K, dtype=torch.float64), torch.randn(batch, S, V, dtype=torch.float64)
    return Sum(keys, targets, decay, quadratic)


def least(objective: newton.ConvexObjective, weight: Tensor, tolerance: float) -> Tensor:
    return minimise(objective, weight, tolerance).weight


def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets small problems be solved as large ones are."""
    monkeypatch.setattr(newton, "SINGLE_GRADIENT_FROM", 0)
    monkeypatch.setattr(newton, "SINGLE_CURVATURE_FROM", 0)


def start(batch: int = B) -> Tensor:
    return torch.zeros(batch, V, K, dtype=torch.float64)


def length(objective: newton.ConvexObjective, weight: Tensor) -> Tensor:
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
    objective = Sum(torch.ones(1, 1, 1).double(), torch.zeros(1, 1, 1).double(), weight_decay=1e-3, quadratic=False)
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


def softmax(slots: int = 60, size: int = 8, outputs: int = 5, exclusive: bool = True) -> LogisticObjective:
    """A logistic regression of keys that differ in a few directions by far more than in the others."""
    keys = torch.randn(1, slots, size, dtype=torch.float64) * torch.linspace(3, 0.1, size, dtype=torch.float64)
    targets = torch.eye(outputs, dtype=torch.float64)[torch.randint(outputs, (slots,))][None]
    return LogisticObjective(keys, targets, torch.rand(1, slots, 1, dtype=torch.float64) + 0.5, 0.1, exclusive)


def blocks(objective: newton.ConvexObjective, probabilities: Tensor) -> Tensor:
    """The Hessian's block of each output, [V, K, K]."""
    keys, weights = objective.keys[0], objective.curvature_weights(probabilities)[0]
    eye = torch.eye(keys.shape[1], dtype=keys.dtype)
    return torch.einsum("sv,sk,sl->vkl", weights, keys, keys) + objective.weight_decay * eye


def applied(sketch: Sketch, size: int) -> Tensor:
    """What a sketch stands for, [V, K, K]: its columns are what it makes of each unit vector."""
    unit_vectors = torch.eye(size, dtype=torch.float64)
    return torch.stack([sketch(e.expand(1, len(sketch.averages), size))[0] for e in unit_vectors], dim=-1)


@pytest.mark.parametrize(
    ("slots", "size", "directions"),
    [(60, 8, 8), (400, 32, 32), (500, 64, 5), (20, 64, 20), (3, 8, 3), (1, 1, 1)],
    ids=["small keys", "as many directions", "few directions", "few slots", "three slots", "one number"],
)
@pytest.mark.parametrize("exclusive", [True, False])
def test_a_sketch_that_sees_every_direction_is_the_inverse(
    slots: int, size: int, directions: int, exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newton, "SKETCH_SLOTS_AN_OUTPUT", 1)
    objective = softmax(slots, size, exclusive=exclusive)
    span = torch.randn(directions, size, dtype=torch.float64)
    objective = objective._replace(keys=torch.randn(1, slots, directions, dtype=torch.float64) @ span)
    probabilities = torch.rand(1, slots, 5, dtype=torch.float64)
    probabilities[..., 2] = 0  # an output without curvature but for the weight decay
    expected = torch.linalg.inv(blocks(objective, probabilities))
    same(applied(Sketch.of(objective, probabilities), size), expected, 1e-8)


def test_a_sketch_keeps_the_whole_curvature_of_what_it_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "SKETCH_SLOTS_AN_OUTPUT", 1)
    monkeypatch.setattr(newton, "SKETCH_RANK", 4)
    monkeypatch.setattr(newton, "SKETCH_SLOTS", 30)
    objective = softmax(80, 12)
    probabilities = torch.rand(1, 80, 5, dtype=torch.float64)
    exact, inverse = blocks(objective, probabilities), applied(Sketch.of(objective, probabilities), 12)
    same(inverse, inverse.mT)
    assert (torch.linalg.eigvalsh(inverse) > 0).all()
    trace = torch.linalg.inv(inverse).diagonal(dim1=1, dim2=2).sum(1)
    same(trace, exact.diagonal(dim1=1, dim2=2).sum(1), 1e-8)


def test_a_sketch_depends_on_what_it_sketches_alone() -> None:
    objective, probabilities = softmax(), torch.rand(1, 60, 5, dtype=torch.float64)
    first = Sketch.of(objective, probabilities)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    torch.testing.assert_close(Sketch.of(objective, probabilities), first, atol=0, rtol=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_wider_sketch_knows_nothing_of_the_new_outputs() -> None:
    objective, probabilities = softmax(), torch.rand(1, 60, 5, dtype=torch.float64)
    sketch = Sketch.of(objective, probabilities)
    wider = sketch.wider(7, objective.weight_decay)
    residual = torch.randn(1, 7, 8, dtype=torch.float64)
    same(wider(residual)[:, :5], sketch(residual[:, :5]))
    same(wider(residual)[:, 5:], residual[:, 5:] / objective.weight_decay)
    torch.testing.assert_close(sketch.wider(5, objective.weight_decay), sketch, atol=0, rtol=0)


def test_a_sketch_of_half_precision_takes_and_gives_what_it_is_given() -> None:
    objective, probabilities = softmax(), torch.rand(1, 60, 5, dtype=torch.float64)
    sketch = Sketch.of(objective, probabilities)
    residual = torch.randn(1, 5, 8, dtype=torch.float64)
    rounded = sketch.to(torch.bfloat16)(residual)
    assert rounded.dtype == torch.float64
    assert (rounded - sketch(residual)).norm() < 0.02 * sketch(residual).norm()


def misleading(outputs: int, size: int, sign: float) -> Sketch:
    """A sketch of another curvature, or with a negative sign of none at all."""
    directions = torch.linalg.qr(torch.randn(outputs, size, 2, dtype=torch.float64)).Q
    averages = torch.rand(outputs, dtype=torch.float64) + 0.1
    return Sketch(directions, sign * torch.tensor([3.0, 30.0]).double().expand(outputs, 2), averages)


@pytest.mark.parametrize("objective", ["quadratic", "log cosh", "softmax", "sigmoids"])
@pytest.mark.parametrize("slots", [50, 700])
def test_what_was_learned_of_the_curvature_changes_the_time_alone(
    objective: str, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = softmax(slots, exclusive=objective == "softmax")
    problem: Any = hard
    if objective in ("quadratic", "log cosh"):
        problem = Sum(hard.keys, torch.randn(1, slots, 5).double(), 0.1, objective == "quadratic")
    weight = torch.zeros(1, 5, 8, dtype=torch.float64)
    expected = minimise(problem, weight, 1e-10)
    assert expected.sketch is None and (length(problem, expected.weight) < 1e-9).all()
    sketch_from(monkeypatch, 1)
    found = minimise(problem, weight, 1e-10)
    assert found.sketch is not None
    same(found.weight, expected.weight)
    other = problem._replace(targets=problem.targets.flip(1))
    at_other = minimise(other, weight, 1e-10).weight
    for sketch in (found.sketch, misleading(5, 8, 1.0), misleading(5, 8, -1.0), None):
        same(minimise(other, found.weight, 1e-10, sketch).weight, at_other)


def sketch_from(monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    """Problems of so many slots are sketched, however few there are for each output."""
    monkeypatch.setattr(newton, "SKETCH_FROM", slots)
    monkeypatch.setattr(newton, "SKETCH_SLOTS_AN_OUTPUT", 1)


def test_a_sketch_is_of_few_directions_where_outputs_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "SKETCH_FROM", 1)
    monkeypatch.setattr(newton, "SKETCH_RANK", 6)
    for slots, rank in [(5 * newton.SKETCH_SLOTS_AN_OUTPUT - 1, 4), (5 * newton.SKETCH_SLOTS_AN_OUTPUT, 6)]:
        found = minimise(softmax(slots), torch.zeros(1, 5, 8, dtype=torch.float64), 1e-10)
        assert found.sketch is not None and found.sketch.directions.shape == (5, 8, rank)
        assert minimise(softmax(slots), torch.zeros(1, 5, 8, dtype=torch.float64), 1.0).sketch is None  # not far to go


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_sketch_saves_products_with_the_hessian(exclusive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = softmax(500, 40, exclusive=exclusive)._replace(weight_decay=1e-3)
    products = 0
    original = LogisticObjective.hessian

    def counted(self: LogisticObjective, probabilities: Tensor) -> Callable[[Tensor], Tensor]:
        product = original(self, probabilities)

        def counting(direction: Tensor) -> Tensor:
            nonlocal products
            products += 1
            return product(direction)

        return counting

    monkeypatch.setattr(LogisticObjective, "hessian", counted)
    weight = torch.zeros(1, 5, 40, dtype=torch.float64)
    minimise(objective, weight, 1e-8)
    plain, products = products, 0
    sketch_from(monkeypatch, 1)
    minimise(objective, weight, 1e-8)
    assert 0 < products < 0.7 * plain


@pytest.mark.parametrize("slots_for_sketch", [1, 10**9])
@pytest.mark.parametrize("single", [False, True])
def test_exclusive_outputs_stay_balanced(slots_for_sketch: int, single: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sketch_from(monkeypatch, slots_for_sketch)
    objective = softmax(200)
    expected = minimise(objective, torch.zeros(1, 5, 8, dtype=torch.float64), 1e-11).weight
    exact = 1e-9
    if single:
        single_precision(monkeypatch)
        objective, exact = objective.to(torch.float32), 2e-3  # 16 roundings a slot over a weight decay of 0.1
    for weight in (torch.ones(1, 5, 8), 5 * torch.randn(1, 5, 8), expected.float(), expected + 1.0):
        found = minimise(objective, weight, 1e-11).weight
        assert found.sum(1).abs().max() < (1e-4 if single else 1e-11)
        same(found.double(), expected, exact)


class Watched(NamedTuple):
    """What an objective was asked for."""

    looks: list[torch.dtype]
    products: list[torch.dtype]


def watch(monkeypatch: pytest.MonkeyPatch, kind: type) -> Watched:
    """The precision of the keys at each look at an objective, and at each step's curvature."""
    watched = Watched([], [])
    look, hessian = kind.value_and_gradient, kind.hessian  # type: ignore[attr-defined]

    def value_and_gradient(self: Any, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        watched.looks.append(self.keys.dtype)
        return look(self, weight)

    def curvature(self: Any, probabilities: Tensor) -> Callable[[Tensor], Tensor]:
        watched.products.append(self.keys.dtype)
        return hessian(self, probabilities)

    monkeypatch.setattr(kind, "value_and_gradient", value_and_gradient)
    monkeypatch.setattr(kind, "hessian", curvature)
    return watched


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("slots_for_sketch", [1, 10**9])
@pytest.mark.parametrize("halves", [True, False])
def test_large_problems_end_within_single_precision(
    exclusive: bool, slots_for_sketch: int, halves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = softmax(600, 16, 10, exclusive).to(torch.float32)._replace(weight_decay=1.0)
    exact = minimise(objective, torch.zeros(1, 10, 16), 1e-10).weight
    single_precision(monkeypatch)
    sketch_from(monkeypatch, slots_for_sketch)
    monkeypatch.setattr(newton, "_multiplies_halves", lambda: halves)  # every processor does, some slowly
    watched = watch(monkeypatch, LogisticObjective)
    found = minimise(objective, torch.zeros(1, 10, 16), 1e-10)
    assert set(watched.looks) == {torch.float32}
    assert set(watched.products) == {torch.bfloat16 if halves else torch.float32}
    assert len(watched.looks) < 20
    assert (found.sketch is not None) == (slots_for_sketch == 1)
    rounding = newton.ROUNDING * torch.finfo(torch.float32).eps * 600
    assert found.point.gradient.norm() <= rounding
    assert length(objective.to(torch.float64), found.weight.double()) < 2 * rounding
    same(found.weight.double(), exact, 2 * rounding)  # the curvature is at least 1


def test_where_half_precision_is_not_enough_single_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    single_precision(monkeypatch)
    objective = softmax(60, 16, 6).to(torch.float32)
    keys = torch.eye(16)[torch.arange(60) % 16][None]
    objective = objective._replace(keys=torch.cat([keys, keys[..., :1] * 0 + 0.5], 2), weight_decay=1e-7)
    lengths, precisions = [], []
    for halves in (False, True):
        monkeypatch.setattr(newton, "_multiplies_halves", lambda halves=halves: halves)
        with monkeypatch.context() as patch:
            watched = watch(patch, LogisticObjective)
            found = minimise(objective, torch.randn(1, 6, 17), 1e-10).weight
        precisions.append(set(watched.products))
        lengths.append(float(length(objective.to(torch.float64), found.double())))
    assert precisions == [{torch.float32}, {torch.bfloat16, torch.float32}]
    assert lengths[1] < 3 * lengths[0] + newton.ROUNDING * torch.finfo(torch.float32).eps * 60


@pytest.mark.parametrize(
    ("avx512", "instructions", "library", "expected"),
    [(True, True, True, True), (True, False, True, False), (False, False, True, True), (True, True, False, False)],
    ids=["x86 with instructions", "x86 that would emulate them", "another processor", "no library"],
)
def test_half_precision_is_for_processors_with_instructions_for_it(
    avx512: bool, instructions: bool, library: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: library)
    if library:
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    else:
        monkeypatch.delattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", raising=False)
    assert newton._multiplies_halves.__wrapped__() is expected


@pytest.mark.parametrize("single", [False, True])
def test_a_point_to_start_from_is_not_looked_at(single: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if single:
        single_precision(monkeypatch)
    objective = problem(quadratic=False)
    objective = objective.to(torch.float32) if single else objective
    weight = torch.randn(B, V, K, dtype=objective.keys.dtype)
    point = Point(weight, *objective.value_and_gradient(weight))
    watched = watch(monkeypatch, Sum)
    expected = minimise(objective, weight, 1e-10)
    looks = len(watched.looks)
    found = minimise(objective, point, 1e-10)
    assert len(watched.looks) == 2 * looks - 1
    torch.testing.assert_close(found.point, expected.point, atol=0, rtol=0)
    watched.looks.clear()
    solved = minimise(objective, found.point, float(found.point.gradient.norm()) + 1e-9)
    assert not watched.looks
    torch.testing.assert_close(solved.point, found.point, atol=0, rtol=0)


def test_the_rounding_of_a_sum_makes_no_step_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = watch(monkeypatch, LogisticObjective)
    for _ in range(200):
        watched.looks.clear()
        objective = softmax(8, 5, 3, exclusive=False)
        objective = objective._replace(weights=20 * objective.weights, weight_decay=1.0)
        found = minimise(objective, torch.zeros(1, 3, 5, dtype=torch.float64), 1e-12)
        assert len(watched.looks) < 20
        assert found.point.gradient.norm() <= 1e-12


@pytest.mark.parametrize("quadratic", [True, False])
def test_gradients_through_the_minimum_are_those_of_finite_differences(quadratic: bool) -> None:
    objective = problem(quadratic, batch=2)

    def minimum(keys: Tensor, targets: Tensor) -> Tensor:
        now = objective._replace(keys=keys, targets=targets)
        return implicit(now, least(now.detach(), start(2), 1e-13))

    inputs: Any = (objective.keys.requires_grad_(), objective.targets.requires_grad_())
    assert torch.autograd.gradcheck(minimum, inputs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_gradient_that_comes_back_is_left_as_it_is(exclusive: bool) -> None:
    objective = softmax(exclusive=exclusive)
    found = least(objective, torch.zeros(1, 5, 8, dtype=torch.float64), 1e-10)
    outer = torch.randn(1, 5, 8, dtype=torch.float64)
    before = outer.clone()
    implicit(objective._replace(keys=objective.keys.requires_grad_()), found).backward(outer)
    assert torch.equal(outer, before)


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
