"""The stored pairs behind each token of a generated sequence."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .embedding import evaluating
from .token_retrieval import Retrieved


class GenerationEvidence(NamedTuple):
    """What stands behind each token of generated sequences.

    Shapes: B sequences, T tokens, M stored pairs.

    Attributes:
        probabilities: [B, T], of the token, before settings of `generate` such as a temperature.
        interpolation: [B, T], λ, the share of a memory of tokens in the next-token distribution; 0 where none is read.
        weights: [B, T, M], largest first. From a memory of tokens: the share of the token's probability that comes from
            a stored token; together with that of the wrapped model they sum to 1. From one of examples: how much the
            token's log probability follows from what was read of a pair, as a share of all that speak for it.
        pairs: [B, T, M], the numbers of the pairs in the memory; -1 for none.
        positions: [B, T, M], which token of the pair's target it is; -1 for a pair as a whole, and for none.
    """

    probabilities: Tensor
    interpolation: Tensor
    weights: Tensor
    pairs: Tensor
    positions: Tensor


@torch.inference_mode(False)
def evidence_of(model: Any, sequences: Tensor, most: int, inputs: dict[str, Tensor]) -> GenerationEvidence:
    """The evidence for generated sequences; see `MANNForConditionalGeneration.explain`."""
    model = model.with_own_memory()  # which others do not change meanwhile
    sequences = sequences.clone()  # of inference mode, which no gradient goes through
    inputs = {name: part.clone() for name, part in inputs.items()}
    tokens = sequences[:, 1:]
    with evaluating(model), torch.no_grad():
        encoded = model.encode_sources(**inputs)
        sources = {"encoder_outputs": encoded, "attention_mask": inputs.get("attention_mask"), "return_dict": True}
        if encoded.retrieval is None and encoded.read_weights is None:
            outputs = model(decoder_input_ids=sequences[:, :-1], **sources)
            return _nothing(_probability(outputs.logits, tokens))
        if encoded.retrieval is None:
            return _of_examples(model, encoded, sequences, most, inputs)
        retrieved, logits = _step_by_step(model, sequences, sources)
        return _of_tokens(model, retrieved, logits, tokens, most)


def _probability(logits: Tensor, tokens: Tensor) -> Tensor:
    return logits.float().softmax(-1).gather(-1, tokens[..., None])[..., 0]


def _nothing(probabilities: Tensor) -> GenerationEvidence:
    none = probabilities.new_zeros(*probabilities.shape, 0)
    return GenerationEvidence(probabilities, torch.zeros_like(probabilities), none, none.long(), none.long())


def _step_by_step(model: Any, sequences: Tensor, sources: dict[str, Any]) -> tuple[Retrieved, Tensor]:
    """What was retrieved for each token, [B, T, M] each, and the logits [B, T, V].

    Where what is found at one step serves later ones, it goes step by step, as greedy generation went.
    """
    retrieval = sources["encoder_outputs"].retrieval
    if not retrieval.goes_on:
        outputs = model(decoder_input_ids=sequences[:, :-1], **sources)
        return outputs.retrieved, outputs.logits
    found, logits, cache = [], [], None
    for step in range(sequences.shape[1] - 1):
        given = sequences[:, step : step + 1] if cache is not None or not step else sequences[:, : step + 1]
        outputs = model(decoder_input_ids=given, past_key_values=cache, use_cache=True, **sources)
        cache = outputs.past_key_values
        found.append([part[:, -1:] for part in outputs.retrieved])
        logits.append(outputs.logits[:, -1:])
    widest = max(part[0].shape[-1] for part in found)
    parts = [
        torch.cat([F.pad(part, (0, widest - part.shape[-1]), value=fill) for part in each], 1)
        for each, fill in zip(zip(*found, strict=True), (0, 0, -1), strict=True)
    ]
    return Retrieved(*parts), torch.cat(logits, 1)


def _of_tokens(model: Any, retrieved: Retrieved, logits: Tensor, tokens: Tensor, most: int) -> GenerationEvidence:
    probabilities = _probability(logits, tokens)
    same = (retrieved.tokens == tokens[..., None]) & (retrieved.slots >= 0)
    weights = (retrieved.shares * same / probabilities[..., None].clamp(min=1e-30)).clamp(max=1)
    weights, places = weights.topk(min(most, weights.shape[-1]), dim=-1)
    slots = retrieved.slots.gather(-1, places).masked_fill(weights <= 0, -1)
    pairs, positions = model.ready_search().where(slots)
    return GenerationEvidence(probabilities, retrieved.shares.sum(-1), weights, pairs, positions)


def _of_examples(
    model: Any, encoded: Any, sequences: Tensor, most: int, inputs: dict[str, Tensor]
) -> GenerationEvidence:
    """Weight times gradient of each token's log probability, summed over the states that read."""
    tokens = sequences[:, 1:]
    with torch.no_grad():
        search, own = model.ready_search(), model.generation_memory
        mask = inputs.get("attention_mask")
        states = model.encoder.get_encoder()(**inputs, return_dict=True)[0]
        mask = states.new_ones(states.shape[:2]) if mask is None else mask
        stored = own.stored(states, mask, search)
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # whose recurrent layers only train
        values = stored.values.detach().expand(len(states), -1, -1).clone().requires_grad_(True)
        read = own.reading(states.detach(), stored.keys, values, stored.mask)
        encoded.last_hidden_state = read.states
        outputs = model(
            decoder_input_ids=sequences[:, :-1], encoder_outputs=encoded, attention_mask=mask, return_dict=True
        )
        chosen = outputs.logits.float().log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
        shares = []
        for step in range(tokens.shape[1]):
            (gradient,) = torch.autograd.grad(chosen[:, step].sum(), values, retain_graph=step + 1 < tokens.shape[1])
            shares.append((gradient * values).sum(-1).detach().clamp(min=0))
    weights = torch.stack(shares, 1)
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)
    weights, places = weights.topk(min(most, weights.shape[-1]), dim=-1)
    numbers = stored.numbers.expand(len(tokens), -1)[:, None].expand(-1, tokens.shape[1], -1).gather(-1, places)
    numbers = numbers.masked_fill(weights <= 0, -1)
    probabilities = chosen.detach().exp()
    return GenerationEvidence(
        probabilities, torch.zeros_like(probabilities), weights, numbers, torch.full_like(numbers, -1)
    )
