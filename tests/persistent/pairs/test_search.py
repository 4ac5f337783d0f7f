import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mann_hf.errors import InvalidInputError, UnknownNameError
from mann_hf.memory.stores import STORES, Store
from mann_hf.persistent.pairs import PairMemory, PairSearch, search, write_pairs
from tests.taught_pairs import (
    E,
    K,
    Pair,
    encoded,
    load_pairs,
    log_probabilities_of,
    some_pairs,
    taught,
    token_keys_of,
    tokens_of,
    vector,
)

PAIRS = some_pairs(40)
every_store = pytest.mark.parametrize("store", STORES)


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("memory", "encoded", "files"):
        monkeypatch.setattr(f"mann_hf.persistent.pairs.{module}.SEGMENT_BYTES", 2000)


@pytest.fixture
def _few_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store is used for what else would be compared with all."""
    monkeypatch.setattr(search, "EXACT", 10)


def mapped(memory: PairMemory, folder: Path) -> PairMemory:
    folder.mkdir(exist_ok=True)
    write_pairs(memory, folder)
    return load_pairs(folder / "memory.safetensors")


def finds_the_nearest(memory: PairMemory, prepared: PairSearch) -> None:
    """Asserts that all pairs and tokens are found by their own keys, and others in the order of their products."""
    pairs: list[Pair] = [(str(entry.source), str(entry.target)) for entry in memory.entries]
    keys = torch.stack([vector(source, E) for source, _ in pairs])
    tokens = torch.cat([token_keys_of(*pair) for pair in pairs]).to(memory.key_dtype).float()
    for queries, every, nearest in (
        (torch.cat([keys[::5], torch.randn(3, E)]), keys, prepared.nearest_pairs),
        (torch.cat([tokens[::37], torch.randn(3, K)]), tokens, prepared.nearest_tokens),
    ):
        scores, found = nearest(queries, 6)
        products = queries @ every.T
        assert found.shape == scores.shape == (len(queries), 6) and (found >= 0).all()
        assert (found.sort(1).values.diff() > 0).all(), "each once"
        torch.testing.assert_close(scores, products.gather(1, found), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(scores, products.topk(6).values, atol=1e-5, rtol=1e-5)


def test_the_nearest_pairs_and_tokens_are_found(tmp_path: Path) -> None:
    memory = taught(PAIRS)
    for each in (memory, mapped(memory, tmp_path)):
        assert len(each.segments) > 3
        finds_the_nearest(each, PairSearch.of(each))


def test_where_there_are_fewer() -> None:
    memory = taught(PAIRS[:2])
    scores, numbers = PairSearch.of(memory).nearest_pairs(vector(PAIRS[1][0], E)[None], 4)
    assert numbers.tolist() == [[1, 0, -1, -1]]
    assert scores[0, 2:].tolist() == [float("-inf")] * 2 and scores[0, 0] > scores[0, 1]
    empty = PairSearch.of(PairMemory.empty("token", K, E))
    for nearest, size in ((empty.nearest_pairs, E), (empty.nearest_tokens, K)):
        assert nearest(torch.ones(2, size), 3)[1].tolist() == [[-1] * 3] * 2
        assert nearest(torch.ones(0, size), 3)[1].shape == (0, 3)
    for found in (empty.candidates(torch.tensor([[-1, -1]])), empty.window(torch.tensor([[-1, -1]]), 3)):
        assert found.keys.shape == (1, 0, K) and found.tokens.shape == found.slots.shape == (1, 0)


def test_what_follows_a_slot_is_of_its_pair() -> None:
    memory = taught(PAIRS[:3])
    prepared = PairSearch.of(memory)
    ends = set((prepared.starts[1:] - 1).tolist())
    slots = torch.arange(-1, memory.num_tokens)
    expected = [-1 if slot < 0 or slot in ends else slot + 1 for slot in slots.tolist()]
    assert prepared.following(slots[None]).tolist() == [expected]
    assert PairSearch.of(PairMemory.empty("token", K, E)).following(torch.tensor([[-1]])).tolist() == [[-1]]


def test_candidates_are_all_tokens_of_some_pairs(tmp_path: Path) -> None:
    memory = taught(PAIRS, key_dtype=torch.float32)
    numbers = torch.tensor([[3, -1, 30], [-1, -1, -1], [39, 0, 7]])
    for each in (memory, mapped(memory, tmp_path)):
        found = PairSearch.of(each).candidates(numbers)
        for row, chosen in enumerate(numbers.tolist()):
            wanted = [PAIRS[number] for number in chosen if number >= 0]
            tokens = [token for _, target in wanted for token in tokens_of(target)]
            count = len(tokens)
            assert found.tokens[row].tolist() == tokens + [-1] * (found.tokens.shape[1] - count)
            keys = torch.cat([torch.empty(0, K), *(token_keys_of(*pair) for pair in wanted)])
            assert torch.equal(found.keys[row, :count], keys) and not found.keys[row, count:].any()
            likely = torch.cat([torch.empty(0), *(log_probabilities_of(*pair) for pair in wanted)])
            assert torch.equal(found.log_probabilities[row, :count], likely)
            assert (found.slots[row, count:] == -1).all() and not found.log_probabilities[row, count:].any()
        places, positions = PairSearch.of(each).where(found.slots)
        assert {*places[2].tolist()} - {-1} == {0, 7, 39} and places[2, 0] == 39
        assert positions[0, 0] == 0 and places[1].tolist() == [-1] * places.shape[1]


def test_a_window_follows_slots_within_their_pairs() -> None:
    memory = taught(PAIRS)
    prepared = PairSearch.of(memory)
    starts = prepared.starts.tolist()
    slots = torch.tensor([[starts[2], starts[2] + 1, starts[1] - 1, -1], [-1, -1, -1, starts[5]]])
    found = prepared.window(slots, 3)
    first = [starts[1] - 1, starts[2], starts[2] + 1, starts[2] + 2, starts[2] + 3]
    assert found.slots.tolist() == [first, [*range(starts[5], starts[5] + 3), -1, -1]]
    every = [token for _, target in PAIRS for token in tokens_of(target)]
    assert found.tokens[0].tolist() == [every[slot] for slot in first]
    numbers, positions = prepared.where(found.slots)
    assert numbers[0].tolist() == [0, 2, 2, 2, 2] and positions[0].tolist() == [
        len(tokens_of(PAIRS[0][1])) - 1,
        0,
        1,
        2,
        3,
    ]
    assert numbers[1, 3] == positions[1, 3] == -1


def test_dense_tables_of_small_memories() -> None:
    memory = taught(PAIRS, "example")
    prepared = PairSearch.of(memory)
    assert torch.equal(prepared.source_keys, torch.stack([vector(source, E) for source, _ in PAIRS]))
    assert torch.equal(prepared.values, torch.stack([vector(target, K) for _, target in PAIRS]))
    for call in (
        lambda: prepared.nearest_tokens(torch.ones(1, K), 1),
        lambda: prepared.candidates(torch.tensor([[0]])),
    ):
        with pytest.raises(InvalidInputError, match="it is an example memory"):
            call()
    with pytest.raises(InvalidInputError, match="it is a token memory"):
        _ = PairSearch.of(taught(PAIRS)).values


def test_the_order_of_writes_does_not_change_what_is_read() -> None:
    shuffled = [PAIRS[number] for number in torch.randperm(40, generator=torch.Generator().manual_seed(1)).tolist()]
    one, other = (PairSearch.of(taught(pairs)) for pairs in (PAIRS, shuffled))
    queries = torch.randn(5, E)
    found = []
    for prepared in (one, other):
        scores, numbers = prepared.nearest_pairs(queries, 4)
        found.append((scores, [[prepared.memory.pair(number).source for number in row] for row in numbers.tolist()]))
    torch.testing.assert_close(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@every_store
@pytest.mark.usefixtures("_few_exact")
def test_an_index_follows_what_is_written_and_forgotten(
    store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    added: list[int] = []
    add = Store.add

    def noted(store: Store, slots: Any, keys: Any) -> None:
        added.append(len(slots))
        add(store, slots, keys)

    monkeypatch.setattr(Store, "add", noted)
    memory = taught(PAIRS)
    prepared = PairSearch.of(memory, store)
    finds_the_nearest(memory, prepared)
    for step in range(6):
        if step % 2:
            gone = [memory.pair(number).id for number in (0, 3 * step, len(memory) - 1)]
            memory = memory.forget(gone)
        else:
            memory, _ = memory.remember(encoded(some_pairs(3 + step, f"{step} ")))
        added.clear()
        prepared = PairSearch.of(memory, store, before=prepared)
        finds_the_nearest(memory, prepared)
        most = 0 if step % 2 or STORES[store].compares_all else (3 + step) * 20
        assert sum(added) <= most, "only what is new is added"
    again = mapped(memory, tmp_path)
    added.clear()
    loaded, _ = again.remember(encoded(some_pairs(2, "after loading ")))
    loaded = loaded.forget([loaded.pair(5).id])
    finds_the_nearest(loaded, PairSearch.of(loaded, store))
    assert sum(added) <= 2 * 40, "the saved index goes on"
    finds_the_nearest(again, PairSearch.of(again, store))


@pytest.mark.usefixtures("_few_exact")
def test_a_saved_index_is_saved_again_without_what_was_forgotten(tmp_path: Path) -> None:
    memory = taught(PAIRS)
    PairSearch.of(memory, "faiss").nearest_tokens(torch.ones(1, K), 1)
    loaded = mapped(memory, tmp_path / "first")
    less = loaded.forget([loaded.pair(4).id])
    mapped(less, tmp_path / "second")
    (file,) = (tmp_path / "second").glob("memory.index-*")
    tensors = load_file(file)
    assert tensors["ids"].tolist() == less.ids_in_order.tolist()
    assert sorted(tensors["store.slots"].tolist()) == [*range(less.num_tokens)]
    gone = token_keys_of(*PAIRS[4])[2].bfloat16().half()
    assert not (tensors["store.keys"] == gone).all(1).any()
    assert (load_file(next((tmp_path / "first").glob("memory.index-*")))["store.keys"] == gone).all(1).any()


@every_store
@pytest.mark.usefixtures("_few_exact")
def test_an_older_search_goes_on_without_what_was_forgotten(store: str) -> None:
    memory = taught(PAIRS)
    older = PairSearch.of(memory, store)
    older.nearest_tokens(torch.ones(1, K), 1)
    gone = memory.pair(4)
    later, _ = memory.forget([gone.id]).remember(encoded(some_pairs(20, "new ")))
    newer = PairSearch.of(later, store, before=older)
    finds_the_nearest(later, newer)
    numbers, _ = older.where(older.nearest_tokens(torch.randn(4, K), 400)[1])
    assert set(numbers.unique().tolist()) <= {-1, *range(40)}
    elsewhere = memory.forget([memory.pair(8).id])  # another one that goes on from the first
    other = PairSearch.of(elsewhere, store, before=older)
    finds_the_nearest(elsewhere, other)
    finds_the_nearest(later, newer)


@pytest.mark.usefixtures("_few_exact")
def test_an_index_of_another_encoder_is_not_used(tmp_path: Path) -> None:
    memory = taught(PAIRS)
    prepared = PairSearch.of(memory, "faiss")
    prepared.nearest_pairs(torch.ones(1, E), 1)
    write_pairs(memory, tmp_path)
    other = taught([(source[::-1], target) for source, target in PAIRS])
    turned = replace(other, probe=torch.ones(2, E), index_folder=tmp_path)
    finds_the_nearest(turned, PairSearch.of(turned, "faiss"))
    finds_the_nearest(turned, PairSearch.of(turned, "faiss", before=prepared))


@pytest.mark.usefixtures("_few_exact")
@pytest.mark.parametrize("hurt", [lambda content: content[:-9], lambda content: b"x" * 500, lambda content: b""])
def test_a_damaged_index_is_made_anew(hurt: object, tmp_path: Path) -> None:
    memory = taught(PAIRS)
    PairSearch.of(memory, "faiss").nearest_pairs(torch.ones(1, E), 1)
    loaded = mapped(memory, tmp_path)
    (file,) = tmp_path.glob("memory.index-*")
    file.write_bytes(hurt(file.read_bytes()))  # type: ignore[operator]
    finds_the_nearest(loaded, PairSearch.of(loaded, "faiss"))


@pytest.mark.usefixtures("_few_exact")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_searches_its_own() -> None:
    memory = taught(PAIRS)
    prepared = PairSearch.of(memory, "faiss")
    finds_the_nearest(memory, prepared)
    memory.indexes["tokens"].lock.acquire()
    child = os.fork()
    if child == 0:
        try:
            finds_the_nearest(memory, prepared)
        except BaseException:
            os._exit(1)
        os._exit(0)
    memory.indexes["tokens"].lock.release()
    assert os.waitpid(child, 0)[1] == 0


def damaged(keys: Tensor) -> None:
    keys[3] = float("nan")


def test_keys_of_a_file_that_are_not_finite_are_refused_when_they_are_read() -> None:
    memory = taught(PAIRS)
    assert memory.segments[0].token_keys is not None
    damaged(memory.segments[0].token_keys)
    damaged(memory.segments[0].source_keys)
    assert memory.segments[0].log_probabilities is not None
    damaged(memory.segments[0].log_probabilities)
    prepared = PairSearch.of(memory)
    for call in (
        lambda: prepared.nearest_pairs(torch.ones(1, E), 1),
        lambda: prepared.nearest_tokens(torch.ones(1, K), 1),
        lambda: prepared.candidates(torch.tensor([[0]])),
        lambda: prepared.source_keys,
        lambda: prepared.log_probabilities_at(torch.tensor([3])),
    ):
        with pytest.raises(InvalidInputError, match="NaN or infinity"):
            call()


def test_what_does_not_fit_is_refused() -> None:
    prepared = PairSearch.of(taught(PAIRS))
    with pytest.raises(InvalidInputError, match="k is 0"):
        prepared.nearest_pairs(torch.ones(1, E), 0)
    with pytest.raises(InvalidInputError, match="this memory takes \\[Q, 4\\]"):
        prepared.nearest_tokens(torch.ones(1, E), 1)
    with pytest.raises(UnknownNameError, match="choose one of 'exact'"):
        PairSearch.of(taught(PAIRS), "annoy")
