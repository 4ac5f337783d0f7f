import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version

from mann_hf import MANNConfig, MANNForSequenceClassification, resolve_encoder
from mann_hf.errors import InvalidTypeError, MissingExtraError
from mann_hf.models import MANNForClassification
from mann_hf.models.arguments import SETTABLE
from mann_hf.models.encoder_settings import read_encoder
from mann_hf.models.labelled import LEFT_OUT

HUB = {"revision": 3, "token": 3, "cache_dir": 3, "subfolder": 3}
NOT_FOR_USERS = {"adapter", "projection"}  # follow from the encoder


def test_every_field_of_the_configuration_is_an_argument_by_name() -> None:
    """So that editors and notebooks complete it; with the type that the configuration gives it."""
    shown = inspect.signature(MANNForSequenceClassification.from_encoder_pretrained).parameters
    own = {name for name, part in shown.items() if part.kind is inspect.Parameter.KEYWORD_ONLY}
    assert own == SETTABLE - NOT_FOR_USERS
    assert next(iter(shown)) == "encoder_name" and all(shown[name].default is LEFT_OUT for name in own)
    of_config = inspect.signature(MANNConfig.__init__).parameters
    assert all(shown[name].annotation == of_config[name].annotation for name in own & {*of_config})


def test_every_argument_reaches_the_configuration(tiny_encoder: Path) -> None:
    """Each with another value than its default."""
    given: dict[str, Any] = {
        "pooling": "cls",
        "normalize": False,
        "max_seq_length": 9,
        "prompts": {"q": "query: "},
        "prompt_name": "q",
        "lower_case": True,
        "reading": "attention",
        "similarity": "euclidean",
        "reading_options": {"sharpness": 2.0},
        "capacity": 5,
        "eviction": "oldest",
        "label_names": False,
        "store_texts": False,
        "problem_type": "regression",
        "pool_prompt": False,
        "num_labels": 2,
        "id2label": {0: "x", 1: "y"},
        "label2id": {"x": 0, "y": 1},
    }
    config = MANNForClassification.from_encoder_pretrained(tiny_encoder, modality="text", **given).config
    assert {name: getattr(config, name) for name in given} == given
    assert {*given} | {"modality", "store", "store_inputs"} == SETTABLE - NOT_FOR_USERS
    assert MANNForClassification.from_encoder_pretrained(tiny_encoder, store="faiss").config.store == "faiss"


def test_a_store_that_is_not_installed_is_told_at_once(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match="the store 'faiss' needs the package 'faiss'"):
        MANNForClassification.from_encoder_pretrained(tiny_encoder, store="faiss")


def test_the_modality_is_an_argument_where_the_class_takes_any(tmp_path: Path) -> None:
    made = MANNForClassification.from_encoder_config("conv4", modality="image", image_size=32)
    made.encoder.save_pretrained(tmp_path)
    model = MANNForClassification.from_encoder_pretrained(tmp_path, modality="image", store_inputs=True)
    assert model.config.modality == "image" and model.config.store_inputs
    assert "modality" in inspect.signature(MANNForClassification.from_encoder_pretrained).parameters


def test_what_is_left_out_is_the_configurations_default(tiny_encoder: Path) -> None:
    _, config, settings = read_encoder(tiny_encoder, {"capacity": 3, "problem_type": "regression", "reading": None})
    assert (config.capacity, config.reading, config.num_labels) == (3, "least_squares", 1) and settings is None
    assert (config.pooling, config.label_names) == (MANNConfig().pooling, True)


@pytest.mark.parametrize(
    ("given", "meant"), [("poolng", "did you mean pooling"), ("max_length", "max_seq_length"), ("xyz", "see help")]
)
def test_an_argument_that_there_is_not(tiny_encoder: Path, tmp_path: Path, given: str, meant: str) -> None:
    model: Any = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
    model.save_pretrained(tmp_path)
    loads = {
        "from_encoder_pretrained": lambda: model.from_encoder_pretrained(tiny_encoder, **{given: "cls"}),
        "from_pretrained": lambda: model.from_pretrained(tmp_path, **{given: "cls"}),
    }
    for name, load in loads.items():
        with pytest.raises(InvalidTypeError, match=rf"^{name}\(\) has no argument '{given}': .*{meant}"):
            load()


def test_help_shows_defaults_in_a_word() -> None:
    shown = str(inspect.signature(MANNForSequenceClassification.from_encoder_pretrained))
    assert "pooling: str | None = <default>" in shown and "Ellipsis" not in shown


@pytest.mark.parametrize("name", HUB)
def test_what_is_no_argument_of_the_hub_is_refused_at_every_door(
    build: Callable[..., Any], tiny_encoder: Path, tmp_path: Path, name: str
) -> None:
    model, given = build(), {name: HUB[name]}
    model.save_pretrained(tmp_path)
    doors: list[Callable[..., Any]] = [
        lambda **kwargs: MANNForSequenceClassification.from_pretrained(tmp_path, **kwargs),
        lambda **kwargs: MANNForSequenceClassification.from_pretrained("nobody/nothing", **kwargs),
        lambda **kwargs: MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, **kwargs),
        lambda **kwargs: model.load_memory(tmp_path, **kwargs),
        lambda **kwargs: model.load_memory("nobody/nothing", **kwargs),
        model.load_tokenizer,
    ]
    if name != "token" or Version(transformers.__version__) >= Version("5.1"):  # older ones keep it to themselves
        doors.append(lambda **kwargs: MANNConfig.from_pretrained(tmp_path, **kwargs))
    if name != "subfolder":
        doors.append(lambda **kwargs: resolve_encoder("nobody/nothing", **kwargs))
    if name in ("revision", "token"):
        doors.append(lambda **kwargs: model.push_to_hub("nobody/nothing", **kwargs))
    for door in doors:
        with pytest.raises(InvalidTypeError, match=f"{name} is .*of type int; give .*, or None"):
            door(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dtype": torch.float8_e4m3fn}, "dtype is torch.float8_e4m3fn, in which no encoder computes"),
        ({"dtype": "float8_e5m2"}, "in which no encoder computes"),
        ({"dtype": torch.int8}, "in which no encoder computes"),
        ({"torch_dtype": 3}, "torch_dtype is 3, of type int"),
        ({"dtype": np.zeros(2)}, "of type ndarray; give a dtype"),
        ({"quantization_config": 1}, "quantization_config is 1, of type int"),
        ({"quantization_config": {}}, "quantization_config"),
        ({"attn_implementation": 3}, "attn_implementation"),
        ({"device_map": 3}, "device_map"),
        ({"state_dict": 3}, "state_dict"),
    ],
)
@pytest.mark.parametrize("saved", [False, True])
def test_no_file_is_blamed_for_an_argument(
    build: Callable[..., Any], tiny_encoder: Path, tmp_path: Path, given: dict[str, Any], said: str, saved: bool
) -> None:
    if saved:
        build().save_pretrained(tmp_path)
    load: Any = (
        MANNForSequenceClassification.from_pretrained
        if saved
        else MANNForSequenceClassification.from_encoder_pretrained
    )
    with pytest.raises(Exception, match=said):
        load(tmp_path if saved else tiny_encoder, **given)
