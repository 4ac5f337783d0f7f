"""What holds for every memory of `MEMORIES`: a step takes a state and returns one."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mann_hf.memory import MEMORIES, Memory

B, STEPS = 3, 4
SIZES: dict[str, dict[str, int]] = {"key_value": {"key_size": 4, "value_size": 3}}
"""Small arguments of each memory."""

each_memory = pytest.mark.parametrize("name", MEMORIES)


def build(name: str) -> Memory[Any]:
    return MEMORIES[name](**SIZES[name])


def numbers(memory: Memory[Any], seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Controller's numbers for some steps, [STEPS, B, n]."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(STEPS, B, memory.control_size, generator=draw, dtype=dtype)


def run(memory: Memory[Any], given: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """All reads [STEPS, B, n], and the last state."""
    state = memory.initial_state(given.shape[1], dtype=given.dtype) if state is None else state
    reads = []
    for each in given:
        read, state = memory.step(memory.controls(each), state)
        reads.append(read)
    return torch.stack(reads), state


@each_memory
def test_a_step_reads_as_many_numbers_as_the_memory_says(name: str) -> None:
    memory = build(name)
    reads, _ = run(memory, numbers(memory))
    assert reads.shape == (STEPS, B, memory.read_size)
    assert reads.isfinite().all()
    assert memory.name == name


@each_memory
def test_the_state_that_comes_in_is_left_as_it_was(name: str) -> None:
    memory = build(name)
    _, state = run(memory, numbers(memory))
    before = [field.clone() for field in state]
    run(memory, numbers(memory, seed=1), state)
    assert all(torch.equal(one, other) for one, other in zip(before, state, strict=True))


@each_memory
def test_a_sequence_reads_the_same_by_itself_and_among_others(name: str) -> None:
    memory = build(name)
    given = numbers(memory)
    together, _ = run(memory, given)
    alone, _ = run(memory, given[:, 1:2])
    torch.testing.assert_close(alone, together[:, 1:2])


@each_memory
def test_gradients_flow_through_steps(name: str) -> None:
    memory = build(name)
    _, state = run(memory, numbers(memory))
    given = numbers(memory, seed=2)[:2].requires_grad_()
    assert torch.autograd.gradcheck(lambda each: run(memory, each, state)[0], (given,))


@each_memory
def test_numbers_of_any_size_give_no_nan(name: str) -> None:
    memory = build(name)
    for scale in (0.0, 1e-6, 1e3):
        reads, state = run(memory, scale * numbers(memory, dtype=torch.float32))
        assert reads.isfinite().all()
        assert all(field.isfinite().all() for field in state if field.is_floating_point())


@each_memory
def test_numbers_of_another_type_than_the_state(name: str) -> None:
    memory = build(name)
    given = numbers(memory, dtype=torch.float32)
    reads, state = run(memory, given, memory.initial_state(B, dtype=torch.bfloat16))
    assert {field.dtype for field in state if field.is_floating_point()} == {torch.bfloat16} == {reads.dtype}
    expected, _ = run(memory, given)
    torch.testing.assert_close(reads.float(), expected, atol=0.1, rtol=0.1)
