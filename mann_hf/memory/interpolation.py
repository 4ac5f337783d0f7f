"""Next-token distributions that are part a model's and part a memory's.

Shapes: R sequences, T positions, M retrieved slots, V vocabulary.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..registry import Registry

SMALLEST_SHARE = 1e-6
"""What is left of a probability of 0 or 1 that a logit stands for at first."""
HIDDEN = 32
"""Units of the hidden layer of `AdaptiveInterpolation`, as in its paper."""


class Interpolation(nn.Module, ABC):
    r"""How much each retrieved slot counts in the next-token distribution.

    Its result are shares $\lambda w_i$ of slots, [.., M]; what they lack of 1 is the model's share.
    """

    @abstractmethod
    def forward(self, scores: Tensor, tokens: Tensor) -> Tensor:
        """The share of each retrieved slot in the next-token distribution, [.., M].

        Args:
            scores: [.., M], how like the query the slots are, largest first: 1 for the same, about 0 for any other;
                minus infinity for no slot.
            tokens: [.., M], the tokens of the slots.
        """


INTERPOLATIONS: Registry[type[Interpolation]] = Registry("interpolation")


def slot_weights(scores: Tensor, sharpness: Tensor | float) -> Tensor:
    """Read weights, the softmax of scores times a sharpness; all 0 where no slot was retrieved.

    Args:
        scores: [.., M]; minus infinity for no slot.
        sharpness: β.
    """
    missing = torch.isneginf(scores)
    none = missing.all(-1, keepdim=True)
    products = sharpness * scores.masked_fill(missing, 0)  # 0 times minus infinity would be no gradient
    return products.masked_fill(missing & ~none, -math.inf).softmax(-1).masked_fill(none, 0)


@INTERPOLATIONS.register("fixed")
class FixedInterpolation(Interpolation):
    r"""The same share of the memory everywhere.

    $p = \lambda \, p_{memory} + (1 - \lambda) \, p_{model}$, equation 3 of [Nearest Neighbor Machine
    Translation](https://arxiv.org/abs/2010.00710), with $p_{memory}$ as equation 2 has it: the temperature there is
    $1 / \beta$, and what a score lacks of 1 is the squared distance, in units of what it is between any two states.

    Args:
        share: λ, from 0 to 1.
        sharpness: β, by which scores are multiplied.
    """

    def __init__(self, share: float, sharpness: float, nearest: int = 0) -> None:
        super().__init__()
        self.share, self.sharpness = share, sharpness

    def forward(self, scores: Tensor, tokens: Tensor) -> Tensor:
        return self.share * slot_weights(scores, self.sharpness)

    def extra_repr(self) -> str:
        return f"share={self.share}, sharpness={self.sharpness}"


@INTERPOLATIONS.register("adaptive")
class AdaptiveInterpolation(Interpolation):
    r"""The share of the memory predicted from what was retrieved.

    A small network sees the distances of the M slots and, for each r, how many different tokens the r nearest have. It
    gives one probability to each of using no slot and the 1, 2, 4, ..., M nearest: section 3 of [Adaptive Nearest
    Neighbor Machine Translation](https://arxiv.org/abs/2105.13022). It has to be trained; before that the share of the
    memory is about `share`.

    Args:
        share: λ that the network gives at first.
        sharpness: β at first; it is trained, too.
        nearest: M.
    """

    def __init__(self, share: float, sharpness: float, nearest: int) -> None:
        super().__init__()
        self.nearest, self.initial_share, self.initial_sharpness = nearest, share, sharpness
        self.initial_spread = 0.1
        self.numbers = [2**power for power in range(nearest.bit_length()) if 2**power < nearest] + [nearest]
        self.hidden = nn.Linear(2 * nearest, HIDDEN)
        self.choice = nn.Linear(HIDDEN, 1 + len(self.numbers))
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(sharpness)))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Puts the network where it gives `share` whatever is retrieved."""
        nn.init.normal_(self.hidden.weight, std=self.initial_spread)
        nn.init.zeros_(self.hidden.bias)
        nn.init.zeros_(self.choice.weight)
        self.choice.bias.copy_(self.initial_choice())
        self.log_sharpness.fill_(math.log(self.initial_sharpness))

    def initial_choice(self) -> Tensor:
        """The logits of using no slot and of each number of slots that give `share`."""
        share = min(max(self.initial_share, SMALLEST_SHARE), 1 - SMALLEST_SHARE)
        logits = torch.zeros(1 + len(self.numbers))
        logits[0] = math.log((1 - share) / share * len(self.numbers))
        return logits

    def forward(self, scores: Tensor, tokens: Tensor) -> Tensor:
        found = scores.shape[-1]
        if found < self.nearest:
            more = (0, self.nearest - found)
            scores = nn.functional.pad(scores, more, value=-math.inf)
            tokens = nn.functional.pad(tokens, more, value=-1)
        held = ~torch.isneginf(scores)
        distances = torch.where(held, 1 - scores, 2)
        seen = torch.cat([distances, different_tokens(tokens, held).to(scores.dtype) / self.nearest], -1)
        choices = self.choice(torch.tanh(self.hidden(seen.to(self.hidden.weight.dtype)))).to(scores.dtype).softmax(-1)
        sharpness, shares = self.log_sharpness.exp().to(scores.dtype), torch.zeros_like(scores)
        for place, number in enumerate(self.numbers, 1):
            near = scores[..., :number]
            part = nn.functional.pad(slot_weights(near, sharpness), (0, self.nearest - number))
            shares = shares + choices[..., place : place + 1] * part
        return shares[..., :found]


def different_tokens(tokens: Tensor, held: Tensor) -> Tensor:
    """How many different tokens the first r slots have, for each r: [.., M].

    Args:
        tokens: [.., M].
        held: [.., M], which places hold a slot.
    """
    same = (tokens[..., :, None] == tokens[..., None, :]) & held[..., None, :]
    earlier = same.tril(-1).any(-1)
    return (held & ~earlier).cumsum(-1)


def mixed_logits(logits: Tensor, shares: Tensor, tokens: Tensor) -> Tensor:
    r"""Logits of $p = (1 - \sum_i s_i) \, p_{model} + \sum_i s_i \, [t_i]$: those given, where all shares are 0.

    They have the scale of the model's own: the logarithm of their sum of exponentials is the same.

    Args:
        logits: [.., V], of the model.
        shares: [.., M], the share $s_i$ of each slot.
        tokens: [.., M], the token $t_i$ of each slot; what stands beside a share of 0 does not matter.
    """
    total = shares.sum(-1, keepdim=True)
    known = logits.float().softmax(-1) * (1 - total)
    mixed = known.scatter_add(-1, tokens.clamp(min=0), shares.to(known.dtype))
    smallest = torch.finfo(mixed.dtype).tiny
    scale = logits.float().logsumexp(-1, keepdim=True)
    return torch.where(total > 0, (mixed.clamp(min=smallest).log() + scale).to(logits.dtype), logits)
