"""Pairs for tests: everything about a pair follows from its two texts."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mann_hf.persistent.memory_files import load_memory
from mann_hf.persistent.pairs import EncodedPairs, PairKind, PairMemory, TokenizerIdentity

E, K = 6, 4
Pair = tuple[str, str]


def vector(text: str, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(text.encode()))
    return torch.nn.functional.normalize(torch.randn(size, generator=generator), dim=0)


def tokens_of(target: str) -> list[int]:
    """A token for each letter, and the end."""
    return [*(2 + ord(letter) % 90 for letter in target), 1]


def token_keys_of(source: str, target: str) -> Tensor:
    return torch.stack([vector(f"{source}>{target[:place]}", K) for place in range(len(target) + 1)])


def log_probabilities_of(source: str, target: str) -> Tensor:
    return -torch.stack([vector(f"{source}:{target[:place]}", 1).abs()[0] * place for place in range(len(target) + 1)])


def encoded(pairs: Sequence[Pair], kind: PairKind = "token", **changes: Any) -> EncodedPairs:
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    tokens = [tokens_of(target) for target in targets]
    keys = torch.cat([torch.empty(0, K), *(token_keys_of(*pair) for pair in pairs)])
    likely = torch.cat([torch.empty(0), *(log_probabilities_of(*pair) for pair in pairs)])
    values = torch.cat([torch.empty(0, K), *(vector(target, K)[None] for target in targets)])
    found = EncodedPairs(
        source_keys=torch.cat([torch.empty(0, E), *(vector(source, E)[None] for source in sources)]),
        tokens=torch.tensor([token for each in tokens for token in each], dtype=torch.long),
        lengths=torch.tensor([*map(len, tokens)], dtype=torch.long),
        token_keys=keys if kind == "token" else None,
        log_probabilities=likely if kind == "token" else None,
        values=values if kind == "example" else None,
        sources=sources,
        targets=targets,
        source_tokens=[tokens_of(source) for source in sources],
    )
    return found._replace(**changes)


def some_pairs(count: int, prefix: str = "") -> list[Pair]:
    return [
        (f"{prefix}source {number}", f"{prefix}target {number % 7} " + "x" * (number % 3)) for number in range(count)
    ]


def taught(pairs: Sequence[Pair], kind: PairKind = "token", **kwargs: Any) -> PairMemory:
    return marked(PairMemory.empty(kind, K, E, **kwargs)).remember(encoded(pairs, kind))[0]


def marked(memory: PairMemory) -> PairMemory:
    """With the marks that an encoder and a tokenizer leave."""
    probe = torch.arange(3.0 * E).reshape(3, E)
    return replace(
        memory, probe=probe, encoder_name="someone/model", tokenizer=TokenizerIdentity("someone/tokens", "ab" * 16, 100)
    )


def load_pairs(path: Path, check_encoder: Any = None) -> PairMemory:
    """The pairs of a file, as any memory is loaded."""
    memory: PairMemory = load_memory(path, check_encoder, PairMemory)
    return memory
