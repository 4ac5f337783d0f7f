"""Whether two memories are the same."""

import torch

from mann_hf.models import LabelledMemory


def same_memory(first: LabelledMemory, second: LabelledMemory) -> None:
    """Asserts that two memories hold the same, bit for bit."""
    assert first.entries == second.entries
    assert first.labels == second.labels
    assert first.problem_type == second.problem_type
    for name, mine, theirs in zip(first.state._fields, first.state, second.state, strict=True):
        assert torch.equal(mine, theirs), name
        assert mine.dtype == theirs.dtype, name
    assert first.names.keys() == second.names.keys()
    assert all(torch.equal(first.names[name], second.names[name]) for name in first.names)
