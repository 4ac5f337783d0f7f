"""One lookup in an encoder's table of tokens for several batches of texts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .inputs import token_table


@contextmanager
def looked_up_once(encoder: Any, batches: Sequence[Tensor]) -> Iterator[None]:
    """Within it, an encoder that is called with these batches has their tokens looked up already, all in one call.

    A lookup has a gradient as large as the table, most of it zeros, so that one for each batch would cost more than
    the batches' short texts. Tokens that the encoder asks for otherwise are looked up as ever. Where something else
    hangs on the table (a hook, a wrapper that gathers its weights), or there is no gradient, nothing changes.

    Args:
        batches: token ids [U, L], one tensor for each call of the encoder, as they will be passed.
    """
    tables = _tables(encoder) if len(batches) > 1 and torch.is_grad_enabled() else []
    if not tables:
        yield
        return
    vectors = tables[0](torch.cat([batch.flatten() for batch in batches]))
    parts = vectors.split([batch.numel() for batch in batches])
    ready = {batch.data_ptr(): (batch, part) for batch, part in zip(batches, parts, strict=True)}

    def instead(module: nn.Module, args: tuple[Any, ...], found: Tensor) -> Tensor:
        tokens = args[0] if args and isinstance(args[0], Tensor) else None
        batch, part = (None, None) if tokens is None else ready.get(tokens.data_ptr(), (None, None))
        if batch is None or part is None or tokens is None or tokens.numel() != batch.numel():
            return found
        return part.view(*tokens.shape, -1)

    hooks = [table.register_forward_hook(instead) for table in tables]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _tables(encoder: Any) -> list[nn.Embedding]:
    """The encoder's modules for its table of tokens, if that learns and nothing else has a part in a lookup."""
    named = token_table(encoder)
    if not isinstance(named, nn.Embedding) or torch.compiler.is_compiling():
        return []
    # T5 names another module of the same weights than the one that it calls
    kind = type(named)
    tables = [module for module in encoder.modules() if isinstance(module, kind) and module.weight is named.weight]
    return tables if all(map(_is_plain, tables)) else []


def _is_plain(table: nn.Embedding) -> bool:
    hooked = table._forward_hooks or table._forward_pre_hooks or table._backward_hooks or table._backward_pre_hooks
    return not hooked and table.weight.requires_grad and table.max_norm is None
