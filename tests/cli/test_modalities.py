"""A kind of inputs from another package in the shell."""

import csv
import json
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from mann_hf.cli import modalities
from mann_hf.cli.modalities import MODALITIES, Modality
from mann_hf.controllers.kinds import CONTROLLERS
from tests.cli.conftest import Shell, files
from tests.tones import TONES, register, tone_encoder

TONE = Modality(encoder=None, columns=("tone", "tones"))


def table(path: Path, header: str = "tone,label") -> Path:
    path.write_text(header + "\n" + "".join(f"{tone},{label}\n" for tone, label in TONES.items()))
    return path


@pytest.fixture
def tones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A table of TONES, which the shell knows."""
    register(monkeypatch)
    monkeypatch.setitem(MODALITIES._parts, "tone", TONE)
    return table(tmp_path / "tones.csv")


@pytest.fixture
def taught(shell: Shell, tones: Path, tmp_path: Path) -> Path:
    """A folder that was taught them through the shell."""
    folder = tmp_path / "my-tones"
    said = shell("remember", folder, tones, "--encoder", tone_encoder(tmp_path / "encoder"))
    assert said == f"Remembered 4 tones; {folder} now holds 4 tones of 2 labels.\n"
    return folder


def test_it_answers(shell: Shell, taught: Path) -> None:
    (answer,) = shell.json("predict", taught, "0.8 0 0.1 0")
    assert answer["label"] == "low" and answer["score"] > 0.5


def test_a_table_is_answered_with_its_columns(shell: Shell, taught: Path, tones: Path, tmp_path: Path) -> None:
    shell("predict", taught, tones, "--output", tmp_path / "answers.csv")
    with (tmp_path / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["tone"], row["predicted_label"]) for row in rows] == list(TONES.items())


def test_more_is_taught_and_forgotten(shell: Shell, taught: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text("tones,label\n0 1 0 0,middle\n")
    assert "now holds 5 tones of 3 labels" in shell("remember", taught, more)
    assert "(--tones-column)" not in shell.stderr and "reads tones from the column 'tones'." in shell.stderr
    assert shell.json("forget", taught, "--label", "middle")["entries"] == 4


def test_an_input_that_is_none_is_refused_with_its_row(shell: Shell, taught: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("tone,label\n1 0 0,low\n")
    before = files(taught)
    error = shell.fails("remember", taught, wrong, after=None)
    assert "column 'tone': a tone has 4 numbers, not 3" in error and files(taught) == before


def test_it_is_evaluated_and_trained(shell: Shell, taught: Path, tones: Path, tmp_path: Path) -> None:
    assert shell.json("evaluate", taught, tones)["accuracy"] == 1
    assert shell("evaluate", taught, tones).splitlines()[0].split() == ["tones", "4"]
    settings = {"train": str(tones), "n_way": 2, "n_query": 1, "max_steps": 1, "valid_share": 0}
    (tmp_path / "run.yaml").write_text(json.dumps(settings))
    shell("train", tmp_path / "run.yaml", "--encoder", tmp_path / "encoder", "--output", tmp_path / "trained")
    config = json.loads((tmp_path / "trained" / "config.json").read_text())
    assert config["modality"] == "tone"


def test_an_encoder_has_to_be_named(shell: Shell, tones: Path, tmp_path: Path) -> None:
    assert "no default encoder of tones: name one with --encoder" in shell.fails(
        "remember", tmp_path / "new", tones, after=None
    )


def test_messages_name_no_option_that_is_not_there(shell: Shell, taught: Path, tmp_path: Path) -> None:
    wrong = table(tmp_path / "wrong.csv", "sound,label")
    error = shell.fails("remember", taught, wrong, after=None)
    assert "has no column 'tone'" in error and "call that of tones 'tone'" in error and "--tone-column" not in error
    assert "takes tones (--id)" in shell.fails("forget", taught, "--text", "1 0 0 0", status=2, after=None)


def test_a_card_shows_the_command_where_the_shell_takes_it(
    shell: Shell, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CONTROLLERS["tone"], "in_shell", True)
    folder = tmp_path / "my-tones"
    shell("remember", folder, tones, "--encoder", tone_encoder(tmp_path / "encoder"))
    assert "\nmann-hf predict my-tones TONE\n" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", list(CONTROLLERS))
def test_controllers_say_whether_the_shell_takes_their_inputs(name: str) -> None:
    assert CONTROLLERS[name].in_shell == (name in MODALITIES)


def test_another_package_is_found_by_its_entry_point(
    tones: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(MODALITIES._parts, "tone")
    (tmp_path / "my_tones.py").write_text(
        "from mann_hf.cli.modalities import MODALITIES, Modality\n"
        "MODALITIES.register('tone')(Modality(encoder=None, columns=('tone',)))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    asked: list[str] = []

    def points(group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint("lost", "my_lost_package", group), EntryPoint("tone", "my_tones", group)]

    use: Callable[[], Any] = modalities._import_others.cache_clear
    use()
    monkeypatch.setattr(modalities, "entry_points", points)
    try:
        assert modalities.modality_of({"modality": "text"}, "x") == "text" and not asked
        assert modalities.modality_of({"modality": "tone"}, "x") == "tone"
        assert modalities.all_modalities() == ("text", "image", "tone") and asked == ["mann_hf.modalities"]
        assert "'lost' of my_lost_package is left out: ModuleNotFoundError" in capsys.readouterr().err
    finally:
        use()
        sys.modules.pop("my_tones", None)
