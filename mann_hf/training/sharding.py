"""Work of several processes: whole weights where FSDP shards them, and keys of which each process computes a share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from ..controllers.processor import InputProcessor
from ..models import adapter_base
from ..models.adapter_switches import has_adapter


@contextmanager
def whole_weights(model: Any) -> Iterator[None]:
    """Gathers the weights of no wrapped layer, so that methods other than `forward` can be called on a sharded model.

    Wrapped layers are gathered whenever they run, by all processes together: within this context each process must
    encode the same texts in the same order. Weights that are not sharded stay as they are.
    """
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


@contextmanager
def adapter_known(model: Any, wrapped: Any) -> Iterator[None]:
    """Computes what identifies the encoder under an adapter, before each process saves with a part of its weights."""
    if not has_adapter(model):
        yield
        return
    with whole_weights(wrapped):
        probe = adapter_base.base_probe(model)
    with adapter_base.saved_with(model, probe):
        yield


def embed_in_shares(
    accelerator: Any, model: Any, processor: InputProcessor, inputs: list[Any], sharded: bool
) -> Tensor:
    """Keys [n, K] for n inputs, the same on each process.

    Args:
        sharded: whether no process has all weights: each then encodes all inputs, as the layers are gathered together.
    """
    processes = accelerator.num_processes
    if sharded or processes == 1:
        return model.embed_inputs(processor, inputs)
    share = -(-len(inputs) // processes)
    first = share * accelerator.process_index
    own = inputs[first : first + share]
    keys = model.embed_inputs(processor, own) if own else torch.zeros(0, model.key_size)
    keys = torch.nn.functional.pad(keys, (0, 0, 0, share - len(keys))).to(accelerator.device)
    return accelerator.gather(keys)[: len(inputs)]
