from collections.abc import Callable
from typing import Any

import pytest
import torch

from mann_hf.models import LabelledMemory, MANNForSequenceClassification


@pytest.fixture
def taught(
    build: Callable[..., MANNForSequenceClassification], tiny_tokenizer: Any, texts: list[str], labels: list[str]
) -> MANNForSequenceClassification:
    model = build()
    model.remember(model.embed_texts(tiny_tokenizer, texts), labels, texts)
    return model


class TestWithOwnMemory:
    def test_it_has_the_very_weights(self, taught: MANNForSequenceClassification) -> None:
        own = taught.with_own_memory()
        mine, theirs = list(own.parameters()), list(taught.parameters())
        assert all(one is other for one, other in zip(mine, theirs, strict=True))
        assert own is not taught and own.encoder is taught.encoder

    def test_what_it_learns_and_forgets_leaves_the_other_as_it_was(
        self,
        taught: MANNForSequenceClassification,
        tiny_tokenizer: Any,
        assert_same_memory: Callable[[LabelledMemory, LabelledMemory], None],
    ) -> None:
        own = taught.with_own_memory()
        memory, names = taught.memory, taught.config.id2label
        assert_same_memory(own.memory, memory)
        own.remember(own.embed_texts(tiny_tokenizer, ["hello"]), ["greeting"], ["hello"])
        own.forget(label="3")
        assert taught.memory is memory and taught.config.id2label == names
        assert own.config.id2label == {0: "card_arrival", 1: "RefundPayment", 2: "greeting"}
        assert own.config.label2id == {"card_arrival": 0, "RefundPayment": 1, "greeting": 2}
        taught.forget(label="RefundPayment")
        assert own.memory.labels == ("card_arrival", "RefundPayment", "greeting")
        assert taught.config.id2label == {0: "card_arrival", 1: "3"}

    def test_it_answers_as_the_other_without_another_solve(
        self, taught: MANNForSequenceClassification, tiny_tokenizer: Any
    ) -> None:
        ready = taught.ready_memory()
        own = taught.with_own_memory()
        assert own.ready_memory() is ready
        keys = taught.embed_texts(tiny_tokenizer, ["where is it"])
        assert torch.equal(own.read(own.ready_memory(), keys), taught.read(ready, keys))

    def test_a_part_that_is_replaced_is_replaced_in_one(self, taught: MANNForSequenceClassification) -> None:
        own, reading = taught.with_own_memory(), taught.reading
        own.reading = torch.nn.Identity()  # type: ignore[assignment]
        assert taught.reading is reading
