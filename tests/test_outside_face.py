"""A modality that another package registers, from the first example to a saved folder."""

from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from mann_hf.models import MANNForClassification
from mann_hf.pipelines import FewShotPipeline
from tests.tones import TONES, register, tone_model


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


@pytest.fixture
def classifier() -> FewShotPipeline:
    """It knows TONES."""
    classifier = FewShotPipeline(model=tone_model())
    classifier.remember(list(TONES), list(TONES.values()))
    return classifier


def test_it_is_taught_saved_and_loaded(classifier: FewShotPipeline, tmp_path: Path) -> None:
    answer = classifier("0.8 0 0.1 0")
    assert answer[0]["label"] == "low"
    classifier.save_pretrained(tmp_path)
    loaded = FewShotPipeline(model=MANNForClassification.from_pretrained(tmp_path))
    assert loaded("0.8 0 0.1 0") == answer == loaded([np.array([0.8, 0, 0.1, 0])])


def test_its_card_shows_no_inputs_that_it_does_not_have(classifier: FewShotPipeline, tmp_path: Path) -> None:
    classifier.save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.pipeline_tag == "audio-classification" and "| `low` | 2 |" in card.text
    assert "clf(tone)" in card.text and "mann-hf predict" not in card.text
