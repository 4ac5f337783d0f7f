"""Pairs of texts as a memory takes them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..controllers.pair_processor import PairProcessor
from ..errors import InvalidInputError
from ..persistent.pairs import TOKEN_COLUMNS, EncodedPairs
from .embedding import evaluating

PART = 2048
"""Pairs that are encoded before they are written, so that the keys of a large corpus never lie in memory twice."""


@torch.no_grad()
def encoded_texts(
    model: Any,
    processor: PairProcessor,
    sources: Sequence[str],
    targets: Sequence[str],
    batch_size: int | None = None,
    advance: Callable[[int], Any] | None = None,
) -> EncodedPairs:
    """N pairs of texts with their keys, on the CPU.

    Args:
        model: a `MANNForConditionalGeneration`.
        processor: of the model.
        sources: N texts, as `processor.check` gives them.
        targets: N texts, as `processor.check_targets` gives them.
        batch_size: pairs in a batch; by default what is fast.
        advance: called with the number of pairs done after each batch.

    Raises:
        InvalidInputError: keys that are not finite.
    """
    encodings, written = processor.encode(sources), processor.encode_targets(targets)
    parts: list[EncodedPairs] = []
    rows: list[int] = []
    with evaluating(model):
        for batch in processor.batches(encodings, batch_size, written):
            inputs = processor.collate_pairs(encodings, written, batch)
            encoded = model.encode_pairs(**{name: part.to(model.device) for name, part in inputs.items()})
            here: Any = [part.cpu() if isinstance(part, Tensor) else part for part in encoded]
            parts.append(EncodedPairs(*here))
            rows += batch
            if advance is not None:
                advance(len(batch))
    return _in_order(parts, rows)._replace(sources=sources, targets=targets)


def _in_order(parts: Sequence[EncodedPairs], rows: Sequence[int]) -> EncodedPairs:
    """The pairs of several batches in the order of their rows."""
    if not parts:
        raise InvalidInputError("no pairs came.")
    order = torch.tensor(rows).argsort()
    whole = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in EncodedPairs._fields
        if isinstance(getattr(parts[0], name), Tensor)
    }
    lengths = whole["lengths"]
    starts = lengths.cumsum(0) - lengths
    moved = lengths[order]
    place = torch.arange(int(moved.sum())) - (moved.cumsum(0) - moved).repeat_interleave(moved)
    tokens = starts[order].repeat_interleave(moved) + place
    moved_parts: Any = {name: part[tokens if name in TOKEN_COLUMNS else order] for name, part in whole.items()}
    return EncodedPairs(**moved_parts)
