"""Text encoders of transformers: how their states become keys, and what they can read."""

import inspect
import weakref
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING, PreTrainedConfig

from ..errors import InvalidInputError
from .base import to_unit_length
from .inputs import check_inputs, is_of_device, token_table, why_not_read
from .padding import in_whole_vectors, padded_behind, reads_padding, stated_positions, wide_enough, without_padding
from .pooling import pooling_named

RANDOM_ATTENTION = {"reformer"}
"""Types of encoders whose states are not the same at each call."""
POSITION_TABLES = ("position_embeddings", "char_position_embeddings", "embed_positions", "wpe", "positions_embed")
"""Names of encoders' tables of absolute positions, one row a position."""

_Holders = tuple[weakref.ref[nn.Module], list[tuple[str, weakref.ref[nn.Module]]]]
_holders: weakref.WeakKeyDictionary[nn.Module, _Holders] = weakref.WeakKeyDictionary()
"""A cache by encoder: its table of tokens, and the modules that hold its positions."""


def embed(
    encoder: nn.Module,
    pooling: str,
    normalize: bool,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    projection: Any = None,
    not_pooled: int = 0,
    **kwargs: Any,
) -> Tensor:
    """The keys of a batch of texts: encoded, pooled and optionally scaled to unit length.

    A key depends on its text alone: padding may stand on either side, and positions count from the text's first token.

    Args:
        encoder: an encoder from `load_encoder`, or any module with a `last_hidden_state` in its output.
        pooling: a name of `POOLINGS`, or several joined by `+`.
        normalize: whether to scale keys to unit length; a key of zeros stays one.
        input_ids: `[B, L]`; `inputs_embeds` `[B, L, H]` can be given in its place.
        attention_mask: `[B, L]`, zero on padding; no padding if left out.
        projection: turns pooled states into keys [B, K]; by default they are the keys.
        not_pooled: number of tokens at the beginning of each text that are left out of pooling.
        **kwargs: further inputs of the encoder, such as `token_type_ids`.

    Returns:
        `[B, K]`, with K = H where there is no projection; in float32 for an encoder of half precision, in the
        encoder's own precision otherwise.

    Raises:
        InvalidTypeError: inputs that are no tensors, such as texts.
        InvalidInputError: tensors of another shape, tokens that the encoder does not have, or more than it reads.
    """
    check_inputs(encoder, {"input_ids": input_ids, "attention_mask": attention_mask, **kwargs})
    pooled = pooling_named(pooling)

    def pool(hidden: Tensor, mask: Tensor) -> Tensor:
        shown = torch.arange(mask.shape[1], device=mask.device) >= not_pooled
        return pooled(hidden, mask if not not_pooled else mask * shown)

    if attention_mask is None:
        given = kwargs["inputs_embeds"] if input_ids is None else input_ids
        attention_mask = torch.ones(given.shape[:2], dtype=torch.long, device=given.device)
    if input_ids is not None:
        kwargs["input_ids"] = input_ids
    kwargs, attention_mask = wide_enough(encoder, *padded_behind(kwargs, attention_mask))
    if reads_padding(encoder):
        groups = list(without_padding(encoder, kwargs, attention_mask))
        keys = torch.cat([pool(_hidden(encoder, inputs, mask), mask) for _, inputs, mask in groups])
        keys = keys[torch.cat([rows for rows, _, _ in groups]).argsort()]
    else:
        kwargs, attention_mask = in_whole_vectors(encoder, kwargs, attention_mask)
        keys = pool(_hidden(encoder, kwargs, attention_mask), attention_mask)
    if projection is not None:
        keys = projection(keys)
    return to_unit_length(keys) if normalize else keys


def _hidden(encoder: nn.Module, inputs: dict[str, Any], attention_mask: Tensor) -> Tensor:
    try:
        hidden = getattr(encoder(attention_mask=attention_mask, **inputs), "last_hidden_state", None)
    except (AttributeError, TypeError, ValueError, IndexError, RuntimeError) as error:
        if is_of_device(error):
            raise
        if (why := why_not_read(encoder, inputs, max_positions(encoder))) is not None:
            raise InvalidInputError(f"{type(encoder).__name__} could not encode the texts: {why}.") from error
        if isinstance(error, RuntimeError):  # of the encoder itself
            raise
        raise InvalidInputError(
            f"{type(encoder).__name__} could not encode {', '.join(inputs)} ({type(error).__name__}: {error}). If it "
            "needs more than a text, such as an image or boxes, it is no text encoder: take one that AutoModel loads "
            "and that reads text alone."
        ) from error
    if hidden is None:
        raise InvalidInputError(
            f"{type(encoder).__name__} gives no last_hidden_state, so it is no text encoder: take a model that "
            "AutoModel loads and that reads text alone."
        )
    return hidden


def max_positions(encoder: nn.Module) -> int | None:
    """The largest number of tokens that the encoder has positions for, special tokens included; None for no limit.

    The smallest of the limit in its configuration, the size of its tables of positions, and the number of positions it
    has prepared.
    """
    limits = [stated_positions(encoder)]
    for module in _with_positions(encoder):
        counted = getattr(module, "position_ids", None)
        limits.append(counted.shape[-1] if isinstance(counted, Tensor) else None)
        for name in POSITION_TABLES:
            table = getattr(module, name, None)
            rows = getattr(table, "weight", None)
            if isinstance(rows, Tensor) and rows.dim() == 2:
                limits.append(len(rows) - _rows_before(table))
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=None)


def _with_positions(encoder: nn.Module) -> list[nn.Module]:
    """The modules of an encoder that hold positions.

    They are looked for once for each encoder, as a walk through all modules takes longer than the rest of a question's
    way to the encoder, and again when one of them or the table of tokens was replaced.
    """
    tokens = token_table(encoder)
    if (known := _holders.get(encoder)) is not None:
        tokens_then, found = known
        held = [holder() for _, holder in found]
        if tokens_then() is tokens and all(
            one is not None and _at(encoder, path) is one for (path, _), one in zip(found, held, strict=True)
        ):
            return cast(list[nn.Module], held)
    names = ("position_ids", *POSITION_TABLES)
    holders = [
        (path, module)
        for path, module in encoder.named_modules()
        if any(getattr(module, name, None) is not None for name in names)
    ]
    if tokens is not None:
        _holders[encoder] = weakref.ref(tokens), [(path, weakref.ref(module)) for path, module in holders]
    return [module for _, module in holders]


def _at(encoder: nn.Module, path: str) -> nn.Module | None:
    """The module of that name within an encoder; None where there is none by now."""
    try:
        return encoder.get_submodule(path)
    except AttributeError:
        return None


def _rows_before(table: Any) -> int:
    """How many rows of a table of positions come before that of a text's first token.

    RoBERTa and its kin count from the padding index on, BART and its kin from an offset.
    """
    padding, offset = getattr(table, "padding_idx", None), getattr(table, "offset", None)
    if isinstance(offset, int):
        return offset
    return padding + 1 if isinstance(padding, int) else 0


def without_pooler(config: PreTrainedConfig) -> dict[str, Any]:
    """The argument that leaves the pooler out, for the classes that take it."""
    for classes in (MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING):
        if type(config) in classes:
            model_class: Any = classes[type(config)]  # a tuple for the few families that have several
            takes_it = inspect.isclass(model_class) and "add_pooling_layer" in inspect.signature(model_class).parameters
            return {"add_pooling_layer": False} if takes_it else {}
    return {}


def check_reads_text(encoder: Any) -> None:
    """Refuses a model that turns no text into states, as far as that is clear without running it.

    Raises:
        InvalidInputError: it is one of images or sounds, or its states are not those of the text alone.
    """
    name, config = type(encoder).__name__, getattr(encoder, "config", PreTrainedConfig())
    inputs = [
        one for one in inspect.signature(encoder.forward).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    needed = [
        one.name for one in inputs if one.default is one.empty and one.name not in ("input_ids", "attention_mask")
    ]
    if needed:
        reason = f"it needs {', '.join(needed)}"
    elif inputs and "input_ids" not in [one.name for one in inputs]:  # none are named where a wrapper hides them
        reason = "it takes no input_ids"
    elif not isinstance(getattr(config, "hidden_size", None), int):
        reason = "its configuration has no hidden_size"
    elif config.model_type in RANDOM_ATTENTION:
        reason = "it draws random numbers at each call, so that a text has no states of its own"
    else:
        return
    raise InvalidInputError(
        f"{name} is no text encoder: {reason}. Take a model that AutoModel loads and that reads text alone."
    )
