"""Training by several processes: each with all weights, or with a share of them."""

import json
import multiprocessing
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.multiprocessing import start_processes

from mann_hf import EpisodicTrainer, EpisodicTrainingArguments, MANNForSequenceClassification
from mann_hf.errors import InvalidInputError
from mann_hf.training import OBJECTIVES

from . import distributed_program
from .test_trainer import TRAIN, VALID

SECONDS = 300
Run = Callable[..., dict[str, dict[str, float]]]


@pytest.fixture
def run(tiny_encoder: Path, tmp_path: Path) -> Run:
    """Runs the program in a folder of its own and gives its figures."""

    def start(folder: str, processes: int, **told: Any) -> dict[str, dict[str, float]]:
        (tmp_path / folder).mkdir(exist_ok=True)
        rows = tmp_path / "rows.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in [*TRAIN, *VALID]), encoding="utf-8")
        given = {"encoder": str(tiny_encoder), "rows": str(rows), "output": str(tmp_path / folder)} | told
        given["arguments"] = {"n_way": 3, "n_query": 2, "eval_episodes": 20, **told.get("arguments", {})}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        multiprocessing.set_forkserver_preload([distributed_program.__name__])  # each process is a fork of its imports
        begun = start_processes(
            distributed_program.main,
            (given, processes, port),
            processes,
            join=False,
            daemon=True,
            start_method="forkserver",
        )
        latest = time.monotonic() + SECONDS
        try:
            while not begun.join(latest - time.monotonic()):
                assert time.monotonic() < latest, f"the processes have not ended after {SECONDS} s"
        finally:
            for process in begun.processes:
                process.kill()
        return json.loads((tmp_path / folder / "figures.json").read_text())

    return start


def assert_close(one: Path, other: Path, atol: float, rtol: float) -> None:
    """The tensors of two files are the same, to a tolerance."""
    expected, got = load_file(one), load_file(other)
    assert expected.keys() == got.keys()
    for name in expected:
        difference = (got[name] - expected[name]).abs().max()
        assert torch.allclose(got[name], expected[name], atol=atol, rtol=rtol), f"{name}: {difference}"


def alike(one: dict[str, float], other: dict[str, float]) -> bool:
    return one["eval_accuracy"] == other["eval_accuracy"] and one["eval_loss"] == pytest.approx(
        other["eval_loss"], abs=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_processes_have_the_gradients_of_one(run: Run, tmp_path: Path, objective: str) -> None:
    figures = []
    common = {"objective": objective, "k_shot": (1, 3), "max_steps": 1, "max_grad_norm": 0.0, "label_names": True}
    common["objective_options"] = {"name_dropout": 0.5}
    for processes in (1, 2):
        arguments = {**common, "episodes_per_step": 4 // processes}
        figures.append(run(str(processes), processes, arguments={**arguments, "save_strategy": "no"}))
    assert alike(figures[0]["before"], figures[1]["before"])
    assert_close(tmp_path / "1/grads.safetensors", tmp_path / "2/grads.safetensors", atol=1e-5, rtol=1e-4)


STEPS = {"episodes_per_step": 2, "max_steps": 4, "learning_rate": 1e-3, "eval_strategy": "steps", "eval_steps": 2}
STEPS |= {"save_steps": 2, "load_best_model_at_end": True}


@pytest.mark.slow
@pytest.mark.parametrize("lora", [False, True])
def test_spread_weights_train_as_whole_ones(run: Run, tmp_path: Path, lora: bool) -> None:
    whole = run("whole", 2, arguments=STEPS, lora=lora, taught=True)
    spread = run("spread", 2, arguments=STEPS, lora=lora, taught=True, spread=True)
    assert alike(whole["before"], spread["before"]) and alike(whole["after"], spread["after"])
    assert whole["after"]["eval_loss"] != whole["before"]["eval_loss"]
    for file in ("model.safetensors", "memory.safetensors"):
        assert_close(tmp_path / "whole/model" / file, tmp_path / "spread/model" / file, atol=1e-5, rtol=1e-4)
    model = MANNForSequenceClassification.from_pretrained(tmp_path / "spread/model")
    assert model.config.architectures == ["MANNForSequenceClassification"] and len(model.memory) == 2


@pytest.mark.slow
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("spread", [False, True])
def test_resumed_a_run_ends_as_an_undisturbed_one(run: Run, tmp_path: Path, lora: bool, spread: bool) -> None:
    told = {"lora": lora, "spread": spread}
    run("undisturbed", 2, arguments=STEPS, **told)
    run("stopped", 2, arguments=STEPS | {"load_best_model_at_end": False}, stop_after=2, **told)
    run("stopped", 2, arguments=STEPS, resume=True, **told)
    file = "model/model.safetensors"
    assert_close(tmp_path / "undisturbed" / file, tmp_path / "stopped" / file, atol=0, rtol=0)


def test_weights_that_are_spread_are_not_anchored(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EpisodicTrainer, "is_sharded", True)
    model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
    args = EpisodicTrainingArguments("out", use_cpu=True, regularizers={"uniformity": 0.1, "weight_anchor": 1.0})
    with pytest.raises(InvalidInputError, match="^weight_anchor needs whole weights"):
        EpisodicTrainer(model, args, TRAIN)


def test_the_old_way_to_spread_weights_is_refused(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plugin:
        fsdp_version = 1

    def begin(self: EpisodicTrainer, *args: Any, **kwargs: Any) -> None:
        self.is_fsdp_enabled = True
        self.accelerator = type("", (), {"state": type("", (), {"fsdp_plugin": Plugin()})})()

    monkeypatch.setattr("transformers.Trainer.__init__", begin)
    model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
    with pytest.raises(InvalidInputError, match='FSDP of version 1.*fsdp_config=."version": 2.'):
        EpisodicTrainer(model, EpisodicTrainingArguments("out", use_cpu=True), TRAIN)
