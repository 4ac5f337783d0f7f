"""The controller of sequences that become sequences: an encoder-decoder."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING, AutoModelForSeq2SeqLM, PreTrainedConfig

from ..errors import InvalidInputError, UnknownNameError
from ..targets.label_tensors import IGNORED
from .base import CONTROLLERS, Controller, to_unit_length
from .pair_processor import PairProcessor
from .text_encoder import max_positions

SEQ2SEQ = "seq2seq"
MEAN = "mean"
PROBES, PROBE_LENGTH, PROBED_TOKENS = 2, 16, 4096
LONGEST = 1024
"""Tokens of a source or target where neither model nor tokenizer has a limit: the cost grows with their square."""


@CONTROLLERS.register(SEQ2SEQ)
class Seq2SeqController(Controller):
    """Sequences to sequences: any model of `AutoModelForSeq2SeqLM`, and its tokenizer.

    The key of a source is the mean of the encoder's states, of unit length.
    """

    modality = SEQ2SEQ
    noun = "source"
    main_input = "input_ids"
    processing_class = "tokenizer"
    task = "text2text-generation"
    pipeline_task = "memory-augmented-generation"
    stored_by = "store_texts"
    stored_as = "as they were given"
    more_inputs = ("attention_mask",)
    optional_inputs = frozenset(("attention_mask",))
    readable = True

    def auto_class(self, config: PreTrainedConfig) -> Any:
        """The Auto class of models that generate a sequence from another one.

        Raises:
            InvalidInputError: it has no model of this configuration.
        """
        if type(config) not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
            raise InvalidInputError(
                f"a model of the type {config.model_type!r} generates no sequence from another one: take one of "
                "AutoModelForSeq2SeqLM, such as T5, BART or Marian."
            )
        return AutoModelForSeq2SeqLM

    def default_pooling(self, config: PreTrainedConfig) -> str:
        return MEAN

    def pooled_size(self, config: PreTrainedConfig, pooling: str) -> int:
        if pooling != MEAN:
            raise UnknownNameError("pooling", pooling, [MEAN])
        return half_of(config, "encoder").hidden_size

    def target_size(self, config: PreTrainedConfig) -> int:
        """D, the size of the decoder's states."""
        return half_of(config, "decoder").hidden_size

    def pool(self, encoder: nn.Module, pooling: str, **inputs: Any) -> Tensor:
        wrapped: Any = encoder
        states = wrapped.get_encoder()(**inputs)[0]
        return mean_of_states(states, inputs.get("attention_mask"))

    def probe_inputs(self, config: PreTrainedConfig, device: torch.device) -> dict[str, Tensor]:
        """Two sources, and as `labels` two targets."""
        known = getattr(half_of(config, "encoder"), "vocab_size", PROBED_TOKENS)
        written = getattr(half_of(config, "decoder"), "vocab_size", known)
        spread = torch.arange(PROBES * PROBE_LENGTH, device=device).view(PROBES, PROBE_LENGTH)
        tokens = (spread * 7919 + 104729) % min(known, PROBED_TOKENS)  # primes: tokens from all over
        labels = (spread * 6007 + 104723) % min(written, PROBED_TOKENS)
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": labels}

    def processor(self, config: Any, encoder: nn.Module, processing_class: Any) -> PairProcessor:
        return PairProcessor(
            processing_class,
            max_source_length=self.max_length(config, encoder, processing_class) or LONGEST,
            max_target_length=config.max_target_length or self._positions(encoder) or LONGEST,
            source_prefix=config.source_prefix,
            eos_token_id=_end_of(encoder),
        )

    def max_length(self, config: Any, encoder: nn.Module, processing_class: Any = None) -> int | None:
        own = getattr(processing_class, "model_max_length", None)
        limits = [config.max_source_length, own, self._positions(encoder)]
        return min((limit for limit in limits if limit is not None and limit > 0), default=None)

    def _positions(self, encoder: Any) -> int | None:
        return max_positions(encoder.get_encoder())

    def limit(self, processing_class: Any, config: Any, encoder: nn.Module) -> None:
        length = self.max_length(config, encoder, processing_class)
        processing_class.model_max_length = length or processing_class.model_max_length

    def keeps(self, entry: Any) -> bool:
        return entry.source is not None and entry.target is not None

    def num_tokens(self, inputs: Any) -> int:
        return inputs["attention_mask"].numel() if "attention_mask" in inputs else 0

    def stacked(self, batches: Any, config: PreTrainedConfig) -> dict[str, Tensor]:
        """Several batches of sources, with targets or without, as one; shorter ones are padded behind."""
        pad = getattr(half_of(config, "encoder"), "pad_token_id", None) or 0
        fill = {"input_ids": pad, "attention_mask": 0, "labels": IGNORED}
        names = [name for name in fill if name in batches[0]]
        if "attention_mask" not in names:
            names.append("attention_mask")
        found: dict[str, Tensor] = {}
        for name in names:
            parts = [batch[name] if name in batch else torch.ones_like(batch["input_ids"]) for batch in batches]
            width = max(part.shape[1] for part in parts)
            found[name] = torch.cat([F.pad(part, (0, width - part.shape[1]), value=fill[name]) for part in parts])
        return found


def _end_of(model: Any) -> int | None:
    """The token that a model ends with, as it generates; the first of several."""
    end = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return end[0] if isinstance(end, list) and end else end if isinstance(end, int) else None


def half_of(config: PreTrainedConfig, half: str) -> PreTrainedConfig:
    """The configuration of the `"encoder"` or the `"decoder"` of an encoder-decoder, which for most is one of both."""
    own = getattr(config, half, None)
    return own if isinstance(own, PreTrainedConfig) else config


def mean_of_states(states: Tensor, mask: Tensor | None) -> Tensor:
    """The mean [B, H] of states [B, L, H] on tokens, of unit length."""
    states = states.float()
    if mask is None:
        return to_unit_length(states.mean(1))
    mask = mask.to(states.dtype)[..., None]
    return to_unit_length((states * mask).sum(1) / mask.sum(1).clamp(min=1))


def decoder_inputs(model: Any, labels: Tensor) -> Tensor:
    """What a decoder is given so that it is to say `labels` [B, T] next: these, moved by one, as its family does it.

    Raises:
        InvalidInputError: the model does not know with which token a target begins.
    """
    own = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if own is not None:
        return own(labels=labels) if "labels" in inspect.signature(own).parameters else own(labels)
    start, pad = (
        getattr(model.generation_config, name, None) if model.can_generate() else None
        for name in ("decoder_start_token_id", "pad_token_id")
    )
    start = getattr(model.config, "decoder_start_token_id", None) if start is None else start
    pad = getattr(model.config, "pad_token_id", None) if pad is None else pad
    if start is None:
        raise InvalidInputError(
            f"{type(model).__name__} does not say with which token a target begins: set decoder_start_token_id of its "
            "generation_config."
        )
    moved = torch.cat([labels.new_full((len(labels), 1), start), labels[:, :-1]], 1)
    return moved.masked_fill(moved == IGNORED, 0 if pad is None else pad)
