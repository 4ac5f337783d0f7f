import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mann_hf.errors import InvalidInputError
from mann_hf.memory import SIMILARITIES, KeyValueMemory, KeyValueState
from mann_hf.memory.reading import MULTI_LABEL, PROBLEM_TYPES, REGRESSION, SINGLE_LABEL, AttentionReading
from mann_hf.targets.kinds import TOKEN_IDS

K, V, Q = 4, 3, 5
MakeState = Callable[..., KeyValueState]


def similarity(name: str, key: np.ndarray, query: np.ndarray, weight: np.ndarray) -> float:
    return {
        "cosine": lambda: key @ query / np.linalg.norm(key) / np.linalg.norm(query),
        "dot": lambda: key @ query,
        "euclidean": lambda: -np.sum((key - query) ** 2),
        "bilinear": lambda: query @ weight @ key,
    }[name]()


def reference(state: KeyValueState, queries: Tensor, name: str, sharpness: float, weight: Tensor) -> Tensor:
    """Σ_i w_i v_i slot by slot: [B, Q, V]."""
    result = torch.zeros(*queries.shape[:2], state.values.shape[-1], dtype=torch.float64)
    for b, q in np.ndindex(*queries.shape[:2]):
        raised = {}
        for i in state.mask[b].nonzero()[:, 0].tolist():
            score = similarity(name, state.keys[b, i].numpy(), queries[b, q].numpy(), weight.numpy())
            raised[i] = int(state.write_count[b, i]) * math.exp(sharpness * score)
        for i, part in raised.items():
            result[b, q] += part / sum(raised.values()) * state.values[b, i]
    return result


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_it_is_the_loop_over_slots(name: str, problem_type: str, random_state: MakeState) -> None:
    state = random_state(batch=2, problem_type=problem_type)
    queries = torch.randn(2, Q, K, dtype=torch.float64)
    reading = AttentionReading(K, problem_type, name, sharpness=1.3).double()
    weight = next(reading.similarity.parameters(), torch.zeros(K, K)).detach().double()
    expected = reference(state, queries, name, 1.3, weight)
    logits = reading(reading.solve(state), queries).detach()
    predicted = reading.predicted(reading.solve(state), logits)
    torch.testing.assert_close(predicted, expected, atol=1e-6, rtol=1e-6)
    if problem_type == SINGLE_LABEL:
        torch.testing.assert_close(logits.softmax(-1), expected, atol=1e-6, rtol=1e-6)


def test_a_sharpness_in_the_call_takes_the_place_of_its_own(random_state: MakeState) -> None:
    state, queries = random_state(), torch.randn(1, Q, K, dtype=torch.float64)
    for sharpness in (0.5, torch.tensor(0.5)):
        one, other = AttentionReading(K).double(), AttentionReading(K, sharpness=0.5).double()
        torch.testing.assert_close(one(one.solve(state), queries, sharpness), other(other.solve(state), queries))


def test_planted_slots_are_read() -> None:
    memory = KeyValueMemory(K, V)
    state = memory.write(memory.initial_state(), torch.eye(K)[None], torch.eye(V)[[0, 1, 2, 0]][None])
    reading = AttentionReading(K, sharpness=100.0)
    predicted = reading.predicted(reading.solve(state), reading(reading.solve(state), torch.eye(K)[None]))
    torch.testing.assert_close(predicted, state.values, atol=1e-6, rtol=0)
    terms = reading.terms(reading.solve(state), torch.eye(K)[None], 0, torch.arange(4))
    torch.testing.assert_close(terms[0], torch.diag(torch.tensor([1.0, 0, 0, 1])), atol=1e-6, rtol=0)


def test_several_labels_are_answered_each_for_itself() -> None:
    memory = KeyValueMemory(2, V)
    values = torch.tensor([[[1.0, 1, 0], [0, 1, 0], [1, 0, 0]]])
    state = memory.write(memory.initial_state(), torch.ones(1, 3, 2), values)
    reading = AttentionReading(2, MULTI_LABEL)
    probabilities = reading(reading.solve(state), torch.ones(1, 1, 2)).sigmoid()
    torch.testing.assert_close(probabilities, torch.tensor([[[2 / 3, 2 / 3, 0]]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_a_memory_that_is_closed_predicts_nothing(problem_type: str) -> None:
    state = KeyValueMemory(K, V).initial_state(2)
    reading = AttentionReading(K, problem_type)
    predicted = reading.predicted(reading.solve(state), reading(reading.solve(state), torch.randn(2, Q, K)))
    torch.testing.assert_close(predicted, torch.zeros(2, Q, V), atol=1e-8, rtol=0)


def test_numbers_are_averaged() -> None:
    memory = KeyValueMemory(2, 1)
    state = memory.write(memory.initial_state(), torch.ones(1, 3, 2), torch.tensor([[[1.0], [2.0], [6.0]]]))
    reading = AttentionReading(2, REGRESSION)
    assert reading(reading.solve(state), torch.ones(1, 1, 2)).item() == pytest.approx(3.0)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_of_the_nearest_slots_it_is_the_loop_over_these(name: str, random_state: MakeState) -> None:
    state = random_state(batch=2)
    queries = torch.randn(2, Q, K, dtype=torch.float64)
    reading = AttentionReading(K, SINGLE_LABEL, name, sharpness=1.3, nearest=3).double()
    weight = next(reading.similarity.parameters(), torch.zeros(K, K)).detach().double()
    expected = torch.zeros(2, Q, state.values.shape[-1], dtype=torch.float64)
    for b, q in np.ndindex(2, Q):
        alike = {
            slot: similarity(name, state.keys[b, slot].numpy(), queries[b, q].numpy(), weight.numpy())
            for slot in state.mask[b].nonzero()[:, 0].tolist()
        }
        near = sorted(alike, key=lambda slot: -alike[slot])[:3]
        alone = state._replace(mask=state.mask & torch.isin(torch.arange(state.slots), torch.tensor(near)))
        expected[b, q] = reference(alone, queries, name, 1.3, weight)[b, q]
    solution = reading.solve(state)
    logits = reading(solution, queries).detach()
    torch.testing.assert_close(reading.predicted(solution, logits), expected, atol=1e-6, rtol=1e-6)
    scores = reading.scores(solution, queries)
    assert scores.isfinite().sum(-1).tolist() == [[min(3, int(used.sum()))] * Q for used in state.mask]
    torch.testing.assert_close(reading.logits(solution, scores), logits)


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_the_terms_of_the_nearest_slots_are_all_there_is(problem_type: str, random_state: MakeState) -> None:
    state, queries = random_state(batch=2, problem_type=problem_type), torch.randn(2, Q, K, dtype=torch.float64)
    reading = AttentionReading(K, problem_type, nearest=3).double()
    solution = reading.solve(state)
    predicted = reading.predicted(solution, reading(solution, queries))
    slots = torch.randperm(state.slots)
    for column in range(V):
        terms = reading.terms(solution, queries, column, slots)
        assert ((terms != 0).sum(-1) <= 3).all()
        torch.testing.assert_close(terms.sum(-1), predicted[..., column], atol=1e-8, rtol=1e-6)
        half = reading.terms(solution, queries, column, slots[:2])
        torch.testing.assert_close(half, terms[..., :2])


def test_with_as_many_nearest_slots_as_there_are_nothing_changes(random_state: MakeState) -> None:
    state, queries = random_state(batch=2), torch.randn(2, Q, K, dtype=torch.float64)
    near, every = AttentionReading(K, nearest=99).double(), AttentionReading(K).double()
    torch.testing.assert_close(near(near.solve(state), queries), every(every.solve(state), queries))
    folds = torch.arange(state.slots) % 3
    one, other = (each.left_out(each.solve(state), folds) for each in (near, every))
    torch.testing.assert_close(one, other)


def test_a_left_out_answer_is_that_of_the_nearest_others(random_state: MakeState) -> None:
    state = random_state(batch=1)
    state = state._replace(keys=torch.randn_like(state.keys), mask=torch.ones_like(state.mask))
    reading = AttentionReading(K, nearest=3).double()
    folds = torch.arange(state.slots) % 4
    scores = reading.left_out(reading.solve(state), folds)
    for slot in range(state.slots):
        without = state._replace(mask=state.mask & (folds != folds[slot]))
        torch.testing.assert_close(scores[:, slot], reading.scores(reading.solve(without), state.keys[:, [slot]])[:, 0])


def test_only_the_slots_that_are_read_get_gradients(random_state: MakeState) -> None:
    state = random_state(batch=1, problem_type=REGRESSION)
    keys = state.keys.clone().requires_grad_()
    reading = AttentionReading(K, REGRESSION, nearest=2).double()
    queries = torch.randn(1, 1, K, dtype=torch.float64)
    solution = reading.solve(state._replace(keys=keys))
    reading(solution, queries)[0, 0, 0].backward()
    read = reading.scores(solution, queries)[0, 0].isfinite()
    assert keys.grad is not None and keys.grad[0, read].any(1).all() and not keys.grad[0, ~read].any()


def test_a_number_of_slots_below_0_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="nearest is -1; a query reads at least 1"):
        AttentionReading(K, nearest=-1)


@pytest.mark.parametrize("nearest", [0, 3])
def test_tokens_are_read_from_whole_numbers_as_from_one_hot_rows(nearest: int) -> None:
    vocabulary, slots = 50, 9
    draw = torch.Generator().manual_seed(0)
    keys, queries = (torch.randn(2, many, K, generator=draw, dtype=torch.float64) for many in (slots, Q))
    tokens = torch.randint(0, vocabulary, (2, slots), generator=draw)
    numbers = KeyValueMemory(K, vocabulary, integer_values=True)
    state = numbers.write(numbers.initial_state(2, dtype=torch.float64), keys, tokens)
    reading = AttentionReading(K, TOKEN_IDS, nearest=nearest, outputs=vocabulary).double()
    solution = reading.solve(state)
    logits = reading(solution, queries)
    dense = KeyValueMemory(K, vocabulary)
    rows = torch.nn.functional.one_hot(tokens, vocabulary).double()
    same = dense.write(dense.initial_state(2, dtype=torch.float64), keys, rows)
    other = AttentionReading(K, nearest=nearest).double()
    torch.testing.assert_close(logits, other(other.solve(same), queries))
    every = torch.arange(slots)
    for token in tokens[0, :2].tolist():
        terms = reading.terms(solution, queries, token, every)
        torch.testing.assert_close(terms, other.terms(other.solve(same), queries, token, every))
        torch.testing.assert_close(terms.sum(-1), reading.predicted(solution, logits)[..., token], atol=1e-6, rtol=0)


def test_a_vocabulary_of_any_size_is_stored_as_one_number_a_slot() -> None:
    numbers = KeyValueMemory(K, 32_000, integer_values=True)
    state = numbers.write(numbers.initial_state(), torch.eye(K)[None, :2], torch.tensor([[31_999, 0]]))
    assert state.values.numel() == 2
    reading = AttentionReading(K, TOKEN_IDS, outputs=32_000)
    assert reading(reading.solve(state), torch.eye(K)[None, :1]).argmax(-1).tolist() == [[31_999]]


@pytest.mark.parametrize(("problem_type", "outputs"), [(TOKEN_IDS, 0), (SINGLE_LABEL, 5)])
def test_outputs_are_given_where_values_do_not_say_them(problem_type: str, outputs: int) -> None:
    with pytest.raises(InvalidInputError, match=f"outputs is {outputs}; with problem_type='{problem_type}' give"):
        AttentionReading(K, problem_type, outputs=outputs)
