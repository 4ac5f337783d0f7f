import csv
import enum
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from datasets import ClassLabel, Dataset, Features, Value
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertModel
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.pt_utils import KeyDataset

import mann_hf
from mann_hf import FewShotTextClassificationPipeline, MANNForSequenceClassification
from mann_hf.controllers.text_processor import TextProcessor
from mann_hf.errors import (
    EmptyMemoryError,
    EncoderMismatchError,
    InvalidInputError,
    InvalidTypeError,
    MannError,
    MemoryFileError,
    NotInMemoryError,
)
from mann_hf.memory import READINGS
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from mann_hf.persistent.entries import Example
from mann_hf.pipelines import FewShotPipeline
from mann_hf.targets import same_label

pipeline: Any = transformers.pipeline  # whose types know the tasks of transformers alone
TASK = mann_hf.FEW_SHOT_TASK
PAIRS = [(name, problem) for name, reading in READINGS.items() for problem in reading.problem_types]
TEXTS = [
    "where is my card",
    "my new card is not here",
    "please send the money back",
    "i want to cancel and get my money",
    "i can not login with my password",
]
LABELS = ["card_arrival", "card_arrival", "RefundPayment", "RefundPayment", "3"]
ASKED = ["is my card lost", "money", "reset the password please, it is not the one i get"]
Make = Callable[..., Any]


@pytest.fixture
def make(tiny_classifier: Make) -> Make:
    """A classifier that knows nothing: `make(pipeline=dict(...), **config_kwargs)`."""

    def made(pipeline_kwargs: dict | None = None, **kwargs: Any) -> Any:
        return pipeline(TASK, model=tiny_classifier(**kwargs), **(pipeline_kwargs or {}))

    return made


@pytest.fixture
def taught(make: Make) -> Any:
    classifier = make()
    classifier.remember(TEXTS, LABELS)
    return classifier


def targets(problem_type: str) -> list:
    if problem_type == REGRESSION:
        return [1.0, 2.5, -3.0, 0.0, 7.0]
    if problem_type == MULTI_LABEL:
        return [["card", "lost"], ["card"], ["money"], ["money", "card"], ["3"]]
    return LABELS


def memory_bytes(classifier: Any, folder: Path) -> bytes:
    classifier.save_memory(folder)
    return (folder / "memory.safetensors").read_bytes()


def bare(answer: Any) -> Any:
    """An answer without what the stock pipeline does not give, with scores that can be compared."""
    if isinstance(answer, list):
        return [bare(part) for part in answer]
    return {"label": answer["label"], "score": pytest.approx(answer["score"], abs=1e-5)}


class TestMaking:
    def test_the_task_is_registered(self) -> None:
        assert TASK in PIPELINE_REGISTRY.get_supported_tasks()

    def test_an_instance_finds_its_tokenizer(self, make: Make, tiny_tokenizer: Any) -> None:
        classifier: Any = make()
        found: Any = classifier.tokenizer
        assert type(classifier) is FewShotTextClassificationPipeline
        assert found("my card")["input_ids"] == tiny_tokenizer("my card")["input_ids"]

    def test_a_tokenizer_that_is_given_is_used(self, make: Make, tiny_encoder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
        assert make({"tokenizer": tokenizer}).tokenizer is tokenizer
        assert make({"tokenizer": str(tiny_encoder)}).tokenizer is not None

    def test_a_folder_without_a_tokenizer_falls_back_on_that_of_the_encoder(self, taught: Any, tmp_path: Path) -> None:
        taught.model.save_pretrained(tmp_path)
        again = pipeline(TASK, model=str(tmp_path))
        assert bare(again(ASKED)) == bare(taught(ASKED))

    def test_another_kind_of_model_is_refused(self, tiny_encoder: Path) -> None:
        for model in (
            AutoModelForSequenceClassification.from_pretrained(tiny_encoder),
            BertModel.from_pretrained(tiny_encoder),
        ):
            with pytest.raises(InvalidTypeError, match="Bert.*takes (a )?MANNForSequenceClassification"):
                pipeline(TASK, model=model, tokenizer=str(tiny_encoder))

    def test_a_compiled_model_is_refused_with_the_way(self, taught: Any) -> None:
        with pytest.raises(InvalidTypeError, match=r"OptimizedModule.*in place: model\.encoder\.compile\(\)"):
            pipeline(TASK, model=torch.compile(taught.model), tokenizer=taught.tokenizer)

    @pytest.mark.parametrize("error", [RuntimeError("shape '[1, 2]' is invalid"), AssertionError("no"), KeyError("x")])
    def test_an_encoder_that_fails_is_named(
        self, taught: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        taught.save_pretrained(tmp_path)
        again = pipeline(TASK, model=str(tmp_path))

        def fail(*args: Any, **kwargs: Any) -> None:
            raise error

        monkeypatch.setattr(again.model.encoder.encoder, "forward", fail)
        with pytest.raises(InvalidInputError, match="BertModel failed as it encoded the texts") as caught:
            again.model.embed_texts(again.tokenizer, ASKED)
        assert "tokenizer" not in str(caught.value)

    def test_a_model_that_peft_has_wrapped_is_refused_with_the_way(self, taught: Any) -> None:
        peft = pytest.importorskip("peft")
        wrapped = peft.get_peft_model(taught.model, peft.LoraConfig(target_modules=["query"]))
        with pytest.raises(InvalidTypeError, match=r"PeftModel.*add_adapter.*merge_and_unload.*reencode_memory"):
            pipeline(TASK, model=wrapped, tokenizer=taught.tokenizer)
        merged = wrapped.merge_and_unload()
        merged.reencode_memory()
        assert pipeline(TASK, model=merged)(ASKED[0]) == taught(ASKED[0])

    def test_progress_may_be_given_when_it_is_made(self, taught: Any) -> None:
        done: list[int] = []
        classifier = pipeline(TASK, model=taught.model, progress=done.append)
        classifier(ASKED)
        assert sum(done) == len(ASKED)
        classifier(ASKED, progress=False)
        assert sum(done) == len(ASKED)

    @pytest.mark.parametrize("device", ["cpu", -1, torch.device("cpu")])
    def test_on_a_device(self, make: Make, device: Any) -> None:
        classifier = make({"device": device})
        classifier.remember(TEXTS, LABELS)
        assert classifier.device.type == "cpu" and classifier("my card")

    def test_in_another_precision(self, taught: Any, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path)
        half = pipeline(TASK, model=str(tmp_path), dtype=torch.bfloat16)
        assert half.model.encoder.dtype == torch.bfloat16
        assert half.model.memory.state.keys.dtype == torch.float32
        for mine, theirs in zip(half(ASKED, top_k=None), taught(ASKED, top_k=None), strict=True):
            scores = {answer["label"]: answer["score"] for answer in theirs}
            assert all(answer["score"] == pytest.approx(scores[answer["label"]], abs=0.05) for answer in mine)

    def test_it_says_what_it_is(self, taught: Any) -> None:
        assert "FewShotTextClassificationPipeline" in repr(taught)


class TestAsking:
    @pytest.fixture
    def stock(self, taught: Any) -> Make:
        """The stock pipeline of the same model."""
        return lambda **kwargs: pipeline(
            "text-classification", model=taught.model, tokenizer=taught.tokenizer, **kwargs
        )

    INPUTS: dict[str, Callable[[], Any]] = {
        "a text": lambda: ASKED[0],
        "a list": lambda: ASKED,
        "a list of one": lambda: ASKED[:1],
        "a generator": lambda: (text for text in ASKED),
        "a dataset by its key": lambda: KeyDataset(Dataset.from_dict({"text": ASKED}), "text"),  # type: ignore[arg-type]
    }

    @pytest.mark.parametrize("construction", [{}, {"top_k": 1}, {"top_k": 2}, {"top_k": None}], ids=str)
    @pytest.mark.parametrize("call", [{}, {"top_k": 1}, {"top_k": 2}, {"top_k": None}], ids=str)
    def test_the_shape_of_answers_is_that_of_the_stock_pipeline(
        self, taught: Any, stock: Make, construction: dict, call: dict
    ) -> None:
        mine = pipeline(TASK, model=taught.model, tokenizer=taught.tokenizer, **construction)
        theirs = stock(**construction)
        assert mine([], **call) == []  # the stock pipeline fails
        for name, inputs in self.INPUTS.items():
            found, expected = mine(inputs(), **call), theirs(inputs(), **call)
            if not isinstance(inputs(), Iterator):  # of which some versions of transformers make a list
                assert isinstance(found, list) == isinstance(expected, list), name
            assert bare(list(found)) == bare(list(expected)), name

    @pytest.mark.parametrize("number_of_labels", [1, 2, 3])
    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_the_scores_are_those_of_the_stock_pipeline(
        self, make: Make, reading: str, problem_type: str, number_of_labels: int, tmp_path: Path
    ) -> None:
        classifier = make(reading=reading, problem_type=problem_type)
        labels = targets(problem_type)
        if problem_type == SINGLE_LABEL:
            labels = ["card_arrival", "RefundPayment", "3"][:number_of_labels] * 2
        elif problem_type == MULTI_LABEL:
            labels = [["card"], ["card", "money"], ["money", "3"]][:1] if number_of_labels == 1 else labels
        classifier.remember(TEXTS[: len(labels)], labels[: len(TEXTS)])
        classifier.save_pretrained(tmp_path)
        for stock in (
            pipeline("text-classification", model=classifier.model, tokenizer=classifier.tokenizer),
            pipeline("text-classification", model=str(tmp_path)),
        ):
            assert bare(classifier(ASKED)) == bare(stock(ASKED))
            assert bare(classifier(ASKED, top_k=None)) == bare(stock(ASKED, top_k=None))

    def test_one_label_is_certain(self, make: Make) -> None:
        classifier = make()
        classifier.remember(TEXTS[:2], LABELS[:2])
        assert classifier("money")[0]["score"] == 1.0
        assert len(classifier("money", top_k=None)) == 1

    @pytest.mark.parametrize("problem_type", [SINGLE_LABEL, MULTI_LABEL])
    def test_a_threshold_leaves_answers_out_and_changes_no_other(self, make: Make, problem_type: str) -> None:
        def bare(answers: list[Any]) -> list[Any]:
            ids = [[[behind["id"] for behind in each["evidence"]] for each in ranked] for ranked in answers]
            return [[(each["label"], each["score"]) for each in ranked] for ranked in answers] + ids

        classifier = make(problem_type=problem_type)
        labels: list[Any] = [[label] for label in LABELS] if problem_type == MULTI_LABEL else LABELS
        classifier.remember(TEXTS, labels)
        asked = [*ASKED, *TEXTS]
        every = classifier(asked, top_k=None)
        scores = sorted(answer["score"] for ranked in every for answer in ranked)
        for threshold in (0, scores[3], scores[len(scores) // 2], max(ranked[0]["score"] for ranked in every[:2])):
            above = [[answer for answer in ranked if answer["score"] > threshold] for ranked in every]
            assert bare(classifier(asked, top_k=None, threshold=threshold)) == bare(above)
            assert bare(classifier(asked, threshold=threshold)) == bare(above)
            assert bare(classifier(asked, top_k=1, threshold=threshold)) == bare([ranked[:1] for ranked in above])
            assert bare([classifier(asked[0], top_k=2, threshold=threshold)]) == bare([above[0][:2]])
        assert above[0] == [] or above[1] == []

    def test_a_threshold_of_the_pipeline_can_be_undone_in_a_call(self, make: Make) -> None:
        classifier = make()
        classifier.remember(TEXTS, LABELS)
        strict = FewShotTextClassificationPipeline(model=classifier.model, threshold=0.99)
        assert strict(ASKED) != strict(ASKED, threshold=None) == classifier(ASKED, threshold=None) == classifier(ASKED)
        assert strict(ASKED[0], threshold=None) == classifier(ASKED[0])
        ranked = FewShotTextClassificationPipeline(model=classifier.model, top_k=2, threshold=None)
        assert ranked(ASKED, threshold=0) == classifier(ASKED, top_k=2)

    def test_a_threshold_is_not_for_numbers(self, make: Make) -> None:
        classifier = make(problem_type=REGRESSION, num_labels=1)
        classifier.remember(TEXTS[:2], [1, 2])
        with pytest.raises(InvalidInputError, match="threshold is of scores"):
            classifier("my card", threshold=0.5)

    def test_scores_of_single_labels_sum_to_one(self, taught: Any) -> None:
        for answer in taught(ASKED, top_k=None):
            assert sum(part["score"] for part in answer) == pytest.approx(1, abs=1e-5)
            scores = [part["score"] for part in answer]
            assert scores == sorted(scores, reverse=True)
            assert {part["label"] for part in answer} == set(LABELS)

    @pytest.mark.parametrize(
        "inputs",
        [
            lambda: Dataset.from_dict({"text": ASKED})["text"],
            lambda: tuple(ASKED),
            lambda: iter(ASKED),
            lambda: np.array(ASKED),
            lambda: dict.fromkeys(ASKED).keys(),
        ],
        ids=["a column", "a tuple", "an iterator", "an array", "keys"],
    )
    def test_other_collections_of_texts(self, taught: Any, inputs: Callable) -> None:
        assert bare(list(taught(inputs()))) == bare(taught(ASKED))

    def test_a_stream_is_read_as_answers_are_taken(self, taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FewShotPipeline, "chunk", 2)
        read: list[str] = []

        def texts() -> Iterator[str]:
            for number in range(1000):
                read.append(f"text {number}")
                yield read[-1]

        answers = taught(texts())
        assert read == []
        next(answers)
        assert len(read) == 2
        for _ in range(2):
            next(answers)
        assert len(read) == 4

    def test_an_error_names_the_place_in_the_stream(self, taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FewShotPipeline, "chunk", 2)
        for bad in (" ", 3, "a\0", "\ud800"):
            with pytest.raises((InvalidInputError, InvalidTypeError), match=r"^text 5 .counted from 0."):
                list(taught(iter([*ASKED[:1] * 5, bad])))

    def test_long_lists_are_answered_as_short_ones(self, taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = bare(taught(ASKED * 3))
        monkeypatch.setattr(FewShotPipeline, "chunk", 2)
        assert bare(taught(ASKED * 3)) == expected

    @pytest.mark.parametrize("batch_size", [1, 2, 100])
    def test_batches_do_not_matter(self, taught: Any, batch_size: int) -> None:
        expected = bare(taught(ASKED * 3))
        assert bare(taught(ASKED * 3, batch_size=batch_size)) == expected
        again = pipeline(TASK, model=taught.model, batch_size=batch_size)
        assert bare(again(ASKED * 3)) == expected

    def test_arguments_of_the_call_win(self, taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        classifier = pipeline(TASK, model=taught.model, top_k=2, evidence=1, batch_size=2)
        assert [len(part["evidence"]) for part in classifier(ASKED)[0]] == [1, 1]
        assert [len(part["evidence"]) for part in classifier(ASKED, evidence=0, top_k=1)[0]] == [0]
        used: list[Any] = []
        cut = TextProcessor.batches

        def noted(processor: TextProcessor, encodings: Any, batch_size: int | None = None) -> Any:
            used.append(batch_size)
            return cut(processor, encodings, batch_size)

        monkeypatch.setattr(TextProcessor, "batches", noted)
        classifier(ASKED)
        classifier(ASKED, batch_size=3)
        assert used == [2, 3]

    def test_columns_and_arrays_are_lists(self, taught: Any) -> None:
        expected = taught(ASKED)
        for texts in (np.array(ASKED), Dataset.from_dict({"text": ASKED})["text"], dict.fromkeys(ASKED).keys()):
            assert taught(texts) == expected
        taught.remember(np.array(ASKED), ["card", "money", "password"])
        assert {type(entry.text) for entry in taught.model.memory.entries} == {str}

    def test_an_array_without_a_dimension_is_its_value(self, taught: Any) -> None:
        assert taught(np.array(ASKED[0])) == taught(ASKED[0])
        taught.remember(np.array("card gone"), np.array("card"))
        assert "card gone" in [entry.text for entry in taught.model.memory.entries]
        for texts in (np.array(3), torch.tensor(3)):
            for call in (taught, lambda texts: taught.remember(texts, ["card"])):
                with pytest.raises(InvalidTypeError, match="type int"):
                    call(texts)

    def test_tables_are_refused_for_their_columns(self, taught: Any) -> None:
        table = Dataset.from_dict({"text": ASKED}).to_pandas()
        for call in (lambda: taught(table), lambda: taught.remember(table, ASKED)):
            with pytest.raises(InvalidTypeError, match=r"table \(DataFrame\); give its column"):
                call()

    def test_long_texts_by_the_stock_pipeline(self, taught: Any, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path / "saved")
        long = " ".join(ASKED * 40)
        stock = pipeline("text-classification", model=str(tmp_path / "saved"))
        assert stock(long, truncation=True)[0]["score"] == taught(long)[0]["score"]

    def test_workers_and_truncation_are_of_no_use_and_no_harm(self, taught: Any) -> None:
        """Code written for other pipelines passes them."""
        assert bare(taught(ASKED, num_workers=2, truncation=True)) == bare(taught(ASKED))
        assert pipeline(TASK, model=taught.model, num_workers=2)(ASKED)

    def test_as_scikit_learn_would(self, taught: Any) -> None:
        assert bare(taught.predict(ASKED)) == bare(taught.transform(ASKED)) == bare(taught(ASKED))

    def test_progress(self, taught: Any) -> None:
        done: list[int] = []
        taught(ASKED * 4, batch_size=5, progress=done.append)
        assert sum(done) == 12 and len(done) == 3

    def test_a_stock_output_has_fields_for_states(self, taught: Any) -> None:
        output = taught.model(**taught.tokenizer(ASKED[1], return_tensors="pt"), output_hidden_states=True)
        assert output.hidden_states is None and output.attentions is None

    def test_dropout_does_not_touch_answers(self, taught: Any) -> None:
        expected = bare(taught(ASKED))
        taught.model.train()
        assert bare(taught(ASKED)) == expected

    def test_more_than_there_is(self, taught: Any) -> None:
        answers = taught("my card", top_k=50, evidence=50)
        assert len(answers) == 3
        assert all(
            len(answer["evidence"]) == LABELS.count(answer["label"]) + (answer["label"] != "3") for answer in answers
        )

    def test_a_text_that_is_too_long_is_cut_with_one_warning(self, taught: Any, told: Callable) -> None:
        taught(["card " * 200, "card " * 100, "my card"])
        assert len([line for line in told() if "truncated" in line]) == 1

    @pytest.mark.parametrize(
        "inputs, says",
        [
            (12, "int"),
            (None, "NoneType"),
            (1.5, "float"),
            (b"bytes", "bytes"),
            ({"text": "my card"}, "dict"),
            ("", "empty"),
            ("  \n", "blank"),
            (["my card", ""], "text 1.*empty"),
            (["my card", None], "text 1.*None"),
            ([["my card", "money"]], "text 0"),
            ([3], "text 0"),
            ("\ud800", "surrogate"),
        ],
        ids=repr,
    )
    def test_what_is_no_text_is_refused(self, taught: Any, inputs: Any, says: str) -> None:
        with pytest.raises((InvalidInputError, InvalidTypeError), match=says):
            taught(inputs)

    def test_what_is_no_text_in_a_stream_is_refused(self, taught: Any) -> None:
        with pytest.raises(InvalidTypeError, match="None"):
            list(taught(text for text in ["my card", None]))

    @pytest.mark.parametrize(
        "arguments, says",
        [
            ({"top_k": 0}, "top_k is 0.*from 1"),
            ({"top_k": -1}, "top_k"),
            ({"top_k": "all"}, "top_k is 'all'"),
            ({"top_k": 1.5}, "top_k"),
            ({"top_k": True}, "top_k"),
            ({"threshold": 1}, "threshold is 1; give a number from 0 to below 1"),
            ({"threshold": "half"}, "threshold is 'half'"),
            ({"threshold": True}, "threshold is True"),
            ({"evidence": -1}, "evidence is -1.*from 0"),
            ({"evidence": "all"}, "evidence"),
            ({"batch_size": 0}, "batch_size"),
            ({"batch_size": -2}, "batch_size"),
            ({"batch_size": 1.5}, "batch_size"),
            ({"truncation": False}, "truncation=False.*max_seq_length"),
            ({"max_length": 8}, "max_length.*top_k, threshold, evidence, batch_size"),
        ],
        ids=str,
    )
    def test_arguments_that_make_no_sense(self, taught: Any, arguments: dict, says: str) -> None:
        with pytest.raises((InvalidInputError, InvalidTypeError), match=says):
            taught("my card", **arguments)
        with pytest.raises((InvalidInputError, InvalidTypeError), match=says):
            pipeline(TASK, model=taught.model, **arguments)("my card")

    def test_an_empty_memory_says_what_to_do(self, make: Make) -> None:
        classifier = make()
        for inputs in ("my card", ["my card"]):
            with pytest.raises(EmptyMemoryError, match="remember"):
                classifier(inputs)
        classifier.forget(ids=classifier.remember(TEXTS, LABELS))
        with pytest.raises(EmptyMemoryError):
            classifier("my card")


class TestEvidence:
    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    @pytest.mark.parametrize("evidence", [0, 1, None])
    def test_weights_and_rest_sum_to_what_was_predicted(
        self, make: Make, reading: str, problem_type: str, evidence: int | None
    ) -> None:
        classifier = make(reading=reading, problem_type=problem_type)
        classifier.remember(TEXTS, targets(problem_type))
        inputs = classifier.tokenizer(ASKED, return_tensors="pt", padding=True)
        logits = classifier.model(**inputs).logits
        for row, answers in zip(logits, classifier(ASKED, top_k=None, evidence=evidence), strict=True):
            for answer in answers:
                column = classifier.model.config.label2id[answer["label"]]
                logit = row[column].item()
                total = sum(part["weight"] for part in answer["evidence"]) + answer["rest"]
                expected = answer["score"] if reading == "attention" else logit
                assert total == pytest.approx(expected, abs=1e-4 * max(1, abs(logit)))
                weights = [part["weight"] for part in answer["evidence"]]
                assert weights == sorted(weights, reverse=True)
                assert evidence is None or len(weights) <= evidence

    def test_it_names_what_was_taught(self, make: Make) -> None:
        classifier = make()
        ids = classifier.remember(TEXTS, LABELS, descriptions=None)
        answer = classifier(TEXTS[0])[0]
        best = answer["evidence"][0]
        assert best == {"id": ids[0], "text": TEXTS[0], "label": "card_arrival", "weight": best["weight"]}
        assert {part["text"] for part in answer["evidence"]} == {*TEXTS[:2], "card arrival"}

    def test_it_costs_one_product_a_label(self, taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many texts and ranks are asked for."""
        products: list[int] = []
        terms = type(taught.model.reading).terms

        def counted(*args: Any, **kwargs: Any) -> Any:
            products.append(1)
            return terms(*args, **kwargs)

        monkeypatch.setattr(type(taught.model.reading), "terms", counted)
        taught(ASKED * 3, top_k=None)
        assert len(products) == len(set(LABELS))

    def test_five_unless_told_otherwise(self, make: Make) -> None:
        classifier = make()
        classifier.remember([f"card {number}" for number in range(9)], ["card"] * 9)
        assert len(classifier("card")[0]["evidence"]) == 5
        assert len(classifier("card", evidence=None)[0]["evidence"]) == 10

    def test_without_texts_ids_remain(self, make: Make) -> None:
        classifier = make(store_texts=False)
        ids = classifier.remember(TEXTS, LABELS)
        told = classifier(TEXTS[0])[0]["evidence"]
        assert told[0]["id"] == ids[0] and told[0]["text"] is None

    def test_words_of_a_label_are_shown_and_cannot_be_forgotten(self, taught: Any) -> None:
        words = next(part for part in taught("my card")[0]["evidence"] if part["text"] == "card arrival")
        with pytest.raises(NotInMemoryError, match="'card_arrival', which goes with its last example"):
            taught.forget(ids=words["id"])
        assert len(taught.model.memory) == 5


class TestRemembering:
    def test_ids_of_examples_then_of_descriptions(self, make: Make) -> None:
        classifier = make()
        ids = classifier.remember(TEXTS[:2], ["card", "card", "lost"], descriptions=["the card was lost or stolen"])
        kinds = [entry.kind for entry in classifier.model.memory.entries]
        assert kinds == ["example", "example", "description"]
        assert ids == [entry.id for entry in classifier.model.memory.entries]
        classifier.forget(ids=ids[2])
        assert classifier.model.memory.labels == ("card",)

    def test_descriptions_alone(self, make: Make) -> None:
        classifier = make()
        assert len(classifier.remember(labels=["lost", "money"], descriptions=["lost my card", "money back"])) == 2
        assert classifier.model.memory.named_labels == (), "a description speaks for the label, its name need not"
        assert classifier("my card is lost")[0]["label"] == "lost"
        evidence = classifier("my card is lost", evidence=None)[0]["evidence"]
        assert [part["text"] for part in evidence] == ["lost my card"]

    @pytest.mark.parametrize("several", [False, True])
    def test_labels_alone_are_known_by_their_words(self, make: Make, several: bool) -> None:
        classifier = make(problem_type=MULTI_LABEL) if several else make()
        ids = classifier.remember(
            labels=[["lost_card"], ["RefundPayment"]] if several else ["lost_card", "RefundPayment"]
        )
        entries = [(entry.text, entry.kind) for entry in classifier.model.memory.entries]
        assert entries == [("lost card", "description"), ("refund payment", "description")]
        names = classifier.model.name_keys(["lost_card", "RefundPayment"], classifier.tokenizer)
        torch.testing.assert_close(classifier.model.memory.state.keys[0], torch.stack([*names.values()]))
        assert classifier("my card is lost")[0]["label"] == "lost_card"
        assert classifier.remember(labels=[["lost_card"]] if several else "lost_card") == ids[:1]
        classifier.forget(ids=ids)
        assert not len(classifier.model.memory)

    @pytest.mark.parametrize("several", [False, True])
    def test_the_words_of_a_label_count_once_whichever_came_first(self, make: Make, several: bool) -> None:
        label: Any = ["lost_card"] if several else "lost_card"
        answers, options = [], {"problem_type": MULTI_LABEL} if several else {}
        for words_first in (True, False):
            classifier = make(**options)
            for words in (words_first, not words_first):
                classifier.remember(*(() if words else (["where is it?"],)), labels=[label])
            classifier.remember(TEXTS[:1], [["other"] if several else "other"])
            state = classifier.model.memory.reading_state
            assert int(state.mask.sum()) == 4, "two examples, and the words of two labels"
            answer = classifier("where is my card?", top_k=None, evidence=None)
            answers.append({part["label"]: part["score"] for part in answer})
        assert answers[0] == pytest.approx(answers[1], abs=1e-5)

    def test_labels_alone_with_the_words_of_labels_off(self, make: Make) -> None:
        classifier = make(label_names=False)
        classifier.remember(labels=["lost_card"])
        assert classifier("anything")[0]["label"] == "lost_card"

    @pytest.mark.parametrize(
        ("problem_type", "labels", "says"),
        [
            (None, ["card", "7"], "the label '7' holds no word"),
            (None, ["card", "money", "card"], "each label once"),
            (MULTI_LABEL, [["card", "money"]], "each label once and by itself"),
            (MULTI_LABEL, [[]], "description came without a label"),
            (None, [], "labels are empty"),
            (REGRESSION, [1.0], "numbers have no words: give a text for each"),
        ],
    )
    def test_labels_that_cannot_come_alone(self, make: Make, problem_type: Any, labels: Any, says: str) -> None:
        """As where a column of labels came without its texts."""
        classifier = make(problem_type=problem_type)
        with pytest.raises(InvalidInputError, match=says):
            classifier.remember(labels=labels)
        assert not len(classifier.model.memory)

    @pytest.mark.parametrize("single", [True, False])
    def test_one_text_or_a_list(self, make: Make, single: bool) -> None:
        classifier = make()
        ids = classifier.remember("my card", "card") if single else classifier.remember(["my card"], ["card"])
        assert isinstance(ids, list) and len(ids) == 1

    @pytest.mark.parametrize("wrap", [tuple, np.array, lambda column: Dataset.from_dict({"x": column})["x"]])
    def test_other_collections(self, make: Make, wrap: Callable, taught: Any, tmp_path: Path) -> None:
        classifier = make()
        classifier.remember(wrap(TEXTS), wrap(LABELS))
        assert memory_bytes(classifier, tmp_path) == memory_bytes(taught, tmp_path)
        assert {type(label) for label in classifier.model.memory.labels} == {str}

    def test_labels_of_an_enumeration(self, make: Make) -> None:
        class Intent(str, enum.Enum):
            CARD = "card_arrival"

        classifier = make()
        classifier.remember(TEXTS[:1], [Intent.CARD])
        assert classifier("my card")[0]["label"] == "card_arrival"

    def test_the_same_example_has_the_same_id_in_every_memory(self, taught: Any, make: Make) -> None:
        classifier = make(reading="prototype", store_texts=False)
        assert (
            classifier.remember(TEXTS[::-1], LABELS[::-1]) == [entry.id for entry in taught.model.memory.entries][::-1]
        )

    def test_an_example_that_comes_again_has_its_id_again(self, make: Make) -> None:
        classifier, once = make(), make()
        ids = classifier.remember(["my card", "my money"] * 2, ["card", "money"] * 2)
        assert ids == [*once.remember(["my card", "my money"], ["card", "money"])] * 2
        classifier.forget(ids=ids[0])
        once.forget(ids=ids[0])
        classifier.remember("my card", "card")
        once.remember("my card", "card")
        once.remember("my money", "money")
        assert classifier("my card") == once("my card")

    def test_words_of_labels(self, make: Make) -> None:
        classifier = make()
        ids = classifier.remember(TEXTS, LABELS)
        words = {entry.text for entry in classifier.model.memory.all_entries if entry.kind == "name"}
        assert words == {"card arrival", "refund payment"}
        classifier.forget(ids=ids[0])
        assert set(classifier.model.memory.named_labels) == {"card_arrival", "RefundPayment"}
        classifier.forget(ids=ids[1])
        assert classifier.model.memory.named_labels == ("RefundPayment",)
        classifier.remember(labels="card_arrival", descriptions="when the card comes")
        assert classifier.model.memory.named_labels == ("RefundPayment",)
        classifier.remember("my card", "card_arrival")
        assert set(classifier.model.memory.named_labels) == {"card_arrival", "RefundPayment"}

    def test_without_words_of_labels(self, make: Make) -> None:
        classifier = make(label_names=False)
        classifier.remember(TEXTS, LABELS)
        assert classifier.model.memory.all_entries == classifier.model.memory.entries
        evidence = [part for answer in classifier("my card", top_k=None) for part in answer["evidence"]]
        assert {part["text"] for part in evidence} <= set(TEXTS)

    def test_progress(self, make: Make) -> None:
        done: list[int] = []
        make().remember(TEXTS, LABELS, batch_size=2, progress=done.append)
        assert done == [2, 2, 1]

    def test_order_and_batches_do_not_matter(self, make: Make) -> None:
        once, piecewise = make(), make()
        once.remember(TEXTS, LABELS)
        for text, label in list(zip(TEXTS, LABELS, strict=True))[::-1]:
            piecewise.remember(text, label)
            piecewise("my card")
        for mine, theirs in zip(once(ASKED, top_k=None), piecewise(ASKED, top_k=None), strict=True):
            scores = {answer["label"]: answer["score"] for answer in theirs}
            assert all(answer["score"] == pytest.approx(scores[answer["label"]], abs=1e-5) for answer in mine)

    BAD: dict[str, Callable[[Any], Any]] = {
        "unequal lengths": lambda c: c.remember(["one text"], ["a", "b"]),
        "no labels": lambda c: c.remember(["one text"]),
        "labels alone": lambda c: c.remember(labels=["a"]),
        "nothing": lambda c: c.remember(),
        "nothing at length": lambda c: c.remember([], []),
        "an empty text": lambda c: c.remember([""], ["a"]),
        "a blank text": lambda c: c.remember(["good", "  "], ["a", "b"]),
        "no text": lambda c: c.remember([None], ["a"]),
        "a number as text": lambda c: c.remember([7], ["a"]),
        "a number as texts": lambda c: c.remember(7, ["a"]),
        "a dict as texts": lambda c: c.remember({"text": "a"}, ["a"]),
        "bytes as text": lambda c: c.remember(b"text", ["a"]),
        "a generator as texts": lambda c: c.remember((text for text in TEXTS), LABELS),
        "half a surrogate pair as text": lambda c: c.remember(["\ud800"], ["a"]),
        "no label": lambda c: c.remember(["text"], [None]),
        "an empty label": lambda c: c.remember(["text"], [""]),
        "a blank label": lambda c: c.remember(["text"], [" "]),
        "a fraction as label": lambda c: c.remember(["text"], [1.5]),
        "fractions as labels": lambda c: c.remember(["text", "more"], np.array([0.5, 1])),
        "a list as text as label": lambda c: c.remember(["text"], ["['card', 'refund']"]),
        "rows of zeros and ones as labels": lambda c: c.remember(["text", "more"], np.eye(2)),
        "not a number as label": lambda c: c.remember(["text", "more"], [1.0, float("nan")]),
        "a label that cannot be listed": lambda c: c.remember(["text"], object()),
        "a dict as labels": lambda c: c.remember(["text"], {"a": 1}),
        "bytes as labels": lambda c: c.remember(["text"], b"a"),
        "half a surrogate pair as label": lambda c: c.remember(["text"], ["\ud800"]),
        "a list as label": lambda c: c.remember(["text"], [["a", {}]]),
        "several labels": lambda c: c.remember(["text"], [["a", "b"]]),
        "no description": lambda c: c.remember(labels=["a"], descriptions=[]),
        "an empty description": lambda c: c.remember(labels=["a"], descriptions=[""]),
        "a description without label": lambda c: c.remember(["text"], ["a"], descriptions=["what a is"]),
        "batches of none": lambda c: c.remember(["text"], ["a"], batch_size=0),
        "an unknown label to forget": lambda c: c.forget(label="never seen"),
        "an unknown id to forget": lambda c: c.forget(ids=[987654]),
        "a known and an unknown id": lambda c: c.forget(ids=[c.model.memory.entries[0].id, 987654]),
        "nothing to forget": lambda c: c.forget(),
        "a text as id": lambda c: c.forget(ids="all"),
        "texts as ids": lambda c: c.forget(ids=["all"]),
        "half an id": lambda c: c.forget(ids=[c.model.memory.entries[0].id + 0.5]),
        "no id": lambda c: c.forget(ids=[None]),
        "a number as a label": lambda c: c.forget(label=5),
        "labels to forget": lambda c: c.forget(label=["card_arrival", "3"]),
    }

    @pytest.mark.parametrize("call", BAD.values(), ids=BAD)
    def test_bad_input_is_refused_in_words_and_changes_nothing(
        self, taught: Any, call: Callable, tmp_path: Path
    ) -> None:
        before, config = memory_bytes(taught, tmp_path), taught.model.config.to_dict()
        with pytest.raises(MannError) as told:
            call(taught)
        assert isinstance(told.value, (ValueError, TypeError, KeyError))
        assert len(str(told.value).split()) > 4
        assert memory_bytes(taught, tmp_path) == before
        assert taught.model.config.to_dict() == config

    @pytest.mark.parametrize(
        ("labels", "known"),
        [
            ([0, 1], ["0", "1"]),
            (np.array([1.0, 2.0]), ["1", "2"]),
            (torch.tensor([True, False]), ["true", "false"]),
            (["card ", " card"], ["card"]),
        ],
        ids=str,
    )
    def test_labels_have_one_spelling(self, make: Make, labels: Any, known: list[str]) -> None:
        classifier = make()
        classifier.remember(["a card", "some money"], labels)
        assert list(classifier.model.memory.labels) == known

    def test_numbers_of_a_data_set_become_names(self, make: Make) -> None:
        features = Features({"text": Value("string"), "label": ClassLabel(names=["card", "money"])})
        rows = Dataset.from_dict({"text": ["a card", "some money"], "label": [0, 1]}, features=features)
        classifier = make()
        classifier.remember(rows["text"], rows["label"])
        assert list(classifier.model.memory.labels) == ["card", "money"]
        with pytest.raises(InvalidInputError, match="label 1 .*no label"):
            classifier.remember(
                ["a card", "money"],
                Dataset.from_dict({"label": [0, -1]}, Features({"label": features["label"]}))["label"],
            )

    def test_a_cut_column_of_classes_is_told_where_it_meets_their_names(
        self, make: Make, told: Callable[[], list[str]]
    ) -> None:
        features = Features({"text": Value("string"), "label": ClassLabel(names=["card", "money"])})
        rows = Dataset.from_dict({"text": ["a card", "some money"], "label": [0, 1]}, features=features)
        classifier = make()
        classifier.remember(rows["text"][:2], rows["label"][:2])
        assert told() == []
        for part in (rows, rows.select(range(1))):
            classifier.remember(part["text"], part["label"])
        (warning,) = told()
        assert "'card'" in warning and "'0'" in warning and "ds['label'][:2]" in warning
        assert classifier.model.memory.labels == ("0", "1", "card", "money")

    def test_a_label_that_the_memory_has_in_another_spelling_keeps_it(self, make: Make) -> None:
        """As a memory may that was saved by a version which kept labels as they came."""
        classifier = make()
        keys = classifier.model.embed_texts(classifier.tokenizer, ["a card", "money"])
        before = [Example("card ", "a card"), Example("True", "money")]
        classifier.model.update_memory(lambda memory: memory.remember(keys, before))
        classifier.remember(["my card", "my money", "new"], ["card", True, "new"])
        assert list(classifier.model.memory.labels) == ["card ", "True", "new"]
        classifier.forget(label="card")
        classifier.forget(label=True)
        assert list(classifier.model.memory.labels) == ["new"]

    def test_messages_say_what_came_and_what_helps(self, taught: Any) -> None:
        for call, says in {
            lambda: taught.remember(["one text"], ["a", "b"]): "2 labels came for 1 text;",
            lambda: taught.remember(["good", "  "], ["a", "b"]): "texts: text 1.*blank",
            lambda: taught.remember(labels=["a"], descriptions=[" "]): "descriptions: text 0.*blank",
            lambda: taught.remember(
                ["text"], [1.5]
            ): "label 0 .counted from 0.: 1.5 is neither a name nor a whole number",
            lambda: taught.remember(["a", "b"], ["c", None]): "label 1 .counted from 0.: no label; leave out what has",
            lambda: taught.remember(["text"], [["a", "b"]]): "multi_label_classification",
            lambda: taught.forget(label="card"): "'card'.*'card_arrival', 'RefundPayment', '3'",
            lambda: taught.forget(ids=[5, 6]): "5, 6.*evidence",
        }.items():
            with pytest.raises(MannError, match=says):
                call()

    def test_words_are_not_lost_when_the_label_is_forgotten_meanwhile(
        self, taught: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between reading the texts and writing them another thread may forget the label and its words."""
        remember = taught.model.remember_checked

        def late(*args: Any, **kwargs: Any) -> Any:
            taught.forget(label="card_arrival")
            return remember(*args, **kwargs)

        monkeypatch.setattr(taught.model, "remember_checked", late)
        taught.remember("one more card", "card_arrival")
        assert "card_arrival" in taught.model.memory.named_labels

    def test_labels_are_checked_as_they_came_and_not_again_as_they_are_kept(self, make: Make) -> None:
        classifier = make(problem_type=MULTI_LABEL)
        ids = classifier.remember(["my card", "my money"], [{"0", "1"}, {"1", "0"}])
        assert [entry.label for entry in classifier.model.memory.entries] == [("0", "1")] * len(ids)

    def test_known_labels_are_not_spelled_again(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        classifier = make()
        classifier.remember([f"text {n}" for n in range(50)], [f"label {n}" for n in range(50)])
        spelled = []

        def counted(text: str) -> str:
            spelled.append(text)
            return same_label(text)

        monkeypatch.setattr("mann_hf.targets.labels.same_label", counted)
        classifier.remember("one more", "label 7")
        assert 0 < len(spelled) < 10

    def test_the_argument_of_texts_has_two_names(self, make: Make) -> None:
        classifier = make()
        ids = classifier.remember(texts=["my card"], labels=["card"])
        assert classifier.remember(inputs=["my card"], labels=["card"]) == ids
        with pytest.raises(InvalidTypeError, match="no argument 'text': did you mean texts"):
            classifier.remember(text=["my card"], labels=["card"])


class TestForgetting:
    def test_it_is_as_if_it_had_never_been(self, make: Make, tmp_path: Path) -> None:
        plain, other = make(), make()
        other.forget(ids=other.remember("gone before", "RefundPayment"))
        for text, label in zip(TEXTS, LABELS, strict=True):
            plain.remember(text, label)
            other.remember(text, label)
            other.forget(ids=other.remember(f"{text} again", "gone_label"))
            other("my card")
        other.remember(labels=["gone"], descriptions=["a description"])
        other.forget(label="gone")
        assert memory_bytes(plain, tmp_path) == memory_bytes(other, tmp_path)
        assert (tmp_path / "memory.json").read_text().count("gone") == 0
        for mine, theirs in zip(plain(ASKED, top_k=None), other(ASKED, top_k=None), strict=True):
            for one, two in zip(mine, theirs, strict=True):
                assert one["label"] == two["label"] and one["score"] == pytest.approx(two["score"], abs=1e-6)

    def test_by_one_id_and_by_many(self, make: Make) -> None:
        classifier = make()
        ids = classifier.remember(TEXTS, LABELS)
        classifier.forget(ids=ids[0])
        classifier.forget(ids=(ids[1], np.int64(ids[2])))
        classifier.forget(ids=np.array(ids[3:4]))
        assert [entry.id for entry in classifier.model.memory.entries] == ids[4:]

    def test_a_forgotten_label_is_never_answered(self, taught: Any) -> None:
        taught.forget(label="card_arrival")
        assert "card_arrival" not in json.dumps(taught(ASKED, top_k=None, evidence=None))
        assert taught.model.config.id2label == {0: "RefundPayment", 1: "3"}


class TestOtherProblems:
    def test_evidence_of_several_labels_has_them_all_alike(self, make: Make) -> None:
        classifier = make(problem_type=MULTI_LABEL)
        classifier.remember(["my card", "my money"], [["card", "urgent"], ["money"]])
        parts = [part for answer in classifier("my card", top_k=None) for part in answer["evidence"]]
        assert {part["label"] for part in parts} == {("card", "urgent"), ("money",), ("card",), ("urgent",)}

    def test_several_labels(self, make: Make, tmp_path: Path) -> None:
        classifier = make(problem_type=MULTI_LABEL)
        classifier.remember(TEXTS[:4], [["card", "lost"], ("card",), {"money"}, ["money", "card", "money"]])
        assert [entry.label for entry in classifier.model.memory.entries][3] == ("money", "card")
        assert set(classifier.model.memory.named_labels) == {"card", "lost", "money"}
        answers = classifier(TEXTS[3], top_k=None, evidence=None)
        assert {answer["label"] for answer in answers} == {"card", "lost", "money"}
        assert all(0 <= answer["score"] <= 1 for answer in answers)
        money = next(answer for answer in answers if answer["label"] == "money")
        assert {part["text"] for part in money["evidence"]} == {TEXTS[2], TEXTS[3], "money"}
        classifier.save_pretrained(tmp_path)
        again = pipeline(TASK, model=str(tmp_path))
        assert bare(again(ASKED, top_k=None)) == bare(classifier(ASKED, top_k=None))
        classifier.forget(label="card")
        assert classifier.model.memory.labels == ("money",)

    def test_descriptions_of_several_labels(self, make: Make) -> None:
        classifier = make(problem_type=MULTI_LABEL)
        classifier.remember(labels=[["card"], ["money"]], descriptions=["about a card", "about money"])
        assert classifier("my card", top_k=1)[0]["label"] == "card"

    @pytest.mark.parametrize(
        "labels",
        [["card"], [["card", 0.5]], [["card", " "]], [None], "card", [{"card": 1}], [[["card"]]]],
        ids=str,
    )
    def test_several_labels_in_another_form(self, make: Make, labels: Any, tmp_path: Path) -> None:
        classifier = make(problem_type=MULTI_LABEL)
        with pytest.raises((InvalidInputError, InvalidTypeError), match="label 0"):
            classifier.remember(["text"], labels)
        assert len(classifier.model.memory) == 0

    @pytest.mark.parametrize(
        "numbers",
        [
            [1.0, 2, -3.5],
            [[1.0], [2.0], (-3.5,)],
            np.array([1.0, 2.0, -3.5], dtype=np.float32),
            np.array([[1.0], [2.0], [-3.5]]),
            [np.float32(1), np.int64(2), np.float64(-3.5)],
            torch.tensor([1.0, 2.0, -3.5]),
        ],
        ids=["numbers", "lists", "an array", "rows", "scalars", "a tensor"],
    )
    def test_numbers(self, make: Make, numbers: Any, tmp_path: Path) -> None:
        classifier = make(problem_type=REGRESSION)
        classifier.remember(TEXTS[:3], numbers)
        assert classifier.model.memory.state.values[0, :, 0].tolist() == [1.0, 2.0, -3.5]
        answer = classifier(TEXTS[2])[0]
        assert answer["label"] == "LABEL_0" and -3.5 <= answer["score"] < 1
        assert answer["evidence"][0]["label"] in [1.0, 2.0, -3.5]
        classifier.save_pretrained(tmp_path)
        assert bare(pipeline(TASK, model=str(tmp_path))(ASKED)) == bare(classifier(ASKED))

    def test_several_numbers(self, make: Make) -> None:
        classifier = make(problem_type=REGRESSION, num_labels=2, id2label={0: "stars", 1: "length"})
        classifier.remember(TEXTS[:2], [(1.0, 20.0), (5.0, 10.0)])
        answers = {answer["label"]: answer["score"] for answer in classifier(TEXTS[1], top_k=None)}
        assert answers["stars"] > 3 and 10 <= answers["length"] < 15

    @pytest.mark.parametrize(
        "labels", [["card"], [None], [float("nan")], [float("inf")], [True], [[1.0, 2.0]], [[]], [[["1"]]], [10**400]],
        ids=lambda labels: str(labels)[:20],
    )  # fmt: skip
    def test_what_is_no_number(self, make: Make, labels: list) -> None:
        classifier = make(problem_type=REGRESSION)
        with pytest.raises((InvalidInputError, InvalidTypeError), match="label|number"):
            classifier.remember(["text"], labels)
        assert len(classifier.model.memory) == 0

    def test_evidence_has_numbers_as_they_were_taught(self, make: Make) -> None:
        one, two = make(problem_type=REGRESSION, num_labels=1), make(problem_type=REGRESSION, num_labels=2)
        for classifier, numbers in (one, [1.5, 3.0]), (two, [(1.5, 0.0), (3.0, 1.0)]):
            classifier.remember(["a cold day", "a warm day"], numbers)
            (answer,) = classifier("a day")
            assert {part["text"]: part["label"] for part in answer["evidence"]} == dict(
                zip(["a cold day", "a warm day"], numbers, strict=True)
            )

    def test_numbers_have_no_descriptions(self, make: Make) -> None:
        with pytest.raises(InvalidInputError, match="regression has none"):
            make(problem_type=REGRESSION).remember(labels=[1.0], descriptions=["one"])


class TestSaving:
    def test_everything_comes_back(self, taught: Any, tmp_path: Path, told: Callable) -> None:
        taught.save_pretrained(tmp_path)
        again = pipeline(TASK, model=str(tmp_path))
        assert again(ASKED, top_k=None) == taught(ASKED, top_k=None)
        assert again.remember("one more", "3") == taught.remember("one more", "3")
        assert told() == []

    def test_by_the_stock_pipeline_without_a_warning(self, taught: Any, tmp_path: Path, told: Callable) -> None:
        taught.save_pretrained(tmp_path)
        stock = pipeline("text-classification", model=str(tmp_path))
        assert bare(taught(ASKED)) == bare(stock(ASKED))
        assert told() == []

    def test_nothing_that_could_run_is_saved(self, taught: Any, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path)
        names = {path.name for path in tmp_path.rglob("*")}
        assert names == {
            "README.md",
            "config.json",
            "model.safetensors",
            "memory.safetensors",
            "memory.json",
            "tokenizer.json",
            "tokenizer_config.json",
        }
        config = json.loads((tmp_path / "config.json").read_text())
        assert not config.keys() & {"custom_pipelines", "auto_map"}
        assert not hasattr(taught.model.config, "custom_pipelines")

    def test_a_file_in_the_way(self, taught: Any, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(NotADirectoryError, match="file"):
            taught.save_pretrained(tmp_path / "file")
        assert (tmp_path / "file").read_text() == "mine"

    def test_texts_that_are_not_stored_are_in_no_file(self, make: Make, tmp_path: Path) -> None:
        classifier = make(store_texts=False)
        classifier.remember(["my secret number is 42"], ["card"])
        classifier.save_pretrained(tmp_path)
        assert not any(b"secret number" in path.read_bytes() for path in tmp_path.iterdir())
        assert pipeline(TASK, model=str(tmp_path))("my card")[0]["evidence"][0]["text"] is None

    def test_pushing_names_the_folder_that_was_asked_for(
        self, taught: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pushed: list[tuple] = []
        monkeypatch.setattr(
            FewShotTextClassificationPipeline,
            "push_to_hub",
            lambda self, *args, **kwargs: pushed.append((args, kwargs)),
        )
        taught.save_pretrained(tmp_path / "my-intents", push_to_hub=True, private=True)
        taught.save_pretrained(tmp_path / "my-intents", push_to_hub=True, repo_id="me/intents")
        assert pushed == [((), {"repo_id": "my-intents", "private": True}), ((), {"repo_id": "me/intents"})]
        assert (tmp_path / "my-intents" / "tokenizer.json").exists()

    def test_a_memory_alone(self, taught: Any, make: Make, tmp_path: Path) -> None:
        taught.save_memory(tmp_path)
        other = make()
        other.load_memory(tmp_path)
        assert other(ASKED, top_k=None) == taught(ASKED, top_k=None)

    def test_a_memory_for_another_encoder(self, taught: Any, tmp_path: Path, tiny_encoder: Path) -> None:
        config = BertModel.from_pretrained(tiny_encoder).config
        config.hidden_size = 16
        BertModel(config).save_pretrained(tmp_path / "other")
        taught.tokenizer.save_pretrained(tmp_path / "other")
        taught.save_memory(tmp_path / "memory")
        other = pipeline(TASK, model=MANNForSequenceClassification.from_encoder_pretrained(tmp_path / "other"))
        with pytest.raises(EncoderMismatchError, match="reencode=True"):
            other.load_memory(tmp_path / "memory")
        other.load_memory(tmp_path / "memory", reencode=True)
        assert other.model.memory.entries == taught.model.memory.entries
        assert other(TEXTS[0], evidence=1)[0]["evidence"][0]["text"]

    def test_a_damaged_memory(self, taught: Any, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path)
        (tmp_path / "memory.safetensors").write_bytes(b"nothing")
        with pytest.raises(MemoryFileError, match="memory.safetensors' is damaged: it has"):
            pipeline(TASK, model=str(tmp_path))
        expected = bare(taught(ASKED))
        with pytest.raises(MemoryFileError, match="memory.safetensors"):
            taught.load_memory(tmp_path)
        assert bare(taught(ASKED)) == expected


class TestCapacity:
    def test_what_answers_rest_on_stays(self, make: Make) -> None:
        classifier = make(capacity=3)
        classifier.remember(TEXTS[:3], LABELS[:3])
        for _ in range(3):
            evidence = classifier(TEXTS[0])[0]["evidence"]
        strongest = next(part["text"] for part in evidence if part["id"] in classifier.model.memory.slot_by_id)
        classifier.remember(TEXTS[3:], LABELS[3:])
        assert {entry.text for entry in classifier.model.memory.entries} == {strongest, *TEXTS[3:]}

    def test_it_survives_saving(self, make: Make, tmp_path: Path) -> None:
        classifier = make(capacity=3, eviction="oldest")
        classifier.remember(TEXTS, LABELS)
        classifier.save_pretrained(tmp_path)
        again = pipeline(TASK, model=str(tmp_path))
        again.remember("one more", "3")
        assert len(again.model.memory) == 3


class TestThreads:
    def test_asking_while_another_teaches_and_forgets(self, make: Make) -> None:
        classifier = make()
        classifier.remember(TEXTS[:4], LABELS[:4])
        stop, wrong = threading.Event(), []
        either = (
            {"card_arrival", "RefundPayment"},
            {"card_arrival", "RefundPayment", "new"},
        )

        def ask() -> None:
            while not stop.is_set():
                try:
                    for answers in classifier(ASKED[:2], top_k=None):
                        if {answer["label"] for answer in answers} not in either:
                            wrong.append(answers)
                        if abs(sum(answer["score"] for answer in answers) - 1) > 1e-4:
                            wrong.append(answers)
                except Exception as error:
                    wrong.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(20):
            classifier.forget(ids=classifier.remember(f"text {number}", "new"))
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong, wrong[:2]

    def test_two_teachers_lose_nothing(self, make: Make) -> None:
        classifier = make()
        ids: list[int] = []

        def teach(name: str) -> None:
            for number in range(15):
                ids.extend(classifier.remember(f"{name} {number}", name))

        threads = [threading.Thread(target=teach, args=(name,)) for name in ("card", "money")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(ids) == sorted(entry.id for entry in classifier.model.memory.entries)
        assert len(ids) == 30 and set(classifier.model.memory.named_labels) == {"card", "money"}

    def test_a_question_is_answered_from_one_memory(self, taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever is forgotten between the read and the words of the answer."""
        postprocess = FewShotTextClassificationPipeline.postprocess

        def late(self: Any, *args: Any, **kwargs: Any) -> Any:
            if taught.model.memory.labels:
                taught.forget(ids=[entry.id for entry in taught.model.memory.entries])
            return postprocess(self, *args, **kwargs)

        monkeypatch.setattr(FewShotTextClassificationPipeline, "postprocess", late)
        answer = taught(TEXTS[0])[0]
        assert answer["label"] == "card_arrival" and answer["evidence"][0]["text"] == TEXTS[0]


def test_taught_from_a_table(make: Make, tmp_path: Path) -> None:
    """The longest way round: a table on the disk, a dataset, a memory, a file, and back."""
    with open(tmp_path / "shots.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *zip(TEXTS, LABELS, strict=True)])
    table = Dataset.from_csv(str(tmp_path / "shots.csv"), cache_dir=str(tmp_path / "cache"))
    classifier = make()
    classifier.remember(table["text"], table["label"])
    classifier.save_pretrained(tmp_path / "saved")
    answers = pipeline(TASK, model=str(tmp_path / "saved"))(table["text"])
    assert [answer["label"] for answer in answers] == LABELS


def test_a_pipeline_of_the_same_weights_has_a_memory_of_its_own(taught: Any) -> None:
    own = taught.with_own_memory()
    assert bare(own(ASKED)) == bare(taught(ASKED)) and own.tokenizer is taught.tokenizer
    own.remember(["hello"], ["greeting"])
    assert own("hello")[0]["label"] == "greeting"
    assert taught.model.memory.labels == ("card_arrival", "RefundPayment", "3")
    assert "greeting" not in {answer["label"] for answer in taught("hello", top_k=None)}


class TestTextsOfNoLabel:
    """Examples of a memory of several labels that have none of them."""

    TAUGHT: tuple[tuple[str, Any], ...] = (
        ("where is my card", ["card"]),
        ("send my money back", ["refund"]),
        ("my card is lost and i want my money", ["card", "refund"]),
        ("where is the card i lost", {"card"}),
        ("what is the time", []),
        ("how do i cancel", set()),
        ("what is there to do", ()),
        ("is it the new month", np.array([])),
    )

    @pytest.fixture(params=[name for name, problem in PAIRS if problem == MULTI_LABEL])
    def classifier(self, request: pytest.FixtureRequest, make: Make) -> Any:
        classifier = make(problem_type=MULTI_LABEL, reading=request.param)
        classifier.remember(*zip(*self.TAUGHT, strict=True))
        return classifier

    def test_they_are_answered_with_nothing_and_count_against_every_label(self, classifier: Any) -> None:
        without = [text for text, labels in self.TAUGHT if not len(labels)]
        for ranked in classifier(without, top_k=None):
            assert len(ranked) == 2 and all(answer["score"] < 0.5 for answer in ranked)
            assert {part["label"] for answer in ranked for part in answer["evidence"]} == {
                ("card",),
                ("refund",),
                ("card", "refund"),
            }
        before = classifier(without[0], top_k=None)[0]["score"]
        ids = [entry.id for entry in classifier.model.memory.entries if not entry.label]
        classifier.forget(ids)
        assert classifier(without[0], top_k=None)[0]["score"] > before
        assert len(classifier.model.memory) == 4

    def test_they_are_saved_and_forgotten_as_others(self, classifier: Any, tmp_path: Path) -> None:
        asked = ["where is my money", "what is new"]
        classifier.save_pretrained(tmp_path)
        told = json.loads((tmp_path / "memory.json").read_text())
        assert [entry["label"] for entry in told["entries"]].count([]) == 4
        assert "4 texts have no label" in (tmp_path / "README.md").read_text()
        again = pipeline(TASK, model=str(tmp_path))
        assert again(asked, top_k=None) == classifier(asked, top_k=None)
        (id_,) = again.remember(["some more"], [[]])
        again.forget(id_)
        assert memory_bytes(again, tmp_path / "again") == memory_bytes(classifier, tmp_path / "before")

    def test_a_memory_of_nothing_else_has_no_answer(self, make: Make, tmp_path: Path) -> None:
        classifier = make(problem_type=MULTI_LABEL)
        ids = classifier.remember(["what is the time", "how do i cancel"], [[], []])
        with pytest.raises(EmptyMemoryError, match="2 examples of no label"):
            classifier("what is the time")
        classifier.save_memory(tmp_path)
        classifier.load_memory(tmp_path)
        classifier.remember(["where is my card"], [["card"]])
        assert classifier("where is my card")[0]["score"] > 0.5 > classifier("what is the time")[0]["score"]
        classifier.forget(label="card")
        assert [*classifier.model.memory.slot_by_id] == ids and classifier.model.memory.labels == ()

    def test_they_are_scored_as_others(self, classifier: Any) -> None:
        inputs = classifier.tokenizer([text for text, _ in self.TAUGHT], padding=True, return_tensors="pt")
        labels = torch.tensor([["card" in has, "refund" in has] for _, has in self.TAUGHT]).float()
        loss = classifier.model(**inputs, labels=labels).loss
        assert loss < classifier.model(**inputs, labels=1 - labels).loss

    def test_what_is_answered_with_nothing_uses_them(self, make: Make) -> None:
        classifier = make(problem_type=MULTI_LABEL, capacity=4)
        classifier.remember(*zip(*self.TAUGHT[3:7], strict=True))
        for _ in range(3):
            classifier("how do i cancel")
        classifier.remember(["more"] * 1, [["more"]])
        classifier.remember(["and more"], [["more"]])
        assert "how do i cancel" in [entry.text for entry in classifier.model.memory.entries]

    def test_where_a_text_has_one_label_and_in_descriptions_none_is_refused(self, make: Make) -> None:
        none: list[Any] = [[], (), set(), None]
        for label in none:
            with pytest.raises((InvalidInputError, InvalidTypeError), match="label 0"):
                make().remember(["a text"], [label])
        several = make(problem_type=MULTI_LABEL)
        with pytest.raises(InvalidInputError, match="description"):
            several.remember(labels=[[]], descriptions=["what it means"])
        with pytest.raises(InvalidTypeError, match="label 0 .* is a list"):
            make().model.remember(torch.ones(1, 32), [()])
        with pytest.raises(InvalidInputError, match="description came without a label"):
            several.model.remember(torch.ones(1, 32), [()], kinds=["description"])
        assert not len(several.model.memory)


class TestNumbers:
    """Whole numbers of numpy and torch are as good as Python's."""

    @pytest.mark.parametrize("number", [2, np.int64(2), np.uint8(2), torch.tensor(2)], ids=repr)
    def test_in_a_call(self, taught: Any, number: Any) -> None:
        assert taught(ASKED, top_k=number, evidence=number, batch_size=number) == taught(
            ASKED, top_k=2, evidence=2, batch_size=2
        )
        assert taught.remember(TEXTS[:1], LABELS[:1], batch_size=number)

    @pytest.mark.parametrize("number", [True, np.True_, 2.0, np.float32(2), "2", np.int64(0), -1], ids=repr)
    def test_what_is_none_is_refused(self, taught: Any, number: Any) -> None:
        with pytest.raises(InvalidInputError, match="top_k is"):
            taught(ASKED, top_k=number)

    @pytest.mark.parametrize("given", [np.array, torch.tensor, tuple, set, iter])
    def test_ids_in_any_form(self, taught: Any, given: Callable[[list[int]], Any]) -> None:
        ids = [entry.id for entry in taught.model.memory.entries]
        taught.forget(given(ids[:2]))
        assert [*taught.model.memory.slot_by_id] == ids[2:]
        taught.forget(np.int64(ids[2]))
        taught.forget(torch.tensor(ids[3]))
        assert [*taught.model.memory.slot_by_id] == ids[4:]

    def test_in_a_configuration(self, make: Make, tmp_path: Path) -> None:
        classifier = make(capacity=np.int64(3), max_seq_length=np.int32(9))
        classifier.save_pretrained(tmp_path)
        told = json.loads((tmp_path / "config.json").read_text())
        assert (told["capacity"], told["max_seq_length"]) == (3, 9)


def test_a_pipeline_without_a_model_says_that_it_needs_one() -> None:
    with pytest.raises(InvalidInputError, match="needs a model.*from_encoder_pretrained"):
        pipeline(TASK)


def test_a_bar_counts_all_texts_of_a_call(
    taught: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FewShotPipeline, "chunk", 2)
    transformers.logging.enable_progress_bar()
    rows: Any = [{"text": text} for text in ASKED]
    for given in (ASKED, (text for text in ASKED), KeyDataset(rows, "text")):
        list(taught(given, progress=True))
        shown = capsys.readouterr()
        assert ("3/3" in shown.err or "3 texts [" in shown.err) and not shown.out
    taught.remember(TEXTS, LABELS, progress=True)
    assert "5/5" in capsys.readouterr().err
    with pytest.raises(InvalidTypeError, match="progress"):
        taught(ASKED, progress="yes")


def test_what_a_memory_holds_is_seen_in_one_line(make: Make) -> None:
    classifier = make()
    assert "\n  memory: empty\n" in repr(classifier.model)
    classifier.remember(TEXTS[:3], LABELS[:3])
    classifier.remember(labels=LABELS[:1], descriptions=["when it comes"])
    held = "3 examples and 1 description of 2 labels"
    assert f"\n  memory: {held}\n" in repr(classifier.model)
    assert repr(classifier).startswith(f"FewShotTextClassificationPipeline(memory: {held}; ")
    assert "\n" not in repr(classifier) and repr(classifier.model.memory) == f"LabelledMemory({held})"
    several = make(problem_type=MULTI_LABEL, capacity=1000)
    several.remember(["a", "b"], [["x"], []])
    assert "memory: 2 examples of 1 label, 1 without a label, at most 1,000\n" in repr(several.model)
    numbers = make(problem_type=REGRESSION)
    numbers.remember(["a text"], [1.5])
    assert "memory: 1 example with 1 number each\n" in repr(numbers.model)


class TestTextsAndLabelsThatDoNotGoTogether:
    NAMES = ("card", "card", "refund", "refund")
    TEXTS = ("where is my new card?", "my card is not there", "please give it back", "I want my money")

    def test_swapped_they_are_told(self, taught: Any, told: Callable[[], list[str]]) -> None:
        taught.remember(list(self.TEXTS), list(self.NAMES))
        assert not told()
        taught.remember(list(self.NAMES), list(self.TEXTS))
        assert "are inputs and labels swapped? 4 different labels" in told()[-1] and len(told()) == 1
        keys = taught.model.embed_texts(taught.tokenizer, list(self.NAMES))
        taught.model.remember(keys, list(self.TEXTS), list(self.NAMES))
        assert len(told()) == 2

    def test_columns_of_pandas_in_another_order_are_refused(self, taught: Any) -> None:
        pandas = pytest.importorskip("pandas")
        before = taught.model.memory
        texts, labels = pandas.Series(self.TEXTS), pandas.Series(self.NAMES)
        for swapped in (labels[::-1], labels.sample(frac=1, random_state=1)):
            with pytest.raises(InvalidInputError, match="the same index in another order"):
                taught.remember(texts, swapped)
            with pytest.raises(InvalidInputError, match="the same index in another order"):
                taught.remember(descriptions=texts, labels=swapped)
            with pytest.raises(InvalidInputError, match="the same index in another order"):
                taught.model.remember(taught.model.embed_texts(taught.tokenizer, texts), swapped, texts)
        assert taught.model.memory is before
        taught.remember(texts, labels)
