"""A recipe is trained once and goes on where it was stopped; what was trained is asked, and tables say the result."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import TrainerCallback

import mann_hf
from mann_hf.training.checkpoints import newest_checkpoint
from tasks.omniglot import data, evaluate, pictures, recipes, render, train
from tasks.omniglot.processor import DrawingProcessor

pytestmark = pytest.mark.usefixtures("no_energy_meter")


@pytest.fixture
def arguments(drawings_folder: Path, recipe_folder: Path, tmp_path: Path) -> list[str]:
    folders = {"data": drawings_folder, "models": tmp_path / "models", "recipe-folder": recipe_folder}
    return [word for name, folder in folders.items() for word in (f"--{name}", str(folder))]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes for an Omniglot of few characters."""
    monkeypatch.setattr(evaluate, "WAYS", (2, 3))
    monkeypatch.setattr(evaluate, "SHOTS", (1,))
    monkeypatch.setattr(evaluate, "RUN_CHARACTERS", 3)
    monkeypatch.setattr(render, "SETTINGS", ("2-way 1-shot", "3-way 1-shot"))
    monkeypatch.setattr(render, "PUBLISHED", {})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


class Stops(Exception):
    """A run is stopped from outside."""


class StopsAfter(TrainerCallback):
    """Stops a run after a checkpoint at this step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_save = state.global_step == self.step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise Stops


class TestTraining:
    def test_seeds_are_trained_once_each(self, arguments: list[str], tmp_path: Path, capsys: Any) -> None:
        train.main([*arguments, "--seeds", "0", "1"])
        done = tmp_path / "models" / "small-seed-0"
        results = json.loads((done / train.RESULTS_FILE).read_text())
        assert results["steps"] == 3 and results["images"] == 3 * 2 * 3 * 2
        assert 0 < results["cpu_minutes"] < 10 and results["loss"] > 0
        other = weights(tmp_path / "models" / "small-seed-1")
        assert not torch.equal(weights(done)["encoder.blocks.0.convolution.weight"],
                               other["encoder.blocks.0.convolution.weight"])  # fmt: skip
        before = (done / "model.safetensors").stat().st_mtime_ns
        train.main([*arguments, "--seeds", "0"])
        assert (done / "model.safetensors").stat().st_mtime_ns == before
        assert "small-seed-0: is there already" in capsys.readouterr().err

    def test_a_stopped_run_ends_with_the_weights_of_a_whole_one(
        self, arguments: list[str], drawings_folder: Path, recipe_folder: Path, tmp_path: Path, capsys: Any
    ) -> None:
        train.main([*arguments, "--seeds", "0"])
        recipe, stopped = recipes.Recipe.read(recipe_folder / "small.yaml"), tmp_path / "stopped"
        trainer = train.make_trainer(recipe, 0, drawings_folder, stopped / "small-seed-0")
        trainer.add_callback(StopsAfter(2))
        with pytest.raises(Stops):
            trainer.train()
        assert newest_checkpoint(stopped / "small-seed-0" / train.CHECKPOINTS) is not None
        train.main([*arguments, "--models", str(stopped), "--seeds", "0"])
        assert "goes on from checkpoint-2" in capsys.readouterr().err
        whole, resumed = (weights(folder / "small-seed-0") for folder in (tmp_path / "models", stopped))
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)

    def test_a_folder_of_another_recipe_is_left_alone(self, arguments: list[str]) -> None:
        train.main([*arguments, "--seeds", "0"])
        with pytest.raises(SystemExit, match="is of a run with other settings"):
            train.main([*arguments, "--seeds", "0", "--set", "max_steps=2"])

    def test_a_recipe_that_is_not_there_is_refused(self, arguments: list[str], capsys: Any) -> None:
        with pytest.raises(SystemExit):
            train.main([*arguments, "--recipes", "large"])
        assert "there is no recipe large; there are small" in capsys.readouterr().err


class TestClock:
    def test_it_saves_when_the_time_has_come(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [0.0]
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        clock, asked = train.Clock(every=30), []

        class Control:
            should_save = False

        clock.on_train_begin(None, None, None)
        for second in (10, 29, 31, 40, 62):
            now[0], control = float(second), Control()
            clock.on_step_end(None, None, control)
            asked.append(control.should_save)
            if control.should_save:
                clock.on_save(None, None, control)
        assert asked == [False, False, True, False, True]

    def test_it_goes_on_counting_in_a_later_part(self) -> None:
        clock = train.Clock()
        clock.seconds_before = 100.0
        later = train.Clock.from_state(clock.state())
        later.on_train_begin(None, None, None)
        assert 100.0 <= later.seconds < 110.0


class TestRecipes:
    def test_those_of_the_task_can_be_made(self) -> None:
        for recipe in recipes.read_recipes():
            assert recipe.split == "background"
            assert recipe.new_model().config.reading == recipe.model["reading"]
            mann_hf.EpisodicTrainingArguments("unused", use_cpu=True, **recipe.run)

    def test_a_field_that_no_recipe_has_is_refused(self, recipe_folder: Path) -> None:
        path = recipe_folder / "small.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "steps": 3}))
        with pytest.raises(ValueError, match=r"small.yaml needs augmentation, encoder, .* it has .*steps"):
            recipes.read_recipes(recipe_folder)


@pytest.fixture
def trained(arguments: list[str], tmp_path: Path) -> Path:
    train.main([*arguments, "--seeds", "0"])
    return tmp_path / "models"


@pytest.mark.usefixtures("small")
class TestEvaluation:
    @pytest.mark.parametrize("split", ["test", "validation"])
    def test_a_trained_model_has_a_file_of_figures(
        self, trained: Path, drawings_folder: Path, tmp_path: Path, split: str, capsys: Any
    ) -> None:
        asked = ["--data", str(drawings_folder), "--models", str(trained), "--output", str(tmp_path / "out"),
                 "--split", split, "--episodes", "5"]  # fmt: skip
        evaluate.main(asked)
        file = json.loads((tmp_path / "out" / "small-seed-0.json").read_text())
        assert file["trained"]["recipe"] == "small" and file["trained"]["seed"] == 0
        assert file["settings"]["split"] == split and file["settings"]["recipe"]["encoder"] == {"hidden_size": 4}
        for setting in ("2-way 1-shot", "3-way 1-shot"):
            for method in (evaluate.ONE_KEY, evaluate.MEAN_KEY):
                assert 50 < file["figures"][setting][method]["accuracy"] <= 100
        assert len(file["figures"]["runs"]["one_key"]["error_by_run"]) == (2 if split == "test" else 200)
        evaluate.main(asked)  # is there already
        with pytest.raises(SystemExit, match="measured with other settings"):
            evaluate.main([*asked, "--episodes", "6"])
        assert "| `small` |" in capsys.readouterr().out

    def test_without_a_model_there_is_nothing_to_ask(self, drawings_folder: Path, tmp_path: Path) -> None:
        with pytest.raises(SystemExit, match="holds no trained model"):
            evaluate.main(["--data", str(drawings_folder), "--models", str(tmp_path)])

    def test_drawn_runs_are_of_one_alphabet_and_two_drawers(self, drawings_folder: Path) -> None:
        drawings = data.read_drawings(drawings_folder, "background")
        alphabet = [drawings.names[label].split("/")[0] for label in drawings.labels]
        for run in evaluate.drawn_runs(drawings, 8):
            shown, asked = run.support.inputs, run.query.inputs
            assert len({alphabet[row] for row in [*shown, *asked]}) == 1
            drawers = [{drawings.drawers[row] for row in rows} for rows in (shown, asked)]
            assert len(drawers[0]) == len(drawers[1]) == 1 and drawers[0] != drawers[1]
            answers = [run.support.labels[drawings.labels[shown].tolist().index(drawings.labels[row])] for row in asked]
            assert run.query.labels == answers

    def test_the_official_runs_ask_for_what_they_show(self, drawings_folder: Path) -> None:
        runs = data.read_runs(drawings_folder)
        pictures = np.concatenate([runs.support, runs.query], axis=1).reshape(-1, 28, 28)
        for run, episode in enumerate(evaluate.official_runs(runs.classes)):
            assert np.array_equal(pictures[episode.support.inputs], runs.support[run])
            assert np.array_equal(pictures[episode.query.inputs], runs.query[run])
            assert episode.query.labels == runs.classes[run].tolist()

    def test_a_perfect_model_has_no_error(self, drawings_folder: Path) -> None:
        class Knows(evaluate.Keys):
            def __init__(self, model: Any, numbers: np.ndarray) -> None:
                self.model, self.processor = model, DrawingProcessor()
                self.by_method = {"one_key": torch.nn.functional.one_hot(torch.from_numpy(numbers), 64).float()}

        drawings = data.read_drawings(drawings_folder, "validation")
        model = mann_hf.MANNForImageClassification.from_encoder_config("conv4", num_channels=1, reading="prototype")
        right = Knows(model, drawings.labels).right(evaluate.drawn_runs(drawings, 6))
        assert right["one_key"].tolist() == [100] * 6


def test_a_moved_drawing_does_not_come_in_again() -> None:
    drawings = np.zeros((1, 3, 3), np.uint8)
    drawings[0, 0, 2] = 1
    assert np.argwhere(evaluate.shifted(drawings, 1, 0)[0]).tolist() == [[1, 2]]
    assert np.argwhere(evaluate.shifted(drawings, 0, -1)[0]).tolist() == [[0, 1]]
    assert not evaluate.shifted(drawings, -1, 0).any() and not evaluate.shifted(drawings, 0, 1).any()
    assert evaluate.shifted(drawings, 0, 0) is drawings


def test_grey_pictures_become_black_and_white_at_half() -> None:
    assert evaluate.black_and_white(np.array([0, 127, 128, 255], np.uint8)).tolist() == [0, 0, 255, 255]


def test_the_evidence_of_an_episode_is_drawn(trained: Path, drawings_folder: Path, tmp_path: Path) -> None:
    drawings = data.read_drawings(drawings_folder, "test")
    episode = pictures.answer_episode(trained / "small-seed-0", drawings, 3, 2, 2, seed=0)
    assert len(episode.stored) == 6 and len(episode.questions) == 2
    assert {label.split("/")[0] for label in episode.labels} == {"Aurek-Besh"}
    shown = dict(zip(episode.ids, episode.labels, strict=True))
    for question in episode.questions:
        for answer in question.answers:
            evidence = [example["id"] for example in answer["evidence"]]
            assert sorted(evidence) == sorted(each for each in shown if shown[each] == answer["label"])
    pictures.draw(episode, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tasks.omniglot.train", *arguments, "--seeds", "0", "--save-every", "1",
               "--set", "max_steps=100000", "logging_steps=100000"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    checkpoints = tmp_path / "models" / "small-seed-0" / train.CHECKPOINTS
    with subprocess.Popen(command, env=environment) as begun:
        until = time.monotonic() + 120
        while (left := newest_checkpoint(checkpoints)) is None and begun.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        begun.kill()
    assert left is not None
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as again:
        assert again.stderr is not None
        assert any("goes on from checkpoint-" in line for line in again.stderr)
        again.kill()
