"""Weights that FSDP spreads over processes, and what takes them whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.distributed.fsdp import FSDPModule


@contextmanager
def whole_weights(model: Any) -> Iterator[None]:
    """Gathers the weights that belong to no wrapped layer, so that a model's methods beside `forward` can be called.

    Layers that are wrapped by themselves are gathered whenever they run, by all processes together: within this each
    process must encode the same texts in the same order. Weights that are not spread stay as they are.

    Args:
        model: as Accelerate has prepared it.
    """
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()
