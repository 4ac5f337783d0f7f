import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mann_hf.errors import InvalidInputError
from mann_hf.memory import KeyValueMemory, KeyValueState, Reading
from mann_hf.memory.reading import (
    MULTI_LABEL,
    NEVER_LEFT_OUT,
    PROBLEM_TYPES,
    REGRESSION,
    SINGLE_LABEL,
    LeastSquaresReading,
)

K, V, Q = 4, 3, 5
MakeState = Callable[..., KeyValueState]

every_problem = pytest.mark.parametrize("problem_type", PROBLEM_TYPES)


def same(actual: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


def build(problem_type: str = SINGLE_LABEL, **kwargs) -> LeastSquaresReading:
    return LeastSquaresReading(K, problem_type, **{"sharpness": 1.0, **kwargs}).double()


def reference(state: KeyValueState, queries: Tensor, problem_type: str, width: float, ridge: float) -> Tensor:
    """(K + λ N⁻¹) A = V of one episode with `numpy.linalg.solve`, kernel entry by kernel entry: [Q, V]."""
    used = state.mask[0].nonzero()[:, 0].tolist()
    keys, values = state.keys[0, used].numpy(), state.values[0, used].numpy()
    counts = state.write_count[0, used].numpy().astype(float)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(width * (a @ b / np.linalg.norm(a) / np.linalg.norm(b) - 1))

    targets, offset = 2 * values - 1 if problem_type == MULTI_LABEL else values, np.zeros(1)
    if problem_type == REGRESSION:
        offset = np.average(values, axis=0, weights=counts)
        targets = values - offset
    matrix = np.array([[kernel(a, b) for b in keys] for a in keys]) + np.diag(ridge / counts)
    coefficients = np.linalg.solve(matrix, targets)
    rows = [[kernel(query, key) for key in keys] for query in queries[0].numpy()]
    return torch.from_numpy(np.array(rows) @ coefficients + offset)


@every_problem
@pytest.mark.parametrize(("width", "ridge"), [(3.0, 0.1), (0.7, 2.0)])
def test_it_is_what_numpy_solves(problem_type: str, width: float, ridge: float, random_state: MakeState) -> None:
    state = random_state(problem_type=problem_type)
    queries = torch.randn(1, Q, K, dtype=torch.float64)
    reading = build(problem_type, width=width, ridge=ridge)
    scores = reading.scores(reading.solve(state), queries)
    same(scores[0], reference(state, queries, problem_type, width, ridge), 1e-12)
    expected = scores if problem_type == REGRESSION else 2.5 * scores
    same(reading(reading.solve(state), queries, 2.5), expected)


def test_planted_keys_have_known_answers() -> None:
    memory = KeyValueMemory(2, 2)
    state = memory.write(memory.initial_state(dtype=torch.float64), torch.eye(2)[None] * 7, torch.eye(2)[None])
    reading = LeastSquaresReading(2, sharpness=1.0, width=3.0, ridge=0.1).double()
    far = math.exp(-3.0)  # the kernel of orthogonal keys
    alpha = torch.tensor([[1.1, -far], [-far, 1.1]], dtype=torch.float64) / (1.1**2 - far**2)
    solution = reading.solve(state)
    query = torch.tensor([[[1.0, 0.0]]])
    kernel = torch.tensor([1.0, far], dtype=torch.float64)
    same(reading(solution, query.double())[0, 0], kernel @ alpha)
    same(reading.terms(solution, query.double(), 1, torch.arange(2))[0, 0], kernel * alpha[:, 1])
    three = reading.solve(state._replace(write_count=torch.tensor([[3, 1]])).select(torch.tensor([0])))
    same(reading(three, query.double())[0, 0], torch.tensor([1 / (1 + 0.1 / 3), 0.0], dtype=torch.float64))


def test_leaving_one_out_is_the_closed_form_of_the_inverse(random_state: MakeState) -> None:
    state = random_state(holes=0)
    reading = build()
    unit = torch.nn.functional.normalize(state.keys[0], dim=-1)
    inverse = torch.linalg.inv(torch.exp(3 * (unit @ unit.T - 1)) + torch.diag(0.1 / state.write_count[0].double()))
    residual = (inverse @ state.values[0]) / inverse.diagonal()[:, None]
    left_out = reading.left_out(reading.solve(state), torch.arange(state.slots))
    same(left_out[0], state.values[0] - residual)


@every_problem
def test_numbers_far_from_zero_are_answered_around_their_mean(problem_type: str) -> None:
    memory = KeyValueMemory(2, 1)
    keys = torch.tensor([[[1.0, 0], [0.9, 0.1]]])
    state = memory.write(memory.initial_state(), keys, torch.tensor([[[100.0], [102.0]]]))
    reading = LeastSquaresReading(2, REGRESSION)
    far = reading(reading.solve(state), -keys)  # nothing is stored near: the mean is the best guess
    assert far.flatten().tolist() == pytest.approx([101.0, 101.0], abs=0.1)


class Factored:
    """Records the sizes of the matrices that are factored from scratch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        original = torch.linalg.cholesky

        def cholesky(matrix: Tensor, **kwargs) -> Tensor:
            self.sizes.append(matrix.shape[-1])
            return original(matrix, **kwargs)

        monkeypatch.setattr(torch.linalg, "cholesky", cholesky)


@every_problem
def test_one_more_example_extends_the_factor(
    problem_type: str, random_state: MakeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = random_state(slots=20, holes=1, problem_type=problem_type)
    queries = torch.randn(1, Q, K, dtype=torch.float64)
    reading = build(problem_type)
    fresh = reading.solve(whole)
    factored = Factored(monkeypatch)
    grown = reading.solve(whole.select(torch.arange(12)))
    order = torch.arange(12)
    for new in (1, 3, 4):
        order = torch.cat([order, torch.arange(len(order), len(order) + new)])
        order = order[torch.randperm(len(order))]  # where the slots lie does not matter
        grown = reading.solve(whole.select(order), start=grown)
    again = reading.solve(whole.select(order), start=grown)
    assert factored.sizes == [12, 1, 3, 4]  # nothing new, nothing factored
    same(reading(grown, queries), reading(fresh, queries), 1e-10)
    same(reading(again, queries), reading(fresh, queries), 1e-10)
    left_out = reading.left_out(grown, torch.arange(20))[:, order.argsort()]
    same(left_out, reading.left_out(fresh, torch.arange(20)), 1e-10)


def test_other_values_need_no_new_factor(random_state: MakeState, monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_state(holes=1)
    queries = torch.randn(1, Q, K, dtype=torch.float64)
    reading = build()
    other = state._replace(values=torch.nn.functional.pad(state.values.roll(1, 2), (0, 2)))
    expected = reading(reading.solve(other), queries)
    solution = reading.solve(state)
    factored = Factored(monkeypatch)
    same(reading(reading.solve(other, start=solution), queries), expected)
    assert factored.sizes == []


@pytest.mark.parametrize("change", ["forget", "key", "count", "id", "episodes", "empty slots"])
def test_a_start_that_does_not_fit_is_left_alone(
    change: str, random_state: MakeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = random_state(holes=0)
    queries = torch.randn(1, Q, K, dtype=torch.float64)
    reading = build()
    keys, counts, ids = state.keys.clone(), state.write_count.clone(), state.ids.clone()
    keys[0, 3, 1] += 1e-3
    counts[0, 3] += 1
    ids[0, 3] = 99
    now = {
        "forget": state.select(torch.tensor([0, 1, 2, 4, 5, 6, 7, 8])),
        "key": state._replace(keys=keys),
        "count": state._replace(write_count=counts),
        "id": state._replace(ids=ids),
        "episodes": state,
        "empty slots": state._replace(mask=state.mask.clone().index_fill(1, torch.tensor([1, 2]), False)),
    }[change]
    before = KeyValueState(*(field.expand(2, *field.shape[1:]) for field in state)) if change == "episodes" else state
    start = reading.solve(before)
    expected = reading(reading.solve(now), queries)
    factored = Factored(monkeypatch)
    same(reading(reading.solve(now, start=start), queries), expected, 1e-12)
    assert factored.sizes == [now.slots]


def test_equal_keys_are_told_apart_by_their_ids() -> None:
    memory, reading = KeyValueMemory(K, V), build()
    keys, values = torch.ones(1, 4, K), torch.eye(V)[torch.tensor([[0, 1, 1, 2]])]
    before = memory.write(memory.initial_state(dtype=torch.float64), keys[:, :2], values[:, :2], torch.tensor([[1, 2]]))
    now = memory.write(memory.initial_state(dtype=torch.float64), keys, values, torch.tensor([[0, 3, 4, 5]]))
    expected = reading.solve(now).parts.coefficients
    same(reading.solve(now, start=reading.solve(before)).parts.coefficients, expected)


def test_a_factor_that_grows_keeps_no_graph(random_state: MakeState) -> None:
    state = random_state(holes=0)
    reading = build()
    part = torch.arange(6)
    watched = state.select(part)._replace(keys=state.keys[:, :6].clone().requires_grad_())
    start = reading.solve(watched)
    grown = reading.solve(state, start=start)
    assert not reading(grown, state.keys).requires_grad
    gradients = []
    for start_at in (
        None,
        reading.solve(state.select(part)),
        reading.solve(state),
    ):  # and with one, all keys get theirs
        keys = state.keys.clone().requires_grad_()
        learned = reading.solve(state._replace(keys=keys), start=start_at)
        reading(learned, state.keys.roll(1, 2)).square().sum().backward()
        assert keys.grad is not None
        gradients.append(keys.grad)
    same(gradients[1], gradients[0])
    same(gradients[2], gradients[0])


def local(problem_type: str = SINGLE_LABEL, nearest: int = 128) -> LeastSquaresReading:
    """A reading that solves around each query however few slots there are."""
    return build(problem_type, exact_slots=0, nearest=nearest)


@every_problem
def test_solving_around_a_query_is_exact_when_all_slots_are_around(problem_type: str, random_state: MakeState) -> None:
    state = random_state(batch=2, slots=10, problem_type=problem_type)
    mask = state.mask.clone()
    mask[0, mask[0].nonzero()[-3:, 0]] = False  # episodes of different length
    state = state._replace(mask=mask)
    queries = torch.randn(2, Q, K, dtype=torch.float64)
    quick, full = local(problem_type), build(problem_type)
    one, other = quick.solve(state), full.solve(state)
    same(quick(one, queries), full(other, queries))
    slots = torch.tensor([9, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    for column in range(V):
        same(quick.terms(one, queries, column, slots), full.terms(other, queries, column, slots))
    folds = torch.tensor([0, 1, 2, NEVER_LEFT_OUT, 0, 1, NEVER_LEFT_OUT, 2, 0, 2])
    left_out = (reading.left_out(solution, folds) for reading, solution in ((quick, one), (full, other)))
    asked = mask & (folds != NEVER_LEFT_OUT)
    quick_scores, full_scores = (scores[asked] for scores in left_out)
    same(quick_scores, full_scores)


@every_problem
def test_solving_around_a_query_is_a_full_solve_over_its_nearest_slots(
    problem_type: str, random_state: MakeState
) -> None:
    state = random_state(slots=14, problem_type=problem_type)
    queries = torch.randn(1, Q, K, dtype=torch.float64)
    reading, full = local(problem_type, nearest=4), build(problem_type)
    solution = reading.solve(state)
    scores = reading(solution, queries)
    offset = solution.parts.offset[0]
    cosines = torch.cosine_similarity(queries[0][:, None], state.keys[0][None], dim=-1)
    for q in range(Q):
        near = cosines[q].masked_fill(~state.mask[0], -2).topk(4).indices
        around = state.select(near)
        around = around._replace(values=around.values - offset)  # the mean stays that of all slots
        if problem_type == REGRESSION:
            expected = _without_centring(around, queries[:, q : q + 1]) + offset
        else:
            expected = full(full.solve(around), queries[:, q : q + 1])[0]
        same(scores[:, q], expected)
        terms = reading.terms(solution, queries[:, q : q + 1], 1, torch.arange(14))[0, 0]
        assert set(terms.nonzero()[:, 0].tolist()) <= set(near.tolist())
        same(terms.sum() + offset[0, 1], scores[0, q, 1])


def _without_centring(state: KeyValueState, query: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(state.keys[0], dim=-1)
    matrix = torch.exp(3 * (unit @ unit.T - 1)) + torch.diag(0.1 / state.write_count[0].double())
    kernel = torch.exp(3 * (torch.nn.functional.normalize(query[0], dim=-1) @ unit.T - 1))
    return kernel @ torch.linalg.solve(matrix, state.values[0])


def test_gradients_around_a_query_reach_only_the_slots_read(random_state: MakeState) -> None:
    state = random_state(slots=14)
    query = torch.randn(1, 1, K, dtype=torch.float64)
    reading = local(nearest=3)
    keys = state.keys.clone().requires_grad_()
    reading(reading.solve(state._replace(keys=keys)), query)[..., 0].sum().backward()
    cosines = torch.cosine_similarity(query[0], state.keys[0], dim=-1).masked_fill(~state.mask[0], -2)
    assert keys.grad is not None
    assert keys.grad[0].abs().sum(-1).nonzero()[:, 0].tolist() == sorted(cosines.topk(3).indices.tolist())


@every_problem
def test_gradients_around_a_query_are_those_of_finite_differences(problem_type: str, random_state: MakeState) -> None:
    state = random_state(batch=2, slots=8, problem_type=problem_type)
    queries = torch.randn(2, 2, K, dtype=torch.float64).requires_grad_()
    reading = local(problem_type, nearest=3)
    assert torch.autograd.gradcheck(
        lambda keys, queries: reading(reading.solve(state._replace(keys=keys)), queries),
        (state.keys.requires_grad_(), queries),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_solving_around_a_query_serves_every_precision(dtype: torch.dtype, random_state: MakeState) -> None:
    state, queries = random_state(batch=2), torch.randn(2, Q, K, dtype=torch.float64)
    reading = local(nearest=4)
    expected = reading(reading.solve(state), queries)
    actual = reading.to(dtype)
    logits = actual(actual.solve(state.to(dtype)), queries.to(dtype))
    assert logits.dtype == dtype
    same(logits.double(), expected, 1e-4 if dtype == torch.float32 else 0.2)


@every_problem
def test_a_closed_memory_is_solved_around_a_query_too(problem_type: str, random_state: MakeState) -> None:
    state = random_state(batch=2, problem_type=problem_type)
    mask = state.mask.clone()
    mask[0] = False
    reading = local(problem_type)
    queries = torch.randn(2, Q, K).double()
    one = reading(reading.solve(state._replace(mask=mask)), queries)
    full = build(problem_type)
    same(one, full(full.solve(state._replace(mask=mask)), queries))
    assert (one[0] == 0).all()


def test_where_it_turns_local_and_what_that_costs() -> None:
    labels, each, size = 12, 40, 32
    centres = torch.randn(labels, size)
    label = torch.arange(labels * each) % labels
    memory = KeyValueMemory(size, labels)
    keys = centres[label] + 1.8 * torch.randn(labels * each, size)
    state = memory.write(memory.initial_state(), keys[None], torch.eye(labels)[label][None])
    asked = torch.arange(2400) % labels
    queries = (centres[asked] + 1.8 * torch.randn(2400, size))[None]
    right = {}
    for exact_slots in (labels * each, labels * each - 1):
        reading = LeastSquaresReading(size, exact_slots=exact_slots, nearest=60)
        solution = reading.solve(state)
        assert (solution.parts.factor is None) == (exact_slots < state.slots)
        right[exact_slots] = (reading(solution, queries).argmax(-1)[0] == asked).double().mean().item()
    full, near = right.values()
    assert full > 0.6 and near > full - 0.02


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0.0}, "width is 0.0 and ridge is 0.1; both must be above 0"),
        ({"ridge": -1.0}, "width is 3.0 and ridge is -1.0; both must be above 0"),
        ({"ridge": float("nan")}, "ridge is nan"),
        ({"nearest": 0}, "nearest is 0; a query is answered from at least 1 slot"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        LeastSquaresReading(K, **settings)


def test_the_closed_form_serves_regression_by_solving_again(random_state: MakeState) -> None:
    state = random_state(problem_type=REGRESSION)
    reading = build(REGRESSION)
    solution = reading.solve(state)
    folds = torch.arange(state.slots) % 2
    same(reading.left_out(solution, folds), Reading.left_out(reading, solution, folds))
