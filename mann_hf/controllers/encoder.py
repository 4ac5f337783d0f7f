"""Pretrained text encoders as they come from transformers, without the parts that a key has no use for."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    MODEL_MAPPING,
    AutoModel,
    AutoModelForTextEncoding,
    PreTrainedConfig,
    PreTrainedModel,
)

from ..errors import InvalidInputError
from .pooling import POOLINGS

VECTOR_WIDTH = 16
"""Numbers of single precision in the widest vector that processors add at once."""
FEW_TOKENS = 512
"""Tokens of a batch up to which it is padded to whole vectors."""


def build_encoder(config: PreTrainedConfig, *, trust_remote_code: bool = False, **kwargs: Any) -> PreTrainedModel:
    """The encoder that `load_encoder` would give for this configuration, with random weights.

    Args:
        config: the encoder's own configuration; it is left as it is.
        trust_remote_code: run code that the configuration points to.
        **kwargs: what `from_config` takes, such as `dtype` and `attn_implementation`.
    """
    config = type(config).from_dict(config.to_dict())
    return text_half(
        auto_class(config).from_config(config, trust_remote_code=trust_remote_code, **without_pooler(config), **kwargs)
    )


def embed(
    encoder: nn.Module,
    pooling: str,
    normalize: bool,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    **kwargs: Any,
) -> Tensor:
    """The keys of a batch of texts: encoded, pooled and, if asked for, scaled to unit length.

    Args:
        encoder: what `load_encoder` gives, or any module with a `last_hidden_state` in its output.
        pooling: a name in `POOLINGS`.
        normalize: whether to scale keys to unit length; a key of zeros stays one.
        input_ids: `[B, L]`; `inputs_embeds` `[B, L, H]` can be given in its place.
        attention_mask: `[B, L]`, zero on padding; no padding if left out.
        **kwargs: further inputs of the encoder, such as `token_type_ids`.

    Returns:
        `[B, H]`, in float32 for an encoder of half precision, in the encoder's own precision otherwise.
    """
    pool = POOLINGS[pooling]
    given = kwargs.get("inputs_embeds") if input_ids is None else input_ids
    if given is None:
        raise InvalidInputError("the encoder got no text: give input_ids [B, L] or inputs_embeds [B, L, H].")
    if attention_mask is None:
        attention_mask = torch.ones(given.shape[:2], dtype=torch.long, device=given.device)
    if input_ids is not None:
        input_ids, attention_mask, kwargs = _in_whole_vectors(encoder, input_ids, attention_mask, kwargs)
        kwargs["input_ids"] = input_ids
    hidden = getattr(encoder(attention_mask=attention_mask, **kwargs), "last_hidden_state", None)
    if hidden is None:
        raise InvalidInputError(
            f"{type(encoder).__name__} gives no last_hidden_state, so it is no text encoder: take a model that "
            "AutoModel loads and that reads text alone."
        )
    keys = pool(hidden, attention_mask)
    return F.normalize(keys, dim=-1) if normalize else keys


def _in_whole_vectors(
    encoder: nn.Module, input_ids: Tensor, attention_mask: Tensor, others: dict[str, Any]
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """A few short texts padded to a whole number of the processor's vectors, as it sums the rest in another order.

    So a text has the same key, to the last bit, by itself and among others, and whichever way it is asked, the same
    score. Larger batches go as they are: there the padding would cost more than the last bits are worth.
    """
    rows, width = input_ids.shape
    missing = -width % VECTOR_WIDTH
    limit = getattr(getattr(encoder, "config", None), "max_position_embeddings", None)
    short = rows * (width + missing) <= FEW_TOKENS and (limit is None or width + missing < limit)
    plain = others.keys() <= {"token_type_ids"}
    if not (missing and short and plain) or torch.is_grad_enabled() or input_ids.device.type != "cpu":
        return input_ids, attention_mask, others
    filler = getattr(encoder.config, "pad_token_id", None) or 0
    others = {name: F.pad(tensor, (0, missing)) for name, tensor in others.items()}
    return F.pad(input_ids, (0, missing), value=filler), F.pad(attention_mask, (0, missing)), others


def max_positions(encoder: nn.Module) -> int | None:
    """The tokens a text may have before the encoder runs out of positions, special tokens included; None: no limit."""
    for module in encoder.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, nn.Embedding):
            # RoBERTa and its kin count positions from the padding index on, so the rows up to it hold none.
            return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
    limit = getattr(getattr(encoder, "config", None), "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def auto_class(config: PreTrainedConfig) -> Any:
    """The Auto class that gives the text-encoding half where the family has one, and the whole model otherwise."""
    return AutoModelForTextEncoding if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else AutoModel


def without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """The argument that leaves the pooler out, for the classes that take it."""
    for classes in (MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING):
        if type(config) in classes:
            model_class: Any = classes[type(config)]  # a tuple for the few families that have several
            takes_it = inspect.isclass(model_class) and "add_pooling_layer" in inspect.signature(model_class).parameters
            return {"add_pooling_layer": False} if takes_it else {}
    return {}


def text_half(model: PreTrainedModel) -> PreTrainedModel:
    """The encoder of an encoder-decoder family without an encoder class of its own (BART, Marian, ...).

    A decoder that serves as encoder (GPT-2, Qwen, ...) keeps no keys and values for a next token.
    """
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False
    return model
