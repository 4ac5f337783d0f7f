"""A store over the slots of all versions finds for each version what it sees."""

import copy
import os
import random
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mann_hf.memory import READINGS, SIMILARITIES
from mann_hf.memory.reading.base import compare_all
from mann_hf.memory.stores import STORES
from mann_hf.models import LabelledMemory
from mann_hf.persistent import large_memory
from mann_hf.persistent.entries import Example
from mann_hf.persistent.holder import MemoryHolder
from mann_hf.persistent.labelled_memory import LabelledMemory as Memory
from mann_hf.persistent.memory_files import load_memory, save_memory
from mann_hf.persistent.stored_entries import StoredEntries

K = 5
every_store = pytest.mark.parametrize("store", STORES)


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_memory, "LARGE", 4)


def key_of(text: str) -> Tensor:
    return torch.randn(K, generator=torch.Generator().manual_seed(zlib.crc32(text.encode())))


def write(memory: Memory, *texts: str) -> Memory:
    labels = ["xyz"[len(text) % 3] for text in texts]
    names = {label: key_of(label) for label in labels}
    return memory.remember(torch.stack([*map(key_of, texts)]), list(map(Example, labels, texts)), names)[0]


def taught(count: int) -> Memory:
    return write(LabelledMemory.empty(K), *(f"text {number}" for number in range(count)))


def found(memory: Memory, store: str, similarity: str = "cosine") -> bool:
    """Whether the store finds the slots nearest to some queries, as far as half precision tells."""
    by, k = SIMILARITIES[similarity](K), 6
    search, queries = memory.search(store, by), torch.randn(1, 4, K, generator=torch.Generator().manual_seed(0))
    assert search is not None, "this memory is small"
    state, slots = memory.reading_state, search(queries, k)
    true = compare_all(by, state)(queries, k)
    once = bool((slots.sort(-1).values.diff() > 0).all())
    scores = by(state.keys, queries)
    near = torch.allclose(scores.gather(2, slots), scores.gather(2, true), atol=2e-3, rtol=2e-3)
    return once and near and bool(state.mask[0, slots].all())


def held_slots(memory: Memory, store: str) -> set[int]:
    """The slots whose keys are in the store."""
    assert isinstance(memory.entries, StoredEntries)
    (searched,) = memory.entries.shared._searched.values()
    assert searched._store is not None
    return set(searched._store.holds.nonzero()[:, 0].tolist())


@every_store
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_it_finds_the_nearest_by_every_similarity(store: str, similarity: str) -> None:
    memory = taught(30)
    assert found(memory, store, similarity)


@every_store
@pytest.mark.parametrize("seed", range(4))
def test_each_version_finds_what_it_sees(store: str, seed: int) -> None:
    """Whatever was written and forgotten since, and in whichever order versions ask."""
    draw = random.Random(seed)
    held = [taught(12)]
    for number in range(40):
        memory = held[-1] if draw.random() < 0.8 else draw.choice(held)
        if draw.random() < 0.5 and len(memory) > 6:
            gone = draw.sample([entry.id for entry in memory.entries], draw.choice([1, 1, 3]))
            memory = memory.forget(gone)
        else:
            memory = write(memory, *(f"{number} more {each}" for each in range(draw.choice([1, 2, 9]))))
        held.append(memory)
        if draw.random() < 0.4 and len(held) > 2:
            del held[draw.randrange(len(held) - 1)]
        for each in draw.sample(held, min(3, len(held))):
            assert found(each, store)


@every_store
def test_a_write_adds_and_a_forget_removes_one_key(store: str) -> None:
    memory = taught(20)
    found(memory, store)
    before = held_slots(memory, store)
    later = write(memory, "new")
    found(later, store)
    assert len(held_slots(later, store) - before) == 1 and before < held_slots(later, store)
    slot = later.slot_by_id[memory.entries[3].id]
    last = later.forget([memory.entries[3].id])
    assert slot in held_slots(last, store), "the version of before sees it"
    assert found(later, store) and found(last, store)
    del memory, later
    assert slot not in held_slots(last, store)
    assert found(last, store)


@every_store
@pytest.mark.parametrize("name", [name for name in READINGS if READINGS[name].takes_nearest])
def test_answers_and_evidence_are_those_of_comparing_all(store: str, name: str) -> None:
    options = {"attention": {"nearest": 7}, "least_squares": {"exact_slots": 3, "nearest": 7}}[name]
    reading = READINGS[name](K, **options)  # type: ignore[arg-type]
    holder, queries = MemoryHolder(taught(40), store), torch.randn(1, 5, K, generator=torch.Generator().manual_seed(2))
    for change in (
        lambda memory: (write(memory, "one more"), None),
        lambda memory: (memory.forget([memory.entries[7].id]), None),
    ):
        holder.ready(reading)
        holder.update(change, forgets=True)
        ready = holder.ready(reading)
        state = ready.memory.reading_state
        plain = reading.solve(state)
        logits = reading(ready.solution, queries, ready.sharpness)
        torch.testing.assert_close(logits, reading(plain, queries, ready.sharpness))
        predicted, total = reading.predicted(ready.solution, logits), torch.zeros(1, 5, len(ready.memory.labels))
        for column, slots in enumerate(ready.memory.slots_of(range(len(ready.memory.labels)))):
            terms = reading.terms(ready.solution, queries, column, slots, ready.sharpness)
            torch.testing.assert_close(terms, reading.terms(plain, queries, column, slots, ready.sharpness))
            every = torch.randperm(state.slots)
            total[..., column] = reading.terms(ready.solution, queries, column, every, ready.sharpness).sum(-1)
        torch.testing.assert_close(total, predicted, atol=1e-5, rtol=1e-5)
    assert held_slots(holder.memory, store) == set(state.mask[0].nonzero()[:, 0].tolist())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the stores that were searched, one a search."""
    asked: list[str] = []

    def noting(name: str, search: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: search(*args) if asked.append(name) is None else None  # type: ignore[func-returns-value]

    for name in STORES:
        monkeypatch.setattr(STORES[name], "_search", noting(name, STORES[name]._search))
    return asked


def saved_and_loaded(memory: Memory, folder: Path) -> Memory:
    save_memory(replace(memory, probe=torch.ones(1, K)), folder)
    return load_memory(folder / "memory.safetensors")


@every_store
@pytest.mark.parametrize("copied", ["loaded", "deepcopied"])
@pytest.mark.parametrize("name", [name for name in READINGS if READINGS[name].takes_nearest])
def test_a_copy_is_searched_and_answers_as_what_was_taught(
    asked: list[str], store: str, name: str, copied: str, tmp_path: Path
) -> None:
    options = {"attention": {"nearest": 7}, "least_squares": {"exact_slots": 3, "nearest": 7}}[name]
    reading, queries = READINGS[name](K, **options), torch.randn(1, 9, K)  # type: ignore[arg-type]
    memory = taught(40)
    again = saved_and_loaded(memory, tmp_path) if copied == "loaded" else copy.deepcopy(memory)
    answers = []
    for holder in (MemoryHolder(memory, store), MemoryHolder(again, store)):
        asked.clear()
        ready = holder.ready(reading)
        logits = reading(ready.solution, queries, ready.sharpness)
        assert set(asked) == {store}
        assert ready.memory is holder.memory is holder.ready(reading).memory
        answers.append(logits)
    torch.testing.assert_close(answers[1], answers[0])
    before = held_slots(holder.memory, store)
    holder.update(lambda memory: (write(memory, "text 40"), None))  # of a label that is there
    reading(holder.ready(reading).solution, queries)
    assert len(held_slots(holder.memory, store) - before) == 1, "the store goes on with what it has"


def test_what_is_written_while_a_copy_is_made_ready_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    holder, reading = MemoryHolder(saved_and_loaded(taught(40), tmp_path), "exact"), READINGS["attention"](K, nearest=3)  # type: ignore[call-arg]
    shared = Memory.in_shared_slots

    def slowly(memory: Memory) -> Memory:
        found = shared(memory)
        holder.update(lambda before: (write(before, "meanwhile"), None))
        return found

    monkeypatch.setattr(Memory, "in_shared_slots", slowly)
    assert len(holder.ready(reading).memory) == 40
    assert len(holder.memory) == 41


def test_a_holder_asks_the_store_that_it_was_given(asked: list[str]) -> None:
    reading = READINGS["attention"](K, nearest=3)  # type: ignore[call-arg]
    for name in STORES:
        holder = MemoryHolder(taught(10), name)
        for each in (holder, holder.branch(), holder.__deepcopy__({})):
            each.memory = replace(holder.memory)
            asked.clear()
            reading(each.ready(reading).solution, torch.ones(1, 2, K))
            assert asked == [name]


@every_store
def test_readers_find_their_version_while_others_write(store: str) -> None:
    holder, wrong, done = MemoryHolder(taught(40), store), [], threading.Event()

    def read() -> None:
        while not done.is_set():
            memory = holder.memory
            if not found(memory, store):
                wrong.append(memory)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(60):
        holder.update(lambda memory, n=number: (write(memory, f"new {n}"), None))  # type: ignore[misc]
        holder.update(lambda memory, n=number: (memory.forget([memory.entries[n % 20].id]), None), forgets=True)  # type: ignore[misc]
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong and len(holder.memory) == 40
    found(holder.memory, store)
    assert held_slots(holder.memory, store) == set(holder.memory.reading_state.mask[0].nonzero()[:, 0].tolist())


@every_store
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.parametrize("amid_a_search", [False, True])
def test_a_forked_process_goes_on_with_its_own(store: str, amid_a_search: bool) -> None:
    memory = taught(20)
    found(memory, store)
    assert isinstance(memory.entries, StoredEntries)
    (searched,) = memory.entries.shared._searched.values()
    if amid_a_search:
        searched._lock.acquire()
    child = os.fork()
    if child == 0:
        later = write(memory, "of the child").forget([memory.entries[2].id])
        os._exit(0 if found(later, store) else 1)
    if amid_a_search:
        searched._lock.release()
    assert os.waitpid(child, 0)[1] == 0
    assert found(memory, store)


class TestAStoreThatIsNotUsed:
    @pytest.mark.parametrize(
        ("store", "capacity", "count", "name", "options", "says"),
        [
            ("faiss", 50, 40, "least_squares", {"exact_slots": 3}, "it has a capacity (50)"),
            ("faiss", None, 40, "attention", {}, "the reading 'attention' reads every entry"),
            ("faiss", 50, 1, "least_squares", {"exact_slots": 3}, None),
            ("faiss", None, 40, "least_squares", {"exact_slots": 3}, None),
            ("exact", 50, 40, "least_squares", {"exact_slots": 3}, None),
        ],
    )
    def test_is_told_once(
        self, told: Callable, store: str, capacity: int | None, count: int, name: str, options: Any, says: str | None
    ) -> None:
        memory = write(LabelledMemory.empty(K, capacity=capacity), *(f"text {number}" for number in range(count)))
        holder, reading = MemoryHolder(memory, store), READINGS[name](K, **options)
        for more in ("one more", "and one"):
            holder.ready(reading)
            after = write(holder.memory, more)
            holder.update(lambda _, after=after: (after, None))  # type: ignore[misc]
        if says is None:
            assert told() == []
        else:
            (line,) = told()
            assert f"the store 'faiss' is not used for this memory, as {says}: " in line

    def test_on_another_device(self) -> None:
        memory = taught(40)
        assert memory.why_not_searched() is None
        assert memory.to("meta").why_not_searched() == "it is on the device 'meta'"
        assert taught(3).to("meta").why_not_searched() is None
