import ast
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from transformers import AutoConfig, BertConfig, DistilBertConfig

from mann_hf import MANNConfig
from mann_hf.controllers.pooling import POOLINGS
from mann_hf.errors import InvalidInputError, UnknownNameError
from mann_hf.memory import EVICTIONS, READINGS, SIMILARITIES, STORES
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from mann_hf.memory.reading.prototype import PrototypeReading
from mann_hf.memory.stores.exact import ExactStore
from mann_hf.models.classification import MANNClassifierOutput
from mann_hf.targets.kinds import targets_of
from mann_hf.training.objectives import LeaveOneOut

EVERYTHING: dict[str, Any] = {
    "encoder_config": DistilBertConfig(dim=32, n_heads=2, n_layers=1, hidden_dim=64, vocab_size=205),
    "encoder_name": "someone/encoder",
    "pooling": "cls",
    "normalize": False,
    "max_seq_length": 17,
    "prompts": {"query": "find: ", "none": ""},
    "prompt_name": "query",
    "lower_case": True,
    "reading": "least_squares",
    "similarity": "dot",
    "reading_options": {"ridge": 0.5},
    "capacity": 9,
    "eviction": "kaiser",
    "label_names": False,
    "store_texts": False,
    "problem_type": MULTI_LABEL,
    "id2label": {0: "a", 1: "b", 2: "c"},
    "label2id": {"a": 0, "b": 1, "c": 2},
}


def fields(config: MANNConfig) -> dict:
    return config.to_dict() | {"_name_or_path": None}


def test_every_field_survives_its_file(tmp_path: Path) -> None:
    config = MANNConfig(**EVERYTHING)
    config.save_pretrained(tmp_path)
    for again in (MANNConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert type(again) is MANNConfig
        assert type(again.encoder_config) is DistilBertConfig
        for name, value in EVERYTHING.items():
            if name != "encoder_config":
                assert getattr(again, name) == value, name
        assert again.encoder_config.to_dict() == config.encoder_config.to_dict()
        assert fields(again) == fields(config)


def test_defaults_survive_their_file(tmp_path: Path) -> None:
    MANNConfig().save_pretrained(tmp_path)
    assert fields(MANNConfig.from_pretrained(tmp_path)) == fields(MANNConfig())
    assert MANNConfig().model_type == json.loads((tmp_path / "config.json").read_text())["model_type"] == "mann"


def test_encoder_config_as_a_dict() -> None:
    as_object = BertConfig(hidden_size=48, num_attention_heads=2)
    config = MANNConfig(encoder_config=as_object.to_dict())
    assert isinstance(config.encoder_config, BertConfig)
    assert config.hidden_size == config.encoder_config.hidden_size == 48


def test_the_number_of_nearest_slots_is_called_as_the_page_has_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8")
    (written,) = re.findall(r"`reading_options=(\{.*?\})`", page)
    options = ast.literal_eval(written)
    for name in (name for name, kind in READINGS.items() if kind.takes_nearest):
        config = MANNConfig(store="faiss", reading=name, reading_options=options)
        reading = READINGS[name](8, **config.reading_options)
        assert vars(reading)["nearest"] == 32
    assert MANNConfig(store="faiss").reading_options == {}, "128 is the reading's own"


def test_the_default_reading_with_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the targets where it takes the nearest slots; with a store that compares all it is always theirs."""
    assert MANNConfig(store="faiss").reading == "least_squares" and MANNConfig().reading == "logistic"
    monkeypatch.setattr(type(targets_of(None)), "default_reading", "attention")
    config = MANNConfig(store="faiss")
    assert (config.reading, config.reading_options) == ("attention", {"nearest": 128})
    monkeypatch.setitem(STORES._parts, "from outside", type("Outside", (ExactStore,), {}))
    assert MANNConfig(store="from outside", reading="logistic").reading == "logistic"
    assert MANNConfig(store="from outside").reading_options == {}


def test_an_option_by_its_old_name(tmp_path: Path) -> None:
    """As in configurations and folders that were saved before."""
    options: dict[str, Any] = {"neighbours": 7, "ridge": 0.5}
    config = MANNConfig(reading="least_squares", reading_options=options)
    assert config.reading_options == {"nearest": 7, "ridge": 0.5}
    written = {**config.to_dict(), "reading_options": options}
    (tmp_path / "config.json").write_text(json.dumps(written))
    assert MANNConfig.from_pretrained(tmp_path).reading_options == {"nearest": 7, "ridge": 0.5}
    reading = READINGS["least_squares"](8, **options)
    assert vars(reading)["nearest"] == 7
    objective: Any = LeaveOneOut("least_squares", reading_options=options)
    assert objective.own.options["nearest"] == 7
    with pytest.raises(InvalidInputError, match="neighbours is the old name of nearest: give one of them"):
        MANNConfig(reading="least_squares", reading_options={"neighbours": 7, "nearest": 8})
    with pytest.raises(InvalidInputError, match="neighbours.*which the reading 'attention' does not know"):
        MANNConfig(reading="attention", reading_options={"neighbours": 7})


def test_an_option_that_is_the_readings_own_by_default_may_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a reading from outside as well, whatever the option is called."""

    class Leaning(PrototypeReading):
        def __init__(self, key_size: int, lean: float | None = None, **kwargs: Any) -> None:
            super().__init__(key_size, **kwargs)

    monkeypatch.setitem(READINGS._parts, "leaning", Leaning)
    for options in ({"lean": None, "sharpness": None}, {"lean": 0.5, "sharpness": 2.0}):
        assert MANNConfig(reading="leaning", reading_options=options).reading_options == options
    for wrong in ("much", True):
        with pytest.raises(InvalidInputError, match="lean in reading_options is .*; give a finite number"):
            MANNConfig(reading="leaning", reading_options={"lean": wrong})


@pytest.mark.parametrize("field", ["prompts", "reading_options"])
def test_what_a_caller_passed_is_not_shared(field: str) -> None:
    mine: dict = {}
    given: dict[str, Any] = {field: mine}
    config = MANNConfig(**given)
    getattr(config, field)["ridge"] = 1
    assert mine == {} and getattr(MANNConfig(), field) == {}


@pytest.mark.parametrize("kind", ["pooling", "reading", "similarity", "eviction", "store"])
def test_unknown_name_shows_the_choices(kind: str) -> None:
    registries: dict[str, Any] = {
        "pooling": POOLINGS,
        "reading": READINGS,
        "similarity": SIMILARITIES,
        "eviction": EVICTIONS,
        "store": STORES,
    }
    unknown: dict[str, Any] = {kind: "telepathy"}
    with pytest.raises(UnknownNameError) as told:
        MANNConfig(**unknown)
    assert "'telepathy'" in str(told.value)
    assert all(repr(name) in str(told.value) for name in registries[kind])


def test_unknown_problem_type_shows_the_choices() -> None:
    with pytest.raises(ValueError, match="single_label_classification.*multi_label_classification.*regression"):
        MANNConfig(problem_type="ranking")


def test_prompt_by_name() -> None:
    assert MANNConfig(prompts={"query": "find: "}).prompt == ""
    assert MANNConfig(prompts={"query": "find: "}, prompt_name="query").prompt == "find: "
    with pytest.raises(ValueError, match="'passage'.*'query'"):
        MANNConfig(prompts={"query": "find: "}, prompt_name="passage")


def test_default_reading_can_serve_every_problem() -> None:
    for problem_type in (None, SINGLE_LABEL, MULTI_LABEL, REGRESSION):
        config = MANNConfig(problem_type=problem_type)
        assert (problem_type or SINGLE_LABEL) in READINGS[config.reading].problem_types


def test_a_store_is_for_readings_of_the_nearest_entries() -> None:
    assert (MANNConfig().store, MANNConfig().reading, MANNConfig().reading_options) == ("exact", "logistic", {})
    assert MANNConfig(store="faiss").reading == "least_squares"
    assert MANNConfig(store="faiss", reading="attention").reading_options == {"nearest": 128}
    assert (
        MANNConfig(store="faiss", reading="attention", reading_options={"nearest": 9}).reading_options["nearest"] == 9
    )
    assert MANNConfig(reading="attention").reading_options == {}
    with pytest.raises(InvalidInputError, match="'logistic' reads every slot; choose the reading 'attention' or '"):
        MANNConfig(store="faiss", reading="logistic")


def test_a_file_without_a_store_means_the_exact_one(tmp_path: Path) -> None:
    MANNConfig(store="faiss").save_pretrained(tmp_path)
    assert MANNConfig.from_pretrained(tmp_path).store == "faiss"
    written = json.loads((tmp_path / "config.json").read_text())
    del written["store"]
    (tmp_path / "config.json").write_text(json.dumps(written))
    config = MANNConfig.from_pretrained(tmp_path)
    assert (config.store, config.reading) == ("exact", "least_squares")


def test_single_label_problem_with_one_label_can_be_configured() -> None:
    config = MANNConfig(problem_type=SINGLE_LABEL, id2label={0: "only"}, label2id={"only": 0})
    assert config.num_labels == 1


@pytest.mark.parametrize("capacity", [0, -1, 1.5, "many", True])
def test_capacity_that_is_none(capacity: Any) -> None:
    with pytest.raises(ValueError, match="capacity"):
        MANNConfig(capacity=capacity)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("encoder_name", "x" * 300),
        ("encoder_name", "a\ud800"),
        ("reading", np.array(["attention", "logistic"])),
        ("problem_type", pd.NA),
        ("problem_type", 1),
        ("num_labels", "x"),
        ("num_labels", 1.5),
        ("id2label", 3),
        ("id2label", {"x": "a"}),
        ("id2label", {1: "a", 2: "b"}),
        ("label2id", ["a"]),
    ],
)
def test_what_is_no_value_of_a_field_is_refused_by_name(field: str, value: Any) -> None:
    given: dict[str, Any] = {field: value}
    with pytest.raises(InvalidInputError, match=f"{field} is .*; give a"):
        MANNConfig(**given)


def test_only_logits_are_predictions_to_the_trainer() -> None:
    outputs = {field.name for field in dataclasses.fields(MANNClassifierOutput)}
    assert outputs - {*MANNConfig.keys_to_ignore_at_inference} == {"loss", "logits"}
    assert "keys_to_ignore_at_inference" not in MANNConfig().to_dict()


@pytest.mark.parametrize("parts", [(), ("encoder_config",), ("encoder_config", "text_config")])
def test_more_labels_than_anybody_has_take_no_memory(parts: tuple[str, ...], tmp_path: Path) -> None:
    told: dict[str, Any] = {"model_type": "mann", "encoder_config": {"model_type": "bert", "text_config": {}}}
    place = told
    for part in parts:
        place = place[part]
    place["num_labels"] = 10**12
    (tmp_path / "config.json").write_text(json.dumps(told))
    for load in (AutoConfig, MANNConfig):
        with pytest.raises(InvalidInputError, match="has num_labels = 1,000,000,000,000; there may be 65,536"):
            load.from_pretrained(tmp_path)


def test_the_outputs_that_a_configuration_names() -> None:
    content = MANNConfig(problem_type="multi_label_classification").to_dict()
    assert MANNConfig.from_dict({**content, "id2label": {}, "label2id": {}}).problem_type, "all labels are forgotten"
    for names, problem_type in (({"1": "a"}, "multi_label_classification"), ({}, "regression")):
        with pytest.raises(InvalidInputError, match="names each output from 0 on"):
            MANNConfig.from_dict({**content, "id2label": names, "problem_type": problem_type})


def test_the_configuration_of_a_living_encoder_stays_as_it_is() -> None:
    encoder: Any = BertConfig(hidden_size=48, num_attention_heads=2, attn_implementation="eager")  # type: ignore[call-arg]
    MANNConfig(encoder_config=encoder)
    assert encoder._attn_implementation == "eager"
