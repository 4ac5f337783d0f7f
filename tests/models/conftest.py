"""Classifiers around the tiny encoder, and what they are taught."""

from collections.abc import Callable

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
def build(
    tiny_classifier: Callable[..., MANNForSequenceClassification],
) -> Callable[..., MANNForSequenceClassification]:
    """A model around the tiny encoder: `build(**kwargs of from_encoder_pretrained)`."""
    return tiny_classifier


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
