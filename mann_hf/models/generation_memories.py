"""What an encoder-decoder remembers of pairs of sequences, and how it is read while a sequence is generated.

Shapes: N pairs, B sources, R = B times beams sequences, L tokens of sources, T of targets, S stored tokens, P
candidates of a source, M retrieved slots, H and D sizes of the encoder's and the decoder's states, E and K of source
and token keys.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..controllers.base import to_unit_length
from ..controllers.seq2seq_controller import half_of, mean_of_states
from ..memory.example_reading import ExampleReading
from ..memory.interpolation import INTERPOLATIONS
from ..persistent.pairs import Candidates, EncodedPairs, PairKind, PairSearch
from ..registry import Registry
from ..targets.label_tensors import IGNORED

READ_WHOLE = 1024
"""Pairs up to which each question reads all of a memory of examples; beyond, the nearest alone."""
NEAREST_PAIRS = 128
"""How many that is at least."""
WIDER = 4
"""Times more tokens than are used are taken from a search by the decoder's state alone."""


NOTHING = object()
"""In place of stored pairs: none are read, those of the lasting memory included."""


class PairStates(NamedTuple):
    """What an encoder-decoder gives for pairs, the decoder fed with the true targets.

    Attributes:
        sources: [N, L, H], the encoder's states.
        mask: [N, L], 0 on padding.
        targets: [N, T, D], the decoder's states before each token of the target.
        tokens: [N, T], the targets; -100 is padding.
        embedded: [N, T, D'], embeddings of these tokens.
    """

    sources: Tensor
    mask: Tensor
    targets: Tensor
    tokens: Tensor
    embedded: Tensor


class StoredExamples(NamedTuple):
    """Pairs as a memory of examples keeps them: keys and values [B, S, K], mask [B, S], numbers [B, S] or None."""

    keys: Tensor
    values: Tensor
    mask: Tensor | None
    numbers: Tensor | None = None


class Retrieved(NamedTuple):
    """What a memory of tokens says about next tokens.

    Attributes:
        shares: [R, T, M], the share of each slot in the next-token distribution.
        tokens: [R, T, M], the tokens of the slots.
        slots: [R, T, M], the slots; -1 for none.
    """

    shares: Tensor
    tokens: Tensor
    slots: Tensor


class GenerationMemory(nn.Module, ABC):
    """What is remembered of pairs, and how it is read; of a model, which gives it states.

    Attributes:
        kind: its name in `GENERATION_MEMORIES`.
        of_tokens: whether what is read changes the next-token distribution; else it changes the encoder's states.
        key_parts: names of its modules that have a part in what is stored.
    """

    kind: PairKind
    of_tokens: bool
    key_parts: tuple[str, ...] = ()

    @staticmethod
    @abstractmethod
    def key_size_of(config: Any) -> int:
        """K, for a `MANNSeq2SeqConfig`."""

    @abstractmethod
    def encoded(self, states: PairStates) -> EncodedPairs:
        """Pairs as they are written to a memory."""

    @abstractmethod
    def probe_states(self, states: PairStates) -> Tensor:
        """States [P, ..] of fixed pairs, those of the N sources first, without any part of this module."""

    def probe_keys(self, states: Tensor) -> Tensor:
        """The keys [P, ..] that `probe_states` become; by default themselves."""
        return states

    @property
    @abstractmethod
    def is_silent(self) -> bool:
        """Whether reading changes nothing, whatever is stored."""

    @property
    @abstractmethod
    def source_size(self) -> int:
        """E."""


GENERATION_MEMORIES: Registry[type[GenerationMemory]] = Registry("memory of pairs")


@GENERATION_MEMORIES.register("token")
class TokenMemory(GenerationMemory):
    """Each token of a target under the decoder's state before it; read at each step of generation.

    Source: Khandelwal et al. 2021, [Nearest Neighbor Machine Translation](https://arxiv.org/abs/2010.00710); with
    `neighbours` the tokens of the nearest pairs alone are compared, as in Meng et al. 2022, [Fast Nearest Neighbor
    Machine Translation](https://arxiv.org/abs/2105.14528).

    Args:
        config: a `MANNSeq2SeqConfig`.
    """

    kind: PairKind = "token"
    of_tokens = True

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.nearest, self.neighbours, self.chunk_size = config.nearest, config.neighbours, config.chunk_size
        self.source_weight = config.source_weight
        fixed = not isinstance(config.interpolation, str)
        share = config.interpolation if fixed else 0.5
        self.interpolation = INTERPOLATIONS[config.interpolation_kind](share, config.sharpness, config.nearest)
        self._source_size = half_of(config.encoder_config, "encoder").hidden_size

    @staticmethod
    def key_size_of(config: Any) -> int:
        return half_of(config.encoder_config, "decoder").hidden_size

    @property
    def source_size(self) -> int:
        return self._source_size

    @property
    def is_silent(self) -> bool:
        return getattr(self.interpolation, "share", None) == 0

    def encoded(self, states: PairStates) -> EncodedPairs:
        told = states.tokens != IGNORED
        return EncodedPairs(
            source_keys=mean_of_states(states.sources, states.mask),
            tokens=states.tokens[told],
            lengths=told.sum(1),
            token_keys=to_unit_length(states.targets[told].float()),
        )

    def probe_states(self, states: PairStates) -> Tensor:
        pairs = self.encoded(states)
        assert pairs.token_keys is not None
        return _stacked(pairs.source_keys, pairs.token_keys)

    def retrieval(self, source_keys: Tensor, search: PairSearch, spreads: tuple[float, float]) -> "TokenRetrieval":
        """What is to be read for sources from a lasting memory.

        Args:
            source_keys: [B, E], of the sources.
            search: of the memory.
            spreads: see `TokenRetrieval`.
        """
        if self.neighbours is None:
            return TokenRetrieval(self, spreads, source_keys, search=search)
        _, numbers = search.nearest_pairs(source_keys, self.neighbours)
        candidates = search.candidates(numbers)
        alike = search.source_cosines(source_keys, candidates.slots)
        return TokenRetrieval(self, spreads, source_keys, candidates, alike)

    def among(
        self, candidates: Candidates, alike: Tensor, source_keys: Tensor, spreads: tuple[float, float]
    ) -> "TokenRetrieval":
        """What is to be read from given tokens of each source, whose sources have cosines `alike` [B, P] with it."""
        return TokenRetrieval(self, spreads, source_keys, candidates, alike)


class TokenRetrieval:
    """Retrieval for a batch of sources, step after step.

    The score of a slot is 1 where its decoder state and its source are those that are asked, and about 0 where its
    state is any other; see `spreads`.

    Args:
        memory: by whose rules.
        spreads: 1 less the usual cosine of two states of the model's decoder, and of two sources' keys. What cosines
            lack of 1 is divided by these, so that scores mean the same for every model.
        source_keys: [B, E], of the sources.
        candidates: the tokens to compare for each source; None where all of `search` are compared.
        alike: [B, P], the cosine of each candidate's source with that of its row.
        search: of the whole memory.
    """

    def __init__(
        self,
        memory: TokenMemory,
        spreads: tuple[float, float],
        source_keys: Tensor,
        candidates: Candidates | None = None,
        alike: Tensor | None = None,
        search: PairSearch | None = None,
    ) -> None:
        self.memory, self.spreads, self.source_keys, self.search = memory, spreads, source_keys, search
        self.batch = len(source_keys)
        self._candidates = None if candidates is None else self._in_float(candidates)
        self._unlike = None if alike is None else self._distance(alike)

    def _distance(self, alike: Tensor) -> Tensor:
        """What is taken from a score for another source."""
        return self.memory.source_weight * (1 - alike) / self.spreads[1]

    def __call__(self, states: Tensor, rows: Tensor, step: int = 0) -> Retrieved:
        """The slots for next tokens.

        Args:
            states: [R, T, D], of the decoder.
            rows: [R], the source of each sequence.
            step: how many tokens stand before these.
        """
        queries = to_unit_length(states.float())
        if self.search is None:
            return self._compared(queries, rows)
        beams = self._beams(rows)
        if self.memory.chunk_size == 1 or queries.shape[1] > 1 or beams is None:
            return self._searched(queries, rows)
        if step % self.memory.chunk_size == 0 or self._candidates is None:
            _, slots = self.search.nearest_tokens(queries[:, 0], self.memory.nearest)
            found = slots.view(self.batch, -1)  # by all sequences of a source
            self._candidates = self._in_float(self.search.window(found, self.memory.chunk_size))
            self._unlike = self._distance(self.search.source_cosines(self.source_keys, self._candidates.slots))
        return self._compared(queries, rows)

    def _beams(self, rows: Tensor) -> int | None:
        """The number of sequences of each source, where these stand together and in order; else None."""
        beams = len(rows) // max(self.batch, 1)
        in_order = torch.arange(self.batch, device=rows.device).repeat_interleave(beams)
        return beams if in_order.shape == rows.shape and torch.equal(in_order, rows) else None

    def _compared(self, queries: Tensor, rows: Tensor) -> Retrieved:
        """The nearest of each source's candidates."""
        assert self._candidates is not None and self._unlike is not None
        keys, tokens, slots = self._candidates
        sequences, length, size = queries.shape
        if (beams := self._beams(rows)) is not None:  # without a copy of the keys for each beam
            scores = (queries.reshape(self.batch, beams * length, size) @ keys.mT).view(sequences, length, -1)
        else:
            scores = queries @ keys[rows].mT
        scores = 1 - (1 - scores) / self.spreads[0] - self._unlike[rows][:, None]
        scores = scores.masked_fill((tokens < 0)[rows][:, None], -math.inf)
        scores, places = scores.topk(min(self.memory.nearest, scores.shape[-1]), dim=-1)
        spread = (sequences, length, -1)
        tokens = tokens[rows][:, None].expand(spread).gather(-1, places)
        slots = slots[rows][:, None].expand(spread).gather(-1, places)
        return self._shared(scores, tokens, slots)

    def _searched(self, queries: Tensor, rows: Tensor) -> Retrieved:
        """The nearest of all tokens: of several times as many by the decoder's state, those with the best scores."""
        assert self.search is not None
        sequences, length = queries.shape[:2]
        scores, slots = self.search.nearest_tokens(queries.flatten(0, 1), WIDER * self.memory.nearest)
        scores, slots = (part.to(queries.device).view(sequences, -1) for part in (scores, slots))
        alike = self.search.source_cosines(self.source_keys[rows], slots).to(scores.device)
        scores = torch.where(slots < 0, -math.inf, 1 - (1 - scores) / self.spreads[0] - self._distance(alike))
        scores, slots = (part.view(sequences, length, -1) for part in (scores, slots))
        scores, places = scores.topk(min(self.memory.nearest, scores.shape[-1]), dim=-1)
        slots = slots.gather(-1, places)
        return self._shared(scores, self.search.tokens_at(slots).to(slots.device), slots)

    def _shared(self, scores: Tensor, tokens: Tensor, slots: Tensor) -> Retrieved:
        shares = self.memory.interpolation(scores, tokens)
        return Retrieved(shares, tokens, slots.masked_fill(torch.isneginf(scores), -1))

    @staticmethod
    def _in_float(candidates: Candidates) -> Candidates:
        return candidates._replace(keys=candidates.keys.float())


@GENERATION_MEMORIES.register("example")
class ExampleMemory(GenerationMemory):
    """Each pair as one key and one value, read by every state of a source; see `ExampleReading`.

    Source: Lake 2019, [Compositional generalization through meta sequence-to-sequence
    learning](https://arxiv.org/abs/1906.05381), section 4.

    A value is made of the mean of the decoder's states before the tokens of the target and of the mean of these tokens'
    embeddings.

    Args:
        config: a `MANNSeq2SeqConfig`.
    """

    kind: PairKind = "example"
    of_tokens = False
    key_parts = ("reading.key", "reading.value")

    def __init__(self, config: Any) -> None:
        super().__init__()
        source, target = (half_of(config.encoder_config, half).hidden_size for half in ("encoder", "decoder"))
        self.neighbours = config.neighbours
        self.reading = ExampleReading(source, 2 * target, self.key_size_of(config), config.gate)

    @staticmethod
    def key_size_of(config: Any) -> int:
        return config.memory_size or half_of(config.encoder_config, "encoder").hidden_size

    @property
    def source_size(self) -> int:
        return self.reading.size

    @property
    def is_silent(self) -> bool:
        return self.reading.is_closed

    def encoded(self, states: PairStates) -> EncodedPairs:
        sources, targets = self._pooled_pairs(states)
        told = states.tokens != IGNORED
        return EncodedPairs(
            source_keys=self.reading.key(sources).float(),
            tokens=states.tokens[told],
            lengths=told.sum(1),
            values=self.reading.value(targets).float(),
        )

    def probe_states(self, states: PairStates) -> Tensor:
        return _stacked(*self._pooled_pairs(states))

    def probe_keys(self, states: Tensor) -> Tensor:
        half, dtype = len(states) // 2, self.reading.key.weight.dtype
        parts = zip((self.reading.key, self.reading.value), (states[:half], states[half:]), strict=True)
        return torch.cat([layer(part[:, : layer.in_features].to(dtype)) for layer, part in parts])

    def _pooled_pairs(self, states: PairStates) -> tuple[Tensor, Tensor]:
        """What keys [N, H] and values [N, D + D'] are made of."""
        told = (states.tokens != IGNORED)[..., None]
        count = told.sum(1).clamp(min=1)
        parts = [(part * told).sum(1) / count for part in (states.targets, states.embedded)]
        return self._pooled(states.sources, states.mask), torch.cat(parts, -1)

    def stored(self, states: Tensor, mask: Tensor, search: PairSearch) -> StoredExamples:
        """The pairs of a lasting memory that sources with these states [B, L, H] read."""
        if (count := len(search.memory)) <= READ_WHOLE:
            numbers = torch.arange(count, device=states.device)[None]
            return StoredExamples(search.source_keys[None], search.values[None], None, numbers)
        asked = self.reading.query(self._pooled(states, mask))
        _, numbers = search.nearest_pairs(asked.float(), max(self.neighbours or 0, NEAREST_PAIRS))
        keys, values = search.examples(numbers)
        return StoredExamples(keys, values, numbers >= 0, numbers)

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        held = mask.to(states.dtype)[..., None]
        return (states * held).sum(1) / held.sum(1).clamp(min=1)


def _stacked(sources: Tensor, targets: Tensor) -> Tensor:
    """Rows of two widths in one tensor, the narrower with zeros behind."""
    width = max(sources.shape[1], targets.shape[1])
    return torch.cat([F.pad(part.float(), (0, width - part.shape[1])) for part in (sources, targets)])
