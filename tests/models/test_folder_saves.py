import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mann_hf import MANNForSequenceClassification
from mann_hf.errors import FolderChangedError, MemoryFileError
from mann_hf.hub.saving import COMMITTED, MANIFEST
from mann_hf.models import folder_saves, publishing
from mann_hf.pipelines import FewShotTextClassificationPipeline

SECRET, LABEL = "my quartz zebra is lost", "oncology_patient"
Classifier = FewShotTextClassificationPipeline
Save = Callable[[Classifier, Path], object]
SAVES: dict[str, Save] = {
    "memory": lambda classifier, folder: classifier.save_memory(folder),
    "model": lambda classifier, folder: classifier.save_pretrained(folder),
    "model-without-card": lambda classifier, folder: classifier.save_pretrained(folder, create_model_card=False),
    "model-alone": lambda classifier, folder: classifier.model.save_pretrained(folder, create_model_card=False),
}
each_save = pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)


@pytest.fixture
def classifier(tiny_classifier: Callable[..., MANNForSequenceClassification]) -> Classifier:
    """It knows three texts, one of them to be forgotten."""
    classifier = Classifier(model=tiny_classifier())
    classifier.remember(["where is my card", "please refund me", SECRET], ["card", "refund", LABEL])
    return classifier


def telling(folder: Path) -> set[str]:
    """The files that hold what was forgotten."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name for path in files if SECRET.encode() in path.read_bytes() or LABEL.encode() in path.read_bytes()}


@each_save
def test_what_is_forgotten_is_in_no_file_of_the_folder(classifier: Classifier, tmp_path: Path, save: Save) -> None:
    classifier.save_pretrained(tmp_path)
    assert telling(tmp_path) == {"memory.safetensors", "memory.json", "config.json", "README.md"}
    classifier.forget(label=LABEL)
    save(classifier, tmp_path)
    assert telling(tmp_path) == set()
    again = MANNForSequenceClassification.from_pretrained(tmp_path)
    assert again.memory.labels == ("card", "refund") == tuple(again.config.id2label.values())
    assert "where is my card" in (tmp_path / "README.md").read_text()


@each_save
def test_a_card_of_the_users_own_is_told_of(
    classifier: Classifier, tmp_path: Path, save: Save, told: Callable[[], list[str]]
) -> None:
    classifier.save_pretrained(tmp_path)
    own = f"# Mine\n\nIt knows `{LABEL}`, such as: my quartz\nzebra is lost; and refunds.\n"
    (tmp_path / "README.md").write_text(own)
    save(classifier, tmp_path)
    assert told() == []
    classifier.forget(label=LABEL)
    save(classifier, tmp_path)
    (warning,) = told()
    assert str(tmp_path / "README.md") in warning and "1 text and 1 label" in warning and SECRET not in warning
    assert (tmp_path / "README.md").read_text() == own
    assert telling(tmp_path) == {"README.md"}


def test_a_memory_beside_another_model(
    classifier: Classifier, tiny_classifier: Callable[..., MANNForSequenceClassification], tmp_path: Path
) -> None:
    """Its own settings and what its card says stay."""
    other = tiny_classifier(reading="prototype")
    other.model_card_data.description = "Of the other."
    other.save_pretrained(tmp_path)
    classifier.save_memory(tmp_path)
    again = MANNForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.reading == "prototype" and again.memory.labels == classifier.model.memory.labels
    card = (tmp_path / "README.md").read_text()
    assert "Of the other." in card and LABEL in card


def test_a_memory_by_itself(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save_memory(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"memory.safetensors", "memory.json"}
    publishing.write_memory_card(classifier.model, tmp_path, "me/memory", None)
    classifier.forget(label=LABEL)
    classifier.save_memory(tmp_path)
    assert telling(tmp_path) == set()
    assert "where is my card" in (tmp_path / "README.md").read_text()


def test_a_memory_in_the_folder_of_an_encoder(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    classifier.save_memory(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": "bert"}


def test_a_file_is_no_folder(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MemoryFileError, match="is a file; give a folder"):
        classifier.save_memory(tmp_path / "file")


@each_save
def test_what_others_taught_meanwhile_is_not_lost(classifier: Classifier, tmp_path: Path, save: Save) -> None:
    classifier.save_pretrained(tmp_path)
    there = Classifier(model=MANNForSequenceClassification.from_pretrained(tmp_path))
    there.remember(["a new card"], ["card"])
    save(there, tmp_path)
    taught = (tmp_path / "memory.safetensors").read_bytes()
    classifier.remember(["send my money"], ["refund"])
    with pytest.raises(FolderChangedError, match=r"changed by another.*load_memory.*overwrite=True") as caught:
        save(classifier, tmp_path)
    assert caught.value.folder == str(tmp_path)
    assert (tmp_path / "memory.safetensors").read_bytes() == taught
    mine = classifier.model.memory.entries
    classifier.load_memory(tmp_path)
    classifier.remember([entry.text or "" for entry in mine], [entry.label for entry in mine])
    save(classifier, tmp_path)
    again = MANNForSequenceClassification.from_pretrained(tmp_path)
    assert {"a new card", "send my money"} < {entry.text for entry in again.memory.entries}


def test_overwriting_is_asked_for(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save_pretrained(tmp_path)
    there = MANNForSequenceClassification.from_pretrained(tmp_path)
    there.forget(label="card")
    for number, save in enumerate((there.save_memory, classifier.save_pretrained, there.save_pretrained)):
        if number:
            with pytest.raises(FolderChangedError):
                save(tmp_path)
        save(tmp_path, overwrite=True)
        save(tmp_path)


def test_who_has_not_seen_the_folder_saves_as_always(classifier: Classifier, tmp_path: Path) -> None:
    other = classifier.with_own_memory()
    other.forget(label="card")
    for one in (classifier, other):
        one.save_pretrained(tmp_path)
    with pytest.raises(FolderChangedError):  # a copy of a model sees for itself
        classifier.save_pretrained(tmp_path)
    shutil.rmtree(tmp_path)
    classifier.save_pretrained(tmp_path)
    assert MANNForSequenceClassification.from_pretrained(tmp_path).memory.labels == classifier.model.memory.labels


def test_a_memory_that_changes_while_it_is_loaded(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save_memory(tmp_path)
    with folder_saves.reading_memory(classifier.model, tmp_path):
        other = classifier.with_own_memory()
        other.forget(label="card")
        other.save_memory(tmp_path)
    with pytest.raises(FolderChangedError):
        classifier.save_memory(tmp_path)


@pytest.mark.parametrize("whole", [True, False], ids=["beside-the-old", "first-save"])
def test_a_memory_loaded_by_its_file_is_the_one_that_was_saved_last(
    classifier: Classifier, tmp_path: Path, whole: bool
) -> None:
    folder, stopped = tmp_path / "saved", tmp_path / "saved" / COMMITTED
    classifier.save_memory(folder)
    if not whole:
        shutil.rmtree(folder)
        folder.mkdir()
    classifier.forget(label=LABEL)
    classifier.save_memory(tmp_path / "new")
    names = [path.name for path in (tmp_path / "new").glob("memory.*")]
    (tmp_path / "new" / MANIFEST).write_text(json.dumps(names))
    shutil.copytree(tmp_path / "new", stopped)
    classifier.load_memory(str(folder / "memory.safetensors"))
    assert classifier.model.memory.labels == ("card", "refund")
    assert not stopped.exists() and telling(folder) == set()


def test_a_memory_taken_over_by_its_file_may_be_saved_over(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save_pretrained(tmp_path)
    other = Classifier(model=MANNForSequenceClassification.from_pretrained(tmp_path))
    other.remember(["when do you open"], ["hours"])
    other.save_pretrained(tmp_path)
    with pytest.raises(FolderChangedError):
        classifier.save_pretrained(tmp_path)
    classifier.load_memory(tmp_path / "memory.safetensors")
    classifier.save_pretrained(tmp_path)
    assert "hours" in MANNForSequenceClassification.from_pretrained(tmp_path).memory.labels
