"""What a training step over packed episodes costs, beside the bare encoder and a loop over episodes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from datasets import Dataset

import mann_hf
from mann_hf.training import OBJECTIVES, EpisodicStep

from ..common.timing import ratio
from .data import LabelledTexts

EPISODES = 8
"""In a step."""
FEW_CLASSES, FEW_TEXTS = 25, 10
"""Of a small set to train on, as ProtAugment's of ten texts a class: its episodes have many texts in common."""
WAYS, TEXTS = 20, 5
"""Of a step that redraws its supports from the same texts."""


def measure_training(clf: Any, texts: LabelledTexts, objective: str = "episode") -> dict[str, float]:
    """`step_over_encoder`, and what a loop over episodes costs over a step, for 5-way 1-shot episodes with 5 queries.

    The step is one forward and backward over `EPISODES` episodes that are packed already; the encoder's is over the
    same packed texts: the bare encoder is called once for each group of texts of like length, as its user would call
    it. Against the loop the step packs its episodes, too; the loop tokenizes and encodes one episode after the other,
    each padded to its longest text: `naive_loop_over_step` for episodes of all texts, `naive_loop_over_step_few_texts`
    for those of few. Both sides read as the model does.

    `naive_loop_over_resampled_step` is against a step of the objective `resampled`, which encodes the texts of one
    episode of `WAYS` classes once and draws several supports from them. The loop takes that episode as often as
    supports are drawn, so it asks as many episodes over the same texts; both read by prototypes, as the objective does.
    """
    labels = [texts.names[label] for label in texts.labels]
    model = clf.model
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loss_fn = OBJECTIVES[objective]()
    data = Dataset.from_dict({"text": texts.texts, "label": labels})
    episodes = _drawn(mann_hf.EpisodeSampler(data, seed=0), EPISODES)
    batch = mann_hf.EpisodeCollator.for_model(model, clf.tokenizer)(episodes)
    step = EpisodicStep(model, loss_fn)
    names = ("input_ids", "attention_mask", "token_type_ids")
    groups = [{name: group[name] for name in names if name in group} for group in batch.inputs]

    def packed() -> None:
        step(batch).loss.backward()
        model.zero_grad()

    def bare() -> None:
        sums = [model.encoder(**group).last_hidden_state.sum() for group in groups]
        torch.stack(sums).sum().backward()
        model.zero_grad()

    def whole_step(episodes: list[mann_hf.Episode], objective: Any) -> Callable[[], None]:
        def call() -> None:
            packed_gradient(clf, episodes, objective)
            model.zero_grad()

        return call

    def naive(episodes: list[mann_hf.Episode]) -> Callable[[], None]:
        def call() -> None:
            naive_gradient(clf, episodes)
            model.zero_grad()

        return call

    few = _drawn(mann_hf.EpisodeSampler(few_texts(texts), seed=0), EPISODES)
    ways = min(WAYS, len(texts.names))
    wide = _drawn(mann_hf.EpisodeSampler(data, ways, 1, TEXTS - 1, seed=0), 1)
    resampled: Any = OBJECTIVES["resampled"]()
    ratios = {
        "step_over_encoder": ratio(packed, bare),
        "naive_loop_over_step": ratio(naive(episodes), whole_step(episodes, loss_fn)),
        "naive_loop_over_step_few_texts": ratio(naive(few), whole_step(few, loss_fn)),
    }
    own, model.reading = model.reading, resampled.own.made(model.reading.key_size).to(model.device)
    try:
        looped = ratio(naive(wide * resampled.draws), whole_step(wide, resampled))
    finally:
        model.reading = own
    return {**ratios, "naive_loop_over_resampled_step": looped}


def packed_gradient(clf: Any, episodes: list[mann_hf.Episode], objective: Any) -> None:
    """Adds the gradient of the objective over the episodes, which are packed first."""
    collate = mann_hf.EpisodeCollator.for_model(clf.model, clf.tokenizer)
    EpisodicStep(clf.model, objective)(collate(episodes)).loss.backward()


def naive_gradient(clf: Any, episodes: list[mann_hf.Episode]) -> None:
    """Adds the gradient of the episodes' mean cross entropy, taking one episode after the other."""
    for episode in episodes:
        support, query = (
            clf.tokenizer(part.texts, return_tensors="pt", padding=True, truncation=True, max_length=256)
            for part in (episode.support, episode.query)
        )
        output = clf.model(
            **query,
            labels=torch.tensor(episode.query.labels),
            **{f"support_{name}": tensor for name, tensor in support.items()},
            support_labels=torch.tensor(episode.support.labels),
        )
        (output.loss / len(episodes)).backward()


def _drawn(sampler: mann_hf.EpisodeSampler, count: int) -> list[mann_hf.Episode]:
    return [next(sampler) for _ in range(count)]


def few_texts(texts: LabelledTexts) -> Dataset:
    """The first `FEW_TEXTS` texts of each of the first `FEW_CLASSES` classes."""
    rows = [row for label in range(FEW_CLASSES) for row in np.flatnonzero(texts.labels == label)[:FEW_TEXTS]]
    few = texts.select(np.array(rows))
    return Dataset.from_dict({"text": few.texts, "label": [few.names[label] for label in few.labels]})
