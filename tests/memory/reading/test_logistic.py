import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from mann_hf.errors import InvalidInputError
from mann_hf.memory import KeyValueMemory, KeyValueState, newton
from mann_hf.memory.reading import MULTI_LABEL, SINGLE_LABEL, LogisticReading, Solution
from mann_hf.memory.reading.logistic import LogisticObjective, _carried
from mann_hf.memory.reading.logistic_blocks import BlockwiseLogistic
from mann_hf.memory.state import concatenate

K, V, Q = 4, 3, 6
MakeState = Callable[..., KeyValueState]

every_problem = pytest.mark.parametrize("problem_type", LogisticReading.problem_types)


def same(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


def build(problem_type: str = SINGLE_LABEL, key_size: int = K, **kwargs) -> LogisticReading:
    return LogisticReading(key_size, problem_type, sharpness=1.0, **kwargs).double()


def features(keys: Tensor, problem_type: str, constant: float = 0.5) -> np.ndarray:
    """Unit keys of one episode, with a constant behind them."""
    unit = keys[0].numpy() / np.linalg.norm(keys[0].numpy(), axis=1, keepdims=True).clip(1e-12)
    return np.c_[unit, np.full(len(unit), 1.0 if problem_type == MULTI_LABEL else constant)]


def fitted(x: np.ndarray, labels: np.ndarray, counts: np.ndarray, strength: float) -> LogisticRegression:
    model = LogisticRegression(C=strength, fit_intercept=False, tol=1e-12, max_iter=100_000)
    return model.fit(x, labels, sample_weight=counts)


@pytest.mark.parametrize(("example_weight", "weight_decay"), [(10.0, 1.0), (3.0, 2.0), (200.0, 0.5)])
def test_single_labels_are_fitted_as_scikit_learn_fits_them(
    example_weight: float, weight_decay: float, random_state: MakeState
) -> None:
    state = random_state(slots=14)
    used = state.mask[0]
    queries = torch.randn(1, Q, K, dtype=torch.float64)
    reading = build(example_weight=example_weight, weight_decay=weight_decay)
    model = fitted(
        features(state.keys[:, used], SINGLE_LABEL),
        state.values[0, used].argmax(1).numpy(),
        state.write_count[0, used].numpy(),
        example_weight / weight_decay,
    )
    expected = torch.from_numpy(model.decision_function(features(queries, SINGLE_LABEL)))
    same(reading(reading.solve(state), queries)[0], expected, 1e-4)


@pytest.mark.parametrize("constant", [0.0, 0.5, 3.0])
def test_the_constant_is_a_decayed_intercept(constant: float, random_state: MakeState) -> None:
    state = random_state(slots=14)
    used = state.mask[0]
    queries = torch.randn(1, Q, K, dtype=torch.float64)
    model = fitted(
        features(state.keys[:, used], SINGLE_LABEL, constant),
        state.values[0, used].argmax(1).numpy(),
        state.write_count[0, used].numpy(),
        10.0,
    )
    expected = torch.from_numpy(model.decision_function(features(queries, SINGLE_LABEL, constant)))
    reading = build(constant=constant)
    solution = reading.solve(state)
    same(reading(solution, queries)[0], expected, 1e-4)
    nothing = reading(solution, torch.zeros(1, 1, K, dtype=torch.float64))[0, 0]  # a query that resembles nothing
    same(nothing, constant * solution.parts.weight[0, :, -1], 1e-9)
    assert (nothing.abs().max() > 1e-3) == (constant > 0)


def test_two_labels_have_a_weight_each(random_state: MakeState) -> None:
    state = random_state(slots=10, labels=2)
    used = state.mask[0]
    queries = torch.randn(1, Q, K, dtype=torch.float64)
    reading = build()
    # scikit-learn has one weight w for two labels; here they are -w/2 and w/2, whose decay is half that of w
    model = fitted(
        features(state.keys[:, used], SINGLE_LABEL),
        state.values[0, used].argmax(1).numpy(),
        state.write_count[0, used].numpy(),
        2 * 10.0,
    )
    logits = reading(reading.solve(state), queries)[0]
    expected = torch.from_numpy(model.decision_function(features(queries, SINGLE_LABEL)))
    same(logits[:, 1] - logits[:, 0], expected, 1e-4)
    same(logits.sum(1), torch.zeros(Q).double(), 1e-7)


def test_several_labels_are_as_many_regressions_with_a_constant_feature(random_state: MakeState) -> None:
    state = random_state(slots=14, problem_type=MULTI_LABEL)
    used = state.mask[0]
    queries = torch.randn(1, Q, K, dtype=torch.float64)
    reading = build(MULTI_LABEL)
    logits = reading(reading.solve(state), queries)[0]
    for column in range(V):
        model = fitted(
            features(state.keys[:, used], MULTI_LABEL),
            state.values[0, used, column].numpy(),
            state.write_count[0, used].numpy(),
            10.0,
        )
        same(logits[:, column], torch.from_numpy(model.decision_function(features(queries, MULTI_LABEL))), 1e-4)


def gradient(state: KeyValueState, weight: Tensor, reading: LogisticReading) -> np.ndarray:
    """Of the objective of one episode, slot by slot; it is zero at the optimum and, that being convex, only there."""
    result = reading.weight_decay * weight[0].double().numpy()
    state = state.select(state.mask[0].nonzero()[:, 0])
    for x, value, count in zip(
        features(state.keys.double(), reading.problem_type),
        state.values[0].double().numpy(),
        state.write_count[0].tolist(),
        strict=True,
    ):
        scores = weight[0].double().numpy() @ x
        if reading.problem_type == MULTI_LABEL:
            guess = 1 / (1 + np.exp(-scores))
        else:
            guess = np.exp(scores - scores.max())
            guess /= guess.sum()
        result += reading.example_weight * count * np.outer(guess - value, x)
    return result


@every_problem
@pytest.mark.parametrize("example_weight", [0.01, 10.0, 1e4])
def test_the_gradient_is_zero_where_it_ends(problem_type: str, example_weight: float, random_state: MakeState) -> None:
    state = random_state(slots=14, problem_type=problem_type)
    reading = build(problem_type, example_weight=example_weight)
    weight = reading.solve(state).parts.weight
    assert np.linalg.norm(gradient(state, weight, reading)) < 1e-6 * max(1, example_weight)


def test_planted_keys_have_known_answers() -> None:
    """One slot of each label on its own axis: W is a·I less its mean over the labels, and a solves one equation."""
    memory = KeyValueMemory(2, 2)
    state = memory.write(memory.initial_state(dtype=torch.float64), 5 * torch.eye(2)[None], torch.eye(2)[None])
    a = 1.0
    for _ in range(200):  # 2a = 10 (1 - p) at p = 1 / (1 + exp(-2a)): each weight is half the difference
        a += 0.1 * (10 / (1 + math.exp(2 * a)) - a)
    reading = build(key_size=2)
    solution = reading.solve(state)
    same(solution.parts.weight[0, :, :2], a * torch.tensor([[1.0, -1], [-1, 1]]).double(), 1e-7)
    same(reading(solution, torch.tensor([[[3.0, 0]]]).double())[0, 0], torch.tensor([a, -a]).double(), 1e-7)


def test_more_examples_of_a_label_make_it_likelier() -> None:
    memory = KeyValueMemory(2, 2)
    keys = torch.tensor([[[1.0, 0], [1.0, 0]]])
    state = memory.write(memory.initial_state(), keys, torch.eye(2)[None])
    state = state._replace(write_count=torch.tensor([[3, 1]]))
    probabilities = LogisticReading(2, sharpness=1.0, example_weight=1e4)
    answer = probabilities(probabilities.solve(state), keys[:, :1]).softmax(-1)
    same(answer[0, 0], torch.tensor([0.75, 0.25]), 1e-3)


def test_the_constant_feature_tells_how_common_a_label_is() -> None:
    memory = KeyValueMemory(2, 2)
    keys = torch.tensor([[[1.0, 0], [-1, 0], [0, 1], [0, -1]]])
    values = torch.tensor([[[1.0, 0], [1, 0], [1, 0], [1, 1]]])
    state = memory.write(memory.initial_state(), keys, values)
    reading = LogisticReading(2, MULTI_LABEL)
    answer = reading(reading.solve(state), torch.zeros(1, 1, 2)).sigmoid()[0, 0]  # a query that resembles nothing
    assert answer[0] > 0.8 and answer[1] < 0.5


def clustered(slots: int, key_size: int, labels: int, problem_type: str, noise: float = 1.5) -> KeyValueState:
    """A memory of labels that overlap, with a few examples of two labels where that may be."""
    label = torch.arange(slots) % labels
    keys = torch.randn(labels, key_size)[label] + noise * torch.randn(slots, key_size)
    values = torch.eye(labels)[label]
    if problem_type == MULTI_LABEL:
        values[::7] += values[::7].roll(1, 1)
    memory = KeyValueMemory(key_size, labels)
    return memory.write(memory.initial_state(), keys[None], values[None])


@every_problem
@pytest.mark.parametrize(("slots", "key_size", "labels"), [(30, 4, 3), (300, 16, 10), (1200, 32, 12)])
def test_a_warm_start_ends_where_a_cold_one_ends(problem_type: str, slots: int, key_size: int, labels: int) -> None:
    state = clustered(slots, key_size, labels, problem_type)
    queries = torch.randn(1, 100, key_size)
    reading = LogisticReading(key_size, problem_type)

    def answer(start_at: KeyValueState | None) -> Tensor:
        start = None if start_at is None else reading.solve(start_at)
        logits = reading(reading.solve(state, start=start), queries)
        return logits.sigmoid() if problem_type == MULTI_LABEL else logits.softmax(-1)

    cold = answer(None)
    fewer = state.select(torch.arange(slots - 3))
    for start_at in (
        fewer,
        state.select(torch.arange(slots // 2)),
        state._replace(values=state.values.roll(1, 2)),
        fewer._replace(values=fewer.values[..., :-1]),
        fewer._replace(values=torch.nn.functional.pad(fewer.values, (0, 2))),
    ):
        torch.testing.assert_close(answer(start_at), cold, atol=1e-6, rtol=0)


@every_problem
def test_few_examples_have_the_same_scores_to_the_last_bit_wherever_the_solve_starts(problem_type: str) -> None:
    """In single precision, as models read them."""
    torch.manual_seed(0)
    memory, reading = KeyValueMemory(32, V), LogisticReading(32, problem_type, sharpness=1.0)
    keys, labels, queries = torch.randn(1, 40, 32), torch.arange(40) % V, torch.randn(1, 16, 32)
    values = torch.nn.functional.one_hot(labels, V).float()[None]
    state, solution = memory.initial_state(1, "cpu", torch.float32), None
    with torch.no_grad():
        for few in torch.arange(40).split(4):
            state = memory.write(state, keys[:, few], values[:, few])
            solution = reading.solve(state, start=solution)
            assert torch.equal(reading(solution, queries), reading(reading.solve(state), queries))


@every_problem
def test_the_order_of_the_slots_changes_nothing(problem_type: str, random_state: MakeState) -> None:
    state = random_state(slots=30, problem_type=problem_type).to(torch.float32)
    queries = torch.randn(1, 50, K)
    reading = build(problem_type).float()
    expected = reading(reading.solve(state), queries)
    for _ in range(3):
        order = torch.randperm(30)
        start = reading.solve(state.select(order[:20]))
        same(reading(reading.solve(state.select(order), start=start), queries), expected, 2e-6)


def as_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets small memories be solved with the means for large ones."""
    for name in ("SINGLE_CURVATURE_FROM", "SINGLE_GRADIENT_FROM"):
        assert getattr(newton, name) > 0
        monkeypatch.setattr(newton, name, 0)


class Work:
    """Counts looks at whole objectives, and their products with the Hessian."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
        self.looks = self.products = 0
        for kind in (LogisticObjective, BlockwiseLogistic):
            self._watch(kind, monkeypatch, slots)

    def _watch(self, kind: Any, monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
        look, hessian = kind.value_and_gradient, kind.hessian

        def value_and_gradient(objective: Any, weight: Tensor) -> tuple[Tensor, Tensor, Any]:
            self.looks += objective.keys.shape[1] >= slots
            return look(objective, weight)

        def counted(objective: Any, probabilities: Any) -> Callable[[Tensor], Tensor]:
            product = hessian(objective, probabilities)

            def counting(direction: Tensor) -> Tensor:
                self.products += 1
                return product(direction)

            return counting

        monkeypatch.setattr(kind, "value_and_gradient", value_and_gradient)
        monkeypatch.setattr(kind, "hessian", counted)

    def taken(self) -> tuple[int, int]:
        """Looks and products since the last call."""
        looks, products = self.looks, self.products
        self.looks = self.products = 0
        return looks, products


@every_problem
@pytest.mark.parametrize("means", ["for small ones", "a sketch", "for large ones"])
def test_a_warm_start_takes_less_work(problem_type: str, means: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if means != "for small ones":
        monkeypatch.setattr(newton, "SKETCH_FROM", 1)
    if means == "for large ones":
        as_large_ones(monkeypatch)
    state = clustered(1000, 64, 20, problem_type, noise=1.0)
    reading = LogisticReading(64, problem_type)
    every = torch.arange(1000)
    work = Work(monkeypatch, 900)
    reading.solve(state)
    cold_looks, cold_products = work.taken()
    for start_at in (
        state.select(every[:-2]),  # two are new
        concatenate(state, state.select(every[:2])._replace(ids=torch.tensor([[5000, 5001]]))),  # two are gone
        state.select(torch.cat([every[:400], every[402:]])),  # two are new in the middle
    ):
        start = reading.solve(start_at)
        work.taken()
        reading.solve(state, start=start)
        looks, products = work.taken()
        assert 0 < looks < (1.0 if means == "for small ones" else 0.75) * cold_looks
        assert 0 < products < 0.85 * cold_products
    start = reading.solve(state)
    work.taken()
    reading.solve(state._replace(usage=state.usage + 1, age=state.age + 1), start=start)
    assert work.taken() == (0, 0)  # nothing has changed that is solved for


@every_problem
def test_a_rough_solve_takes_less_work(problem_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = clustered(300, 32, 20, problem_type)
    reading = LogisticReading(32, problem_type, example_weight=3.0)
    work = Work(monkeypatch, 300)
    reading.solve(state)
    looks, products = work.taken()
    rough = reading.solve(state, rough=True)
    fewer_looks, fewer_products = work.taken()
    assert 0 < fewer_looks < looks and fewer_products < 0.7 * products
    left = np.linalg.norm(gradient(state, rough.parts.weight, reading))
    assert 1e-6 * state.slots < left < 1.01e-3 * reading.example_weight * state.slots


def carried_as_it_is(start: Solution, now: Solution) -> bool:
    """Whether anything is carried over; if so, it is what a look at the objective gives."""
    objective = now.parts.objective.detach()
    carried = _carried(start, objective, now.state.ids)
    if carried is None:
        return False
    weight = start.parts.minimum.point.weight
    assert torch.equal(carried.weight, weight)
    value, slope, probabilities = objective.to(torch.float64).value_and_gradient(weight)
    same(carried.value, value, 1e-10)
    same(carried.gradient, slope, 1e-10)
    same(carried.probabilities, probabilities, 1e-10)
    return True


NEW_IDS = torch.tensor([[900, 901, 902]])
CHANGES: dict[str, Callable[[KeyValueState], KeyValueState]] = {
    "nothing": lambda state: state,
    "its use": lambda state: state._replace(usage=state.usage + 1, age=state.age + 2),
    "one more": lambda state: concatenate(state, others(state, 1)),
    "three more": lambda state: concatenate(state, others(state, 3)),
    "one more in front": lambda state: concatenate(others(state, 1), state),
    "one more in the middle": lambda state: concatenate(
        state.select(torch.arange(20)), others(state, 1), state.select(torch.arange(20, 40))
    ),
    "the first gone": lambda state: state.select(torch.arange(1, 40)),
    "one gone in the middle": lambda state: state.select((torch.arange(40) != 17).nonzero()[:, 0]),
    "the last three gone": lambda state: state.select(torch.arange(37)),
    "another in its place": lambda state: concatenate(
        state.select(torch.arange(30)), others(state, 1), state.select(torch.arange(31, 40))
    ),
    "others in the places of three": lambda state: concatenate(state.select(torch.arange(37)), others(state, 3)),
    "three gone and one more": lambda state: concatenate(state.select(torch.arange(37)), others(state, 1)),
    "one gone near the end and one more": lambda state: concatenate(
        state.select((torch.arange(40) != 35).nonzero()[:, 0]), others(state, 1)
    ),
}
TOO_MUCH: dict[str, Callable[[KeyValueState], KeyValueState]] = {
    "a label more": lambda state: state._replace(values=torch.nn.functional.pad(state.values, (0, 1))),
    "a label less": lambda state: state._replace(values=state.values[..., :-1]),
    "a slot that counts for more": lambda state: state._replace(write_count=state.write_count + (state.ids == 7)),
    "a closed slot": lambda state: state._replace(mask=state.mask & (state.ids != 7)),
    "another key": lambda state: state._replace(keys=state.keys + 0.1 * (state.ids == 7)[..., None]),
    "another value": lambda state: state._replace(
        values=torch.where((state.ids == 7)[..., None], state.values.roll(1, 2), state.values)
    ),
    "the first gone and another key": lambda state: state.select(torch.arange(1, 40))._replace(
        keys=(state.keys + 0.1 * (state.ids == 30)[..., None])[:, 1:]
    ),
    "eleven gone": lambda state: state.select(torch.arange(29)),
    "the first and the last gone": lambda state: state.select(torch.arange(1, 39)),
    "another order": lambda state: state.select(torch.arange(40).flip(0)),
    "other ids": lambda state: state._replace(ids=state.ids + 1),
    "none left": lambda state: state.select(torch.arange(0)),
    "two episodes": lambda state: KeyValueState(*(torch.cat([field, field]) for field in state)),
}


def others(state: KeyValueState, count: int) -> KeyValueState:
    """Slots that `state` does not hold."""
    new = state.select(torch.arange(count))
    return new._replace(keys=torch.randn_like(new.keys), values=new.values.roll(1, 2), ids=NEW_IDS[:, :count])


@every_problem
@pytest.mark.parametrize("change", CHANGES)
def test_what_has_not_changed_is_carried_over(problem_type: str, change: str) -> None:
    state = clustered(40, 6, 4, problem_type).to(torch.float64)
    reading = build(problem_type, 6)
    start, now = reading.solve(state), reading.solve(CHANGES[change](state))
    assert carried_as_it_is(start, now)
    assert carried_as_it_is(reading.solve(state, rough=True), now)


@every_problem
@pytest.mark.parametrize("change", TOO_MUCH)
def test_what_is_not_the_same_is_not_carried_over(problem_type: str, change: str) -> None:
    state = clustered(40, 6, 4, problem_type).to(torch.float64)
    reading = build(problem_type, 6)
    start, now = reading.solve(state), reading.solve(TOO_MUCH[change](state))
    assert not carried_as_it_is(start, now)
    assert not carried_as_it_is(now, start)


@every_problem
def test_nothing_is_carried_over_to_other_settings(problem_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = clustered(40, 6, 4, problem_type)
    start = build(problem_type, 6).solve(state)
    for settings in ({"example_weight": 3.0}, {"weight_decay": 2.0}):
        assert not carried_as_it_is(start, build(problem_type, 6, **settings).solve(state))
    other = build(problem_type, 6, constant=2.0).solve(state)  # several labels have a constant of their own
    assert carried_as_it_is(start, other) == (problem_type == MULTI_LABEL)
    now = build(problem_type, 6).solve(state)
    assert carried_as_it_is(start, now)
    as_large_ones(monkeypatch)
    assert not carried_as_it_is(start, now)  # whose gradients would be of another precision


@every_problem
@pytest.mark.parametrize("large", [False, True])
def test_a_long_life_ends_where_a_cold_start_ends(
    problem_type: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        as_large_ones(monkeypatch)
        monkeypatch.setattr(newton, "SKETCH_FROM", 60)
        monkeypatch.setattr(newton, "SKETCH_SLOTS_AN_OUTPUT", 1)
    memory = KeyValueMemory(8, 5)
    state = clustered(80, 8, 5, problem_type)
    state = state if large else state.to(torch.float64)
    reading = LogisticReading(8, problem_type).to(state.keys.dtype)
    squash = torch.sigmoid if problem_type == MULTI_LABEL else lambda scores: scores.softmax(-1)
    work = Work(monkeypatch, 40)
    solution, looks, cold_looks = reading.solve(state), 0, 0
    for step in range(30):
        if torch.rand(()) < 0.5:
            count = int(torch.randint(1, 4, ()))
            keys, label = torch.randn(1, count, 8), torch.randint(5, (count,))
            state = memory.write(
                state, keys, torch.eye(5)[label][None], torch.tensor([[500 + 10 * step + n for n in range(count)]])
            )
        else:
            few = torch.randperm(state.slots)[: int(torch.randint(1, 4, ()))]
            state = memory.forget(state, state.ids[0, few])
        work.taken()
        solution = reading.solve(state, start=solution)
        looks += work.taken()[0]
        cold = reading.solve(state)
        cold_looks += work.taken()[0]
        answers = [squash(reading.scores(found, state.keys)) for found in (solution, cold)]
        torch.testing.assert_close(*answers, atol=1e-4 if large else 1e-7, rtol=0)
    assert looks < 0.9 * cold_looks


@every_problem
def test_what_was_solved_in_inference_mode_can_be_trained_with(problem_type: str, random_state: MakeState) -> None:
    state, reading = random_state(slots=30, problem_type=problem_type), build(problem_type)
    with torch.inference_mode():
        start = reading.solve(state)
    queries = torch.randn(1, Q, K, dtype=torch.float64, requires_grad=True)
    reading(reading.solve(state, start=start), queries).sum().backward()
    assert queries.grad is not None and queries.grad.abs().max() > 0


HARD: dict[str, dict[str, Any]] = {
    "contradictions": {"example_weight": 1e6},
    "certainty": {"example_weight": 1e8},
    "hardly any weight": {"example_weight": 1e-6},
    "hardly any decay": {"weight_decay": 1e-7},
    "a tolerance below rounding": {"tolerance": 1e-300},
    "a tolerance above everything": {"tolerance": 1e9},
}


@every_problem
@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_hard_memories_are_solved_in_time(
    problem_type: str, case: str, dtype: torch.dtype, random_state: MakeState
) -> None:
    state = random_state(slots=24, problem_type=problem_type).to(dtype)
    if case == "contradictions":
        state = state._replace(keys=torch.ones_like(state.keys))
    reading = build(problem_type, **HARD[case]).to(dtype)
    began = time.process_time()
    solution = reading.solve(state)
    assert time.process_time() - began < 5
    assert solution.parts.weight.isfinite().all()
    left = np.linalg.norm(gradient(state, solution.parts.weight, reading))
    first = np.linalg.norm(gradient(state, torch.zeros_like(solution.parts.weight), reading))
    if case != "a tolerance above everything":
        assert left < max(1e-4 * first, reading.tolerance * state.slots)
    if case == "contradictions" and problem_type == SINGLE_LABEL:
        counts = (state.values * (state.write_count * state.mask)[..., None]).sum(1)
        share = (counts / counts.sum()).to(dtype)
        answer = reading(solution, state.keys[:, :1])[:, 0].softmax(-1)
        same(answer, share, 1e-3)


@every_problem
@pytest.mark.parametrize("keys", ["clustered", "all alike", "alike for two labels", "zero", "of one entry"])
@pytest.mark.parametrize("case", ["certainty", "hardly any decay", "a tolerance below rounding"])
def test_the_means_for_large_memories_never_fail(
    problem_type: str, keys: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_large_ones(monkeypatch)
    state = clustered(60, 16, 6, problem_type)
    state = state._replace(
        keys={
            "clustered": state.keys,
            "all alike": torch.ones_like(state.keys),
            "alike for two labels": state.keys[:, torch.arange(60) // 2 * 2],
            "zero": torch.zeros_like(state.keys),
            "of one entry": torch.eye(16)[torch.arange(60) % 16][None],
        }[keys]
    )
    reading = LogisticReading(16, problem_type, **HARD[case])
    start = reading.solve(state.select(torch.arange(59)))
    for solution in (start, reading.solve(state, start=start)):
        weight = solution.parts.weight
        assert weight.isfinite().all()
        scale = reading.example_weight * solution.state.slots  # about the gradient's length where nothing is known
        assert np.linalg.norm(gradient(solution.state, weight, reading)) < 1e-4 * scale


@every_problem
def test_single_precision_ends_and_comes_close(
    problem_type: str, random_state: MakeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = random_state(slots=400, key_size=16, labels=10, problem_type=problem_type).to(torch.float32)
    queries = torch.randn(1, 50, 16)
    reading = LogisticReading(16, problem_type, sharpness=1.0)
    expected = reading(reading.solve(state), queries)
    as_large_ones(monkeypatch)
    began = time.process_time()
    actual = reading(reading.solve(state), queries)
    assert time.process_time() - began < 5
    same(actual, expected, 1e-4)
    assert not torch.equal(actual, expected)  # or this was solved in double precision


@every_problem
def test_gradients_in_single_precision_are_those_in_double(problem_type: str, random_state: MakeState) -> None:
    state = random_state(slots=20, problem_type=problem_type)
    queries, outer = torch.randn(1, Q, K, dtype=torch.float64), torch.randn(1, Q, V, dtype=torch.float64)
    gradients = []
    for dtype in (torch.float64, torch.float32):
        keys = state.keys.to(dtype, copy=True).requires_grad_()
        reading = build(problem_type).to(dtype)
        solution = reading.solve(state.to(dtype)._replace(keys=keys))
        reading(solution, queries.to(dtype)).backward(outer.to(dtype))
        assert keys.grad is not None
        gradients.append(keys.grad.double())
    assert gradients[0].abs().max() > 1e-2
    same(gradients[1], gradients[0], 1e-4)


@pytest.mark.parametrize("problem_type", LogisticReading.problem_types)
@pytest.mark.parametrize("seed", range(6))
def test_gradients_of_episodes_side_by_side_are_those_of_each_alone(problem_type: str, seed: int) -> None:
    """With keys close together and other numbers of slots, of which some are solved long before others."""
    generator = torch.Generator().manual_seed(seed)
    size, slots, counts = 32, 9, torch.tensor([3, 9, 6, 3])
    common = 3 * torch.randn(size, generator=generator)
    keys = common + torch.randn(4, slots + 6, size, generator=generator)
    mask = torch.arange(slots) < counts[:, None]
    labels = torch.nn.functional.one_hot(torch.arange(slots + 6) % 3, 3)
    rules, reading = KeyValueMemory(size, 3), build(problem_type, size)

    def gradient_of(rows: list[int], dtype: torch.dtype) -> Tensor:
        wanting = keys[rows].to(dtype).requires_grad_()
        state = rules.initial_state(len(rows), dtype=dtype)
        values = labels[:slots].expand(len(rows), -1, -1)
        state = rules.write(state, wanting[:, :slots], values.to(dtype), mask=mask[rows])
        scores = reading.scores(reading.solve(state), wanting[:, slots:])
        (scores.log_softmax(-1) * labels[slots:]).sum().backward()
        assert wanting.grad is not None
        return wanting.grad

    alone = torch.cat([gradient_of([row], torch.float64) for row in range(4)])
    together = gradient_of([0, 1, 2, 3], torch.float32)
    same(together.double(), alone, 1e-4)


def test_training_moves_keys_to_where_the_answers_are_right() -> None:
    memory, reading = KeyValueMemory(K, V), LogisticReading(K)
    values = torch.eye(V)[torch.arange(9) % V][None]
    keys, queries = torch.randn(1, 9, K).requires_grad_(), torch.randn(1, 9, K)
    optimiser = torch.optim.SGD([keys], lr=3.0)
    losses = []
    for _ in range(15):
        logits = reading(reading.solve(memory.write(memory.initial_state(), keys, values)), queries)
        loss = torch.nn.functional.cross_entropy(logits[0], torch.arange(9) % V)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_second_derivatives_are_refused(random_state: MakeState) -> None:
    state = random_state()
    keys = state.keys.clone().requires_grad_()
    reading = build()
    logits = reading(reading.solve(state._replace(keys=keys)), torch.randn(1, Q, K).double())
    with pytest.raises(InvalidInputError, match="second derivatives; call backward without create_graph"):
        torch.autograd.grad(logits.square().sum(), keys, create_graph=True)


def test_where_no_gradient_is_asked_none_is_kept(random_state: MakeState) -> None:
    state, reading = random_state(), build()
    assert not reading.solve(state).parts.weight.requires_grad
    with torch.no_grad():
        assert not reading.solve(state._replace(keys=state.keys.requires_grad_())).parts.weight.requires_grad


@pytest.mark.parametrize("name", ["example_weight", "weight_decay", "tolerance"])
@pytest.mark.parametrize("number", [0.0, -1.0, float("nan")])
def test_settings_out_of_range_are_refused(name: str, number: float) -> None:
    with pytest.raises(InvalidInputError, match=f"{name.removeprefix('example_')}.* {number}.*; all must be above 0"):
        LogisticReading(K, **{name: number})


@pytest.mark.parametrize("problem_type", LogisticReading.problem_types)
@pytest.mark.parametrize("constant", [-0.5, float("nan"), float("inf"), -float("inf")])
def test_a_constant_that_is_no_finite_number_is_refused(constant: float, problem_type: str) -> None:
    with pytest.raises(InvalidInputError, match=f"constant is {constant}; it must be a finite number, 0 for no"):
        LogisticReading(K, problem_type, constant=constant)
