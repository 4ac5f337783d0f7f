"""A configuration beside weights: whether it is theirs is seen before anything is built."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, DistilBertConfig, LlamaConfig, LongformerConfig, PreTrainedConfig

from mann_hf.controllers.kinds import TEXT, controller_of
from mann_hf.errors import FolderError
from mann_hf.hub.weight_sizes import check_fits, headers

SMALL: Any = {
    "vocab_size": 50,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(controller_of(TEXT).build(BertConfig(**SMALL)).state_dict(), path)
    return path


def test_headers_say_what_there_is(weights: Path) -> None:
    state = controller_of(TEXT).build(BertConfig(**SMALL)).state_dict()
    assert headers([weights]) == {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (BertConfig(**SMALL | {"num_hidden_layers": 4000}), "num_hidden_layers = 4,000"),
        (BertConfig(**SMALL | {"hidden_size": 2**20}), "it asks for"),
        (BertConfig(**SMALL | {"vocab_size": 2**31}), "it asks for"),
        (BertConfig(**SMALL | {"intermediate_size": 2**40}), "it asks for"),
        (BertConfig(**SMALL | {"max_position_embeddings": 10**9}), "max_position_embeddings = 1,000,000,000"),
        (DistilBertConfig(n_layers=3000), "n_layers = 3,000"),
        (DistilBertConfig(max_position_embeddings=10**8, sinusoidal_pos_embds=True), "100,000,000"),
        (
            LongformerConfig(**SMALL, max_position_embeddings=40, attention_window=[4000, 4000]),
            "attention_window = 4,000",
        ),
    ],
    ids=[
        "layers",
        "width",
        "vocabulary",
        "inner width",
        "positions",
        "another name",
        "a table that is computed",
        "a window",
    ],
)
def test_what_asks_for_more_is_refused_at_once(weights: Path, config: PreTrainedConfig, why: str) -> None:
    started = time.monotonic()
    with pytest.raises(FolderError, match=f"config.json .* do not belong together: .*{why}") as caught:
        check_fits(config, [weights], lambda: controller_of(TEXT).build(config), "folder")
    assert time.monotonic() - started < 5 and caught.value.file == "config.json"


def test_its_own_configuration_fits(weights: Path) -> None:
    check_fits(BertConfig(**SMALL), [weights], lambda: controller_of(TEXT).build(BertConfig(**SMALL)), "folder")


def test_a_family_without_a_table_may_have_any_number_of_positions(tmp_path: Path) -> None:
    config = LlamaConfig(**SMALL, max_position_embeddings=10_485_760, num_key_value_heads=2)
    save_file(controller_of(TEXT).build(config).state_dict(), tmp_path / "model.safetensors")
    check_fits(config, [tmp_path / "model.safetensors"], lambda: controller_of(TEXT).build(config), tmp_path)


def test_damaged_headers_are_told(weights: Path, tmp_path: Path) -> None:
    whole = weights.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    told = {
        b"": "its header alone",
        whole[:5000]: "bytes of tensors",
        whole + b"\0": "bytes of tensors",
        b"\xff" * 100: "its header alone",
        (2).to_bytes(8, "little") + b"[]": "none of safetensors",
        whole[:8] + b"{" * length + whole[8 + length :]: "no JSON",
    }
    odd = json.dumps({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}).encode()
    told[len(odd).to_bytes(8, "little") + odd + b"\0" * 4] = "the shape of 'a'"
    for content, why in told.items():
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(FolderError, match=f"model.safetensors' is damaged: .*({why})"):
            headers([tmp_path / "model.safetensors"])


def test_a_build_takes_no_memory(weights: Path) -> None:
    seen = []

    def build() -> torch.nn.Module:
        seen.append(controller_of(TEXT).build(BertConfig(**SMALL)))
        return seen[0]

    check_fits(BertConfig(**SMALL), [weights], build, "folder")
    assert all(parameter.device.type == "meta" for parameter in seen[0].parameters())
