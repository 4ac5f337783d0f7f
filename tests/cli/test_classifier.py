import json
import shutil
import threading
from pathlib import Path

import pytest

from mann_hf.cli.classifier import find_config, is_new, only_writer, open_classifier, problem_type_of
from mann_hf.cli.options import REGRESSION, SINGLE_LABEL
from mann_hf.hub.saving import COMMITTED, MANIFEST, STAGING

from .conftest import Shell

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("place", ["nothing", "some/where/deep", "/nothing", "owner/name"])
def test_a_missing_folder_is_told(shell: Shell, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shell.fails("forget", place, "--label", "a") == (
        f"mann-hf: there is no folder '{place}'; `mann-hf remember {place} TABLE` makes one, and so does "
        "save_pretrained."
    )


def test_a_folder_that_was_probably_meant_is_named(
    shell: Shell, taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "intent").mkdir()  # no classifier
    monkeypatch.chdir(tmp_path)
    for place in ("intens", "./intent-s", "Intents.v1"):
        for command in (["predict", place, "hi"], ["forget", place, "--id", "0"], ["push", place, "me/it"]):
            assert shell.fails(*command) == f"mann-hf: there is no folder '{place}'; did you mean 'intents'?"
    assert "cache; did you mean 'intents'? The Hub: not asked" in shell.fails("predict", "me/intents", "hi")


def test_a_path_in_a_hint_can_be_pasted(shell: Shell, tmp_path: Path) -> None:
    assert f"`mann-hf remember '{tmp_path}/my intents' TABLE`" in shell.fails("predict", tmp_path / "my intents", "x")


def test_a_memory_without_a_model_is_told(shell: Shell, taught: Path, tmp_path: Path) -> None:
    open_classifier(str(taught), "text").save_memory(tmp_path / "skill")
    error = shell.fails("predict", tmp_path / "skill", "hello")
    assert "holds only a memory, no model; load it into a model with its encoder (" in error
    assert error.endswith(f", by model.load_memory('{tmp_path}/skill').")


def test_a_file_is_no_folder(shell: Shell, shots: Path) -> None:
    assert shell.fails("remember", shots, shots) == f"mann-hf: '{shots}' is a file; give a folder for the classifier."
    assert f"there is no folder '{shots}'" in shell.fails("predict", shots, "hello")


@pytest.mark.parametrize("command", ["remember", "predict", "forget", "evaluate"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            "holds no classifier, as it has no config.json; give one that `mann-hf remember` or save_pretrained made",
        ),
        (
            '{"model_type": "bert"}',
            "holds a model of type 'bert', not a classifier with a memory; to use it as the encoder",
        ),
        ('{"architectures": []}', "holds no classifier: its config.json names no model_type."),
        ('{"model', "config.json' is damaged: it is no JSON (Unterminated string"),
        ("[]", "config.json' is damaged: it holds no JSON object but a value of type list."),
    ],
)
def test_a_folder_of_something_else_is_told(
    shell: Shell, shots: Path, tmp_path: Path, command: str, content: str | None, message: str
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    if content is not None:
        (folder / "config.json").write_text(content)
    rest = {"forget": ["--label", "a"], "predict": ["hello"]}.get(command, [shots])
    assert message in shell.fails(command, folder, *rest)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_folder_of_classifiers_is_told(shell: Shell, taught: Path) -> None:
    error = shell.fails("predict", taught.parent, "hello")
    assert "holds no classifier, as it has no config.json; there are classifiers in it: give one of them" in error
    assert error.endswith(f"such as '{taught}'.")


def test_a_damaged_memory_is_told(shell: Shell, taught: Path) -> None:
    (taught / "memory.safetensors").write_bytes(b"junk" * 10)
    assert "memory.safetensors' is damaged: it has" in shell.fails("predict", taught, "hello")


def test_a_save_that_was_killed_once_whole_is_found(shell: Shell, taught: Path) -> None:
    names = [path.name for path in taught.iterdir()]
    (taught / COMMITTED).mkdir()
    for name in names:
        (taught / name).rename(taught / COMMITTED / name)
    (taught / COMMITTED / MANIFEST).write_text(json.dumps(names))
    assert not is_new(str(taught))
    assert find_config(str(taught), on_hub=False)["model_type"] == "mann"
    assert shell("predict", taught, "my card is lost").startswith("lost_card\t")


def test_a_classifier_on_the_hub_is_asked(
    shell: Shell, taught: Path, shots: Path, own_hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repository = own_hub_cache / "models--owner--intents-1.0"
    shutil.copytree(taught, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    assert shell.json("predict", "owner/intents-1.0", "my card is lost")[0]["label"] == "lost_card"
    assert shell.json("evaluate", "owner/intents-1.0", shots)["accuracy"] == 1
    assert "there is no folder" in shell.fails("forget", "owner/intents-1.0", "--label", "refund")


def test_a_classifier_that_the_hub_does_not_give_is_told(shell: Shell) -> None:
    error = shell.fails("predict", "owner/nothing", "hello")
    assert error.startswith("mann-hf: there is no folder 'owner/nothing' and no such model in the Hub cache; the Hub: ")


def test_the_problem_type_of_a_configuration() -> None:
    assert problem_type_of({}) == SINGLE_LABEL
    assert problem_type_of({"problem_type": None}) == SINGLE_LABEL
    assert problem_type_of({"problem_type": "regression"}) == REGRESSION


def test_writers_of_one_folder_take_turns(tmp_path: Path) -> None:
    folder = tmp_path / "intents"
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with only_writer(f"{tmp_path}/other/../intents"):
            order.append("second")

    with only_writer(str(folder)):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        with only_writer(str(tmp_path / "another")):
            order.append("another folder")
        thread.join(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["another folder", "first", "second"]
    assert not folder.exists()


def test_what_a_killed_first_save_left_makes_no_folder_old(tmp_path: Path) -> None:
    (tmp_path / f"{STAGING}12345-abc").mkdir()
    assert is_new(str(tmp_path))
    (tmp_path / "config.json").touch()
    assert not is_new(str(tmp_path))
