"""What a model answers to packed episodes, with the evidence, as its `forward` answers unpacked ones."""

from typing import Any

from mann_hf.episodes import EpisodeBatch
from mann_hf.models.episode_keys import read_episodes, strongest
from mann_hf.models.modeling_mann_sequence_classification import NUM_EVIDENCE_SLOTS, MANNSequenceClassifierOutput


def answer_packed(model: Any, batch: EpisodeBatch) -> Any:
    episodes = model.embed_episodes(batch)
    solution, logits = read_episodes(model.reading, episodes)
    evidence = strongest(model.reading, solution, episodes.queries, logits, NUM_EVIDENCE_SLOTS)
    loss = None if episodes.labels is None else model.reading.targets.loss(logits, episodes.labels)
    return MANNSequenceClassifierOutput(loss, logits, *evidence, episodes.queries)
