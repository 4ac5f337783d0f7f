"""What holds for every way of reading: one set of tests over all entries of `READINGS` and all they serve."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import safetensors.torch
import torch
from torch import Tensor

from mann_hf.errors import InvalidInputError, UnknownNameError
from mann_hf.memory import READINGS, SIMILARITIES, KeyValueMemory, KeyValueState, Reading
from mann_hf.memory.reading import (
    MULTI_LABEL,
    NEVER_LEFT_OUT,
    PROBLEM_TYPES,
    REGRESSION,
    SINGLE_LABEL,
    LeastSquaresReading,
)
from mann_hf.memory.state import concatenate, empty_state

KEY_SIZE = 4
EXACT: dict[str, dict[str, Any]] = {"logistic": {"tolerance": 1e-13}}
"""Settings under which what is solved step by step is as exact as what is not."""
MakeState = Callable[..., KeyValueState]


class Case(NamedTuple):
    """A way of reading and what it is asked to serve."""

    reading: str
    problem_type: str
    similarity: str

    def build(self, **kwargs) -> Reading:
        settings = {**EXACT.get(self.reading, {}), "sharpness": 2.0, **kwargs}  # soft: nothing hides in a flat tail
        reading = READINGS[self.reading](KEY_SIZE, self.problem_type, self.similarity, **settings)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():  # away from where parameters start, at which much is the same by chance
            for parameter in reading.similarity.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
        return reading.double()

    def state(self, make: MakeState, **kwargs) -> KeyValueState:
        return make(key_size=KEY_SIZE, problem_type=self.problem_type, **kwargs)


def queries_for(batch: int = 1, count: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(batch, count, KEY_SIZE, generator=torch.Generator().manual_seed(7), dtype=dtype)


def answer(reading: Reading, state: KeyValueState, queries: Tensor) -> Tensor:
    return reading(reading.solve(state), queries)


def looks_at_the_similarity(name: str, problem_type: str) -> bool:
    memory = KeyValueMemory(KEY_SIZE, 3)
    keys = torch.arange(12.0).reshape(1, 3, KEY_SIZE).cos()
    state = memory.write(memory.initial_state(), keys, torch.eye(3)[None])
    answers = [
        answer(READINGS[name](KEY_SIZE, problem_type, kind, sharpness=1.0), state, keys)
        for kind in ("dot", "euclidean")
    ]
    return not torch.equal(*answers)


def cases() -> Iterator[Case]:
    """Every reading with every problem type it serves, and with every similarity where that makes a difference."""
    for name, reading in READINGS.items():
        for problem_type in reading.problem_types:
            choices = list(SIMILARITIES) if looks_at_the_similarity(name, problem_type) else ["cosine"]
            yield from (Case(name, problem_type, similarity) for similarity in choices)


CASES = list(cases())
every_case = pytest.mark.parametrize("case", CASES, ids="-".join)
every_reading = pytest.mark.parametrize("name", READINGS)


def same(actual: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(UnknownNameError, match="unknown reading 'nearest'; choose one of 'attention', ") as caught:
        READINGS["nearest"]
    assert caught.value.choices == list(READINGS)


@every_reading
def test_the_name_is_the_one_it_is_registered_under(name: str) -> None:
    assert READINGS[name].name == name
    assert READINGS[name].__doc__
    assert set(READINGS[name].problem_types) <= set(PROBLEM_TYPES)


@every_reading
def test_an_unknown_problem_type_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"'{name}' cannot serve problem_type='ranking', which is none of"):
        READINGS[name](KEY_SIZE, problem_type="ranking")


@pytest.mark.parametrize(
    ("name", "problem_type"),
    [(name, kind) for name in READINGS for kind in PROBLEM_TYPES if kind not in READINGS[name].problem_types],
)
def test_a_problem_type_that_it_cannot_serve_names_those_that_can(name: str, problem_type: str) -> None:
    with pytest.raises(InvalidInputError, match=r"cannot serve .*; choose one of 'attention'") as caught:
        READINGS[name](KEY_SIZE, problem_type=problem_type)
    for other, reading in READINGS.items():
        named = repr(other) in str(caught.value).partition("choose")[2]
        assert named == (problem_type in reading.problem_types)


@every_reading
@pytest.mark.parametrize("sharpness", [0.0, -1.0, float("nan"), float("inf")])
def test_a_sharpness_that_is_no_positive_number_is_refused(name: str, sharpness: float) -> None:
    with pytest.raises(InvalidInputError, match=f"sharpness is {sharpness}; it must be above 0"):
        READINGS[name](KEY_SIZE, sharpness=sharpness)


@every_reading
def test_an_unknown_similarity_is_refused(name: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown similarity 'manhattan'; choose one of 'cosine'"):
        READINGS[name](KEY_SIZE, similarity="manhattan")


@every_reading
def test_the_sharpness_is_learned_only_when_asked(name: str) -> None:
    assert not READINGS[name](KEY_SIZE).log_sharpness.requires_grad
    assert READINGS[name](KEY_SIZE, learn_sharpness=True).log_sharpness.requires_grad
    assert READINGS[name](KEY_SIZE, sharpness=3.5).sharpness.item() == pytest.approx(3.5)
    assert READINGS[name](KEY_SIZE).sharpness.item() == pytest.approx(READINGS[name].default_sharpness)


@every_case
def test_shapes_and_types(case: Case, random_state: MakeState) -> None:
    state, queries = case.state(random_state, batch=2, slots=11), queries_for(2)
    reading = case.build()
    solution = reading.solve(state)
    scores = reading.scores(solution, queries)
    assert scores.shape[:2] == (2, 5) and scores.shape[2] in {3, 11}
    logits = reading.logits(solution, scores)
    assert logits.shape == reading.predicted(solution, logits).shape == (2, 5, 3)
    assert reading.terms(solution, queries, 1, torch.tensor([10, 0])).shape == (2, 5, 2)
    assert reading.left_out(solution, torch.arange(11) % 4).shape == (2, 11, scores.shape[2])
    assert {x.dtype for x in (scores, logits)} == {torch.float64}
    torch.testing.assert_close(reading(solution, queries), logits, atol=0, rtol=0)


@every_case
def test_nothing_that_comes_in_is_changed(case: Case, random_state: MakeState) -> None:
    state, queries = case.state(random_state), queries_for()
    reading = case.build()
    solution = reading.solve(state)
    watched = (state, solution, queries, dict(reading.state_dict()))
    before = copy.deepcopy(watched)
    reading.solve(state, start=solution)
    reading.terms(solution, queries, 0, torch.arange(state.slots))
    reading.predicted(solution, reading(solution, queries))
    reading.left_out(solution, torch.arange(state.slots) % 3)
    reading.left_out(solution, torch.arange(state.slots))
    torch.testing.assert_close(watched, before, atol=0, rtol=0)


@every_case
def test_gradients_are_those_of_finite_differences(case: Case, random_state: MakeState) -> None:
    state, queries = case.state(random_state, slots=8), queries_for(count=2)
    reading = case.build(learn_sharpness=True)
    names = [name for name, parameter in reading.named_parameters() if parameter.requires_grad]

    def logits(keys: Tensor, queries: Tensor, *parameters: Tensor) -> Tensor:
        def run(reading: Reading) -> Tensor:
            return answer(reading, state._replace(keys=keys), queries)

        changed = copy.copy(reading)
        return torch.func.functional_call(
            _Applied(changed, run), {f"inner.{n}": p for n, p in zip(names, parameters, strict=True)}, ()
        )

    inputs = [state.keys, queries, *(reading.get_parameter(name).detach().clone() for name in names)]
    assert "log_sharpness" in names
    assert torch.autograd.gradcheck(logits, [x.requires_grad_() for x in inputs], atol=1e-5, rtol=1e-4)


class _Applied(torch.nn.Module):
    """A function of a module as the forward of one, for `functional_call`."""

    def __init__(self, inner: Reading, run: Callable[[Reading], Tensor]) -> None:
        super().__init__()
        self.inner, self.run = inner, run

    def forward(self) -> Tensor:
        return self.run(self.inner)


@every_case
def test_an_empty_slot_gets_no_gradient(case: Case, random_state: MakeState) -> None:
    state = case.state(random_state)
    keys = state.keys.clone().requires_grad_()
    answer(case.build(), state._replace(keys=keys), queries_for()).square().sum().backward()
    assert keys.grad is not None
    assert keys.grad[state.mask].abs().max() > 0
    assert (keys.grad[~state.mask] == 0).all()


@every_case
def test_episodes_side_by_side_are_as_each_alone(case: Case, random_state: MakeState) -> None:
    state, queries = case.state(random_state, batch=3), queries_for(3)
    reading = case.build()
    folds = torch.arange(state.slots) % 3
    together = reading.solve(state)
    for b in range(3):
        alone = reading.solve(KeyValueState(*(field[b : b + 1] for field in state)))
        same(reading(together, queries)[b : b + 1], reading(alone, queries[b : b + 1]))
        every = torch.arange(state.slots)
        terms = [reading.terms(s, queries, 2, every) for s in (together, reading.solve(state))]
        same(terms[0][b : b + 1], reading.terms(alone, queries[b : b + 1], 2, every))
        left_out = reading.left_out(together, folds)[b : b + 1]
        same(left_out[:, state.mask[b]], reading.left_out(alone, folds)[:, state.mask[b]])


@every_case
def test_the_order_of_the_slots_changes_nothing(case: Case, random_state: MakeState) -> None:
    state, queries = case.state(random_state), queries_for()
    reading = case.build()
    expected = answer(reading, state, queries)
    for _ in range(3):
        order = torch.randperm(state.slots)
        shuffled = reading.solve(state.select(order))
        same(reading(shuffled, queries), expected)
        same(
            reading.terms(shuffled, queries, 1, order.argsort()),
            reading.terms(reading.solve(state), queries, 1, torch.arange(state.slots)),
        )


@every_case
def test_empty_slots_change_nothing(case: Case, random_state: MakeState) -> None:
    state, queries = case.state(random_state, holes=0), queries_for()
    reading = case.build()
    padding = empty_state(1, 4, KEY_SIZE, 3, dtype=torch.float64)
    padded = concatenate(padding, state, padding).select(torch.randperm(state.slots + 8))
    same(answer(reading, padded, queries), answer(reading, state, queries))
    terms = reading.terms(reading.solve(padded), queries, 0, torch.arange(padded.slots))
    assert (terms[..., ~padded.mask[0]] == 0).all()


@every_case
def test_what_a_closed_slot_still_holds_changes_nothing(case: Case, random_state: MakeState) -> None:
    state, queries = case.state(random_state, holes=0), queries_for()
    reading = case.build()
    mask = torch.ones_like(state.mask)
    mask[:, [0, 3]] = False
    kept = mask[0].nonzero()[:, 0]
    same(answer(reading, state._replace(mask=mask), queries), answer(reading, state.select(kept), queries))


@every_case
def test_a_slot_that_stands_for_two_is_as_two_slots(case: Case, random_state: MakeState) -> None:
    state, queries = case.state(random_state, holes=0, counts=False), queries_for()
    reading = case.build()
    twice = torch.tensor([1, 4, 4, 6])
    counts = 1 + torch.bincount(twice, minlength=state.slots)
    merged = reading.solve(state._replace(write_count=counts[None]))
    spread = reading.solve(concatenate(state, state.select(twice)))
    same(reading(merged, queries), reading(spread, queries))
    terms = reading.terms(spread, queries, 0, torch.arange(state.slots + 4))
    summed = terms[..., :-4].index_add(2, twice, terms[..., -4:])
    same(reading.terms(merged, queries, 0, torch.arange(state.slots)), summed)


@every_case
def test_the_terms_of_all_slots_sum_to_what_is_predicted(case: Case, random_state: MakeState) -> None:
    state, queries = case.state(random_state, batch=2), queries_for(2)
    reading = case.build()
    solution = reading.solve(state)
    for sharpness in (None, 3.0, torch.tensor(0.7)):
        predicted = reading.predicted(solution, reading(solution, queries, sharpness))
        if case.problem_type == REGRESSION and isinstance(reading, LeastSquaresReading):
            predicted = predicted - solution.parts.offset
        for column in range(3):
            terms = reading.terms(solution, queries, column, torch.arange(state.slots), sharpness)
            same(terms.sum(-1), predicted[..., column], 1e-8)
            picked = torch.tensor([5, 0, 2])
            same(reading.terms(solution, queries, column, picked, sharpness), terms[..., picked])


@every_case
@pytest.mark.parametrize("kind", ["each alone", "folds", "one fold", "no fold"])
def test_left_out_answers_are_those_of_a_memory_that_lacks_them(case: Case, kind: str, random_state: MakeState) -> None:
    state = case.state(random_state, batch=2, slots=10, holes=1)
    reading = case.build()
    folds = {
        "each alone": torch.arange(10),
        "folds": torch.tensor([0, 1, 2, NEVER_LEFT_OUT, 0, 1, NEVER_LEFT_OUT, 2, 0, 2]),
        "one fold": torch.tensor([NEVER_LEFT_OUT] * 6 + [3] * 4),
        "no fold": torch.full((10,), NEVER_LEFT_OUT),
    }[kind]
    solution = reading.solve(state)
    quick = reading.left_out(solution, folds)
    slow = Reading.left_out(reading, solution, folds)
    assert quick.shape == slow.shape
    for b in range(2):
        asked = state.mask[b] & (folds != NEVER_LEFT_OUT)
        same(quick[b, asked], slow[b, asked], 1e-8)
        for i in asked.nonzero()[:, 0].tolist():  # and both by hand
            kept = (state.mask[b] & (folds != folds[i])).nonzero()[:, 0]
            alone = KeyValueState(*(field[b : b + 1, kept] for field in state))
            by_hand = answer(reading, alone, state.keys[b : b + 1, i : i + 1])[0, 0]
            same(reading.logits(solution, quick)[b, i], by_hand, 1e-7)


@every_case
@pytest.mark.parametrize("memory", ["one slot", "one label", "zero vectors", "equal vectors", "all masked", "no slots"])
def test_no_nan_in_odd_memories(case: Case, memory: str, random_state: MakeState) -> None:
    state = case.state(random_state, holes=0)
    if memory == "one slot":
        state = state.select(torch.tensor([2]))
    elif memory == "one label":
        state = state._replace(values=torch.ones_like(state.values[..., :1]))
    elif memory == "zero vectors":
        state = state._replace(keys=torch.zeros_like(state.keys))
    elif memory == "equal vectors":
        state = state._replace(keys=torch.ones_like(state.keys))
    elif memory == "all masked":
        state = state._replace(mask=torch.zeros_like(state.mask))
    else:
        state = empty_state(1, 0, KEY_SIZE, 3, dtype=torch.float64)
    reading = case.build()
    keys = state.keys.clone().requires_grad_()
    queries = torch.cat([torch.zeros(1, 1, KEY_SIZE), queries_for(), state.keys[:, :1]], dim=1).requires_grad_()
    solution = reading.solve(state._replace(keys=keys))
    logits = reading(solution, queries)
    assert not logits.isnan().any()
    if logits.isfinite().all() and state.slots:
        logits.sum().backward()
        assert keys.grad is not None and queries.grad is not None
        assert keys.grad.isfinite().all() and queries.grad.isfinite().all()
    every = torch.arange(state.slots)
    assert reading.terms(solution, queries, 0, every).isfinite().all()
    if state.slots:
        assert not reading.logits(solution, reading.left_out(solution, every)).isnan().any()


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision_gives_finite_answers_of_its_own_type(
    case: Case, dtype: torch.dtype, random_state: MakeState
) -> None:
    state, queries = case.state(random_state), queries_for()
    reading = case.build()
    expected = answer(reading, state, queries)
    actual = answer(reading.to(dtype), state.to(dtype), queries.to(dtype))
    assert actual.dtype == dtype
    assert actual.isfinite().all()
    if dtype == torch.float32:
        same(actual.double(), expected, 1e-3)


@every_case
def test_a_start_changes_nothing_but_the_time(case: Case, random_state: MakeState) -> None:
    reading = case.build()
    whole = case.state(random_state, slots=12)
    every = torch.arange(12)
    starts = [
        whole,
        whole.select(every[:7]),
        whole.select(every[3:]),
        whole._replace(write_count=whole.write_count + whole.mask),
        whole._replace(keys=whole.keys.roll(1, 1)),
        whole._replace(values=whole.values.roll(1, 2)),
        whole._replace(ids=whole.ids + 1),
        empty_state(1, 0, KEY_SIZE, 3, dtype=torch.float64),
        case.state(random_state, slots=12, seed=5),
        case.state(random_state, slots=12, labels=2),
        case.state(random_state, slots=12, labels=5),
        case.state(random_state, batch=2, slots=12),
        whole.to(torch.float32),
    ]
    expected = answer(reading, whole, queries_for())
    for start in starts:
        solution = reading.solve(whole, start=reading.solve(start))
        same(reading(solution, queries_for()), expected)
    chained = None
    for count in range(13):
        chained = reading.solve(whole.select(every[:count]), start=chained)
    assert chained is not None
    same(reading(chained, queries_for()), expected)


@every_case
def test_parameters_are_saved_and_loaded(case: Case, random_state: MakeState) -> None:
    state, queries = case.state(random_state), queries_for()
    reading = case.build()
    with torch.no_grad():
        reading.log_sharpness.add_(0.5)
    saved = safetensors.torch.save(reading.state_dict())
    other = READINGS[case.reading](KEY_SIZE, case.problem_type, case.similarity, **EXACT.get(case.reading, {})).double()
    assert not torch.equal(answer(other, state, queries), answer(reading, state, queries)) or (
        case.problem_type == REGRESSION and case.reading == "least_squares"  # whose numbers no sharpness changes
    )
    other.load_state_dict(safetensors.torch.load(saved), strict=True)
    torch.testing.assert_close(answer(other, state, queries), answer(reading, state, queries), atol=0, rtol=0)


@every_case
def test_built_without_storage_it_starts_where_it_starts_otherwise(case: Case) -> None:
    with torch.device("meta"):
        bare = READINGS[case.reading](KEY_SIZE, case.problem_type, case.similarity)
    assert {parameter.device.type for parameter in bare.parameters()} == {"meta"}
    bare = bare.to_empty(device="cpu")
    for module in bare.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    plain = READINGS[case.reading](KEY_SIZE, case.problem_type, case.similarity)
    torch.testing.assert_close(bare.state_dict(), plain.state_dict(), atol=0, rtol=0)


@every_reading
def test_a_label_without_examples_is_never_the_answer(name: str, random_state: MakeState) -> None:
    state = random_state(key_size=KEY_SIZE, labels=2)
    state = state._replace(values=torch.cat([state.values, torch.zeros_like(state.values[..., :1])], dim=-1))
    reading = READINGS[name](KEY_SIZE, SINGLE_LABEL, sharpness=2.0, learn_sharpness=True).double()
    logits = answer(reading, state, state.keys[:, state.mask[0]])
    assert not logits.isnan().any()
    assert (logits.argmax(-1) != 2).all()
    torch.nn.functional.cross_entropy(logits[0], state.values[0, state.mask[0]].argmax(-1)).backward()
    assert reading.log_sharpness.grad is not None
    assert reading.log_sharpness.grad.isfinite() and reading.log_sharpness.grad != 0


@pytest.mark.parametrize("name", [name for name in READINGS if MULTI_LABEL in READINGS[name].problem_types])
def test_certain_answers_of_several_labels_stay_finite(name: str) -> None:
    state = empty_state(1, 4, KEY_SIZE, 2, dtype=torch.float32)
    state = state._replace(
        keys=torch.eye(KEY_SIZE)[None],
        values=torch.tensor([[[1.0, 0.0]] * 4]),
        mask=torch.ones(1, 4, dtype=torch.bool),
        write_count=torch.ones(1, 4, dtype=torch.int64),
        ids=torch.arange(4)[None],
    )
    logits = answer(READINGS[name](KEY_SIZE, MULTI_LABEL), state, torch.eye(KEY_SIZE)[None])
    assert logits.isfinite().all()
    assert (logits[..., 0] > 0).all() and (logits[..., 1] < 0).all()
