"""Wrapped modules are saved under the names that loading asks for, and what nobody could load is not saved."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mann_hf import MANNForSequenceClassification
from mann_hf.errors import InvalidInputError
from mann_hf.memory import READINGS
from mann_hf.models.plain_modules import plain_modules, plain_names


class Twice(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def compiled(module: nn.Module) -> Any:
    return torch.compile(module, backend="eager")


def whole_encoder(model: Any) -> None:
    model.encoder = compiled(model.encoder)


def one_layer(model: Any) -> None:
    model.encoder.encoder.layer[1] = compiled(model.encoder.encoder.layer[1])


def twice_over(model: Any) -> None:
    one_layer(model)
    model.encoder = nn.DataParallel(compiled(model.encoder))


def reading(model: Any) -> None:
    model.reading = compiled(model.reading)


def in_place(model: Any) -> None:
    model.compile(backend="eager")
    model.encoder.compile(backend="eager")


def in_parallel(model: Any) -> None:
    model.encoder = nn.DataParallel(model.encoder)


def parametrized(model: Any) -> None:
    parametrize.register_parametrization(model.encoder.encoder.layer[0].output.dense, "weight", Twice())


@pytest.fixture
def taught(build: Callable, tiny_tokenizer: Any, texts: list[str], labels: list[str]) -> Any:
    model = build(reading="attention", similarity="bilinear")
    model.remember(model.embed_texts(tiny_tokenizer, texts), labels, texts)
    return model


def answers(model: Any, tokenizer: Any) -> Tensor:
    with torch.no_grad():
        return model.read(model.ready_memory(), model.embed_texts(tokenizer, ["where is my card", "refund please"]))


@pytest.mark.parametrize("wrap", [whole_encoder, one_layer, twice_over, reading, in_place, in_parallel, parametrized])
def test_what_is_wrapped_is_saved_under_its_own_names(
    wrap: Callable, taught: Any, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    taught.save_pretrained(tmp_path / "before")
    config = copy.deepcopy(taught.config.to_dict())
    wrap(taught)
    if wrap is parametrized:  # it is another encoder
        with torch.no_grad():
            taught.reencode_memory(tiny_tokenizer)
    expected = answers(taught, tiny_tokenizer)
    taught.save_pretrained(tmp_path / "after")
    names = [load_file(tmp_path / folder / "model.safetensors").keys() for folder in ("before", "after")]
    assert names[0] == names[1]
    assert taught.config.to_dict() == config
    configs = [json.loads((tmp_path / folder / "config.json").read_text()) for folder in ("before", "after")]
    assert configs[0] == configs[1]
    again = MANNForSequenceClassification.from_pretrained(tmp_path / "after")
    assert torch.allclose(answers(again, tiny_tokenizer), expected, atol=1e-6)
    assert torch.equal(answers(taught, tiny_tokenizer), expected), "saving leaves the model as it is"


def test_a_state_that_was_gathered_has_its_names_put_right(taught: Any, tmp_path: Path) -> None:
    own = taught.state_dict()
    twice_over(taught)
    state = taught.state_dict()
    assert state.keys() != own.keys()
    assert plain_names(taught, state).keys() == own.keys()
    taught.save_pretrained(tmp_path, state_dict=state)
    assert load_file(tmp_path / "model.safetensors").keys() == own.keys()


def test_a_module_without_wrappers_is_itself(taught: Any) -> None:
    assert plain_modules(taught) is taught
    whole_encoder(taught)
    plain = plain_modules(taught)
    assert plain is not taught and plain.encoder is taught.encoder._orig_mod
    assert plain.memory is taught.memory


def test_an_adapter_on_a_compiled_encoder_is_saved_by_itself(taught: Any, tiny_tokenizer: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    taught.save_pretrained(tmp_path / "base")
    model: Any = MANNForSequenceClassification.from_pretrained(tmp_path / "base")
    model.add_adapter(peft.LoraConfig(target_modules=["query"], init_lora_weights=False))
    model.reencode_memory(tiny_tokenizer)
    model.save_pretrained(tmp_path / "before")
    whole_encoder(model)
    model.save_pretrained(tmp_path / "after")
    names = [load_file(tmp_path / folder / "model.safetensors").keys() for folder in ("before", "after")]
    assert names[0] == names[1]
    again = MANNForSequenceClassification.from_pretrained(tmp_path / "after")
    expected = model.embed_texts(tiny_tokenizer, ["where is my card"])
    assert torch.allclose(again.embed_texts(tiny_tokenizer, ["where is my card"]), expected, atol=1e-6)


def strange_module(model: Any) -> None:
    model.encoder.extra = nn.Linear(2, 2)


def fewer_layers(model: Any) -> None:
    model.encoder.encoder.layer = model.encoder.encoder.layer[:1]


def wider_layer(model: Any) -> None:
    model.encoder.encoder.layer[0].intermediate.dense = nn.Linear(32, 80)


def another_encoder(model: Any) -> None:
    model.encoder = nn.Linear(2, 2)


def another_reading(model: Any) -> None:
    model.reading = READINGS["prototype"](32, similarity="bilinear")


def pruned(model: Any) -> None:
    from torch.nn.utils import prune

    prune.random_unstructured(model.encoder.encoder.layer[0].output.dense, "weight", 0.5)


@pytest.mark.parametrize(
    "change, named",
    [
        (strange_module, r"weights beyond it: encoder\.extra\.bias"),
        (fewer_layers, r"weights it lacks: encoder\.encoder\.layer\.1"),
        (wider_layer, r"shapes: .*intermediate\.dense\.weight \[80, 32\], not \[64, 32\]"),
        (another_encoder, "weights beyond it"),
        (another_reading, "reading: class 'PrototypeReading', not 'AttentionReading'"),
        (pruned, r"dense\.weight_(mask|orig)"),
    ],
)
def test_what_nobody_could_load_is_refused_before_anything_is_written(
    change: Callable, named: str, taught: Any, tmp_path: Path
) -> None:
    taught.save_pretrained(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    change(taught)
    with pytest.raises(InvalidInputError, match=f"was not saved.*{named}"):
        taught.save_pretrained(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    with pytest.raises(InvalidInputError, match="was not saved"):
        taught.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()
