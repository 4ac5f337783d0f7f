"""Where padding stands in a batch: behind the text, or, for encoders that it would change, nowhere."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VECTOR_WIDTH = 16
"""Numbers of single precision in the widest vector that processors add at once."""
FEW_TOKENS = 512
"""Tokens of a batch up to which it is padded to whole vectors."""
PADDING_READERS = frozenset(
    {"canine", "convbert", "cpmant", "fnet", "mobilebert", "nystromformer", "sam3_lite_text_text_model", "yoso"}
)
"""Types of encoders in which padding changes the states of a text's own tokens, whatever the attention mask says."""
FEWEST_TOKENS = {"canine": 4, "funnel": 16}
"""The narrowest batches that types of encoders take which shorten a text as they read it."""
NOT_OF_TOKENS = {"head_mask"}
"""Inputs of encoders that do not belong to tokens, whatever their shape."""


def padded_behind(inputs: dict[str, Any], attention_mask: Tensor) -> tuple[dict[str, Any], Tensor]:
    """The same texts with their padding behind them: absolute positions count from a text's first token.

    Args:
        inputs: of an encoder; tensors [B, L, ...] are one entry a token.
        attention_mask: [B, L], zero on padding.
    """
    if attention_mask.dim() != 2 or not attention_mask.numel():
        return inputs, attention_mask
    if not torch.compiler.is_compiling() and attention_mask[:, 0].all():
        return inputs, attention_mask
    first = (attention_mask != 0).int().argmax(dim=1, keepdim=True)
    length = attention_mask.shape[1]
    place = (torch.arange(length, device=first.device) + first) % length

    def moved(tensor: Tensor) -> Tensor:
        index = place.to(tensor.device).view(*place.shape, *[1] * (tensor.dim() - 2))
        return tensor.gather(1, index.expand(-1, -1, *tensor.shape[2:]))

    return {name: moved(part) if _by_token(name, part, place) else part for name, part in inputs.items()}, moved(
        attention_mask
    )


def reads_padding(encoder: nn.Module) -> bool:
    """Whether an encoder is one of `PADDING_READERS`."""
    return _family(encoder) in PADDING_READERS


def wide_enough(encoder: nn.Module, inputs: dict[str, Any], attention_mask: Tensor) -> tuple[dict[str, Any], Tensor]:
    """A batch that is padded behind, of at least the width that the encoder takes."""
    missing = _fewest_tokens(encoder) - attention_mask.shape[1]
    if missing <= 0:
        return inputs, attention_mask
    more = {
        name: F.pad(part, (0, 0) * (part.dim() - 2) + (0, missing))
        for name, part in inputs.items()
        if _by_token(name, part, attention_mask)
    }
    return {**inputs, **more}, F.pad(attention_mask, (0, missing))


def stated_positions(encoder: nn.Module) -> int | None:
    """The positions that the configuration of an encoder speaks of."""
    config = _config(encoder)
    names = ("max_position_embeddings", "max_encoder_position_embeddings")
    return next((limit for name in names if isinstance(limit := getattr(config, name, None), int)), None)


def _fewest_tokens(encoder: nn.Module) -> int:
    return FEWEST_TOKENS.get(_family(encoder), 1)


def without_padding(
    encoder: nn.Module, inputs: dict[str, Any], attention_mask: Tensor
) -> Iterator[tuple[Tensor, dict[str, Any], Tensor]]:
    """The texts of a batch that is padded behind and wide enough, in groups of one length each, cut to it.

    Yields:
        The rows of a group, its inputs, and its mask.
    """
    places = torch.arange(1, attention_mask.shape[1] + 1, device=attention_mask.device)
    lengths = ((attention_mask != 0) * places).amax(dim=1).clamp_min(_fewest_tokens(encoder))
    for length in lengths.unique().tolist():
        rows = (lengths == length).nonzero()[:, 0]
        group = {
            name: part[rows.to(part.device), :length] if _by_token(name, part, attention_mask) else part
            for name, part in inputs.items()
        }
        yield rows, group, attention_mask[rows, :length]


def in_whole_vectors(
    encoder: nn.Module, inputs: dict[str, Any], attention_mask: Tensor
) -> tuple[dict[str, Any], Tensor]:
    """A few short texts padded to a whole number of the processor's vectors, as it sums the rest in another order.

    So a text has the same key, to the last bit, by itself and among others, and whichever way it is asked, the same
    score. Larger batches go as they are: there the padding would cost more than the last bits are worth.
    """
    rows, width = attention_mask.shape
    missing = -width % VECTOR_WIDTH
    limit = stated_positions(encoder)
    short = rows * (width + missing) <= FEW_TOKENS and (limit is None or width + missing < limit)
    plain = "input_ids" in inputs and inputs.keys() <= {"input_ids", "token_type_ids"}
    if not (missing and short and plain) or torch.is_grad_enabled() or attention_mask.device.type != "cpu":
        return inputs, attention_mask
    filler = {"input_ids": getattr(_config(encoder), "pad_token_id", None) or 0}
    more = (0, missing)
    padded = {name: F.pad(tensor, more, value=filler.get(name, 0)) for name, tensor in inputs.items()}
    return padded, F.pad(attention_mask, more)


def _family(encoder: nn.Module) -> str:
    return getattr(_config(encoder), "model_type", "")


def _config(encoder: nn.Module) -> Any:
    """The configuration of an encoder; data parallelism holds the encoder as its `module`."""
    return getattr(encoder, "config", None) or getattr(getattr(encoder, "module", None), "config", None)


def _by_token(name: str, part: Any, mask: Tensor) -> bool:
    return isinstance(part, Tensor) and part.shape[:2] == mask.shape and name not in NOT_OF_TOKENS
