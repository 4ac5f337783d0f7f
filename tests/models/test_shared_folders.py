"""Two who teach one folder at once, each with a model of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mann_hf import MANNForSequenceClassification
from mann_hf.errors import FolderChangedError
from mann_hf.hub import folder_lock
from mann_hf.models.shared_folders import SharedFolder
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
