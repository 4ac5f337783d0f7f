"""What a training step over packed episodes costs, beside the bare encoder and a loop over episodes."""

from typing import Any

import torch
from datasets import Dataset

import mann_hf
from mann_hf.training import OBJECTIVES

from .data import LabelledTexts
from .timing import ratio

EPISODES = 8
"""In a step."""


def measure_training(clf: Any, texts: LabelledTexts, objective: str = "episode") -> dict[str, float]:
    """`step_over_encoder` and `naive_loop_over_step`, for 5-way 1-shot episodes with 5 queries a class.

    The step is one forward and backward over `EPISODES` episodes that are packed already; the encoder's is over the
    same packed texts. Against the loop the step packs its episodes, too; the loop tokenizes and encodes one episode
    after the other, each padded to its longest text.
    """
    labels = [texts.names[label] for label in texts.labels]
    sampler = mann_hf.EpisodeSampler(Dataset.from_dict({"text": texts.texts, "label": labels}), seed=0)
    model, tokenizer = clf.model, clf.tokenizer
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    collate = mann_hf.EpisodeCollator.for_model(model, tokenizer)
    minimised = OBJECTIVES[objective]()
    episodes = [next(sampler) for _ in range(EPISODES)]
    packed = collate(episodes)
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in packed]
    groups = [dict(zip(names, parts, strict=True)) for parts in zip(*(packed[name] for name in names), strict=True)]

    def step() -> None:
        model(**packed, objective=minimised).loss.backward()
        model.zero_grad()

    def whole_step() -> None:
        model(**collate(episodes), objective=minimised).loss.backward()
        model.zero_grad()

    def bare() -> None:
        sums = [model.encoder(**group).last_hidden_state.sum() for group in groups]
        torch.stack(sums).sum().backward()
        model.zero_grad()

    def naive() -> None:
        for episode in episodes:
            support, query = (
                tokenizer(part.texts, return_tensors="pt", padding=True, truncation=True, max_length=256)
                for part in (episode.support, episode.query)
            )
            output = model(
                **query,
                labels=torch.tensor(episode.query.labels),
                **{f"support_{name}": tensor for name, tensor in support.items()},
                support_labels=torch.tensor(episode.support.labels),
            )
            (output.loss / len(episodes)).backward()
        model.zero_grad()

    return {"step_over_encoder": ratio(step, bare), "naive_loop_over_step": ratio(naive, whole_step)}
