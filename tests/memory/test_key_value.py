"""The rules of writing, forgetting and using, on memories of any history."""

import copy
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mann_hf.errors import InvalidInputError, NotInMemoryError
from mann_hf.memory import EVICTIONS, READINGS, KeyValueMemory, KeyValueState
from mann_hf.memory.key_value import USAGE_DECAY
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION

K, V = 4, 3
MakeState = Callable[..., KeyValueState]


def same(actual: KeyValueState, expected: KeyValueState) -> None:
    """Bit for bit, shapes and types too."""
    for name, one, other in zip(KeyValueState._fields, actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0, msg=f"{name} differ: {one} and {other}")


def examples(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Keys, one-hot values and ids of one episode; every label is among them."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(1, count, K, generator=generator, dtype=dtype)
    values = torch.eye(V, dtype=dtype)[torch.arange(count) % V][None]
    return keys, values, torch.randperm(10 * count, generator=generator)[None, :count]


def in_batches(memory: KeyValueMemory, sizes: list[int], *columns: Tensor) -> KeyValueState:
    """The memory after writes of these sizes, and of what is left."""
    state = memory.initial_state(dtype=columns[0].dtype)
    start = 0
    for size in [*sizes, columns[0].shape[1]]:
        part = slice(start, start + size)
        state = memory.write(state, *(column[:, part] for column in columns))
        start = min(start + size, columns[0].shape[1])
    return state


def test_a_fresh_memory_holds_nothing() -> None:
    state = KeyValueMemory(K, V).initial_state(2, dtype=torch.float64)
    assert state.keys.shape == (2, 0, K) and state.values.shape == (2, 0, V)
    assert state.keys.dtype == torch.float64


def test_a_write_appends_what_was_written() -> None:
    memory = KeyValueMemory(K, V)
    keys, values, ids = examples(3)
    state = memory.write(memory.initial_state(), keys, values, ids)
    same(
        state,
        KeyValueState(keys, values, torch.ones(1, 3), torch.tensor([[2, 1, 0]]), torch.ones_like(ids), ids >= 0, ids),
    )


def test_ids_left_out_count_on_from_the_largest() -> None:
    memory = KeyValueMemory(K, V)
    keys, values, _ = examples(3)
    state = memory.write(memory.initial_state(), keys, values)
    assert state.ids.tolist() == [[0, 1, 2]]
    state = memory.write(state, keys[:, :1], values[:, :1], torch.tensor([[9]]))
    state = memory.write(state, keys, values)
    assert state.ids.tolist() == [[0, 1, 2, 9, 10, 11, 12]]
    mask = torch.tensor([[True, False, True]])
    assert memory.write(memory.initial_state(), keys, values, mask=mask).ids.tolist() == [[0, -1, 1]]


@settings(max_examples=60)
@given(
    count=st.integers(1, 14),
    sizes=st.lists(st.integers(1, 5), max_size=6),
    capacity=st.none() | st.integers(1, 8),
    eviction=st.sampled_from(list(EVICTIONS)),
)
def test_the_size_of_the_batches_changes_no_bit(
    count: int, sizes: list[int], capacity: int | None, eviction: str
) -> None:
    memory = KeyValueMemory(K, V, capacity, eviction)
    columns = examples(count)
    same(in_batches(memory, sizes, *columns), in_batches(memory, [], *columns))


@pytest.mark.parametrize(
    ("name", "problem_type"), [(name, kind) for name, reading in READINGS.items() for kind in reading.problem_types]
)
@settings(max_examples=12)
@given(
    order=st.integers(V, 12).flatmap(lambda count: st.permutations(range(count))),
    sizes=st.lists(st.integers(1, 5), max_size=6),
)
def test_neither_order_nor_batches_change_a_prediction(
    name: str, problem_type: str, order: list[int], sizes: list[int]
) -> None:
    keys, values, ids = examples(len(order))
    if problem_type == MULTI_LABEL:
        values = (values + values.roll(1, 1).roll(1, 2) > 0).float()
    elif problem_type == REGRESSION:
        values = values @ torch.tensor([[2.0, 0, 1], [0, -1, 3], [1, 1, 1]])
    memory, reading = KeyValueMemory(K, V), READINGS[name](K, problem_type)
    columns = [column[:, order] for column in (keys, values, ids)]
    queries = torch.randn(1, 100, K)
    answers = []
    for state in (in_batches(memory, [], keys, values, ids), in_batches(memory, sizes, *columns)):
        logits = reading(reading.solve(state), queries)
        kind = {MULTI_LABEL: logits.sigmoid(), REGRESSION: logits}
        answers.append(kind.get(problem_type, logits.softmax(-1)))
    torch.testing.assert_close(answers[0], answers[1], atol=1e-6, rtol=1e-6)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 4)),
        st.tuples(st.just("forget"), st.lists(st.integers(0, 99), min_size=1, max_size=4)),
    ),
    max_size=12,
)


@settings(max_examples=150)
@given(steps=STEPS, roomy=st.booleans(), seed=st.integers(0, 99))
def test_what_was_forgotten_was_never_there(steps: list[tuple], roomy: bool, seed: int) -> None:
    memory = KeyValueMemory(K, V, 60 if roomy else None)
    keys, values, ids = examples(60, seed)
    state, written, alive = memory.initial_state(), 0, list[int]()
    for step, what in steps:
        if step == "write":
            part = slice(written, written + what)
            state = memory.write(state, keys[:, part], values[:, part], ids[:, part])
            alive += range(written, written + what)
            written += what
        elif alive:
            gone = {alive[n % len(alive)] for n in what}
            state = memory.forget(state, ids[0, sorted(gone)])
            alive = [n for n in alive if n not in gone]
    fresh = memory.write(memory.initial_state(), keys[:, alive], values[:, alive], ids[:, alive])
    same(state, fresh)


@settings(max_examples=40)
@given(masks=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=9), data=st.data())
def test_forgetting_in_padded_episodes_is_forgetting_in_each(masks: list[list[bool]], data: st.DataObject) -> None:
    mask = torch.tensor(masks).T  # [B, N]
    count = mask.shape[1]
    memory = KeyValueMemory(K, V)
    keys, values = torch.randn(3, count, K), torch.randn(3, count, V)
    ids = torch.stack([torch.randperm(count) for _ in range(3)])  # one id may name a slot in several episodes
    cut = data.draw(st.integers(0, count))
    state = memory.initial_state(3)
    for part in (slice(0, cut), slice(cut, count)):
        state = memory.write(state, keys[:, part], values[:, part], ids[:, part], mask[:, part])
    known = sorted(set(ids[mask].tolist()))
    gone = data.draw(st.sets(st.sampled_from(known))) if known else set()
    state = memory.forget(state, torch.tensor(sorted(gone), dtype=torch.int64))
    kept = mask & ~torch.isin(ids, torch.tensor(sorted(gone), dtype=torch.int64))
    assert state.slots == int(kept.sum(1).max())
    for b in range(3):
        alone = memory.initial_state()
        alone = memory.write(alone, *(x[b : b + 1, kept[b]] for x in (keys, values, ids)))
        used = int(kept[b].sum())
        same(KeyValueState(*(field[b : b + 1, :used] for field in state)), alone)
        assert not state.mask[b, used:].any() and (state.keys[b, used:] == 0).all()


@pytest.mark.parametrize("name", READINGS)
def test_forgetting_restores_the_predictions(name: str) -> None:
    memory, reading = KeyValueMemory(K, V), READINGS[name](K)
    keys, values, ids = examples(12)
    queries = torch.randn(1, 20, K)
    kept = [0, 1, 2, 3, 5, 8, 9, 11]
    before = reading.solve(memory.write(memory.initial_state(), keys, values, ids))
    forgot = memory.forget(before.state, ids[0, [4, 6, 7, 10]])
    never = reading.solve(memory.write(memory.initial_state(), keys[:, kept], values[:, kept], ids[:, kept]))
    expected = reading(never, queries).softmax(-1)
    torch.testing.assert_close(reading(reading.solve(forgot), queries).softmax(-1), expected, atol=0, rtol=0)
    quick = reading(reading.solve(forgot, start=before), queries).softmax(-1)
    torch.testing.assert_close(quick, expected, atol=1e-6, rtol=0)


def test_ages_are_those_of_the_loop() -> None:
    memory = KeyValueMemory(K, V)
    mask = torch.tensor([[1, 1, 0, 1, 0, 1, 1], [0, 0, 1, 1, 1, 1, 0]]).bool()
    state = memory.initial_state(2)
    for part in (slice(0, 3), slice(3, 4), slice(4, 7)):
        shape = (2, mask[:, part].shape[1])
        state = memory.write(state, torch.ones(*shape, K), torch.ones(*shape, V), mask=mask[:, part])
    for b, n in itertools.product(range(2), range(7)):
        later = sum(bool(mask[b, later]) for later in range(n + 1, 7))
        assert state.age[b, n] == (later if mask[b, n] else 0)
    assert torch.equal(state.usage, mask.float()) and torch.equal(state.write_count, mask.long())


def test_usage_is_that_of_the_loop(random_state: MakeState) -> None:
    state = random_state(batch=2)
    weights = torch.rand(2, 5, state.slots, dtype=torch.float64, requires_grad=True)
    for kwargs, decay in (({}, USAGE_DECAY), ({"decay": 0.5}, 0.5)):
        used = KeyValueMemory(K, V).use(state, weights, **kwargs)
        assert not used.usage.requires_grad
        for b, s in itertools.product(range(2), range(state.slots)):
            expected = decay * state.usage[b, s].item() + sum(weights[b, :, s].tolist())
            assert used.usage[b, s].item() == pytest.approx(expected if state.mask[b, s] else 0, rel=1e-12)
        same(used._replace(usage=state.usage), state)


@pytest.mark.parametrize("capacity", [None, 9, 11])
@pytest.mark.parametrize("eviction", EVICTIONS)
def test_nothing_that_comes_in_is_changed(capacity: int | None, eviction: str, random_state: MakeState) -> None:
    memory = KeyValueMemory(K, V, capacity, eviction)
    state = random_state(batch=2)
    keys, values = torch.randn(2, 4, K).double(), torch.eye(V)[[0, 1, 2, 0]].expand(2, -1, -1).double()
    ids, mask = torch.arange(100, 104).expand(2, -1), torch.tensor([[True] * 4, [True, False, False, True]])
    shared = state.ids[state.mask][:1]
    watched = (state, keys, values, ids, mask, shared)
    before = copy.deepcopy(watched)
    memory.write(state, keys, values, ids, mask)
    memory.forget(state, shared)
    memory.use(state, torch.rand(2, 3, state.slots).double())
    torch.testing.assert_close(watched, before, atol=0, rtol=0)


@pytest.mark.parametrize("capacity", [None, 3])
def test_a_write_of_nothing_changes_nothing(capacity: int | None) -> None:
    memory = KeyValueMemory(K, V, capacity)
    state = memory.write(memory.initial_state(), *examples(3))
    same(memory.write(state, torch.zeros(1, 0, K), torch.zeros(1, 0, V)), state)
    same(memory.forget(state, torch.tensor([], dtype=torch.int64)), state)
    if capacity is not None:  # a full memory has no room for padding
        padding = torch.full((1, 2, K), float("nan")), torch.full((1, 2, V), float("nan"))
        same(memory.write(state, *padding, mask=torch.zeros(1, 2).bool()), state)


def test_padding_leaves_nothing_behind() -> None:
    memory = KeyValueMemory(K, V)
    keys, values = torch.full((1, 3, K), float("nan")), torch.full((1, 3, V), float("inf"))
    keys[:, 1], values[:, 1] = 1.0, 2.0
    state = memory.write(memory.initial_state(), keys, values, torch.tensor([[7, 8, 9]]), torch.tensor([[0, 1, 0]]) > 0)
    assert state.keys[0].tolist() == [[0.0] * K, [1.0] * K, [0.0] * K]
    assert state.values[0].tolist() == [[0.0] * V, [2.0] * V, [0.0] * V]
    assert state.ids.tolist() == [[-1, 8, -1]]


def test_a_write_takes_the_types_of_the_state() -> None:
    for capacity in (None, 2):
        memory = KeyValueMemory(K, V, capacity)
        state = memory.initial_state(dtype=torch.float32)
        keys, values, _ = examples(4)
        for dtype in (torch.float64, torch.bfloat16):
            state = memory.write(state, keys.to(dtype), values.to(dtype))
            assert [field.dtype for field in state[:3]] == [torch.float32] * 3


def test_gradients_reach_what_was_written() -> None:
    memory = KeyValueMemory(K, V)
    first, second, values = (torch.randn(2, n, size).double() for n, size in ((3, K), (2, K), (5, V)))
    mask = torch.tensor([[True, True, False], [True, True, True]])

    def stored(first: Tensor, second: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        state = memory.write(memory.initial_state(2, dtype=torch.float64), first, values[:, :3], mask=mask)
        state = memory.write(state, second, values[:, 3:])
        state = memory.forget(state, torch.tensor([1]))
        return state.keys, state.values

    assert torch.autograd.gradcheck(stored, [x.requires_grad_() for x in (first, second, values)])


@pytest.mark.parametrize("capacity", [0, -3])
def test_a_capacity_below_one_is_refused(capacity: int) -> None:
    with pytest.raises(InvalidInputError, match=f"capacity is {capacity}; a memory holds at least 1 slot"):
        KeyValueMemory(K, V, capacity)


@pytest.mark.parametrize(
    ("keys", "values", "message"),
    [
        ((1, 2, 5), (1, 2, V), "keys have the shape (1, 2, 5); this memory takes (1, 2, 4)"),
        ((2, 2, K), (2, 2, V), "keys have the shape (2, 2, 4); this memory takes (1, 2, 4)"),
        ((1, 2, K), (1, 3, V), "values have the shape (1, 3, 3); this memory takes (1, 2, 3)"),
        ((1, 2, K), (1, 2, 1), "values have the shape (1, 2, 1); this memory takes (1, 2, 3)"),
        ((1, 2, K), (2, V), "values have the shape (2, 3); this memory takes (1, 2, 3)"),
        ((2, K), (2, V), "keys have the shape (2, 4); this memory takes (1, N, 4)"),
        ((K,), (V,), "keys have the shape (4,); this memory takes (1, N, 4)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(keys: tuple, values: tuple, message: str) -> None:
    memory = KeyValueMemory(K, V)
    with pytest.raises(InvalidInputError) as caught:
        memory.write(memory.initial_state(), torch.ones(keys), torch.ones(values))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["ids", "mask"])
@pytest.mark.parametrize("shape", [(2,), (1, 3), (2, 2), ()])
def test_ids_and_masks_of_another_shape_are_refused(name: str, shape: tuple) -> None:
    memory = KeyValueMemory(K, V)
    column = torch.ones(shape, dtype=torch.bool if name == "mask" else torch.int64)
    with pytest.raises(InvalidInputError, match=rf"{name} have the shape .*; this memory takes \(1, 2\)"):
        memory.write(memory.initial_state(), torch.ones(1, 2, K), torch.ones(1, 2, V), **{name: column})


def test_a_mask_that_is_not_of_truth_values_is_refused() -> None:
    memory = KeyValueMemory(K, V)
    with pytest.raises(InvalidInputError, match=r"mask is of torch.int64; .*bool"):
        memory.write(memory.initial_state(), torch.ones(1, 2, K), torch.ones(1, 2, V), mask=torch.ones(1, 2).long())


@pytest.mark.parametrize("ids", [[[4, 4]], [[4, 0]], [[-1, 5]]])
def test_ids_that_cannot_name_a_slot_are_refused(ids: list) -> None:
    memory = KeyValueMemory(K, V)
    state = memory.write(memory.initial_state(), torch.ones(1, 2, K), torch.ones(1, 2, V))
    with pytest.raises(InvalidInputError, match="ids must be 0 or more, and differ"):
        memory.write(state, torch.ones(1, 2, K), torch.ones(1, 2, V), torch.tensor(ids))
    masked = memory.write(state, torch.ones(1, 2, K), torch.ones(1, 2, V), torch.tensor(ids), torch.zeros(1, 2).bool())
    assert masked.ids.tolist() == [[0, 1, -1, -1]]


@pytest.mark.parametrize("name", ["keys", "values"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(name: str, number: float) -> None:
    memory = KeyValueMemory(K, V)
    columns = {"keys": torch.ones(2, 4, K), "values": torch.ones(2, 4, V)}
    columns[name][1, 2, 0] = number
    with pytest.raises(InvalidInputError, match=f"{name} hold NaN or infinity in torch.float32, first at example 2"):
        memory.write(memory.initial_state(2), **columns)


def test_numbers_too_large_for_the_memory_are_refused() -> None:
    memory = KeyValueMemory(K, V)
    for keys, values in ((1e6, 1.0), (1.0, 1e6)):
        with pytest.raises(InvalidInputError, match="hold NaN or infinity"):
            memory.write(
                memory.initial_state(dtype=torch.float16), torch.full((1, 1, K), keys), torch.full((1, 1, V), values)
            )


def test_an_id_that_is_not_there_is_named() -> None:
    memory = KeyValueMemory(K, V)
    state = memory.write(memory.initial_state(), *examples(2)[:2])
    with pytest.raises(NotInMemoryError, match="no slot has the id 5, 7") as caught:
        memory.forget(state, torch.tensor([5, 1, 7]))
    assert caught.value.missing == [5, 7]
    assert isinstance(caught.value, KeyError)
    with pytest.raises(NotInMemoryError, match="no slot has the id -1"):  # the id of what is empty
        memory.forget(memory.write(state, *examples(1)[:2], mask=torch.tensor([[False]])), torch.tensor([-1]))
    with pytest.raises(NotInMemoryError):
        memory.forget(memory.initial_state(), torch.tensor([0]))


def test_an_id_of_one_episode_is_enough() -> None:
    memory = KeyValueMemory(K, V)
    state = memory.write(
        memory.initial_state(2), torch.ones(2, 2, K), torch.ones(2, 2, V), torch.tensor([[1, 2], [3, 4]])
    )
    assert memory.forget(state, torch.tensor([3, 3])).ids.tolist() == [[1, 2], [4, -1]]


def test_the_law_for_values_of_another_size_is_the_same_otherwise() -> None:
    rules = KeyValueMemory(K, V, 2, "oldest")
    wider = rules.with_value_size(V + 2)
    assert (rules.value_size, wider.value_size) == (V, V + 2)
    assert (wider.key_size, wider.capacity, wider.eviction_name) == (K, 2, "oldest")
    state = wider.write(wider.initial_state(), torch.ones(1, 3, K), torch.ones(1, 3, V + 2))
    assert state.ids.tolist() == [[2, 1]]
    with pytest.raises(InvalidInputError, match="values have the shape"):
        rules.write(rules.initial_state(), torch.ones(1, 3, K), torch.ones(1, 3, V + 2))


def test_where_each_example_goes_is_told_for_each_episode() -> None:
    """Two slots; in the first episode the third example is merged, in the second it replaces the oldest."""
    memory = KeyValueMemory(2, 2, capacity=2, eviction="kaiser")
    keys = torch.tensor([[[1.0, 0], [0, 1], [0, 2]]] * 2)
    values = torch.tensor([[[1.0, 0], [0, 1], [0, 1]], [[1, 0], [0, 1], [1, 0]]])
    ids = torch.tensor([[3, 5, 7]] * 2)
    state, placed = memory.place(memory.initial_state(2), keys, values, ids)
    assert placed.tolist() == [[3, 5, 5], [3, 5, 7]]
    assert state.ids.tolist() == [[3, 5], [7, 5]]
    padded, placed = memory.place(state, keys[:, :1], values[:, :1], ids[:, :1] + 10, torch.tensor([[False], [True]]))
    assert placed[0].tolist() == [-1] and torch.equal(padded.keys[0], state.keys[0])


def test_a_step_writes_and_then_reads_by_content() -> None:
    memory = KeyValueMemory(2, 3)
    state = memory.write(memory.initial_state(), torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 0.0, 0.0]]]))
    controls = memory.controls(torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 2.0]]))
    read, after = memory.step(controls, state)
    sharpness = 1 + math.log1p(math.exp(2.0))
    weights = torch.tensor([1.0, 1.0]) * sharpness / 2**0.5  # the query lies between both keys
    expected = weights.softmax(0) @ torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(read, expected[None])
    assert after.slots == 2
    torch.testing.assert_close(after.usage, torch.tensor([[0.99 * 1 + 0.5, 0.99 * 1 + 0.5]]))


def test_values_may_be_whole_numbers() -> None:
    memory = KeyValueMemory(2, 32_000, capacity=3, eviction="kaiser", integer_values=True)
    keys = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    state = memory.write(memory.initial_state(), keys, torch.tensor([[31_999, 7, 5]]))
    assert state.values.dtype == torch.int64
    assert state.values.tolist() == [[31_999, 7, 5]]
    merged, place = memory.place(state, torch.tensor([[[0.9, 0.1]]]), torch.tensor([[31_999]]))
    assert merged.write_count.tolist() == [[2, 1, 1]]
    assert place.tolist() == [[0]]
    replaced = memory.write(merged, torch.tensor([[[0.9, 0.1]]]), torch.tensor([[4]]))
    assert sorted(replaced.values[0].tolist()) == [4, 5, 31_999]  # 7 was the oldest
    kept = memory.forget(replaced, replaced.ids[0, :1])
    assert kept.slots == 2
    assert kept.values.shape == (1, 2)
    with pytest.raises(InvalidInputError, match=r"this memory takes \(1, 1\)"):
        memory.write(state, keys[:, :1], torch.ones(1, 1, 4).long())
    for beyond in (-1, 32_000):
        with pytest.raises(InvalidInputError, match="outside of 0 to 31999"):
            memory.write(state, keys[:, :1], torch.tensor([[beyond]]))
    with pytest.raises(InvalidInputError, match="leave integer_values out"):
        _ = memory.control_size


def test_a_memory_of_whole_numbers_cuts_none_and_has_no_step() -> None:
    memory, state = KeyValueMemory(K, 3, integer_values=True), KeyValueMemory(K, 3, integer_values=True).initial_state()
    keys, cut, ids = torch.eye(K)[None, :2], torch.tensor([[1.9, 0.0]]), torch.tensor([[0, 1]])
    for write in (lambda: memory.write(state, keys, cut), lambda: memory.new_slots(keys, cut, ids)):
        with pytest.raises(InvalidInputError, match=r"values are of torch.float32; .* give values.long\(\)"):
            write()
    assert memory.write(state, keys, torch.tensor([[1, 0]])).values.tolist() == [[1, 0]]
    with pytest.raises(InvalidInputError, match="a step reads weighted means"):
        memory.step(KeyValueMemory(K, 3).controls(torch.zeros(1, 2 * K + 4)), state)
