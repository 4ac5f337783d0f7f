"""Training over episodes."""

import copy
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoTokenizer, Trainer, TrainerCallback, pipeline

from mann_hf import EpisodeSampler, EpisodicTrainer, EpisodicTrainingArguments, MANNForSequenceClassification
from mann_hf.episodes import Episode, EpisodeCollator
from mann_hf.errors import EncoderMismatchError, FolderChangedError, InvalidInputError, InvalidTypeError, MannError
from mann_hf.pipelines import FewShotTextClassificationPipeline
from mann_hf.training import OBJECTIVES

ROOT = Path(__file__).parents[2]
WORDS = ["card", "lost", "money", "new", "order", "package", "refund", "bank"]
WORDS += ["change", "cancel", "app", "code", "number", "month", "reset", "send"]


def labelled(classes: range, texts: int = 8) -> Dataset:
    """Classes that each have a word of their own among common ones."""
    draw = random.Random(classes.start)
    rows = [
        {
            "text": " ".join([WORDS[label], *draw.choices(["my", "the", "is", "how", "not", "please"], k=4)]),
            "label": name,
        }
        for label in classes
        for name in [f"class_{WORDS[label]}"]
        for _ in range(texts)
    ]
    return Dataset.from_list(rows)


TRAIN, VALID = labelled(range(8)), labelled(range(8, 16))

Build = Callable[..., EpisodicTrainer]
Make = Callable[..., MANNForSequenceClassification]


def labels(data: Dataset) -> list[int]:
    """The number of each text's class, other ones for other data sets."""
    return [WORDS.index(name.removeprefix("class_")) for name in data["label"]]


@pytest.fixture
def build(tiny_classifier: Make, tmp_path: Path) -> Build:
    """A trainer of a tiny model; `model_options`, `trainer_options` and any argument of the run."""

    def make(
        folder: str = "run", model_options: dict | None = None, trainer_options: dict | None = None, **arguments: Any
    ) -> EpisodicTrainer:
        model = tiny_classifier(**(model_options or {}))
        given: dict[str, Any] = {
            "n_way": 3,
            "k_shot": 1,
            "n_query": 2,
            "episodes_per_step": 2,
            "max_steps": 4,
            "eval_episodes": 20,
        }
        given |= {"report_to": "none", "disable_tqdm": True, "use_cpu": True, "learning_rate": 1e-3, **arguments}
        data: dict[str, Any] = {"train_dataset": TRAIN, "eval_dataset": VALID, **(trainer_options or {})}
        told: dict[str, Any] = {"model": model, "args": EpisodicTrainingArguments(str(tmp_path / folder), **given)}
        return EpisodicTrainer(**{**told, **data})

    return make


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


class TestTraining:
    @pytest.mark.parametrize("objective", [*OBJECTIVES])
    def test_classes_never_seen_are_told_apart_better(self, build: Build, objective: str) -> None:
        trainer = build(objective=objective, max_steps=30, label_names=objective == "label_semantic", eval_episodes=60)
        before = trainer.evaluate()["eval_loss"]
        trainer.train()
        assert trainer.evaluate()["eval_loss"] < before

    def test_evaluations_are_of_the_same_episodes(self, build: Build) -> None:
        first, second = build().evaluate(), build("other", seed=7).evaluate()
        same = ("eval_accuracy", "eval_accuracy_ci95", "eval_macro_f1", "eval_loss")
        assert [first[name] for name in same] == [second[name] for name in same]
        assert first["eval_accuracy"] != build("third", eval_seed=1).evaluate()["eval_accuracy"]

    def test_several_data_sets_are_evaluated_by_name(self, build: Build) -> None:
        parts = {"one": labelled(range(8, 12)), "two": labelled(range(12, 16))}
        told = build(trainer_options={"eval_dataset": parts}).evaluate()
        assert told["eval_accuracy"] == pytest.approx((told["eval_one_accuracy"] + told["eval_two_accuracy"]) / 2)
        halves = told["eval_one_accuracy_ci95"], told["eval_two_accuracy_ci95"]
        assert told["eval_accuracy_ci95"] == pytest.approx(sum(half**2 for half in halves) ** 0.5 / 2)
        assert told["eval_loss"] == pytest.approx((told["eval_one_loss"] + told["eval_two_loss"]) / 2)
        spread = abs(told["eval_one_accuracy"] - told["eval_two_accuracy"])
        assert told["eval_accuracy_std"] == pytest.approx(spread / 2**0.5)

    def test_the_best_of_several_by_what_tells_unknown_texts(self, build: Build) -> None:
        parts = {"one": labelled(range(8, 12)), "two": labelled(range(12, 16))}
        trainer = build(
            trainer_options={"eval_dataset": parts}, eval_n_way=2, eval_n_unknown=1, eval_strategy="steps",
            eval_steps=2, save_steps=2, load_best_model_at_end=True, metric_for_best_model="unknown_auroc",
        )  # fmt: skip
        trainer.train()
        assert trainer.state.best_metric is not None

    def test_samplers_of_ones_own(self, build: Build) -> None:
        sampler = EpisodeSampler(TRAIN, n_way=(2, 5), k_shot=(1, 3), n_query=1, unbalanced=True, batch_size=2)
        trainer = build(trainer_options={"train_dataset": sampler})
        trainer.train()
        assert trainer.state.global_step == 4

    def test_several_sources(self, build: Build) -> None:
        trainer = build(trainer_options={"train_dataset": {"a": labelled(range(4)), "b": labelled(range(4, 8))}})
        trainer.train()
        assert trainer.sampler is not None
        drawn = [{int(WORDS.index(name[6:])) // 4 for name in trainer.sampler[n].names} for n in range(20)]
        assert all(len(each) == 1 for each in drawn) and set.union(*drawn) == {0, 1}

    def test_sources_are_drawn_by_their_weights(self, build: Build) -> None:
        sources = {"a": labelled(range(4)), "b": labelled(range(4, 8))}
        trainer = build(trainer_options={"train_dataset": sources}, source_weights={"a": 0, "b": 1})
        assert trainer.sampler is not None
        drawn = {name for number in range(20) for name in trainer.sampler[number].names}
        assert drawn == set(sources["b"]["label"])
        with pytest.raises(InvalidInputError, match="weights are for 'a'; the data sets are 'a', 'b'"):
            build(trainer_options={"train_dataset": sources}, source_weights={"a": 1})

    def test_texts_of_other_classes_are_told_by_their_scores(self, build: Build) -> None:
        told = build(eval_n_way=2, eval_n_unknown="1-3").evaluate()
        assert 0 <= told["eval_unknown_auroc"] <= 1
        plain = build("plain", eval_n_way=2).evaluate()
        assert "eval_unknown_auroc" not in plain

    def test_other_columns(self, build: Build) -> None:
        renamed = [part.rename_columns({"text": "message", "label": "intent"}) for part in (TRAIN, VALID)]
        data = {"train_dataset": renamed[0], "eval_dataset": renamed[1]}
        build(trainer_options={**data, "text_column": "message", "label_column": "intent"}).train()
        build(trainer_options=data, text_column="message", label_column="intent").train()

    @pytest.mark.parametrize("n_query", [2, (1, 4)])
    def test_accumulated_steps_are_one_large_step(self, build: Build, n_query: Any) -> None:
        options = {"max_steps": 1, "lr_scheduler_type": "constant", "optim": "sgd", "learning_rate": 1.0}
        whole = build("whole", n_query=n_query, episodes_per_step=4, **options)
        parts = build("parts", n_query=n_query, episodes_per_step=2, gradient_accumulation_steps=2, **options)
        for trainer in (whole, parts):
            for module in trainer.model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
            trainer.train()
        for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)

    def test_a_frozen_encoder_reads_as_it_will(self, build: Build) -> None:
        trainer = build(trainable="memory", max_steps=1)
        modes: list[bool] = []
        trainer.model.encoder.register_forward_pre_hook(lambda module, args: modes.append(module.training))
        trainer.train()
        assert modes and not any(modes)

    def test_the_encoder_computes_in_the_precision_of_the_run(self, build: Build) -> None:
        trainer = build(bf16=True, max_steps=1)
        types: list[torch.dtype] = []
        layer = trainer.model.encoder.encoder.layer[0].attention.self.query
        layer.register_forward_hook(lambda module, args, output: types.append(output.dtype))
        trainer.train()
        assert types and set(types) == {torch.bfloat16}

    @pytest.mark.parametrize(
        "option",
        [
            pytest.param({"torch_compile_backend": "eager"}, marks=pytest.mark.slow, id="compiled"),
            pytest.param({"gradient_checkpointing": True}, id="checkpointing"),
        ],
    )
    def test_a_step_is_the_same_however_it_is_run(self, build: Build, option: dict[str, Any]) -> None:
        options: dict[str, Any] = {"max_steps": 2, "optim": "sgd", "learning_rate": 1.0, "save_strategy": "no"}
        plain, other = build("plain", **options), build("other", **options, **option)
        for trainer in (plain, other):
            for module in trainer.model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
            trainer.train()
        saving = [module for module in other.model.modules() if getattr(module, "gradient_checkpointing", False)]
        assert bool(saving) is ("gradient_checkpointing" in option)
        for one, again in zip(plain.model.parameters(), other.trained_model.parameters(), strict=True):
            torch.testing.assert_close(one, again, atol=1e-5, rtol=1e-4)

    def test_a_frozen_encoder_is_told(self, build: Build, told: Callable) -> None:
        model = build(trainable="memory").model
        build("second", trainer_options={"model": model})
        assert any("no weight of the encoder is trainable" in line for line in told())

    def test_the_memorys_parameters_alone(self, build: Build) -> None:
        trainer = build(trainable="memory", learning_rate=0.1)
        before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
        trainer.train()
        changed = {name for name, tensor in trainer.model.state_dict().items() if not torch.equal(tensor, before[name])}
        assert changed == {"reading.log_sharpness"}

    def test_weights_that_are_anchored_stay_near(self, build: Build) -> None:
        moved = []
        for name, regularizers in (("free", None), ("anchored", {"weight_anchor": 100.0})):
            trainer = build(name, regularizers=regularizers, max_steps=10, trainer_options={"eval_dataset": None})
            before = [weight.detach().clone() for weight in trainer.model.parameters()]
            trainer.train()
            after = list(trainer.model.parameters())
            moved.append(sum(float((a - b).detach().square().sum()) for a, b in zip(after, before, strict=True)))
        assert moved[1] < moved[0] / 2

    def test_what_was_taught_before_is_written_again(self, build: Build) -> None:
        trainer = build()
        clf: Any = pipeline("few-shot-text-classification", model=trainer.model)  # type: ignore[call-overload]
        clf.remember(["my card", "my money"], ["card", "money"])
        trainer.train()
        clf.remember(["my order"], ["order"])
        assert [entry.text for entry in trainer.model.memory.entries] == ["my card", "my money", "my order"]

    def test_models_of_ones_own_making(self, build: Build, tiny_classifier: Make) -> None:
        trainer = build(trainer_options={"model": None, "model_init": lambda: tiny_classifier()})
        trainer.train()
        assert trainer.evaluate()["eval_accuracy"] > 0

    def test_a_trial_of_a_search_reaches_the_episodes(
        self, build: Build, tiny_classifier: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trainer = build(trainer_options={"model": None, "model_init": lambda: tiny_classifier()}, n_query=2)
        told = {"n_way": 5, "objective": "leave_one_out", "max_steps": 3, "per_device_train_batch_size": 3}

        def search(self: Any, trial: Any) -> None:
            for name, value in told.items():
                setattr(self.args, name, value)

        monkeypatch.setattr(Trainer, "_hp_search_setup", search)
        drawn: list[list[Episode]] = []
        collate = EpisodeCollator.__call__
        monkeypatch.setattr(EpisodeCollator, "__call__", lambda self, each: drawn.append(each) or collate(self, each))  # type: ignore[func-returns-value]
        trainer._hp_search_setup({"any": 1})
        trainer.train()
        assert trainer.state.global_step == 3 and isinstance(trainer.episode_objective, OBJECTIVES["leave_one_out"])
        assert [len(each) for each in drawn] == [3, 3, 3]
        texts = {tuple(episode.support.texts) for each in drawn for episode in each}
        assert len(texts) == 9 and all(len(episode.names) == 5 for each in drawn for episode in each)

    @pytest.mark.parametrize("evaluated", ["no", "steps"])
    def test_a_search_by_optuna(self, build: Build, tiny_classifier: Make, evaluated: str) -> None:
        settings: dict[str, Any] = {"max_steps": 2, "eval_steps": 1, "eval_strategy": evaluated}
        trainer = build(trainer_options={"model": None, "model_init": lambda: tiny_classifier()}, **settings)
        learned: list[tuple[str, int]] = []
        original = trainer.compute_loss

        def watched(model: Any, *told: Any, **more: Any) -> Any:
            count = sum(parameter.requires_grad for parameter in model.parameters())
            learned.append((trainer.args.trainable, count))
            return original(model, *told, **more)

        trainer.compute_loss = watched  # type: ignore[method-assign]
        order = ["memory", "full", "memory"]

        def space(trial: Any) -> dict[str, Any]:
            trial.suggest_float("learning_rate", 1e-5, 1e-3, log=True)
            return {"trainable": trial.suggest_categorical("trainable", [order[trial.number]])}

        best = trainer.hyperparameter_search(space, n_trials=1, backend="optuna")
        assert 0 <= best.objective <= 1 and set(best.hyperparameters) == {"learning_rate", "trainable"}
        order.pop(0)
        trainer.hyperparameter_search(space, n_trials=1, backend="optuna")
        assert len(learned) == 4 and dict(learned[:2]) == {"memory": 1}
        assert {name for name, _ in learned[2:]} == {"full"} and learned[2][1] > 30

    def test_a_search_over_numbers_and_ranges(self, build: Build, tiny_classifier: Make) -> None:
        options = {"model": None, "model_init": lambda: tiny_classifier()}
        trainer = build(trainer_options=options, max_steps=1, n_query=(1, 2))
        space = {"n_way": "2-4", "n_query": 1}
        trainer.hyperparameter_search(
            lambda trial: {name: trial.suggest_categorical(name, [value]) for name, value in space.items()},
            n_trials=1,
            backend="optuna",
        )
        assert trainer.sampler is not None
        assert (trainer.sampler.n_way, trainer.sampler.n_query, trainer.sampler.k_shot) == ((2, 4), (1, 1), (1, 1))

    def test_a_search_is_for_the_best_accuracy(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[Any] = []
        monkeypatch.setattr(Trainer, "hyperparameter_search", lambda self, *told, **more: asked.append(told))
        build().hyperparameter_search(n_trials=3)
        _, objective, trials, direction = asked[0]
        assert (objective({"eval_accuracy": 0.5, "eval_macro_f1": 0.1}), trials, direction) == (0.5, 3, "maximize")
        build(metric_for_best_model="loss").hyperparameter_search()
        assert asked[1][3] == "minimize"
        build().hyperparameter_search(compute_objective=len)
        assert asked[2][1] is len and asked[2][3] == "minimize"

    def test_predictions(self, build: Build) -> None:
        class Heard(TrainerCallback):
            metrics: dict[str, float] = {}

            def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
                self.metrics = metrics

        heard = Heard()
        trainer = build(eval_episodes=5, trainer_options={"callbacks": [heard]})
        told: Any = trainer.predict(VALID)
        assert heard.metrics == told.metrics
        assert len(told.predictions) == len(told.label_ids) == 5 * 3 * 2
        assert told.metrics["test_accuracy"] == pytest.approx((told.predictions == told.label_ids).mean())
        with pytest.raises(InvalidInputError, match="one data set, not a, b"):
            trainer.predict({"a": VALID, "b": VALID})

    def test_one_of_several_by_name(self, build: Build) -> None:
        parts = {"one": labelled(range(8, 12)), "two": labelled(range(12, 16))}
        trainer = build(trainer_options={"eval_dataset": parts})
        assert trainer.evaluate("two")["eval_accuracy"] == trainer.evaluate()["eval_two_accuracy"]
        with pytest.raises(InvalidInputError, match="no evaluation data 'three'; known are 'one', 'two'"):
            trainer.evaluate("three")

    def test_an_evaluation_of_what_was_trained_on_is_told(self, build: Build, told: Callable) -> None:
        build().evaluate(TRAIN)
        assert any("8 classes are in the training data and in the evaluation data" in line for line in told())

    def test_episodes_are_packed_where_the_loader_asks_other_processes(self, build: Build) -> None:
        assert isinstance(build().data_collator, EpisodeCollator)  # no function of the trainer's, which cannot travel


class Stop(TrainerCallback):
    """Ends a run at its first checkpoint."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = True


class StepsDone(TrainerCallback):
    """Counts the steps of one call of train."""

    def __init__(self) -> None:
        self.count = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.count += 1


class TestSaving:
    def test_the_folder_is_ready_to_be_taught(self, build: Build, tmp_path: Path) -> None:
        trainer = build()
        trainer.train()
        trainer.save_model(str(tmp_path / "end"))
        assert not [path for path in (tmp_path / "end").iterdir() if path.suffix in (".bin", ".pt", ".pkl")]
        clf: Any = pipeline("few-shot-text-classification", model=str(tmp_path / "end"))  # type: ignore[call-overload]
        clf.remember(["my card", "my money"], ["card", "money"])
        assert clf("my card")[0]["label"] == "card"

    def test_a_stock_pipeline_cuts_texts_where_the_model_does(
        self, build: Build, tmp_path: Path, tiny_tokenizer: Any
    ) -> None:
        longest = tiny_tokenizer.model_max_length
        trainer = build(model_options={"max_seq_length": 6}, trainer_options={"processing_class": tiny_tokenizer})
        trainer.save_model(str(tmp_path / "end"))
        assert AutoTokenizer.from_pretrained(tmp_path / "end").model_max_length == 6
        assert tiny_tokenizer.model_max_length == longest > 6, "what was given is unchanged"

    def test_a_save_that_fails_leaves_the_folder_as_it_was(
        self, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trainer = build(learning_rate=0.1)
        trainer.save_model(str(tmp_path / "end"))
        before = {path.name: path.read_bytes() for path in (tmp_path / "end").iterdir()}
        trainer.train()

        def fail(*args: Any, **kwargs: Any) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(type(trainer.processing_class), "save_pretrained", fail)
        with pytest.raises(OSError, match="no space left"):
            trainer.save_model(str(tmp_path / "end"))
        assert {path.name: path.read_bytes() for path in (tmp_path / "end").iterdir()} == before

    def test_a_folder_that_was_taught_is_refused_before_training(self, build: Build, tmp_path: Path) -> None:
        trainer = build()
        classifier = FewShotTextClassificationPipeline(model=copy.deepcopy(trainer.model))
        classifier.remember(["where is my card"], ["card"])
        classifier.save_pretrained(tmp_path / "run")
        taught = digest(tmp_path / "run")
        with pytest.raises(FolderChangedError, match="1 text of it that this model does not know would be lost"):
            trainer.train()
        assert trainer.state.global_step == 0 and digest(tmp_path / "run") == taught

    def test_resumed_the_weights_are_those_of_an_undisturbed_run(self, build: Build, tmp_path: Path) -> None:
        settings = {"max_steps": 6, "save_steps": 2, "logging_steps": 1}
        calm = build("calm", **settings)
        calm.train()
        hurt = build("hurt", trainer_options={"callbacks": [Stop()]}, **settings)
        hurt.train()
        assert hurt.state.global_step == 2
        resumed = build("hurt", **settings)
        resumed.train(resume_from_checkpoint=True)
        assert digest(tmp_path / "calm" / "checkpoint-6") == digest(tmp_path / "hurt" / "checkpoint-6")
        drawn = json.loads((tmp_path / "hurt" / "checkpoint-6" / "episode_sampler.json").read_text())["drawn"]
        assert drawn == 12

    def test_a_half_written_checkpoint_is_passed_over(self, build: Build, tmp_path: Path) -> None:
        settings = {"max_steps": 6, "save_steps": 2}
        build("calm", **settings).train()
        build("hurt", **settings).train()
        state = tmp_path / "hurt" / "checkpoint-6" / "trainer_state.json"
        state.write_text(state.read_text()[:40])
        (tmp_path / "hurt" / "checkpoint-8").mkdir()
        with pytest.raises(InvalidInputError, match="checkpoint-6 is not a complete checkpoint"):
            build("hurt", **settings).train(resume_from_checkpoint=str(state.parent))
        steps = StepsDone()
        resumed = build("hurt", trainer_options={"callbacks": [steps]}, **settings)
        resumed.train(resume_from_checkpoint=True)
        assert (resumed.state.global_step, steps.count) == (6, 2)
        assert digest(tmp_path / "calm" / "checkpoint-6") == digest(tmp_path / "hurt" / "checkpoint-6")
        with pytest.raises(InvalidInputError, match="holds no complete checkpoint.*call train"):
            build("fresh").train(resume_from_checkpoint=True)

    def test_a_checkpoint_of_a_taught_model_loads(self, build: Build, tmp_path: Path) -> None:
        trainer = build(save_steps=2, learning_rate=0.1)
        clf: Any = pipeline("few-shot-text-classification", model=trainer.model)  # type: ignore[call-overload]
        clf.remember(["my card", "my money"], ["card", "money"])
        trainer.train()
        assert len(MANNForSequenceClassification.from_pretrained(tmp_path / "run" / "checkpoint-2").memory) == 0
        assert len(trainer.model.memory) == 2

    def test_the_memory_is_back_after_a_stop(self, build: Build) -> None:
        class Stop(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                raise KeyboardInterrupt

        trainer = build(trainer_options={"callbacks": [Stop()]}, learning_rate=0.1)
        clf: Any = pipeline("few-shot-text-classification", model=trainer.model)  # type: ignore[call-overload]
        clf.remember(["my card", "my money"], ["card", "money"])
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
        keys = clf.model.embed_inputs(trainer.processing_class, ["my card", "my money"])
        torch.testing.assert_close(clf.model.memory.state.keys[0], keys)

    def test_other_episodes_are_not_resumed(self, build: Build) -> None:
        build(save_steps=2).train()
        for change in (
            {"n_way": 4},
            {"seed": 1},
            {"episodes_per_step": 4},
            {"trainer_options": {"train_dataset": labelled(range(7))}},
            {"objective": "resampled", "k_shot": 1},
            {"regularizers": {"uniformity": 0.1}},
            {"trainable": "memory"},
            {"data_seed": 1},
            {"label_names": True},
            {"objective_options": {"name_dropout": 0.5}},
            {"model_options": {"reading": "prototype"}},
        ):
            with pytest.raises(
                InvalidInputError,
                match="other training data, episode settings, number of processes, seed, objective or model",
            ):
                build(**change).train(resume_from_checkpoint=True)

    def test_the_best_model_is_loaded_in_the_end(self, build: Build, tmp_path: Path) -> None:
        trainer = build(
            eval_strategy="steps", eval_steps=2, save_strategy="steps", save_steps=2, load_best_model_at_end=True
        )
        trainer.train()
        trainer.save_model(str(tmp_path / "end"))
        best = Path(str(trainer.state.best_model_checkpoint))
        assert digest(best) == digest(tmp_path / "end")


class TestAdapters:
    @pytest.fixture(autouse=True)
    def _peft(self) -> None:
        pytest.importorskip("peft")

    @pytest.fixture
    def lora(self) -> Any:
        from peft import LoraConfig

        return LoraConfig(r=2, target_modules=["query", "value"])

    def test_only_the_adapter_is_trained_and_saved(self, build: Build, lora: Any, tmp_path: Path) -> None:
        trainer = build(trainer_options={"peft_config": lora})
        encoder = {name: p.clone() for name, p in trainer.model.encoder.named_parameters() if "lora" not in name}
        trainer.train()
        after = dict(trainer.model.encoder.named_parameters())
        assert all(torch.equal(after[name], before) for name, before in encoder.items())
        trainer.save_model(str(tmp_path / "end"))
        saved = load_file(tmp_path / "end" / "model.safetensors")
        assert {name for name in saved if "lora" not in name} == {"reading.log_sharpness", "encoder_probe"}

        again = MANNForSequenceClassification.from_pretrained(tmp_path / "end")
        texts = TRAIN["text"][:4]
        keys = [each.eval().embed_texts(trainer.processing_class, texts) for each in (trainer.model, again)]
        assert torch.equal(*keys)
        again.save_pretrained(tmp_path / "again")
        assert digest(tmp_path / "end") == digest(tmp_path / "again")

    def test_the_memorys_parameters_are_trained_with_it(self, build: Build, lora: Any) -> None:
        trainer = build(trainer_options={"peft_config": lora}, learning_rate=0.1)
        model: Any = trainer.model
        before = model.reading.log_sharpness.item()
        trainer.train()
        assert model.reading.log_sharpness.item() != before

    def test_an_adapter_is_trained_on(self, build: Build, lora: Any, tmp_path: Path) -> None:
        trainer = build(trainer_options={"peft_config": lora})
        trainer.train()
        trainer.save_model(str(tmp_path / "end"))
        again = MANNForSequenceClassification.from_pretrained(tmp_path / "end")
        more = build("more", trainer_options={"model": again}, trainable="adapter")
        frozen = {name: p.clone() for name, p in again.named_parameters() if not p.requires_grad}
        weights = {name: p.detach().clone() for name, p in again.named_parameters() if "lora" in name}
        more.train()
        after = dict(again.named_parameters())
        assert all(torch.equal(after[name], before) for name, before in frozen.items())
        assert any(not torch.equal(after[name], before) for name, before in weights.items())
        assert again.reading.log_sharpness.requires_grad
        with pytest.raises(InvalidInputError, match="has an adapter already"):
            build("third", trainer_options={"model": again, "peft_config": lora})

    def test_saving_leaves_what_learns_as_it_was(self, build: Build, lora: Any, tmp_path: Path) -> None:
        model = build(trainer_options={"peft_config": lora}).model
        model.encoder.requires_grad_(False)
        model.save_pretrained(tmp_path / "end")
        assert [name for name, p in model.named_parameters() if p.requires_grad] == ["reading.log_sharpness"]

    def test_by_the_pipeline_taught_and_saved_again(self, build: Build, lora: Any, tmp_path: Path) -> None:
        trainer = build(trainer_options={"peft_config": lora})
        trainer.train()
        trainer.save_model(str(tmp_path / "end"))
        clf: Any = pipeline("few-shot-text-classification", model=str(tmp_path / "end"))  # type: ignore[call-overload]
        clf.remember(["my card", "my money"], ["card", "money"])
        clf.save_pretrained(tmp_path / "taught")
        again: Any = pipeline("few-shot-text-classification", model=str(tmp_path / "taught"))  # type: ignore[call-overload]
        assert again("the money") == clf("the money")

    def test_resumed(self, build: Build, lora: Any, tmp_path: Path) -> None:
        build("calm", trainer_options={"peft_config": lora}, save_steps=2).train()
        build("hurt", trainer_options={"peft_config": lora, "callbacks": [Stop()]}, save_steps=2).train()
        steps = StepsDone()
        resumed = build("hurt", trainer_options={"peft_config": lora, "callbacks": [steps]}, save_steps=2)
        resumed.train(resume_from_checkpoint=str(tmp_path / "hurt" / "checkpoint-2"))
        assert steps.count == 2
        assert digest(tmp_path / "calm" / "checkpoint-4") == digest(tmp_path / "hurt" / "checkpoint-4")

    @pytest.mark.parametrize("anchored", [False, True])
    def test_resumed_with_models_of_ones_own_making(
        self, build: Build, lora: Any, tiny_classifier: Make, tmp_path: Path, anchored: bool
    ) -> None:
        def run(folder: str, *callbacks: TrainerCallback) -> EpisodicTrainer:
            options = {"model": None, "model_init": lambda: tiny_classifier()}
            options |= {"peft_config": None if anchored else lora}
            regularizers = {"weight_anchor": 1.0} if anchored else None
            return build(
                folder, trainer_options={**options, "callbacks": [*callbacks]}, save_steps=2, regularizers=regularizers
            )

        run("calm").train()
        run("hurt", Stop()).train()
        steps = StepsDone()
        run("hurt", steps).train(resume_from_checkpoint=True)
        assert steps.count == 2
        assert digest(tmp_path / "calm" / "checkpoint-4") == digest(tmp_path / "hurt" / "checkpoint-4")

    def test_a_run_without_it_is_not_resumed(self, build: Build, lora: Any) -> None:
        build(save_steps=2).train()
        with pytest.raises(InvalidInputError, match=r"objective or model \(adapter\): it cannot be resumed"):
            build(trainer_options={"peft_config": lora}).train(resume_from_checkpoint=True)

    def test_the_best_adapter_is_loaded_in_the_end(self, build: Build, lora: Any) -> None:
        steps = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
        trainer = build(trainer_options={"peft_config": lora}, load_best_model_at_end=True, **steps)
        trainer.train()
        saved = load_file(Path(str(trainer.state.best_model_checkpoint)) / "model.safetensors")
        own = {name.replace(".default", ""): p for name, p in trainer.model.named_parameters() if "lora" in name}
        assert all(torch.equal(saved[name], parameter) for name, parameter in own.items())

    def test_another_encoder_of_that_name_is_refused(
        self, build: Build, lora: Any, tmp_path: Path, tiny_encoder: Path
    ) -> None:
        trainer = build(trainer_options={"peft_config": lora})
        trainer.save_model(str(tmp_path / "end"))
        config = json.loads((tmp_path / "end" / "config.json").read_text())
        other: Any = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder).encoder
        with torch.no_grad():
            other.embeddings.word_embeddings.weight.normal_()
        other.save_pretrained(tmp_path / "other")
        trainer.model.load_processing_class().save_pretrained(tmp_path / "other")
        config["encoder_name"] = str(tmp_path / "other")
        (tmp_path / "end" / "config.json").write_text(json.dumps(config))
        with pytest.raises(EncoderMismatchError, match="trained on other weights"):
            MANNForSequenceClassification.from_pretrained(tmp_path / "end")


ONE_EACH = Dataset.from_list([{"text": f"text {i}", "label": f"class {i}"} for i in range(10)])


class TestBadInput:
    @pytest.mark.parametrize(
        "data, says",
        [
            (ONE_EACH, "0 classes with at least 3 texts.*takes 3; left out are"),
            (TRAIN.select([]), "no rows"),
            (TRAIN.rename_column("text", "message"), "no column 'text'.*'message'.*text_column="),
            (labelled(range(2)), "2 classes.*takes 3"),
            ([1, 2], "of type list; give a datasets.Dataset"),
            (VALID, "8 classes are in the training data and in the evaluation data.*shared_labels"),
        ],
        ids=["one text each", "no rows", "column", "few classes", "type", "shared"],
    )
    def test_data_that_cannot_make_an_episode(self, build: Build, data: Any, says: str) -> None:
        with pytest.raises(MannError, match=says):
            build(trainer_options={"train_dataset": data})

    def test_classes_in_both_are_dropped_or_allowed(self, build: Build, told: Callable) -> None:
        both = labelled(range(12))
        trainer = build(shared_labels="drop", trainer_options={"train_dataset": both})
        drawn: Any = trainer.train_dataset
        assert drawn.sampler.labels == {f"class_{WORDS[n]}" for n in range(8)}
        assert any("left out of the training data" in line for line in told())
        build(shared_labels="allow", trainer_options={"train_dataset": both})

    @pytest.mark.parametrize(
        "arguments, says",
        [
            ({"objective": "hinge"}, "hinge.*episode"),
            ({"trainable": "half"}, "trainable is 'half'.*'full'"),
            ({"trainable": "adapter"}, "needs a peft_config"),
            ({"trainable": "memory", "objective": "leave_one_out"}, "nothing to train"),
            ({"shared_labels": "maybe"}, "shared_labels"),
            ({"episodes_per_step": 0}, "episodes_per_step is 0"),
            ({"max_steps": 0}, "max_steps is 0"),
            ({"n_way": 1}, "n_way is 1"),
            ({"learning_rate": -1.0}, "learning_rate is -1.0; it must be a number of 0 or more"),
            ({"n_query": 0}, "set eval_n_query .or n_query, its default. to 1 or more"),
            (
                {"objective": "leave_one_out", "k_shot": 3, "n_query": 0},
                "set eval_n_query .or n_query, its default. to 1 or more",
            ),
            ({"n_query": 0, "eval_n_query": 1}, "needs queries, and n_query is 0"),
            ({"objective_options": {"shotz": 2}}, "'episode' has no argument 'shotz'; it has name_dropout"),
            ({"objective": "label_semantic", "objective_options": {"shots": 2}}, "it has name_dropout, reading, "),
            ({"objective_options": "[1]"}, r"objective_options is \[1\]; give names and values"),
            ({"regularizers": "{x"}, "regularizers is '{x', which is not valid JSON"),
            ({"regularizers": {"uniformity": {"weight": 1, "s": 2}}}, "'uniformity' has no argument 's'; it has t"),
            ({"max_steps": None}, "max_steps is None; it must be a whole number of 1 or more"),
            (
                {"objective": "resampled", "objective_options": {"shots": 1.5}},
                "shots is 1.5; it must be a whole number",
            ),
            ({"include_num_input_tokens_seen": "all"}, "include_num_input_tokens_seen cannot count"),
            ({"objective": "label_semantic"}, "label_names=True"),
            ({"objective": "leave_one_out", "n_query": 0, "eval_n_query": 1}, "one input of each class.*k_shot=5"),
            ({"objective": "resampled", "n_query": 0, "eval_n_query": 1}, "one input of each class"),
            ({"ignore_data_skip": True}, "ignore_data_skip=True would train on the first episodes again"),
            (
                {"objective": "leave_one_out", "objective_options": {"reading_options": {"widthz": 1}}},
                "reading 'prototype' has no argument 'widthz'",
            ),
            (
                {"objective": "resampled", "objective_options": {"sharpness": "x"}},
                "reading 'prototype' cannot be made with .*'sharpness': 'x'",
            ),
            ({"regularizers": {"uniformity": {"weight": 1, "t": "a"}}}, "'uniformity' cannot be made with {'t': 'a'}"),
            ({"n_way": (2, 3), "auto_find_batch_size": True}, "auto_find_batch_size cannot be used"),
            ({"label_smoothing_factor": 0.1}, "label_smoothing_factor would have no effect"),
            ({"bf16_full_eval": True}, "bf16_full_eval would have no effect"),
            ({"accelerator_config": {"dispatch_batches": True}}, "leave dispatch_batches of accelerator_config out"),
            ({"accelerator_config": {"split_batches": True}}, "leave split_batches of accelerator_config out"),
            ({"label_names": ["labels"]}, r"label_names is \['labels'\]; here it must be True or False"),
            ({"per_device_train_batch_size": 16}, "per_device_train_batch_size 16; they mean the same"),
            ({"n_way": "3-"}, "n_way is '3-'; give a number, or a range such as 5-10"),
            ({"regularizers": {"sparsity": 1.0}}, "unknown regularizer 'sparsity'.*'uniformity'"),
            ({"regularizers": {"uniformity": -1.0}}, "weight -1.0"),
        ],
        ids=str,
    )
    def test_settings_that_do_not_go_together(self, build: Build, arguments: dict, says: str) -> None:
        with pytest.raises(MannError, match=says):
            build(**arguments)

    @pytest.mark.parametrize("name", ["compute_metrics", "compute_loss_func", "preprocess_logits_for_metrics"])
    def test_what_would_be_of_no_effect(self, build: Build, name: str) -> None:
        with pytest.raises(InvalidInputError, match=f"{name} would have no effect"):
            build(trainer_options={name: max})

    def test_label_names_without_a_word(self, build: Build) -> None:
        numbers = [Dataset.from_dict({"text": data["text"], "label": labels(data)}) for data in (TRAIN, VALID)]
        for train, valid in [(numbers[0], VALID), (TRAIN, numbers[1])]:
            options = {"train_dataset": train, "eval_dataset": valid}
            with pytest.raises(InvalidInputError, match=r"no label name has a word \('.*give labels as names"):
                build(label_names=True, trainer_options=options)
            build(trainer_options=options)

    def test_no_class_is_left(self, build: Build) -> None:
        with pytest.raises(InvalidInputError, match="no class is left to train on"):
            build(shared_labels="drop", trainer_options={"eval_dataset": TRAIN})

    def test_epochs_are_of_no_effect(self, build: Build, told: Callable) -> None:
        build(num_train_epochs=7)
        assert any("num_train_epochs=7 has no effect" in line for line in told())

    def test_nothing_wants_a_gradient(self, build: Build) -> None:
        with pytest.raises(InvalidInputError, match="no weight of the model is trainable"):
            build(trainable="memory", model_options={"reading_options": {"learn_sharpness": False}})

    def test_steps_of_several_numbers_of_classes(self, build: Build) -> None:
        sampler = EpisodeSampler(TRAIN, n_way=(2, 5), batch_size=3)
        with pytest.raises(InvalidInputError, match=r"multiple of episodes_per_step \(2\), not 3"):
            build(trainer_options={"train_dataset": sampler})

    def test_another_kind_of_model(self, build: Build) -> None:
        with pytest.raises(InvalidTypeError, match="Linear"):
            build(trainer_options={"model": torch.nn.Linear(1, 1)})
        with pytest.raises(InvalidInputError, match="multi_label"):
            build(model_options={"problem_type": "multi_label_classification"})

    def test_nothing_to_evaluate_on(self, build: Build) -> None:
        with pytest.raises(InvalidInputError, match="no evaluation data 'zz'; known are none with a name"):
            build().evaluate("zz")  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="eval_dataset"):
            build(trainer_options={"eval_dataset": None}).evaluate()

    def test_a_memory_that_could_not_be_written_again(self, build: Build) -> None:
        trainer = build(model_options={"store_texts": False})
        clf: Any = pipeline("few-shot-text-classification", model=trainer.model)  # type: ignore[call-overload]
        clf.remember(["my card"], ["card"])
        with pytest.raises(InvalidInputError, match="store_texts"):
            trainer.train()


def test_the_best_by_a_figure_that_there_is_not(build: Build) -> None:
    best: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 2, "save_steps": 2, "load_best_model_at_end": True}
    for unknown in ("eval_f1", "unknown_auroc", "accuracy_ci95"):
        with pytest.raises(InvalidInputError, match=f"'{unknown}'; .* can be chosen by accuracy, loss, macro_f1\\."):
            build(metric_for_best_model=unknown, **best)
    with pytest.raises(InvalidInputError, match="'f1'; the best model can be chosen by"):
        build(metric_for_best_model="f1", eval_strategy="steps", eval_steps=2, save_strategy="best")
    parts = {"one": labelled(range(8, 12)), "two": labelled(range(12, 16))}
    for known in ("macro_f1", "one_accuracy", "eval_two_loss"):
        build(metric_for_best_model=known, trainer_options={"eval_dataset": parts}, **best)
