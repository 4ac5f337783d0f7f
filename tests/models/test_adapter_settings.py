"""Settings of PEFT with which an adapter is saved and loaded again, and those that are refused before training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.version import Version

from mann_hf import MANNForSequenceClassification
from mann_hf.errors import InvalidInputError
from mann_hf.models import adapters
from mann_hf.models.adapter_switches import has_adapter

peft = pytest.importorskip("peft")

Build = Callable[..., Any]


def add(model: Any, config: Any) -> None:
    """Puts an adapter on, and skips the test where PEFT is too old to save what it trains: that must be refused."""
    try:
        adapters.add(model, config)
    except InvalidInputError as error:
        if Version(peft.__version__) >= Version("0.21") or "does not save" not in str(error):
            raise
        pytest.skip(str(error))


def shifted(model: Any) -> None:
    """Changes all that is trained, biases of the encoder by much."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"bias": "all"},
        {"bias": "lora_only"},
        {"bias": "all", "modules_to_save": ["LayerNorm"]},
        {"use_dora": True},
        {"use_rslora": True},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora", "modules_to_save": ["dense"]},
    ],
    ids=str,
)
def test_with_usual_settings_of_peft(build: Build, tmp_path: Path, settings: dict[str, Any], merged: bool) -> None:
    model = build()
    add(model, peft.LoraConfig(r=2, target_modules=["query", "value"], **settings))
    shifted(model)
    if merged:
        for layer in model.modules():
            if isinstance(layer, peft.tuners.tuners_utils.BaseTunerLayer):
                layer.merge()
    before = model.encoder_probe()
    model.save_pretrained(tmp_path / "first")
    again = MANNForSequenceClassification.from_pretrained(tmp_path / "first")
    assert torch.allclose(again.encoder_probe(), before, atol=1e-5)
    shifted(again)
    again.save_pretrained(tmp_path / "second")
    third = MANNForSequenceClassification.from_pretrained(tmp_path / "second")
    assert torch.equal(third.encoder_probe(), again.encoder_probe())


@pytest.mark.parametrize(
    "kind, settings",
    [
        ("OFTConfig", {"oft_block_size": 8, "r": 0, "bias": "oft_only"}),
        ("HRAConfig", {"r": 2, "bias": "all"}),
    ],
)
def test_of_other_kinds(build: Build, tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    model = build()
    add(model, getattr(peft, kind)(target_modules=["query", "value"], **settings))
    shifted(model)
    model.save_pretrained(tmp_path)
    again = MANNForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again.encoder_probe(), model.encoder_probe())


def test_an_initialisation_that_loading_cannot_repeat_is_refused_before_training(build: Build) -> None:
    with pytest.raises(InvalidInputError, match=r"init_lora_weights='pissa_niter_4', which changes .*query\.weight"):
        adapters.add(build(), peft.LoraConfig(r=2, target_modules=["query"], init_lora_weights="pissa_niter_4"))


def test_weights_that_peft_does_not_save_are_refused_before_training(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build()
    saves = type(model).get_adapter_state_dict

    def fewer(self: Any, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        return {name: tensor for name, tensor in saves(self, *args, **kwargs).items() if "bias" not in name}

    monkeypatch.setattr(type(model), "get_adapter_state_dict", fewer)
    with pytest.raises(
        InvalidInputError, match=r"query\.bias.* that PEFT .* does not save\. Load the model again, and"
    ):
        adapters.add(model, peft.LoraConfig(r=2, target_modules=["query"], bias="lora_only"))


def test_a_bias_beside_merged_weights_is_looked_at(build: Build, tmp_path: Path) -> None:
    model = build()
    adapters.add(model, peft.LoraConfig(r=2, target_modules=["query"]))
    layer = next(module for module in model.modules() if isinstance(module, peft.tuners.tuners_utils.BaseTunerLayer))
    layer.merge()
    with torch.no_grad():
        layer.base_layer.bias.add_(0.1)
    with pytest.raises(InvalidInputError, match=r"changed since it was loaded .*query\.bias"):
        model.save_pretrained(tmp_path)


def test_what_one_that_was_deleted_left_of_the_encoder_is_refused(build: Build, tmp_path: Path) -> None:
    model = build()
    adapters.add(model, peft.LoraConfig(r=2, target_modules=["query"], init_lora_weights="pissa"))
    model.delete_adapter("default")
    adapters.add(model, peft.LoraConfig(r=2, target_modules=["value"]))
    with pytest.raises(InvalidInputError, match=r"changed since it was loaded .*query\.weight"):
        model.save_pretrained(tmp_path)


def test_modules_that_are_saved_with_it(build: Build, tmp_path: Path) -> None:
    model = build()
    adapters.add(model, peft.LoraConfig(r=2, target_modules=["query", "value"], modules_to_save=["dense"]))
    shifted(model)
    before = model.encoder_probe()
    model.save_pretrained(tmp_path)
    again = MANNForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again.encoder_probe(), before) and torch.equal(model.encoder_probe(), before)
    model.disable_adapters()
    assert not torch.equal(model.encoder_probe(), before)
    model.enable_adapters()
    assert torch.equal(model.encoder_probe(), before), "transformers leaves some of it off"


def test_a_kind_that_is_not_loaded_is_refused_before_training(build: Build) -> None:
    model = build()
    with pytest.raises(InvalidInputError, match="of the kind SHIRA are not taken"):
        adapters.add(model, peft.ShiraConfig(r=2, target_modules=["query"]))
    assert not has_adapter(model)


def test_a_save_elsewhere_does_not_make_a_trained_encoder_the_base(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory is elsewhere, too."""
    monkeypatch.chdir(tmp_path)
    model = build()
    with torch.no_grad():
        model.encoder.embeddings.word_embeddings.weight.mul_(1.5)
    model.save_pretrained(".")
    adapters.add(model, peft.LoraConfig(r=2, target_modules=["query"]))
    with pytest.raises(InvalidInputError, match=r"changed since it was loaded .*word_embeddings"):
        model.save_pretrained("adapter")
