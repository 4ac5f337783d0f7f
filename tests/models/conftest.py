"""Classifiers around the tiny encoder, what they are taught, and a way to kill what they do."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mann_hf import MANNForSequenceClassification
from mann_hf.models import LabelledMemory

TAUGHT = {
    "where is my card": "card_arrival",
    "my new card is not here": "card_arrival",
    "please send the money back": "RefundPayment",
    "i want to cancel and get my money": "RefundPayment",
    "i can not login with my password": "3",
}


@pytest.fixture
def texts() -> list[str]:
    return list(TAUGHT)


@pytest.fixture
def labels() -> list[str]:
    return list(TAUGHT.values())


@pytest.fixture
def build(tiny_encoder: Path) -> Callable[..., MANNForSequenceClassification]:
    """A model around the tiny encoder: `build(**kwargs of from_encoder_pretrained)`."""

    def built(**kwargs: object) -> MANNForSequenceClassification:
        return MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, **kwargs)

    return built


def same_memory(first: LabelledMemory, second: LabelledMemory) -> None:
    """Asserts that two memories hold the same, bit for bit."""
    assert first.entries == second.entries
    assert first.labels == second.labels
    assert first.problem_type == second.problem_type
    for name, mine, theirs in zip(first.state._fields, first.state, second.state, strict=True):
        assert torch.equal(mine, theirs), name
        assert mine.dtype == theirs.dtype, name
    assert first.names.keys() == second.names.keys()
    assert all(torch.equal(first.names[name], second.names[name]) for name in first.names)


@pytest.fixture
def assert_same_memory() -> Callable[[LabelledMemory, LabelledMemory], None]:
    return same_memory


CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "open"}


def kill_at(number: int, action: Callable[[], object], folder: Path) -> bool:
    """Runs an action in a child that is killed before its `number`-th change in `folder`; False if it got through."""
    child = os.fork()
    if child == 0:
        left = number

        def count(event: str, arguments: tuple) -> None:
            nonlocal left
            if event in CHANGES and arguments and str(folder) in str(arguments[0]) + str(arguments[1:2]):
                if event == "open" and not (isinstance(arguments[1], str) and set(arguments[1]) & set("wxa+")):
                    return
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            sys.addaudithook(count)
            action()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the action failed in the child"
    return False


@pytest.fixture
def killed_at() -> Callable[[int, Callable[[], object], Path], bool]:
    """The function `kill_at` above."""
    return kill_at
