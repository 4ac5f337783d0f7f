"""Files of pairs: `memory.safetensors`, which is mapped and not read as it is loaded, and `memory.json` for people."""

import hashlib
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from ...errors import MemoryFileError
from ...hub.files import MEMORY_FILE
from ...hub.saving import write_whole
from ..entries import LARGEST_ID
from ..file_entries import READABLE_FILE, expect
from ..values import MEMORY_FORMATS, CheckEncoder, MemoryFormat
from .encoded import SEGMENT_BYTES
from .index_files import write_indexes
from .memory import PAIR_KINDS, PairMemory
from .merging import merged_pairs
from .search import PairSearch
from .segment import KEPT_SOURCE, KEPT_TARGET, TOKEN_COLUMNS, Segment
from .tokenizer_identity import TokenizerIdentity
from .written_columns import DTYPES, Column, columns_as_bytes, write_columns

READABLE_PAIRS = 1000
"""Pairs that the copy for people shows."""
PAIRS_FORMAT = "mann_hf.pairs"
PAIRS_VERSION = "1"
METADATA = {"format": f"{PAIRS_FORMAT}/{PAIRS_VERSION}"}
KEY_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
LARGEST_CONTENTS = 2**16
"""Bytes of the description; it holds a few names."""
PAIR_BYTES = 41
"""Bytes of a pair that are read at once: its id, its count, and where its tokens and texts begin."""


def write_pairs(memory: PairMemory, folder: Path) -> None:
    """Writes both files, and the indexes that were made or loaded, into a folder that nobody reads yet.

    Columns are written segment by segment, so that no more than one segment is copied at a time.
    """
    described = describe_pairs(memory)
    write_columns(folder / MEMORY_FILE, _columns(memory, described), METADATA)
    shown = {**described, "entries": [entry._asdict() for entry in islice(memory.entries, READABLE_PAIRS)]}
    write_whole(folder / READABLE_FILE, (json.dumps(shown, indent=1, ensure_ascii=False) + "\n").encode())
    if memory.index_folder is not None:
        PairSearch.of(memory).take_saved_indexes()
    write_indexes(memory, folder)


def pairs_as_bytes(memory: PairMemory) -> bytes:
    """What `write_pairs` writes to `memory.safetensors`."""
    return columns_as_bytes(_columns(memory, describe_pairs(memory)), METADATA)


def digest_of_memory(memory: PairMemory) -> str:
    """A digest of all that `write_pairs` writes to `memory.safetensors`, without writing it."""
    digest = hashlib.blake2b(digest_size=16)
    for column in _columns(memory, describe_pairs(memory)):
        digest.update(f"{column.name} {column.dtype} {column.shape} ".encode())
        for part in column.parts:
            digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def describe_pairs(memory: PairMemory) -> dict[str, Any]:
    """What a memory holds, without its pairs: how many, their tokenizer, and the encoder that wrote it."""
    fingerprint = None
    if memory.probe is not None:
        fingerprint = " ".join(f"{number:+.2f}" for number in memory.probe.flatten()[:8].tolist())
    return {
        "format": PAIRS_FORMAT,
        "version": PAIRS_VERSION,
        "kind": memory.kind,
        "pairs": len(memory),
        "tokens": memory.num_tokens,
        "key_size": memory.key_size,
        "source_size": memory.source_size,
        "key_dtype": next(name for name, dtype in KEY_DTYPES.items() if dtype == memory.key_dtype),
        "encoder": {"name": memory.encoder_name, "fingerprint": fingerprint},
        "tokenizer": None if memory.tokenizer is None else memory.tokenizer._asdict(),
    }


def _columns(memory: PairMemory, described: dict[str, Any]) -> Iterator[Column]:
    """The columns of a file, those of large numbers first, so that each begins at a multiple of its numbers' size."""
    count, total, segments = len(memory), memory.num_tokens, memory.segments
    letters = sum(len(each.texts) for each in segments)
    yield Column("ids", torch.int64, (count,), (each.ids for each in segments))
    yield Column("counts", torch.int64, (count,), (each.counts for each in segments))
    yield Column("starts", torch.int64, (count + 1,), _moved([each.starts for each in segments]))
    yield Column("text_starts", torch.int64, (2 * count + 1,), _moved([each.text_starts for each in segments]))
    if memory.probe is not None:
        yield Column("encoder_probe", torch.float32, tuple(memory.probe.shape), (memory.probe.float(),))
    yield Column("source_keys", torch.float32, (count, memory.source_size), (each.source_keys for each in segments))
    if memory.kind == "example":
        shape = (count, memory.key_size)
        yield Column("values", torch.float32, shape, (each.values for each in segments if each.values is not None))
    yield Column("tokens", torch.int32, (total,), (each.tokens for each in segments))
    if memory.kind == "token":
        likely = (each.log_probabilities for each in segments if each.log_probabilities is not None)
        yield Column("log_probabilities", torch.float32, (total,), likely)
        keys = (each.token_keys for each in segments if each.token_keys is not None)
        yield Column("token_keys", memory.key_dtype, (total, memory.key_size), keys)
    yield Column("kept", torch.uint8, (count,), (each.kept for each in segments))
    yield Column("texts", torch.uint8, (letters,), (each.texts for each in segments))
    written = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    contents = torch.frombuffer(bytearray(written), dtype=torch.uint8)
    yield Column("contents", torch.uint8, (len(contents),), (contents,))


def _moved(columns: list[Tensor]) -> Iterator[Tensor]:
    """Where the parts of all segments begin, one behind the other, and where the last ends."""
    first = 0
    for column in columns:
        yield column[:-1] + first
        first += int(column[-1])
    yield torch.tensor([first])


def read_pairs(path: Path, version: str, check_encoder: CheckEncoder | None = None) -> PairMemory:
    """Maps the memory in a file of this format; see `MemoryFormat.read`. Keys and texts are read when asked for.

    What the file claims of sizes and numbers is checked here, and that keys are finite when they are read. A later save
    puts another file in its place and leaves this one to those who have mapped it.

    Raises:
        MemoryFileError: the version is none that this release reads.
    """
    if version != PAIRS_VERSION:
        raise MemoryFileError(
            f"{path} has version {version!r} of the format of pairs; this release reads {PAIRS_VERSION!r}. A newer "
            "release of mann_hf may read it."
        )
    with safe_open(path, framework="pt") as file:
        return _assemble(file, path.parent, check_encoder)


def _assemble(file: Any, folder: Path, check_encoder: CheckEncoder | None) -> PairMemory:
    """The memory in an open file, beside which indexes may lie in a folder."""
    (length,) = file.get_slice("contents").get_shape()
    expect(length <= LARGEST_CONTENTS, "its description is too long")
    contents = json.loads(_tensor(file, "contents", torch.uint8, (length,)).numpy().tobytes())
    kind, name = contents["kind"], contents["encoder"]["name"]
    expect(kind in PAIR_KINDS, f"unknown kind of memory {kind!r}")
    expect(name is None or isinstance(name, str), "the encoder's name is no string")
    key_size, source_size = (_whole(contents[field], 1) for field in ("key_size", "source_size"))
    key_dtype = KEY_DTYPES[contents["key_dtype"]]
    if check_encoder is not None:
        check_encoder(name, key_size)
    (count,), (total,) = (file.get_slice(field).get_shape() for field in ("ids", "tokens"))
    expect((_whole(contents["pairs"], 0), _whole(contents["tokens"], 0)) == (count, total), "the counts do not fit")
    _check_held(count)

    ids, counts, kept = (
        _tensor(file, field, dtype, (count,))
        for field, dtype in (("ids", torch.int64), ("counts", torch.int64), ("kept", torch.uint8))
    )
    expect(not count or (int(ids.min()) >= 0 and int(ids.max()) <= LARGEST_ID), "an id is out of range")
    expect(len(ids.unique()) == count, "an id stands twice")
    expect(bool((counts >= 1).all()), "a count is below what it can be")
    starts = _starts(file, "starts", count, total, 1)
    (letters,) = file.get_slice("texts").get_shape()
    text_starts = _starts(file, "text_starts", 2 * count, letters, 0)
    without = torch.stack([kept & KEPT_SOURCE, kept & KEPT_TARGET], dim=1).flatten() == 0
    expect(not bool((text_starts.diff()[without] > 0).any()), "a text that is not kept")

    tokenizer = _tokenizer(contents["tokenizer"])
    tokens = _tensor(file, "tokens", torch.int32, (total,))
    most = 2**31 if tokenizer is None else tokenizer.size
    expect(not total or (int(tokens.min()) >= 0 and int(tokens.max()) < most), "a token is out of range")
    columns = {
        "ids": ids,
        "counts": counts,
        "kept": kept,
        "tokens": tokens,
        "texts": _tensor(file, "texts", torch.uint8, (letters,)),
        "source_keys": _tensor(file, "source_keys", torch.float32, (count, source_size)),
    }
    if kind == "token":
        columns["token_keys"] = _tensor(file, "token_keys", key_dtype, (total, key_size))
        columns["log_probabilities"] = _tensor(file, "log_probabilities", torch.float32, (total,))
    else:
        columns["values"] = _tensor(file, "values", torch.float32, (count, key_size))
    probe = None
    if count or "encoder_probe" in file.keys():  # noqa: SIM118 no mapping
        probe = _tensor(file, "encoder_probe", torch.float32, None).clone()
        expect(probe.dim() == 2 and len(probe) > 0 and bool(probe.isfinite().all()), "the probe does not fit")
    segments = tuple(_segments(columns, starts, text_starts))
    return PairMemory(
        kind, key_size, source_size, segments, key_dtype, tokenizer, probe, name, index_folder=folder if count else None
    )


def _segments(columns: dict[str, Tensor], starts: Tensor, text_starts: Tensor) -> Iterator[Segment]:
    """The mapped columns in segments, of which only those that are changed will be copied."""
    count, total = len(starts) - 1, int(starts[-1])
    size = sum(column.nbytes for column in columns.values())
    tokens_each = max(1, total * SEGMENT_BYTES // max(size, 1))
    by_column = dict.fromkeys(TOKEN_COLUMNS, starts)
    first = 0
    while first < count:
        end = int(torch.searchsorted(starts, starts[first] + tokens_each, right=True)) - 1
        end = min(count, max(first + 1, end))
        text_first, text_end = text_starts[2 * first], text_starts[2 * end]
        own = {
            name: column[by_column[name][first] : by_column[name][end]] if name in by_column else column[first:end]
            for name, column in columns.items()
            if name != "texts"
        }
        yield Segment(
            **own,
            texts=columns["texts"][text_first:text_end],
            starts=starts[first : end + 1] - starts[first],
            text_starts=text_starts[2 * first : 2 * end + 1] - text_first,
        )
        first = end


def _starts(file: Any, name: str, count: int, end: int, least: int) -> Tensor:
    """Where each of some parts begins, none shorter than `least`, and where the last ends."""
    starts = _tensor(file, name, torch.int64, (count + 1,))
    inside = bool(((starts >= 0) & (starts <= end)).all())  # or differences could pass the largest number
    expect(inside and int(starts[0]) == 0 and int(starts[-1]) == end, f"{name} do not fit")
    expect(bool((starts.diff() >= least).all()), f"{name} do not ascend")
    return starts


def _tokenizer(described: Any) -> TokenizerIdentity | None:
    if described is None:
        return None
    name, digest, size = (described[field] for field in TokenizerIdentity._fields)
    expect(name is None or isinstance(name, str), "the tokenizer's name is no string")
    expect(isinstance(digest, str) and len(digest) <= 128, "the tokenizer's digest is none")
    return TokenizerIdentity(name, digest, _whole(size, 1))


def _check_held(count: int) -> None:
    """Refuses holes that claim to be more pairs than this machine can list."""
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        held = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        expect(count * PAIR_BYTES <= held, f"it names {count:,} pairs, and this machine has a memory of {held:,} bytes")


def _whole(value: Any, least: int) -> int:
    expect(type(value) is int and value >= least, "a number is out of range")
    return value


def _tensor(file: Any, name: str, dtype: torch.dtype, shape: tuple[int, ...] | None) -> Tensor:
    """A tensor of the file, mapped."""
    claimed = file.get_slice(name)
    kind, size = claimed.get_dtype(), tuple(claimed.get_shape())
    expect(kind == DTYPES[dtype], f"{name} are of {kind}, not {DTYPES[dtype]}")
    expect(shape is None or size == shape, f"{name} have the shape {size}, not {shape}")
    return file.get_tensor(name)


MEMORY_FORMATS.register(PAIRS_FORMAT)(MemoryFormat(PairMemory, "pairs", write_pairs, read_pairs, merged_pairs))
