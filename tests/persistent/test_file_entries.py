import gc
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mann_hf.errors import MemoryFileError
from mann_hf.hub.files import MEMORY_FILE
from mann_hf.memory.reading import MULTI_LABEL, SINGLE_LABEL
from mann_hf.models import LabelledMemory
from mann_hf.persistent.entries import Entry, Example
from mann_hf.persistent.file_entries import entries_from
from mann_hf.persistent.memory_files import load_memory, save_memory

ENTRY = {"id": 3, "text": "a", "label": "x", "kind": "example"}


def test_entries_come_as_they_were_described() -> None:
    described = [ENTRY, {"id": 2**53 - 1, "text": None, "label": "y", "kind": "description"}]
    assert entries_from(described, SINGLE_LABEL) == (Entry(3, "a", "x"), Entry(2**53 - 1, None, "y", "description"))
    assert entries_from([{**ENTRY, "label": []}], MULTI_LABEL) == (Entry(3, "a", ()),)
    assert entries_from([], SINGLE_LABEL) == ()


@pytest.mark.parametrize(
    "wrong, what",
    [
        ({"id": True}, "whole number"),
        ({"id": -1}, "out of range"),
        ({"id": 2**53}, "out of range"),
        ({"text": 3}, "text"),
        ({"kind": "name"}, "unknown kind"),
        ({"kind": ["example"]}, "unknown kind"),
        ({"label": 3}, "label"),
    ],
)
def test_one_wrong_field_among_many_entries_is_refused(wrong: dict, what: str) -> None:
    described = [{**ENTRY, "id": number} for number in range(9)]
    described[5] |= wrong
    with pytest.raises(ValueError, match=what):
        entries_from(described, SINGLE_LABEL)


def test_a_description_of_no_label_is_refused() -> None:
    with pytest.raises(ValueError, match="a description of no label"):
        entries_from([{**ENTRY, "label": [], "kind": "description"}], MULTI_LABEL)


def test_no_garbage_is_collected_while_a_memory_is_read(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(2000)]
    memory, _ = LabelledMemory.empty(2).remember(torch.rand(2000, 2), list(map(Example, ["x"] * 2000, texts)))
    save_memory(replace(memory, probe=torch.ones(1, 2)), tmp_path / "whole")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / MEMORY_FILE).write_bytes(b"nothing")
    begun: list[dict] = []
    threshold, count = gc.get_threshold(), lambda phase, info: begun.append(info) if phase == "start" else None
    gc.callbacks.append(count)
    gc.set_threshold(10, *threshold[1:])
    try:
        load_memory(tmp_path / "whole" / MEMORY_FILE)
        with pytest.raises(MemoryFileError):
            load_memory(tmp_path / "damaged" / MEMORY_FILE)
        assert gc.isenabled()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(count)
    assert len(begun) < 100
