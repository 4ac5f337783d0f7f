"""Answers from a memory, and the stored entries behind them."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..controllers.padding import VECTOR_WIDTH
from ..errors import InvalidInputError
from ..memory import Reading
from ..memory.addressing import unit
from ..memory.precision import precise
from .holder import ReadyMemory, full_precision
from .labelled_memory import LabelledMemory


class Evidence(NamedTuple):
    """The stored entries behind one output of one query.

    Attributes:
        slots: [M] slots stored under the label, largest weight first.
        weights: [M] what each of them adds to the output.
        rest: what everything else adds; weights and rest sum to the output.
    """

    slots: list[int]
    weights: list[float]
    rest: float


class EvidenceTensors(NamedTuple):
    """The evidence of N outputs, those of all queries one behind the other.

    Attributes:
        weights: [N, M], largest first; 0 beyond an output's length.
        slots: [N, M]; -1 beyond an output's length.
        lengths: how many of the M each output has.
        rest: [N], what everything else adds.
    """

    weights: Tensor
    slots: Tensor
    lengths: list[int]
    rest: Tensor


def read_keys(reading: Reading, ready: ReadyMemory, keys: Tensor) -> Tensor:
    """Calibrated logits for keys: [Q, K] -> [Q, C].

    A query's key has the same logits by itself and among others, to the last bit: products are kept to whole vectors of
    the processor.

    Raises:
        InvalidInputError: the reading's weights give no finite answer.
    """
    alone = ready.solution.search is not None  # each query then has slots of its own
    whole = keys.float() if alone else F.pad(keys.float(), (0, 0, 0, -len(keys) % VECTOR_WIDTH))
    with full_precision(keys):
        logits = reading(ready.solution, whole[None], ready.sharpness)[0, : len(keys)]
    if not logits.isfinite().all():
        raise InvalidInputError(
            "the answer is NaN or infinity: weights of the reading or of its similarity are (training may have "
            "diverged). Load an earlier checkpoint."
        )
    return logits


def evidence_of(
    reading: Reading, ready: ReadyMemory, keys: Tensor, logits: Tensor, columns: Tensor, most: int | None
) -> list[list[Evidence]]:
    """The stored entries behind outputs: for each query one `Evidence` for each of its outputs.

    Args:
        reading: by which the logits were read.
        ready: the memory that they were read from.
        keys: [Q, K].
        logits: [Q, C].
        columns: [Q, R], the outputs to explain for each query; -1 at the end of a row for fewer than R.
        most: the largest number of slots to name for each output; None for all.
    """
    weights, slots, lengths, rest = evidence_tensors(reading, ready, keys, logits, columns, most)
    strongest_first = [
        Evidence(names[:length], terms[:length], left)
        for names, terms, length, left in zip(slots.tolist(), weights.tolist(), lengths, rest.tolist(), strict=True)
    ]
    outputs = iter(strongest_first)
    return [list(islice(outputs, count)) for count in (columns >= 0).sum(1).tolist()]


@torch.no_grad()
def evidence_tensors(
    reading: Reading, ready: ReadyMemory, keys: Tensor, logits: Tensor, columns: Tensor, most: int | None
) -> EvidenceTensors:
    """The evidence of outputs as tensors; arguments are those of `evidence_of`."""
    wanted = columns >= 0
    asked, order = columns[wanted].sort(stable=True)  # one product for all queries that ask about a label
    rows = wanted.nonzero()[:, 0][order]
    each, counts = (part.tolist() for part in asked.unique_consecutive(return_counts=True))
    groups = list(zip(each, counts, _slots_of(reading, ready, each, most), strict=True))
    lengths = [len(stored) if most is None else min(len(stored), most) for _, _, stored in groups]
    weights = precise(logits).new_zeros(len(order), max(lengths, default=0))  # large ones may cancel out
    slots = torch.full_like(weights, -1, dtype=torch.long)
    first = 0
    with full_precision(keys):
        predicted = reading.predicted(ready.solution, logits[None])[0]
        if any(lengths):
            terms_of = reading.terms_of(ready.solution, keys.float()[None], ready.sharpness)
        for (column, count, stored), length in zip(groups, lengths, strict=True):
            group = slice(first, first := first + count)
            if length:
                terms = terms_of(rows[group], column, stored)[0]
                weights[group, :length], best = precise(terms).topk(length, dim=1)
                slots[group, :length] = stored[best]
    rest = precise(predicted)[rows, asked] - weights.sum(1)
    back = order.argsort()
    every = [length for (_, count, _), length in zip(groups, lengths, strict=True) for _ in range(count)]
    return EvidenceTensors(weights[back], slots[back], [every[place] for place in back.tolist()], rest[back])


def used_entries(reading: Reading, ready: ReadyMemory, keys: Tensor, logits: Tensor) -> list[int]:
    """The id of each query's top entry, [Q]: what least-recently-used eviction counts as used.

    An answer of none of several labels uses the nearest entry without a label, if there are any. Arguments are those of
    `evidence_of`.
    """
    best = logits.argmax(-1, keepdim=True)
    entries, memory = ready.memory.entries, ready.memory
    behind = evidence_of(reading, ready, keys, logits, best, most=2)  # one may be the label's words
    used = [next(entries[slot].id for slot in top.slots if slot < len(entries)) for (top,) in behind]
    without = memory.unlabelled
    if not len(without):
        return used
    nearest = without[(unit(keys.float()) @ unit(memory.state.keys[0, without]).mT).argmax(-1)].tolist()
    none = (logits <= 0).all(-1).tolist()
    return [entries[nearest[row]].id if none[row] else id_ for row, id_ in enumerate(used)]


def with_use(memory: LabelledMemory, ids: Sequence[int]) -> LabelledMemory:
    """A memory in which entries count as used once more for each time that they are named; others are passed over."""
    weights = torch.zeros(1, len(memory), device=memory.state.keys.device)
    for id_ in ids:
        if id_ in memory.slot_by_id:
            weights[0, memory.slot_by_id[id_]] += 1
    return memory.used(weights)


def _slots_of(reading: Reading, ready: ReadyMemory, columns: list[int], most: int | None) -> list[Tensor]:
    """For each output the slots whose terms are looked at; none where none is to be named."""
    if most == 0:
        return [torch.empty(0, dtype=torch.long)] * len(columns)
    if not reading.targets.named:
        return [ready.memory.slots] * len(columns)
    return ready.memory.slots_of(columns)
