"""What holds for every store: one set of tests over all entries of `STORES`, against the plain products."""

import copy
import os
import pickle  # noqa: TID251 a process may send a store to another
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from mann_hf.errors import InvalidInputError, MissingExtraError, UnknownNameError
from mann_hf.memory.stores import STORES, Store, faiss, nearest

KEY_SIZE = 24
every_store = pytest.mark.parametrize("name", STORES)


def random_keys(count: int, seed: int = 0, key_size: int = KEY_SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, key_size, generator=generator), dim=1)


def filled(name: str, keys: Tensor) -> Store:
    store = STORES[name](keys.shape[1])
    store.add(torch.arange(len(keys)), keys)
    return store


def same_answers(store: Store, other: Store, k: int = 9, mask: Tensor | None = None) -> None:
    queries = random_keys(6, seed=5, key_size=store.key_size)
    for mine, theirs in zip(store.search(queries, k, mask), other.search(queries, k, mask), strict=True):
        torch.testing.assert_close(mine, theirs)


def are_nearest(
    found: tuple[Tensor, Tensor], keys: Tensor, queries: Tensor, k: int, mask: Tensor | None = None
) -> None:
    """Asserts that scores and slots are those of the k nearest, as far as half precision tells."""
    (scores, slots), (expected, true) = found, nearest(keys, queries, k, mask)
    assert slots.shape == true.shape and (slots.sort(1).values.diff() > 0).all()
    torch.testing.assert_close(scores, expected, atol=2e-3, rtol=2e-3)
    products = (queries @ keys.T).gather(1, slots)
    torch.testing.assert_close(products, expected, atol=2e-3, rtol=2e-3)
    if mask is not None:
        assert mask[slots].all()


def recall(found: Tensor, true: Tensor) -> float:
    """The share of the true slots [Q, k] that were found."""
    return float((found[:, :, None] == true[:, None, :]).any(1).float().mean())


def test_without_faiss_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"the store 'faiss' needs .* pip install 'mann_hf\[faiss\]'"):
        STORES["faiss"](KEY_SIZE)
    with pytest.raises(MissingExtraError, match=r"the store 'faiss' needs .* pip install 'mann_hf\[faiss\]'"):
        STORES["faiss"].check_installed()


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(UnknownNameError, match="unknown store 'annoy'; choose one of 'exact', 'faiss'"):
        STORES["annoy"]


@every_store
def test_it_finds_the_keys_of_the_largest_products(name: str) -> None:
    keys, queries = random_keys(500), random_keys(7, seed=1)
    are_nearest(filled(name, keys).search(queries, 10), keys, queries, 10)


@every_store
def test_keys_that_are_no_unit_vectors_are_ranked_by_their_products(name: str) -> None:
    keys = random_keys(300) * torch.linspace(0.1, 5, 300)[:, None]
    for larger in (1, 1e3, 1e6):  # the last than half precision has
        store = filled(name, keys)
        store.add(torch.tensor([7]), larger * keys[7:8])
        now = torch.where(torch.arange(300)[:, None] == 7, larger, 1) * keys
        are_nearest(store.search(keys[:4], 5), now, keys[:4], 5)
        assert len(store) == 300
        same_answers(copy.deepcopy(store), store)


@every_store
def test_of_equal_scores_the_lower_slot_comes_first(name: str) -> None:
    store = STORES[name](2)
    store.add(torch.tensor([9, 4, 30, 7]), torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1]]))
    assert store.search(torch.tensor([[1.0, 0.5]]), 4)[1].tolist() == [[4, 9, 30, 7]]


@every_store
def test_the_order_of_writes_does_not_matter(name: str) -> None:
    keys, order = random_keys(400), torch.randperm(400, generator=torch.Generator().manual_seed(3))
    store = STORES[name](KEY_SIZE)
    for some in order.split(150):
        store.add(some, keys[some])
    same_answers(store, filled(name, keys))


@every_store
def test_what_was_removed_is_never_found(name: str) -> None:
    keys = random_keys(300)
    store = filled(name, keys)
    gone = torch.arange(0, 300, 3)
    store.remove(torch.cat([gone, torch.tensor([0, 999, -1])]))  # twice, and those that are not there
    assert len(store) == 200
    assert not torch.isin(store.search(keys, 200)[1], gone).any()
    kept = torch.arange(300)[torch.arange(300) % 3 > 0]
    fresh = STORES[name](KEY_SIZE)
    fresh.add(kept, keys[kept])
    same_answers(store, fresh)
    store.remove(kept)
    assert not len(store) and store.search(keys[:2], 3)[1].shape == (2, 0)
    store.add(gone, keys[gone])
    assert recall(store.search(keys[:1], 1)[1], torch.tensor([[0]])) == 1


@every_store
def test_nothing_is_left_of_a_removed_key(name: str) -> None:
    store = filled(name, random_keys(50))
    store.add(torch.tensor([50, 20]), torch.full((2, KEY_SIZE), 7.0))  # at the end, and in place of another
    store.remove(torch.tensor([20]))
    store.remove(torch.tensor([50]))
    assert not any((part == 7).any() for part in everything_in(store))


def everything_in(store: Store) -> list[Tensor]:
    """The numbers that lie in a store's own tables, used or not any more."""
    if hasattr(store, "_list"):
        return [torch.from_numpy(store._list(0, 52)[1])]
    return [part for part in vars(store).values() if isinstance(part, Tensor)]


@every_store
def test_a_slot_that_has_a_key_gets_the_new_one(name: str) -> None:
    keys = random_keys(100)
    store = filled(name, keys)
    store.add(torch.tensor([40]), keys[70:71] * 2)
    assert len(store) == 100
    assert store.search(keys[70:71], 2)[1].tolist() == [[40, 70]]


@every_store
def test_a_mask_leaves_slots_out(name: str) -> None:
    keys = random_keys(300)
    store, mask = filled(name, keys), torch.arange(250) % 2 == 1
    assert store.search(keys[:8], 200, mask)[1].shape == (8, 125)
    are_nearest(store.search(keys[:8], 200, mask), keys[:250], keys[:8], 200, mask)
    assert store.search(keys[:8], 5, torch.zeros(300, dtype=torch.bool))[1].shape == (8, 0)
    assert store.search(keys[:0], 5)[0].shape == (0, 5)


@every_store
def test_it_finds_as_many_as_it_may(name: str) -> None:
    store = filled(name, random_keys(5))
    assert store.search(random_keys(3, seed=2), 9)[1].sort(1).values.tolist() == [[0, 1, 2, 3, 4]] * 3


@every_store
def test_of_many_keys_nearly_all_of_the_nearest_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the store has grown, and some of its keys are gone again."""
    monkeypatch.setattr(faiss, "LEAST_COMPARED", 300)
    centres = random_keys(40, seed=2)
    keys = torch.nn.functional.normalize(centres.repeat(150, 1) + 0.6 * random_keys(6000), dim=1)
    store = STORES[name](KEY_SIZE)
    for some in torch.arange(6000).split(900):
        store.add(some, keys[some])
        store.search(keys[:1], 1)
    store.remove(torch.arange(0, 6000, 4))
    kept = torch.arange(6000) % 4 > 0
    for mask in (kept, kept & (torch.arange(6000) < 50)):  # few of which lie in the nearest lists
        found, true = store.search(keys[1:200:4], 20, mask)[1], nearest(keys, keys[1:200:4], 20, mask)[1]
        assert found.shape == true.shape and kept[found].all()
        assert recall(found, true) > 0.9
    loaded = copy.deepcopy(store)
    same_answers(loaded, store)


@every_store
def test_what_does_not_fit_is_refused(name: str) -> None:
    store = filled(name, random_keys(5))
    for slots, keys in (
        (torch.tensor([6]), torch.ones(1, KEY_SIZE + 1)),
        (torch.tensor([6, 6]), torch.ones(2, KEY_SIZE)),
        (torch.tensor([-1]), torch.ones(1, KEY_SIZE)),
        (torch.tensor([6]), torch.full((1, KEY_SIZE), float("nan"))),
    ):
        with pytest.raises(InvalidInputError):
            store.add(slots, keys)
    with pytest.raises(InvalidInputError, match="k is 0"):
        store.search(torch.ones(1, KEY_SIZE), 0)
    with pytest.raises(InvalidInputError, match="a single one as"):
        store.search(torch.ones(KEY_SIZE), 1)
    assert len(store) == 5
    same_answers(store, filled(name, random_keys(5)), k=3)


@every_store
def test_copies_are_independent(name: str) -> None:
    keys = random_keys(100)
    store = filled(name, keys)
    store.remove(torch.tensor([3]))
    for copied in (copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        same_answers(copied, store)
        copied.remove(torch.arange(50))
        copied.add(torch.tensor([200]), keys[:1])
        assert len(store) == 99 and len(copied) == 51


@every_store
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    store = filled(name, random_keys(100))
    store.remove(torch.tensor([3, 99]))
    store.save(tmp_path / "store.safetensors")
    loaded = STORES[name].load(tmp_path / "store.safetensors")
    same_answers(loaded, store)
    loaded.add(torch.tensor([3]), random_keys(1, seed=9))
    assert len(loaded) == 99
    STORES[name](KEY_SIZE).save(tmp_path / "empty")
    assert not len(STORES[name].load(tmp_path / "empty"))


@every_store
def test_a_file_that_holds_no_store_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "store.safetensors"
    with pytest.raises(FileNotFoundError):
        STORES[name].load(file)
    file.write_bytes(b"no safetensors")
    with pytest.raises(InvalidInputError, match="damaged, or holds no store"):
        STORES[name].load(file)
    filled(name, random_keys(5)).save(file)
    tensors = safetensors.torch.load_file(file)
    metadata = {"format": "mann_hf.store/1"}
    safetensors.torch.save_file(tensors, file, {"format": "mann_hf.memory/1"})
    with pytest.raises(InvalidInputError, match="'mann_hf.memory/1'; a store has 'mann_hf.store/1'"):
        STORES[name].load(file)
    for strange in ({"slots": tensors["slots"] - 2}, {"keys": tensors["keys"][:3]}, {"keys": tensors["keys"] / 0}):
        safetensors.torch.save_file({**tensors, **strange}, file, metadata)
        with pytest.raises(InvalidInputError, match="damaged, or holds no store"):
            STORES[name].load(file)


@every_store
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_searches_its_own(name: str) -> None:
    keys = random_keys(200)
    store = filled(name, keys)
    before = store.search(keys[:50], 3)[1]  # with all threads there are
    child = os.fork()
    if child == 0:
        store.remove(torch.tensor([0]))
        found = store.search(keys[:50], 3)[1]
        os._exit(0 if not (found == 0).any() and len(store) == 199 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert torch.equal(store.search(keys[:50], 3)[1], before)
