"""A whole run, from labelled texts to a folder."""

import json
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from datasets import Dataset

from mann_hf import MANNForSequenceClassification
from mann_hf.errors import InvalidInputError
from mann_hf.training.kinds import LabelledEpisodes
from mann_hf.training.run import TrainingRun
from mann_hf.training.run_folder import CHECKPOINTS, RESULTS_FILE

from .conftest import TRAIN, VALID, WORDS, Interrupted, texts


def run_of(settings: dict[str, Any], **more: Any) -> TrainingRun:
    return TrainingRun.from_dict(settings | more)


class TestTrain:
    def test_several_data_sets_are_mixed(self, settings: dict) -> None:
        parts = {"one": texts(WORDS[:2]), "two": texts(WORDS[2:4])}
        told = run_of(settings, source_weights={"one": 1, "two": 3}).train(parts, VALID)
        assert told["steps"] == 4
        with pytest.raises(InvalidInputError, match="several data sets give valid, .* or valid_share=0"):
            run_of(settings).train(parts, overwrite=True)
        run_of(settings, valid_share=0).train(parts, overwrite=True)

    def test_what_it_returns_is_in_the_folder(self, settings: dict, tmp_path: Path) -> None:
        started = time.perf_counter()
        told = run_of(settings).train(TRAIN, VALID)
        elapsed = time.perf_counter() - started
        assert json.loads((tmp_path / "run" / RESULTS_FILE).read_text()) == json.loads(json.dumps(told))
        [trained] = [each["train_runtime"] for each in told["history"] if "train_runtime" in each]
        assert trained < told["seconds"] < elapsed and told["steps"] == 4
        best = next(each for each in told["history"] if each["step"] == told["best_step"] and "eval_loss" in each)
        assert told["after"]["accuracy"] == best["eval_accuracy"] and told["after"]["loss"] == best["eval_loss"]

    def test_what_is_told_of_the_best_model_is_so(self, settings: dict) -> None:
        run = run_of(settings, learning_rate=1e-2)
        told = run.train(TRAIN, VALID)
        settings |= {"output": run.output + "-again"}
        again = run_of(settings).trainer(TRAIN, VALID)
        again.model.load_state_dict(type(again.model).from_pretrained(run.output).state_dict())
        assert again.evaluate()["eval_accuracy"] == pytest.approx(told["after"]["accuracy"])

    def test_a_stopped_run_ends_where_an_undisturbed_one_does(self, settings: dict, tmp_path: Path) -> None:
        options = {"max_steps": 12, "patience": 2, "learning_rate": 1e-9}  # never better, so patience ends it
        calm = run_of(settings, **options, output=str(tmp_path / "calm")).train(TRAIN, VALID)
        hurt = run_of(settings, **options)
        with pytest.raises(KeyboardInterrupt):
            hurt.train(TRAIN, VALID, [Interrupted(2)])
        assert hurt.train(TRAIN, VALID, resume=True)["steps"] == calm["steps"] < 12

    def test_without_validation_checkpoints_are_kept_too(self, settings: dict, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            run_of(settings, valid_share=0).train(TRAIN, callbacks=[Interrupted(2)])
        assert (tmp_path / "run" / CHECKPOINTS / "checkpoint-2").is_dir()
        told = run_of(settings, valid_share=0).train(TRAIN, resume=True)
        assert told["steps"] == 4 and told["after"] == {} and told["best_step"] is None

    @pytest.mark.parametrize(
        "valid, kept", [(VALID, {"checkpoint-1", "checkpoint-4"}), (None, {"checkpoint-3", "checkpoint-4"})]
    )
    def test_the_last_checkpoint_is_kept_and_the_best_or_the_one_before(
        self, settings: dict, tmp_path: Path, valid: Dataset | None, kept: set[str]
    ) -> None:
        options = {"valid_share": 0, "learning_rate": 1e-9, "patience": 9}  # the first evaluation stays the best
        told = run_of(settings, **options).train(TRAIN, valid)
        assert told["best_step"] == (None if valid is None else 1)
        assert {folder.name for folder in (tmp_path / "run" / CHECKPOINTS).glob("checkpoint-*")} == kept

    def test_a_new_run_does_not_leave_the_checkpoints_of_another(self, settings: dict, tmp_path: Path) -> None:
        run_of(settings).train(TRAIN, VALID)
        run = run_of(settings, objective="leave_one_out", k_shot=2)
        with pytest.raises(KeyboardInterrupt):
            run.train(TRAIN, VALID, [Interrupted(1)], overwrite=True)
        assert [folder.name for folder in (tmp_path / "run" / CHECKPOINTS).glob("checkpoint-*")] == ["checkpoint-1"]
        assert run.train(TRAIN, VALID, resume=True)["steps"] == 4

    def test_training_that_does_harm_is_told(self, settings: dict, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        accuracies = iter([0.9, *[0.5] * 4])
        original = LabelledEpisodes.answers

        def worse(self: LabelledEpisodes, trainer: Any, sampler: Any) -> Any:
            answers = original(self, trainer, sampler)
            right = np.arange(len(answers.references)) < next(accuracies) * len(answers.references)
            return answers._replace(predictions=np.where(right, answers.references, -1))

        monkeypatch.setattr(LabelledEpisodes, "answers", worse)
        run_of(settings).train(TRAIN, VALID)
        assert any("No step is as good as the encoder was before training (50.00 % after, 90.00 %" in s for s in told())

    @pytest.mark.parametrize(
        "name, value, says",
        [
            ("patience", 0, "patience is 0; it must be a whole number of 1 or more, or None to go on to the end"),
            ("eval_every", "x", r"eval_every is 'x'; it must be a whole number of 1 or more\."),
            ("eval_every", None, "eval_every is None"),
            ("lora_rank", 0, "lora_rank is 0; it must be a whole number of 1 or more, or None"),
            ("valid_share", -0.2, "valid_share is -0.2; it must be a share of the classes"),
            ("valid_share", 1, "valid_share is 1"),
            ("valid_share", "half", "valid_share is 'half'"),
            ("model_options", 3, "model_options are 3; give names and values"),
            ("arguments", [1], r"arguments are \[1\]; give names and values"),
            ("lora_targets", ["query"], "lora_targets needs lora_rank"),
        ],
    )
    def test_settings_that_cannot_be(self, settings: dict, name: str, value: Any, says: str) -> None:
        with pytest.raises(InvalidInputError, match=says):
            run_of(settings, **{name: value})

    def test_nothing_to_go_on_from(self, settings: dict, told: Any) -> None:
        assert run_of(settings).train(TRAIN, VALID, resume=True)["steps"] == 4
        assert any("no checkpoint to resume from: the run starts from the beginning" in line for line in told())


class TestModel:
    OPTIONS: ClassVar[dict[str, Any]] = {"reading": "attention", "max_seq_length": 7, "normalize": False}

    def test_its_options_reach_it(self, settings: dict, tmp_path: Path) -> None:
        run = run_of(settings, model_options=self.OPTIONS)
        made = run.trainer(TRAIN, VALID).model
        MANNForSequenceClassification.from_encoder_pretrained(settings["encoder"]).save_pretrained(tmp_path / "model")
        loaded = run_of(settings, model_options=self.OPTIONS, encoder=str(tmp_path / "model")).trainer(TRAIN, VALID)
        for model in (made, loaded.model):
            assert {name: getattr(model.config, name) for name in self.OPTIONS} == self.OPTIONS

    @pytest.mark.parametrize("rank, targets", [(2, None), (3, ["key"])])
    def test_the_adapter_is_of_the_rank_and_on_the_modules_asked_for(
        self, settings: dict, rank: int, targets: list[str] | None
    ) -> None:
        pytest.importorskip("peft")
        model: Any = run_of(settings, lora_rank=rank, lora_targets=targets).trainer(TRAIN, VALID).model
        [config] = model.peft_config.values()
        assert (config.r, config.lora_alpha) == (rank, 2 * rank)
        on = {
            name.split(".lora_A")[0].rpartition(".")[2]: p for name, p in model.named_parameters() if "lora_A" in name
        }
        assert set(on) == {*(targets or ["query", "value"])}
        assert all(parameter.shape == (rank, 32) for parameter in on.values())


class TestHeldOut:
    def test_some_classes_are_kept_from_training(self, settings: dict) -> None:
        trainer = run_of(settings, valid_share=0.25).trainer(texts(WORDS))
        (asked,) = trainer.eval_samplers.values()
        assert trainer.sampler is not None and trainer.sampler.labels | asked.labels == set(WORDS)
        assert len(asked.labels) == 2 and not trainer.sampler.labels & asked.labels

    def test_which_ones_is_drawn_by_the_seed(self, settings: dict) -> None:
        def kept(**seed: int) -> set[str] | frozenset[str]:
            return run_of(settings, valid_share=0.25, **seed).trainer(texts(WORDS)).eval_samplers[""].labels

        drawn = [kept(seed=seed) for seed in range(4)]
        assert len(set(map(frozenset, drawn))) > 1
        assert [kept(seed=seed) for seed in range(4)] == drawn

    def test_too_few_to_keep_any_are_told(self, settings: dict, told: Any) -> None:
        trainer = run_of(settings, n_way=3).trainer(texts(WORDS))
        assert not trainer.eval_samplers
        assert any("of 8, 2 would be kept" in line and "no evaluation" in line for line in told())

    def test_evaluation_may_be_of_fewer_classes(self, settings: dict) -> None:
        assert run_of(settings, n_way="3-4", eval_n_way=2).trainer(texts(WORDS)).eval_samplers


class TestFromDict:
    def test_texts_that_are_numbers(self, settings: dict) -> None:
        run = run_of(settings, learning_rate="1e-5", weight_decay="1e-2", max_steps="3", lr_scheduler_type="constant")
        assert run.arguments["learning_rate"] == 1e-5 and run.arguments["weight_decay"] == 0.01
        assert run.arguments["max_steps"] == 3 and run.arguments["lr_scheduler_type"] == "constant"
        with pytest.raises(InvalidInputError, match="learning_rate is 'fast'; it must be a number"):
            run_of(settings, learning_rate="fast")

    @pytest.mark.parametrize(
        "name, instead",
        [
            ("output_dir", r" \(output names the folder\)"),
            ("resume_from_checkpoint", r" \(resume=True .* newest checkpoint\)"),
            ("overwrite_output_dir", r" \(overwrite=True .* where another run has been\)"),
            ("epochs", ""),
        ],
    )
    def test_settings_there_are_not(self, settings: dict, name: str, instead: str) -> None:
        for told in ({name: "x"}, {"arguments": {name: "x"}}):
            with pytest.raises(InvalidInputError, match=f"no setting '{name}'{instead}; there are .*encoder"):
                run_of(settings, **told)

    def test_what_yaml_takes_no_for(self, settings: dict) -> None:
        run = run_of(settings, eval_strategy=False, report_to=False, bf16=False)
        assert (run.arguments["eval_strategy"], run.arguments["report_to"], run.arguments["bf16"]) == (
            "no",
            "none",
            False,
        )
        assert run.train(TRAIN, VALID)["steps"] == 4
