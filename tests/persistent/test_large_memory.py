"""Large memories hold and forget what small ones do. `LARGE` is set low, so that a few entries make one."""

import copy
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mann_hf.errors import InvalidInputError, NotInMemoryError
from mann_hf.memory import READINGS
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from mann_hf.memory.state import NO_ID
from mann_hf.models import LabelledMemory
from mann_hf.persistent import large_memory
from mann_hf.persistent.entries import Example, Label
from mann_hf.persistent.holder import MemoryHolder
from mann_hf.persistent.labelled_files import memory_bytes
from mann_hf.persistent.memory_files import load_memory, save_memory
from mann_hf.persistent.shared_slots import Version
from mann_hf.persistent.stored_entries import StoredEntries
from tests.same_memory import same_memory

K = 3


@contextmanager
def large_from(count: int) -> Iterator[None]:
    before, large_memory.LARGE = large_memory.LARGE, count
    try:
        yield
    finally:
        large_memory.LARGE = before


@pytest.fixture
def large() -> Iterator[None]:
    with large_from(2):
        yield


def key_of(text: str) -> torch.Tensor:
    return torch.randn(K, generator=torch.Generator().manual_seed(sum(map(ord, text)) + 1))


def write(memory: LabelledMemory, *examples: tuple[str, Label], kind: Any = "example") -> LabelledMemory:
    """The memory with examples whose keys follow from their texts, and the words of their labels."""
    texts, labels = [text for text, _ in examples], [label for _, label in examples]
    single = [label for label in labels if isinstance(label, str)]
    names = {label: key_of(label) for label in single if label != "wordless"}
    return memory.remember(
        torch.stack([key_of(text) for text in texts]), list(map(Example, labels, texts, [kind] * len(texts))), names
    )[0]


def taught(*examples: tuple[str, Label], problem_type: str = SINGLE_LABEL) -> LabelledMemory:
    return write(LabelledMemory.empty(K, problem_type, 2 if problem_type == REGRESSION else 0), *examples)


def letters(count: int) -> list[tuple[str, Label]]:
    return [(f"text {number}", "xyz"[number % 3]) for number in range(count)]


def shared_by(memory: LabelledMemory) -> Any:
    assert isinstance(memory.entries, StoredEntries), "this memory is small"
    return memory.entries.shared


def agree(memory: LabelledMemory, plain: LabelledMemory) -> None:
    """Asserts that a large memory holds what a small one does, slot by slot and to those who read."""
    same_memory(memory.together(), plain)
    assert len(memory) == len(plain) and memory.summary == plain.summary
    assert memory.named_labels == plain.named_labels and memory.rules.value_size == plain.rules.value_size
    assert [*reversed(memory.entries)] == [*reversed(plain.entries)]
    assert set(memory.slot_by_id) == set(plain.slot_by_id)
    assert all(memory.entry(memory.slot_by_id[id_]).id == id_ for id_ in memory.slot_by_id)
    state, other = memory.reading_state, plain.reading_state
    slots, others = (one.mask[0].nonzero()[:, 0] for one in (state, other))
    slots, others = slots[state.ids[0, slots].argsort()], others[other.ids[0, others].argsort()]
    for name in ("keys", "values", "write_count", "ids"):
        assert torch.equal(getattr(state, name)[0, slots], getattr(other, name)[0, others]), name
    assert torch.equal(memory.examples[slots], plain.examples[others])
    assert torch.equal(state.ids[0, memory.unlabelled], other.ids[0, plain.unlabelled])
    columns = range(len(memory.labels))
    for mine, theirs in zip(memory.slots_of(columns), plain.slots_of(columns), strict=True):
        assert set(state.ids[0, mine].tolist()) == set(other.ids[0, theirs].tolist())
    free = (~memory.state.mask[0]).nonzero()[:, 0]
    words = set(memory.entries.name_slots.values()) if isinstance(memory.entries, StoredEntries) else set()
    assert all(state.ids[0, slot] == NO_ID for slot in free.tolist() if slot not in words)


PHASES = [Phase.explicit, Phase.generate]  # to make a failing run shorter takes minutes

LABELS: dict[str, Any] = {
    SINGLE_LABEL: st.sampled_from(["red", "green", "blue", "wordless"]),
    MULTI_LABEL: st.lists(st.sampled_from(["red", "green", "blue"]), unique=True).map(tuple),
    REGRESSION: st.tuples(st.sampled_from([0.5, 1.0]), st.sampled_from([0.0, -2.0])),
}


class Versions(RuleBasedStateMachine):
    """Writes to any version that is held, in a large memory and in a small one."""

    problem_type = SINGLE_LABEL

    def __init__(self) -> None:
        super().__init__()
        empty = LabelledMemory.empty(K, self.problem_type, 2 if self.problem_type == REGRESSION else 0)
        self.held: list[tuple[LabelledMemory, LabelledMemory]] = [(empty, empty)]

    def both(self, which: int, change: Callable[[LabelledMemory], LabelledMemory]) -> None:
        memory, plain = self.held[which % len(self.held)]
        with large_from(10**9):
            after = change(plain)
        with large_from(3):
            self.held.append((change(memory), after))

    @rule(which=st.integers(0, 99), data=st.data(), newest=st.booleans())
    def remember(self, which: int, data: Any, newest: bool) -> None:
        label = LABELS[self.problem_type]
        examples = data.draw(st.lists(st.tuples(st.sampled_from("abcdefghij"), label), min_size=1, max_size=6))
        described = self.problem_type == SINGLE_LABEL and data.draw(st.integers(0, 3)) == 0
        kind = "description" if described else "example"
        if described and data.draw(st.booleans()):  # by the label's own words
            examples = [(str(name), name) for _, name in examples]
        self.both(-1 if newest else which, lambda memory: write(memory, *examples, kind=kind))

    @rule(which=st.integers(0, 99), places=st.lists(st.integers(0, 99), min_size=1, max_size=3), newest=st.booleans())
    def forget(self, which: int, places: list[int], newest: bool) -> None:
        def change(memory: LabelledMemory) -> LabelledMemory:
            return (
                memory.forget([memory.entries[place % len(memory)].id for place in places]) if len(memory) else memory
            )

        self.both(-1 if newest else which, change)

    @precondition(lambda self: self.problem_type != REGRESSION)
    @rule(which=st.integers(0, 99), label=st.integers(0, 99))
    def forget_label(self, which: int, label: int) -> None:
        def change(memory: LabelledMemory) -> LabelledMemory:
            return memory.forget(label=memory.labels[label % len(memory.labels)]) if memory.labels else memory

        self.both(which, change)

    @rule(which=st.integers(0, 99))
    def drop(self, which: int) -> None:
        if len(self.held) > 1:
            del self.held[which % len(self.held)]

    @invariant()
    def all_versions_hold_what_they_held(self) -> None:
        for memory, plain in self.held:
            agree(memory, plain)

    @invariant()
    def what_no_version_sees_is_wiped(self) -> None:
        by_slots: dict[int, list[StoredEntries]] = {}
        for memory, _ in self.held:
            if isinstance(memory.entries, StoredEntries):
                by_slots.setdefault(id(memory.entries.shared), []).append(memory.entries)
        for versions in by_slots.values():
            shared, least = versions[0].shared, min(len(version.used) for version in versions)
            gone = ~np.logical_or.reduce([version.kept()[:least] for version in versions])
            assert not shared.keys[:least][gone].any() and not shared.values[:least][gone].any()
            assert all(shared.entries[slot] is None for slot in gone.nonzero()[0].tolist())


class VersionsOfSeveralLabels(Versions):
    problem_type = MULTI_LABEL


class VersionsOfNumbers(Versions):
    problem_type = REGRESSION


for machine in (Versions, VersionsOfSeveralLabels, VersionsOfNumbers):
    machine.TestCase.settings = settings(
        max_examples=15, stateful_step_count=20, deadline=None, report_multiple_bugs=False, phases=PHASES
    )
TestVersions = Versions.TestCase
TestVersionsOfSeveralLabels = VersionsOfSeveralLabels.TestCase
TestVersionsOfNumbers = VersionsOfNumbers.TestCase


def test_a_write_leaves_keys_and_entries_where_they_are(large: None) -> None:
    memory = taught(*letters(6))
    more = write(memory, ("text 6", "x"))
    fewer = more.forget([more.entries[0].id, more.entries[1].id])
    assert shared_by(memory) is shared_by(more) is shared_by(fewer)
    assert more.state.keys.data_ptr() == memory.state.keys.data_ptr() == fewer.state.keys.data_ptr()
    assert len(memory) == 6 and len(more) == 7 and len(fewer) == 5


def test_what_is_forgotten_is_wiped_when_nobody_sees_it(large: None) -> None:
    memory = taught(*letters(9))
    gone, key = memory.entries[4], memory.state.keys[0, memory.slot_by_id[memory.entries[4].id]].clone()
    held = memory.state.keys[:, 2:]  # a view of what the first version sees keeps it
    memory = memory.forget([gone.id])
    shared = shared_by(memory)
    assert (shared.keys == key.numpy()).all(1).any() and (held[0] == key).all(1).any()
    del held
    assert not (shared.keys == key.numpy()).all(1).any()
    assert gone not in shared.entries and gone.id not in shared.slot_by_id
    assert not any(
        isinstance(thing, torch.Tensor) and _holds(thing, key) for thing in gc.get_objects() if thing is not key
    )


def _holds(tensor: torch.Tensor, key: torch.Tensor) -> bool:
    rows = tensor.dtype == key.dtype and tensor.dim() > 1 and tensor.shape[-1] == K and tensor.device.type == "cpu"
    return rows and bool((tensor.detach() == key).all(-1).any())


def test_a_holder_wipes_what_it_forgets(large: None) -> None:
    holder, reading = MemoryHolder(taught(*letters(9))), READINGS["prototype"](K)
    holder.ready(reading)
    gone = holder.memory.entries[4]
    holder.update(lambda memory: (memory.forget([gone.id]), None), forgets=True)
    assert gone not in shared_by(holder.memory).entries and shared_by(holder.memory).entries[4] is None


def test_an_example_that_is_taught_again_is_found_by_old_and_new(large: None) -> None:
    first = taught(*letters(6))
    id_ = first.entries[2].id
    third = write(first.forget([id_]), ("text 2", "z"))
    assert shared_by(first) is shared_by(third)
    assert first.slot_by_id[id_] == 2 and third.slot_by_id[id_] > 2
    assert third.entry(third.slot_by_id[id_]).text == "text 2"
    del first
    assert third.slot_by_id[id_] > 2 and id_ not in third.forget([id_]).slot_by_id


def test_slots_are_moved_together_when_many_are_empty(large: None) -> None:
    memory = taught(*letters(30))
    few = memory.forget([entry.id for entry in memory.entries[:12]])
    assert few.state.slots == len(few) + len(few.names) and shared_by(few) is not shared_by(memory)


def test_a_large_memory_becomes_a_small_one(large: None) -> None:
    memory = taught(*letters(5))
    one = memory.forget([entry.id for entry in memory.entries[1:]])
    assert isinstance(one.entries, tuple) and one.state.slots == 1
    none = memory.forget([entry.id for entry in memory.entries])
    assert len(none) == 0 and none.labels == () and none.probe is None


@pytest.mark.parametrize("name", READINGS)
def test_answers_and_evidence_are_those_of_a_small_memory(name: str) -> None:
    change = lambda memory: write(memory.forget([memory.entries[4].id]), ("text 99", "w"))  # noqa: E731
    with large_from(10**9):
        plain = change(taught(*letters(12)))
    with large_from(2):
        memory = change(taught(*letters(12)))
    assert not memory.state.mask.all() and plain.state.mask.all()
    reading, queries = READINGS[name](K), torch.randn(1, 4, K)
    one, other = (MemoryHolder(each).ready(reading) for each in (memory, plain))
    assert torch.allclose(one.sharpness, other.sharpness, atol=1e-6)
    first, second = (reading(ready.solution, queries, ready.sharpness) for ready in (one, other))
    assert torch.allclose(first, second, atol=1e-6)
    for column in range(len(memory.labels)):
        slots, others = memory.slots_of([column])[0], plain.slots_of([column])[0]
        mine = reading.terms(one.solution, queries, column, slots, one.sharpness).sort(-1).values
        theirs = reading.terms(other.solution, queries, column, others, other.sharpness).sort(-1).values
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_it_knows_how_many_examples_a_label_has(large: None) -> None:
    memory = write(write(taught(*letters(9)).forget(label="y"), ("text 0", "x")), ("more", "w"), kind="description")
    state = memory.reading_state
    counts = (state.write_count * state.mask)[0].float() @ state.values[0]
    assert memory.examples_per_label == pytest.approx(float(counts.mean()))
    several = taught(("a", ("x", "y")), ("b", ("x",)), ("c", ("y",)), problem_type=MULTI_LABEL)
    assert several.examples_per_label is None and taught(("a", "x")).examples_per_label is None


def test_a_memory_of_many_labels_is_large_with_fewer_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_memory, "LARGE_VALUES", 12)
    few = taught(*letters(3))
    assert not isinstance(few.entries, StoredEntries), "3 entries of 3 labels"
    more = write(few, ("text 3", "w"))
    assert shared_by(more) is shared_by(write(more, ("text 4", "x")))
    assert not isinstance(more.forget([entry.id for entry in more.entries[:2]]).entries, StoredEntries)
    agree(more.forget([more.entries[0].id]), write(taught(*letters(3)[1:]), ("text 3", "w")))


def test_a_copy_shares_nothing(large: None) -> None:
    memory = write(taught(*letters(8)).forget(label="y"), ("more", "x"))
    other = copy.deepcopy(memory)
    same_memory(other, memory.together())
    assert isinstance(other.entries, tuple)


def test_its_file_is_that_of_a_small_memory(tmp_path: Path) -> None:
    change = lambda memory: write(memory.forget([memory.entries[4].id]), ("text 99", "w"))  # noqa: E731
    with large_from(10**9):
        plain = change(taught(*letters(12)))
    with large_from(2):
        memory = change(taught(*letters(12)))
        assert memory_bytes(memory) == memory_bytes(plain)
        save_memory(replace(memory, probe=torch.ones(1, K)), tmp_path)
        agree(load_memory(tmp_path / "memory.safetensors"), plain)


def test_readers_see_their_version_while_others_write(large: None) -> None:
    """Each version's entries go with its keys, whatever is written and wiped meanwhile."""
    holder, wrong, done = MemoryHolder(taught(*letters(40))), [], threading.Event()

    def read() -> None:
        while not done.is_set():
            memory = holder.memory
            for entry in list(memory.entries)[::3]:
                if not torch.equal(memory.state.keys[0, memory.slot_by_id[entry.id]], key_of(str(entry.text))):
                    wrong.append(entry)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(60):
        holder.update(lambda memory, n=number: (write(memory, (f"new {n}", "xyzw"[n % 4])), None))  # type: ignore[misc]
        holder.update(lambda memory, n=number: (memory.forget([memory.entries[n % 20].id]), None), forgets=True)  # type: ignore[misc]
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong and len(holder.memory) == 40


def test_keys_that_are_refused_change_nothing(large: None) -> None:
    memory = taught(*letters(5))
    with pytest.raises(InvalidInputError, match="keys hold NaN"):
        memory.remember(torch.full((1, K), float("nan")), [Example("x", "new")])
    with pytest.raises(NotInMemoryError):
        memory.forget([memory.entries[0].id, 17])
    assert shared_by(write(memory, ("new", "x"))) is shared_by(memory)


def test_a_version_that_many_followed_is_let_go_at_once(large: None) -> None:
    """The chain of versions behind it is long, and is not walked by recursion."""
    first = Version()
    last = first
    for _ in range(100_000):
        last.newer = Version()
        last = last.newer
    del first
    assert last.newer is None
