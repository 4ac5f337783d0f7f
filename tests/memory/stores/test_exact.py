import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mann_hf.errors import InvalidInputError
from mann_hf.memory.stores import exact, nearest

# Sizes from which the search changes its ways, made small enough for these tests to reach them with few slots.
WAYS = {
    "as it is": {},
    "groups": {"_GROUPS_PAY_FROM": 1, "_GROUPS_PAY_FROM_PER_K": 3, "_GROUP_SIZE": 2},
    "chunks": {"_CHUNK_NUMBERS": 40, "_CHUNK_NUMBERS_ELSEWHERE": 40},
    "chunks of groups": {"_CHUNK_NUMBERS": 200, "_GROUPS_PAY_FROM": 1, "_GROUPS_PAY_FROM_PER_K": 6, "_GROUP_SIZE": 3},
    "queries in parts": {"_QUERIES_AT_ONCE": 2},
    "rows behind": {"_TOPK_ALONE": 128},
}


def dense(keys: Tensor, queries: Tensor, k: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """All products, ranked by a stable sort."""
    dtype = torch.promote_types(torch.promote_types(keys.dtype, queries.dtype), torch.float32)
    scores = queries.to(dtype) @ keys.to(dtype).T
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
        k = min(k, int(mask.sum()))
    scores, slots = scores.sort(dim=1, descending=True, stable=True)
    return scores[:, :k], slots[:, :k]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> dict[str, int]:
    return WAYS[request.param]


@st.composite
def searches(draw: st.DrawFn) -> tuple[Tensor, Tensor, int, Tensor | None]:
    """Small whole numbers: products are exact and many of them equal."""
    slots, size, count = draw(st.integers(0, 80)), draw(st.integers(1, 3)), draw(st.integers(0, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    largest = draw(st.sampled_from([0, 1, 30]))
    dtypes = st.sampled_from([torch.float32, torch.float64, torch.bfloat16])
    keys = torch.randint(-largest, largest + 1, (slots, size), generator=generator).to(draw(dtypes))
    queries = torch.randint(-largest, largest + 1, (count, size), generator=generator).to(draw(dtypes))
    share = draw(st.sampled_from([None, 0.0, 0.1, 0.9, 1.0]))
    mask = None if share is None else torch.rand(slots, generator=generator) < share
    return keys, queries, draw(st.integers(1, 12)), mask


@pytest.mark.parametrize("name", WAYS)
@given(search=searches())
def test_equals_ranking_all_products_with_the_lowest_slot_first(
    name: str, search: tuple[Tensor, Tensor, int, Tensor | None]
) -> None:
    keys, queries, k, mask = search
    with pytest.MonkeyPatch.context() as patch:
        for constant, value in WAYS[name].items():
            patch.setattr(exact, constant, value)
        scores, slots = nearest(keys, queries, k, mask)
    expected_scores, expected_slots = dense(keys, queries, k, mask)
    torch.testing.assert_close(scores, expected_scores, rtol=0, atol=0)
    torch.testing.assert_close(slots, expected_slots, rtol=0, atol=0)


@pytest.mark.parametrize("k", [1, 2, 32, 700])
@pytest.mark.parametrize("slots", [1000, 20_003, 70_000])
def test_equals_ranking_all_products_at_the_sizes_of_real_memories(slots: int, k: int) -> None:
    generator = torch.Generator().manual_seed(slots)
    keys, queries = torch.randn(slots, 8, generator=generator), torch.randn(32, 8, generator=generator)
    mask = torch.rand(slots, generator=generator) < 0.7
    for valid in (None, mask):
        scores, found = nearest(keys, queries, k, valid)
        expected_scores, expected_slots = dense(keys, queries, k, valid)
        torch.testing.assert_close(scores, expected_scores)
        # Rounding may swap neighbours whose products are as good as equal.
        assert (found == expected_slots).float().mean() > 0.999
        torch.testing.assert_close((queries.unsqueeze(1) * keys[found]).sum(2), expected_scores)


def test_a_large_memory_of_one_key_over_and_over_gives_its_first_slots() -> None:
    keys = torch.ones(100_000, 4)
    mask = torch.arange(100_000) % 3 == 2
    assert nearest(keys, torch.ones(2, 4), 5)[1].tolist() == [[0, 1, 2, 3, 4]] * 2
    assert nearest(keys, torch.ones(2, 4), 5, mask)[1].tolist() == [[2, 5, 8, 11, 14]] * 2


def test_the_first_of_many_groups_with_equal_maxima() -> None:
    keys = torch.zeros(20_000, 1)
    keys[7::16] = 1  # one in each group
    for k in (2, 6, 40, 300):
        assert torch.equal(nearest(keys, torch.ones(3, 1), k)[1], torch.arange(7, 16 * k, 16).expand(3, -1))


def test_as_many_slots_as_are_valid_when_k_is_more() -> None:
    keys, queries = torch.tensor([[1.0], [3.0], [2.0]]), torch.tensor([[1.0], [-1.0]])
    assert nearest(keys, queries, 9)[1].tolist() == [[1, 2, 0], [0, 2, 1]]
    assert nearest(keys, queries, 9, torch.tensor([True, False, True]))[1].tolist() == [[2, 0], [0, 2]]
    for found in (nearest(keys, queries, 9, torch.zeros(3, dtype=torch.bool)), nearest(keys[:0], queries, 9)):
        assert [part.shape for part in found] == [(2, 0), (2, 0)]
        assert found[1].dtype == torch.int64


def test_half_precision_keys_are_ranked_by_float32_products() -> None:
    keys = torch.tensor([[1.0, 0.0], [1.0, 2.0**-7]], dtype=torch.bfloat16)
    queries = torch.tensor([[1.0, 2.0**-7]], dtype=torch.bfloat16)  # the products differ by 2**-14
    scores, slots = nearest(keys, queries, 2)
    assert slots.tolist() == [[1, 0]]
    assert scores.tolist() == [[1 + 2**-14, 1]]
    assert scores.dtype == torch.float32


def test_autocast_does_not_round_the_products() -> None:
    keys = torch.tensor([[1.0, 0.0], [1.0, 2.0**-7]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores, slots = nearest(keys, keys[1:], 2)
    assert (scores.tolist(), slots.tolist()) == ([[1 + 2**-14, 1]], [[1, 0]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_never_holds_the_scores_of_all_slots(dtype: torch.dtype) -> None:
    keys, queries = torch.randn(300_000, 4).to(dtype), torch.randn(32, 4)
    largest = 0

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, (tuple, list)) else [result]:
                if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() != keys.data_ptr():
                    largest = max(largest, tensor.untyped_storage().nbytes())
            return result

    with Sizes():
        nearest(keys, queries, 10)
    assert 0 < largest <= 8 * 2**20 < 4 * len(keys) * len(queries)


def test_gradients_are_those_of_the_slots_read_and_of_no_other() -> None:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(50, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    queries = torch.randn(3, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    scores, slots = nearest(keys, queries, 4)
    found = torch.autograd.grad((scores.softmax(1) * weights).sum(), (keys, queries))
    expected = torch.autograd.grad(((queries @ keys.T).topk(4)[0].softmax(1) * weights).sum(), (keys, queries))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    unread = torch.ones(50, dtype=torch.bool)
    unread[slots.flatten()] = False
    assert unread.any()
    assert not found[0][unread].any()
    assert found[0][~unread].all()


def test_first_and_second_derivatives() -> None:
    generator = torch.Generator().manual_seed(1)
    keys = torch.randn(12, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    queries = torch.randn(2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(12) != 5

    def scores(keys: Tensor, queries: Tensor) -> Tensor:
        return nearest(keys, queries, 4, mask)[0]

    assert torch.autograd.gradcheck(scores, (keys, queries))
    assert torch.autograd.gradgradcheck(scores, (keys, queries))
    by_transform = torch.func.grad(lambda keys: scores(keys, queries.detach()).square().sum())(keys.detach())
    by_backward = torch.autograd.grad(scores(keys, queries).square().sum(), keys)[0]
    torch.testing.assert_close(by_transform, by_backward)


@pytest.mark.parametrize("asks", ["keys", "queries"])
def test_gradients_only_where_asked_for(asks: str) -> None:
    inputs = {"keys": torch.randn(1000, 3), "queries": torch.randn(32, 3)}
    inputs[asks].requires_grad_()
    nearest(**inputs, k=2)[0].sum().backward()
    assert {name for name, value in inputs.items() if value.grad is not None} == {asks}
    with torch.no_grad():
        assert not nearest(**inputs, k=2)[0].requires_grad


def test_with_and_without_gradients_the_same_slots(way: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, value in way.items():
        monkeypatch.setattr(exact, constant, value)
    keys, queries = torch.randint(-2, 3, (70, 3)).float(), torch.randint(-2, 3, (5, 3)).float()
    scores, slots = nearest(keys, queries, 8)
    scores_again, slots_again = nearest(keys.clone().requires_grad_(), queries, 8)
    assert torch.equal(scores, scores_again.detach())
    assert torch.equal(slots, slots_again)


def test_leaves_its_inputs_as_they_are() -> None:
    keys, queries, mask = torch.randn(1000, 3), torch.randn(32, 3), torch.rand(1000) < 0.5
    before = keys.clone(), queries.clone(), mask.clone()
    nearest(keys, queries, 7, mask)
    assert all(torch.equal(one, other) for one, other in zip(before, (keys, queries, mask), strict=True))


@pytest.mark.parametrize(
    "keys, queries, k, mask, message",
    [
        (torch.ones(3, 2), torch.ones(1, 2), 0, None, "k is 0; ask for at least 1"),
        (torch.ones(3, 2), torch.ones(1, 4), 1, None, r"\[3, 2\] and queries \[1, 4\]"),
        (torch.ones(3, 2), torch.ones(2), 1, None, r"queries \[2\].*a single query given as \[1, K\]"),
        (torch.ones(3, 2, dtype=torch.int64), torch.ones(1, 2), 1, None, "keys are torch.int64"),
        (torch.ones(3, 2), torch.ones(1, 2, dtype=torch.int32), 1, None, "queries torch.int32"),
        (torch.ones(3, 2), torch.ones(1, 2, device="meta"), 1, None, "keys are on cpu and queries on meta"),
        (torch.ones(3, 2), torch.ones(1, 2), 1, torch.ones(4, dtype=torch.bool), r"of shape \[4\].*of shape \[3\]"),
        (torch.ones(3, 2), torch.ones(1, 2), 1, torch.ones(3), "mask is torch.float32.*must be torch.bool"),
    ],
)
def test_what_does_not_fit_is_refused(keys: Tensor, queries: Tensor, k: int, mask: Tensor | None, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        nearest(keys, queries, k, mask)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu() -> None:
    keys, queries = torch.randint(-9, 10, (100_000, 4)).float(), torch.randint(-9, 10, (8, 4)).float()
    expected = dense(keys, queries, 10)
    found = nearest(keys.cuda(), queries.cuda(), 10)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.cpu(), other)
