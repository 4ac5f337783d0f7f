import json
import re
from pathlib import Path

import pytest

from .conftest import Shell

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


def test_a_table_becomes_a_model_that_is_taught(shell: Shell, short: list, table: Path, tmp_path: Path) -> None:
    told = shell.json(*short, "--output", tmp_path / "model", "--eval-every", 1)
    assert told["steps"] == 2 and set(told["after"]) == {"accuracy", "accuracy_ci95", "macro_f1", "loss"}
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


def test_a_run_in_a_yaml_file_and_options_before_it(
    shell: Shell, table: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run.yaml"
    settings = {"train": table, "encoder": tiny_encoder, "output": tmp_path / "model", "n_way": 2, "n_query": 2}
    settings |= {"max_steps": 1, "eval_episodes": 5, "objective": "leave_one_out", "weight_decay": 0.1, "lora_rank": 2}
    run.write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    told = shell.json("train", run, "--max-steps", 3)
    assert told["steps"] == 3
    arguments = json.loads((tmp_path / "model" / "training_args.json").read_text())
    assert (arguments["objective"], arguments["weight_decay"]) == ("leave_one_out", 0.1)
    assert json.loads((tmp_path / "model" / "config.json").read_text())["adapter"]["r"] == 2


def test_validation_texts_of_ones_own(shell: Shell, short: list, table: Path, tmp_path: Path) -> None:
    valid = tmp_path / "valid.csv"
    valid.write_text(table.read_text().replace("please,", "please,new_"))
    assert shell.json(*short, "--output", tmp_path / "model", "--valid", valid)["after"]
    assert "in the training data and in the evaluation data" in shell.fails(*short, "--valid", table)


@pytest.mark.parametrize(
    "arguments, says, status",
    [
        (["--n-way", "x"], "'x' is no number and no range", 2),
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
    "text, says", [("- a\n", "is no run"), ("train: [\n", "no valid yaml"), ("train: t.csv\nways: 5\n", "no setting")]
)
def test_a_yaml_file_that_is_no_run(shell: Shell, table: Path, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "run.yaml").write_text(text.replace("t.csv", str(table)))
    assert says in shell.fails("train", tmp_path / "run.yaml")
