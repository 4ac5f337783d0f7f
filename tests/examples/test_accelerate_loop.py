"""The bare loop does what the Trainer does."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset

import mann_hf
from mann_hf import MANNForSequenceClassification

ROOT = Path(__file__).parents[2]
MESSAGES = ROOT / "examples" / "customer_messages" / "messages.csv"
WORDS = ["card", "lost", "money", "new", "order", "package", "refund", "bank", "app", "code"]


@pytest.fixture
def encoder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """Without dropout, so that two runs are alike."""
    folder = tmp_path / "without-dropout"
    shutil.copytree(tiny_encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, str]]:
    """What stands in `table.csv`."""
    draw = random.Random(0)
    rows = [{"text": f"{one} {draw.choice(['my', 'the', 'is'])} {n}", "label": one} for one in WORDS for n in range(8)]
    lines = ["text,label", *(f"{row['text']},{row['label']}" for row in rows)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return rows


def loop(table: Path, folder: Path, encoder: Path, *told: object, processes: int = 1) -> str:
    """What the loop prints; the model lies in `trained`. Several processes wrap the step in DDP, by gloo."""
    given = [table, "--encoder", encoder, "--output", folder / "trained", *told]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes] if processes > 1 else []
    done = subprocess.run(
        [sys.executable, *map(str, [*launch, ROOT / "examples" / "accelerate_loop.py", *given])],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_loop_trains_and_saves(tiny_encoder: Path, tmp_path: Path) -> None:
    said = loop(MESSAGES, tmp_path, tiny_encoder, "--steps", 3)
    assert "3-way episodes of classes that are kept from training" in said  # there are no five among the fifth
    assert "before training" in said and "step 3: loss" in said and "after training" in said
    MANNForSequenceClassification.from_pretrained(tmp_path / "trained")


@pytest.mark.slow
def test_its_weights_are_the_trainers(rows: list[dict[str, str]], encoder: Path, tmp_path: Path) -> None:
    loop(tmp_path / "table.csv", tmp_path, encoder, "--n-way", 2, "--steps", 2, "--lr", 1e-3)
    model = MANNForSequenceClassification.from_encoder_pretrained(encoder)
    before = flat(model)
    args = mann_hf.EpisodicTrainingArguments(
        str(tmp_path / "out"), n_way=2, max_steps=2, learning_rate=1e-3, seed=0, use_cpu=True, report_to="none"
    )
    data = mann_hf.split_classes(Dataset.from_list(rows), (0.6, 0.2, 0.2))
    mann_hf.EpisodicTrainer(model=model, args=args, train_dataset=data["train"]).train()
    moved = flat(model) - before
    apart = flat(MANNForSequenceClassification.from_pretrained(tmp_path / "trained")) - flat(model)
    # AdamW moves weights whose gradient is 0 but for rounding (of keys' biases) by the rounding
    assert (moved.abs() > 1e-4).float().mean() > 0.5 and (apart.abs() < 1e-6).float().mean() > 0.99


@pytest.mark.slow
def test_two_processes_train_as_one(rows: list[dict[str, str]], encoder: Path, tmp_path: Path) -> None:
    """The step of model and objective is what DDP wraps: the gradient is the mean over all episodes of both."""
    table, told = tmp_path / "table.csv", ["--n-way", 2, "--steps", 2, "--lr", 1e-3]
    said, weights = {}, {}
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        said[processes] = loop(table, folder, encoder, *told, "--episodes", 4 // processes, processes=processes)
        weights[processes] = flat(MANNForSequenceClassification.from_pretrained(folder / "trained"))
    before = flat(MANNForSequenceClassification.from_encoder_pretrained(encoder))
    moved, apart = weights[1] - before, weights[2] - weights[1]
    # AdamW moves weights whose gradient is 0 but for rounding (of keys' biases) by the rounding
    assert (moved.abs() > 1e-4).float().mean() > 0.5 and (apart.abs() < 1e-6).float().mean() > 0.99
    assert said[1].count("step 2: loss") == said[2].count("step 2: loss") == 1, "printed by one process alone"
    losses = [re.findall(r"step 2: loss (.*)", text) for text in said.values()]
    assert float(losses[0][0]) == pytest.approx(float(losses[1][0]), abs=2e-3)


def flat(model: torch.nn.Module) -> torch.Tensor:
    """All weights one behind the other."""
    return torch.cat([weight.detach().flatten() for _, weight in sorted(model.named_parameters())])


def test_it_is_short() -> None:
    assert len((ROOT / "examples" / "accelerate_loop.py").read_text(encoding="utf-8").splitlines()) < 100
