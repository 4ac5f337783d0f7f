"""Solving on devices that have no double precision."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mann_hf.memory import READINGS, KeyValueMemory, calibrate
from mann_hf.memory.precision import WITHOUT_DOUBLE, precise


class NoDouble(TorchDispatchMode):
    """Fails where a tensor of double precision is made; the numbers that a search tries lie on the CPU in any case."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            double = isinstance(made, torch.Tensor) and made.dtype == torch.float64 and made.dim() > 0
            assert not double, f"{func} made {made.shape} of double precision"
        return result


@pytest.fixture
def state() -> Any:
    memory = KeyValueMemory(key_size=16, value_size=3)
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(1, 30, 16, generator=generator)
    return memory.write(memory.initial_state(1), keys, torch.eye(3).repeat(10, 1)[None])


@pytest.mark.parametrize("name", [*READINGS])
def test_answers_in_single_precision(state: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, queries = READINGS[name](key_size=16), torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(1))

    def answers() -> list[torch.Tensor]:
        solution = reading.solve(state)
        sharpness = calibrate(reading, state).sharpness
        terms = reading.terms(solution, queries, 1, torch.arange(30), sharpness)
        return [reading(solution, queries, sharpness), terms]

    exact = answers()
    monkeypatch.setattr("mann_hf.memory.precision.WITHOUT_DOUBLE", {*WITHOUT_DOUBLE, "cpu"})
    with torch.no_grad(), NoDouble():
        single = answers()
    torch.testing.assert_close(single, exact, atol=2e-3, rtol=2e-3, check_dtype=False)


def test_double_where_there_is_double() -> None:
    assert precise(torch.ones(2)).dtype == torch.float64
