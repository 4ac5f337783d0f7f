import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mann_hf.memory import SIMILARITIES, KeyValueMemory, KeyValueState
from mann_hf.memory.reading import PrototypeReading

K, V, Q = 4, 3, 5
MakeState = Callable[..., KeyValueState]


def reference(state: KeyValueState, queries: Tensor, reading: PrototypeReading) -> Tensor:
    """β s(c_l, q) label by label, each prototype a plain mean over copies of its examples."""
    result = torch.full((*queries.shape[:2], state.values.shape[-1]), -math.inf, dtype=torch.float64)
    for b, label in np.ndindex(state.batch_size, state.values.shape[-1]):
        copies = [
            state.keys[b, i]
            for i in range(state.slots)
            for _ in range(int(state.write_count[b, i]))
            if state.mask[b, i] and state.values[b, i, label]
        ]
        if copies:
            prototype = torch.stack(copies).mean(0)
            result[b, :, label] = reading.similarity(prototype[None, None], queries[b : b + 1])[0, :, 0]
    return result * reading.sharpness


@pytest.mark.parametrize("name", SIMILARITIES)
def test_it_is_the_loop_over_labels(name: str, random_state: MakeState) -> None:
    state = random_state(batch=2)
    state = state._replace(values=torch.cat([state.values, torch.zeros(2, state.slots, 1)], dim=-1))
    queries = torch.randn(2, Q, K, dtype=torch.float64)
    reading = PrototypeReading(K, similarity=name, sharpness=1.7).double()
    logits = reading(reading.solve(state), queries)
    torch.testing.assert_close(logits, reference(state, queries, reading), atol=1e-9, rtol=1e-9)
    assert (logits[..., V] == -math.inf).all()  # nothing is stored under the last label


def test_planted_prototypes_have_known_scores() -> None:
    memory = KeyValueMemory(2, 2)
    keys = torch.tensor([[[1.0, 0], [0, 1], [-2, 0]]])
    state = memory.write(memory.initial_state(), keys, torch.eye(2)[[0, 0, 1]][None])
    reading = PrototypeReading(2, similarity="euclidean", sharpness=1.0)
    solution = reading.solve(state)
    query = torch.zeros(1, 1, 2)
    torch.testing.assert_close(reading(solution, query), torch.tensor([[[-0.5, -4.0]]]))
    torch.testing.assert_close(reading.terms(solution, query, 0, torch.arange(3)), torch.tensor([[[-0.25, -0.25, 0]]]))


def test_the_only_example_of_a_label_leaves_none_behind(random_state: MakeState) -> None:
    state = random_state(slots=4, holes=0, labels=3)  # the labels 0, 1, 2, 0 in some order
    reading = PrototypeReading(K).double()
    left_out = reading.left_out(reading.solve(state), torch.arange(4))
    single = state.values.sum(1, keepdim=True) == 1
    own = state.values.bool()
    assert torch.equal(left_out == -math.inf, own & single)
