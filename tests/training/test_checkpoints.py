"""Checkpoints as a killed run leaves them."""

import json
from pathlib import Path

import pytest

from mann_hf.training.checkpoints import SAMPLER_FILE, STATE_FILE, is_whole, newest_checkpoint, steps_done


def checkpoint(output: Path, name: str, step: int = 1) -> Path:
    folder = output / name
    folder.mkdir(parents=True)
    (folder / STATE_FILE).write_text(json.dumps({"global_step": step}))
    (folder / SAMPLER_FILE).write_text("{}")
    return folder


@pytest.mark.parametrize("state", [None, "", '{"global_step": 1', "[1]", '{"epoch_of_what": 1}'])
def test_without_a_state_in_full_it_is_not_whole(tmp_path: Path, state: str | None) -> None:
    folder = checkpoint(tmp_path, "checkpoint-1")
    assert is_whole(folder)
    (folder / STATE_FILE).unlink() if state is None else (folder / STATE_FILE).write_text(state)
    assert not is_whole(folder)


def test_without_the_samplers_state_it_is_not_whole(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "checkpoint-1")
    (folder / SAMPLER_FILE).unlink()
    assert not is_whole(folder)


def test_the_newest_is_that_of_the_highest_step(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        checkpoint(tmp_path, f"checkpoint-{step}")
    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-100")
    assert newest_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-100")


def test_what_is_not_whole_or_not_of_a_step_is_passed_over(tmp_path: Path) -> None:
    for name in ("checkpoint-2", "checkpoint-last", "checkpoint-7-old", "checkpoint-", "my-checkpoint-9"):
        checkpoint(tmp_path, name)
    (checkpoint(tmp_path, "checkpoint-3") / STATE_FILE).unlink()
    (checkpoint(tmp_path, "checkpoint-4") / SAMPLER_FILE).unlink()
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-6").write_text("a file")
    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")


def test_there_may_be_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_the_steps_are_those_of_the_state(tmp_path: Path) -> None:
    assert steps_done(checkpoint(tmp_path, "checkpoint-1", step=30)) == 30
