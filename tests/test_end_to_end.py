"""The whole way on the real default encoder, from its package: what a user would see."""

import csv
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer

import mann_hf

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
MESSAGES = Path(__file__).parents[1] / "examples" / "customer_messages" / "messages.csv"
NEW = "warranty_claim"
NEW_WORDS = "a product stopped working after months of use and should be repaired under its guarantee"

pytestmark = pytest.mark.end_to_end
pipeline: Any = transformers.pipeline


def read_messages(seed: int = 0) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = {}
    with MESSAGES.open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            messages.setdefault(row["label"], []).append(row["text"])
    return {label: random.Random(seed).sample(texts, len(texts)) for label, texts in messages.items()}


def between(messages: dict[str, list[str]], start: int, stop: int | None) -> tuple[list[str], list[str]]:
    pairs = [(text, label) for label, texts in messages.items() for text in texts[start:stop]]
    return [text for text, _ in pairs], [label for _, label in pairs]


@pytest.mark.slow
def test_customer_messages(tmp_path: Path) -> None:
    messages = read_messages()
    new = messages.pop(NEW)
    model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained(ENCODER)
    classifier = pipeline(mann_hf.FEW_SHOT_TASK, model=model)
    asked, truth = between(messages, 5, 11)

    def accuracy(classifier: Any, **kwargs: Any) -> float:
        answers = classifier(asked, **kwargs)
        return sum(answer["label"] == label for answer, label in zip(answers, truth, strict=True)) / len(truth)

    # vectors are those of sentence-transformers itself, on short texts and on one that is cut
    package = SentenceTransformer(mann_hf.resolve_encoder(ENCODER), device="cpu")
    texts = [*asked[:40], "a message that goes on and on " * 60]
    expected = package.encode(texts, convert_to_tensor=True).cpu()
    assert torch.allclose(model.embed_texts(classifier.tokenizer, texts), expected, atol=1e-5)

    # accuracy from 1, 3 and 5 examples a class: far above chance (7 %), better with more, good with five
    reached = []
    ids: list[int] = []
    for start, stop in ((0, 1), (1, 3), (3, 5)):
        ids += classifier.remember(*between(messages, start, stop))
        reached.append(accuracy(classifier))
        if stop == 1:  # a class that did not exist, by its words alone
            described = classifier.remember(labels=[NEW], descriptions=[NEW_WORDS])
            assert sum(answer["label"] == NEW for answer in classifier(new)) > len(new) / 2
            classifier.forget(ids=described)
    assert reached[0] > 0.55 and reached[1] > 0.68 and reached[2] > 0.74, reached
    assert reached[2] > reached[0]

    # scores can be acted on: the sure answers are mostly right, and on average as sure as they are right
    answers = classifier(asked)
    scores = torch.tensor([answer["score"] for answer in answers])
    right = torch.tensor([answer["label"] == label for answer, label in zip(answers, truth, strict=True)])
    assert abs(scores.mean() - right.float().mean()) < 0.12
    assert right[scores > 0.9].float().mean() > 0.9
    assert right[scores > scores.median()].float().mean() > right[scores <= scores.median()].float().mean() + 0.1

    # a class that did not exist, by two examples, and gone again
    before = classifier(asked[:50], top_k=None)
    classifier.remember(new[:2], [NEW] * 2)
    assert sum(answer["label"] == NEW for answer in classifier(new[2:])) > 8
    evidence = classifier(new[0])[0]["evidence"]
    assert evidence[0]["label"] == NEW and new[0] in [part["text"] for part in evidence]
    classifier.forget(label=NEW)
    for mine, theirs in zip(classifier(asked[:50], top_k=None), before, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert one["label"] == other["label"] and one["score"] == pytest.approx(other["score"], abs=1e-6)

    # saved and loaded: the same answers, from both pipelines; in half precision nearly as good
    classifier.save_pretrained(tmp_path)
    expected_answers = classifier(asked)
    again = pipeline(mann_hf.FEW_SHOT_TASK, model=str(tmp_path))
    stock = pipeline("text-classification", model=str(tmp_path))
    for mine, loaded, plain in zip(expected_answers, again(asked), stock(asked, batch_size=32), strict=True):
        assert mine["label"] == loaded["label"] == plain["label"]
        assert mine["score"] == pytest.approx(loaded["score"], abs=1e-6) == pytest.approx(plain["score"], abs=1e-4)
    half = pipeline(mann_hf.FEW_SHOT_TASK, model=str(tmp_path), dtype=torch.bfloat16)
    assert abs(accuracy(half) - reached[2]) < 0.03
    assert str(Path(mann_hf.resolve_encoder(ENCODER))) not in (tmp_path / "config.json").read_text()
