import copy
import gc
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from mann_hf import MANNForSequenceClassification
from mann_hf.errors import FolderChangedError, InvalidInputError, InvalidTypeError, NotAFolderError, NotInMemoryError
from mann_hf.hub.saving import COMMITTED, MANIFEST
from mann_hf.models import folder_saves, memory_card
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
    with pytest.raises(NotInMemoryError):
        classifier.forget(label=LABEL)
    patterns = [one.pattern for one in gc.get_objects() if isinstance(one, re.Pattern)]
    assert not any(LABEL in str(pattern) or "oncology" in str(pattern) for pattern in patterns)


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
    memory_card.write_memory_card(classifier.model, tmp_path, "me/memory", None)
    classifier.forget(label=LABEL)
    classifier.save_memory(tmp_path)
    assert telling(tmp_path) == set()
    assert "where is my card" in (tmp_path / "README.md").read_text()


def test_a_memory_in_the_folder_of_an_encoder(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    classifier.save_memory(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": "bert"}


@pytest.mark.parametrize("place", [None, 3, True, b"saved", ["saved"]], ids=repr)
def test_what_is_no_path_is_refused(classifier: Classifier, place: Any) -> None:
    model = classifier.model
    for call in (model.save_pretrained, model.save_memory, model.load_memory, model.from_encoder_pretrained):
        with pytest.raises(InvalidTypeError, match=r"is .* \(of type \w+\); give a text or a pathlib\.Path"):
            call(place)


@pytest.mark.parametrize(
    "place", ["a\0b", "a\ud800", "x" * 5000, "a/" + "x" * 256], ids=["nul", "surrogate", "long", "long-name"]
)
def test_a_path_that_no_file_system_takes_is_refused(classifier: Classifier, place: str) -> None:
    model = classifier.model
    for call in (model.save_pretrained, model.save_memory, model.load_memory, model.from_encoder_pretrained):
        with pytest.raises(InvalidInputError, match="which no file system takes"):
            call(place)


@pytest.mark.parametrize("place", ["file", "file/below/it"])
@pytest.mark.parametrize("save", ["save_memory", "save_pretrained"])
def test_a_file_is_no_folder(classifier: Classifier, tmp_path: Path, save: str, place: str) -> None:
    (tmp_path / "file").touch()
    for saver in (classifier, classifier.model):
        with pytest.raises(NotAFolderError, match="file' is a file; give a folder") as caught:
            getattr(saver, save)(tmp_path / place)
        assert isinstance(caught.value, NotADirectoryError)


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


@each_save
def test_who_has_not_seen_the_folder_loses_nothing_of_it(classifier: Classifier, tmp_path: Path, save: Save) -> None:
    """A script that is run again saves as always, as long as it knows all that was taught there."""
    other = classifier.with_own_memory()
    other.forget(label="card")
    save(classifier, tmp_path)
    taught = (tmp_path / "memory.safetensors").read_bytes()
    with pytest.raises(FolderChangedError, match=r"not loaded from, and 1 text of it.*load_memory.*overwrite=True"):
        save(other, tmp_path)
    assert (tmp_path / "memory.safetensors").read_bytes() == taught
    other.remember(["where is my card", "and one more"], ["card", "other"])
    save(other, tmp_path)
    with pytest.raises(FolderChangedError):  # a copy of a model sees for itself
        save(classifier, tmp_path)
    shutil.rmtree(tmp_path)
    classifier.save_pretrained(tmp_path)
    assert MANNForSequenceClassification.from_pretrained(tmp_path).memory.labels == classifier.model.memory.labels


@each_save
def test_what_a_model_has_held_elsewhere_it_may_forget_here_too(
    classifier: Classifier, tmp_path: Path, save: Save
) -> None:
    classifier.save_pretrained(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    for model in (classifier, copy.deepcopy(classifier)):
        model.forget(label=LABEL)
        save(model, tmp_path / "second")
        assert telling(tmp_path / "second") == set()
        shutil.rmtree(tmp_path / "second")
        shutil.copytree(tmp_path / "first", tmp_path / "second")


def test_a_memory_that_is_damaged_is_nothing_to_lose(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "memory.safetensors").write_bytes(b"nonsense")
    classifier.save_pretrained(tmp_path)
    assert len(MANNForSequenceClassification.from_pretrained(tmp_path).memory) == 3


def test_a_model_that_knows_nothing_does_not_take_the_place_of_what_was_taught(
    classifier: Classifier, tmp_path: Path
) -> None:
    classifier.save_pretrained(tmp_path)
    empty = classifier.with_own_memory().model
    empty.forget([entry.id for entry in empty.memory.entries])
    fresh = copy.deepcopy(empty)
    fresh.seen_memories = {}
    with pytest.raises(FolderChangedError, match="3 texts of it"):
        fresh.save_pretrained(tmp_path)
    fresh.save_pretrained(tmp_path, overwrite=True)
    assert not len(MANNForSequenceClassification.from_pretrained(tmp_path).memory)


@pytest.mark.parametrize("saved", ["classifier", "model"])
@pytest.mark.parametrize("fault", ["variant", "layer", "weight"])
def test_what_nobody_could_load_is_refused_and_leaves_no_folder(
    classifier: Classifier, tmp_path: Path, saved: str, fault: str
) -> None:
    options: dict[str, Any] = {}
    layers, told = classifier.model.encoder.encoder.layer, "modules of it share their weights .*layer.0"
    if fault == "variant":
        options, told = {"variant": "fp16"}, "variant='fp16': the model was not saved"
    elif fault == "layer":
        layers[1] = layers[0]
    else:
        layers[1].output.dense.weight = layers[0].output.dense.weight
    with pytest.raises(InvalidInputError, match=told):
        (classifier if saved == "classifier" else classifier.model).save_pretrained(tmp_path / "a" / "b", **options)
    assert not (tmp_path / "a").exists()


def test_an_argument_that_there_is_not(classifier: Classifier, tmp_path: Path) -> None:
    for saved in (classifier, classifier.model):
        with pytest.raises(InvalidTypeError, match=r"has no argument 'overwite': did you mean overwrite\?"):
            saved.save_pretrained(tmp_path / "new", overwite=True)
    assert not (tmp_path / "new").exists()
    for saved in (classifier, classifier.model):
        saved.save_pretrained(tmp_path, safe_serialization=True, max_shard_size="1MB", token="unused")
        saved.save_pretrained(tmp_path, use_auth_token=None, organization="me", commit_message="unused")
        saved.save_pretrained(tmp_path, distributed_config=None)
        with pytest.raises(InvalidTypeError, match="no argument 'a_create_model_card'"):
            saved.save_pretrained(tmp_path, overwite=True, a_create_model_card=True)


def test_a_card_is_written_in_turn(
    classifier: Classifier, tmp_path: Path, elsewhere: Callable[[Path], AbstractContextManager[None]]
) -> None:
    classifier.save_pretrained(tmp_path)
    (tmp_path / "README.md").unlink()
    with elsewhere(tmp_path):
        writing = threading.Thread(target=folder_saves.save_cards, args=[classifier.model, tmp_path, "me/mine"])
        writing.start()
        writing.join(0.2)
        assert writing.is_alive() and not (tmp_path / "README.md").exists()
    writing.join()
    assert '"me/mine"' in (tmp_path / "README.md").read_text()


def test_a_pipe_in_place_of_the_memory_is_not_waited_for(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save_pretrained(tmp_path)
    (tmp_path / "memory.safetensors").unlink()
    os.mkfifo(tmp_path / "memory.safetensors")
    classifier.save_pretrained(tmp_path)
    assert len(MANNForSequenceClassification.from_pretrained(tmp_path).memory) == 3


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
