"""Evaluation on the same seeded episodes each time, so that two evaluations are paired."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..episodes import Episode, EpisodeBatch, SeededEpisodes
from ..episodes.collator import check_names_are_inputs, pack
from ..episodes.episode import NumberedInputs
from ..models import MANNLabelledModel
from ..models.episode_keys import episode_keys, read_episodes
from ..targets import Targets

AT_A_TIME = 32
"""Episodes that are read together."""


class EpisodeAnswers(NamedTuple):
    """A model's answers to the queries of episodes, one episode after the other.

    Attributes:
        predictions: [n] the number of the best label of each query.
        references: [n] the number of its true label; `UNKNOWN` if that is none of the episode's.
        episodes: [n] the number of its episode.
        scores: [n] the probability of the best label.
        losses: [E] the mean loss of the queries of each episode, by its targets; not a number where none has a label.
    """

    predictions: np.ndarray
    references: np.ndarray
    episodes: np.ndarray
    scores: np.ndarray
    losses: np.ndarray


@torch.no_grad()
def answer_episodes(
    model: MANNLabelledModel,
    processing_class: Any,
    episodes: Sequence[Episode],
    label_names: bool = False,
    embed_inputs: Callable[[list[Any]], Tensor] | None = None,
) -> EpisodeAnswers:
    """Answers the queries of each episode from a memory of its support.

    Each input is encoded once, even if several episodes have it.

    Args:
        model: the model whose encoder and reading are used; its own memory is not used or changed.
        processing_class: the encoder's tokenizer, or an `InputProcessor`.
        episodes: E tasks.
        label_names: whether label names are stored beside the support.
        embed_inputs: keys [n, K] for n inputs; by default the model's own.

    Raises:
        InvalidInputError: label names are wanted, and inputs are no texts.
    """
    if label_names:
        check_names_are_inputs(model.processor(processing_class))
    rows = NumberedInputs()
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, episode in enumerate(episodes):
        pack([episode], rows, label_names)  # so that all have their numbers
        size = len(episode.support.inputs), len(episode.query.inputs), len(episode.names)
        alike.setdefault(size, []).append(place)
    keys = model.embed_inputs(processing_class, rows.inputs) if embed_inputs is None else embed_inputs(rows.inputs)
    logits: list[Tensor | None] = [None] * len(episodes)
    for places in alike.values():
        for first in range(0, len(places), AT_A_TIME):
            some = places[first : first + AT_A_TIME]
            packed = pack([episodes[place] for place in some], rows, label_names)
            batch = EpisodeBatch(inputs=[{"keys": keys}], **packed).to(keys.device)
            _, found = read_episodes(model.reading, episode_keys(model, batch, keys))
            for place, answer in zip(some, found, strict=True):
                logits[place] = answer
    return _answers(logits, episodes, model.reading.targets)


def _answers(logits: Sequence[Tensor | None], episodes: Sequence[Episode], targets: Targets) -> EpisodeAnswers:
    predictions, scores, losses = [], [], []
    for found, episode in zip(logits, episodes, strict=True):
        assert found is not None
        best = targets.scores(found).max(-1)
        predictions.append(best.indices.cpu())
        scores.append(best.values.cpu())
        labels = torch.tensor(episode.query.labels, dtype=torch.long, device=found.device)
        each, known = targets.losses(found.float(), labels)
        losses.append(float(each[known].mean()))
    references = [label for episode in episodes for label in episode.query.labels]
    counts = [len(episode.query.labels) for episode in episodes]
    return EpisodeAnswers(
        torch.cat(predictions).numpy(),
        np.array(references),
        np.repeat(np.arange(len(episodes)), counts),
        torch.cat(scores).numpy(),
        np.array(losses),
    )


def evaluation_episodes(sampler: SeededEpisodes, count: int) -> list[Episode]:
    """The first episodes of a sampler, regardless of how many it has drawn already."""
    return [sampler[number] for number in range(count)]
