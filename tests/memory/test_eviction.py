"""What holds for every eviction rule, and each rule against a plain list that is kept by the same rules."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mann_hf.errors import UnknownNameError
from mann_hf.memory import EVICTIONS, KeyValueMemory, KeyValueState

K, V = 3, 3
MakeState = Callable[..., KeyValueState]

every = pytest.mark.parametrize("name", EVICTIONS)


@dataclass
class Slot:
    """One slot of `ListMemory`."""

    id: int
    key: Tensor
    value: Tensor
    usage: float = 1.0
    age: int = 0
    count: int = 1


class ListMemory:
    """A memory as a list of slots, written from the papers without a tensor operation over slots."""

    def __init__(self, capacity: int, eviction: str) -> None:
        self.capacity, self.eviction, self.slots = capacity, eviction, list[Slot]()

    def write(self, id_: int, key: Tensor, value: Tensor) -> None:
        for slot in self.slots:
            slot.age += 1
        new = Slot(id_, key, value)
        if len(self.slots) < self.capacity:
            self.slots.append(new)
            return
        if self.eviction == "kaiser":
            nearest = max(self.slots, key=lambda slot: torch.cosine_similarity(slot.key, key, dim=0).item())
            if torch.equal(nearest.value, value):
                blend = nearest.key / nearest.key.norm() + key / key.norm()
                nearest.key = blend / blend.norm() * key.norm()
                nearest.usage, nearest.age, nearest.count = 1.0, 0, nearest.count + 1
                return
        if self.eviction == "least_recently_used":
            gone = min(self.slots, key=lambda slot: (slot.usage, -slot.age))
        else:
            gone = max(self.slots, key=lambda slot: slot.age)
        self.slots[self.slots.index(gone)] = new

    def forget(self, id_: int) -> None:
        gone = next(slot for slot in self.slots if slot.id == id_)
        self.slots = [slot for slot in self.slots if slot is not gone]
        for slot in self.slots:
            slot.age -= slot.age > gone.age

    def use(self, weights: dict[int, float], decay: float) -> None:
        for slot in self.slots:
            slot.usage = decay * slot.usage + weights[slot.id]


def check(state: KeyValueState, episode: int, model: ListMemory) -> None:
    """The slots of an episode are those of the list, in any order."""
    used = state.mask[episode]
    by_id = {slot.id: slot for slot in model.slots}
    ids = state.ids[episode, used].tolist()
    assert sorted(ids) == sorted(by_id)
    for place, id_ in zip(used.nonzero()[:, 0].tolist(), ids, strict=True):
        slot = by_id[id_]
        assert torch.allclose(state.keys[episode, place], slot.key, atol=1e-12)
        assert torch.equal(state.values[episode, place], slot.value)
        assert state.usage[episode, place] == slot.usage
        assert state.age[episode, place] == slot.age
        assert state.write_count[episode, place] == slot.count
    ages = state.age[episode, used]
    assert len(ages.unique()) == len(ages)


def example(generator: torch.Generator, label: int) -> tuple[Tensor, Tensor]:
    key = torch.randn(K, generator=generator, dtype=torch.float64)
    return key, torch.eye(V, dtype=torch.float64)[label % V]


STEP = st.one_of(
    st.tuples(st.just("write"), st.lists(st.integers(0, V - 1), min_size=1, max_size=4)),
    st.tuples(st.just("use"), st.lists(st.integers(0, 8), min_size=8, max_size=8)),
    st.tuples(st.just("forget"), st.integers(0, 7).map(lambda n: [n])),
)


@every
@settings(max_examples=60)
@given(capacity=st.integers(1, 5), steps=st.lists(STEP, max_size=12), seed=st.integers(0, 999))
def test_it_is_the_list_kept_by_the_same_law(
    name: str, capacity: int, steps: list[tuple[str, list[int]]], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    memory, model = KeyValueMemory(K, V, capacity, name), ListMemory(capacity, name)
    state = memory.initial_state(dtype=torch.float64)
    next_id = 0
    for step, numbers in steps:
        if step == "write":
            examples = [example(generator, label) for label in numbers]
            ids = list(range(next_id, next_id + len(numbers)))
            next_id += len(numbers)
            keys, values = (torch.stack(part)[None] for part in zip(*examples, strict=True))
            state = memory.write(state, keys, values, torch.tensor([ids]))
            for id_, (key, value) in zip(ids, examples, strict=True):
                model.write(id_, key, value)
        elif step == "use":  # eighths and halves: sums of them have no rounding
            weights = torch.tensor(numbers[: state.slots], dtype=torch.float64)[None, None] / 8
            state = memory.use(state, weights, decay=0.5)
            ids = state.ids[0].tolist()
            model.use(dict(zip(ids, weights[0, 0].tolist(), strict=True)), decay=0.5)
        elif model.slots:
            id_ = model.slots[numbers[0] % len(model.slots)].id
            state = memory.forget(state, torch.tensor([id_]))
            model.forget(id_)
        assert state.slots <= capacity
        check(state, 0, model)
        assert state.ids[0].tolist() == [slot.id for slot in model.slots]


@every
@settings(max_examples=25)
@given(
    rounds=st.lists(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=4), max_size=4),
    seed=st.integers(0, 999),
)
def test_padded_episodes_are_lists_of_their_own(name: str, rounds: list[list[list[bool]]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    batch = 3
    memory, models = KeyValueMemory(K, V, 3, name), [ListMemory(3, name) for _ in range(batch)]
    state = memory.initial_state(batch, dtype=torch.float64)
    next_id = 0
    for columns in rounds:
        mask = torch.tensor(columns).T  # [B, N]
        keys = torch.randn(*mask.shape, K, generator=generator, dtype=torch.float64)
        labels = torch.randint(V, mask.shape, generator=generator)
        values = torch.eye(V, dtype=torch.float64)[labels]
        ids = next_id + torch.arange(mask.shape[1]).expand_as(mask)
        next_id += mask.shape[1]
        state = memory.write(state, keys, values, ids, mask)
        for b, model in enumerate(models):
            for n in mask[b].nonzero()[:, 0].tolist():
                model.write(int(ids[b, n]), keys[b, n], values[b, n])
        assert state.slots <= 3
        for b, model in enumerate(models):
            check(state, b, model)


@every
def test_a_rule_names_one_slot_of_each_episode_and_changes_nothing(name: str, random_state: MakeState) -> None:
    state = random_state(batch=4, holes=0, key_size=K, labels=V)
    key, value = torch.randn(4, K).double(), torch.eye(V)[[0, 1, 1, 0]].double()
    before = copy.deepcopy((state, key, value))
    slot, merges = EVICTIONS[name](state, key, value)
    torch.testing.assert_close((state, key, value), before, atol=0, rtol=0)
    assert slot.shape == merges.shape == (4,)
    assert slot.dtype == torch.int64 and merges.dtype == torch.bool
    assert ((slot >= 0) & (slot < state.slots)).all()
    for b in range(4):
        alone = KeyValueState(*(field[b : b + 1] for field in state))
        one, merged = EVICTIONS[name](alone, key[b : b + 1], value[b : b + 1])
        assert (int(one), bool(merged)) == (int(slot[b]), bool(merges[b]))
        order = torch.randperm(state.slots)
        moved, merged = EVICTIONS[name](alone.select(order), key[b : b + 1], value[b : b + 1])
        assert (int(order[moved[0]]), bool(merged)) == (int(slot[b]), bool(merges[b]))


@every
def test_gradients_through_a_full_memory_are_those_of_finite_differences(name: str, random_state: MakeState) -> None:
    memory = KeyValueMemory(K, V, 9, name)
    state = random_state(batch=2, holes=0, key_size=K, labels=V)
    keys, values = torch.randn(2, 3, K).double(), torch.eye(V)[torch.tensor([[0, 1, 1], [1, 0, 0]])].double()

    def written(old: Tensor, new: Tensor) -> Tensor:
        return memory.write(state._replace(keys=old), new, values).keys

    assert torch.autograd.gradcheck(written, (state.keys.requires_grad_(), keys.requires_grad_()))


def full(keys: list[list[float]], values: list[int], **fields: list) -> KeyValueState:
    """A full memory of one episode, its slots written one after another."""
    memory = KeyValueMemory(len(keys[0]), V, len(keys))
    state = memory.write(memory.initial_state(), torch.tensor([keys]), torch.eye(V)[values][None])
    return state._replace(**{name: torch.tensor([column]) for name, column in fields.items()})


@pytest.mark.parametrize(
    ("name", "slot"),
    [("oldest", 0), ("least_recently_used", 2), ("kaiser", 0)],
)
def test_planted_slots_are_replaced(name: str, slot: int) -> None:
    state = full([[1.0, 0], [0, 1], [-1, 0]], [0, 1, 0], usage=[0.7, 0.9, 0.2])
    memory = KeyValueMemory(2, V, 3, name)
    new = memory.write(state, torch.tensor([[[0.1, 2.0]]]), torch.eye(V)[None, :1])  # nearest to slot 1, of value 1
    assert new.ids[0].tolist() == [3 if i == slot else i for i in range(3)]
    assert new.write_count[0].tolist() == [1, 1, 1]
    assert torch.equal(new.keys[0, slot], torch.tensor([0.1, 2.0]))


def test_of_equal_usage_the_oldest_goes() -> None:
    state = full([[1.0, 0], [0, 1], [-1, 0]], [0, 1, 0], usage=[0.9, 0.5, 0.5], age=[3, 1, 2])
    memory = KeyValueMemory(2, V, 3, "least_recently_used")
    assert memory.write(state, torch.ones(1, 1, 2), torch.ones(1, 1, V)).ids[0].tolist() == [0, 1, 3]


def test_a_read_protects_a_slot() -> None:
    memory = KeyValueMemory(2, V, 3, "least_recently_used")
    state = full([[1.0, 0], [0, 1], [-1, 0]], [0, 1, 0])
    state = memory.use(state, torch.tensor([[[0.8, 0.0, 0.2]]]))
    assert memory.write(state, torch.ones(1, 1, 2), torch.ones(1, 1, V)).ids[0].tolist() == [0, 3, 2]


def test_kaiser_merges_into_the_nearest_of_the_same_value() -> None:
    memory = KeyValueMemory(2, V, 3, "kaiser")
    state = full([[1.0, 0], [0, 1], [-1, 0]], [0, 1, 0], usage=[0.1, 0.1, 0.1])
    state = memory.write(state, torch.tensor([[[1.0, 0.9]]]), torch.eye(V)[None, :1])
    direction = torch.tensor([1.0, 0.9]) / torch.tensor([1.0, 0.9]).norm() + torch.tensor([1.0, 0.0])
    torch.testing.assert_close(state.keys[0, 0], direction / direction.norm() * torch.tensor([1.0, 0.9]).norm())
    assert state.ids[0].tolist() == [0, 1, 2]  # the slot keeps its id, the example's own is not used
    assert state.write_count[0].tolist() == [2, 1, 1]
    assert state.age[0].tolist() == [0, 2, 1]
    assert state.usage[0].tolist() == pytest.approx([1, 0.1, 0.1])


def test_kaiser_appends_while_there_is_room() -> None:
    memory = KeyValueMemory(2, V, 3, "kaiser")
    state = memory.write(memory.initial_state(), torch.ones(1, 2, 2), torch.eye(V)[torch.tensor([[0, 0]])])
    assert state.write_count[0].tolist() == [1, 1]


def test_an_unknown_rule_lists_the_choices() -> None:
    with pytest.raises(UnknownNameError) as caught:
        KeyValueMemory(K, V, 3, "random")
    assert str(caught.value) == (
        "unknown eviction rule 'random'; choose one of 'least_recently_used', 'oldest', 'kaiser'."
    )


@every
def test_a_rule_does_what_its_attributes_say(name: str, random_state: MakeState) -> None:
    rule, state = EVICTIONS[name], random_state(batch=64, slots=6, holes=0)
    key = state.keys[:, 0]  # the nearest slot, for which no merging rule has an excuse
    _, merges = rule(state, key, state.values[:, 0])
    assert bool(merges.any()) is rule.merges
    slot, _ = rule(state, -key, state.values[:, 0] + 9)
    other, _ = rule(state._replace(usage=torch.rand_like(state.usage)), -key, state.values[:, 0] + 9)
    assert bool((slot != other).any()) is rule.counts_use
