"""Weights that are not those of the configuration beside them: refused by name, never replaced by random ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from packaging.version import Version
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers import pipeline as overloaded_pipeline

from mann_hf import FewShotTextClassificationPipeline, MANNForSequenceClassification
from mann_hf.errors import FolderError, InvalidInputError

pipeline: Any = overloaded_pipeline  # it knows no tasks that are registered
Weights = dict[str, Tensor]
WAYS: dict[str, Callable[[Path], Any]] = {
    "from_pretrained": MANNForSequenceClassification.from_pretrained,
    "AutoModelForSequenceClassification": AutoModelForSequenceClassification.from_pretrained,
    "AutoModel": AutoModel.from_pretrained,
    "pipeline": lambda folder: pipeline("few-shot-text-classification", model=str(folder)),
}
INSIDE, READING = "encoder.encoder.layer.1.output.dense.weight", "reading.log_sharpness"


@pytest.fixture(scope="module")
def _taught(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught") / "folder"
    model = MANNForSequenceClassification.from_encoder_pretrained(
        tiny_encoder, projection=[{"kind": "dense", "size": 8, "bias": True, "activation": "Tanh"}]
    )
    classifier = FewShotTextClassificationPipeline(model=model)
    classifier.remember(["where is my card", "send my money back"], ["card", "refund"])
    classifier.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(_taught: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_taught, tmp_path / "folder"))


def change_weights(folder: Path, edit: Callable[[Weights], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "config.json").read_text())
    edit(content)
    (folder / "config.json").write_text(json.dumps(content))


def typed(name: str, dtype: torch.dtype) -> Callable[[Weights], object]:
    return lambda weights: weights.update({name: weights[name].to(dtype)})


EDITS: dict[str, tuple[Callable[[Weights], object], str]] = {
    "a layer's is missing": (lambda weights: weights.pop(INSIDE), f"1 weight of the model is missing: {INSIDE}"),
    "the projection's are missing": (
        lambda weights: weights.pop("projection.steps.0.bias"),
        "1 weight of the model is missing: projection",
    ),
    "another shape": (
        lambda weights: weights.update({INSIDE: weights[INSIDE][:3].clone()}),
        rf"1 weight has another shape: {INSIDE} is \[3, 64\] and must be \[32, 64\]",
    ),
    "whole numbers": (typed(INSIDE, torch.int32), f"'{INSIDE}' are stored as I32"),
    "bytes": (typed(INSIDE, torch.uint8), f"'{INSIDE}' are stored as U8"),
    "truth values": (typed(INSIDE, torch.bool), f"'{INSIDE}' are stored as BOOL"),
    "complex numbers": (typed(READING, torch.complex64), f"'{READING}' are stored as C64"),
}


@pytest.mark.parametrize("load", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("edit", EDITS)
def test_weights_that_are_not_all_there_are_refused(
    folder: Path, edit: str, load: Callable, told: Callable[[], list[str]]
) -> None:
    if edit == "complex numbers" and Version(safetensors.__version__) < Version("0.7"):
        pytest.skip("older safetensors cannot write them")
    change, why = EDITS[edit]
    change_weights(folder, change)
    with pytest.raises(FolderError, match=why) as caught:
        load(folder)
    assert caught.value.file == "model.safetensors" and not any("LOAD REPORT" in line for line in told())


@pytest.mark.parametrize("load", WAYS.values(), ids=WAYS)
def test_a_configuration_of_fewer_layers_is_refused(folder: Path, load: Callable) -> None:
    change_config(folder, lambda content: content["encoder_config"].update(num_hidden_layers=1))
    with pytest.raises(FolderError, match="have further layers than the configuration names: encoder.encoder.layer.1."):
        load(folder)


def test_a_configuration_without_the_projection_is_refused(folder: Path) -> None:
    change_config(folder, lambda content: content.update(projection=[]))
    with pytest.raises(FolderError, match="further layers than the configuration names: projection.steps.0.bias"):
        MANNForSequenceClassification.from_pretrained(folder)


def test_the_report_is_the_callers(folder: Path) -> None:
    model, report = MANNForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert isinstance(model, MANNForSequenceClassification) and not report["missing_keys"]


def test_another_reading_that_the_caller_asks_for_starts_with_its_own_values(folder: Path, told: Callable) -> None:
    model = MANNForSequenceClassification.from_pretrained(folder, reading="attention", similarity="bilinear")
    assert torch.equal(model.reading.similarity.weight, torch.eye(8))
    assert any("have no reading.similarity.weight: the reading 'attention' starts" in line for line in told())


def test_other_shapes_are_the_callers_to_allow(folder: Path) -> None:
    change_weights(folder, EDITS["another shape"][0])
    for name in ("memory.safetensors", "memory.json"):
        (folder / name).unlink()
    MANNForSequenceClassification.from_pretrained(folder, ignore_mismatched_sizes=True)


@pytest.mark.parametrize(
    "quantization", [{}, {"quant_method": 7}, {"quant_method": None}, {"load_in_8bit": "x"}, {"load_in_4bit": False}]
)
@pytest.mark.parametrize("load", WAYS.values(), ids=WAYS)
def test_a_damaged_quantization_config_is_named(folder: Path, load: Callable, quantization: Any) -> None:
    change_config(folder, lambda content: content.update(quantization_config=quantization))
    with pytest.raises(InvalidInputError, match="quantization_config = .* names no quant_method"):
        load(folder)


def test_whole_numbers_of_a_way_that_nobody_knows_are_refused(folder: Path) -> None:
    change_config(folder, lambda content: content.update(quantization_config={"quant_method": "theirs"}))
    assert MANNForSequenceClassification.from_pretrained(folder)
    change_weights(folder, EDITS["bytes"][0])
    with pytest.raises(FolderError, match="stored as U8"):
        MANNForSequenceClassification.from_pretrained(folder)
