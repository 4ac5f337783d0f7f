"""What an encoder-decoder remembers of pairs of sequences, and how it is read while a sequence is generated.

Shapes: N pairs, B sources, L tokens of sources, T of targets, S stored tokens, P candidates of a source, H and D sizes
of the encoder's and the decoder's states, E and K of source and token keys.
"""

import copy
from abc import ABC, abstractmethod
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..controllers.base import to_unit_length
from ..controllers.seq2seq_controller import half_of, mean_of_states
from ..errors import InvalidInputError
from ..memory.example_reading import ExampleReading
from ..memory.interpolation import INTERPOLATIONS, FixedInterpolation
from ..persistent.pairs import Candidates, EncodedPairs, PairKind, PairSearch
from ..registry import Registry
from ..targets.label_tensors import IGNORED
from .token_retrieval import TokenRetrieval

Memory = TypeVar("Memory", bound="GenerationMemory")

READ_WHOLE = 1024
"""Pairs up to which each question reads all of a memory of examples; beyond, the nearest alone."""
NEAREST_PAIRS = 128
"""How many that is at least."""

LEAST = -100.0
"""The logarithm that stands for a probability of 0."""

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
        logits: [N, T, V], of these tokens.
    """

    sources: Tensor
    mask: Tensor
    targets: Tensor
    tokens: Tensor
    embedded: Tensor
    logits: Tensor


class StoredExamples(NamedTuple):
    """Pairs as a memory of examples keeps them: keys and values [B, S, K], mask [B, S], numbers [B, S] or None."""

    keys: Tensor
    values: Tensor
    mask: Tensor | None
    numbers: Tensor | None = None


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

    def with_interpolation(self: Memory, share: float, sharpness: float, source_weight: float) -> Memory:
        """The same with another λ, β and weight of sources; this one stays as it is.

        Raises:
            InvalidInputError: it has none, or learns them.
        """
        raise InvalidInputError(f"a memory of kind {self.kind!r} has no share in the next-token distribution to set.")

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

    Attributes:
        ends: the tokens with which a sequence is complete, padding among them.
    """

    kind: PairKind = "token"
    of_tokens = True

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.nearest, self.neighbours, self.source_weight = config.nearest, config.neighbours, config.source_weight
        self.chunk_size, self.min_knns = config.chunk_size, config.min_knns
        decoder = half_of(config.encoder_config, "decoder")
        ends, padding = (getattr(decoder, f"{name}_token_id", None) for name in ("eos", "pad"))
        self.ends = [token for token in (*(ends if isinstance(ends, list) else [ends]), padding) if token is not None]
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

    def with_interpolation(self, share: float, sharpness: float, source_weight: float) -> "TokenMemory":
        if not isinstance(self.interpolation, FixedInterpolation):
            raise InvalidInputError("λ and β of this model are predicted and learned: they cannot be set.")
        memory = copy.copy(self)
        memory.source_weight = source_weight
        memory._modules = {**self._modules, "interpolation": FixedInterpolation(share, sharpness)}
        return memory.train(self.training)

    def encoded(self, states: PairStates) -> EncodedPairs:
        mask = states.tokens != IGNORED
        likely = -F.cross_entropy(states.logits.detach()[mask].float(), states.tokens[mask], reduction="none")
        return EncodedPairs(
            source_keys=mean_of_states(states.sources, states.mask),
            tokens=states.tokens[mask],
            lengths=mask.sum(1),
            token_keys=to_unit_length(states.targets[mask].float()),
            log_probabilities=likely.clamp(min=LEAST),
        )

    def probe_states(self, states: PairStates) -> Tensor:
        pairs = self.encoded(states)
        assert pairs.token_keys is not None
        return _stacked(pairs.source_keys, pairs.token_keys)

    def retrieval(self, source_keys: Tensor, search: PairSearch, spreads: tuple[float, float]) -> TokenRetrieval:
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
    ) -> TokenRetrieval:
        """What is to be read from given tokens of each source, whose sources have cosines `alike` [B, P] with it."""
        return TokenRetrieval(self, spreads, source_keys, candidates, alike)


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
        self.reading = ExampleReading(source, 2 * target, self.key_size_of(config), config.gate, config.key_scale)

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
        mask = states.tokens != IGNORED
        return EncodedPairs(
            source_keys=self.reading.key(sources).float(),
            tokens=states.tokens[mask],
            lengths=mask.sum(1),
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
        mask = (states.tokens != IGNORED)[..., None]
        count = mask.sum(1).clamp(min=1)
        parts = [(part * mask).sum(1) / count for part in (states.targets, states.embedded)]
        return self._pooled(states.sources, states.mask), torch.cat(parts, -1)

    def stored(self, states: Tensor, mask: Tensor, search: PairSearch) -> StoredExamples:
        """The pairs of a lasting memory that sources with these states [B, L, H] read."""
        if (count := len(search.memory)) <= READ_WHOLE:
            numbers = torch.arange(count, device=states.device)[None]
            return StoredExamples(search.source_keys[None], search.values[None], None, numbers)
        queries = self.reading.query(self._pooled(states, mask))
        _, numbers = search.nearest_pairs(queries.float(), max(self.neighbours or 0, NEAREST_PAIRS))
        keys, values = search.examples(numbers)
        return StoredExamples(keys, values, numbers >= 0, numbers)

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        held = mask.to(states.dtype)[..., None]
        return (states * held).sum(1) / held.sum(1).clamp(min=1)


def _stacked(sources: Tensor, targets: Tensor) -> Tensor:
    """Rows of two widths in one tensor, the narrower with zeros behind."""
    width = max(sources.shape[1], targets.shape[1])
    return torch.cat([F.pad(part.float(), (0, width - part.shape[1])) for part in (sources, targets)])
