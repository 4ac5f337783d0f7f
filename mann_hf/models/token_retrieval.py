"""Retrieval from a memory of tokens, step after step of generation.

Shapes: B sources, R = B times beams sequences, T tokens of targets, P candidates of a source, M retrieved slots, D size
of the decoder's states, E of source keys.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..controllers.base import to_unit_length
from ..persistent.pairs import Candidates, PairSearch

WIDER = 4
"""Times more tokens than are used are taken from a search by the decoder's state alone."""


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


class TokenRetrieval:
    """Retrieval for a batch of sources, step after step.

    The score of a slot is 1 where its decoder state and its source are those of the query, and about 0 where its state
    is any other; see `spreads`.

    Where the whole memory is searched, a step can go on from what an earlier one found. Every `chunk_size` steps new
    candidates are taken for each source: what follows the pointers of the last step, if enough of them go on
    (`min_knns`), else what a search finds; and with each the tokens behind it, for the steps until then. A pointer is
    the slot behind one that was retrieved and whose token was generated. Candidates belong to a source, not to one of
    its sequences, so that beams may change places.

    Source: Martins et al. 2022, [Chunk-based Nearest Neighbor Machine Translation](https://arxiv.org/abs/2205.12230);
    Alon et al. 2022, [Neuro-Symbolic Language Modeling with Automaton-augmented
    Retrieval](https://arxiv.org/abs/2201.12431), section 3, without its clusters.

    Args:
        memory: the `TokenMemory` by whose rules.
        spreads: 1 less the usual cosine of two states of the model's decoder, and of two sources' keys. What cosines
            lack of 1 is divided by these, so that scores mean the same for every model.
        source_keys: [B, E], of the sources.
        candidates: the tokens to compare for each source; None where all of `search` are compared.
        alike: [B, P], the cosine of each candidate's source with that of its row.
        search: of the whole memory.

    Attributes:
        goes_on: whether what is found at one step serves later ones.
    """

    def __init__(
        self,
        memory: Any,
        spreads: tuple[float, float],
        source_keys: Tensor,
        candidates: Candidates | None = None,
        alike: Tensor | None = None,
        search: PairSearch | None = None,
    ) -> None:
        self.memory, self.spreads, self.source_keys, self.search = memory, spreads, source_keys, search
        self.batch = len(source_keys)
        self.goes_on = search is not None and (memory.chunk_size > 1 or memory.min_knns is not None)
        self._candidates: Candidates | None = None
        self._offsets: Tensor | None = None  # [B, 1, P]
        if candidates is not None and alike is not None:
            self._compare_with(candidates, alike)
        self._last: Tensor | None = None  # [B, beams * M], the slots of the step before
        self._next_step = 0

    def _distance(self, alike: Tensor) -> Tensor:
        """What is taken from a score for another source."""
        return self.memory.source_weight * (1 - alike) / self.spreads[1]

    def _compare_with(self, candidates: Candidates, alike: Tensor) -> None:
        """Takes the tokens [B, P] to compare, and what is added to their scores beside the states' products."""
        self._candidates = candidates._replace(keys=candidates.keys.float())
        offsets = 1 - 1 / self.spreads[0] - self._distance(alike)
        self._offsets = offsets.masked_fill(candidates.tokens < 0, -math.inf)[:, None]

    def __call__(
        self, states: Tensor, logits: Tensor, rows: Tensor, step: int = 0, previous: Tensor | None = None
    ) -> Retrieved:
        """The slots for next tokens.

        Args:
            states: [R, T, D], of the decoder.
            logits: [R, T, V], of the model.
            rows: [R], the source of each sequence.
            step: how many tokens stand before these.
            previous: [R], the token with which each sequence ends; None where it is not known.
        """
        queries = to_unit_length(states.float())
        if self.search is None:
            return self._compared(queries, logits, rows)
        beams = self._beams(rows)
        if not self.goes_on or queries.shape[1] > 1 or beams is None:
            scores, slots = self._nearest(queries, rows)
            tokens, likely = self.search.tokens_at(slots), self.search.log_probabilities_at(slots)
            return self._shared(scores, tokens.to(slots.device), slots, logits, likely.to(slots.device))
        if step != self._next_step or not step:
            self._candidates = self._last = None  # of other sequences
        if self._candidates is None or step % self.memory.chunk_size == 0:
            starts = self._starts(queries, rows, beams, previous)
            window = self.search.window(starts, self.memory.chunk_size)
            self._compare_with(window, self.search.source_cosines(self.source_keys, window.slots))
        retrieved = self._compared(queries, logits, rows)
        self._last, self._next_step = retrieved.slots.view(self.batch, beams * retrieved.slots.shape[-1]), step + 1
        return retrieved

    def _beams(self, rows: Tensor) -> int | None:
        """The number of sequences of each source, where these stand together and in order; else None."""
        beams = len(rows) // max(self.batch, 1)
        in_order = torch.arange(self.batch, device=rows.device).repeat_interleave(beams)
        return beams if in_order.shape == rows.shape and torch.equal(in_order, rows) else None

    def _starts(self, queries: Tensor, rows: Tensor, beams: int, previous: Tensor | None) -> Tensor:
        """The slots [B, ..] from which on tokens are compared for each source: its pointers, or the nearest of all."""
        pointers, enough = self._pointers(beams, previous)
        if bool(enough.all()):
            return pointers
        lacking = ~enough.repeat_interleave(beams)
        _, found = self._nearest(queries[lacking], rows[lacking])
        found = found.view(int(lacking.sum()) // beams, -1)
        starts = found.new_full((self.batch, max(pointers.shape[1], found.shape[1])), -1)
        starts[enough, : pointers.shape[1]] = pointers[enough]
        starts[~enough, : found.shape[1]] = found
        return starts

    def _pointers(self, beams: int, previous: Tensor | None) -> tuple[Tensor, Tensor]:
        """The pointers [B, ..] of each source, -1 for none, and of which sources enough go on in every sequence.

        A sequence that is complete needs none.
        """
        assert self.search is not None
        if self._last is None or previous is None or self.memory.min_knns is None:
            none = self.source_keys.new_empty(self.batch, 0, dtype=torch.long)
            return none, torch.zeros(self.batch, dtype=torch.bool, device=none.device)
        slots = self._last.sort(1).values  # several sequences may have retrieved the same
        repeated = torch.zeros_like(slots, dtype=torch.bool)
        repeated[:, 1:] = slots[:, 1:] == slots[:, :-1]
        slots = slots.masked_fill(repeated, -1)
        following = self.search.following(slots)
        generated = previous.view(self.batch, beams)
        alive = (self.search.tokens_at(slots)[:, None] == generated[..., None]) & (following >= 0)[:, None]
        complete = torch.isin(generated, generated.new_tensor(self.memory.ends))
        enough = (alive.sum(-1) >= self.memory.min_knns) | complete
        return following.masked_fill(~alive.any(1), -1), enough.all(1)

    def _compared(self, queries: Tensor, logits: Tensor, rows: Tensor) -> Retrieved:
        """The nearest of each source's candidates."""
        assert self._candidates is not None and self._offsets is not None
        sequences, length, size = queries.shape
        parts: tuple[Tensor, ...] = (*self._candidates, self._offsets)
        if (beams := self._beams(rows)) is None:
            parts, beams = tuple(part[rows] for part in parts), 1
        keys, tokens, slots, likely, offsets = parts  # with beams not once for each
        queries = queries.reshape(len(keys), beams * length, size)
        scores = torch.baddbmm(offsets, queries, keys.mT, alpha=1 / self.spreads[0])
        scores, places = scores.topk(min(self.memory.nearest, scores.shape[-1]), dim=-1)
        found = sequences, length, places.shape[-1]
        tokens, slots, likely = (part.gather(1, places.flatten(1)).view(found) for part in (tokens, slots, likely))
        return self._shared(scores.view(found), tokens, slots, logits, likely)

    def _nearest(self, queries: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and slots [R, T, M] of the nearest of all tokens.

        Of several times as many by the decoder's state, those with the best scores.
        """
        assert self.search is not None
        sequences, length = queries.shape[:2]
        scores, slots = self.search.nearest_tokens(queries.flatten(0, 1), WIDER * self.memory.nearest)
        scores, slots = (part.to(queries.device).view(sequences, -1) for part in (scores, slots))
        alike = self.search.source_cosines(self.source_keys[rows], slots).to(scores.device)
        scores = torch.where(slots < 0, -math.inf, 1 - (1 - scores) / self.spreads[0] - self._distance(alike))
        scores, slots = (part.view(sequences, length, -1) for part in (scores, slots))
        scores, places = scores.topk(min(self.memory.nearest, scores.shape[-1]), dim=-1)
        return scores, slots.gather(-1, places)

    def _shared(self, scores: Tensor, tokens: Tensor, slots: Tensor, logits: Tensor, likely: Tensor) -> Retrieved:
        shares = self.memory.interpolation(scores, tokens, logits.to(scores.device), likely)
        return Retrieved(shares, tokens, slots.masked_fill(torch.isneginf(scores), -1))
