"""The settings of sentence-transformers folders: both file formats, what is refused, and the same vectors as theirs."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from transformers import AutoTokenizer

from mann_hf.controllers.text import pad, tokenize
from mann_hf.controllers.text_encoder import embed
from mann_hf.errors import EncoderNotFoundError, InvalidInputError
from mann_hf.hub.encoders import load_encoder
from mann_hf.hub.sentence_transformers import TextEncoderSettings, read_settings
from mann_hf.hub.source import Source

NAME = "someone/encoder"
PLAIN = TextEncoderSettings("mean", False, None, {}, None)
OLD = "sentence_transformers.models."
NEW = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
}

Files = dict[str, Any]
Write = Callable[..., Path]


def settings_of(place: str | Path, **hub: Any) -> TextEncoderSettings | None:
    return read_settings(Source.of(place, hub))


def modules(*kinds: str, **paths: str) -> list[dict[str, Any]]:
    """A modules.json of these kinds; an unknown kind is a full name."""
    return [
        {
            "idx": index,
            "name": str(index),
            "path": paths.get(kind, "" if kind == "Transformer" else f"{index}_{kind}"),
            "type": NEW.get(kind, kind),
        }
        for index, kind in enumerate(kinds)
    ]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a folder of a Transformer and a mean Pooling; `files` are put over it, None takes one away."""

    def write(files: Files | None = None) -> Path:
        folder = tmp_path / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        everything: Files = {
            "modules.json": modules("Transformer", "Pooling"),
            "1_Pooling/config.json": {"embedding_dimension": 8, "pooling_mode": "mean"},
            **(files or {}),
        }
        for name, content in everything.items():
            if content is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return folder

    return write


# What a folder says


def test_a_folder_of_another_kind_gives_none(tiny_encoder: Path):
    assert settings_of(tiny_encoder) is None


def test_the_older_format(write: Write):
    folder = write(
        {
            "modules.json": [
                {"idx": 0, "name": "0", "path": "", "type": OLD + "Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": OLD + "Pooling"},
                {"idx": 2, "name": "2", "path": "2_Normalize", "type": OLD + "Normalize"},
            ],
            "1_Pooling/config.json": {
                "word_embedding_dimension": 8,
                "pooling_mode_cls_token": True,
                "pooling_mode_mean_tokens": False,
                "pooling_mode_max_tokens": False,
                "pooling_mode_mean_sqrt_len_tokens": False,
            },
            "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": True},
            "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "2.0.0"}},
        }
    )
    assert settings_of(folder) == TextEncoderSettings("cls", True, 256, {}, None, lower_case=True)


def test_the_newer_format(write: Write):
    folder = write(
        {
            "modules.json": modules("Transformer", "Pooling", "Normalize"),
            "1_Pooling/config.json": {"embedding_dimension": 8, "pooling_mode": "lasttoken", "include_prompt": True},
            "2_Normalize/config.json": {
                "module_input_name": "sentence_embedding",
                "module_output_name": "sentence_embedding",
            },
            "sentence_bert_config.json": {
                "transformer_task": "feature-extraction",
                "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
                "module_output_name": "token_embeddings",
            },
            "config_sentence_transformers.json": {
                "model_type": "SentenceTransformer",
                "prompts": {"query": "query: ", "document": None},
                "default_prompt_name": "query",
                "similarity_fn_name": "dot",
            },
        }
    )
    settings = settings_of(str(folder))
    assert settings == TextEncoderSettings("last_token", True, None, {"query": "query: ", "document": ""}, "query")


def test_what_is_not_said_has_no_value(write: Write):
    assert settings_of(write()) == PLAIN


def test_without_a_pooling_module_there_is_no_pooling(write: Write):
    settings = settings_of(write({"modules.json": modules("Transformer")}))
    assert settings == PLAIN._replace(pooling=None)


@pytest.mark.parametrize(
    "theirs, ours", [("cls", "cls"), ("max", "max"), ("mean", "mean"), ("lasttoken", "last_token"), (["max"], "max")]
)
def test_poolings_by_name(write: Write, theirs, ours):
    settings = settings_of(write({"1_Pooling/config.json": {"pooling_mode": theirs}}))
    assert settings == PLAIN._replace(pooling=ours)


@pytest.mark.parametrize("flag, ours", [("cls_token", "cls"), ("max_tokens", "max"), ("lasttoken", "last_token")])
def test_poolings_by_flag(write: Write, flag, ours):
    flags = {"pooling_mode_mean_tokens": False, f"pooling_mode_{flag}": True}
    assert settings_of(write({"1_Pooling/config.json": flags})) == PLAIN._replace(pooling=ours)


def test_no_flag_is_the_mean(write: Write):
    assert settings_of(write({"1_Pooling/config.json": {"word_embedding_dimension": 8}})) == PLAIN


def test_the_length_limit_is_found_under_the_older_names_of_its_file(write: Write):
    folder = write({"sentence_xlm-roberta_config.json": {"max_seq_length": 77}})
    assert settings_of(folder) == PLAIN._replace(max_length=77)


def test_arguments_that_change_no_vector_are_passed_over(write: Write):
    model = {"add_pooling_layer": False, "low_cpu_mem_usage": True, "use_safetensors": True, "cache_dir": None}
    for setting, arguments in (
        ("model_args", {"dtype": "float16", "trust_remote_code": True}),
        ("model_args", {**model, "token": None, "local_files_only": True, "_attn_implementation": "sdpa"}),
        ("config_args", {"use_cache": False, "reference_compile": False}),
        ("tokenizer_args", {"padding_side": "left", "use_fast": True, "clean_up_tokenization_spaces": False}),
        ("config_kwargs", {}),
        ("processor_kwargs", None),
    ):
        assert settings_of(write({"sentence_bert_config.json": {setting: arguments}})) == PLAIN


@pytest.mark.parametrize("setting", ["tokenizer_args", "processor_kwargs"])
def test_the_limit_of_the_tokenizers_arguments_is_the_one(write: Write, setting: str) -> None:
    for longest in (None, 77, 4):  # as SentenceTransformer counts the tokens
        config = {"max_seq_length": longest, setting: {"model_max_length": 8}}
        settings = settings_of(write({"sentence_bert_config.json": config}))
        assert settings == PLAIN._replace(max_length=8)


def test_poolings_are_those_of_the_file_in_its_order(write: Write):
    for config, pooling in (
        ({"pooling_mode": "weightedmean"}, "weighted_mean"),
        ({"pooling_mode": ["max", "cls"]}, "max+cls"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_sqrt_len_tokens": True}, "max+mean_sqrt_len"),
    ):
        settings = settings_of(write({"1_Pooling/config.json": config}))
        assert settings is not None
        assert settings.pooling == pooling


# What is refused


@pytest.mark.parametrize(
    "files, named",
    [
        ({"modules.json": modules("Transformer", "Pooling", OLD + "Dense")}, "Dense"),
        ({"modules.json": modules("Transformer", OLD + "WeightedLayerPooling", "Pooling")}, "WeightedLayerPooling"),
        ({"modules.json": modules("their_code.Transformer", "Pooling")}, r"their_code\.Transformer"),
        ({"modules.json": modules("Transformer", "Pooling", "Pooling")}, "second module of the kind Pooling"),
        ({"modules.json": modules("Transformer", "Normalize", "Pooling")}, "Transformer, Normalize, Pooling"),
        ({"modules.json": modules("Pooling")}, "modules come as Pooling"),
        ({"modules.json": []}, "modules come as none"),
        ({"modules.json": modules("Transformer", "Pooling", Pooling="../other")}, "outside the folder"),
        ({"modules.json": modules("Transformer", "Pooling", Pooling="/etc")}, "outside the folder"),
        ({"modules.json": modules("Transformer", "Pooling", Pooling="a\0b")}, "can be no folder"),
        ({"modules.json": modules("Transformer", "Pooling", Pooling="\ud800")}, "can be no folder"),
        ({"modules.json": modules("Transformer", "Pooling", Pooling="a" * 5000)}, "can be no folder"),
        ({"modules.json": "{"}, r"modules\.json is no JSON"),
        ({"modules.json": "null"}, r"modules\.json holds nothing but null"),
        ({"1_Pooling/config.json": None}, r"1_Pooling/config\.json .* missing"),
        ({"1_Pooling/config.json": {"pooling_mode": "median"}}, "pooling median"),
        ({"1_Pooling/config.json": {"pooling_mode": ["cls", "median"]}}, "pooling median"),
        ({"modules.json": modules("Transformer", OLD + "Dense", "Pooling")}, "Transformer, Dense, Pooling"),
        ({"modules.json": modules("Transformer", OLD + "Dense")}, "modules come as Transformer, Dense"),
        ({"1_Pooling/config.json": {"pooling_mode": "weightedmean", "include_prompt": False}}, "include_prompt=False"),
        (
            {
                "modules.json": modules("Transformer", "Pooling", "Normalize"),
                "2_Normalize/config.json": {"module_input_name": "token_embeddings"},
            },
            "module_input_name 'token_embeddings'",
        ),
        ({"sentence_bert_config.json": {"transformer_task": "fill-mask"}}, "transformer_task 'fill-mask'"),
        ({"sentence_bert_config.json": {"processing_kwargs": {"text": {"max_length": 3}}}}, "processing_kwargs"),
        ({"sentence_bert_config.json": {"config_args": {"num_hidden_layers": 1}}}, "config_args num_hidden_layers=1"),
        ({"sentence_bert_config.json": {"model_kwargs": {"is_decoder": True}}}, "model_kwargs is_decoder=True"),
        ({"sentence_bert_config.json": {"tokenizer_args": {"do_lower_case": True}}}, "tokenizer_args do_lower_case"),
        (
            {"sentence_bert_config.json": {"processor_kwargs": {"model_max_length": "8"}}},
            "processor_kwargs model_max_len",
        ),
        ({"sentence_bert_config.json": {"config_args": {"model_max_length": 8}}}, "config_args model_max_length=8"),
        ({"sentence_bert_config.json": {"model_args": ["x"]}}, r"its model_args \['x'\], where names with values"),
        ({"sentence_bert_config.json": {"tokenizer_args": "x"}}, "its tokenizer_args 'x', where names with values"),
        ({"sentence_bert_config.json": {"modality_config": {"message": {}}}}, "modality_config"),
        ({"config_sentence_transformers.json": {"model_type": "SparseEncoder"}}, "it is a SparseEncoder"),
        ({"config_sentence_transformers.json": {"truncate_dim": 0}}, "its truncate_dim 0"),
        ({"config_sentence_transformers.json": {"truncate_dim": "4"}}, "its truncate_dim '4'"),
        (
            {"config_sentence_transformers.json": {"default_prompt_name": "query"}},
            "default prompt 'query' is not among its prompts",
        ),
    ],
)
def test_what_is_not_carried_is_named(write: Write, files: Files, named: str):
    with pytest.raises(InvalidInputError, match=named):
        settings_of(write(files))


# On the Hub


def test_a_repository_is_read_with_its_revision_token_and_cache(write: Write, hub: Any, tmp_path: Path):
    hub.add(NAME, write({"sentence_bert_config.json": {"max_seq_length": 9}}))
    settings = settings_of(NAME, revision="v1", token="hf_secret", cache_dir=tmp_path / "cache")
    assert settings == PLAIN._replace(max_length=9)
    assert {(request["revision"], request["token"]) for request in hub.requests} == {("v1", "Bearer hf_secret")}
    assert list((tmp_path / "cache").glob("models--*"))
    hub.stop()
    offline = settings_of(NAME, revision="v1", cache_dir=tmp_path / "cache", local_files_only=True)
    assert offline == settings


def test_a_repository_of_another_kind_gives_none(hub: Any, tiny_encoder: Path):
    hub.add(NAME, tiny_encoder)
    assert settings_of(NAME) is None


def test_a_failed_download_is_not_read_as_nothing_there(hub: Any, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client waits between its tries
    hub.refusals[NAME] = (503, "")
    with pytest.raises(EncoderNotFoundError, match=r"modules\.json .* cannot be reached"):
        settings_of(NAME)


def test_a_refusal_of_the_hub_is_not_read_as_nothing_there(hub: Any):
    hub.refusals[NAME] = (403, "GatedRepo")
    with pytest.raises(OSError, match="gated"):
        settings_of(NAME)


def test_offline_what_the_cache_does_not_know_is_taken_as_absent_with_a_warning(
    hub: Any, tiny_encoder: Path, warnings: list[str], monkeypatch
):
    hub.add(NAME, tiny_encoder)
    assert settings_of(NAME, local_files_only=True) is None
    assert ["modules.json" in line for line in warnings] == [True]
    assert settings_of(NAME) is None
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert settings_of(NAME) is None  # the cache knows by now that there is none
    assert len(warnings) == 1


# Against the package itself


@pytest.mark.parametrize(
    "flag, normalize", [("mean_tokens", True), ("cls_token", False), ("max_tokens", False), ("lasttoken", True)]
)
def test_vectors_are_those_of_sentence_transformers(write: Write, tiny_encoder: Path, tmp_path, flag: str, normalize):
    package = pytest.importorskip("sentence_transformers")
    kinds = ["Transformer", "Pooling", "Normalize"] if normalize else ["Transformer", "Pooling"]
    older = write(
        {
            "modules.json": [{**module, "type": OLD + module["type"].split(".")[-1]} for module in modules(*kinds)],
            "1_Pooling/config.json": {
                "word_embedding_dimension": 32,
                "pooling_mode_mean_tokens": False,
                f"pooling_mode_{flag}": True,
            },
            "sentence_bert_config.json": {"max_seq_length": 8, "do_lower_case": False},
            "config_sentence_transformers.json": {"prompts": {"query": "my "}, "default_prompt_name": "query"},
        }
    )
    shutil.copytree(tiny_encoder, older, dirs_exist_ok=True)
    model = package.SentenceTransformer(str(older), device="cpu")
    texts = ["card lost", "why was the new payment not on the account", "i"]
    expected = torch.from_numpy(model.encode(texts))
    model.save(str(tmp_path / "as-it-saves"))

    for folder in (older, tmp_path / "as-it-saves"):
        settings = settings_of(folder)
        assert settings is not None
        assert settings.pooling is not None
        tokenizer = AutoTokenizer.from_pretrained(folder)
        limit = settings.max_length or tokenizer.model_max_length
        encodings = tokenize(tokenizer, texts, max_length=limit, prompt="my ")
        inputs: dict[str, Any] = pad(tokenizer, encodings, range(len(texts)))
        with torch.no_grad():
            keys = embed(load_encoder(folder).eval(), settings.pooling, settings.normalize, **inputs)
        torch.testing.assert_close(keys, expected, rtol=1e-5, atol=1e-5)
