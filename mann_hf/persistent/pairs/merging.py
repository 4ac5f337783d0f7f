"""Puts together what was made of one memory of pairs in two processes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .memory import PairMemory
from .segment import Segment


def merged_pairs(before: PairMemory, mine: PairMemory, theirs: PairMemory) -> PairMemory:
    """Another's memory with what was taught and forgotten here. A pair that both taught again counts for both.

    Args:
        before: what both began with.
        mine: what became of it here.
        theirs: what became of it elsewhere.
    """
    ids, counts = mine.ids_in_order.numpy(), mine.counts_in_order.numpy()
    gone = before.ids_in_order.numpy()
    gone = gone[(mine.counts_of(gone) == 0) & (theirs.counts_of(gone) > 0)]
    together = theirs.forget(gone.tolist())
    were, are = before.counts_of(ids), together.counts_of(ids)
    again = (are > 0) & (counts > were)
    together = together.taught_again(ids[again], (counts - were)[again])
    new = (were == 0) & (are == 0)
    if new.any() and not len(together):  # without a mark of the encoder
        together = replace(mine, segments=())
    return together.with_segments(_chosen(mine, new))


def _chosen(memory: PairMemory, which: np.ndarray) -> Iterator[Segment]:
    """The pairs of a memory that a mask [N] chooses."""
    first = 0
    for segment in memory.segments:
        rows = np.flatnonzero(which[first : first + len(segment)])
        first += len(segment)
        if len(rows):
            yield segment.take(rows)
