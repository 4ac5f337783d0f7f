"""What holds for every similarity: one set of tests over all entries of `SIMILARITIES`."""

import copy

import pytest
import safetensors.torch
import torch
from torch import Tensor

from mann_hf.errors import UnknownNameError
from mann_hf.memory import SIMILARITIES, addressing
from mann_hf.memory.similarity import Similarity

B, S, Q, K = 2, 6, 3, 4

every = pytest.mark.parametrize("name", SIMILARITIES)


def build(name: str) -> Similarity:
    """A similarity with parameters away from where they start."""
    similarity = SIMILARITIES[name](K).double()
    with torch.no_grad():
        for parameter in similarity.parameters():
            parameter.add_(torch.randn_like(parameter))
    return similarity


def vectors() -> tuple[Tensor, Tensor]:
    return torch.randn(B, S, K, dtype=torch.float64), torch.randn(B, Q, K, dtype=torch.float64)


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(UnknownNameError) as caught:
        SIMILARITIES["jaccard"]
    assert str(caught.value) == (
        "unknown similarity 'jaccard'; choose one of 'cosine', 'dot', 'euclidean', 'bilinear'."
    )
    assert (caught.value.kind, caught.value.name, caught.value.choices) == ("similarity", "jaccard", [*SIMILARITIES])


@pytest.mark.parametrize("name", [None, 3, ["cosine"]])
def test_a_name_of_another_type_is_refused_alike(name: object) -> None:
    with pytest.raises(UnknownNameError, match="unknown similarity .*; choose one of 'cosine'"):
        SIMILARITIES[name]  # type: ignore[index]


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="the similarity 'cosine' is registered already"):
        SIMILARITIES.register("cosine")(SIMILARITIES["dot"])
    assert SIMILARITIES["cosine"] is not SIMILARITIES["dot"]


@every
def test_it_is_the_function_of_its_name(name: str) -> None:
    similarity, (keys, queries) = build(name), vectors()
    function = getattr(addressing, f"{name}_similarity")
    torch.testing.assert_close(similarity(keys, queries), function(keys, queries, *similarity.parameters()))
    assert similarity(keys, queries).shape == (B, Q, S)


@every
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    similarity, (keys, queries) = build(name), vectors()
    inputs = [keys, queries, *(parameter.detach().clone() for parameter in similarity.parameters())]
    names = [parameter for parameter, _ in similarity.named_parameters()]

    def function(keys: Tensor, queries: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(similarity, dict(zip(names, parameters, strict=True)), (keys, queries))

    assert torch.autograd.gradcheck(function, [x.requires_grad_() for x in inputs])


@every
def test_episodes_and_queries_and_slots_do_not_touch_each_other(name: str) -> None:
    similarity, (keys, queries) = build(name), vectors()
    together = similarity(keys, queries)
    for b in range(B):
        for q in range(Q):
            for s in range(S):
                alone = similarity(keys[b : b + 1, s : s + 1], queries[b : b + 1, q : q + 1])
                torch.testing.assert_close(together[b, q, s], alone[0, 0, 0])


@every
def test_nothing_that_comes_in_is_changed(name: str) -> None:
    similarity, (keys, queries) = build(name), vectors()
    before = keys.clone(), queries.clone(), copy.deepcopy(similarity.state_dict())
    similarity(keys, queries)
    torch.testing.assert_close((keys, queries, similarity.state_dict()), before, atol=0, rtol=0)


@every
def test_it_says_whether_length_matters(name: str) -> None:
    similarity, (keys, queries) = build(name), vectors()
    plain = similarity(keys, queries)
    indifferent = torch.allclose(similarity(3 * keys, queries), plain) and torch.allclose(
        similarity(keys, 0.2 * queries), plain
    )
    assert similarity.scale_free == indifferent


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_no_nan_from_zero_vectors(name: str, dtype: torch.dtype) -> None:
    keys = torch.zeros(1, S, K, dtype=dtype, requires_grad=True)
    queries = torch.zeros(1, Q, K, dtype=dtype, requires_grad=True)
    result = build(name).to(dtype)(keys, queries)
    assert result.dtype == dtype
    assert (result == 0).all()
    result.sum().backward()
    assert keys.grad is not None and queries.grad is not None
    assert keys.grad.isfinite().all() and queries.grad.isfinite().all()


@every
def test_an_empty_memory_has_no_scores(name: str) -> None:
    assert build(name)(torch.zeros(B, 0, K).double(), torch.ones(B, Q, K).double()).shape == (B, Q, 0)


@every
def test_parameters_are_saved_and_loaded(name: str) -> None:
    similarity, (keys, queries) = build(name), vectors()
    other = SIMILARITIES[name](K).double()
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(similarity.state_dict())), strict=True)
    torch.testing.assert_close(other(keys, queries), similarity(keys, queries), atol=0, rtol=0)


def test_the_learned_one_starts_as_the_inner_product() -> None:
    keys, queries = vectors()
    learned = SIMILARITIES["bilinear"](K).double()
    torch.testing.assert_close(learned(keys, queries), SIMILARITIES["dot"](K)(keys, queries))
    assert sum(parameter.numel() for parameter in learned.parameters()) == K * K
    assert not any(list(SIMILARITIES[name](K).parameters()) for name in SIMILARITIES if name != "bilinear")
