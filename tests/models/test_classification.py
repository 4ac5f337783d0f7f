import pytest

from mann_hf import MANNForClassification, MANNForImageClassification, MANNForSequenceClassification
from mann_hf.controllers.kinds import IMAGE, TEXT
from mann_hf.models import CLASSIFIERS, model_class_of
from mann_hf.pipelines import (
    PIPELINES,
    FewShotImageClassificationPipeline,
    FewShotPipeline,
    FewShotTextClassificationPipeline,
    pipeline_of,
)


def test_classes_of_a_modality_are_those_that_are_registered() -> None:
    class Own(MANNForSequenceClassification):
        """One of a user's own, which takes nobody's place."""

    assert model_class_of(TEXT) is CLASSIFIERS[TEXT] is MANNForSequenceClassification
    assert model_class_of(IMAGE) is MANNForImageClassification and model_class_of("rows") is MANNForClassification
    assert pipeline_of(TEXT) is PIPELINES[TEXT] is FewShotTextClassificationPipeline
    assert pipeline_of(IMAGE) is FewShotImageClassificationPipeline and pipeline_of("rows") is FewShotPipeline


def test_the_size_of_keys_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MANNForImageClassification.from_encoder_config("conv4", image_size=28, num_channels=1)
    monkeypatch.setattr(type(model.config.encoder_config), "to_json_string", lambda *_, **__: pytest.fail("measured"))
    keys = model.embed(*model.config.controller.probe_inputs(model.config.encoder_config, model.device).values())
    model.remember(keys, ["a"])
    assert model.key_size == 64 == model.read(model.ready_memory(), keys).shape[1] * 64
    model.check_wrote(model.memory, "here")
