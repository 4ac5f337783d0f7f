"""What a model answers to packed episodes, with the evidence, as its `forward` answers unpacked ones."""

from typing import Any

from mann_hf.episodes import EpisodeBatch
from mann_hf.models.classification import NUM_EVIDENCE_SLOTS, MANNClassifierOutput
from mann_hf.models.episode_keys import read_episodes, strongest


def answer_packed(model: Any, batch: EpisodeBatch) -> Any:
    episodes = model.embed_episodes(batch)
    solution, logits = read_episodes(model.reading, episodes)
    evidence = strongest(model.reading, solution, episodes.queries, logits, NUM_EVIDENCE_SLOTS)
    loss = None if episodes.labels is None else model.reading.targets.loss(logits, episodes.labels)
    return MANNClassifierOutput(loss, logits, *evidence, episodes.queries)
