"""Episodes of pairs: the queries of each episode are answered with its support in memory."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import InvalidInputError
from ..persistent.pairs import Candidates
from ..targets.label_tensors import IGNORED
from .episode_batch import EpisodeBatch
from .generation_memories import NOTHING, PairStates, StoredExamples


class PairEpisodes(NamedTuple):
    """The answers to the queries of B episodes.

    Attributes:
        logits: [B, Q, T, V], of the tokens of the queries' targets, each after the true ones before it.
        labels: [B, Q, T], these tokens; -100 where there is none to say.
    """

    logits: Tensor
    labels: Tensor


def episode_pairs(model: Any, batch: EpisodeBatch) -> PairEpisodes:
    """Answers the queries of a batch of episodes; see `MANNForConditionalGeneration.embed_episodes`.

    Args:
        model: a `MANNForConditionalGeneration`.
        batch: B episodes of pairs.

    Raises:
        InvalidInputError: inputs that are no pairs, or positions of pairs that do not exist.
    """
    controller, own = model.config.controller, model.generation_memory
    pairs = controller.stacked(batch.inputs, model.config.encoder_config)
    if "labels" not in pairs:
        raise InvalidInputError("the inputs of episodes of pairs have no labels, the tokens of the targets.")
    support, query = batch.support_index, batch.query_index
    for name, index in (("support_index", support), ("query_index", query)):
        if index.numel() and not bool(((index >= -1) & (index < len(pairs["labels"]))).all()):
            raise InvalidInputError(f"{name} names pairs that are not there; there are {len(pairs['labels'])}.")
    held = (support >= 0) & (batch.support_labels != IGNORED)
    stored = None
    if bool(held.any()):
        needed, place = support[held].unique(return_inverse=True)
        states = model.pair_states(**{name: part[needed] for name, part in pairs.items()})
        index = torch.zeros_like(support)
        index[held] = place
        stored = (
            _stored_tokens(own, states, index, held) if own.of_tokens else _stored_examples(own, states, index, held)
        )
    rows = query.clamp(min=0).flatten()
    targets = pairs["labels"][rows]
    absent = query < 0 if batch.labels is None else (query < 0) | (batch.labels == IGNORED)
    labels = targets.view(*query.shape, -1).masked_fill(absent[..., None], IGNORED)
    sources = {"input_ids": pairs["input_ids"][rows], "attention_mask": pairs["attention_mask"][rows]}
    encoded = model.encode_sources(**sources, stored=NOTHING if stored is None else stored(query.shape[1]))
    decoded = model(
        attention_mask=sources["attention_mask"],
        decoder_input_ids=model.prepare_decoder_input_ids_from_labels(targets),
        encoder_outputs=encoded,
        use_cache=False,
        return_dict=True,
    )
    return PairEpisodes(decoded.logits.view(*labels.shape, -1), labels)


def _stored_tokens(own: Any, states: PairStates, index: Tensor, held: Tensor) -> Any:
    """All tokens of each episode's support."""
    encoded = own.encoded(states)
    mask = states.tokens != IGNORED
    keys = encoded.token_keys.new_zeros(*mask.shape, encoded.token_keys.shape[1])
    keys = keys.masked_scatter(mask[..., None], encoded.token_keys)
    tokens = states.tokens.masked_fill(~mask, -1)[index].masked_fill(~held[..., None], -1).flatten(1)
    slots = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    likely = keys.new_zeros(mask.shape).masked_scatter(mask, encoded.log_probabilities.to(keys))
    stored = Candidates(keys[index].flatten(1, 2), tokens, slots, likely[index].flatten(1))
    parts = (*stored, encoded.source_keys[index])

    def for_each(queries: int) -> tuple[Candidates, Tensor, int]:
        *candidates, sources = (part.repeat_interleave(queries, 0) for part in parts)
        return Candidates(*candidates), sources, mask.shape[1]

    return for_each


def _stored_examples(own: Any, states: PairStates, index: Tensor, held: Tensor) -> Any:
    """The key and value of each pair of each episode's support, for each of its queries."""
    encoded = own.encoded(states)

    def for_each(queries: int) -> StoredExamples:
        parts = (encoded.source_keys[index], encoded.values[index], held)
        return StoredExamples(*(part.repeat_interleave(queries, 0) for part in parts))

    return for_each
