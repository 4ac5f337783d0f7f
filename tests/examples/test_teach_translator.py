"""A translator is taught, explained, saved and made to forget."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_seq2seq import save_tiny

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_it_is_taught_explained_saved_and_forgets(tmp_path: Path) -> None:
    model = save_tiny("t5", tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-m", "examples.teach_translator", "--model", model],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[0].removeprefix("Before:") == lines[-1].removeprefix("After:")
    assert "Taught: the dog sees a cat -> der hund sieht die katze" in lines
    assert (tmp_path / "evidence.png").exists() and (tmp_path / "my-translator" / "memory.safetensors").exists()
