"""Checks the tensors of tokens that an encoder is given, and says in words what is wrong with them."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InvalidInputError, InvalidTypeError

WHOLE_NUMBERS = (torch.long, torch.int)
"""The types of numbers that a table of tokens is looked up by."""
OF_DEVICE = re.compile(
    r"out of memory|can't allocate memory|not enough memory|\b(CUDA|HIP|cuDNN|MPS) error|\b(CUBLAS|CUDNN|HIPBLAS)_",
    re.IGNORECASE,
)
"""Parts of messages of errors that a device raises, whatever it was given to do."""


def check_inputs(encoder: nn.Module, inputs: Mapping[str, Any]) -> None:
    """Refuses inputs of an encoder that are no batch of tokens.

    Args:
        encoder: what is to read them.
        inputs: by name; `input_ids` [B, L] or `inputs_embeds` [B, L, H], `attention_mask` and `token_type_ids` [B, L].

    Raises:
        InvalidTypeError: a text, a list or anything else that is no tensor of the numbers that it takes.
        InvalidInputError: tensors of another shape, without a text or a token, or tokens that the encoder does not
            have.
    """
    for name in ("input_ids", "inputs_embeds", "attention_mask", "token_type_ids"):
        check_tensor(name, inputs.get(name))
    ids: Any = inputs.get("input_ids")
    vectors: Any = inputs.get("inputs_embeds")
    if (ids is None) == (vectors is None):
        came = "no text" if ids is None else "both"
        raise InvalidInputError(f"the encoder got {came}: give input_ids [B, L] or inputs_embeds [B, L, H].")
    if ids is not None:
        if ids.dtype not in WHOLE_NUMBERS:
            raise InvalidTypeError(f"input_ids are of {ids.dtype}; tokens are whole numbers: take input_ids.long().")
        if ids.dim() != 2:
            cure = "input_ids[None] for one text" if ids.dim() == 1 else "one row a text"
            raise InvalidInputError(f"input_ids have the shape {list(ids.shape)}; they must be [B, L]: give {cure}.")
        _check_tokens(encoder, ids)
    elif vectors.dim() != 3 or not vectors.is_floating_point():
        raise InvalidInputError(
            f"inputs_embeds are {list(vectors.shape)} of {vectors.dtype}; they must be floating-point numbers "
            "[B, L, H], a vector for each token."
        )
    shape = (vectors if ids is None else ids).shape[:2]
    if 0 in shape:
        raise InvalidInputError(
            f"the inputs have the shape {list(shape)}, without a {'text' if not shape[0] else 'token'}."
        )
    for name in ("attention_mask", "token_type_ids"):
        if (part := inputs.get(name)) is not None and part.shape != shape:
            raise InvalidInputError(
                f"{name} has the shape {list(part.shape)} and the tokens {list(shape)}; both must be [B, L]."
            )
    mask = inputs.get("attention_mask")
    if mask is not None and mask.is_floating_point() and not ((mask == 0) | (mask == 1)).all():
        raise InvalidInputError("attention_mask has other numbers than 0 and 1: it is 1 on tokens and 0 on padding.")


def check_tensor(name: str, value: Any) -> None:
    """Refuses what is neither a tensor nor None."""
    if value is None or isinstance(value, Tensor):
        return
    if isinstance(value, Mapping):
        cure = "a tokenizer's output is given by name, as in model(**inputs)"
    elif isinstance(value, str) or (isinstance(value, list | tuple) and value and isinstance(value[0], str)):
        cure = (
            "texts are for the pipeline few-shot-text-classification, and a model takes tensors: "
            "model(**tokenizer(texts, padding=True, truncation=True, return_tensors='pt'))"
        )
    else:
        cure = "give a tensor, as a tokenizer does with return_tensors='pt', or torch.as_tensor(...)"
    raise InvalidTypeError(f"{name}: a tensor is needed, and something of type {type(value).__name__} came; {cure}.")


def why_not_read(encoder: nn.Module, inputs: Mapping[str, Any], limit: int | None) -> str | None:
    """Why an encoder failed to read a batch that `check_inputs` let pass; None if the inputs do not show it."""
    config = getattr(encoder, "config", None)
    given = inputs.get("input_ids")
    given = inputs["inputs_embeds"] if given is None else given
    if limit is not None and given.shape[1] > limit:
        return (
            f"it reads {limit:,} tokens, and the texts have up to {given.shape[1]:,}: cut them, as the tokenizer of "
            "load_tokenizer() does with truncation=True"
        )
    width = getattr(token_table(encoder), "embedding_dim", None)  # of ALBERT and ELECTRA not that of the states
    if given.dim() == 3 and isinstance(width, int) and given.shape[2] != width:
        return f"inputs_embeds are vectors of {given.shape[2]:,} numbers, and it takes vectors of {width:,}"
    types, kinds = inputs.get("token_type_ids"), getattr(config, "type_vocab_size", None)
    if types is not None and isinstance(kinds, int) and types.numel() and int(types.max()) >= kinds:
        return f"token_type_ids go up to {int(types.max())}, and it has {kinds}, counted from 0"
    places = inputs.get("position_ids")
    if places is not None and limit is not None and places.numel() and int(places.max()) >= limit:
        return f"position_ids go up to {int(places.max()):,}, and it has {limit:,} positions"
    return None


def check_words(attention_mask: Tensor | None, asked: Tensor | None, what: str) -> None:
    """Refuses rows of padding alone among those that stand for texts."""
    if attention_mask is None:
        return
    empty = (attention_mask == 0).all(-1)
    empty = empty if asked is None else empty & asked.to(empty.device)
    if empty.any():
        raise InvalidInputError(
            f"{what} {int(empty.nonzero()[0, -1])} (counted from 0) has no token, as its attention_mask is all zeros; "
            "leave out texts without words."
        )


def is_of_device(error: BaseException) -> bool:
    """Whether an error tells that a device failed or ran out of memory, and nothing of what it was given."""
    return type(error).__name__ in ("OutOfMemoryError", "AcceleratorError") or bool(OF_DEVICE.search(str(error)))


def token_table(encoder: Any) -> nn.Module | None:
    """The table of tokens of an encoder; None of one that names none."""
    try:
        return encoder.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None


def _check_tokens(encoder: nn.Module, input_ids: Tensor) -> None:
    """Refuses ids that the encoder has no vector for, before they are looked up."""
    count = getattr(token_table(encoder), "num_embeddings", None)
    if not input_ids.numel() or not isinstance(count, int) or torch.compiler.is_compiling():
        return
    least, most = torch.stack(input_ids.aminmax()).tolist()  # one wait for the device
    if least < 0 or most >= count:
        raise InvalidInputError(
            f"the tokenizer gives the token {most if most >= count else least}, and the encoder has {count:,} tokens, "
            "counted from 0: take the tokenizer that was saved with it, or after tokens were added call "
            "resize_token_embeddings."
        )
