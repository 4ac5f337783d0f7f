"""Reading stored pairs by the states of a question, and adding what was read to these states."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class ReadStates(NamedTuple):
    """What `ExampleReading` gives.

    Attributes:
        states: [B, L, H], of the questions, with what was read added.
        weights: [B, L, S], read weights over the stored pairs.
    """

    states: Tensor
    weights: Tensor


class ExampleReading(nn.Module):
    r"""One key and one value for each stored pair, read by each state of a question.

    $C = softmax(Q K^T / \sqrt{d}) V$, section 4 of [Compositional generalization through meta sequence-to-sequence
    learning](https://arxiv.org/abs/1906.05381): keys come from the states of a pair's source, values from those of its
    target. What was read is added to the question's states through a gate: $h + tanh(g) \, W C$. With $g = 0$ the
    states stay as they are to the last bit.

    Shapes: B questions, L tokens, S stored pairs, H and D sizes of source and target states, K of keys and values.

    Args:
        source_size: H.
        target_size: D.
        size: K.
        gate: $g$ at first.
        key_scale: by what queries and keys are longer than the states that they are made of, at first.
    """

    def __init__(
        self, source_size: int, target_size: int, size: int, gate: float = 0.0, key_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.size, self.initial_gate, self.key_scale = size, gate, key_scale
        self.query = nn.Linear(source_size, size, bias=False)
        self.key = nn.Linear(source_size, size, bias=False)
        self.value = nn.Linear(target_size, size, bias=False)
        self.out = nn.Linear(size, source_size, bias=False)
        self.gate = nn.Parameter(torch.tensor(float(gate)))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws the weights.

        Queries and keys begin as one map, so that each state reads from the pairs that are like it from the start.
        """
        nn.init.normal_(self.query.weight, std=self.query_spread)
        self.key.weight.copy_(self.query.weight)
        for layer in (self.value, self.out):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        self.gate.fill_(self.initial_gate)

    @property
    def query_spread(self) -> float:
        """The standard deviation of the weights with which queries are `key_scale` times as long as their states."""
        return self.key_scale * self.size**-0.5

    @property
    def is_closed(self) -> bool:
        """Whether the gate lets nothing through."""
        return not bool(self.gate)

    def forward(self, states: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> ReadStates:
        """Reads the pairs by the states of questions.

        Args:
            states: [B, L, H].
            keys: [B, S, K], or [1, S, K] where all read the same pairs.
            values: [B, S, K], likewise.
            mask: [B, S], which pairs are there; all by default. A question without any keeps its states.
        """
        scores = self.query(states) @ keys.to(states.dtype).mT / math.sqrt(self.size)
        none = torch.zeros((), dtype=torch.bool, device=states.device)
        if mask is not None:
            none = ~mask.any(-1)[:, None, None]
            scores = scores.masked_fill(~mask[:, None, :] & ~none, -math.inf)
        weights = scores.softmax(-1).masked_fill(none, 0)
        read = self.out(weights @ values.to(states.dtype))
        return ReadStates(states + torch.tanh(self.gate).to(states.dtype) * read, weights)
