"""Episodes as keys: what a memory that lives for one call is written with, and what is asked of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInputError, InvalidTypeError
from ..memory import KeyValueMemory, Reading, Solution
from ..memory.precision import LARGEST, strange
from ..persistent.holder import full_precision
from .episode_batch import EpisodeBatch
from .few_shot_tasks import registered_task


class EpisodeKeys(NamedTuple):
    """The keys and labels of B episodes of at most N classes.

    Attributes:
        memory: the rules by which the support is written.
        support: [B, S, K], the keys that are written.
        values: [B, S, V], what is written under them.
        mask: [B, S], which of them are examples and no padding.
        queries: [B, Q, K], the keys that are asked.
        labels: [B, Q], the queries' labels as the `loss` of their targets takes them; None if they are not known.
        names: [B, N, K], the keys of the label names; None where they take no part.
        named: [B, N], which labels have words.
        seeds: [B], by which an objective draws within each episode.
    """

    memory: KeyValueMemory
    support: Tensor
    values: Tensor
    mask: Tensor
    queries: Tensor
    labels: Tensor | None = None
    names: Tensor | None = None
    named: Tensor | None = None
    seeds: Tensor | None = None

    def with_names(self) -> "EpisodeKeys":
        """These episodes with the words of labels as further support, behind the examples."""
        if self.names is None:
            return self
        assert self.named is not None
        return self._replace(
            support=torch.cat([self.support, self.names], dim=1),
            values=torch.cat([self.values, self._name_values()], dim=1),
            mask=torch.cat([self.mask, self.named], dim=1),
            names=None,
            named=None,
        )

    def repeated(self, times: int) -> "EpisodeKeys":
        """These episodes several times over, one round behind the other."""
        memory, *parts = self
        rounds = (part if part is None else part.repeat(times, *[1] * (part.dim() - 1)) for part in parts)
        return EpisodeKeys(memory, *rounds)  # type: ignore[arg-type]

    def solve(self, reading: Reading) -> Solution:
        """A memory of each episode's support and the words of its labels, ready to be read."""
        state = self.memory.initial_state(len(self.support), self.support.device, self.support.dtype)
        state = self.memory.write(state, self.support, self.values.to(self.support.device), mask=self.mask)
        if self.names is not None:  # beyond the capacity, as in a `LabelledMemory`
            unlimited = KeyValueMemory(self.memory.key_size, self.memory.value_size)
            state = unlimited.write(state, self.names, self._name_values().to(self.names), mask=self.named)
        return reading.solve(state)

    def _name_values(self) -> Tensor:
        """[B, N, V], what is written under the label names."""
        assert self.named is not None
        own = torch.eye(self.values.shape[-1], dtype=self.values.dtype, device=self.values.device)
        return own[: self.named.shape[1]] * self.named[..., None]


def episode_memory(model: Any, value_size: int) -> KeyValueMemory:
    """A model's memory for the V values of an episode."""
    config = model.config
    return KeyValueMemory(model.key_size, value_size, config.capacity, config.eviction)


def episode_keys(model: Any, batch: EpisodeBatch, keys: Tensor | None = None) -> EpisodeKeys:
    """A batch of episodes with the keys [U, K] of its inputs in their place, by default from a model's `embed`."""
    targets = model.reading.targets
    support, query, name = batch.support_index, batch.query_index, batch.name_index
    indices = {"support_index": support, "query_index": query, "name_index": name}
    _check_indices({part: rows for part, rows in indices.items() if rows is not None}, batch.input_count)
    values, mask = targets.support_values(batch.support_labels, batch.n_way)
    classes = values.shape[-1]
    if name is not None and name.shape[1] > classes:
        raise InvalidInputError(
            f"name_index is {tuple(name.shape)}; it must be [B, N], B = {len(support)} and N at most {classes}, for an "
            "episode has n_way labels or, where that is left out, as many as the support shows."
        )
    labels = batch.labels
    if labels is not None:
        targets.check_query_labels(labels, query.shape, classes)
        labels = targets.without_queries(labels, query < 0)
    if keys is None:
        with model.config.controller.embedding_together(model.encoder, batch.inputs):
            keys = torch.cat([model.embed(**group) for group in batch.inputs])
    names = None if name is None else keys[name.clamp_min(0)]
    named = None if name is None else name >= 0
    mask, taught, queries = mask & (support >= 0), keys[support.clamp_min(0)], keys[query.clamp_min(0)]
    memory = episode_memory(model, classes)
    return EpisodeKeys(memory, taught, values, mask, queries, labels, names, named, batch.seeds)


def _check_indices(indices: Mapping[str, Tensor], count: int) -> None:
    """Raises an error for numbers of inputs that there are not; looks at the device once if there is none."""
    unknown = [((rows < -1) | (rows >= count)).any() for rows in indices.values()]
    if not torch.stack([flag.to(unknown[0].device) for flag in unknown]).any():
        return
    for part, rows in indices.items():
        wrong = rows[(rows < -1) | (rows >= count)]
        if len(wrong):
            raise InvalidInputError(
                f"{part} names the input {int(wrong[0])}; the batch holds {count}, counted from 0, and -1 stands for "
                "none."
            )


def check_keys(model: Any, keys: Any, count: str) -> None:
    """Refuses what is no batch of keys [`count`, K] of a model."""
    size, noun = model.key_size, model.config.controller.noun
    if not isinstance(keys, Tensor) or not keys.is_floating_point() or keys.layout != torch.strided:
        came = f"{keys.layout} of {keys.dtype}" if isinstance(keys, Tensor) else type(keys).__name__
        task = registered_task(model.config.modality)
        raise InvalidTypeError(
            f"keys are of type {came}; a model takes dense tensors of floating-point numbers, from "
            f"embed_inputs(processor, {noun}s). {f'The pipeline {task}' if task else 'FewShotPipeline'} takes {noun}s."
        )
    if keys.dim() != 2 or keys.shape[1] != size:
        raise InvalidInputError(
            f"keys have the shape {list(keys.shape)}; they must be [{count}, K] with K = {size}, one row for each "
            f"{noun}: take embed_inputs(processor, {noun}s), and key[None] for a single key."
        )


def check_queries(keys: Tensor) -> None:
    """Refuses queries [..., Q, K] to which there is no answer."""
    unlike = strange(keys)
    if unlike.any():
        raise InvalidInputError(
            f"the key of query {int(unlike.nonzero()[0, -1])} (counted from 0) holds NaN, infinity or a number above "
            f"{LARGEST:g}, so there is no answer to it. The encoder's weights or its input may hold such numbers, "
            "or half precision overflowed: load it with dtype=torch.float32."
        )


def read_episodes(reading: Reading, episodes: EpisodeKeys) -> tuple[Solution, Tensor]:
    """Writes each episode's support, the words of its labels included, and reads for its queries.

    Returns:
        The solutions, and logits [B, Q, V].
    """
    check_queries(episodes.queries)
    with full_precision(episodes.support):
        solution = episodes.solve(reading)
        return solution, reading(solution, episodes.queries)


@torch.no_grad()
def strongest(
    reading: Reading, solution: Solution, queries: Tensor, logits: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """The slots that speak most for each query's best label.

    Returns:
        What each adds to it and its id, [B, Q, M] with M = `most`, largest first; 0 and -1 where there are fewer.
    """
    every = torch.arange(solution.state.slots, device=queries.device)
    best = logits.argmax(-1)
    weights = torch.full((*best.shape, len(every)), float("-inf"), device=queries.device, dtype=queries.dtype)
    with full_precision(queries):
        for column in best.unique().tolist():
            terms = reading.terms(solution, queries, column, every)
            stored = solution.state.mask
            if reading.targets.named:
                stored = stored & (solution.state.values[..., column] != 0)
            terms = terms.masked_fill(~stored[:, None], float("-inf")).to(weights)
            weights = torch.where((best == column)[..., None], terms, weights)
    weights, slots = weights.topk(min(most, len(every)), dim=-1)
    empty = weights.isneginf()
    ids = solution.state.ids[:, None].expand(-1, slots.shape[1], -1).gather(2, slots)
    more = (0, most - slots.shape[2])
    return F.pad(weights.masked_fill(empty, 0), more), F.pad(ids.masked_fill(empty, -1), more, value=-1)
