"""The objective of the logistic reading for one large memory, a block of slots at a time."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..addressing import UNIT_EPSILON
from ..precision import precise
from ..state import KeyValueState

BLOCK_NUMBERS = 600_000
"""Scores that are computed at a time: about what a processor's cache holds."""
LEAST_BLOCK = 1024
"""Slots of a block at least: with fewer, what is done once a block and label would take longer than the products."""
ON_DEVICE = 64
"""How many times more where there is no such cache to stay in."""
KNOWN_NUMBERS = 2**22
"""Probabilities above which they are computed anew where they are needed."""

Slots = slice | Tensor
"""Some slots, as a slice or as their numbers [n]."""


def objective_of(
    state: KeyValueState, weights: Tensor, constant: float, weight_decay: float, exclusive: bool
) -> "BlockwiseLogistic":
    """The objective of a memory (B = 1), whose slots count `weights` [S, 1]."""
    keys = state.keys.to(torch.promote_types(state.keys.dtype, torch.float32))
    lengths = torch.linalg.vector_norm(keys, dim=2, keepdim=True)
    scale = torch.where(lengths > UNIT_EPSILON, 1 / lengths, 0)
    values = state.values[0]
    targets = as_columns(values, weights) if exclusive else None
    if targets is None:
        targets = values.to(keys.dtype)
    return BlockwiseLogistic(keys, scale, targets, weights, values.shape[1], constant, weight_decay, exclusive)


class BlockwiseLogistic(NamedTuple):
    """What `LogisticObjective` computes, for one memory (B = 1), without a number for each slot and label at a time.

    A slot's features are its key times its scale, and the constant behind them; they are never made for all slots,
    except in half precision.

    Attributes:
        keys: [1, S, K], as they are stored; or features [1, S, K + 1], then `scale` is None.
        scale: [1, S, 1], one over the lengths of the keys; 0 for zero keys.
        targets: see `as_columns`.
        weights: [S, 1], what each slot counts.
        outputs: V.
        constant: the last feature.
        weight_decay: μ.
        exclusive: whether an example has exactly one label (softmax) or any number (sigmoids).
    """

    keys: Tensor
    scale: Tensor | None
    targets: Tensor
    weights: Tensor
    outputs: int
    constant: float
    weight_decay: float
    exclusive: bool

    @property
    def slots(self) -> int:
        return self.keys.shape[1]

    @property
    def wide(self) -> torch.dtype:
        """The precision of all that is no key."""
        return torch.promote_types(self.keys.dtype, torch.float32)

    def detach(self) -> "BlockwiseLogistic":
        return self._replace(keys=self.keys.detach())

    def to(self, dtype: torch.dtype) -> "BlockwiseLogistic":
        """The same objective with keys of a precision, and its features made if that is another than before."""
        if dtype == self.keys.dtype:
            return self
        size = self.keys.shape[2] + (self.scale is not None)
        features = torch.empty(1, self.slots, size, dtype=dtype, device=self.keys.device)
        for block in self._blocks():
            features[0, block] = self.features(block).to(dtype)
        wide = torch.promote_types(dtype, torch.float32)
        targets = self.targets.to(wide) if self.targets.is_floating_point() else self.targets
        return self._replace(keys=features, scale=None, targets=targets, weights=self.weights.to(wide))

    def of(self, slots: Slots, times: float = 1.0) -> "BlockwiseLogistic":
        """The objective of some slots alone, of which each counts so many times as much."""
        scale = None if self.scale is None else self.scale[:, slots]
        weights = self.weights[slots] * times
        return self._replace(keys=self.keys[:, slots], scale=scale, targets=self.targets[slots], weights=weights)

    def features(self, slots: Slots) -> Tensor:
        """[..., K + 1] of some slots [...]."""
        keys = self.keys[0, slots]
        if self.scale is None:
            return keys.to(self.wide)
        keys = keys * self.scale[0, slots]
        return torch.cat([keys, torch.full_like(keys[..., :1], self.constant)], dim=-1)

    def squares(self) -> Tensor:
        """[S], the squared length of each slot's features."""
        if self.scale is None:
            return self.keys[0].to(self.wide).square().sum(1)
        return (self.scale[0, :, 0] > 0).to(self.wide) + self.constant**2

    def scores(self, slots: Slots, weight: Tensor) -> Tensor:
        """[n, V] of some slots at W = `weight` [V, K + 1]."""
        keys = self.keys[0, slots]
        if self.scale is None:
            return (keys @ weight.to(keys.dtype).mT).to(self.wide)
        scores = (keys @ weight[:, :-1].to(keys.dtype).mT).to(self.wide)
        return scores.mul_(self.scale[0, slots]).add_(self.constant * weight[:, -1])

    def add_products(self, slots: Slots, residual: Tensor, total: Tensor) -> None:
        """Adds Σ_i r_i k_iᵀ over some slots to `total` [V, K + 1], for r = `residual` [n, V], which is used up."""
        keys = self.keys[0, slots]
        if self.scale is None:
            total += (residual.to(keys.dtype).mT @ keys).to(total)
            return
        total[:, -1] += self.constant * residual.sum(0)
        total[:, :-1] += (residual.mul_(self.scale[0, slots]).to(keys.dtype).mT @ keys).to(total)

    def value_and_gradient(self, weight: Tensor) -> tuple[Tensor, Tensor, "Margins"]:
        """Objective [1], its gradient [1, V, K + 1] and what the curvature depends on, at `weight` [1, V, K + 1]."""
        w = weight[0]
        value = 0.5 * self.weight_decay * precise(w).square().sum()
        gradient = self.weight_decay * w
        normalisers = self.weights.new_zeros(self.slots if self.exclusive else 0, 1)
        few = self.exclusive and self.slots * len(w) <= KNOWN_NUMBERS
        known = self.weights.new_empty(self.slots, len(w)) if few else None
        for block in self._blocks():
            scores, targets = self.scores(block, w), self.targets[block]
            own = at_targets(scores, targets)
            if self.exclusive:
                largest = scores.amax(1, keepdim=True)
                probabilities = scores.sub_(largest).exp_()
                total = probabilities.sum(1, keepdim=True)
                probabilities.div_(total)
                normalisers[block] = losses = total.log_().add_(largest)
                if known is not None:
                    known[block] = probabilities
            else:
                losses = torch.nn.functional.softplus(scores).sum(1, keepdim=True)
                probabilities = scores.sigmoid_()
            value += precise(self.weights[block] * (losses - own)).sum()
            residual = less_targets_(probabilities, targets).mul_(self.weights[block])
            self.add_products(block, residual, gradient)
        return value.to(self.wide)[None], gradient[None], Margins(self, w, normalisers, known)

    def hessian(self, margins: "Margins") -> Callable[[Tensor], Tensor]:
        """The Hessian as a function of a direction [1, V, K + 1]."""
        product = self.hessian_of(margins.probabilities().to(self.wide))  # theirs may be wider than the curvature's
        return lambda direction: product(direction[0])[None]

    def curvature_weights(self, margins: "Margins") -> Tensor:
        """[1, S, V], w by which the Hessian's block of a label is Σ_i w_i k_i k_iᵀ + μ I."""
        probabilities = margins.probabilities()
        return (probabilities * (1 - probabilities)).mul_(self.weights)[None]

    def hessian_of(self, probabilities: Tensor) -> Callable[[Tensor], Tensor]:
        """The Hessian's block of V' of the outputs as a function of a direction [V', K + 1]; it is never made.

        Source: Lin, Weng and Keerthi 2008, [Trust Region Newton Method for Large-Scale Logistic
        Regression](https://www.jmlr.org/papers/v9/lin08b.html), section 3.

        Args:
            probabilities: [S, V'], of these outputs.
        """
        weights = probabilities if self.exclusive else probabilities * (1 - probabilities)

        def product(direction: Tensor) -> Tensor:
            total = self.weight_decay * direction
            for block in self._blocks(len(direction)):
                change = self.scores(block, direction)
                if self.exclusive:
                    change.sub_(torch.linalg.vecdot(probabilities[block], change)[:, None])
                self.add_products(block, change.mul_(weights[block]).mul_(self.weights[block]), total)
            return total

        return product

    def means(self) -> Tensor:
        """[V, K + 1], the sum of each label's features, each times what its slot counts."""
        total = self.weights.new_zeros(self.outputs, self.keys.shape[2] + (self.scale is not None))
        for block in self._blocks():
            nothing = self.weights.new_zeros(len(self.weights[block]), self.outputs)
            self.add_products(block, less_targets_(nothing, self.targets[block]).mul_(self.weights[block]), total)
        return total.neg_()

    def _blocks(self, outputs: int | None = None) -> Iterator[slice]:
        return blocks(self.slots, self.outputs if outputs is None else outputs, self.keys.device)


class Margins(NamedTuple):
    """What the curvature of a `BlockwiseLogistic` depends on.

    Attributes:
        objective: in the precision of gradients.
        weight: [V, K + 1], where.
        normalisers: [S, 1], log Σ_c exp(W_c k_i); nothing for sigmoids.
        known: [S, V], the probabilities; None for sigmoids, and where they are too many to be kept.
        doubt: the most by which the gradient that was worked out there may be off.
    """

    objective: BlockwiseLogistic
    weight: Tensor
    normalisers: Tensor
    known: Tensor | None = None
    doubt: float = 0.0

    def to(self, dtype: torch.dtype) -> "Margins":
        """These margins, unchanged: what they know is of the precision of gradients."""
        return self

    def probabilities(self, slots: Slots = slice(None), outputs: Slots = slice(None)) -> Tensor:
        """[n, V'] of some slots and outputs; not to be written to."""
        if self.known is not None:
            return self.known[slots][:, outputs]
        scores = self.objective.scores(slots, self.weight[outputs])
        return scores.sub_(self.normalisers[slots]).exp_() if self.objective.exclusive else scores.sigmoid_()


def blocks(slots: int, outputs: int, device: torch.device) -> Iterator[slice]:
    """Slices of so many slots that their scores of some outputs are few enough."""
    size = max(LEAST_BLOCK, BLOCK_NUMBERS * (1 if device.type == "cpu" else ON_DEVICE) // max(outputs, 100))
    return (slice(start, min(start + size, slots)) for start in range(0, slots, size))


def as_columns(values: Tensor, weights: Tensor) -> Tensor | None:
    """The one label [S] of each slot, given values [S, V]; None where a slot that counts has none or several."""
    most, columns = values.max(1)
    if not ((most == 1) & (values.sum(1) == 1) | (weights[:, 0] == 0)).all():
        return None
    return columns


def at_targets(scores: Tensor, targets: Tensor) -> Tensor:
    """The sums [n, 1] of scores [n, V] over targets, given as columns [n] or rows [n, V]."""
    if targets.dim() == 1:
        return scores.gather(1, targets[:, None])
    return torch.linalg.vecdot(scores, targets)[:, None]


def less_targets_(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Takes targets, given as columns [n] or rows [n, V], from probabilities [n, V] in place."""
    if targets.dim() == 1:
        return probabilities.scatter_add_(1, targets[:, None], probabilities.new_full((len(targets), 1), -1.0))
    return probabilities.sub_(targets)
