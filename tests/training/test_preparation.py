"""Which parts of a model learn, for each thing that may be asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mann_hf import EpisodicTrainingArguments
from mann_hf.errors import InvalidInputError, InvalidTypeError
from mann_hf.targets import TARGETS
from mann_hf.training import OBJECTIVES
from mann_hf.training.preparation import prepare_model

Prepare = Callable[..., Any]


@pytest.fixture
def model(tiny_classifier: Callable[..., Any]) -> Any:
    return tiny_classifier()


@pytest.fixture
def prepare(model: Any, tmp_path: Path) -> Prepare:
    def prepared(peft_config: Any = None, options: dict | None = None, **arguments: Any) -> Any:
        args = EpisodicTrainingArguments(str(tmp_path), use_cpu=True, report_to="none", **arguments)
        return prepare_model(model, args, peft_config, OBJECTIVES[args.objective](**(options or {})))

    return prepared


@pytest.fixture
def lora() -> Any:
    return pytest.importorskip("peft").LoraConfig(r=2, target_modules=["query", "value"])


def learning(model: Any) -> set[str]:
    """The names of the parameters that learn."""
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_all_weights_learn_but_those_that_are_frozen_already(model: Any, prepare: Prepare) -> None:
    model.encoder.embeddings.requires_grad_(False)
    before = learning(model)
    assert prepare() is model
    assert learning(model) == before and not any("embeddings" in name for name in before)
    assert "reading.log_sharpness" in before and len(before) > 30


def test_the_memorys_parameters_alone(prepare: Prepare) -> None:
    assert learning(prepare(trainable="memory")) == {"reading.log_sharpness"}


@pytest.mark.parametrize("trainable", ["full", "adapter"])
def test_an_adapter_and_the_memorys_parameters(prepare: Prepare, lora: Any, trainable: str) -> None:
    names = learning(prepare(lora, trainable=trainable))
    assert {name for name in names if "lora_" not in name} == {"reading.log_sharpness"}
    assert len(names) == 1 + 2 * 2 * 2, "two matrices on query and value of two layers"


def test_an_adapter_that_the_model_has_learns_on(model: Any, prepare: Prepare, lora: Any) -> None:
    model.add_adapter(lora)
    before = learning(model)
    assert learning(prepare(trainable="adapter")) == before
    with pytest.raises(InvalidInputError, match="has an adapter already.*give no peft_config"):
        prepare(lora)


def test_a_memorys_parameters_take_an_objective_that_reads_with_them(prepare: Prepare) -> None:
    for objective in ("leave_one_out", "resampled", "supervised_contrastive"):
        with pytest.raises(
            InvalidInputError, match=f"'{objective}' does not use the reading of the model.*objective=\"episode\""
        ):
            prepare(trainable="memory", objective=objective)
    assert learning(prepare(trainable="memory", objective="resampled", options={"reading": None})) == {
        "reading.log_sharpness"
    }


def test_an_encoder_that_cannot_learn_is_told(model: Any, prepare: Prepare, told: Callable[[], list[str]]) -> None:
    prepare()
    prepare(trainable="memory")
    assert not told()
    prepare()
    assert any("no weight of the encoder is trainable (trainable='full')" in line for line in told())
    model.requires_grad_(False)
    with pytest.raises(InvalidInputError, match="no weight of the model is trainable"):
        prepare()


def test_what_does_not_go_together(prepare: Prepare, lora: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match='trainable="adapter" needs a peft_config'):
        prepare(trainable="adapter")
    with pytest.raises(InvalidInputError, match='a peft_config is for the encoder, which trainable="memory" does not'):
        prepare(lora, trainable="memory")


@pytest.mark.parametrize("problem_type", sorted({*TARGETS} - {"single_label_classification"}))
def test_models_of_other_problems_are_refused(prepare: Prepare, model: Any, problem_type: str) -> None:
    model.config.problem_type = problem_type
    with pytest.raises(
        InvalidInputError,
        match=f"the model has problem_type='{problem_type}', and the objective 'episode' takes 'single_label_classif",
    ):
        prepare()


def test_an_objective_says_which_problems_it_serves(
    prepare: Prepare, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OBJECTIVES["episode"], "serves", classmethod(lambda cls, targets: targets.several))
    with pytest.raises(InvalidInputError, match="the objective 'episode' takes 'multi_label_classification'"):
        prepare()
    model.config.problem_type = "multi_label_classification"
    assert prepare() is model


def test_other_models_are_refused(tiny_encoder_model: Any, tmp_path: Path) -> None:
    args = EpisodicTrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    with pytest.raises(InvalidTypeError, match="the model is of type BertModel; give a MANNForSequence"):
        prepare_model(tiny_encoder_model, args, None, OBJECTIVES["episode"]())


def test_a_memory_that_could_not_follow_the_encoder(tiny_classifier: Callable[..., Any], tmp_path: Path) -> None:
    model = tiny_classifier(store_texts=False)
    model.remember(torch.rand(1, model.config.key_size), ["card"], ["where is my card"])
    args = EpisodicTrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    with pytest.raises(InvalidInputError, match="keeps no texts .store_texts=False."):
        prepare_model(model, args, None, OBJECTIVES[args.objective]())


def test_an_adapter_that_the_model_does_not_know(model: Any, prepare: Prepare, lora: Any) -> None:
    model.encoder.add_adapter(lora)
    with pytest.raises(InvalidInputError, match="call model.add_adapter"):
        prepare()
