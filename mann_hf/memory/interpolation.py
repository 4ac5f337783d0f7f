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
"""Units of the hidden layer by which λ is predicted, as in both papers."""
SLOT_HIDDEN = 4
"""Units of the hidden layer by which `RobustInterpolation` weighs a slot, as in its paper."""
FIRST_SPREAD = 0.1
"""The standard deviation of the weights of hidden layers before training."""
UNLIKELY = 16.0
"""The logarithm of one over the probability from which on a network no longer tells tokens apart."""


class Interpolation(nn.Module, ABC):
    r"""How much each retrieved slot counts in the next-token distribution.

    Its result are shares $\lambda w_i$ of slots, [.., M]; what they lack of 1 is the model's share.
    """

    @abstractmethod
    def forward(self, scores: Tensor, tokens: Tensor, logits: Tensor, stored: Tensor) -> Tensor:
        """The share of each retrieved slot in the next-token distribution, [.., M].

        Args:
            scores: [.., M], how like the query the slots are, largest first: 1 for the same, about 0 for any other;
                minus infinity for no slot.
            tokens: [.., M], the tokens of the slots.
            logits: [.., V], of the model.
            stored: [.., M], the logarithms of the probabilities that the model had given to the tokens of the slots as
                they were stored.
        """

    def reset_parameters(self) -> None:
        """Puts what is learned where it was before training."""


INTERPOLATIONS: Registry[type[Interpolation]] = Registry("interpolation")


def slot_weights(scores: Tensor, sharpness: Tensor | float, offsets: Tensor | float = 0.0) -> Tensor:
    """Read weights, the softmax of scores times a sharpness; all 0 where no slot was retrieved.

    Args:
        scores: [.., M]; minus infinity for no slot.
        sharpness: β.
        offsets: added to the products, [.., M].
    """
    missing = torch.isneginf(scores)
    none = missing.all(-1, keepdim=True)
    products = sharpness * scores.masked_fill(missing, 0) + offsets  # 0 times minus infinity would be no gradient
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

    def forward(self, scores: Tensor, tokens: Tensor, logits: Tensor, stored: Tensor) -> Tensor:
        return self.share * slot_weights(scores, self.sharpness)

    def extra_repr(self) -> str:
        return f"share={self.share}, sharpness={self.sharpness}"


class LearnedInterpolation(Interpolation):
    """A small network predicts the share of the memory at each token.

    Args:
        share: λ that the network gives before training, about.
        sharpness: β before training; it is trained, too.
        nearest: M.
    """

    def __init__(self, share: float, sharpness: float, nearest: int) -> None:
        super().__init__()
        self.nearest, self.initial_sharpness = nearest, sharpness
        self.initial_share = min(max(share, SMALLEST_SHARE), 1 - SMALLEST_SHARE)
        self.log_sharpness = nn.Parameter(torch.empty(()))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.log_sharpness.fill_(math.log(self.initial_sharpness))

    @abstractmethod
    def shares(self, scores: Tensor, tokens: Tensor, held: Tensor, logits: Tensor, stored: Tensor) -> Tensor:
        """What `forward` gives, of exactly `nearest` places, of which `held` [.., M] hold a slot."""

    def forward(self, scores: Tensor, tokens: Tensor, logits: Tensor, stored: Tensor) -> Tensor:
        found = scores.shape[-1]
        if found < self.nearest:
            more = (0, self.nearest - found)
            scores = nn.functional.pad(scores, more, value=-math.inf)
            tokens = nn.functional.pad(tokens, more, value=-1)
            stored = nn.functional.pad(stored, more)
        return self.shares(scores, tokens, ~torch.isneginf(scores), logits, stored)[..., :found]

    def sharpness(self, like: Tensor) -> Tensor:
        """β, in the precision of another tensor."""
        return self.log_sharpness.exp().to(like.dtype)

    def _retrieval(self, scores: Tensor, tokens: Tensor, held: Tensor) -> Tensor:
        """[.., 2 M], distances, and how many different tokens the r nearest have."""
        distances = torch.where(held, 1 - scores, 2)
        return torch.cat([distances, different_tokens(tokens, held).to(scores.dtype) / self.nearest], -1)


def _hidden(layer: nn.Linear, seen: Tensor) -> Tensor:
    return torch.tanh(layer(seen.to(layer.weight.dtype)))


@INTERPOLATIONS.register("adaptive")
class AdaptiveInterpolation(LearnedInterpolation):
    r"""The share of the memory predicted from what was retrieved.

    A small network sees the distances of the M slots and, for each r, how many different tokens the r nearest have. It
    gives one probability to each of using no slot and the 1, 2, 4, ..., M nearest: section 3 of [Adaptive Nearest
    Neighbor Machine Translation](https://arxiv.org/abs/2105.13022). It has to be trained.
    """

    def __init__(self, share: float, sharpness: float, nearest: int) -> None:
        super().__init__(share, sharpness, nearest)
        self.numbers = [2**power for power in range(nearest.bit_length()) if 2**power < nearest] + [nearest]
        self.hidden = nn.Linear(2 * nearest, HIDDEN)
        self.choice = nn.Linear(HIDDEN, 1 + len(self.numbers))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.normal_(self.hidden.weight, std=FIRST_SPREAD)
        for part in (self.hidden.bias, self.choice.weight, self.choice.bias):
            nn.init.zeros_(part)
        self.choice.bias[0] = math.log((1 - self.initial_share) / self.initial_share * len(self.numbers))

    def shares(self, scores: Tensor, tokens: Tensor, held: Tensor, logits: Tensor, stored: Tensor) -> Tensor:
        seen = self._retrieval(scores, tokens, held)
        choices = self.choice(_hidden(self.hidden, seen)).to(scores.dtype).softmax(-1)
        sharpness, shares = self.sharpness(scores), torch.zeros_like(scores)
        for place, number in enumerate(self.numbers, 1):
            part = nn.functional.pad(slot_weights(scores[..., :number], sharpness), (0, self.nearest - number))
            shares = shares + choices[..., place : place + 1] * part
        return shares


@INTERPOLATIONS.register("robust")
class RobustInterpolation(LearnedInterpolation):
    r"""The share of the memory, and of each slot in it, predicted from what was retrieved and how sure the model is.

    Beside what `AdaptiveInterpolation` sees, the network sees the probabilities that the model gives to the tokens of
    the M slots, now and as they were stored, and those of its own M likeliest tokens: a model that is sure needs no
    memory, and a token that was no news to it teaches little. A slot weighs $softmax(\beta s_i + c_i)$, where $c_i$ is
    predicted from its score $s_i$ and the two probabilities of its token. After section 4 of [Towards Robust
    k-Nearest-Neighbor Machine Translation](https://arxiv.org/abs/2210.08808), where λ does not depend on the
    probabilities as they were stored and is linear in the others, and the slots are disturbed in training. It has to be
    trained.
    """

    def __init__(self, share: float, sharpness: float, nearest: int) -> None:
        super().__init__(share, sharpness, nearest)
        self.hidden, self.choice = nn.Linear(5 * nearest, HIDDEN), nn.Linear(HIDDEN, 1)
        self.slot_hidden, self.slot = nn.Linear(3, SLOT_HIDDEN), nn.Linear(SLOT_HIDDEN, 1)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        super().reset_parameters()
        for layer in (self.hidden, self.slot_hidden):
            nn.init.normal_(layer.weight, std=FIRST_SPREAD)
            nn.init.zeros_(layer.bias)
        for layer in (self.choice, self.slot):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.choice.bias.fill_(math.log(self.initial_share / (1 - self.initial_share)))

    def shares(self, scores: Tensor, tokens: Tensor, held: Tensor, logits: Tensor, stored: Tensor) -> Tensor:
        known = logits.to(torch.promote_types(scores.dtype, torch.float32)).log_softmax(-1)
        own = self._likely(known.gather(-1, tokens.clamp(min=0))).where(held, 0).to(scores.dtype)
        best = self._likely(known.topk(min(self.nearest, known.shape[-1]), -1).values).to(scores.dtype)
        best = nn.functional.pad(best, (0, self.nearest - best.shape[-1]))
        before = self._likely(stored).where(held, 1).to(scores.dtype)
        seen = torch.cat([self._retrieval(scores, tokens, held), own, best, before], -1)
        share = self.choice(_hidden(self.hidden, seen)).to(scores.dtype).sigmoid()
        of_slot = torch.stack([scores.where(held, 0), own, before], -1)
        confidence = self.slot(_hidden(self.slot_hidden, of_slot)).to(scores.dtype)[..., 0]
        return share * slot_weights(scores, self.sharpness(scores), confidence)

    @staticmethod
    def _likely(log_probabilities: Tensor) -> Tensor:
        """Logarithms of probabilities on a scale from 0 for the unlikely to 1 for certainty."""
        return 1 + log_probabilities.clamp(min=-UNLIKELY) / UNLIKELY


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
    wide, shares = logits.float(), shares.float()
    smallest = torch.finfo(wide.dtype).tiny
    total = shares.sum(-1, keepdim=True)
    others = wide + (1 - total).clamp(min=smallest).log()
    places = tokens.clamp(min=0)  # a vocabulary is large, and only these are more than what the model gives
    same = places[..., :, None] == places[..., None, :]
    own = (same * shares[..., None, :]).sum(-1).clamp(min=smallest).log() + wide.logsumexp(-1, keepdim=True)
    sums = torch.logaddexp(others.gather(-1, places), own)
    if sums.requires_grad:  # of a token that was retrieved twice gradients flow once
        sums = sums.where(~same.tril(-1).any(-1), sums.detach())
    return torch.where(total > 0, others.scatter(-1, places, sums).to(logits.dtype), logits)
