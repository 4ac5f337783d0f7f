"""Each equation against a loop over single numbers in float64, then what must stay true of any input."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mann_hf.errors import InvalidInputError
from mann_hf.memory import (
    bilinear_similarity,
    content_weights,
    cosine_similarity,
    dot_similarity,
    euclidean_similarity,
    sparse_content_weights,
)
from mann_hf.memory.addressing import nan_free_softmax, sharpened, unit

B, S, Q, K = 2, 7, 3, 4


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def loop(keys: Tensor, queries: Tensor, similarity) -> Tensor:
    """`similarity(key, query)` of plain lists, for each pair: [B, Q, S]."""
    return torch.tensor(
        [
            [[similarity(key, query) for key in episode_keys] for query in episode_queries]
            for episode_keys, episode_queries in zip(keys.tolist(), queries.tolist(), strict=True)
        ],
        dtype=torch.float64,
    )


def dot(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


def test_cosine_is_that_of_the_loop() -> None:
    keys, queries = random(B, S, K), random(B, Q, K)
    expected = loop(keys, queries, lambda k, q: dot(k, q) / math.sqrt(dot(k, k) * dot(q, q)))
    close(cosine_similarity(keys, queries), expected)


def test_dot_is_that_of_the_loop() -> None:
    keys, queries = random(B, S, K), random(B, Q, K)
    close(dot_similarity(keys, queries), loop(keys, queries, dot))


def test_euclidean_is_that_of_the_loop() -> None:
    keys, queries = random(B, S, K), random(B, Q, K)
    expected = loop(keys, queries, lambda k, q: -math.fsum((x - y) ** 2 for x, y in zip(k, q, strict=True)))
    close(euclidean_similarity(keys, queries), expected)


def test_bilinear_is_that_of_the_loop() -> None:
    keys, queries, weight = random(B, S, K), random(B, Q, K), random(K, K)  # no symmetry: q M k is not k M q
    rows = weight.tolist()

    def similarity(key: list[float], query: list[float]) -> float:
        return math.fsum(query[i] * rows[i][j] * key[j] for i in range(K) for j in range(K))

    close(bilinear_similarity(keys, queries, weight), loop(keys, queries, similarity))
    close(bilinear_similarity(keys, queries, torch.eye(K, dtype=torch.float64)), dot_similarity(keys, queries))


def test_planted_vectors_have_known_similarities() -> None:
    keys = torch.tensor([[[1.0, 0], [0, 2], [-3, 0], [3, 4]]])
    query = torch.tensor([[[2.0, 0]]])
    close(cosine_similarity(keys, query), torch.tensor([[[1.0, 0, -1, 0.6]]]), 1e-6)
    close(dot_similarity(keys, query), torch.tensor([[[2.0, 0, -6, 6]]]), 1e-6)
    close(euclidean_similarity(keys, query), torch.tensor([[[-1.0, -8, -25, -17]]]), 1e-6)
    turn = torch.tensor([[0.0, 1], [-1, 0]])
    close(bilinear_similarity(keys, query, turn), torch.tensor([[[0.0, 4, 0, 8]]]), 1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_unit_leaves_zero_alone_and_nothing_becomes_nan(dtype: torch.dtype) -> None:
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3e-4, 4e-4]], dtype=dtype)
    expected = torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.6, 0.8]], dtype=dtype)
    torch.testing.assert_close(unit(vectors), expected, atol=3 * torch.finfo(dtype).eps, rtol=0)
    assert cosine_similarity(vectors[None], vectors[None]).isfinite().all()


def reference_weights(scores: Tensor, sharpness: float, mask: Tensor, counts: Tensor) -> Tensor:
    """n_i exp(β s_i) / Σ_j n_j exp(β s_j) over the open slots, number by number."""
    weights = np.zeros(tuple(scores.shape))
    for b, q in np.ndindex(*scores.shape[:2]):
        parts = {
            i: float(counts[b, i]) * math.exp(sharpness * float(scores[b, q, i]))
            for i in range(scores.shape[2])
            if mask[b, i]
        }
        for i, part in parts.items():
            weights[b, q, i] = part / math.fsum(parts.values())
    return torch.from_numpy(weights)


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 7.5])
def test_content_weights_are_those_of_the_loop(sharpness: float) -> None:
    scores = random(B, Q, S)
    counts = torch.randint(1, 6, (B, S))
    mask = torch.rand(B, S) > 0.4
    every, ones = torch.ones(B, S, dtype=torch.bool), torch.ones(B, S)
    close(content_weights(scores, sharpness), reference_weights(scores, sharpness, every, ones))
    close(content_weights(scores, sharpness, mask), reference_weights(scores, sharpness, mask, ones))
    close(content_weights(scores, sharpness, None, counts), reference_weights(scores, sharpness, every, counts))
    close(content_weights(scores, sharpness, mask, counts), reference_weights(scores, sharpness, mask, counts))


def test_content_weights_take_a_sharpness_for_each_query() -> None:
    scores, sharpness = random(B, Q, S), torch.rand(B, Q, 1, dtype=torch.float64) * 5
    weights = content_weights(scores, sharpness)
    for b, q in np.ndindex(B, Q):
        close(weights[b, q], content_weights(scores[b : b + 1, q : q + 1], float(sharpness[b, q, 0]))[0, 0])


def test_content_weights_find_the_planted_slot() -> None:
    keys = torch.eye(K)[None].double()
    weights = content_weights(cosine_similarity(keys, keys[:, [2, 0]]), 50.0)
    close(weights, torch.eye(K)[None, [2, 0]].double(), 1e-9)


def test_content_weights_sum_to_one_or_to_zero_where_nothing_is_open() -> None:
    mask = torch.tensor([[True] * S, [False] * S])
    weights = content_weights(random(B, Q, S), 3.0, mask, torch.zeros(B, S, dtype=torch.int64))
    close(weights.sum(-1), torch.tensor([[1.0] * Q, [0.0] * Q]).double())
    assert content_weights(random(B, Q, 0)).shape == (B, Q, 0)


@pytest.mark.parametrize("sharpness", [1e6, 1e-6])
def test_content_weights_neither_overflow_nor_vanish(sharpness: float) -> None:
    weights = content_weights(random(B, Q, S).float() * 100, sharpness)
    assert weights.isfinite().all()
    close(weights.sum(-1), torch.ones(B, Q), 1e-5)


def test_content_weights_do_not_change_their_input() -> None:
    scores, mask, counts = random(B, Q, S), torch.rand(B, S) > 0.5, torch.randint(1, 4, (B, S))
    before = scores.clone(), mask.clone(), counts.clone()
    content_weights(scores, 2.0, mask, counts)
    torch.testing.assert_close((scores, mask, counts), before, atol=0, rtol=0)


def test_gradients_of_content_weights_are_those_of_finite_differences() -> None:
    mask = torch.tensor([[True, True, False, True, False, True, True], [False] * S])  # the second episode is closed
    counts = torch.randint(1, 6, (B, S))
    scores = random(B, Q, S).requires_grad_()
    sharpness = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, b: content_weights(s, b, mask, counts), (scores, sharpness))


def test_scores_of_minus_infinity_stay_closed_and_give_no_gradient() -> None:
    scores = random(1, Q, S)
    scores[..., 2] = -math.inf
    scores.requires_grad_()
    sharpness = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    weights = content_weights(scores, sharpness)
    assert (weights[..., 2] == 0).all()
    weights.square().sum().backward()
    assert sharpness.grad is not None and scores.grad is not None
    assert sharpness.grad.isfinite() and sharpness.grad != 0
    assert scores.grad.isfinite().all() and (scores.grad[..., 2] == 0).all()
    assert torch.equal(sharpened(scores, 0.0)[..., 2], scores[..., 2])


def test_softmax_is_the_usual_one_where_anything_is_open() -> None:
    scores = random(B, Q, S)
    close(nan_free_softmax(scores), scores.softmax(-1))
    scores[0, 1] = -math.inf
    assert (nan_free_softmax(scores)[0, 1] == 0).all()


@pytest.mark.parametrize("k", [1, 3, S, S + 5])
@pytest.mark.parametrize("masked", [False, True])
def test_the_sparse_form_is_the_dense_one_over_the_best_slots(k: int, masked: bool) -> None:
    keys, queries = random(B, S, K), random(B, Q, K)
    mask = torch.ones(B, S, dtype=torch.bool)
    if masked:
        mask[0, [1, 4]] = False
        mask[1, 2:] = False
    weights, slots = sparse_content_weights(keys, queries, k, 2.0, mask if masked else None)
    width = min(k, int(mask.sum(1).max()))
    assert weights.shape == slots.shape == (B, Q, width)
    scores = dot_similarity(keys, queries).masked_fill(~mask[:, None], -math.inf)
    for b, q in np.ndindex(B, Q):
        open_slots = [i for i in range(S) if mask[b, i]]
        best = sorted(open_slots, key=lambda i: -float(scores[b, q, i]))[:k]
        raised = [math.exp(2.0 * float(scores[b, q, i])) for i in best]
        expected = [x / math.fsum(raised) for x in raised] + [0.0] * (width - len(best))
        close(weights[b, q], torch.tensor(expected, dtype=torch.float64), 1e-9)
        assert slots[b, q].tolist() == best + [0] * (width - len(best))


def test_the_sparse_form_with_all_slots_is_the_dense_form() -> None:
    keys, queries = random(B, S, K), random(B, Q, K)
    weights, slots = sparse_content_weights(keys, queries, S, 0.7)
    dense = torch.zeros(B, Q, S, dtype=torch.float64).scatter(2, slots, weights)
    close(dense, content_weights(dot_similarity(keys, queries), 0.7))


def test_the_sparse_form_gives_gradients_to_the_slots_read_alone() -> None:
    keys, queries = random(B, S, K).requires_grad_(), random(B, 1, K).requires_grad_()
    weights, slots = sparse_content_weights(keys, queries, 3)
    weights[..., 0].sum().backward()
    assert keys.grad is not None and queries.grad is not None
    for b in range(B):
        touched = keys.grad[b].abs().sum(-1).nonzero()[:, 0].tolist()
        assert touched == sorted(slots[b, 0].tolist())
    assert queries.grad.abs().min() > 0


def test_gradients_of_the_sparse_form_are_those_of_finite_differences() -> None:
    keys, queries = random(B, S, K).requires_grad_(), random(B, Q, K).requires_grad_()
    sharpness = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(B, S, dtype=torch.bool)
    mask[1, :5] = False  # two open slots where three are asked for
    assert torch.autograd.gradcheck(
        lambda k, q, b: sparse_content_weights(k, q, 3, b, mask)[0], (keys, queries, sharpness)
    )


def test_the_sparse_form_of_a_closed_memory_is_empty() -> None:
    weights, slots = sparse_content_weights(random(1, S, K), random(1, Q, K), 3, mask=torch.zeros(1, S).bool())
    assert weights.shape == slots.shape == (1, Q, 0)
    mask = torch.tensor([[False] * S, [True] * S])
    weights, _ = sparse_content_weights(random(2, S, K), random(2, Q, K), 3, mask=mask)
    assert (weights[0] == 0).all()
    close(weights[1].sum(-1), torch.ones(Q).double())


def test_the_sparse_form_reads_at_least_one_slot() -> None:
    with pytest.raises(InvalidInputError, match="k is 0; ask for at least 1 slot"):
        sparse_content_weights(random(1, S, K), random(1, Q, K), 0)
