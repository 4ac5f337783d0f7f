"""What is the codes' own: few bytes, what was removed is gone from them, and they come back from files."""

import copy
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mann_hf.errors import InvalidInputError, MissingExtraError
from mann_hf.memory.stores import FaissPQStore, faiss, faiss_pq, nearest

K = 32


def clustered(count: int, seed: int = 0) -> Tensor:
    """Keys as encoders give them: near some centres, of unit length."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(50, K, generator=torch.Generator().manual_seed(99))
    each = centres[torch.randint(50, (count,), generator=generator)]
    return torch.nn.functional.normalize(each + 0.6 * torch.randn(count, K, generator=generator), dim=1)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes are made for fewer keys, two numbers a byte."""
    monkeypatch.setattr(faiss_pq, "QUANTISED_FROM", 1000)
    monkeypatch.setattr(faiss_pq, "LEAST_BYTES", 16)
    monkeypatch.setattr(faiss_pq, "LEAST_COMPARED", 300)
    monkeypatch.setattr(faiss_pq, "PROBED", 8)
    monkeypatch.setattr(faiss, "LEAST_COMPARED", 300)


def filled(keys: Tensor) -> FaissPQStore:
    store = FaissPQStore(K)
    for some in torch.arange(len(keys)).split(700):
        store.add(some, keys[some])
    return store


def recall(store: FaissPQStore, keys: Tensor, k: int = 10, wider: int = 4) -> float:
    """The share of the true nearest that are among four times as many that are found."""
    queries = clustered(40, seed=5)
    found, true = store.search(queries, wider * k)[1], nearest(keys, queries, k)[1]
    return float((found[:, :, None] == true[:, None, :]).any(1).float().mean())


def test_without_faiss_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"the store 'faiss_pq' needs .* pip install 'mann_hf\[faiss\]'"):
        FaissPQStore.check_installed()


@pytest.mark.parametrize(("key_size", "size"), [(512, 8), (768, 8), (300, 6), (128, 4), (32, 1), (31, 1), (5, 1)])
def test_a_byte_stands_for_a_divisor_of_the_key(key_size: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_pq, "LEAST_BYTES", 32)
    assert faiss_pq._part_of(key_size) == size


def test_of_many_keys_codes_alone_are_kept() -> None:
    keys = clustered(4000)
    few, many = filled(keys[:600]), filled(keys)
    assert "keys" in few.parts() and "codes" not in few.parts()
    parts = many.parts()
    assert "keys" not in parts and parts["codes"].shape == (4000, 16) and parts["codes"].dtype == torch.uint8
    assert recall(many, keys) > 0.9
    scores, slots = many.search(keys[:20], 5)
    torch.testing.assert_close(scores, (keys[:20, None] * keys[slots]).sum(-1), atol=0.12, rtol=0)


def test_what_was_announced_is_laid_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = clustered(4000)
    store = FaissPQStore(K)
    store.prepare(keys[::2], 4000)
    monkeypatch.setattr(FaissPQStore, "_centres_for", lambda *args: pytest.fail("laid out again"))
    for some in torch.arange(4000).split(700):
        store.add(some, keys[some])
    assert recall(store, keys) > 0.9
    assert len(store.parts()["centres"]) == 63


def test_it_grows_and_forgets_in_codes() -> None:
    keys = clustered(9000)
    store = filled(keys[:1500])
    store.search(keys[:1], 1)
    store.add(torch.arange(1500, 9000), keys[1500:])
    assert recall(store, keys) > 0.85, "with other lists, of codes that were read back"
    gone = torch.arange(0, 9000, 3)
    store.remove(gone)
    assert not torch.isin(store.search(keys[:30], 500)[1], gone).any()
    kept = torch.ones(9000, dtype=torch.bool).index_fill(0, gone, False)
    assert recall(store, torch.where(kept[:, None], keys, 0)) > 0.85


def test_nothing_is_left_of_a_removed_code() -> None:
    store = filled(clustered(2000))
    before = store.parts()
    place = int((before["slots"] == 777).nonzero())
    number, code = int(before["lists"][place]), before["codes"][place].numpy()
    size = store._index.invlists.list_size(number)
    held = lambda: (store._codes(number, size)[1] == code).all(1).any()  # noqa: E731
    assert held()
    store.remove(torch.tensor([777]))
    assert not held()


def test_it_comes_back_from_a_copy_and_a_file(tmp_path: Path) -> None:
    keys = clustered(3000)
    store = filled(keys)
    store.remove(torch.tensor([3, 2999]))
    store.save(tmp_path / "store")
    for again in (copy.deepcopy(store), FaissPQStore.load(tmp_path / "store")):
        for mine, theirs in zip(store.search(keys[:9], 20), again.search(keys[:9], 20), strict=True):
            torch.testing.assert_close(mine, theirs)
        again.add(torch.tensor([3]), keys[3:4])
        assert len(again) == 2999 and len(store) == 2998
        assert again.search(keys[3:4], 3)[1][0].tolist().count(3) == 1


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    filled(clustered(2000)).save(tmp_path / "store")
    tensors = load_file(tmp_path / "store")
    for name, change in (
        ("slots", lambda each: each - 1),
        ("slots", lambda each: each * 0),
        ("slots", lambda each: each.int()),
        ("lists", lambda each: each + 1),
        ("lists", lambda each: each - 1),
        ("lists", lambda each: each[:5]),
        ("codes", lambda each: each[:5]),
        ("codes", lambda each: each[:, :5]),
        ("codes", lambda each: each.float()),
        ("codebooks", lambda each: each[:, :100]),
        ("codebooks", lambda each: each[:5]),
        ("codebooks", lambda each: each / 0),
        ("codebooks", lambda each: each[0]),
        ("centres", lambda each: each[:, :5]),
        ("centres", lambda each: each / 0),
        ("centres", lambda each: each[:0]),
    ):
        changed = {**tensors, name: change(tensors[name]).contiguous()}
        save_file(changed, tmp_path / "changed", {"format": "mann_hf.store/1"})
        with pytest.raises(InvalidInputError, match="damaged, or holds no store"):
            FaissPQStore.load(tmp_path / "changed")
