"""What a run leaves for the card."""

import logging
import os
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from datasets import Dataset, DatasetInfo
from huggingface_hub import ModelCard

from mann_hf import EpisodicTrainer, EpisodicTrainingArguments, MANNForSequenceClassification
from mann_hf.cards import EvaluationResult, MANNModelCardData, TrainingData
from mann_hf.training import record
from mann_hf.training.record import EnergyMeter

from .conftest import TRAIN, VALID, WORDS, texts

if TYPE_CHECKING:
    from tests.loopback_hub import LoopbackHub

ROOT = Path(__file__).parents[2]


def named(data: Dataset, **info: Any) -> Dataset:
    return Dataset.from_dict(data.to_dict(), info=DatasetInfo(**info))


@pytest.fixture
def trainer(tiny_classifier: Any, tmp_path: Path) -> Any:
    """`trainer(train, valid, **arguments)`: a run of two steps."""

    def made(train: Any = TRAIN, valid: Any = VALID, **arguments: Any) -> EpisodicTrainer:
        model = tiny_classifier()
        given = {"n_way": 2, "n_query": 1, "max_steps": 2, "eval_episodes": 5, "use_cpu": True, "report_to": "none"}
        args = EpisodicTrainingArguments(str(tmp_path / "out"), **{**given, "disable_tqdm": True, **arguments})
        return EpisodicTrainer(model, args, train_dataset=train, eval_dataset=valid)

    return made


def test_data_settings_steps_and_time(trainer: Any) -> None:
    run = trainer(named(TRAIN, dataset_name="messages.csv"), k_shot=(1, 2), weight_decay=0.1, label_names=True)
    run.train()
    told = run.model.model_card_data.training
    assert told.data == [TrainingData("messages.csv", classes=4, texts=16)]
    assert told.settings == {
        "n_way": 2,
        "k_shot": "1 to 2",
        "n_query": 1,
        "objective": "episode",
        "trainable": "full",
        "learning_rate": 1e-5,
        "episodes_per_step": 4,
        "seed": 42,
        "label_names": True,
        "weight_decay": 0.1,
    }
    assert (told.steps, told.episodes, told.best_step, told.hardware) == (2, 8, None, "CPU")
    assert 0 < told.seconds < 60 and told.energy_kwh is None and {"torch", "transformers"} < told.versions.keys()


def test_data_sets_of_the_hub_and_several(trainer: Any) -> None:
    run = trainer(
        {"bank": named(TRAIN, dataset_name="PolyAI/banking77"), "more": texts(["time", "month", "bill"])}, None
    )
    run.train()
    assert run.model.model_card_data.training.data == [
        TrainingData("bank", 4, 16, "PolyAI/banking77"),
        TrainingData("more", 3, 12),
    ]


@pytest.mark.slow
def test_a_data_set_that_is_loaded_from_the_hub_is_known(hub: "LoopbackHub", tmp_path: Path) -> None:
    rows = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in TRAIN)
    hub.add_repo("me/data", {"train.csv": rows.encode()}, kind="datasets")
    code = """
import datasets, mann_hf
from mann_hf.episodes.table import LabelledTable
data = datasets.load_dataset("me/data", split="train")
names = [LabelledTable(part).dataset_id for part in (data, mann_hf.select_classes(data, ["card", "new"]))]
assert names == ["me/data"] * 2, names
"""
    variables = os.environ | hub.environment() | {"HF_HOME": str(tmp_path), "HF_DATASETS_CACHE": str(tmp_path / "data")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]


def test_other_data_that_is_evaluated_is_not_told(trainer: Any) -> None:
    run = trainer(eval_strategy="steps", eval_steps=2)
    run.train()
    told = list(run.model.model_card_data.results)
    run.evaluate(TRAIN)
    assert run.model.model_card_data.results == told != []


def test_figures_of_ones_own_stay_and_training_again_keeps_the_record(trainer: Any) -> None:
    own = EvaluationResult("accuracy", 0.5, "by hand")
    run = trainer(eval_strategy="steps", eval_steps=2)
    run.model.model_card_data.add_result(own)
    run.train()
    first = run.model.model_card_data.training
    run.train()
    said = run.model.model_card_data
    assert said.results[0] == own and len(said.results) == 3
    assert said.earlier_training == [first] and said.training is not first


def test_one_episode_has_no_interval(trainer: Any) -> None:
    run = trainer(eval_strategy="steps", eval_steps=2, eval_episodes=1)
    run.train()
    assert run.model.model_card_data.results[0].interval is None


def test_a_text_of_several_classes_counts_once(trainer: Any) -> None:
    data = TRAIN.to_list()
    data += [{"text": data[0]["text"], "label": data[-1]["label"]}]
    run = trainer(Dataset.from_list(data))
    run.train()
    assert run.model.model_card_data.training.data == [TrainingData("labelled texts", 4, 16)]


def test_figures_before_and_after(trainer: Any) -> None:
    run = trainer(valid=named(VALID, dataset_name="valid.csv"), n_query=2, learning_rate=1e-2)
    before = run.evaluate()
    assert run.model.model_card_data.results == []
    run.train()
    assert run.model.model_card_data.results == []  # nothing was measured of these weights
    after = run.evaluate()
    accuracy, f1 = run.model.model_card_data.results
    assert (accuracy.metric, accuracy.value, accuracy.interval) == (
        "accuracy",
        after["eval_accuracy"],
        after["eval_accuracy_ci95"],
    )
    assert accuracy.before == before["eval_accuracy"] and accuracy.count == 5
    assert (f1.metric, f1.value, f1.before) == ("macro_f1", after["eval_macro_f1"], before["eval_macro_f1"])
    assert accuracy.dataset == "valid.csv" and accuracy.dataset_id is None
    assert accuracy.task == "2-way 1-shot episodes of classes that training never saw"


def test_the_best_step_is_told_and_its_figures(trainer: Any) -> None:
    run = trainer(eval_strategy="steps", eval_steps=1, save_steps=1, load_best_model_at_end=True, eval_n_unknown=1)
    run.evaluate()
    run.train()
    said = run.model.model_card_data
    best = said.training.best_step
    assert best == run.state.best_global_step in (1, 2)
    logged = next(each for each in run.state.log_history if each["step"] == best and "eval_accuracy" in each)
    assert [result.metric for result in said.results] == ["accuracy", "macro_f1", "unknown_auroc"]
    assert said.results[0].value == logged["eval_accuracy"]
    assert said.results[0].task.endswith("never saw, by which the best step was chosen")


def test_classes_that_were_trained_on_are_not_called_new(trainer: Any) -> None:
    run = trainer(valid=TRAIN, shared_labels="allow", eval_strategy="steps", eval_steps=1)
    run.train()
    assert run.model.model_card_data.results[0].task == "2-way 1-shot episodes"


def test_several_evaluations(trainer: Any) -> None:
    run = trainer(valid={"one": VALID, "other": texts(WORDS[4:7])}, eval_strategy="steps", eval_steps=2)
    run.train()
    assert [(result.dataset, result.metric) for result in run.model.model_card_data.results] == [
        ("one", "accuracy"),
        ("one", "macro_f1"),
        ("other", "accuracy"),
        ("other", "macro_f1"),
    ]


def test_a_run_that_went_on_knows_no_whole_time(trainer: Any) -> None:
    trainer(save_steps=1).train()
    run = trainer(save_steps=1, max_steps=3)
    run.train(resume_from_checkpoint=True)
    told = run.model.model_card_data.training
    assert (told.steps, told.episodes, told.seconds) == (3, 12, None)


def test_it_is_saved_with_the_model(trainer: Any, tmp_path: Path) -> None:
    run = trainer(eval_strategy="steps", eval_steps=2)
    run.train()
    run.save_model(str(tmp_path / "model"))
    assert (
        MANNForSequenceClassification.from_pretrained(tmp_path / "model").model_card_data == run.model.model_card_data
    )
    card = ModelCard.load(tmp_path / "model" / "README.md")
    assert "2 steps with 8 episodes" in card.text and "before training" not in card.text


def test_the_trainers_own_card(trainer: Any, tmp_path: Path) -> None:
    run = trainer()
    run.train()
    run.create_model_card(license="mit", tags="bank", dataset_tags=["a/b"], model_name="Intents", language="en")
    card: Any = ModelCard.load(tmp_path / "out" / "README.md")
    assert (card.data.license, card.data.language, card.data.datasets) == ("mit", "en", ["a/b"])
    assert "bank" in card.data.tags and "# Intents" in card.text and 'model="out"' in card.text
    kept = run.model.model_card_data
    assert (kept.model_name, kept.tags, kept.license) == (None, [], None)  # they are of this card alone
    assert kept != MANNModelCardData()


@pytest.mark.slow
def test_a_trainer_pushes(hub: "LoopbackHub", hub_api: Any, tiny_encoder: Path, tmp_path: Path) -> None:
    code = f"""
import mann_hf
from tests.training.conftest import TRAIN
model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained({str(tiny_encoder)!r})
args = mann_hf.EpisodicTrainingArguments(
    "out", n_way=2, n_query=1, max_steps=1, use_cpu=True, report_to="none", hub_model_id="me/trained"
)
trainer = mann_hf.EpisodicTrainer(model, args, train_dataset=TRAIN)
trainer.train()
trainer.push_to_hub(license="mit", private=True)
"""
    variables = os.environ | hub.environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = set(hub_api.list_repo_files("me/trained"))
    assert {"model.safetensors", "README.md", "model_card.json", "tokenizer.json"} < files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]
    card: Any = ModelCard.load(hub_api.hf_hub_download("me/trained", "README.md"))
    assert card.data.license == "mit" and 'model="me/trained"' in card.text and "1 step with 4 episodes" in card.text


class TestEnergy:
    @pytest.fixture
    def measured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(record, "find_spec", find_spec)

    def test_codecarbon_measures_a_run(self, trainer: Any, measured: None) -> None:
        pytest.importorskip("codecarbon")
        run = trainer()
        run.train()
        assert 0 < run.model.model_card_data.training.energy_kwh < 0.01
        assert not list(Path.cwd().glob("emissions*.csv"))

    def test_codecarbon_says_nothing_while_a_run_goes_on(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, measured: None
    ) -> None:
        speaker = logging.getLogger("codecarbon")
        monkeypatch.setattr(speaker, "level", logging.INFO)
        monkeypatch.setattr(speaker, "propagate", True)  # releases of codecarbon differ in what they set once imported

        def tell() -> None:
            speaker.info("Energy consumed for RAM : 0.000047 kWh.")
            speaker.warning("We will use the default power consumption.")
            warnings.warn("an old driver", FutureWarning, stacklevel=1)

        energy = SimpleNamespace(energy_consumed=1)
        made = SimpleNamespace(start=tell, stop=tell, final_emissions_data=energy)
        module = SimpleNamespace(OfflineEmissionsTracker=lambda **kwargs: made, __spec__=SimpleNamespace())
        monkeypatch.setitem(sys.modules, "codecarbon", module)  # type: ignore[arg-type]
        meter = EnergyMeter()
        with warnings.catch_warnings(record=True) as warned:
            meter.start()
            speaker.info("Energy consumed for all CPU : 0.000019 kWh")  # from a thread, every 15 seconds
            assert meter.stop() == 1
        assert not caplog.records and not warned
        speaker.info("of a tracker of one's own")
        assert {record.getMessage() for record in caplog.records} == {"of a tracker of one's own"}

    def test_without_codecarbon(self) -> None:
        meter = EnergyMeter()
        meter.start()
        assert meter.stop() is None

    @pytest.mark.parametrize("fails", ["start", "stop"])
    def test_a_meter_that_fails_stops_no_run(
        self, fails: str, monkeypatch: pytest.MonkeyPatch, told: Any, measured: None
    ) -> None:
        def fail() -> None:
            raise RuntimeError("no such file: /sys/class/powercap")

        made = SimpleNamespace(start=lambda: None, stop=lambda: None, final_emissions_data=None)
        setattr(made, fails, fail)
        module = SimpleNamespace(OfflineEmissionsTracker=lambda **kwargs: made, __spec__=SimpleNamespace())
        monkeypatch.setitem(sys.modules, "codecarbon", module)  # type: ignore[arg-type]
        meter = EnergyMeter()
        meter.start()
        assert meter.stop() is None
        assert len(told()) == 1 and "codecarbon failed: RuntimeError('no such file" in told()[0]
