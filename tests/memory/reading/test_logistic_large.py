"""The logistic reading of large memories against that of small ones, which is tested against scikit-learn."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mann_hf.memory import KeyValueMemory, KeyValueState, newton
from mann_hf.memory.addressing import unit
from mann_hf.memory.newton import Point
from mann_hf.memory.reading import (
    MULTI_LABEL,
    SINGLE_LABEL,
    LogisticReading,
    Solution,
    logistic_blocks,
    logistic_large,
    logistic_updates,
)
from mann_hf.memory.reading.logistic import LogisticObjective
from mann_hf.memory.reading.logistic_blocks import BlockwiseLogistic, as_columns, objective_of
from mann_hf.memory.reading.logistic_large import LargeParts
from mann_hf.memory.reading.logistic_updates import Run, kept_runs
from mann_hf.memory.state import concatenate

K, V = 6, 8
every_problem = pytest.mark.parametrize("problem_type", LogisticReading.problem_types)
exclusive_or_not = pytest.mark.parametrize("exclusive", [True, False])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks for a few slots."""
    monkeypatch.setattr(
        logistic_blocks,
        "blocks",
        lambda slots, outputs, device: (slice(at, min(at + 33, slots)) for at in range(0, slots, 33)),
    )
    monkeypatch.setattr(logistic_updates, "blocks", logistic_blocks.blocks)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets small memories be solved as large ones are."""
    monkeypatch.setattr(newton, "SINGLE_CURVATURE_FROM", 0)
    monkeypatch.setattr(newton, "SINGLE_GRADIENT_FROM", 0)
    monkeypatch.setattr(logistic_large, "THINNED_FROM", 15)
    for name in ("FEW_OUTPUTS", "SOME_OUTPUTS"):
        monkeypatch.setattr(logistic_updates, name, 1.0)


def memory_of(slots: int, problem_type: str = SINGLE_LABEL, noise: float = 1.0, seed: int = 0) -> KeyValueState:
    """Labels that overlap; keys of many lengths, one of them zero; slots that count for several, and an empty one."""
    draw = torch.Generator().manual_seed(seed)
    label = torch.arange(slots) % V
    keys = torch.randn(V, K, generator=draw)[label] + noise * torch.randn(slots, K, generator=draw)
    keys *= 10 ** torch.randn(slots, 1, generator=draw)
    keys[3] = 0
    values = torch.eye(V)[label]
    if problem_type == MULTI_LABEL:
        values[::7] += values[::7].roll(1, 1)
    memory = KeyValueMemory(K, V)
    ids = torch.randperm(10 * slots, generator=draw)[None, :slots]
    state = memory.write(memory.initial_state(), keys[None], values[None], ids)
    return state._replace(
        write_count=torch.randint(1, 4, (1, slots), generator=draw), mask=state.mask & (torch.arange(slots) != 5)
    )


def both(slots: int = 40, exclusive: bool = True) -> tuple[BlockwiseLogistic, LogisticObjective]:
    """The same objective in blocks and at once."""
    state = memory_of(slots, SINGLE_LABEL if exclusive else MULTI_LABEL).to(torch.float64)
    weights = 10 * (state.write_count * state.mask).double()[..., None]
    keys = torch.cat([unit(state.keys), torch.full_like(state.keys[..., :1], 0.5)], dim=-1)
    whole = LogisticObjective(keys, state.values, weights, 1.5, exclusive)
    return objective_of(state, weights[0], 0.5, 1.5, exclusive), whole


def same(actual: Any, expected: Any, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


@exclusive_or_not
@pytest.mark.parametrize("targets", ["columns", "rows"])
def test_blocks_give_what_the_whole_gives(exclusive: bool, targets: str) -> None:
    blockwise, whole = both(exclusive=exclusive)
    assert blockwise.targets.dim() == (1 if exclusive else 2)
    if targets == "rows":
        blockwise = blockwise._replace(targets=whole.targets[0])
    weight, direction = torch.randn(2, 1, V, K + 1, dtype=torch.float64)
    value, gradient, margins = blockwise.value_and_gradient(weight)
    expected = whole.value_and_gradient(weight)
    same((value, gradient, margins.probabilities()[None]), expected)
    same(blockwise.hessian(margins)(direction), whole.hessian(expected[2])(direction))
    same(blockwise.curvature_weights(margins), whole.curvature_weights(expected[2]))
    some = torch.tensor([[3, 1], [30, 39]])
    same(blockwise.features(some), whole.features(some))
    same(blockwise.squares(), whole.squares())
    means = (whole.weights * whole.targets).mT @ whole.keys
    same(blockwise.means(), means[0])


@exclusive_or_not
def test_half_precision_is_near(exclusive: bool) -> None:
    blockwise = both(exclusive=exclusive)[0]
    assert blockwise.scale is not None
    single = [field.float() for field in (blockwise.keys, blockwise.scale, blockwise.weights)]
    blockwise = blockwise._replace(keys=single[0], scale=single[1], weights=single[2])
    if not exclusive:
        blockwise = blockwise._replace(targets=blockwise.targets.float())
    half = blockwise.to(torch.bfloat16)
    assert half.keys.dtype == torch.bfloat16 and half.to(torch.bfloat16) is half
    weight, direction = torch.randn(2, 1, V, K + 1)
    margins = blockwise.value_and_gradient(weight)[2]
    exact, rounded = (each.hessian(margins)(direction) for each in (blockwise, half))
    assert 0 < (exact - rounded).norm() < 0.01 * exact.norm()


def test_values_that_are_no_single_label_stay_rows() -> None:
    counts = torch.ones(3, 1)
    assert as_columns(torch.tensor([[0.0, 1], [1, 0], [0, 1]]), counts).tolist() == [1, 0, 1]  # type: ignore[union-attr]
    for row in ([0.5, 0.5], [0.0, 0.0], [1.0, 1.0], [0.0, 2.0]):
        values = torch.tensor([[0.0, 1], row, [0, 1]])
        assert as_columns(values, counts) is None
        assert as_columns(values, torch.tensor([[1.0], [0], [1]])) is not None  # a slot that does not count


@every_problem
@pytest.mark.usefixtures("large")
def test_answers_and_evidence_are_those_of_a_small_memory(problem_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = memory_of(150, problem_type)
    queries, slots = torch.randn(1, 9, K), torch.arange(150)
    reading = LogisticReading(K, problem_type, sharpness=1.0)
    found = reading.solve(state)
    assert isinstance(found.parts, LargeParts)
    with monkeypatch.context() as patch:
        patch.setattr(newton, "SINGLE_GRADIENT_FROM", 10**12)
        exact = reading.solve(state)
    assert not isinstance(exact.parts, LargeParts)
    same(reading(found, queries), reading(exact, queries), 1e-3)
    for column in range(V):
        terms = reading.terms(found, queries, column, slots)
        same(terms, reading.terms(exact, queries, column, slots), 2e-3)
        same(terms.sum(-1), reading(found, queries)[..., column], 1e-2)


@pytest.mark.usefixtures("large")
@every_problem
def test_one_slot_in_so_many_may_be_few_enough_for_double_precision(
    problem_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is solved first of a memory is then of another precision than the memory."""
    state, reading = memory_of(200, problem_type), LogisticReading(K, problem_type)
    monkeypatch.setattr(newton, "SINGLE_GRADIENT_FROM", state.keys.numel() * V // 2)
    found = reading.solve(state)
    assert isinstance(found.parts, LargeParts)
    monkeypatch.setattr(newton, "SINGLE_GRADIENT_FROM", 10**12)
    same(found.parts.weight.double(), reading.solve(state).parts.weight.double(), 1e-3)


@pytest.mark.usefixtures("large")
def test_soft_values_are_solved_for(monkeypatch: pytest.MonkeyPatch) -> None:
    state = memory_of(100)
    state = state._replace(values=(state.values + state.values.roll(1, 1)) / 2)
    reading = LogisticReading(K, sharpness=1.0)
    found = reading.solve(state)
    monkeypatch.setattr(newton, "SINGLE_GRADIENT_FROM", 10**12)
    same(found.parts.weight.double(), reading.solve(state).parts.weight.double(), 1e-3)


@pytest.mark.usefixtures("large")
def test_only_what_nothing_is_trained_through_is_solved_in_blocks() -> None:
    reading, state = LogisticReading(K), memory_of(60)
    assert isinstance(reading.solve(state).parts, LargeParts)
    trained = state._replace(keys=(state.keys + 0.1).requires_grad_())
    solution = reading.solve(trained)
    reading(solution, torch.randn(1, 2, K))[..., 0].sum().backward()
    assert trained.keys.grad is not None and trained.keys.grad.abs().max() > 0
    with torch.no_grad():
        assert isinstance(reading.solve(trained).parts, LargeParts)
    two = KeyValueState(*(torch.cat([field, field]) for field in state))
    assert not isinstance(reading.solve(two).parts, LargeParts)


def slots_of(runs: list[Run], old: Tensor, new: Tensor) -> None:
    """Checks that runs are of the same ids in both, in order."""
    for run in runs:
        assert torch.equal(old[run.old], new[run.new]) and run.old.stop > run.old.start
    assert [run.new.start for run in runs] == sorted(run.new.start for run in runs)


@pytest.mark.parametrize(
    ("new", "kept"),
    [
        (list(range(20)), 20),
        ([*range(20), 30], 20),
        ([30, *range(20)], 20),
        ([*range(12), 30, 31, *range(12, 20)], 20),
        ([*range(7), *range(8, 20)], 19),
        ([*range(7), 19, *range(8, 19)], 18),
        ([*range(7), 17, *range(8, 17), 18, 19], 18),
        ([*range(3), 30, *range(4, 9), 31, *range(10, 20)], 18),
        (list(range(100, 120)), 0),
        ([], 0),
    ],
    ids=["all", "one behind", "one in front", "two between", "one gone", "the last in its place",
         "the last before others in its place", "two in the places of two", "none", "empty"],
)  # fmt: skip
def test_what_two_memories_share_is_found(new: list[int], kept: int) -> None:
    ids, now = torch.arange(20), torch.tensor(new, dtype=torch.int64)
    for old, late in ((ids, now), (now, ids)):
        runs = kept_runs(old, late)
        slots_of(runs, old, late)
        assert sum(run.new.stop - run.new.start for run in runs) == kept


@pytest.mark.parametrize(("exclusive", "known"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("size", [0.1, 3.0, 300.0])
@pytest.mark.parametrize("most_doubt", [0.0, 0.5])
def test_a_step_of_some_outputs_leads_to_what_a_look_finds(
    exclusive: bool, known: bool, size: float, most_doubt: float
) -> None:
    objective, _ = both(60, exclusive)
    weight = torch.randn(1, V, K + 1, dtype=torch.float64)
    weight = weight - weight.mean(1, keepdim=True) if exclusive else weight
    point = Point(weight, *objective.value_and_gradient(weight))
    outputs = torch.tensor([1, 4])
    down = -size * point.gradient[0, outputs] / point.gradient.norm()
    move = logistic_updates._moved_known if known else logistic_updates._moved
    after = move(point, outputs, down, most_doubt, lambda: objective)
    moved = weight.index_add(1, outputs, down[None])
    moved = moved - moved.mean(1, keepdim=True) if exclusive else moved
    value, gradient, margins = objective.value_and_gradient(moved)
    assert (after is None) == (value > point.value).item() == (size == 300.0)
    if after is None:
        return
    same(after.weight, moved)
    same(after.value, value)
    same(after.probabilities.normalisers, margins.normalisers)
    same(after.probabilities.probabilities(), margins.probabilities())
    doubt = after.probabilities.doubt
    assert (after.gradient - gradient).norm() <= doubt + 1e-9
    assert doubt <= most_doubt and (doubt > 0) == (exclusive and most_doubt > 0 and size == 0.1)


@pytest.mark.parametrize("size", [0.1, 3.0])
def test_what_a_step_does_to_most_slots_is_worked_out_in_half_precision(size: float) -> None:
    objective, _ = both(60)
    weight = torch.randn(1, V, K + 1, dtype=torch.float64)
    weight -= weight.mean(1, keepdim=True)
    point = Point(weight, *objective.value_and_gradient(weight))
    outputs = torch.tensor([1, 4])
    down = -size * point.gradient[0, outputs] / point.gradient.norm()
    rounded: Any = objective.to(torch.bfloat16)
    after = logistic_updates._moved(point, outputs, down, 0.0, lambda: rounded)
    looked = logistic_updates._moved(point, outputs, down, 0.0, lambda: objective)
    assert after is not None and looked is not None
    same(after.weight, looked.weight)
    same(after.value, looked.value)
    error = (after.gradient - looked.gradient).norm()
    assert 1e-6 < error <= after.probabilities.doubt < 0.05 * (looked.gradient - point.gradient).norm()
    assert looked.probabilities.doubt == 0


def changed(state: KeyValueState, case: str) -> KeyValueState:
    """What may become of a memory of 150 slots between two answers."""
    every, new = torch.arange(state.slots), memory_of(12, seed=9).select(torch.tensor([11]))
    new = new._replace(ids=torch.tensor([[9999]]))
    slots: dict[str, Callable[[], KeyValueState]] = {
        "one more": lambda: concatenate(state, new),
        "one more before others": lambda: concatenate(state.select(every[:100]), new, state.select(every[100:])),
        "one gone": lambda: state.select(every[every != 17]),
        "the last in its place": lambda: state.select(torch.cat([every[:17], every[-1:], every[18:-1]])),
        "a count": lambda: state._replace(write_count=state.write_count + (every == 17)),
        "another key": lambda: state._replace(keys=state.keys + 0.5 * (every == 17)[:, None]),
        "another value": lambda: state._replace(
            values=torch.where((every == 17)[:, None], state.values.roll(1, 2), state.values)
        ),
        "a label more": lambda: concatenate(
            state._replace(values=torch.nn.functional.pad(state.values, (0, 1))),
            new._replace(values=torch.eye(V + 1)[None, V:]),
        ),
        "half of it": lambda: state.select(every[:75]),
        "nothing": lambda: state,
    }
    return slots[case]()


@exclusive_or_not
def test_probabilities_are_known_where_they_are_few(exclusive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, _ = both(60, exclusive)
    weight = torch.randn(1, V, K + 1, dtype=torch.float64)
    few = objective.value_and_gradient(weight)[2]
    monkeypatch.setattr(logistic_blocks, "KNOWN_NUMBERS", 60 * V - 1)
    many = objective.value_and_gradient(weight)[2]
    assert (few.known is not None) == exclusive and many.known is None
    some, outputs = torch.tensor([3, 50]), torch.tensor([0, 5])
    same(few.probabilities(some, outputs), many.probabilities(some, outputs))


@every_problem
@pytest.mark.parametrize("case", ["one more", "one more before others", "one gone", "the last in its place", "a count",
                                  "another key", "another value", "a label more", "half of it",
                                  "nothing"])  # fmt: skip
@pytest.mark.usefixtures("large")
def test_an_earlier_solution_changes_the_time_alone(problem_type: str, case: str) -> None:
    reading, state = LogisticReading(K, problem_type, sharpness=1.0), memory_of(150, problem_type)
    now = changed(state, case)
    cold, warm = reading.solve(now), reading.solve(now, start=reading.solve(state))
    queries = torch.randn(1, 20, K)
    same(reading(warm, queries), reading(cold, queries), 2e-3)
    point = warm.parts.minimum.point
    assert warm.parts.objective.outputs == now.values.shape[-1]
    value, gradient, _ = warm.parts.objective.value_and_gradient(point.weight)
    same(point.value, value, 1e-3)
    assert (point.gradient - gradient).norm() < point.probabilities.doubt + 1e-3
    assert gradient.norm() < 2 * newton.ROUNDING * torch.finfo(torch.float32).eps * now.slots


@pytest.mark.parametrize("case", ["one more", "one more before others", "one gone", "a label more", "half of it"])
@pytest.mark.usefixtures("large")
def test_half_precision_is_made_of_what_is_new_alone(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic_large, "curvature_precision", lambda *args: torch.bfloat16)
    reading, state = LogisticReading(K, sharpness=1.0), memory_of(150)
    now, made = changed(state, case), []
    original = BlockwiseLogistic.to
    start = reading.solve(state)

    def to(objective: BlockwiseLogistic, dtype: torch.dtype) -> BlockwiseLogistic:
        made.append(dtype)
        return original(objective, dtype)

    monkeypatch.setattr(BlockwiseLogistic, "to", to)
    warm = reading.solve(now, start=start)
    assert (torch.bfloat16 in made) == (case == "half of it")  # too little is shared
    assert torch.equal(warm.parts.coarse_features, original(warm.parts.objective, torch.bfloat16).keys)
    monkeypatch.setattr(logistic_large, "KEPT_NUMBERS", 10)
    assert reading.solve(now).parts.coarse_features is None


class Looks:
    """How many slots the whole objective was looked at for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slots = 0
        original = BlockwiseLogistic.value_and_gradient

        def value_and_gradient(objective: BlockwiseLogistic, weight: Tensor) -> tuple:
            self.slots += objective.slots
            return original(objective, weight)

        monkeypatch.setattr(BlockwiseLogistic, "value_and_gradient", value_and_gradient)

    def taken(self) -> int:
        slots, self.slots = self.slots, 0
        return slots


@every_problem
@pytest.mark.usefixtures("large")
def test_of_what_has_not_changed_nothing_is_computed(problem_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, state = LogisticReading(K, problem_type), memory_of(150, problem_type)
    start = reading.solve(state)
    looks = Looks(monkeypatch)
    warm = reading.solve(state._replace(usage=state.usage + 1, age=state.age + 1), start=start)
    assert looks.taken() == 0
    assert torch.equal(warm.parts.weight, start.parts.weight)
    reading.solve(changed(state, "one more"), start=start)
    few = looks.taken()
    reading.solve(changed(state, "one more"))
    assert few < 0.75 * looks.taken()


@pytest.mark.usefixtures("large")
def test_doubt_that_adds_up_is_cleared_by_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, state = LogisticReading(K), memory_of(150)
    start: Solution = reading.solve(state)
    minimum = start.parts.minimum
    doubtful = minimum.point.probabilities._replace(doubt=1.0)
    wrong = minimum.point._replace(probabilities=doubtful, gradient=minimum.point.gradient + 0.01)
    start = start._replace(parts=start.parts._replace(minimum=minimum._replace(point=wrong)))
    looks = Looks(monkeypatch)
    warm = reading.solve(state, start=start)
    assert looks.taken() >= 150
    assert warm.parts.minimum.point.probabilities.doubt < 1e-3
    same(reading.scores(warm, state.keys), reading.scores(reading.solve(state), state.keys), 2e-3)
