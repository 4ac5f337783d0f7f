"""The memory while the encoder is trained, and after a training that it cannot follow."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from mann_hf.errors import InvalidInputError
from mann_hf.pipelines import FewShotTextClassificationPipeline

ASKED = "where is my card"


@pytest.fixture
def classifier(build: Callable[..., Any], texts: list[str], labels: list[str]) -> FewShotTextClassificationPipeline:
    classifier = FewShotTextClassificationPipeline(model=build())
    classifier.remember(texts, labels)
    return classifier


def scale(model: Any, factor: float) -> None:
    model.encoder.embeddings.LayerNorm.bias.data.fill_(1).mul_(factor)


def test_it_follows_the_encoder(classifier: FewShotTextClassificationPipeline) -> None:
    model, before = classifier.model, classifier.model.memory
    with model.memory_set_aside(None):
        assert not len(model.memory)
        scale(model, -1.5)
    assert [entry.id for entry in model.memory.entries] == [entry.id for entry in before.entries]
    assert not torch.allclose(model.memory.state.keys, before.state.keys) and classifier(ASKED)


def test_it_is_there_again_where_its_keys_cannot_be_computed(classifier: FewShotTextClassificationPipeline) -> None:
    model, before = classifier.model, classifier.model.memory
    weights = copy.deepcopy(model.state_dict())
    with (
        pytest.raises(InvalidInputError, match=r"gave NaN.*The memory is as before.*call reencode_memory") as raised,
        model.memory_set_aside(None),
    ):
        scale(model, torch.nan)
    assert isinstance(raised.value.__cause__, InvalidInputError) and model.memory is before
    model.load_state_dict(weights)
    assert classifier(ASKED)


def test_what_ended_the_training_is_raised(
    classifier: FewShotTextClassificationPipeline, told: Callable[[], list[str]]
) -> None:
    model, before = classifier.model, classifier.model.memory

    def interrupted() -> None:
        with model.memory_set_aside(None):
            scale(model, torch.nan)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert model.memory is before
    assert any("The memory is as before" in line for line in told())


def test_where_the_machine_fails(
    classifier: FewShotTextClassificationPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, before = classifier.model, classifier.model.memory

    def full(**inputs: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError), model.memory_set_aside(None):
        monkeypatch.setattr(model, "embed", full)
    assert model.memory is before
