"""Classifiers around the tiny encoder, and what they are taught."""

from collections.abc import Callable

import pytest

from mann_hf import MANNForSequenceClassification
from mann_hf.models import LabelledMemory
from tests.same_memory import same_memory

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


@pytest.fixture
def assert_same_memory() -> Callable[[LabelledMemory, LabelledMemory], None]:
    return same_memory
