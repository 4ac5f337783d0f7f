"""Access to whole weights when FSDP shards them over processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.distributed.fsdp import FSDPModule


@contextmanager
def whole_weights(model: Any) -> Iterator[None]:
    """Gathers the weights of no wrapped layer, so that methods other than `forward` can be called on a sharded model.

    Wrapped layers are gathered whenever they run, by all processes together: within this context each process must
    encode the same texts in the same order. Weights that are not sharded stay as they are.

    Args:
        model: the model as prepared by Accelerate.
    """
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()
