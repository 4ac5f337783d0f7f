"""Encoders of other families than BERT as controllers: made, taught, asked, saved, loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from transformers import AutoConfig, AutoModel

from mann_hf import MANNForSequenceClassification
from mann_hf.controllers.pooling import POOLINGS

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
CAUSAL = SMALL | {"num_key_value_heads": 2, "initializer_range": 0.2}
FAMILIES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "initializer_range": 0.2},
    "roberta": SMALL | {"max_position_embeddings": 70, "pad_token_id": 0, "initializer_range": 0.2},
    "mpnet": SMALL | {"max_position_embeddings": 70, "pad_token_id": 0, "initializer_range": 0.2},
    "modernbert": SMALL | {"pad_token_id": 0, "initializer_range": 0.2, "global_attn_every_n_layers": 2},
    "qwen2": CAUSAL,
    "llama": CAUSAL | {"pad_token_id": 0},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 70, "initializer_range": 0.2},
    "t5": {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 2, "num_heads": 2, "pad_token_id": 0},
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 70,
        "pad_token_id": 0,
        "init_std": 0.2,
    },
}
DECODERS = {"qwen2", "llama", "gpt2"}


def make(family: str, folder: Path, tokenizer: Any, **kwargs: Any) -> Any:
    """A model around a tiny random encoder of a family, with a tokenizer as decoders have it where it is one."""
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), **FAMILIES[family])
    AutoModel.from_config(config).save_pretrained(folder)
    if family in DECODERS:
        tokenizer.padding_side = "left" if family != "gpt2" else "right"
        kwargs = {"pooling": "last_token", **kwargs}
    tokenizer.save_pretrained(folder)
    return MANNForSequenceClassification.from_encoder_pretrained(folder, **kwargs)


@pytest.mark.parametrize("family", FAMILIES)
def test_made_taught_asked_saved_and_loaded(
    family: str, tmp_path: Path, tiny_tokenizer: Any, texts: list[str], labels: list[str]
) -> None:
    pipeline: Any = transformers.pipeline
    classifier = pipeline("few-shot-text-classification", model=make(family, tmp_path / "encoder", tiny_tokenizer))
    classifier.remember(texts, labels)
    answers = classifier(texts, top_k=None)
    for text, answer in zip(texts, answers, strict=True):
        alone = {part["label"]: part["score"] for part in classifier(text, top_k=None)}
        assert all(part["score"] == pytest.approx(alone[part["label"]], abs=1e-4) for part in answer)
    assert sum(answer[0]["label"] == label for answer, label in zip(answers, labels, strict=True)) >= 4

    classifier.save_pretrained(tmp_path / "saved")
    again = pipeline("few-shot-text-classification", model=str(tmp_path / "saved"))
    assert again(texts, top_k=None) == answers
    again.remember("one more", "3")

    stock = pipeline("text-classification", model=str(tmp_path / "saved"))
    for answer, other in zip(answers, stock(texts), strict=True):
        assert (other["label"], other["score"]) == (answer[0]["label"], pytest.approx(answer[0]["score"], abs=1e-4))


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")  # renamed in transformers 5.23
@pytest.mark.parametrize("family", FAMILIES)
def test_trained_on_episodes(family: str, tmp_path: Path, tiny_tokenizer: Any) -> None:
    model = make(family, tmp_path, tiny_tokenizer).train()
    if model.encoder.supports_gradient_checkpointing:
        model.gradient_checkpointing_enable()
    tokens = torch.randint(5, 200, (9, 8))
    mask = torch.ones_like(tokens)
    mask[::2, 6:] = 0
    loss = model(
        input_ids=tokens[:3],
        attention_mask=mask[:3],
        labels=torch.tensor([0, 1, 2]),
        support_input_ids=tokens[3:],
        support_attention_mask=mask[3:],
        support_labels=torch.tensor([0, 1, 2, 0, 1, 2]),
    ).loss
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", ["bert", "qwen2"])
def test_poolings_by_name(
    family: str,
    pooling: str,
    build: Callable,
    tmp_path: Path,
    tiny_tokenizer: Any,
    texts: list[str],
) -> None:
    model = build(pooling=pooling) if family == "bert" else make(family, tmp_path, tiny_tokenizer, pooling=pooling)
    keys = model.embed_texts(tiny_tokenizer, texts)
    for text, key in zip(texts, keys, strict=True):
        tokens = torch.tensor([tiny_tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = model.encoder(input_ids=tokens).last_hidden_state[0]
        pooled = {
            "mean": states.mean(0),
            "max": states.max(0).values,
            "cls": states[0],
            "last_token": states[-1],
        }[pooling]
        assert torch.allclose(key, pooled / pooled.norm(), atol=1e-5)
    assert make_again(model, tmp_path / "saved").config.pooling == pooling


def make_again(model: Any, folder: Path) -> Any:
    model.save_pretrained(folder)
    return MANNForSequenceClassification.from_pretrained(folder)


class TestSentenceTransformersFolders:
    """Vectors must be those of the package itself."""

    @staticmethod
    def write(
        folder: Path, encoder: Path, pooling: str = "cls", normalize: bool = True, limit: int = 9, **settings: Any
    ) -> Path:
        """A folder by hand, in the form that every version of the package reads."""
        shutil.copytree(encoder, folder, dirs_exist_ok=True)
        names = ["Transformer", "Pooling", "Normalize"][: 3 if normalize else 2]
        modules = [
            {
                "idx": n,
                "name": str(n),
                "path": f"{n}_{name}" if n else "",
                "type": f"sentence_transformers.models.{name}",
            }
            for n, name in enumerate(names)
        ]
        flag = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "lasttoken": "lasttoken"}[pooling]
        files: dict[str, Any] = {
            "modules.json": modules,
            "sentence_bert_config.json": {"max_seq_length": limit, "do_lower_case": False},
            "config_sentence_transformers.json": settings,
            "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False}
            | {f"pooling_mode_{flag}": True},
        }
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(json.dumps(content))
        if normalize:
            (folder / "2_Normalize").mkdir()
        return folder

    @pytest.mark.parametrize("pooling", ["cls", "mean", "max", "lasttoken"])
    @pytest.mark.parametrize("normalize", [True, False])
    def test_vectors_are_those_of_the_package(
        self, tmp_path: Path, tiny_encoder: Path, pooling: str, normalize: bool, texts: list[str]
    ) -> None:
        folder = self.write(
            tmp_path / "encoder",
            tiny_encoder,
            pooling,
            normalize,
            prompts={"query": "please find: ", "document": ""},
            default_prompt_name="query",
        )
        model: Any = MANNForSequenceClassification.from_encoder_pretrained(folder)
        asked = [*texts, "a much longer text than the encoder reads of any text, which is cut"]
        expected = SentenceTransformer(str(folder), device="cpu").encode(asked, convert_to_tensor=True)
        assert model.max_length(model.load_tokenizer()) == 9
        for one in (model, make_again(model, tmp_path / "saved")):
            found = one.embed_texts(one.load_tokenizer() if one is model else model.load_tokenizer(), asked)
            assert torch.allclose(found, expected.cpu(), atol=1e-5)

    def test_another_prompt_by_name(self, tmp_path: Path, tiny_encoder: Path, texts: list[str]) -> None:
        folder = self.write(tmp_path, tiny_encoder, prompts={"query": "please find: ", "document": "this is "})
        expected = SentenceTransformer(str(folder), device="cpu")
        model: Any = MANNForSequenceClassification.from_encoder_pretrained(folder, prompt_name="document")
        found = model.embed_texts(model.load_tokenizer(), texts)
        assert torch.allclose(found, expected.encode(texts, prompt_name="document", convert_to_tensor=True), atol=1e-5)
        plain: Any = MANNForSequenceClassification.from_encoder_pretrained(folder)
        assert torch.allclose(
            plain.embed_texts(plain.load_tokenizer(), texts), expected.encode(texts, convert_to_tensor=True), atol=1e-5
        )

    def test_what_the_caller_says_wins(self, tmp_path: Path, tiny_encoder: Path) -> None:
        folder = self.write(tmp_path, tiny_encoder, prompts={"query": "please find: "}, default_prompt_name="query")
        model = MANNForSequenceClassification.from_encoder_pretrained(
            folder, pooling="mean", normalize=False, max_seq_length=20, prompt_name=None
        )
        config = model.config
        assert (config.pooling, config.normalize, config.max_seq_length, config.prompt) == ("mean", False, 20, "")
