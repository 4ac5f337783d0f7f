"""Regularizers: terms added to the loss, by name."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InvalidInputError
from ..memory import Reading
from ..models.episode_keys import EpisodeKeys
from ..registry import Registry
from ..targets.label_tensors import mean_over_episodes
from .objectives import merged
from .options import make


class Regularizer:
    """A term added to the loss; not negative unless its docstring says so.

    Called with the reading and the episodes of a step; `start` is called once, before the first step. Terms of the keys
    are means over the B episodes; an episode with fewer than two keys counts as 0.
    """

    needs_whole_weights = False
    """Whether it needs the model's whole weights, which no process has when they are sharded."""
    of_keys = True
    """Whether it is a term of the keys of labelled inputs; else of the weights alone, for episodes of any kind."""

    def start(self, model: nn.Module) -> None:
        """Stores what it needs of the model before training."""

    def __call__(self, reading: Reading, episodes: EpisodeKeys) -> Tensor:
        raise NotImplementedError


REGULARIZERS: Registry[type[Regularizer]] = Registry("regularizer")


@REGULARIZERS.register("uniformity")
class Uniformity(Regularizer):
    """Keeps the keys of an episode apart on the sphere.

    The logarithm of the mean of exp(−t ‖kᵢ − kⱼ‖²) over pairs of keys; 0 if all keys are equal, negative otherwise.

    Source: Wang & Isola 2020, [Understanding Contrastive Representation Learning through Alignment and Uniformity on
    the Hypersphere](https://arxiv.org/abs/2005.10242), equation 2.

    Args:
        t: how fast the influence of a pair falls with its distance.
    """

    def __init__(self, t: float = 2.0) -> None:
        if not t > 0:
            raise InvalidInputError(f"t is {t}; it must be above 0.")
        self.t = t

    def __call__(self, reading: Reading, episodes: EpisodeKeys) -> Tensor:
        keys, pairs = _unit_keys(reading, episodes)
        squares = 2 - 2 * keys @ keys.mT  # of the distances of unit keys
        closeness = (-self.t * squares).masked_fill(~pairs, float("-inf")).flatten(1)
        some = pairs.flatten(1).any(1)
        means = closeness[some].logsumexp(1) - pairs.flatten(1).sum(1)[some].to(closeness).log()
        return means.sum() / len(some)


@REGULARIZERS.register("read_entropy")
class ReadEntropy(Regularizer):
    """Keeps reads concentrated on few slots: the mean entropy of the read weights, in nats.

    Each key reads the other keys of its episode. The weights are those of content addressing:
    w(i) = softmax(β cos(q, kᵢ)).

    Source: Graves et al. 2014, [Neural Turing Machines](https://arxiv.org/abs/1410.5401), equation 5, for the weights.

    Args:
        sharpness: β.
    """

    def __init__(self, sharpness: float = 20.0) -> None:
        if not sharpness > 0:
            raise InvalidInputError(f"sharpness is {sharpness}; it must be above 0.")
        self.sharpness = sharpness

    def __call__(self, reading: Reading, episodes: EpisodeKeys) -> Tensor:
        keys, pairs = _unit_keys(reading, episodes)
        log_weights = (self.sharpness * keys @ keys.mT).masked_fill(~pairs, float("-inf")).log_softmax(-1)
        reads = pairs.any(-1)
        terms = torch.where(pairs, log_weights.exp() * log_weights.masked_fill(~pairs, 0), 0)
        return mean_over_episodes(-terms.sum(-1), reads)


@REGULARIZERS.register("weight_anchor")
class WeightAnchor(Regularizer):
    """Keeps trained weights near their initial values: the sum of (w − w₀)², known as L2-SP.

    Adapter parameters are pulled to their initial values, too, which for a new adapter mean no change of the encoder.

    Source: Li et al. 2018, [Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks](https://arxiv.org/abs/1802.01483), equation 2, without the half.
    """

    needs_whole_weights = True
    of_keys = False

    def __init__(self) -> None:
        self._model: nn.Module | None = None
        self._begun: dict[str, Tensor] = {}

    def start(self, model: nn.Module) -> None:
        self._model = model
        learned = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._begun = {name: weight.detach().clone() for name, weight in learned.items()}

    def __call__(self, reading: Reading, episodes: EpisodeKeys) -> Tensor:
        if self._model is None or not self._begun:
            return torch.zeros(())
        weights = dict(self._model.named_parameters())  # as they are now: an inner loop puts others in their place
        self._begun = {name: begun.to(weights[name]) for name, begun in self._begun.items()}  # moved with the model
        distances = [F.mse_loss(weights[name], begun, reduction="sum") for name, begun in self._begun.items()]
        return torch.stack(distances).sum()


class Regularized:
    """An objective plus weighted regularizers, called like the objective.

    Args:
        objective: the objective.
        weights: the weight of each regularizer by name, or a mapping of its arguments that has `weight`.

    Raises:
        UnknownNameError: there is no such regularizer.
        InvalidInputError: a weight is missing, or below 0.
    """

    def __init__(self, objective: Any, weights: Mapping[str, Any]) -> None:
        if not isinstance(weights, Mapping):
            raise InvalidInputError(f'regularizers are {weights!r}; give weights by name, as in {{"uniformity": 0.1}}.')
        self.objective = objective
        self.terms: list[tuple[float, Regularizer]] = []
        for name, given in weights.items():
            options = dict(given) if isinstance(given, Mapping) else {"weight": given}
            weight = options.pop("weight", None)
            if not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
                raise InvalidInputError(
                    f"the regularizer {name!r} has weight {weight!r}; give a number of 0 or more, as in "
                    f'{{"{name}": 0.1}} or {{"{name}": {{"weight": 0.1}}}}.'
                )
            self.terms.append((float(weight), make(REGULARIZERS, name, options)))
        self.needs_whole_weights = [name for name in weights if REGULARIZERS[name].needs_whole_weights]

    def start(self, model: nn.Module) -> None:
        """Starts the regularizers; call it before the first step."""
        for _, term in self.terms:
            term.start(model)

    def __call__(self, reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor | None]:
        loss, logits = self.objective(reading, episodes)
        for weight, term in self.terms:
            loss = loss + weight * term(reading, episodes)
        return loss, logits


def _unit_keys(reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor]:
    """The keys of what is taught, asked and named, of length 1, and which two of them are a pair [B, S, S]."""
    whole = merged(episodes, reading.targets).with_names()
    itself = torch.eye(whole.support.shape[1], dtype=torch.bool, device=whole.support.device)
    pairs = whole.mask[:, None, :] & whole.mask[:, :, None] & ~itself
    return F.normalize(whole.support, dim=-1), pairs
