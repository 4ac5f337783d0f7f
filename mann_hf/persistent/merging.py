"""Puts together what was made of one memory in two processes, or with two encoders."""

from dataclasses import replace

import torch

from .labelled_memory import LabelledMemory


def merged(before: LabelledMemory, mine: LabelledMemory, theirs: LabelledMemory) -> LabelledMemory:
    """Another's memory with what was taught and forgotten here. An example that both taught again counts for both.

    Args:
        before: what both began with.
        mine: what became of it here.
        theirs: what became of it elsewhere.
    """
    gone = (before.slot_by_id.keys() - mine.slot_by_id.keys()) & theirs.slot_by_id.keys()
    if gone:
        theirs = theirs.forget(gone)
    theirs = _counted_again(before, mine, theirs)
    known = before.slot_by_id.keys() | theirs.slot_by_id.keys()
    new = [slot for id_, slot in mine.slot_by_id.items() if id_ not in known]
    if not new:
        return theirs
    entries = [mine.entry(slot) for slot in new]
    together, _ = theirs.remember(mine.state.keys[0, new], [entry.example for entry in entries], dict(mine.names))
    more = {entry.id: int(mine.state.write_count[0, slot]) - 1 for entry, slot in zip(entries, new, strict=True)}
    return together.taught_again(more)


def _counted_again(before: LabelledMemory, mine: LabelledMemory, theirs: LabelledMemory) -> LabelledMemory:
    """Another's memory in which examples count for more that both have, and that were taught again here."""
    counts = {
        id_: int(mine.state.write_count[0, slot])
        - (int(before.state.write_count[0, before.slot_by_id[id_]]) if id_ in before.slot_by_id else 0)
        for id_, slot in mine.slot_by_id.items()
        if id_ in theirs.slot_by_id
    }
    return theirs.taught_again(counts)


def with_counts_of(memory: LabelledMemory, other: LabelledMemory) -> LabelledMemory:
    """A memory with the usage, age and counts that entries of the same ids have in another."""
    pairs = [(slot, other.slot_by_id[id_]) for id_, slot in memory.slot_by_id.items() if id_ in other.slot_by_id]
    own, theirs = torch.tensor(pairs, device=memory.state.keys.device).long().view(-1, 2).unbind(1)
    kept = {
        name: getattr(memory.state, name).index_copy(1, own, getattr(other.state, name)[:, theirs])
        for name in ("usage", "age", "write_count")
    }
    return replace(memory, state=memory.state._replace(**kept))
