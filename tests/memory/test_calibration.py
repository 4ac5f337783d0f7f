"""The fitted sharpness against a search by hand: plain lists, memories solved anew for each fold, a grid."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mann_hf.memory import READINGS, KeyValueMemory, KeyValueState, Reading, calibrate
from mann_hf.memory.calibration import FOLDS, PRIOR_STRENGTH, SIZE_EXPONENT, Calibration, _deal
from mann_hf.memory.reading import (
    MULTI_LABEL,
    NEVER_LEFT_OUT,
    REGRESSION,
    SINGLE_LABEL,
    LogisticReading,
    Solution,
    logistic,
)
from mann_hf.memory.state import clear, concatenate, empty_state

K, V = 4, 3
MakeState = Callable[..., KeyValueState]
GRID = torch.linspace(-4, 7, 111).tolist()

classifies = [
    (name, kind) for name, reading in READINGS.items() for kind in reading.problem_types if kind != REGRESSION
]
every = pytest.mark.parametrize(("name", "problem_type"), classifies)


def calibrated_sharpness(reading: Reading, state: KeyValueState, *args: Any, **kwargs: Any) -> Tensor:
    return calibrate(reading, state, *args, **kwargs).sharpness


def build(name: str, problem_type: str = SINGLE_LABEL, **kwargs) -> Reading:
    return READINGS[name](K, problem_type, **kwargs).double()


def memory_of(problem_type: str, slots: int = 24, noise: float = 1.0, seed: int = 0) -> KeyValueState:
    """Labels that overlap, holes in between, ids in no order, some slots that stand for several examples."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    label = torch.randint(V, (slots,), generator=generator)
    keys = 1.5 * normal(V, K)[label] + noise * normal(slots, K)
    values = torch.eye(V, dtype=torch.float64)[label]
    if problem_type == MULTI_LABEL:
        values = ((values + (normal(slots, V) > 1)) > 0).double()
    ids = torch.randperm(5 * slots, generator=generator)[:slots]
    rules = KeyValueMemory(K, V)
    state = rules.write(rules.initial_state(dtype=torch.float64), keys[None], values[None], ids[None])
    state = state._replace(write_count=torch.randint(1, 4, (1, slots), generator=generator))
    holes = empty_state(1, 3, K, V, dtype=torch.float64)
    return concatenate(state, holes).select(torch.randperm(slots + 3, generator=generator))


def examples_per_label(state: KeyValueState) -> float:
    """The mean over the labels that have any."""
    counts = [0.0] * state.values.shape[-1]
    for i in state.mask[0].nonzero()[:, 0].tolist():
        for label in range(len(counts)):
            counts[label] += float(state.values[0, i, label]) * int(state.write_count[0, i])
    there = [count for count in counts if count]
    return sum(there) / len(there)


def folds_by_hand(state: KeyValueState, examples: list[int]) -> dict[int, int]:
    """Slot -> fold, for the slots that are left out at all."""
    used = state.mask[0].nonzero()[:, 0].tolist()
    labels = range(state.values.shape[-1])
    named = {label: sum(int(state.ids[0, i]) for i in used if state.values[0, i, label]) for label in labels}
    folds: dict[int, int] = {}
    dealt: set[int] = set()
    for label in sorted(labels, key=named.__getitem__):  # an order that does not follow the columns'
        own = {i for i in examples if state.values[0, i, label]} - dealt
        dealt |= own
        if sum(float(state.values[0, i, label]) for i in used) < 2:
            continue  # the label would be gone
        for rank, i in enumerate(sorted(own, key=lambda i: int(state.ids[0, i]))):
            folds[i] = rank % FOLDS
    return folds


class ByHand:
    """The search by hand.

    Attributes:
        objective: of log β, before the correction for size.
        size: examples a label in what answered, over those in the whole memory.
    """

    def __init__(
        self, reading: Reading, state: KeyValueState, examples: Tensor | None = None, sample: int = 10**9
    ) -> None:
        self.reading = reading
        whole = examples_per_label(state)
        used = state.mask[0].nonzero()[:, 0].tolist()
        asked = [i for i in used if examples is None or examples[i]]
        sampled = sorted(asked, key=lambda i: int(state.ids[0, i]))[:sample]
        kept = [i for i in used if i in sampled or i not in asked]
        state = state.select(torch.tensor(kept))
        folds = folds_by_hand(state, [n for n, i in enumerate(kept) if i in sampled])
        mass = (state.values[0] * state.write_count[0, :, None]).sum()
        self.answers, shares = [], []
        for fold in sorted(set(folds.values())):
            out = [i for i in folds if folds[i] == fold]
            rest = state.select(torch.tensor([i for i in range(state.slots) if i not in out]))
            solution = reading.solve(rest)
            self.answers.append((solution, reading.scores(solution, state.keys[:, out]), state.values[0, out]))
            shares.append(float((rest.values[0] * rest.write_count[0, :, None]).sum() / mass))
        self.size = sum(shares) / len(shares) * examples_per_label(state) / whole

    def objective(self, log_beta: float) -> float:
        total = 0.5 * PRIOR_STRENGTH * (log_beta - self.reading.sharpness.log().item()) ** 2
        for solution, scores, truth in self.answers:
            logits = self.reading.logits(solution, scores, math.exp(log_beta))[0]
            if self.reading.problem_type == SINGLE_LABEL:
                total -= float(logits.log_softmax(-1)[truth.bool()].sum())
            else:
                right = torch.where(truth.bool(), logits, -logits)
                total -= float(torch.nn.functional.logsigmoid(right).sum()) / truth.shape[1]
        return total

    def check(self, sharpness: Tensor) -> None:
        """`sharpness` is the one that the best of a grid points to, and no worse than that."""
        assert sharpness.shape == ()
        log_beta = math.log(float(sharpness) / self.size**SIZE_EXPONENT)
        least = self.objective(log_beta)
        assert all(least < self.objective(x) + 1e-9 for x in [*GRID, log_beta - 1e-3, log_beta + 1e-3])


@pytest.fixture
def solved_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets rough solves be as exact as others: to a few per cent of the sharpness is all that they are good for."""
    monkeypatch.setattr(logistic, "ROUGH_TOLERANCE", 1e-10)


@pytest.mark.usefixtures("solved_to_the_end")
@every
@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_it_is_the_best_of_a_grid(name: str, problem_type: str, noise: float) -> None:
    state = memory_of(problem_type, noise=noise)
    reading = build(name, problem_type)
    ByHand(reading, state).check(calibrated_sharpness(reading, state))


@pytest.mark.usefixtures("solved_to_the_end")
@every
def test_only_examples_are_left_out(name: str, problem_type: str) -> None:
    state = memory_of(problem_type)
    reading = build(name, problem_type)
    examples = torch.rand(state.slots) > 0.4
    sharpness = calibrated_sharpness(reading, state, examples)
    ByHand(reading, state, examples).check(sharpness)
    assert sharpness != calibrated_sharpness(reading, state)
    empty = examples & state.mask[0]  # that an empty slot is called an example changes nothing
    assert sharpness == calibrated_sharpness(reading, state, empty)


@pytest.mark.usefixtures("solved_to_the_end")
@every
def test_of_many_examples_those_of_the_lowest_ids_are_asked(name: str, problem_type: str) -> None:
    state = memory_of(problem_type, slots=40)
    reading = build(name, problem_type)
    examples = torch.rand(state.slots) > 0.2
    sharpness = calibrated_sharpness(reading, state, examples, sample=15)
    ByHand(reading, state, examples, sample=15).check(sharpness)


@pytest.mark.parametrize("problem_type", LogisticReading.problem_types)
def test_a_rough_solve_is_close_enough(problem_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(10):
        state, reading = memory_of(problem_type, slots=40, seed=seed), build("logistic", problem_type)
        with monkeypatch.context() as patch:
            patch.setattr(logistic, "ROUGH_TOLERANCE", 1e-10)
            exact = float(calibrated_sharpness(reading, state))
        assert float(calibrated_sharpness(reading, state)) == pytest.approx(exact, rel=0.05)


@every
def test_the_order_of_the_labels_changes_nothing(name: str, problem_type: str) -> None:
    state = memory_of(problem_type)
    reading = build(name, problem_type)
    expected = float(calibrated_sharpness(reading, state))
    for order in ([2, 1, 0], [1, 2, 0], [0, 2, 1]):
        other = state._replace(values=state.values[..., order])
        assert float(calibrated_sharpness(reading, other)) == pytest.approx(expected, rel=1e-6)


@every
def test_the_order_of_the_slots_changes_nothing(name: str, problem_type: str) -> None:
    state = memory_of(problem_type)
    reading = build(name, problem_type)
    examples = torch.rand(state.slots) > 0.2
    for sample in (1024, 12):
        expected = calibrate(reading, state, examples, sample)
        assert expected.sample is not None and expected.fitted is not None
        assert expected.sample.ids[0].tolist() == sorted(expected.sample.ids[0].tolist())
        for _ in range(3):
            order = torch.randperm(state.slots)
            moved = calibrate(reading, state.select(order), examples[order], sample)
            assert moved.sharpness == expected.sharpness and moved.fitted == expected.fitted  # bit for bit


class Recorder:
    """Stands in for a reading, keeps the folds that it is asked for and counts the solves."""

    def __init__(self, reading: Reading) -> None:
        self.reading, self.folds, self.solves = reading, torch.tensor([]), 0
        self.state: KeyValueState | None = None

    def __getattr__(self, name: str):
        return getattr(self.reading, name)

    def solve(self, state: KeyValueState, *args: Any, **kwargs: Any) -> Solution:
        self.solves += 1
        return self.reading.solve(state, *args, **kwargs)

    def left_out(self, solution, folds: Tensor, rough: bool = False) -> Tensor:
        self.folds, self.state = folds, solution.state
        return self.reading.left_out(solution, folds, rough)


@every
def test_folds_are_dealt_evenly_within_each_label(name: str, problem_type: str) -> None:
    state = memory_of(problem_type, slots=50)
    examples = torch.rand(state.slots) > 0.3
    recorder = Recorder(build(name, problem_type))
    calibrated_sharpness(recorder, state, examples)  # type: ignore[arg-type]
    order = state.ids[0].argsort()[-int(state.mask.sum()) :]  # empty slots have the lowest
    assert recorder.state is not None
    assert torch.equal(recorder.state.ids, state.ids[:, order])
    folds = torch.full((state.slots,), NEVER_LEFT_OUT)
    folds[order] = recorder.folds
    assert torch.equal(folds != NEVER_LEFT_OUT, examples & state.mask[0])
    label = state.values[0].argmax(1)
    for number in range(V):
        own = folds[(label == number) & (folds != NEVER_LEFT_OUT)]
        sizes = torch.bincount(own, minlength=FOLDS)
        assert len(sizes) == FOLDS and sizes.max() - sizes.min() <= 1
    by_hand = folds_by_hand(state, (examples & state.mask[0]).nonzero()[:, 0].tolist())
    assert {i: int(fold) for i, fold in enumerate(folds) if fold != NEVER_LEFT_OUT} == by_hand


def test_the_last_slot_of_a_label_stays() -> None:
    keys = torch.randn(1, 6, K, dtype=torch.float64)
    rules = KeyValueMemory(K, 4)
    values = torch.eye(4, dtype=torch.float64)[[0, 1, 1, 2, 2, 3]][None]
    state = rules.write(rules.initial_state(dtype=torch.float64), keys, values)
    state = state._replace(write_count=torch.tensor([[5, 1, 1, 1, 1, 1]]))  # one slot, however often it was written
    examples = torch.tensor([True, True, True, True, False, True])
    recorder = Recorder(build("prototype"))
    calibrated_sharpness(recorder, state, examples)  # type: ignore[arg-type]
    assert recorder.folds.tolist() == [NEVER_LEFT_OUT, 0, 1, 0, NEVER_LEFT_OUT, NEVER_LEFT_OUT]


@pytest.mark.parametrize("name", READINGS)
@pytest.mark.parametrize(
    "case", ["one slot a label", "no example", "one slot", "no slot in use", "no slot", "no label"]
)
def test_its_own_sharpness_where_nothing_can_be_left_out(name: str, case: str) -> None:
    reading = build(name, sharpness=7.5)
    state, examples = memory_of(SINGLE_LABEL), None
    first = [int((state.values[0, :, label] > 0).nonzero()[0]) for label in range(V)]
    if case == "one slot a label":
        state = state.select(torch.tensor(first))
    elif case == "no example":
        examples = torch.zeros(state.slots, dtype=torch.bool)
    elif case == "one slot":
        state = state.select(torch.tensor(first[:1]))
    elif case == "no slot in use":
        state = state._replace(mask=torch.zeros_like(state.mask))
    elif case == "no label":
        state = state._replace(values=state.values[..., :0])
    else:
        state = state.select(torch.tensor([], dtype=torch.int64))
    assert float(calibrated_sharpness(reading, state, examples)) == pytest.approx(7.5)


@pytest.mark.parametrize("name", [name for name, reading in READINGS.items() if REGRESSION in reading.problem_types])
def test_numbers_have_no_sharpness_to_fit(name: str, random_state: MakeState) -> None:
    reading = build(name, REGRESSION, sharpness=7.5)
    state = random_state(problem_type=REGRESSION)
    assert float(calibrated_sharpness(reading, state)) == pytest.approx(7.5)


@every
def test_the_harder_the_memory_the_softer_the_answers(name: str, problem_type: str) -> None:
    reading = build(name, problem_type)
    easy, hard = (
        calibrated_sharpness(reading, memory_of(problem_type, slots=60, noise=noise, seed=4)) for noise in (0.2, 3.0)
    )
    assert hard < 0.7 * easy


@every
@pytest.mark.parametrize("sharpness", [0.05, 400.0])
def test_few_answers_move_it_little_and_many_move_it_all_the_way(
    name: str, problem_type: str, sharpness: float
) -> None:
    own, other = build(name, problem_type), build(name, problem_type, sharpness=sharpness)
    many = memory_of(problem_type, slots=200, noise=1.5)
    fitted, from_afar = (float(calibrated_sharpness(reading, many)) for reading in (own, other))
    assert from_afar == pytest.approx(fitted, rel=0.35)


@every
def test_it_takes_the_type_of_the_reading_and_no_graph(name: str, problem_type: str) -> None:
    state = memory_of(problem_type).to(torch.float32)
    state = state._replace(keys=state.keys.requires_grad_())
    reading = READINGS[name](K, problem_type, learn_sharpness=True)
    sharpness = calibrated_sharpness(reading, state)
    assert sharpness.dtype == torch.float32 and sharpness.shape == () and not sharpness.requires_grad
    double = build(name, problem_type)
    expected = calibrated_sharpness(double, state.detach().to(torch.float64))
    assert float(sharpness) == pytest.approx(float(expected), rel=1e-3)


@every
@pytest.mark.parametrize("kind", ["all alike", "zero keys", "one label", "certain"])
def test_odd_memories_get_a_number(name: str, problem_type: str, kind: str) -> None:
    state = memory_of(problem_type, noise=1e-3 if kind == "certain" else 1.0).to(torch.float32)
    if kind == "all alike":
        state = state._replace(keys=torch.ones_like(state.keys))
    elif kind == "zero keys":
        state = state._replace(keys=torch.zeros_like(state.keys))
    elif kind == "one label":
        state = state._replace(values=state.mask[..., None].float())
    reading = READINGS[name](K, problem_type)
    sharpness = calibrated_sharpness(reading, state)
    assert sharpness.isfinite() and sharpness > 0


def recorded(reading: Reading, state: KeyValueState, **kwargs: Any) -> tuple[Calibration, int]:
    """A calibration, and how many times it solved the sample."""
    recorder = Recorder(reading)
    calibration = calibrate(recorder, state, **kwargs)  # type: ignore[arg-type]
    return calibration, recorder.solves


@every
def test_of_the_same_sample_nothing_is_fitted_again(name: str, problem_type: str) -> None:
    state, reading = memory_of(problem_type, slots=40), build(name, problem_type)
    lowest = state.ids[0].masked_fill(~state.mask[0], 10**6).argsort()[:24]
    first = torch.zeros(state.slots, dtype=torch.bool)
    first[lowest] = True
    few = state.select((first | ~state.mask[0]).nonzero()[:, 0])
    before, solves = recorded(reading, few, sample=20)
    assert solves == 1
    for now in (
        state,
        few,
        few._replace(usage=few.usage + 1, age=few.age + 1),
        few.select(torch.arange(few.slots).flip(0)),
    ):
        calibration, solves = recorded(reading, now, sample=20, before=before)
        assert solves == 0
        assert calibration.fitted is before.fitted
        assert calibration.sharpness == calibrate(reading, now, sample=20).sharpness
    ratio = examples_per_label(few) / examples_per_label(state)
    larger = calibrate(reading, state, sample=20, before=before).sharpness  # of a memory of more examples a label
    assert ratio < 0.8
    assert float(larger / before.sharpness) == pytest.approx(ratio**SIZE_EXPONENT)


@every
@pytest.mark.parametrize(
    "change",
    ["a lower id", "a key", "a value", "a count", "a closed slot", "one slot less", "a label more", "examples"],
)
def test_of_another_sample_it_is_fitted_anew(name: str, problem_type: str, change: str) -> None:
    state, reading = memory_of(problem_type, slots=30), build(name, problem_type)
    examples = state.mask[0].clone()
    sample = 20 if change == "a lower id" else 30
    before = calibrate(reading, state, examples, sample)
    assert before.sample is not None and before.examples is not None
    asked = int(before.sample.ids[0, before.examples][7])
    slot = int((state.ids[0] == asked).nonzero())
    there = torch.arange(state.slots) == slot
    if change == "a lower id":
        left = int(state.ids.argmax())  # that was not looked at
        state = state._replace(ids=state.ids.index_fill(1, torch.tensor([left]), 0) + state.mask.long())
    elif change == "a key":
        state = state._replace(keys=state.keys + 0.5 * there[:, None])
    elif change == "a value":
        state = state._replace(values=torch.where(there[:, None], state.values.roll(1, 2), state.values))
    elif change == "a count":
        state = state._replace(write_count=state.write_count + 3 * there)
    elif change == "a closed slot":
        state = clear(state._replace(mask=state.mask & ~there))
    elif change == "one slot less":
        state, examples = state.select((~there).nonzero()[:, 0]), examples[~there]
    elif change == "a label more":
        state = state._replace(values=torch.nn.functional.pad(state.values, (0, 1)))
    else:
        examples = examples & ~there
    fresh = calibrate(reading, state, examples, sample)
    calibration, solves = recorded(reading, state, examples=examples, sample=sample, before=before)
    assert solves == 1
    assert calibration.fitted == fresh.fitted and calibration.sharpness == fresh.sharpness
    if change != "a label more":  # of which there is no example
        assert calibration.fitted != before.fitted


def test_how_many_examples_a_label_has_may_be_known() -> None:
    state, reading = memory_of(SINGLE_LABEL), build("logistic")
    known = calibrate(reading, state, sample=10, per_label=examples_per_label(state))
    assert float(known.sharpness) == pytest.approx(float(calibrate(reading, state, sample=10).sharpness))
    assert calibrate(reading, state, sample=10, per_label=99.0).sharpness < known.sharpness


@every
def test_what_was_not_fitted_before_is_fitted(name: str, problem_type: str) -> None:
    state, reading = memory_of(problem_type), build(name, problem_type)
    before = calibrate(reading, state, torch.zeros(state.slots, dtype=torch.bool))
    assert before.fitted is None and before.sample is None
    calibration = calibrate(reading, state, before=before)
    assert calibration.fitted is not None
    assert calibration.sharpness == calibrate(reading, state).sharpness


@every
def test_a_reading_in_half_precision_is_calibrated_in_single(name: str, problem_type: str) -> None:
    state = memory_of(problem_type)
    state = state._replace(keys=state.keys.float(), values=state.values.float())
    half = build(name, problem_type).bfloat16()
    whole = build(name, problem_type).float()
    with torch.no_grad():
        whole.log_sharpness.copy_(half.log_sharpness)
    found, expected = calibrate(half, state), calibrate(whole, state)
    for sharpness in (found.sharpness, found.fitted):
        assert sharpness is not None and sharpness.dtype == torch.float32
    torch.testing.assert_close(found.sharpness, expected.sharpness, rtol=1e-3, atol=0.0)
    nothing = calibrate(half, state, torch.zeros(state.slots, dtype=torch.bool))
    assert nothing.sharpness.dtype == torch.float32 and nothing.sharpness == half.sharpness


def test_examples_of_no_label_are_dealt_among_themselves() -> None:
    """With them each fold of the labelled ones stays, and they alone bring no calibration."""
    torch.manual_seed(0)
    values = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [0, 0], [0, 0]]).float()[None]
    rules = KeyValueMemory(4, 2)
    state = rules.write(rules.initial_state(), torch.randn(1, 7, 4), values)
    examples = torch.ones(7, dtype=torch.bool)
    folds = _deal(state, examples)
    assert folds[:4].tolist() == _deal(state.select(torch.arange(4)), examples[:4]).tolist()
    assert sorted(folds[4:].tolist()) == [0, 1, 2]
    reading = READINGS["logistic"](4, problem_type=MULTI_LABEL)
    one_each = state.select(torch.tensor([0, 2, 4, 5, 6]))
    assert torch.equal(calibrate(reading, one_each).sharpness, reading.sharpness)
    assert calibrate(reading, state).fitted is not None
