"""Runs that are killed, and gone on with."""

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import TrainerCallback

from mann_hf import EpisodicTrainer, EpisodicTrainingArguments, MANNForSequenceClassification

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a child of this process")]

KilledAt = Callable[[int, Callable[[], object], Path], bool]
NEVER, ANYWHERE = 0, Path("/")
WORDS = ["card", "lost", "money", "order", "package", "refund", "bank", "change"]


def labelled(words: Sequence[str]) -> Dataset:
    rows = [
        (f"{start} {word} {end}", word) for word in words for start in ("my", "the") for end in ("is", "not", "how")
    ]
    return Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


def train(encoder: Path, folder: Path, resume: bool = False, callbacks: Sequence[Any] = ()) -> None:
    """A run of 6 steps, with a checkpoint after every second; its model lies in `end` afterwards."""
    torch.set_num_threads(1)  # the threads of the parent are not in its children
    arguments = EpisodicTrainingArguments(
        str(folder),
        n_way=3,
        n_query=2,
        objective="resampled",
        episodes_per_step=2,
        gradient_accumulation_steps=2,
        max_steps=6,
        learning_rate=1e-3,
        eval_strategy="steps",
        eval_steps=2,
        eval_episodes=10,
        save_strategy="steps",
        save_steps=2,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    model = MANNForSequenceClassification.from_encoder_pretrained(encoder)
    data = labelled(WORDS[:4]), labelled(WORDS[4:])
    trainer = EpisodicTrainer(model, arguments, *data, callbacks=list(callbacks))
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model(str(folder / "end"))


class Kill(TrainerCallback):
    """Kills its process at an event after some steps."""

    def __init__(self, event: str, step: int) -> None:
        setattr(self, event, self.kill)
        self.step = step

    def kill(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def calm(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory, killed_at: KilledAt) -> Path:
    """The folder of a run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("calm")
    assert not killed_at(NEVER, lambda: train(tiny_encoder, folder), ANYWHERE)
    return folder


def checkpoints(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("checkpoint-*")}


def assert_ends_alike(folder: Path, calm: Path) -> None:
    """Asserts that model and optimizer are the same, bit for bit."""
    for where in ("end", "checkpoint-6"):
        ours, theirs = ((run / where / "model.safetensors").read_bytes() for run in (folder, calm))
        assert ours == theirs, where
    read = lambda run: torch.load(run / "checkpoint-6" / "optimizer.pt", weights_only=True)  # noqa: E731, TID251
    ours, theirs = read(folder), read(calm)
    assert ours["param_groups"] == theirs["param_groups"]
    assert ours["state"].keys() == theirs["state"].keys() != set()
    for number, moments in ours["state"].items():
        assert all(torch.equal(moments[name], moment) for name, moment in theirs["state"][number].items())


@pytest.mark.parametrize(
    "event, step, left",
    [
        ("on_substep_end", 2, {"checkpoint-2"}),
        ("on_step_end", 3, {"checkpoint-2"}),
        ("on_evaluate", 4, {"checkpoint-2"}),
        ("on_pre_optimizer_step", 5, {"checkpoint-2", "checkpoint-4"}),
    ],
    ids=["within a step", "between checkpoints", "after an evaluation", "before the last update"],
)
def test_killed_between_two_checkpoints(
    tiny_encoder: Path, tmp_path: Path, calm: Path, killed_at: KilledAt, event: str, step: int, left: set[str]
) -> None:
    assert killed_at(NEVER, lambda: train(tiny_encoder, tmp_path, callbacks=[Kill(event, step)]), ANYWHERE)
    assert checkpoints(tmp_path) == left
    assert not killed_at(NEVER, lambda: train(tiny_encoder, tmp_path, resume=True), ANYWHERE)
    assert_ends_alike(tmp_path, calm)


def test_killed_at_any_moment_of_writing_a_checkpoint(
    tiny_encoder: Path, tmp_path: Path, calm: Path, killed_at: KilledAt
) -> None:
    def resume(folder: Path) -> None:
        assert not killed_at(NEVER, lambda: train(tiny_encoder, folder, resume=True), ANYWHERE)
        assert_ends_alike(folder, calm)
        assert not list(folder.glob("checkpoint-*/.mann-*"))

    left: list[set[str]] = []
    for number in range(1, 100):
        folder, half = tmp_path / str(number), tmp_path / str(number) / "checkpoint-4"
        if not killed_at(number, lambda folder=folder: train(tiny_encoder, folder), Path(half.name)):  # type: ignore[misc]
            break
        assert "checkpoint-6" not in checkpoints(folder)
        files = {str(path.relative_to(half)) for path in half.rglob("*")}
        if files not in left:  # what is left alike is gone on with alike
            left.append(files)
            resume(folder)
    whole = {path.name for path in (calm / "checkpoint-4").iterdir()}
    assert set() in left and whole - {"trainer_state.json"} in left, "killed from the first file to the last"

    folder = tmp_path / "within the last file"
    shutil.copytree(calm, folder)
    shutil.rmtree(folder / "checkpoint-6")
    with open(folder / "checkpoint-4" / "trainer_state.json", "r+b") as file:
        file.truncate(100)
    resume(folder)
