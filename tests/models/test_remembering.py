import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mann_hf.errors import InvalidInputError, InvalidTypeError, NotInMemoryError
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


class TestKeysOfOnesOwn:
    """`model.remember` takes what the pipeline takes, and refuses what it refuses."""

    KEYS = torch.eye(4, 32)

    def test_labels_have_their_one_spelling(self, build: Callable[..., MANNForSequenceClassification]) -> None:
        model = build()
        model.remember(self.KEYS, ["card ", 1, True, np.float64(1)], names={" card": torch.ones(32)})
        assert model.memory.labels == ("card", "1", "true")
        assert model.memory.named_labels == ("card",)
        numbers = build(problem_type="regression")
        numbers.remember(self.KEYS, ["3.5", 1, [2], np.float32(0.5)])
        assert [entry.label for entry in numbers.memory.entries] == [(3.5,), (1.0,), (2.0,), (0.5,)]

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"labels": ["a", None, "b", "c"]}, "label 1 .*no label"),
            ({"labels": ["a", "b", float("nan"), "c"]}, "label 2 .*no label"),
            ({"labels": [" ", "b", "a", "c"]}, "label 0 .*no label"),
            ({"labels": ["a", "b", "c", "['x', 'y']"]}, "label 3 .*is a list"),
            ({"labels": "abcd"}, "1 label came for 4 texts"),
            ({"labels": set("abcd")}, "no order"),
            ({"labels": None}, "labels are missing"),
            ({"texts": ["a", "", "b", "c"]}, "text 1 .*empty"),
            ({"texts": ["a", 1, "b", "c"]}, "text 1 .*not a string"),
            ({"texts": ["a", "\ud800", "b", "c"]}, "text 1 .*surrogate"),
            ({"texts": "abcd"}, "4 keys, 4 labels, 1 texts"),
            (
                {"kinds": ["example", "name", "description", 1]},
                "kinds are 'example' or 'description', and 'name', 1 came",
            ),
            ({"kinds": ["example"]}, "1 kinds"),
            ({"names": ["a"]}, "names are keys"),
            ({"names": {"a": [1.0]}}, "names are keys"),
        ],
        ids=lambda part: part if isinstance(part, str) else "+".join(part),  # sets have no order
    )
    def test_what_is_refused(
        self, given: dict[str, Any], says: str, build: Callable[..., MANNForSequenceClassification]
    ) -> None:
        model = build()
        with pytest.raises((InvalidInputError, InvalidTypeError), match=says):
            model.remember(self.KEYS, **{"labels": list("abcd"), **given})
        assert not len(model.memory)

    def test_some_have_a_text(self, build: Callable[..., MANNForSequenceClassification]) -> None:
        model = build()
        model.remember(self.KEYS, list("abcd"), ["one", None, "three", None])
        assert {entry.label: entry.text for entry in model.memory.entries} == {
            "a": "one",
            "b": None,
            "c": "three",
            "d": None,
        }

    @pytest.mark.parametrize("ids", ["a", ["a"], ["1"], [1.0], ""], ids=repr)
    def test_a_label_in_place_of_ids_is_told(
        self, ids: Any, build: Callable[..., MANNForSequenceClassification]
    ) -> None:
        model = build()
        model.remember(self.KEYS, list("abcd"))
        says = "" if ids == [1.0] else r".*forget\(label=\.\.\.\)"
        with pytest.raises(InvalidTypeError, match=f"ids are .*whole numbers that remember.. returned{says}"):
            model.forget(ids)
        for several in (["a", "b"], {"a"}, np.array(["a"])):
            with pytest.raises(InvalidTypeError, match="one label at a time"):
                model.forget(label=several)
        with pytest.raises(NotInMemoryError):
            model.forget(label=pd.NA)
        assert len(model.memory) == 4

    def test_it_forgets_what_the_pipeline_forgets(self, build: Callable[..., MANNForSequenceClassification]) -> None:
        model = build()
        ids = model.remember(self.KEYS, ["a", True, 1, "b"])
        model.forget(label=" a")
        model.forget(label=np.True_)
        model.forget(label=torch.tensor(1))
        model.forget(np.int64(ids[3]))
        assert not len(model.memory)
        times = [
            dt.timedelta(days=2, hours=1),
            np.timedelta64(90, "m"),
            dt.datetime(2020, 1, 31, 10),
            dt.date(2020, 1, 31),
        ]
        model.remember(self.KEYS, times)
        for time in times:
            model.forget(label=time)
        assert not len(model.memory)

    def test_with_several_labels_an_example_goes_with_any_of_them(
        self, build: Callable[..., MANNForSequenceClassification]
    ) -> None:
        model = build(problem_type="multi_label_classification")
        model.remember(self.KEYS, [["a", "b"], ["b"], ["c"], []])
        model.forget(label="b")
        assert [entry.label for entry in model.memory.entries] == [("c",), ()]
