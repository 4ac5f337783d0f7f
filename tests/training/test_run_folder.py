"""Whether a run may begin or go on in a folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback, pipeline

from mann_hf import MANNForSequenceClassification
from mann_hf.errors import InvalidInputError
from mann_hf.training.run import TrainingRun
from mann_hf.training.run_folder import CHECKPOINTS, RESULTS_FILE, SETTINGS_FILE

from .conftest import TRAIN, VALID, Interrupted


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    return settings | {"max_steps": 3}


def train(
    settings: dict, *callbacks: Any, resume: bool = False, overwrite: bool = False, **more: Any
) -> dict[str, Any]:
    return TrainingRun.from_dict(settings | more).train(TRAIN, VALID, callbacks, resume, overwrite)


class Begun(TrainerCallback):
    """Remembers the step after which a run went on."""

    step = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.step = state.global_step


def stopped(settings: dict) -> Path:
    """The folder of a run that was stopped after two steps."""
    with pytest.raises(KeyboardInterrupt):
        train(settings, Interrupted(2))
    return Path(settings["output"])


def taught(place: str | Path, folder: Path) -> Path:
    clf: Any = pipeline("few-shot-text-classification", model=str(place))  # type: ignore[call-overload]
    clf.remember(["my card", "my money"], ["card", "money"])
    clf.save_pretrained(folder)
    return folder


class TestBegin:
    def test_what_was_taught_is_not_lost(self, settings: dict, tmp_path: Path) -> None:
        train(settings)
        folder = taught(tmp_path / "run", tmp_path / "run")
        for resume in (False, True):
            with pytest.raises(
                InvalidInputError, match="holds a classifier with a taught memory.*choose another folder"
            ):
                train(settings, resume=resume)
        assert len(MANNForSequenceClassification.from_pretrained(folder).memory) == 2

    def test_checkpoints_of_an_unfinished_run_are_not_lost(self, settings: dict) -> None:
        folder = stopped(settings)
        with pytest.raises(InvalidInputError, match="of an unfinished run, up to step 2: resume it .*--overwrite"):
            train(settings)
        assert (folder / CHECKPOINTS / "checkpoint-2").is_dir()
        begun = Begun()
        assert train(settings, begun, overwrite=True)["steps"] == 3 and begun.step == 0

    def test_a_finished_run_is_not_lost(self, settings: dict) -> None:
        train(settings)
        folder = Path(settings["output"])
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(InvalidInputError, match="holds a finished run: resume it with more steps .*--overwrite"):
            train(settings)
        with pytest.raises(ValueError, match="10 classes|takes 50"):  # refused before it starts
            train(settings, overwrite=True, n_way=50)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
        shutil.rmtree(folder / CHECKPOINTS)
        for resume in (False, True):
            with pytest.raises(InvalidInputError, match="holds a finished run: replace it"):
                train(settings, resume=resume)

    def test_a_run_that_is_begun_anew_is_unfinished_and_leaves_the_old_model_until_it_ends(
        self, settings: dict
    ) -> None:
        train(settings)
        old = Path(settings["output"], "model.safetensors").read_bytes()
        with pytest.raises(KeyboardInterrupt):
            train(settings, Interrupted(2), overwrite=True, learning_rate=1e-3)
        folder = Path(settings["output"])
        assert not (folder / RESULTS_FILE).exists() and (folder / "model.safetensors").read_bytes() == old
        assert train(settings, resume=True, learning_rate=1e-3)["steps"] == 3
        assert (folder / "model.safetensors").read_bytes() != old

    def test_another_model_is_not_lost(self, settings: dict, tiny_encoder: Path) -> None:
        shutil.copytree(tiny_encoder, settings["output"])
        for resume in (False, True):
            with pytest.raises(InvalidInputError, match="run holds a model, which training would replace"):
                train(settings, resume=resume)
        assert train(settings, overwrite=True)["steps"] == 3

    def test_what_a_run_without_a_whole_checkpoint_left_is_no_obstacle(self, settings: dict) -> None:
        checkpoint = stopped(settings) / CHECKPOINTS / "checkpoint-2"
        for whole in checkpoint.parent.glob("checkpoint-*/trainer_state.json"):
            whole.unlink()
        assert train(settings, resume=True)["steps"] == 3

    def test_a_file_is_no_folder(self, settings: dict, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("text,label\n")
        with pytest.raises(InvalidInputError, match="run is a file; give a folder"):
            train(settings)


class TestResume:
    @pytest.mark.parametrize(
        "change",
        [{"encoder": "other"}, {"learning_rate": 0.1}, {"model_options": {"reading": "prototype"}}, {"lora_rank": 2}],
        ids=str,
    )
    def test_other_settings_are_refused(self, settings: dict, change: dict) -> None:
        stopped(settings)
        with pytest.raises(InvalidInputError, match=rf"with other settings \({next(iter(change))}\): resume it with"):
            train(settings, resume=True, **change)

    def test_a_setting_that_was_left_out_counts(self, settings: dict) -> None:
        stopped(settings | {"weight_decay": 0.1})
        with pytest.raises(InvalidInputError, match=r"other settings \(weight_decay\)"):
            train(settings, resume=True)

    def test_how_long_and_what_is_told_may_be_others(self, settings: dict) -> None:
        stopped(settings)
        begun = Begun()
        assert train(settings, begun, resume=True, max_steps=4, logging_steps=1)["steps"] == 4
        assert begun.step == 2

    def test_a_finished_run_goes_on_from_its_last_step(self, settings: dict) -> None:
        options: dict[str, Any] = {"learning_rate": 1e-9, "patience": 9}  # so that the first evaluation is the best
        assert train(settings, **options)["best_step"] == 1
        begun = Begun()
        assert train(settings, begun, resume=True, max_steps=5, **options)["steps"] == 5
        assert begun.step == 3

    def test_without_a_record_of_the_settings(self, settings: dict) -> None:
        (stopped(settings) / CHECKPOINTS / SETTINGS_FILE).unlink()
        assert train(settings, resume=True)["steps"] == 3

    def test_the_record_is_of_the_run(self, settings: dict) -> None:
        told = json.loads((stopped(settings) / CHECKPOINTS / SETTINGS_FILE).read_text())
        assert told["encoder"] == settings["encoder"] and told["n_way"] == 2 and "max_steps" not in told


class TestTrainOn:
    def test_a_model_is_trained_on_and_keeps_what_it_was_taught(self, settings: dict, tmp_path: Path) -> None:
        train(settings)
        folder = taught(tmp_path / "run", tmp_path / "taught")
        train(settings, encoder=str(folder), output=str(tmp_path / "again"), learning_rate=1e-3)
        before, after = (MANNForSequenceClassification.from_pretrained(each) for each in (folder, tmp_path / "again"))
        assert after.memory.labels == ("card", "money")
        clf: Any = pipeline("few-shot-text-classification", model=str(tmp_path / "again"))  # type: ignore[call-overload]
        assert clf("my card")[0]["label"] == "card"
        assert any((one != other).any() for one, other in zip(before.parameters(), after.parameters(), strict=True))
        keys = after.embed_texts(after.load_tokenizer(), ["my card", "my money"])
        assert (after.memory.state.keys[0] - keys).abs().max() < 1e-5
