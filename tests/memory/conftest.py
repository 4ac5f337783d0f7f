"""Random memories for the tests of the layer."""

from collections.abc import Callable

import pytest
import torch

from mann_hf.memory import KeyValueState
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from mann_hf.memory.state import clear


def build_state(
    batch: int = 1,
    slots: int = 9,
    key_size: int = 4,
    labels: int = 3,
    problem_type: str = SINGLE_LABEL,
    holes: int = 2,
    counts: bool = True,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> KeyValueState:
    """A memory as it may be after a long life: other fields than fresh ones, empty slots in between.

    The slots in use hold every label at least once; with `slots - holes >= 2 * labels` at least twice.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    mask = torch.ones(batch, slots, dtype=torch.bool)
    values = torch.zeros(batch, slots, labels, dtype=dtype)
    for b in range(batch):
        order = torch.randperm(slots, generator=generator)
        mask[b, order[:holes]] = False
        used = order[holes:]
        if problem_type == REGRESSION:
            values[b, used] = normal(len(used), labels)
        else:
            values[b, used, torch.arange(len(used)) % labels] = 1
        if problem_type == MULTI_LABEL:  # some with several labels; the last with none
            values[b, used] = ((values[b, used] + (normal(len(used), labels) > 0.8)) > 0).to(dtype)
            values[b, used[-1]] = 0
    most = 4 if counts else 2
    return clear(
        KeyValueState(
            keys=normal(batch, slots, key_size),
            values=values,
            usage=torch.rand(batch, slots, generator=generator, dtype=dtype),
            age=torch.stack([torch.randperm(slots, generator=generator) for _ in range(batch)]),
            write_count=torch.randint(1, most, (batch, slots), generator=generator),
            mask=mask,
            ids=torch.stack([torch.randperm(3 * slots, generator=generator)[:slots] for _ in range(batch)]),
        )
    )


@pytest.fixture(scope="session")
def random_state() -> Callable[..., KeyValueState]:
    """The function `build_state` above."""
    return build_state
