"""A face of somebody else's, in one short file."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "new_face.py"


@pytest.mark.slow
def test_it_is_taught_trained_saved_and_loaded_in_under_80_lines(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    share, rest = done.stdout.strip().splitlines()[-1].split("%")
    assert int(share) > 40 and rest == " of new rows are right, the same when loaded: True"
    assert (tmp_path / "my-rows" / "memory.safetensors").exists()
    assert len(EXAMPLE.read_text().splitlines()) < 80
