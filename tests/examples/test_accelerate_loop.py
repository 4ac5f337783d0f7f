"""The bare loop does what the Trainer does."""

import json
import os
import random
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
def rows(tmp_path: Path) -> list[dict[str, str]]:
    """What stands in `table.csv`."""
    draw = random.Random(0)
    rows = [{"text": f"{one} {draw.choice(['my', 'the', 'is'])} {n}", "label": one} for one in WORDS for n in range(8)]
    lines = ["text,label", *(f"{row['text']},{row['label']}" for row in rows)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return rows


def loop(table: Path, folder: Path, encoder: Path, *told: object) -> str:
    """What the loop prints; the model lies in `trained`."""
    given = [table, "--encoder", encoder, "--output", folder / "trained", *told]
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "accelerate_loop.py", *map(str, given)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
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
def test_its_weights_are_the_trainers(rows: list[dict[str, str]], tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = tmp_path / "without-dropout"
    shutil.copytree(tiny_encoder, encoder)
    config = json.loads((encoder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (encoder / "config.json").write_text(json.dumps(config))
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


def flat(model: torch.nn.Module) -> torch.Tensor:
    """All weights one behind the other."""
    return torch.cat([weight.detach().flatten() for _, weight in sorted(model.named_parameters())])


def test_it_is_short() -> None:
    assert len((ROOT / "examples" / "accelerate_loop.py").read_text(encoding="utf-8").splitlines()) < 100
