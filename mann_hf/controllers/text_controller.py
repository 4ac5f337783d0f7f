"""The controller of texts."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, AutoModel, AutoModelForTextEncoding, PreTrainedConfig

from .base import CONTROLLERS, TEXT, Controller
from .inputs import check_words
from .lookup import looked_up_once
from .pooling import pooled_size, pooling_named
from .samples import SampleInputs
from .text_encoder import check_reads_text, embed, max_positions, without_pooler
from .text_processor import TextProcessor

PROBE_LENGTH, PROBES, PROBED_TOKENS = 16, 1, 4096


@CONTROLLERS.register(TEXT)
class TextController(Controller):
    """Texts: their pretrained encoders, their tokenizers, and the poolings of `POOLINGS`."""

    modality = TEXT
    noun = "text"
    main_input = "input_ids"
    processing_class = "tokenizer"
    task = "text-classification"
    samples = SampleInputs(
        "where is my card?",
        {"my card still has not come": "card_arrival", "i want my money back": "refund"},
        {"it broke on the first day": 0.1, "could not be better": 0.9},
        "it lasted for a week",
    )
    in_shell = readable = True
    stored_by = "store_texts"
    stored_as = "as they were given"
    own_fields = frozenset(("max_seq_length", "prompts", "prompt_name", "lower_case", "pool_prompt"))
    more_inputs = ("attention_mask",)
    optional_inputs = frozenset(("attention_mask", "token_type_ids"))
    uses_sentence_transformers = True

    def auto_class(self, config: PreTrainedConfig) -> Any:
        """The Auto class that gives the text-encoding half where the family has one, and the whole model otherwise."""
        return AutoModelForTextEncoding if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else AutoModel

    def prepare(self, config: PreTrainedConfig) -> None:
        """Has BigBird and its kin attend to a whole text.

        Their blocks depend on padding, and on texts that came before.
        """
        if getattr(config, "attention_type", None) == "block_sparse":
            config.attention_type = "original_full"  # type: ignore[attr-defined]

    def options(self, config: PreTrainedConfig, pooling: str | None) -> dict[str, Any]:
        return without_pooler(config)

    def finish(self, encoder: Any) -> Any:
        """The encoder of an encoder-decoder family without an encoder class of its own (BART, Marian, ...).

        A decoder that serves as encoder (GPT-2, Qwen, ...) keeps no keys and values for a next token.
        """
        if encoder.config.is_encoder_decoder:
            encoder = encoder.get_encoder()
        check_reads_text(encoder)
        if hasattr(encoder.config, "use_cache"):
            encoder.config.use_cache = False
        return encoder

    def default_pooling(self, config: PreTrainedConfig) -> str:
        return "mean"

    def pooled_size(self, config: PreTrainedConfig, pooling: str) -> int:
        pooling_named(pooling)
        return pooled_size(pooling, config.hidden_size)

    def reads_words(self, config: PreTrainedConfig) -> bool:
        return True

    def pool(self, encoder: nn.Module, pooling: str, **inputs: Any) -> Tensor:
        return embed(encoder, pooling, False, **inputs)

    def probe_inputs(self, config: PreTrainedConfig, device: torch.device) -> dict[str, Tensor]:
        known = getattr(config, "vocab_size", PROBED_TOKENS)  # CANINE reads characters
        vocabulary = min(known, PROBED_TOKENS)  # tokens that are added change nothing
        spread = torch.arange(PROBES * PROBE_LENGTH, device=device).view(PROBES, PROBE_LENGTH)
        tokens = (spread * 7919 + 104729) % vocabulary  # primes: tokens from all over
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}

    def processor(self, config: Any, encoder: nn.Module, processing_class: Any) -> TextProcessor:
        return TextProcessor(
            processing_class,
            max_length=self.max_length(config, encoder, processing_class),
            prompt=config.prompt,
            lower_case=config.lower_case,
            pool_prompt=config.pool_prompt,
        )

    def max_length(self, config: Any, encoder: nn.Module, processing_class: Any = None) -> int | None:
        """The largest number of tokens of a text that a model reads; longer texts are cut. None for no limit."""
        own = getattr(processing_class, "model_max_length", None)
        limits = [config.max_seq_length, own, max_positions(encoder)]
        return min((limit for limit in limits if limit is not None and limit > 0), default=None)

    def keeps(self, entry: Any) -> bool:
        return entry.text is not None

    def limit(self, processing_class: Any, config: Any, encoder: nn.Module) -> None:
        length = self.max_length(config, encoder, processing_class)
        processing_class.model_max_length = length or processing_class.model_max_length

    def check_not_empty(self, inputs: Mapping[str, Tensor], asked: Tensor | None, noun: str) -> None:
        check_words(inputs.get("attention_mask"), asked, noun)

    def num_tokens(self, inputs: Mapping[str, Any]) -> int:
        return inputs["attention_mask"].numel() if "attention_mask" in inputs else 0

    def embedding_together(self, encoder: nn.Module, batches: Sequence[Mapping[str, Any]]) -> AbstractContextManager:
        """A context in which the tokens of all batches are looked up in one call."""
        return looked_up_once(encoder, [batch["input_ids"] for batch in batches if "input_ids" in batch])

    def stacked(self, batches: Sequence[Mapping[str, Tensor]], config: PreTrainedConfig) -> dict[str, Tensor]:
        """Several batches of texts [B, L] as one; shorter ones are padded behind."""
        width = max(batch["input_ids"].shape[1] for batch in batches)
        fill = {"input_ids": getattr(config, "pad_token_id", None) or 0}
        names = dict.fromkeys(["input_ids", "attention_mask", *(name for batch in batches for name in batch)])
        rows: dict[str, list[Tensor]] = {name: [] for name in names}
        for batch in batches:
            ids = batch["input_ids"]
            usual = {"attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
            for name, parts in rows.items():
                part = batch[name] if name in batch else usual[name]
                parts.append(F.pad(part, (0, width - part.shape[1]), value=fill.get(name, 0)))
        return {name: torch.cat(parts) for name, parts in rows.items()}
