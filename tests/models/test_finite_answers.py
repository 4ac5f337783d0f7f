"""No answer comes from numbers that are none: odd keys and odd options are solved or refused in words."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import BertConfig

from mann_hf import MANNConfig, MANNForSequenceClassification
from mann_hf.errors import InvalidInputError, InvalidTypeError
from mann_hf.memory import READINGS, SIMILARITIES
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL

KEY_SIZE, SLOTS = 8, 16
TINY: dict[str, Any] = {
    "hidden_size": KEY_SIZE,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "intermediate_size": 8,
}


def keys_and_queries(size: float = 1.0) -> tuple[Tensor, Tensor]:
    """Keys of which two pairs are the same or nearly so, under other labels; queries beside them and elsewhere."""
    generator = torch.Generator().manual_seed(1)
    keys = torch.nn.functional.normalize(torch.randn(SLOTS, KEY_SIZE, generator=generator), dim=-1)
    keys[1], keys[3] = keys[0] + 1e-4, keys[2]
    queries = torch.cat([keys[:4] + 0.01, torch.randn(4, KEY_SIZE, generator=generator)])
    return size * keys, size * torch.nn.functional.normalize(queries, dim=-1)


def taught(keys: Tensor, problem_type: str = SINGLE_LABEL, **fields: Any) -> Any:
    config = MANNConfig(BertConfig(**TINY, vocab_size=50), problem_type=problem_type, num_labels=1, **fields)
    model = MANNForSequenceClassification(config).eval()
    names = [f"label {number % 3}" for number in range(len(keys))]
    labels: Any = {SINGLE_LABEL: names, MULTI_LABEL: [(name,) for name in names]}
    model.remember(keys, labels.get(problem_type, [(float(number),) for number in range(len(keys))]))
    return model


def assert_adds_up(model: Any, queries: Tensor) -> None:
    """Answers are finite, and all terms sum to them."""
    ready = model.ready_memory()
    logits = model.read(ready, queries)
    assert torch.isfinite(logits).all()
    columns = torch.arange(logits.shape[1]).expand(len(queries), -1)
    predicted = model.reading.predicted(ready.solution, logits[None])[0].detach()
    for most in (2, None):
        for row, told in enumerate(model.evidence(ready, queries, logits, columns, most)):
            for column, one in enumerate(told):
                expected = predicted[row, column].item()
                assert abs(sum(one.weights) + one.rest - expected) <= 1e-4 * max(1, abs(expected))
    every = torch.arange(ready.solution.state.slots)
    offset = getattr(ready.solution.parts, "offset", None) if model.config.problem_type == REGRESSION else None
    for column in range(logits.shape[1]):
        terms = model.reading.terms(ready.solution, queries[None], column, every, ready.sharpness)[0].double().sum(-1)
        terms = terms if offset is None else terms + offset[0, 0, column]
        torch.testing.assert_close(terms, predicted[:, column].double(), rtol=2e-4, atol=2e-4)


def corners(reading: str, together: bool) -> list[dict[str, float]]:
    """A reading's options at the ends of their ranges, each by itself or all at once."""
    ends = dict(READINGS[reading].ranges)
    if reading == "least_squares":
        del ends["nearest"]
    every = [dict(zip(ends, picked, strict=True)) for picked in itertools.product(*ends.values())]
    return every if together else [{option: end} for option, both in ends.items() for end in both]


@pytest.mark.parametrize("together", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("reading", READINGS)
def test_within_the_ranges_of_its_options_evidence_adds_up(reading: str, together: bool) -> None:
    keys, queries = keys_and_queries()
    tried = 0
    for options in corners(reading, together):
        try:
            READINGS[reading].check_options(options)
        except InvalidInputError:
            assert reading == "logistic", "its example_weight and weight_decay belong together"
            continue
        for problem_type in READINGS[reading].problem_types:
            assert_adds_up(taught(keys, problem_type, reading=reading, reading_options=options), queries)
            tried += 1
    assert tried >= 2


@pytest.mark.parametrize("reading, option", [(name, option) for name, one in READINGS.items() for option in one.ranges])
def test_beyond_its_range_an_option_is_refused_with_the_range(reading: str, option: str) -> None:
    least, most = READINGS[reading].ranges[option]
    wrong: tuple[Any, ...] = (least - 1, most * 1.1, 2.5e300, -1, float("nan"), float("inf"), "3", True, [1], {})
    for value in wrong:
        with pytest.raises(InvalidInputError, match=f"{option} .*is .*give "):
            MANNConfig(BertConfig(**TINY), reading=reading, reading_options={option: value})
    with pytest.raises(InvalidInputError, match=f"{option} is .*; give a .*number from .* to "):
        READINGS[reading].check_options({option: 2 * most})


def test_options_that_fit_alone_but_not_together_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="example_weight is 10.0 and weight_decay 0.002; .* 1000 times"):
        MANNConfig(BertConfig(**TINY), reading_options={"example_weight": 10.0, "weight_decay": 0.002})


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("reading", READINGS)
def test_keys_of_any_size_are_solved_or_refused(reading: str, similarity: str) -> None:
    for size in (9e11, 1e6, 1e-6, 1e-30, 1e-42):
        keys, queries = keys_and_queries(size)
        assert_adds_up(taught(keys, reading=reading, similarity=similarity, normalize=False), queries)
    model = taught(keys_and_queries()[0], reading=reading, similarity=similarity)
    for number in (1e20, 1e13, float("nan"), float("inf"), -float("inf")):
        keys, queries = keys_and_queries()
        keys[5, 3] = queries[2, 1] = number
        with pytest.raises(InvalidInputError, match=r"keys hold NaN or infinity.* example \d"):
            model.remember(keys, ["x"] * len(keys))
        with pytest.raises(InvalidInputError, match=r"key of query 2 .* NaN, infinity"):
            model.read(model.ready_memory(), queries)
    assert len(model.memory) == SLOTS


@pytest.mark.parametrize("shape", [(1, 3, KEY_SIZE), (KEY_SIZE,), (2, KEY_SIZE - 1), (2, KEY_SIZE + 1), ()])
def test_keys_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    model = taught(keys_and_queries()[0])
    with pytest.raises(InvalidInputError, match=rf"must be \[Q, K\] with K = {KEY_SIZE}"):
        model.read(model.ready_memory(), torch.ones(shape))


@pytest.mark.parametrize(
    "keys",
    [
        torch.ones(2, KEY_SIZE).long(),
        torch.ones(2, KEY_SIZE).to_sparse(),
        torch.ones(2, KEY_SIZE).numpy(),
        [[1.0] * KEY_SIZE],
        None,
    ],
)
def test_what_is_no_tensor_of_keys_is_refused(keys: Any) -> None:
    model = taught(keys_and_queries()[0])
    with pytest.raises(InvalidTypeError, match="keys are of type .*tensors of floating-point"):
        model.read(model.ready_memory(), keys)
    with pytest.raises(InvalidTypeError, match="keys are of type .*tensors of floating-point"):
        model.remember(keys, ["a", "b"])


def test_there_is_no_answer_from_what_is_stored_or_learned_as_nan() -> None:
    keys, queries = keys_and_queries()
    for reading in READINGS:
        model = taught(keys, reading=reading)
        held = model.memory
        state = held.state._replace(keys=held.state.keys.clone().index_fill(1, torch.tensor([3]), float("nan")))
        model.update_memory(lambda memory, state=state: (replace(memory, state=state), None))
        with pytest.raises(InvalidInputError, match="the memory holds keys with NaN"):
            model.read(model.ready_memory(), queries)
    model = taught(keys, reading="attention", similarity="bilinear")
    torch.nn.init.constant_(model.reading.similarity.weight, float("nan"))
    with pytest.raises(InvalidInputError, match="the answer is NaN or infinity"):
        model.read(model.ready_memory(), queries)


@pytest.mark.parametrize("similarity", ["cosine", "bilinear"])
@pytest.mark.parametrize("reading", READINGS)
def test_answers_come_with_gradients_on_too(
    reading: str, similarity: str, build: Callable, tiny_tokenizer: Any, texts: list[str], labels: list[str]
) -> None:
    model = build(reading=reading, similarity=similarity)
    pipeline: Any = transformers.pipeline
    classifier = pipeline("few-shot-text-classification", model=model, tokenizer=tiny_tokenizer)
    classifier.remember(texts, labels)
    with torch.no_grad():
        expected = classifier(texts, top_k=None)
    with torch.enable_grad():
        assert classifier(texts, top_k=None) == expected
        inputs = tiny_tokenizer(texts, padding=True, return_tensors="pt")
        ready, keys = model.ready_memory(), model.embed(**inputs)
        logits = model.read(ready, keys)
        assert logits.requires_grad
        parts = {"ready": ready, "keys": keys, "logits": logits}
        assert [answer["label"] for answer in classifier.postprocess(parts)] == [one[0]["label"] for one in expected]
        model(**inputs).logits.sum().backward()


class TestAnEncoderOfNaN:
    @pytest.fixture
    def classifier(self, build: Callable, tiny_tokenizer: Any, texts: list[str], labels: list[str]) -> Any:
        """One that was taught, and whose encoder gives NaN for the word "stolen" since."""
        pipeline: Any = transformers.pipeline
        classifier = pipeline("few-shot-text-classification", model=build(), tokenizer=tiny_tokenizer)
        classifier.remember(texts, labels)
        with torch.no_grad():
            table = classifier.model.encoder.get_input_embeddings().weight
            table[tiny_tokenizer.convert_tokens_to_ids("stolen")] = float("nan")
        return classifier

    def test_a_question_is_refused_by_its_text_as_an_example_is(self, classifier: Any) -> None:
        asked = ["my card", "was it stolen"]
        said = r"NaN, infinity .* 1 text of 2, first for text 1 \(counted from 0\), 'was it stolen'"
        with pytest.raises(InvalidInputError, match=said):
            classifier(asked)
        with pytest.raises(InvalidInputError, match=said):
            classifier.remember(asked, ["a", "b"])
        assert classifier("my card")[0]["score"] > 0

    def test_by_every_other_way_of_asking(self, classifier: Any, tiny_tokenizer: Any) -> None:
        inputs = tiny_tokenizer(["my card", "was it stolen"], padding=True, return_tensors="pt")
        with pytest.raises(InvalidInputError, match="key of query 1"):
            classifier.model(**inputs)
        pipeline: Any = transformers.pipeline
        stock = pipeline("text-classification", model=classifier.model, tokenizer=tiny_tokenizer)
        with pytest.raises(InvalidInputError, match="key of query 0"):
            stock("was it stolen")
        shown = tiny_tokenizer(["my card", "a refund"], padding=True, return_tensors="pt")
        support = {f"support_{name}": rows for name, rows in shown.items() if name != "token_type_ids"}
        with pytest.raises(InvalidInputError, match="key of query 1"):
            classifier.model(**inputs, **support, support_labels=torch.tensor([0, 1]))
