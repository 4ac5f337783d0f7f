"""Small data and the settings of a short run, for what trains whole runs."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import TrainerCallback

WORDS = ["card", "lost", "money", "new", "order", "package", "refund", "bank"]


def texts(words: list[str]) -> Dataset:
    """Four texts of each of these words, which are their labels."""
    fillers = ["my", "the", "is", "how"]
    return Dataset.from_list([{"text": f"{word} {one} please", "label": word} for word in words for one in fillers])


TRAIN, VALID = texts(WORDS[:4]), texts(WORDS[4:])


@pytest.fixture
def settings(tiny_encoder: Path, tmp_path: Path) -> dict[str, Any]:
    """Those of a run of four steps in the folder `run`, evaluated at each."""
    given = {"encoder": str(tiny_encoder), "output": str(tmp_path / "run"), "eval_every": 1, "n_way": 2, "n_query": 1}
    return given | {"max_steps": 4, "eval_episodes": 5, "use_cpu": True, "report_to": "none", "disable_tqdm": True}


@pytest.fixture(autouse=True)
def fast(no_energy_meter: None, no_picture: None) -> None:
    """Most runs here take less time than codecarbon to start, or matplotlib to draw."""


class Interrupted(TrainerCallback):
    """Ends the process's part of a run once it has saved after this step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt
