from collections.abc import Callable

import pytest
import torch

from mann_hf.memory import KeyValueState
from mann_hf.memory.state import NO_ID, clear, compact, concatenate, empty_state, slots_by_column

MakeState = Callable[..., KeyValueState]


def same(actual: KeyValueState, expected: KeyValueState) -> None:
    for name, one, other in zip(KeyValueState._fields, actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0, msg=f"{name} differ: {one} and {other}")


def test_an_empty_state_holds_nothing() -> None:
    state = empty_state(2, 3, 5, 4, dtype=torch.float64)
    assert (state.batch_size, state.slots) == (2, 3)
    assert state.keys.shape == (2, 3, 5) and state.values.shape == (2, 3, 4)
    assert {field.shape for field in state[2:]} == {(2, 3)}
    assert [field.dtype for field in state] == [torch.float64] * 3 + [torch.int64] * 2 + [torch.bool, torch.int64]
    assert not state.mask.any() and (state.ids == NO_ID).all()
    assert all((field == 0).all() for field in state[:-1])
    assert empty_state(1, 0, 5, 4).keys.dtype == torch.get_default_dtype()
    assert empty_state(1, 2, 5, 4, device="meta").ids.device.type == "meta"


@pytest.mark.parametrize("how", [(torch.float32,), ("cpu", torch.float32), (torch.zeros(1),)])
def test_a_type_changes_keys_values_and_usage_alone(how: tuple, random_state: MakeState) -> None:
    state = random_state()
    moved = state.to(*how)
    assert [field.dtype for field in moved] == [torch.float32] * 3 + [field.dtype for field in state[3:]]
    same(KeyValueState(*moved[:3], *state[3:]), moved)
    assert [field.dtype for field in state[:3]] == [torch.float64] * 3
    assert state.to(dtype=torch.bfloat16).keys.dtype == torch.bfloat16


def test_a_device_changes_every_field(random_state: MakeState) -> None:
    for moved in (random_state().to("meta"), random_state().to(device="meta", dtype=torch.float16)):
        assert {field.device.type for field in moved} == {"meta"}
    same(random_state().to("cpu"), random_state())


def test_select_takes_slots_in_the_order_given(random_state: MakeState) -> None:
    state = random_state(batch=2)
    picked = state.select(torch.tensor([4, 0, 4]))
    for field, whole in zip(picked, state, strict=True):
        assert torch.equal(field, torch.stack([whole[:, 4], whole[:, 0], whole[:, 4]], dim=1))


def test_detach_cuts_the_graph(random_state: MakeState) -> None:
    state = random_state()
    state = state._replace(keys=state.keys.requires_grad_())
    assert not any(field.requires_grad for field in state.detach())
    same(state.detach(), state._replace(keys=state.keys.detach()))


def test_concatenate_puts_slots_behind_each_other(random_state: MakeState) -> None:
    one, two = random_state(batch=2, slots=4, holes=1), random_state(batch=2, slots=3, holes=0, seed=1)
    both = concatenate(one, two)
    same(both.select(torch.arange(4)), one)
    same(both.select(torch.arange(4, 7)), two)
    same(concatenate(one), one)


def test_clear_leaves_nothing_in_empty_slots(random_state: MakeState) -> None:
    state = random_state(batch=2, holes=0)
    mask = torch.rand(state.mask.shape) > 0.5
    cleared = clear(state._replace(mask=mask))
    empty = empty_state(2, state.slots, 4, 3, dtype=torch.float64)
    for field, before, nothing in zip(cleared, state._replace(mask=mask), empty, strict=True):
        assert torch.equal(field[mask], before[mask])
        assert torch.equal(field[~mask], nothing[~mask])
    same(clear(cleared), cleared)


def test_compact_is_the_loop_over_the_slots_in_use(random_state: MakeState) -> None:
    state = random_state(batch=3, holes=0)
    mask = torch.tensor([[0, 1, 1, 0, 1, 0, 0, 0, 1], [0] * 9, [1, 0, 0, 0, 0, 0, 0, 0, 1]]).bool()
    packed = compact(state._replace(mask=mask))
    assert packed.slots == 4
    expected = empty_state(3, 4, 4, 3, dtype=torch.float64)
    for b in range(3):
        for place, slot in enumerate(mask[b].nonzero()[:, 0].tolist()):
            for field, whole in zip(expected, state, strict=True):
                field[b, place] = whole[b, slot]
    same(packed, expected)
    same(compact(packed), packed)


def test_compact_of_what_is_full_or_empty(random_state: MakeState) -> None:
    full = random_state(batch=2, holes=0)
    same(compact(full), full)
    assert compact(empty_state(2, 5, 4, 3)).slots == 0
    assert compact(empty_state(2, 0, 4, 3)).slots == 0


def test_gradients_reach_what_is_kept(random_state: MakeState) -> None:
    state = random_state(holes=0)
    keys = state.keys.clone().requires_grad_()
    mask = torch.tensor([[False, True, True, False, True, True, False, True, True]])
    compact(state._replace(keys=keys, mask=mask)).keys.sum().backward()
    assert keys.grad is not None
    assert torch.equal(keys.grad[0], mask[0, :, None].expand(-1, 4).double())


@pytest.mark.parametrize("columns", [[], [3], [199, 0, 3], list(range(200))], ids=len)
def test_the_slots_of_a_column_are_those_that_are_not_zero_in_it(columns: list[int]) -> None:
    values = (torch.rand(50, 200, generator=torch.Generator().manual_seed(0)) < 0.02).float()
    found = [slots.tolist() for slots in slots_by_column(values, columns)]
    assert found == [[slot for slot in range(50) if values[slot, column]] for column in columns]
