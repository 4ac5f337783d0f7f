"""A modality that another package registers, from the first example to a saved folder."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from datasets import Dataset
from huggingface_hub import ModelCard
from torch import nn
from transformers import AutoModelForAudioClassification, PreTrainedConfig
from transformers.pipelines import PIPELINE_REGISTRY

from mann_hf.controllers.kinds import CONTROLLERS, controller_of
from mann_hf.errors import EncoderMismatchError, InvalidInputError, InvalidTypeError
from mann_hf.hub.processing import PROCESSING_CLASSES, ProcessingClass
from mann_hf.models import MANNForClassification
from mann_hf.models.few_shot_tasks import registered_task, task_of
from mann_hf.pipelines import PIPELINES, FewShotPipeline
from mann_hf.pipelines.registration import few_shot_task
from mann_hf.training import EpisodicTrainer, EpisodicTrainingArguments
from tests.tones import TONES, ToneController, ToneProcessor, register, tone_model


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
    assert "clf(tone)" in card.text and "mann-hf predict" not in card.text and "stock" not in card.text


def test_the_code_of_its_card_runs(
    classifier: FewShotPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    classifier.save_pretrained("my-tones")
    (code,) = re.findall(r"```python\n(.*?)```", Path("my-tones", "README.md").read_text(), re.DOTALL)
    names = {"tone": "0.8 0 0.1 0"}
    exec(compile(code, "card", "exec"), names)
    taught: Any = names["clf"]
    assert taught(names["tone"]) == classifier(names["tone"])


def test_an_error_names_the_pipeline_that_there_is(classifier: FewShotPipeline) -> None:
    with pytest.raises(InvalidTypeError, match="FewShotPipeline takes tones"):
        classifier.model.remember("no keys", ["low"])  # type: ignore[arg-type]


def test_a_pipeline_of_its_own_is_named(classifier: FewShotPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tones(MANNForClassification):
        modality = "tone"

    class TonePipeline(FewShotPipeline):
        model_class = Tones

    monkeypatch.setattr(PIPELINE_REGISTRY, "supported_tasks", {**PIPELINE_REGISTRY.supported_tasks})
    monkeypatch.delitem(PIPELINES._parts, "tone", raising=False)  # so that it goes again after the test
    few_shot_task(AutoModelForAudioClassification, "an/encoder")(TonePipeline)
    assert registered_task("tone") == task_of("tone") == "few-shot-audio-classification"
    del PIPELINE_REGISTRY.supported_tasks["few-shot-text-classification"]  # as before the library's are imported
    assert registered_task("text") == "few-shot-text-classification"
    PIPELINE_REGISTRY.supported_tasks["few-shot-audio-classification"]["impl"] = FewShotPipeline
    assert registered_task("tone") is None, "it is of models of another modality"


class Scale:
    """What gives tones to their encoder, and can be saved."""

    loaded = 0

    def __init__(self, factor: float) -> None:
        self.factor = factor


class ScaledTones(ToneProcessor):
    """Tones whose numbers are scaled."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale

    def collate(self, encodings: Any, rows: Any) -> dict[str, torch.Tensor]:
        return {name: self.scale.factor * part for name, part in super().collate(encodings, rows).items()}


class ScaledController(ToneController):
    """Tones that take a processing class, which transformers' pipelines have no argument for."""

    processing_class = "tone_scale"

    def processor(self, config: Any, encoder: nn.Module, processing_class: Any) -> ToneProcessor:
        return ScaledTones(processing_class)

    def processing_class_from(self, config: PreTrainedConfig) -> Any:
        Scale.loaded += 1
        return Scale(1.0)


class TestProcessingClass:
    @pytest.fixture(params=["tone_scale", "feature_extractor"])
    def name(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        """The argument by which a pipeline takes it: one of the modality alone, and one that transformers has."""
        monkeypatch.setattr(ScaledController, "processing_class", request.param)
        monkeypatch.setitem(CONTROLLERS._parts, "tone", ScaledController)
        kind = ProcessingClass("scale", Mock(side_effect=OSError("none is there")), lambda *_, **__: False)
        monkeypatch.setitem(PROCESSING_CLASSES._parts, request.param, kind)
        controller_of.cache_clear()
        monkeypatch.setattr(Scale, "loaded", 0)
        yield request.param
        controller_of.cache_clear()

    def test_it_is_loaded_once(self, name: str) -> None:
        classifier = FewShotPipeline(model=tone_model())
        classifier.remember(list(TONES), list(TONES.values()))
        classifier(list(TONES))
        assert Scale.loaded == 1 and isinstance(classifier.processing_class, Scale)

    def test_a_given_one_is_taken(self, name: str) -> None:
        given: Any = Scale(3.0)
        arguments: Any = {name: given}
        classifier = FewShotPipeline(model=tone_model(), **arguments)
        assert classifier.processing_class is given and vars(classifier.input_processor)["scale"] is given
        assert Scale.loaded == 0 and classifier.with_own_memory().processing_class is given


def test_transformers_reads_its_main_input_from_the_model() -> None:
    model = tone_model()
    assert model.main_input_name == "tones" and model.input_modalities == ["tone"]


def test_a_training_calls_its_inputs_by_their_noun(tmp_path: Path) -> None:
    data = Dataset.from_dict({"sound": [[1.0, 0, 0, 0], [0, 0, 0, 1.0]], "label": ["low", "high"]})
    args = EpisodicTrainingArguments(
        str(tmp_path), input_column="sound", n_way=2, k_shot=1, n_query=1, report_to="none"
    )
    with pytest.raises(InvalidInputError, match="0 classes with at least 2 tones"):
        EpisodicTrainer(model=tone_model(), args=args, train_dataset=data)


class KeptToneProcessor(ToneProcessor):
    """Keeps tones as their numbers, from which they are read again."""

    def stored(self, inputs: Sequence[Any]) -> list[bytes | None]:
        return [one.tobytes() for one in inputs]

    def restored(self, content: str | None, stored: bytes | None) -> Any:
        return None if stored is None else np.frombuffer(stored, np.float32)


def test_its_inputs_are_kept_and_encoded_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ToneController, "processor", lambda *_: KeptToneProcessor())
    classifier = FewShotPipeline(model=tone_model(store_inputs=True))
    classifier.remember(list(TONES), list(TONES.values()))
    classifier.save_pretrained(tmp_path)
    loaded = FewShotPipeline(model=MANNForClassification.from_pretrained(tmp_path))
    with torch.no_grad():
        loaded.model.encoder.layer.weight.mul_(torch.tensor([1.0, 1, 1, -2]))
    with pytest.raises(EncoderMismatchError):
        loaded("0.8 0 0.1 0")
    loaded.model.reencode_memory()
    taught_anew = FewShotPipeline(model=loaded.model.with_own_memory())
    taught_anew.forget(ids=[entry.id for entry in loaded.model.memory.entries])
    taught_anew.remember(list(TONES), list(TONES.values()))
    ask = "0 0 0.2 0.7"
    assert loaded(ask)[0]["score"] == pytest.approx(taught_anew(ask)[0]["score"], abs=1e-5)
