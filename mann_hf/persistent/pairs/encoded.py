"""Pairs as they come to a memory: checked, named by ids, and laid out in segments."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidInputError
from ...memory.precision import strange
from ...wording import shown
from ..entries import content_id
from .segment import KEPT_SOURCE, KEPT_TARGET, Segment, ranges, starts_of

SEGMENT_BYTES = 2**24
"""Bytes up to which segments are made and joined; to forget one pair so many are copied at most, as a rule."""


class EncodedPairs(NamedTuple):
    """N pairs with the keys by which they are found: what a memory of pairs takes.

    Attributes:
        source_keys: [N, E], a key for each source.
        tokens: [S] whole numbers, the tokens of all targets, one target behind the other.
        lengths: [N], how many tokens each target has; at least one.
        token_keys: [S, K], a key for each target token; None for an example memory.
        log_probabilities: [S], what the model without a memory gave to each target token; None for an example memory.
        values: [N, K], a value for each pair; None for a token memory.
        sources: the N source texts; None where there are none.
        targets: the N target texts; None where there are none.
        source_tokens: the tokens of each source, which stand for it in the id where there is no text.
    """

    source_keys: Tensor
    tokens: Tensor
    lengths: Tensor
    token_keys: Tensor | None = None
    log_probabilities: Tensor | None = None
    values: Tensor | None = None
    sources: Sequence[str] | None = None
    targets: Sequence[str] | None = None
    source_tokens: Sequence[Sequence[int]] | None = None


class PairEntry(NamedTuple):
    """A stored pair.

    Attributes:
        id: identifies it. It follows from source and target, so the same pair has the same id in every memory.
        source: the source text; None if texts are not stored.
        target: the target text; None if texts are not stored.
        count: how often it was written.
    """

    id: int
    source: str | None
    target: str | None
    count: int = 1  # type: ignore[assignment]  # in place of the method of tuples


def check_pairs(
    pairs: EncodedPairs, key_size: int, source_size: int, with_tokens: bool, vocabulary: int | None
) -> None:
    """Refuses pairs that do not fit a memory.

    Args:
        pairs: what came.
        key_size: K.
        source_size: E.
        with_tokens: whether the memory has a key for each target token, not a value for each pair.
        vocabulary: how many tokens there are; None if that is not known.

    Raises:
        InvalidInputError: it says which part does not fit.
    """
    count, total = len(pairs.lengths), len(pairs.tokens)
    if pairs.lengths.dim() != 1 or pairs.tokens.dim() != 1 or int(pairs.lengths.sum()) != total:
        raise InvalidInputError(
            f"lengths have the shape {list(pairs.lengths.shape)} and the sum {int(pairs.lengths.sum())}, and tokens "
            f"the shape {list(pairs.tokens.shape)}; give the lengths [N] of the targets and their tokens [S] in a row."
        )
    if count and int(pairs.lengths.min()) < 1:
        raise InvalidInputError(f"target {int(pairs.lengths.argmin())} has no token; give each at least one.")
    if total and (pairs.tokens.is_floating_point() or int(pairs.tokens.min()) < 0):
        raise InvalidInputError("tokens must be whole numbers from 0 on: is the padding (-100) left out?")
    most = 2**31 if vocabulary is None else vocabulary
    if total and int(pairs.tokens.max()) >= most:
        raise InvalidInputError(f"a token is {int(pairs.tokens.max()):,}, and the tokenizer has {most:,} tokens.")
    of_tokens: dict[str, tuple[int, ...]] = {"token_keys": (total, key_size), "log_probabilities": (total,)}
    of_pairs: dict[str, tuple[int, ...]] = {"values": (count, key_size)}
    own, others = (of_tokens, of_pairs) if with_tokens else (of_pairs, of_tokens)
    for name in others:
        if getattr(pairs, name) is not None:
            raise InvalidInputError(f"{name} came, which this kind of memory does not have; leave it out.")
    for name, shape in {"source_keys": (count, source_size), **own}.items():
        keys = getattr(pairs, name)
        if keys is None or tuple(keys.shape) != shape or not keys.is_floating_point():
            came = "nothing" if keys is None else f"{keys.dtype} of the shape {list(keys.shape)}"
            raise InvalidInputError(f"{name} are {came}; this memory takes fractions of the shape {list(shape)}.")
        if bool(strange(keys).any()):
            raise InvalidInputError(f"{name} hold NaN, infinity or numbers beyond all bounds: was training diverging?")
    for name in ("sources", "targets", "source_tokens"):
        if (given := getattr(pairs, name)) is not None and len(given) != count:
            raise InvalidInputError(f"{len(given)} {name} came for {count} pairs; give one for each.")
    for name in ("sources", "targets"):
        if strangers := [text for text in getattr(pairs, name) or () if not isinstance(text, str)]:
            raise InvalidInputError(f"{name} hold {shown(strangers[0])}, which is no string.")
    if pairs.sources is None and pairs.source_tokens is None:
        raise InvalidInputError("neither sources nor source_tokens came, so nothing says what the sources are.")


def pair_ids(pairs: EncodedPairs) -> np.ndarray:
    """The ids [N] int64 of pairs; tokens stand for a text that is not there.

    Raises:
        InvalidInputError: a text has half a surrogate pair, which no file holds.
    """
    kind = f"pair{'' if pairs.sources is not None else ' of source tokens'}"
    kind += "" if pairs.targets is not None else " of target tokens"
    sources = _as_texts(pairs.source_tokens or ()) if pairs.sources is None else pairs.sources
    targets = pairs.targets
    if targets is None:
        targets = _as_texts([each.tolist() for each in pairs.tokens.cpu().split(pairs.lengths.tolist())])
    try:
        "".join(targets).encode()  # an id is made of any text
        found = [content_id(kind, source, target) for source, target in zip(sources, targets, strict=True)]
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"a source or target cannot be stored: {error.reason} (half of an emoji?).") from error
    return np.array(found, dtype=np.int64)


def _as_texts(tokens: Sequence[Sequence[int]]) -> list[str]:
    return [" ".join(map(str, each)) for each in tokens]


def segments_of(
    pairs: EncodedPairs,
    rows: np.ndarray,
    ids: np.ndarray,
    counts: np.ndarray,
    key_dtype: torch.dtype,
    device: torch.device,
    store_texts: bool,
) -> Iterator[Segment]:
    """Some of the pairs as segments, in columns of their own.

    Args:
        pairs: as `check_pairs` lets them pass.
        rows: [M], which of them, ascending.
        ids: [M], their ids.
        counts: [M], how often each was written.
        key_dtype: in which token keys are kept.
        device: where tokens and keys lie.
        store_texts: whether texts are kept.
    """
    lengths = pairs.lengths.cpu().long()
    starts = starts_of(lengths)
    chosen = torch.from_numpy(rows)
    for part in _parts(pairs, lengths[chosen], key_dtype):
        here = chosen[part]
        tokens = ranges(starts[here], lengths[here])

        def own(column: Tensor | None, index: Tensor, dtype: torch.dtype) -> Tensor | None:
            if column is None:
                return None
            return column.detach().index_select(0, index.to(column.device)).to(device, dtype)

        texts, text_starts, kept = _texts(pairs, here.tolist(), store_texts)
        yield Segment(
            torch.from_numpy(ids[part].copy()),
            torch.from_numpy(counts[part].copy()),
            starts_of(lengths[here]),
            text_starts,
            kept,
            texts,
            own(pairs.tokens, tokens, torch.int32),  # type: ignore[arg-type]
            own(pairs.source_keys, here, torch.float32),  # type: ignore[arg-type]
            own(pairs.token_keys, tokens, key_dtype),
            own(pairs.log_probabilities, tokens, torch.float32),
            own(pairs.values, here, torch.float32),
        )


def _parts(pairs: EncodedPairs, lengths: Tensor, key_dtype: torch.dtype) -> Iterator[slice]:
    """Slices of rows of which each makes a segment of at most `SEGMENT_BYTES`, its texts aside."""
    per_pair = 4 * pairs.source_keys.shape[1] + (0 if pairs.values is None else 4 * pairs.values.shape[1])
    per_token = 4 + (0 if pairs.token_keys is None else 4 + key_dtype.itemsize * pairs.token_keys.shape[1])
    ends = (per_pair + per_token * lengths).cumsum(0).numpy()
    first = 0
    while first < len(lengths):
        before = ends[first - 1] if first else 0
        end = max(first + 1, int(ends.searchsorted(before + SEGMENT_BYTES, side="right")))
        yield slice(first, end)
        first = end


def _texts(pairs: EncodedPairs, rows: list[int], store: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The texts of some pairs as bytes, where each begins, and which are kept."""
    sources, targets = (pairs.sources, pairs.targets) if store else (None, None)
    parts = [
        b"" if texts is None else texts[row].encode() for row in rows for texts in (sources, targets)
    ]  # each source before its target
    letters = b"".join(parts)
    buffer = torch.frombuffer(bytearray(letters), dtype=torch.uint8) if letters else torch.empty(0, dtype=torch.uint8)
    kept = (KEPT_SOURCE if sources is not None else 0) | (KEPT_TARGET if targets is not None else 0)
    lengths = torch.tensor(list(map(len, parts)), dtype=torch.long)
    return buffer, starts_of(lengths), torch.full((len(rows),), kept, dtype=torch.uint8)
