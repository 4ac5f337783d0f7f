"""Tiny encoder-decoders of several families with random weights, and a tokenizer of words."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    EncoderDecoderConfig,
    MarianConfig,
    PreTrainedTokenizerFast,
    T5Config,
)

from mann_hf.controllers.recurrent import RecurrentSeq2SeqConfig

WORDS = [
    *("the", "a", "dog", "cat", "bird", "sees", "hears", "chases", "red", "blue", "green"),
    *("der", "die", "das", "hund", "katze", "vogel", "sieht", "hört", "jagt", "rote", "blaue", "grüne"),
]
VOCABULARY = {word: number for number, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
SOURCES = ["the dog sees a cat", "a red bird hears the dog", "the blue cat chases a bird"]
TARGETS = ["der hund sieht die katze", "rote vogel hört der hund", "die blaue katze jagt der vogel"]
SPECIAL: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0}
FAMILIES = ("t5", "bart", "marian", "encoder-decoder", "recurrent")


def word_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of `WORDS`."""
    inner = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def tiny_config(family: str) -> Any:
    """The configuration of a tiny model."""
    size = len(VOCABULARY)
    sizes: dict[str, Any] = {"vocab_size": size, "d_model": 32, **SPECIAL}
    if family == "t5":
        return T5Config(d_kv=8, d_ff=64, num_layers=2, num_heads=4, **sizes)
    if family in ("bart", "marian"):
        layers: dict[str, Any] = {
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_position_embeddings": 64,
            "forced_eos_token_id": None,
        }
        return (BartConfig if family == "bart" else MarianConfig)(**sizes, **layers)
    if family == "recurrent":
        return RecurrentSeq2SeqConfig(vocab_size=size, hidden_size=32, **SPECIAL)
    small = BertConfig(
        vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    config = EncoderDecoderConfig.from_encoder_decoder_configs(small, small)
    for name, number in SPECIAL.items():
        setattr(config, name, number)
    return config


@cache
def _weights(family: str) -> Any:
    torch.manual_seed(0)
    model = AutoModelForSeq2SeqLM.from_config(tiny_config(family))
    for name, number in SPECIAL.items():
        setattr(model.generation_config, name, number)
    return model.eval()


def save_tiny(family: str, folder: Path) -> Path:
    """Writes a tiny model of a family with its tokenizer."""
    _weights(family).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def batch_of(texts: list[str]) -> dict[str, torch.Tensor]:
    """Sources as tensors."""
    return dict(word_tokenizer()(texts, return_tensors="pt", padding=True, return_token_type_ids=False))
