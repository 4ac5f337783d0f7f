"""Turns texts into an encoder's tensors: checks, tokenizes and batches them with little padding."""

import os
import threading
from collections.abc import Iterable, Mapping, Sequence, Sized
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import TruncationStrategy
from transformers.utils import PaddingStrategy, logging

from ..errors import InvalidInputError, InvalidTypeError
from ..wording import at_least, shown

logger = logging.get_logger(f"transformers.{__name__}")

Encoding = dict[str, list[int]]
"""The token ids of one text without padding, and its token type ids if the encoder takes them."""

MAX_TOKENS = 2048
"""Tokens in a batch, padding included, beyond which a CPU works no faster: its caches no longer hold the batch."""

BATCH_COST = 64
"""What one more batch costs, in tokens that could be encoded instead (6 layers of 384 units on one core: 36 to 50)."""

_NO_LIMIT = 2**31  # tokenizers that know no limit state 10^30, which is more than they can be called with

_tokenizing = threading.RLock()  # a fast tokenizer fails if its truncation is set in one thread while another uses it
if hasattr(os, "register_at_fork"):  # or its locks, which Python does not reach, stay held in the child
    os.register_at_fork(
        before=_tokenizing.acquire, after_in_parent=_tokenizing.release, after_in_child=_tokenizing.release
    )


def check_texts(texts: object, start: int = 0, noun: str | None = None) -> list[str]:
    """The texts as a list, one text as a list of one.

    Args:
        texts: a string, or a list or other sized collection of strings.
        start: the place of the first in what the user gave, from which errors count.
        noun: what errors call one of them, such as a source, or an image by its path; by default a text.

    Raises:
        InvalidTypeError: it is neither, a set, whose order means nothing, or holds something else than strings.
        InvalidInputError: a text is empty, blank, not valid Unicode, or holds a NUL byte.
    """
    texts, noun = unboxed(texts), noun or "text"
    if isinstance(texts, str):
        texts = [texts]
    elif hasattr(texts, "columns") or hasattr(texts, "column_names"):
        raise InvalidTypeError(
            f"{noun}s came as a table ({type(texts).__name__}); give its column, as in table[{noun!r}]."
        )
    elif isinstance(texts, (set, frozenset)):
        raise InvalidTypeError(f"{noun}s are a {type(texts).__name__}, which has no order; give a list.")
    elif isinstance(texts, (bytes, Mapping)) or not (isinstance(texts, Iterable) and hasattr(texts, "__len__")):
        raise InvalidTypeError(f"{noun}s must be a string or a list of strings, not {_named(texts)}.")
    texts = [text.as_py() if hasattr(text, "as_py") else text for text in texts]  # of pyarrow's strings the text
    for position, text in enumerate(texts, start):
        if not isinstance(text, str):
            raise InvalidTypeError(
                f"{noun} {position} (counted from 0) is {_named(text)}, not a string; leave it out, or turn it into "
                "text."
            )
        if not text or text.isspace():
            raise InvalidInputError(
                f"{noun} {position} (counted from 0) is {'blank' if text else 'empty'}; leave out {noun}s without "
                "words."
            )
    if "\0" in (joined := "".join(texts)):
        position = next(i for i, text in enumerate(texts, start) if "\0" in text)
        raise InvalidInputError(
            f"{noun} {position} (counted from 0) holds a NUL byte; read it again as UTF-8, or leave it out."
        )
    if not _is_unicode(joined):
        position = next(i for i, text in enumerate(texts, start) if not _is_unicode(text))
        raise InvalidInputError(
            f"{noun} {position} (counted from 0) holds half a surrogate pair, which no tokenizer takes; it was cut or "
            "decoded wrongly: read it again as UTF-8, or drop such characters with text.encode('utf-8', 'ignore')."
        )
    return [str.__str__(text) for text in texts]  # of numpy's strings and the members of enumerations the text alone


def optional_texts(texts: Any, name: str) -> list[str]:
    """The texts of an argument; an empty list where it is None or empty.

    Args:
        texts: as `check_texts` takes them, or a torch data set of them.
        name: of the argument, for the errors.

    Raises:
        InvalidInputError, InvalidTypeError: those of `check_texts`.
    """
    texts = unboxed(texts)
    if isinstance(texts, torch.utils.data.Dataset) and isinstance(texts, Sized):
        texts = [texts[number] for number in range(len(texts))]
    if texts is None or (isinstance(texts, Sized) and not isinstance(texts, str) and not len(texts)):
        return []
    try:
        return check_texts(texts)
    except (InvalidInputError, InvalidTypeError) as error:
        raise type(error)(f"{name}: {error}") from None


def unboxed(texts: Any) -> Any:
    """The one value of an array or tensor without a dimension, such as `np.array("a text")`; anything else as it is."""
    is_single = getattr(texts, "shape", None) == () and not getattr(texts, "is_meta", False)
    return texts.item() if is_single and hasattr(texts, "item") else texts


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length: int | None,
    prompt: str = "",
    lower_case: bool = False,
    as_targets: bool = False,
) -> list[Encoding]:
    """The tokens of each text, without padding, from one call of the tokenizer.

    Texts over `max_length` are truncated, with one warning for all. Safe to call from several threads.

    Args:
        max_length: tokens that a text may have, special ones included; None for no limit.
        prompt: put in front of each text.
        lower_case: whether texts are lower-cased first.
        as_targets: whether the texts are what a decoder is to say, which tokenizers of two languages read otherwise.

    Raises:
        InvalidInputError: `max_length`, or the prompt, leaves no room for a token of the text.
    """
    if max_length is not None and max_length >= _NO_LIMIT:
        max_length = None
    if max_length is not None and max_length <= (special := tokenizer.num_special_tokens_to_add()):
        raise InvalidInputError(
            f"max_length={max_length} leaves no room for text, as {special} special tokens go with each; "
            f"give at least {special + 1}."
        )
    texts = [prompt + (text.lower() if lower_case else text) for text in texts]
    if not texts:
        return []
    if not as_targets and isinstance(tokenizer, PreTrainedTokenizerFast) and _is_plain(tokenizer):
        encodings, lengths = _tokenize_fast(tokenizer, texts, max_length)
    else:
        encodings, lengths = _tokenize_any(tokenizer, texts, max_length, as_targets)
    if max_length is not None and (over := [length for length in lengths if length > max_length]):
        _check_room(tokenizer, prompt, max_length)
        kind, limit = ("targets", "a target may have") if as_targets else ("texts", "the encoder reads")
        logger.warning(
            f"{len(over)} of {len(texts)} {kind} are longer than the {max_length} tokens that {limit} (the "
            f"longest has {max(over)}) and were truncated there."
        )
    return encodings


def _check_room(tokenizer: PreTrainedTokenizerBase, prompt: str, max_length: int) -> None:
    """Refuses a prompt behind which every text is cut off, so that all of them would have the same key."""
    if prompt and tokenizer.truncation_side == "right":
        (encoding,) = tokenize(tokenizer, [prompt], max_length=None)
        if (taken := len(encoding["input_ids"])) >= max_length:
            raise InvalidInputError(
                f"the prompt {prompt!r:.80} leaves no room for text: it has {taken} tokens, special ones included, and "
                f"the encoder reads {max_length}. Give a shorter one, or prompt_name=None."
            )


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str, *, lower_case: bool = False) -> int:
    """How many tokens stand before those of a text that a prompt was put in front of, special ones included.

    As sentence-transformers counts them: those of the prompt by itself, less a special token at their end.
    """
    (encoding,) = tokenize(tokenizer, [prompt], max_length=None, lower_case=lower_case)
    ids = encoding["input_ids"]
    return len(ids) - bool(ids and ids[-1] in tokenizer.all_special_ids)


def token_batches(
    lengths: Sequence[int], *, batch_size: int | None = None, max_tokens: int = MAX_TOKENS
) -> list[list[int]]:
    """The positions of texts, longest first, cut into batches of like length.

    The cuts are those of least cost, a batch being worth its tokens, padding included, and `BATCH_COST` more. With a
    `batch_size`, each batch has that many texts, whatever they cost.

    Args:
        lengths: the tokens of each text.
        batch_size: texts in a batch.
        max_tokens: the most tokens in a batch, padding included; a longer text makes a batch of its own.

    Returns:
        One list of positions a batch; each position is in exactly one.
    """
    batch_size = batch_size if batch_size is None else at_least("batch_size", batch_size)
    max_tokens = at_least("max_tokens", max_tokens)
    if not len(lengths):
        return []
    ordered = np.argsort(-np.asarray(lengths), kind="stable")
    if batch_size is not None:
        return [ordered[start : start + batch_size].tolist() for start in range(0, len(ordered), batch_size)]

    # Texts of one width are kept together, so a cut has as many places as there are widths: find, from the shortest
    # width back, the cheapest group that begins with each (dynamic programming).
    widths, counts = (found[::-1] for found in np.unique(np.asarray(lengths), return_counts=True))
    ends = counts.cumsum()
    starts = ends - counts
    cheapest = np.zeros(len(widths) + 1)
    following = np.zeros(len(widths), dtype=int)
    for first in reversed(range(len(widths))):
        tokens = widths[first] * (ends[first:] - starts[first])
        costs = tokens + BATCH_COST * np.ceil(tokens / max_tokens) + cheapest[first + 1 :]
        last = int(costs.argmin())
        cheapest[first], following[first] = costs[last], first + last + 1

    batches: list[list[int]] = []
    first = 0
    while first < len(widths):
        group = ordered[starts[first] : ends[following[first] - 1]]
        room = max(1, max_tokens // max(1, int(widths[first])))
        batches += [part.tolist() for part in np.array_split(group, -(-len(group) // room))]
        first = following[first]
    return batches


def pad(tokenizer: PreTrainedTokenizerBase, encodings: Sequence[Encoding], indices: Sequence[int]) -> dict[str, Tensor]:
    """The encoder's inputs for some of the texts, padded behind to the longest among them.

    On whichever side the tokenizer pads: padding before a text would move its absolute positions.

    Returns:
        `input_ids`, `attention_mask` and, where the encodings have them, `token_type_ids`, each `[len(indices), L]`.
    """
    chosen = [encodings[index] for index in indices]
    lengths = np.fromiter((len(encoding["input_ids"]) for encoding in chosen), np.int64, len(chosen))
    present = np.arange(lengths.max(initial=0)) < lengths[:, None]
    fillers = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
    padded = {"attention_mask": torch.from_numpy(present.astype(np.int64))}
    for name in chosen[0] if chosen else ("input_ids",):
        values = np.full(present.shape, fillers[name], dtype=np.int64)
        values[present] = np.fromiter(chain.from_iterable(encoding[name] for encoding in chosen), np.int64)
        padded[name] = torch.from_numpy(values)
    return padded


def _tokenize_fast(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], max_length: int | None
) -> tuple[list[Encoding], list[int]]:
    """Encodings and lengths before truncation, from the tokenizer's Rust half alone: no offsets, no word ids."""
    strategy = TruncationStrategy.DO_NOT_TRUNCATE if max_length is None else TruncationStrategy.LONGEST_FIRST
    backend = tokenizer.backend_tokenizer
    with _tokenizing:
        tokenizer.set_truncation_and_padding(
            padding_strategy=PaddingStrategy.DO_NOT_PAD,
            truncation_strategy=strategy,
            max_length=max_length or 0,
            stride=0,
            pad_to_multiple_of=None,
            padding_side=None,
        )
        if backend.encode_special_tokens != tokenizer.split_special_tokens:
            backend.encode_special_tokens = tokenizer.split_special_tokens
        encoded = backend.encode_batch_fast(texts)
    if "token_type_ids" in tokenizer.model_input_names:
        encodings = [{"input_ids": one.ids, "token_type_ids": one.type_ids} for one in encoded]
    else:
        encodings = [{"input_ids": one.ids} for one in encoded]
    lengths = [len(encoding["input_ids"]) for encoding in encodings]
    if max_length is not None:
        special = tokenizer.num_special_tokens_to_add()
        for position, one in enumerate(encoded):
            if lengths[position] == max_length:  # each piece cut off comes with special tokens of its own
                lengths[position] += sum(len(piece) - special for piece in one.overflowing)
    return encodings, lengths


def _tokenize_any(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int | None, as_targets: bool = False
) -> tuple[list[Encoding], list[int]]:
    """Encodings and lengths before truncation, from any tokenizer."""

    def encodings_of(texts: list[str], truncation: bool) -> list[Encoding]:
        with _tokenizing:
            encoded = tokenizer(
                **{"text_target" if as_targets else "text": texts},
                truncation=truncation,
                max_length=max_length if truncation else None,
                return_attention_mask=False,
                verbose=False,
            )
        names = [name for name in ("input_ids", "token_type_ids") if name in encoded]
        return [
            dict(zip(names, values, strict=True)) for values in zip(*(encoded[name] for name in names), strict=True)
        ]

    encodings = encodings_of(texts, truncation=False)
    lengths = [len(encoding["input_ids"]) for encoding in encodings]
    over = [] if max_length is None else [position for position, length in enumerate(lengths) if length > max_length]
    if over:
        shortened = encodings_of([texts[position] for position in over], truncation=True)
        for position, encoding in zip(over, shortened, strict=True):
            encodings[position] = encoding
    return encodings, lengths


def _is_plain(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether the tokenizer does nothing to a text beyond what its Rust half does."""
    own, plain = type(tokenizer), PreTrainedTokenizerFast
    return own.__call__ is plain.__call__ and own._encode_plus is plain._encode_plus


def _named(value: object) -> str:
    """A value and its type as an error message names them."""
    return "None" if value is None else f"{shown(value, 40)} (of type {type(value).__name__})"


def _is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
