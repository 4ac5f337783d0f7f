"""The bare loop does what the Trainer does."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from mann_hf import MANNForSequenceClassification

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_loop_trains_and_saves(tiny_encoder: Path, tmp_path: Path) -> None:
    draw, words = (
        random.Random(0),
        ["card", "lost", "money", "new", "order", "package", "refund", "bank", "app", "code"],
    )
    rows = [f"{one} {draw.choice(['my', 'the', 'is'])} {n},{one}" for one in words for n in range(8)]
    (tmp_path / "table.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    told = ["--encoder", tiny_encoder, "--output", tmp_path / "trained", "--steps", 3, "--n-way", 2]
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "accelerate_loop.py", tmp_path / "table.csv", *map(str, told)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "before training" in done.stdout and "step 3: loss" in done.stdout and "after training" in done.stdout
    MANNForSequenceClassification.from_pretrained(tmp_path / "trained")


def test_it_is_short() -> None:
    assert len((ROOT / "examples" / "accelerate_loop.py").read_text(encoding="utf-8").splitlines()) < 100
