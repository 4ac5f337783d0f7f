"""Reading stored pairs by the states of a question."""

import math

import torch

from mann_hf.memory.example_reading import ExampleReading


def material(batch=2, length=3, pairs=4, size=5):
    torch.manual_seed(0)
    reading = ExampleReading(6, 6, size, gate=0.7).double()
    draw = torch.Generator().manual_seed(1)
    states, keys, values = (
        torch.randn(batch, count, width, generator=draw, dtype=torch.float64)
        for count, width in ((length, 6), (pairs, size), (pairs, size))
    )
    return reading, states, keys, values


def test_what_is_read_is_that_of_the_paper():
    reading, states, keys, values = material()
    found = reading(states, keys, values)
    for row in range(2):
        for place in range(3):
            query = reading.query.weight @ states[row, place]
            scores = [float(query @ key) / math.sqrt(5) for key in keys[row]]
            total = sum(map(math.exp, scores))
            context = sum(math.exp(score) / total * value for score, value in zip(scores, values[row], strict=True))
            expected = states[row, place] + math.tanh(0.7) * (reading.out.weight @ context)
            assert torch.allclose(found.states[row, place], expected, atol=1e-12)


def test_a_closed_gate_changes_nothing_to_the_bit():
    reading, states, keys, values = material()
    with torch.no_grad():
        reading.gate.zero_()
    assert reading.is_closed and torch.equal(reading(states, keys, values).states, states)


def test_order_of_pairs_does_not_matter():
    reading, states, keys, values = material()
    order = torch.tensor([2, 0, 3, 1])
    one, other = reading(states, keys, values).states, reading(states, keys[:, order], values[:, order]).states
    assert torch.allclose(one, other, atol=1e-12)


def test_pairs_that_are_not_there_are_not_read():
    reading, states, keys, values = material()
    mask = torch.tensor([[True, False, True, True], [False] * 4])
    found = reading(states, keys, values, mask)
    few = reading(states[:1], keys[:1, [0, 2, 3]], values[:1, [0, 2, 3]])
    assert torch.allclose(found.states[:1], few.states, atol=1e-12)
    assert found.weights[0, :, 1].eq(0).all()
    assert torch.equal(found.states[1], states[1]) and found.weights[1].eq(0).all()


def test_gradients_reach_all_that_is_learned():
    reading, states, keys, values = material()
    keys.requires_grad_(), values.requires_grad_()
    reading(states, keys, values).states.square().sum().backward()
    for part in (keys, values, reading.query.weight, reading.out.weight, reading.gate):
        assert part.grad is not None and part.grad.abs().sum() > 0
