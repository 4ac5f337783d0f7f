"""Loss functions over a batch of episodes, by name."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInputError
from ..memory import KeyValueMemory
from ..memory.reading import READINGS, Reading
from ..models.episode_keys import EpisodeKeys, read_episodes
from ..registry import Registry
from ..targets.kinds import SINGLE_LABEL, Targets
from ..targets.label_tensors import mean_over_episodes
from .options import make

OF_NAMES, OF_SUPPORTS = 0, 1
"""Numbers that set apart the random draws of an episode: of label names, and of support inputs."""


class Objective:
    """Loss function of an episode batch: the mean within each episode, then over the B episodes.

    An episode without queries counts as 0, so that several processes, or accumulated steps, with the same number of
    episodes average to one step over all their episodes.

    Called with the model's reading and the episodes; returns the loss and, if the objective answers queries, their
    logits. It has no parameters: it trains the encoder, through the keys, and the reading.

    Args:
        name_dropout: the share of label names that is left out of each episode at random, so that the model learns to
            work without them. Has an effect only if episodes have label names.
    """

    needs_queries = True
    """Whether an episode needs queries beside the support."""
    needs_names = False
    """Whether it needs label names."""

    def __init__(self, name_dropout: float = 0.0) -> None:
        if not isinstance(name_dropout, (int, float)) or not 0 <= name_dropout <= 1:
            raise InvalidInputError(f"name_dropout is {name_dropout!r}; it is a share from 0 to 1.")
        self.name_dropout = name_dropout

    @classmethod
    def serves(cls, targets: Targets) -> bool:
        """Whether models of these targets can be trained: by default those whose inputs have one label by name each.

        By that label the trainer draws its episodes.
        """
        return targets.named and targets.exclusive

    def __call__(self, reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor | None]:
        if episodes.named is not None and self.name_dropout:
            kept = _drawn(episodes.seeds, torch.ones_like(episodes.named), OF_NAMES)[0] >= self.name_dropout
            episodes = episodes._replace(named=episodes.named & kept)
        return self.loss(reading, episodes)

    def loss(self, reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor | None]:
        """The loss, and logits [B, Q, V] if there are any."""
        raise NotImplementedError


OBJECTIVES: Registry[type[Objective]] = Registry("objective")


class OwnReading:
    """The reading that an objective uses instead of the model's own. Its parameters are not trained.

    Args:
        name: a name of `READINGS`.
        sharpness: β; by default the reading's own.
        options: further arguments of the reading.

    Raises:
        UnknownNameError: there is no such reading.
        InvalidInputError: the reading does not take these options.
    """

    def __init__(self, name: str, sharpness: float | None, options: Mapping[str, Any] | None) -> None:
        given = READINGS[name].with_present_names(dict(options or {}))
        self.name, self.options = name, {"sharpness": sharpness, **given}
        self.made(1)  # so that errors come now, not at the first step

    def made(self, key_size: int, problem_type: str = SINGLE_LABEL) -> Reading:
        """The reading for keys of this size and values of these targets."""
        given = {"key_size": key_size, "problem_type": problem_type, **self.options}
        return make(READINGS, self.name, given).requires_grad_(False)

    def like(self, reading: Reading, device: torch.device) -> Reading:
        """The reading for the keys and targets of another, on a device."""
        return self.made(reading.key_size, reading.targets.name).to(device)


@OBJECTIVES.register("episode")
class EpisodeCrossEntropy(Objective):
    """Cross entropy of the queries, read from a memory of the support.

    Source: Vinyals et al. 2016, [Matching Networks for One Shot Learning](https://arxiv.org/abs/1606.04080), equation
    2.
    """

    def loss(self, reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor | None]:
        _, logits = read_episodes(reading, episodes)
        assert episodes.labels is not None
        return reading.targets.loss(logits, episodes.labels), logits


@OBJECTIVES.register("leave_one_out")
class LeaveOneOut(Objective):
    """Cross entropy of every input, read from a memory of all other inputs of its episode.

    Support and queries are the same inputs, so each is a query. Those whose label has neither another input nor a
    label name are left out of the mean.

    Args:
        reading: one that leaves examples out in closed form (`Reading.leaves_out_in_closed_form`): `"prototype"`,
            `"least_squares"` or `"attention"`.
        sharpness: β of that reading.
        reading_options: further arguments of the reading.
        name_dropout: see `Objective`.
    """

    needs_queries = False

    def __init__(
        self,
        reading: str = "prototype",
        sharpness: float | None = None,
        reading_options: Mapping[str, Any] | None = None,
        name_dropout: float = 0.0,
    ) -> None:
        super().__init__(name_dropout)
        if not READINGS[reading].leaves_out_in_closed_form:
            able = " or ".join(repr(name) for name, kind in READINGS.items() if kind.leaves_out_in_closed_form)
            raise InvalidInputError(f"the reading {reading!r} cannot leave examples out in closed form; choose {able}.")
        self.own = OwnReading(reading, sharpness, reading_options)

    def loss(self, reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor | None]:
        own, targets = self.own.like(reading, episodes.support.device), reading.targets
        whole = merged(episodes, targets).with_names()
        whole = whole._replace(memory=KeyValueMemory(reading.key_size, whole.values.shape[-1]))  # all, whatever fits
        solution = whole.solve(own)
        examples = whole.support.shape[1] - (0 if episodes.names is None else episodes.names.shape[1])
        folds = torch.arange(whole.support.shape[1], device=whole.support.device)
        scores = own.left_out(solution, folds)[:, :examples]
        logits = own.logits(solution, scores)
        values = whole.values[:, :examples]
        others = (whole.values * whole.mask[..., None]).sum(1, keepdim=True)  # of a label, itself included
        alone = (others * values).sum(-1) < 2
        labels = targets.labels_of(values, whole.mask[:, :examples] & ~alone)
        return mean_over_episodes(*targets.losses(logits, labels)), None


@OBJECTIVES.register("label_semantic")
class LabelSemantic(LeaveOneOut):
    """`leave_one_out` with label names in the memory, half of them left out at random; needs `label_names=True`.

    Args:
        name_dropout: the share of label names that is left out.
        kwargs: of `LeaveOneOut`.
    """

    needs_names = True

    def __init__(self, name_dropout: float = 0.5, **kwargs: Any) -> None:
        super().__init__(name_dropout=name_dropout, **kwargs)

    def loss(self, reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor | None]:
        if episodes.names is None:
            raise InvalidInputError("label_semantic needs label names: train with label_names=True.")
        return super().loss(reading, episodes)


@OBJECTIVES.register("resampled")
class Resampled(Objective):
    """Cross entropy over several random splits of the same inputs into support and queries; each is encoded once.

    In each of `draws` splits, a few inputs of each label are the support and all others are queries, so the model is
    trained with the number of shots it will be used with. Each split counts as an episode in the mean.

    Args:
        shots: support inputs of each label; a label with no more inputs than that keeps one as a query.
        draws: number of splits.
        reading: how the memory is read: a name of `READINGS`; by default the model's own reading.
        sharpness: β of that reading.
        reading_options: further arguments of the reading.
        name_dropout: see `Objective`.
    """

    needs_queries = False

    def __init__(
        self,
        shots: int = 1,
        draws: int = 4,
        reading: str | None = "prototype",
        sharpness: float | None = None,
        reading_options: Mapping[str, Any] | None = None,
        name_dropout: float = 0.0,
    ) -> None:
        super().__init__(name_dropout)
        for name, count in (("shots", shots), ("draws", draws)):
            if not isinstance(count, int) or count < 1:
                raise InvalidInputError(f"{name} is {count!r}; it must be a whole number of 1 or more.")
        self.shots, self.draws = shots, draws
        self.own = None if reading is None else OwnReading(reading, sharpness, reading_options)

    def loss(self, reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor | None]:
        targets = reading.targets
        if self.own is not None:
            reading = self.own.like(reading, episodes.support.device)
        once = merged(episodes, targets)
        numbers = _drawn(once.seeds, once.mask, OF_SUPPORTS, self.draws).flatten(0, 1)
        whole = once.repeated(self.draws)
        whole = whole._replace(memory=KeyValueMemory(reading.key_size, whole.values.shape[-1]))  # all, whatever fits
        own = whole.values * whole.mask[..., None]
        order = numbers.masked_fill(~whole.mask, 2)
        same = own.to(order) @ own.to(order).mT  # [B, S, S]
        earlier = (same * (order[:, None, :] < order[:, :, None])).sum(-1)  # of an input's label, in the draw's order
        shown = whole.mask & (earlier < (same.sum(-1) - 1).clamp_max(self.shots))
        known = (own * shown[..., None]).sum(1) > 0  # [B, V]
        if whole.named is not None:
            known = known.clone()
            known[:, : whole.named.shape[1]] |= whole.named
        can_be_known = (own * known[:, None]).sum(-1) > 0  # [B, S]
        asked = targets.labels_of(whole.values, whole.mask & ~shown & can_be_known)
        _, logits = read_episodes(reading, whole._replace(mask=shown, queries=whole.support, labels=asked))
        return mean_over_episodes(*targets.losses(logits, asked)), None


@OBJECTIVES.register("supervised_contrastive")
class SupervisedContrastive(Objective):
    """Supervised contrastive loss: pulls inputs of one label together and pushes others apart.

    With label names, the words of a label count as one more input of it.

    Source: Khosla et al. 2020, [Supervised Contrastive Learning](https://arxiv.org/abs/2004.11362), equation 2.

    Args:
        temperature: τ.
        name_dropout: see `Objective`.
    """

    needs_queries = False

    def __init__(self, temperature: float = 0.05, name_dropout: float = 0.0) -> None:
        super().__init__(name_dropout)
        if not isinstance(temperature, (int, float)) or not 0 < temperature < math.inf:
            raise InvalidInputError(f"temperature is {temperature!r}; it must be a number above 0, and finite.")
        self.temperature = temperature

    def loss(self, reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor | None]:
        whole = merged(episodes, reading.targets).with_names()
        keys = F.normalize(whole.support, dim=-1)
        itself = torch.eye(keys.shape[1], dtype=torch.bool, device=keys.device)
        barred = itself | ~whole.mask[:, None, :]
        log_share = (keys @ keys.mT / self.temperature).masked_fill(barred, float("-inf")).log_softmax(-1)
        values = whole.values.to(keys) * whole.mask[..., None]
        same = (values @ values.mT).masked_fill(barred, 0)
        positives = same.sum(-1)
        per_input = -(same * log_share.masked_fill(barred, 0)).sum(-1) / positives.clamp_min(1)
        return mean_over_episodes(per_input, positives > 0), None


def _drawn(seeds: Tensor | None, there: Tensor, purpose: int, times: int = 1) -> Tensor:
    """Random numbers from 0 to 1 for what is there of each episode, [T, B, S].

    By the seeds they depend on the episode alone, whatever it is packed with and whichever process draws.

    Args:
        seeds: [B]; without them numbers come from PyTorch's generator.
        there: [B, S].
        purpose: what they are for; the same seed draws other numbers for another.
        times: T, how often.
    """
    if seeds is None:
        return torch.rand(times, *there.shape, device=there.device)
    rows = there.cpu()
    numbers = torch.zeros(times, *rows.shape)
    for episode, seed in enumerate(seeds.tolist()):
        for draw in range(times):
            count = int(rows[episode].sum())
            own = np.random.default_rng([seed, purpose, draw]).random(count, dtype=np.float32)
            numbers[draw, episode, rows[episode]] = torch.from_numpy(own)
    return numbers.to(there.device)


def merged(episodes: EpisodeKeys, targets: Targets) -> EpisodeKeys:
    """The episodes with their labelled queries added to the support."""
    if episodes.labels is None or not episodes.queries.shape[1]:
        return episodes
    asked = targets.values_of(episodes.labels, episodes.values.shape[-1])
    return episodes._replace(
        support=torch.cat([episodes.support, episodes.queries], dim=1),
        values=torch.cat([episodes.values, asked.to(episodes.values.dtype)], dim=1),
        mask=torch.cat([episodes.mask, targets.has_label(episodes.labels, 3)], dim=1),
        queries=episodes.queries[:, :0],
        labels=episodes.labels[:, :0],
    )
