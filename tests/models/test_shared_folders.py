"""Two who teach one folder at once, each with a model of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mann_hf import MANNForSequenceClassification
from mann_hf.errors import FolderChangedError, InvalidInputError
from mann_hf.hub import folder_lock
from mann_hf.memory.eviction import EVICTIONS, Kaiser
from mann_hf.models import LabelledMemory, folder_saves, shared_folders
from mann_hf.models.shared_folders import SharedFolder
from mann_hf.persistent.kinds import LABELLED, MEMORY_FORMATS
from mann_hf.pipelines import FewShotTextClassificationPipeline as Classifier


def opened(folder: Path) -> tuple[Classifier, SharedFolder]:
    model = MANNForSequenceClassification.from_pretrained(folder)
    return Classifier(model=model), SharedFolder(model, folder)


@pytest.fixture
def folder(tiny_classifier: Callable[..., MANNForSequenceClassification], tmp_path: Path) -> Path:
    classifier = Classifier(model=tiny_classifier())
    classifier.remember(["where is my card", "please refund me", "cancel it"], ["card", "refund", "cancel"])
    classifier.save_pretrained(tmp_path / "folder")
    return tmp_path / "folder"


def held(memory: object) -> set[tuple[str, str]]:
    return {(entry.text, entry.label) for entry in memory.entries}  # type: ignore[attr-defined]


def test_what_either_teaches_and_forgets_stays_so(folder: Path) -> None:
    (page, kept), (shell, _) = opened(folder), opened(folder)
    page.remember(["my money back"], ["refund"])
    kept.save()
    shell.load_memory(folder)
    shell.remember(["a new card", "send it"], ["card", "delivery"])
    shell.forget(label="cancel")
    shell.save_memory(folder)
    page.forget(label="card")
    page.remember(["lost my phone"], ["phone"])
    kept.save()
    expected = {
        ("please refund me", "refund"),
        ("my money back", "refund"),
        ("a new card", "card"),
        ("send it", "delivery"),
        ("lost my phone", "phone"),
    }
    again = MANNForSequenceClassification.from_pretrained(folder)
    assert held(again.memory) == expected == held(page.model.memory)
    assert again.memory.names.keys() == {"refund", "card", "delivery", "phone"}
    page.forget(label="phone")
    kept.save()
    assert held(MANNForSequenceClassification.from_pretrained(folder).memory) == expected - {("lost my phone", "phone")}


def counts(memory: LabelledMemory) -> dict[str | None, int]:
    return {entry.text: int(memory.state.write_count[0, slot]) for slot, entry in enumerate(memory.entries)}


def test_what_was_taught_again_counts_as_often(folder: Path) -> None:
    (page, kept), (shell, _) = opened(folder), opened(folder)
    shell.remember(["cancel it", "my phone"], ["cancel", "phone"])
    shell.save_memory(folder)
    page.remember(["cancel it", "where is my card", "my phone", "new", "new"], ["cancel", "card", "phone", "a", "a"])
    kept.save()
    expected = {"where is my card": 2, "please refund me": 1, "cancel it": 3, "my phone": 2, "new": 2}
    assert counts(MANNForSequenceClassification.from_pretrained(folder).memory) == expected
    shell.load_memory(folder)
    shell.remember(["send it"], ["delivery"])
    shell.save_memory(folder)
    page.remember(["where is my card"], ["card"])
    kept.save()
    assert counts(page.model.memory) == expected | {"send it": 1, "where is my card": 3}


@pytest.mark.parametrize("eviction", ["kaiser", "from outside"])
def test_slots_that_mix_examples_are_not_merged(
    tiny_classifier: Callable[..., MANNForSequenceClassification],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eviction: str,
) -> None:
    monkeypatch.setitem(EVICTIONS._parts, "from outside", type("Outside", (Kaiser,), {})())
    classifier = Classifier(model=tiny_classifier(capacity=2, eviction=eviction))
    classifier.remember(["where is my card", "cancel it"], ["card", "cancel"])
    classifier.save_pretrained(tmp_path)
    (page, kept), (shell, _) = opened(tmp_path), opened(tmp_path)
    shell.forget(label="cancel")
    shell.save_memory(tmp_path)
    page.remember(["a new card"], ["card"])
    taught = page.model.memory
    with pytest.raises(FolderChangedError, match="mixes examples in one slot"):
        kept.save()
    assert page.model.memory.entries == taught.entries


def test_after_a_save_that_failed_what_others_forget_stays_forgotten(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (page, kept), (shell, _) = opened(folder), opened(folder)
    shell.remember(["my phone"], ["phone"])
    shell.save_memory(folder)
    page.remember(["my money back"], ["refund"])
    save, calls = folder_saves.save_memory, []

    def full_disk(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise OSError("the disk is full")
        save(*args, **kwargs)

    monkeypatch.setattr(shared_folders, "save_memory", full_disk)
    with pytest.raises(OSError, match="full"):
        kept.save()
    shell.forget(label="phone")
    shell.save_memory(folder)
    kept.save()
    texts = {text for text, _ in held(MANNForSequenceClassification.from_pretrained(folder).memory)}
    assert "my money back" in texts and "my phone" not in texts


def test_a_merge_that_fails_loses_nothing_and_leaves_no_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (page, kept), (shell, _) = opened(folder), opened(folder)
    shell.remember(["my phone"], ["phone"])
    shell.forget(label="cancel")
    shell.save_memory(folder)
    page.remember(["my money back"], ["refund"])
    taught, there = page.model.memory, (folder / "memory.safetensors").read_bytes()

    def failing(*memories: Any) -> LabelledMemory:
        raise InvalidInputError("a memory that is too large")

    with monkeypatch.context() as patch:
        patch.setitem(MEMORY_FORMATS._parts, LABELLED, MEMORY_FORMATS[LABELLED]._replace(merge=failing))
        for _ in range(2):
            with pytest.raises(InvalidInputError, match="too large"):
                kept.save()
            assert page.model.memory is taught and len(page.model.config.id2label or {}) == 3
            assert (folder / "memory.safetensors").read_bytes() == there
            assert not (folder / folder_lock.LOCK).exists() and not [*folder.glob(".mann-staging*")]
    kept.save()
    found = {text for text, _ in held(MANNForSequenceClassification.from_pretrained(folder).memory)}
    assert found == {"where is my card", "please refund me", "my money back", "my phone"}


def test_it_is_locked_only_while_it_is_written_to(folder: Path) -> None:
    page, kept = opened(folder)
    page.remember(["my money back"], ["refund"])
    kept.save()
    assert not (folder / folder_lock.LOCK).exists()


def test_a_folder_that_was_removed_is_not_made_again(folder: Path) -> None:
    page, kept = opened(folder)
    shutil.rmtree(folder)
    page.remember(["my money back"], ["refund"])
    with pytest.raises(FolderChangedError, match="was removed"):
        kept.save()
    assert not folder.exists()


def test_a_memory_without_texts_is_not_merged(
    tiny_classifier: Callable[..., MANNForSequenceClassification], tmp_path: Path
) -> None:
    """Its entries could not be told apart."""
    classifier = Classifier(model=tiny_classifier(store_texts=False))
    classifier.remember(["where is my card"], ["card"])
    classifier.save_pretrained(tmp_path)
    (page, kept), (shell, _) = opened(tmp_path), opened(tmp_path)
    shell.remember(["a new card"], ["card"])
    shell.save_memory(tmp_path)
    page.remember(["my money back"], ["refund"])
    with pytest.raises(FolderChangedError, match="changed by another"):
        kept.save()
