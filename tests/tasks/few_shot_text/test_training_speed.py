import math
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

import mann_hf
from mann_hf.memory import READINGS
from mann_hf.training import OBJECTIVES
from tasks.common.timing import ratio
from tasks.few_shot_text import training_speed
from tasks.few_shot_text.data import LabelledTexts
from tasks.few_shot_text.training_speed import few_texts, measure_training, naive_gradient, packed_gradient

THINGS = ["card", "money", "order", "package", "refund", "bank"]
WAYS_TO_ASK = ["where is my", "i lost the", "can you send the", "what is a", "please cancel my", "why was it not my"]


def labelled(classes: int, each: int) -> LabelledTexts:
    """Texts of different length, class after class."""
    texts = [
        f"{WAYS_TO_ASK[text % 6]} {THINGS[label % 6]} {label} {text}"
        for label in range(classes)
        for text in range(each)
    ]
    return LabelledTexts(texts, np.repeat(np.arange(classes), each), [f"class {label:02}" for label in range(classes)])


@pytest.fixture
def clf(tiny_encoder: Path) -> Any:
    model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
    return pipeline("few-shot-text-classification", model=model)  # type: ignore[call-overload]


def test_four_ratios(clf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_speed, "ratio", partial(ratio, turns=1))
    ratios = measure_training(clf, labelled(6, each=7))
    assert list(ratios) == [
        "step_over_encoder",
        "naive_loop_over_step",
        "naive_loop_over_step_few_texts",
        "naive_loop_over_resampled_step",
    ]
    assert all(0 < value < math.inf for value in ratios.values())


def test_the_loop_reads_as_the_step_that_it_is_timed_against(clf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[type] = []
    monkeypatch.setattr(training_speed, "naive_gradient", lambda clf, episodes: read.append(type(clf.model.reading)))
    monkeypatch.setattr(training_speed, "ratio", lambda one, other: float(one() is None))
    own = clf.model.reading
    measure_training(clf, labelled(6, each=7))
    assert read == [type(own), type(own), READINGS["prototype"]]
    assert clf.model.reading is own


def test_the_loop_that_is_timed_has_the_gradient_of_the_step(clf: Any) -> None:
    texts = labelled(6, each=7)
    episodes = list(islice(mann_hf.EpisodeSampler(few_texts(texts), seed=0), 3))
    clf.model.train()
    for module in clf.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    gradients = []
    for add in (lambda: naive_gradient(clf, episodes), lambda: packed_gradient(clf, episodes, OBJECTIVES["episode"]())):
        clf.model.zero_grad()
        add()
        gradients.append({name: p.grad.clone() for name, p in clf.model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert max(gradient.abs().max() for gradient in gradients[0].values()) > 1e-2
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    "classes, each", [(30, 12), (3, 4)], ids=["of more than are kept", "of fewer than could be kept"]
)
def test_few_texts_of_few_classes(classes: int, each: int) -> None:
    texts = labelled(classes, each)
    few = few_texts(texts)
    kept = dict.fromkeys(texts.names[: training_speed.FEW_CLASSES], min(each, training_speed.FEW_TEXTS))
    assert Counter(few["label"]) == kept
    assert set(zip(few["text"], few["label"], strict=True)) <= {
        (text, texts.names[label]) for text, label in zip(texts.texts, texts.labels, strict=True)
    }
