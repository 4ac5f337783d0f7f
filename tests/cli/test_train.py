import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from datasets import Dataset
from transformers.integrations import integration_utils

import mann_hf
from mann_hf import EpisodicTrainer
from mann_hf.cli.train import LOGS_VARIABLE
from mann_hf.controllers import DEFAULT_ENCODER
from mann_hf.training.callbacks import draw_curves
from mann_hf.training.run import TrainingRun

from .conftest import Shell, files

pytestmark = pytest.mark.usefixtures("no_energy_meter", "no_picture")

ROOT = Path(mann_hf.__file__).parents[1]
WORDS = ["card", "lost", "money", "new", "order", "package", "refund", "bank", "change", "cancel"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [f"{one} {two} please,{one}" for one in WORDS for two in ["my", "the", "is", "how", "not", "a", "for", "to"]]
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def short(table: Path, tiny_encoder: Path) -> list:
    """The arguments of a short run, but for its folder."""
    given = {"--encoder": tiny_encoder, "--n-way": 2, "--n-query": 2, "--max-steps": 2, "--eval-episodes": 10}
    return ["train", table, *(word for pair in given.items() for word in pair)]


def test_a_table_becomes_a_model_that_is_taught(
    shell: Shell, short: list, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mann_hf.training.run.draw_curves", draw_curves)  # of all runs here, this one's is looked at
    report = shell.json(*short, "--output", tmp_path / "model", "--eval-every", 1)
    assert report["steps"] == 2 and set(report["after"]) == {"accuracy", "accuracy_ci95", "macro_f1", "loss"}
    assert {"model.safetensors", "curves.png", "train_results.json"} <= {p.name for p in (tmp_path / "model").iterdir()}
    assert (tmp_path / "model" / "curves.png").read_bytes().startswith(b"\x89PNG")
    results = json.loads((tmp_path / "model" / "train_results.json").read_text())
    assert [entry["step"] for entry in results["history"] if "eval_accuracy" in entry] == [0, 1, 2]
    shell("remember", tmp_path / "model", table)
    assert shell("predict", tmp_path / "model", "card my please").startswith("card")


def test_people_read_how_it_goes(shell: Shell, short: list, tmp_path: Path) -> None:
    said = shell(*short, "-o", tmp_path / "model")
    assert "Trained for 2 steps" in said and "before" in said and f"mann-hf remember {tmp_path / 'model'} TABLE" in said
    assert "step 2 of 2: accuracy" in shell.stderr


def test_a_run_goes_on_from_its_last_checkpoint(shell: Shell, short: list, tmp_path: Path) -> None:
    arguments = [*short, "--output", tmp_path / "model", "--eval-every", 1]
    shell(*arguments)
    said = shell(*arguments, "--max-steps", 4, "--resume")
    assert "Trained for 4 steps" in said
    assert "step 4 of 4: accuracy" in shell.stderr and "step 1 of 4" not in shell.stderr  # a run keeps its best step


def test_a_run_in_a_yaml_file_and_options_before_it(
    shell: Shell, table: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run.yaml"
    settings = {"train": table, "encoder": tiny_encoder, "output": tmp_path / "model", "n_way": 2, "n_query": 2}
    settings |= {"max_steps": 1, "eval_episodes": 5, "objective": "leave_one_out", "weight_decay": 0.1, "lora_rank": 2}
    run.write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    report = shell.json("train", run, "--max-steps", 3)
    assert report["steps"] == 3
    arguments = json.loads((tmp_path / "model" / "training_args.json").read_text())
    assert (arguments["objective"], arguments["weight_decay"]) == ("leave_one_out", 0.1)
    assert json.loads((tmp_path / "model" / "config.json").read_text())["adapter"]["r"] == 2
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| `trainable` | `adapter` |" in card and "| adapter | `LORA of rank 2, alpha 4, on " in card


def test_validation_texts_of_ones_own(shell: Shell, short: list, table: Path, tmp_path: Path) -> None:
    valid = tmp_path / "valid.csv"
    valid.write_text(table.read_text().replace("please,", "please,new_"))
    assert shell.json(*short, "--output", tmp_path / "model", "--valid", valid)["after"]
    assert "in the training data and in the evaluation data" in shell.fails(*short, "--valid", table)


class Planned(NamedTuple):
    """What the command makes of its arguments: settings of a run in one mapping, data, and whether to go on."""

    settings: dict[str, Any]
    train: Dataset
    valid: Dataset | None
    resume: bool
    overwrite: bool


@pytest.fixture
def planned_by(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Planned]:
    """Calls the command with these arguments, with a run that only keeps what it is given."""
    taken: list[Planned] = []

    def take(run: TrainingRun, train: Any, valid: Any, callbacks: Any, *how: bool) -> dict[str, Any]:
        fields = asdict(run)
        taken.append(Planned(fields.pop("arguments") | fields, train, valid, *how))
        return {"steps": 0, "before": {}, "after": {}, "best_step": None}

    def call(*arguments: object) -> Planned:
        shell("train", *arguments)
        return taken.pop()

    monkeypatch.setattr(TrainingRun, "train", take)
    return call


USUAL = {"encoder": DEFAULT_ENCODER, "output": "trained", "model_options": {}, "valid_share": 0.2, "eval_every": 50}
USUAL |= {"patience": 3, "lora_rank": None, "lora_targets": None, "n_way": 5, "k_shot": 1, "n_query": 5}
USUAL |= {"episodes_per_step": 4, "max_steps": 300, "learning_rate": 1e-5, "objective": "episode", "seed": 0}
USUAL |= {"label_names": False, "eval_episodes": 600, "report_to": "none", "logging_steps": 10, "disable_tqdm": True}
USUAL |= {"text_column": "text", "label_column": "label"}  # as the command reads the table into these
OPTIONS = {
    "encoder": "some/encoder",
    "output": "folder",
    "n_way": "5-10",
    "k_shot": "1-3",
    "n_query": "4",
    "episodes_per_step": 2,
    "max_steps": 7,
    "learning_rate": 3e-6,
    "objective": "resampled",
    "label_names": True,
    "lora_rank": 8,
    "eval_every": 20,
    "eval_episodes": 30,
    "patience": 2,
    "seed": 5,
    "report_to": "tensorboard",
}
COUNTS: dict[str, Any] = {"n_way": (5, 10), "k_shot": (1, 3), "n_query": 4}
"""What texts of `OPTIONS` stand for where the command has read them."""


def test_a_run_is_told_no_more_than_was_asked_for(planned_by: Callable[..., Planned], table: Path) -> None:
    run = planned_by(table)
    assert run.settings == USUAL and run.valid is None and run.resume is False and run.overwrite is False


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_reaches_the_run(planned_by: Callable[..., Planned], table: Path, tmp_path: Path, name: str) -> None:
    value = OPTIONS[name]
    option = ["--" + name.replace("_", "-"), *([] if value is True else [value])]
    assert planned_by(table, *option).settings == USUAL | {name: COUNTS.get(name, value)}
    yaml = tmp_path / "run.yaml"
    yaml.write_text(json.dumps({"train": str(table), name: value}))
    assert planned_by(yaml).settings == USUAL | {name: value}
    yaml.write_text(json.dumps({"train": str(table), name: USUAL[name]}))
    assert planned_by(yaml, *option).settings == USUAL | {name: COUNTS.get(name, value)}


def test_what_only_a_yaml_file_says_reaches_the_run(
    planned_by: Callable[..., Planned], table: Path, tmp_path: Path
) -> None:
    settings = {"valid_share": 0.5, "lora_rank": 4, "lora_targets": ["key"], "model_options": {"reading": "prototype"}}
    settings |= {"logging_steps": 3, "weight_decay": 0.1}
    (tmp_path / "run.yaml").write_text(json.dumps({"train": str(table), **settings}))
    assert planned_by(tmp_path / "run.yaml").settings == USUAL | settings


@pytest.mark.parametrize("name", ["resume", "overwrite"])
def test_going_on_and_starting_anew_are_asked_for_by_the_option_or_the_file(
    planned_by: Callable[..., Planned], table: Path, tmp_path: Path, name: str
) -> None:
    yaml = tmp_path / "run.yaml"
    assert getattr(planned_by(table, f"--{name}"), name) is True
    for written, option, asked in [(True, [], True), (False, [], False), (False, [f"--{name}"], True)]:
        yaml.write_text(json.dumps({"train": str(table), name: written}))
        assert getattr(planned_by(yaml, *option), name) is asked


def test_a_finished_run_is_not_overwritten_unless_asked(shell: Shell, short: list, tmp_path: Path) -> None:
    arguments = [*short, "--output", tmp_path / "model", "--eval-every", 1]
    shell(*arguments)
    before = files(tmp_path / "model")
    assert "holds a finished run: resume it with more steps (--resume" in shell.fails(*arguments)
    assert files(tmp_path / "model") == before
    assert "Trained for 1 step;" in shell(*arguments, "--max-steps", 1, "--overwrite")


def test_the_columns_asked_for_are_read(planned_by: Callable[..., Planned], tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("text,label,message,intent\nno,none,my card,card\nno,none,my bank,bank\n")
    run = planned_by(tmp_path / "other.csv", "--text-column", "message", "--label-column", "intent")
    assert run.train.to_dict() == {"text": ["my card", "my bank"], "label": ["card", "bank"]}
    assert run.settings == USUAL


def test_an_option_about_the_table_replaces_that_of_the_file(
    planned_by: Callable[..., Planned], shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "rows.dat").write_text("text,label\nmy card,card\nmy bank,bank\n")
    yaml = tmp_path / "run.yaml"
    yaml.write_text(json.dumps({"train": str(tmp_path / "rows.dat"), "format": "json", "delimiter": ";"}))
    run = planned_by(yaml, "--format", "csv", "--delimiter", "comma")
    assert run.train["text"] == ["my card", "my bank"]
    yaml.write_text(json.dumps({"train": str(tmp_path / "rows.dat"), "format": ["csv"]}))
    assert "format is ['csv']; choose one of csv, tsv, json" in shell.fails("train", yaml)


def test_the_splits_asked_for_are_read(
    planned_by: Callable[..., Planned], shell: Shell, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "parts").mkdir()
    for split in ("train", "test", "validation"):
        data = Dataset.from_dict({"text": [f"of {split}"], "label": ["card"]})
        data.to_parquet(tmp_path / "parts" / f"{split}.parquet")
    parts, yaml = str(tmp_path / "parts"), tmp_path / "run.yaml"
    assert planned_by(parts).train["text"] == ["of train"]
    assert planned_by(parts, "--split", "test").train["text"] == ["of test"]
    yaml.write_text(json.dumps({"train": parts, "split": "test", "valid": parts, "valid_split": "validation"}))
    run = planned_by(yaml)
    assert run.valid is not None and (run.train["text"], run.valid["text"]) == (["of test"], ["of validation"])
    yaml.write_text(json.dumps({"train": str(table), "valid_split": "validation"}))
    assert "valid_split needs valid" in shell.fails("train", yaml)


@pytest.fixture
def two_tables(table: Path, tiny_encoder: Path, tmp_path: Path) -> str:
    """A yaml file of a short run over two tables, but for what is validated by."""
    lines = table.read_text().splitlines()
    (tmp_path / "home.csv").write_text("\n".join([lines[0], *lines[1:41]]) + "\n")
    (tmp_path / "bank.csv").write_text("\n".join([lines[0], *lines[41:]]) + "\n")
    settings = {"encoder": tiny_encoder, "output": tmp_path / "model", "n_way": 2, "n_query": 2, "max_steps": 2}
    settings |= {"train": f"{{home: {tmp_path / 'home.csv'}, bank: {tmp_path / 'bank.csv'}}}", "eval_episodes": 5}
    return "".join(f"{name}: {value}\n" for name, value in settings.items())


def test_several_tables_are_mixed(
    shell: Shell, two_tables: str, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[EpisodicTrainer] = []
    original = TrainingRun.trainer

    def watched(*arguments: Any) -> EpisodicTrainer:
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(TrainingRun, "trainer", watched)
    (tmp_path / "valid.csv").write_text(table.read_text().replace("please,", "please,new_"))
    run = tmp_path / "run.yaml"
    run.write_text(f"{two_tables}valid: {tmp_path / 'valid.csv'}\nsource_weights: {{home: 3, bank: 1}}\n")
    assert shell.json("train", run)["after"]
    run.write_text(f"{two_tables}valid_share: 0\n")
    report = shell.json("train", run, "--output", tmp_path / "other")
    assert report["steps"] == 2 and report["after"] == {}
    at_home = []
    for trainer in seen:
        assert isinstance(trainer.sampler, mann_hf.EpisodeSampler)
        assert list(trainer.sampler.tables) == ["home", "bank"]
        drawn = [set(trainer.sampler[number].names) for number in range(200)]
        assert all(names <= set(WORDS[:5]) or names <= set(WORDS[5:]) for names in drawn)
        at_home.append(sum(names <= set(WORDS[:5]) for names in drawn) / 200)
    assert at_home == pytest.approx([0.75, 0.5], abs=0.1)


def test_curves_for_tensorboard_lie_in_the_folder(
    shell: Shell, short: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shell(*short, "--output", "model", "--report-to", "tensorboard", "--eval-every", 1)
    assert list(Path("model", "logs").glob("events.out.tfevents.*"))
    assert not Path("runs").exists() and not list(Path("model").rglob("runs"))
    assert LOGS_VARIABLE not in os.environ
    monkeypatch.setenv(LOGS_VARIABLE, "elsewhere")
    shell(*short, "--output", "other", "--report-to", "tensorboard")
    assert list(Path("elsewhere").glob("events.out.tfevents.*")) and not Path("other", "logs").exists()


def test_without_trackio_it_is_said_how_to_get_it(
    shell: Shell, short: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integration_utils, "is_trackio_available", lambda: False)
    said = shell.fails(*short, "--output", tmp_path / "model", "--report-to", "trackio")
    assert "requires trackio to be installed. Run `pip install trackio`" in said
    assert not (tmp_path / "model").exists(), "nothing has begun"


@pytest.mark.slow
def test_of_two_processes_the_first_alone_speaks(short: list, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, "-m", "mann_hf.cli", *map(str, short), "--output", str(tmp_path / "model"), "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-8000:]
    assert json.loads(done.stdout)["steps"] == 2
    assert done.stderr.count("before training: accuracy") == 1


@pytest.mark.parametrize(
    "arguments, says, status",
    [
        (["--n-way", "x"], "--n-way: it is 'x'; give a number, or a range such as 5-10", 2),
        (["--k-shot", "1-2-3"], "--k-shot: it is '1-2-3'", 2),
        (["--patience", "0"], "--patience.*1", 2),
        (["--objective", "hinge"], "hinge.*episode", 1),
        (["--n-way", "50"], "10 classes.*takes 50", 1),
        (["--label-column", "intent"], "no column 'intent'", 1),
    ],
    ids=str,
)
def test_what_makes_no_sense(
    shell: Shell, short: list, arguments: list, says: str, status: int, tmp_path: Path
) -> None:

    assert re.search(says, shell.fails(*short, "--output", tmp_path / "model", *arguments, status=status))


@pytest.mark.parametrize(
    "text, says",
    [
        ("- a\n", "does not describe a run"),
        ("train: [\n", "not valid yaml"),
        ("train: t.csv\nways: 5\n", "no setting"),
        ("train: [t.csv]\n", "give them by name"),
    ],
)
def test_a_yaml_file_that_is_no_run(shell: Shell, table: Path, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "run.yaml").write_text(text.replace("t.csv", str(table)))
    assert says in shell.fails("train", tmp_path / "run.yaml")
