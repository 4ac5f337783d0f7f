"""Which stored pairs fed each token of a generated text, as dicts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ..controllers.pair_processor import PairProcessor


def evidence_of(
    model: Any, processor: PairProcessor, inputs: Mapping[str, Tensor], sequences: Tensor, most: int
) -> list[list[dict[str, Any]]]:
    """For each sequence and each of its tokens: the token, the memory's share, and what was read of the memory.

    Args:
        model: a `MANNForConditionalGeneration`.
        processor: of its texts.
        inputs: `input_ids` and `attention_mask` [R, L].
        sequences: [R, 1 + T], what was generated for them, with the token that begins them; -100 behind their ends.
        most: pairs behind each token.
    """
    memory = model.memory
    found = model.explain(sequences.clamp(min=0), most, **inputs)
    parts = (found.probabilities, found.interpolation, found.pairs, found.positions, found.weights)
    rows = zip(sequences[:, 1:].tolist(), *map(_numbers, parts), strict=True)
    entries = _Entries(memory, processor)
    return [
        [
            {
                "token": processor.decode_token(token),
                "probability": probability,
                "share": share,
                "pairs": [
                    entries.shown(number, position, weight)
                    for number, position, weight in zip(*slots, strict=True)
                    if number >= 0
                ],
            }
            for token, probability, share, *slots in zip(*row, strict=True)
            if token >= 0
        ]
        for row in rows
    ]


def _numbers(part: Tensor) -> Any:
    """A tensor as lists; of fractions the digits that their precision holds: 0.95, not 0.949999988079071."""
    rounded = np.vectorize(lambda number: float(f"{number:.6g}"), otypes=[float])
    return rounded(part.float().cpu().numpy()).tolist() if part.is_floating_point() else part.tolist()


class _Entries:
    """The pairs of a memory as answers show them; each is read from it once."""

    def __init__(self, memory: Any, processor: PairProcessor) -> None:
        self.memory, self.processor = memory, processor
        self.known: dict[int, tuple[dict[str, Any], list[str]]] = {}

    def shown(self, number: int, position: int, weight: float) -> dict[str, Any]:
        """A pair by its number, and which token of its target was read."""
        if number not in self.known:
            entry = self.memory.pair(number)
            tokens = [self.processor.decode_token(token) for token in self.memory.tokens_of(number).tolist()]
            self.known[number] = ({"id": entry.id, "source": entry.source, "target": entry.target}, tokens)
        pair, tokens = self.known[number]
        read = position >= 0
        return {
            **pair,
            "token": tokens[position] if read else None,
            "position": position if read else None,
            "weight": weight,
        }
