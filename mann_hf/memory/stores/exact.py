"""Exact search for the slots whose keys have the largest inner products with a query, in plain torch.

The S scores of a query are never held at once. Slots are taken in chunks whose scores fit the processor's cache. Of a
chunk's scores only the maximum of each group of neighbouring slots is ranked: the k best slots lie in the k groups with
the largest maxima, because each of these groups holds at least one slot that is no worse than any slot outside them.
Their few slots are ranked, and the best of every chunk are ranked once more.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidInputError
from .base import STORES, Store

_CHUNK_NUMBERS = 2**21  # numbers that a chunk may take up in memory: 8 MiB in float32, which caches hold
_CHUNK_NUMBERS_ELSEWHERE = 2**26  # accelerators have no cache to stay in and are slowed by many small steps
_QUERIES_AT_ONCE = 256  # so that many queries do not leave room for a few slots only
_GROUP_SIZE = 16  # slots whose largest score stands for them
_GROUPS_PAY_FROM = 8192  # slots, and at least
_GROUPS_PAY_FROM_PER_K = 24  # times k; with fewer, ranking all of them at once is faster
_TOPK_ALONE = 2**15  # `topk` of no more numbers than these keeps to one thread on CPUs


def nearest(keys: Tensor, queries: Tensor, k: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Finds, for each query, the k slots whose keys have the largest inner product with it.

    The result is that of ranking all `queries @ keys.T`, up to the rounding of the products. Gradients flow through
    the scores to the queries and to the keys of the returned slots; every other key gets zero.

    Args:
        keys: [S, K], floating point, finite.
        queries: [Q, K], floating point, finite.
        k: slots to return for each query, at least 1. Where fewer slots are valid, all of these are returned.
        mask: [S], bool, true for the slots that may be returned. All may when it is left out.

    Returns:
        `(scores, slots)`, each [Q, min(k, valid slots)]: the inner products, in float32 or in the inputs' own type if
        that is wider, and the slots' numbers, int64. Scores descend; of equal scores the lower slot comes first.

    Raises:
        InvalidInputError: for k below 1 and for shapes, types or devices that do not fit each other.
    """
    _check(keys, queries, k, mask)
    device = keys.device.type
    if torch.is_autocast_enabled(device):  # it would round the products to half precision
        with torch.autocast(device, enabled=False):
            return nearest(keys, queries, k, mask)
    if not (torch.is_grad_enabled() and (keys.requires_grad or queries.requires_grad)):
        return _search(keys, queries, k, mask)
    with torch.no_grad():
        _, slots = _search(keys, queries, k, mask)
    return _score_again(keys, queries, slots)


def _check(keys: Tensor, queries: Tensor, k: int, mask: Tensor | None) -> None:
    if k < 1:
        raise InvalidInputError(f"k is {k}; ask for at least 1 slot.")
    if keys.ndim != 2 or queries.ndim != 2 or keys.shape[1] != queries.shape[1]:
        raise InvalidInputError(
            f"keys have shape {list(keys.shape)} and queries {list(queries.shape)}; they must be [S, K] and [Q, K] "
            "with the same K: were they encoded by the same encoder, and is a single query given as [1, K]?"
        )
    if not (keys.is_floating_point() and queries.is_floating_point()):
        raise InvalidInputError(
            f"keys are {keys.dtype} and queries {queries.dtype}; both must be floating point: convert them first."
        )
    if keys.device != queries.device:
        raise InvalidInputError(
            f"keys are on {keys.device} and queries on {queries.device}; move one of them with `.to(device)`."
        )
    if mask is None:
        return
    if mask.shape != keys.shape[:1] or mask.dtype != torch.bool or mask.device != keys.device:
        raise InvalidInputError(
            f"mask is {mask.dtype} of shape {list(mask.shape)} on {mask.device}; it must be torch.bool of shape "
            f"{list(keys.shape[:1])} on {keys.device}, one entry for each key."
        )


# A read of a small memory spends much of its time on calls into torch: hence `shape[0]` and `narrow` below, which cost
# less than `len` and slices.


def _search(keys: Tensor, queries: Tensor, k: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The search itself, without gradients; arguments and results as for `nearest`."""
    valid = slots = keys.shape[0]
    if mask is not None:
        valid = int(mask.count_nonzero())
        mask = None if valid == slots else mask
    k, count = min(k, valid), queries.shape[0]
    queries = queries.to(_score_type(keys, queries))
    if k == 0 or count == 0:
        return queries.new_empty(count, k), keys.new_empty(count, k, dtype=torch.int64)
    if count <= _QUERIES_AT_ONCE:
        return _search_chunks(keys, queries, k, mask)
    parts = [_search_chunks(keys, some, k, mask) for some in queries.split(_QUERIES_AT_ONCE)]
    return torch.cat([scores for scores, _ in parts]), torch.cat([found for _, found in parts])


def _search_chunks(keys: Tensor, queries: Tensor, k: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Searches chunk by chunk, in the queries' type; `mask` must leave at least k slots."""
    slots = keys.shape[0]
    numbers_per_slot = queries.shape[0] if keys.dtype == queries.dtype else max(queries.shape)  # of converted keys too
    chunk = max((_CHUNK_NUMBERS if keys.is_cpu else _CHUNK_NUMBERS_ELSEWHERE) // numbers_per_slot, 1)
    if slots <= chunk:
        return _search_one_chunk(keys, queries, k, mask)
    found_scores, found_slots = [], []
    for start in range(0, slots, chunk):
        some = slice(start, start + chunk)
        scores, found = _search_one_chunk(keys[some], queries, k, None if mask is None else mask[some])
        found_scores.append(scores)
        found_slots.append(found + start)
    scores, best = _best(torch.cat(found_scores, dim=1).t().contiguous(), k)
    return scores, torch.cat(found_slots, dim=1).gather(1, best)


def _search_one_chunk(keys: Tensor, queries: Tensor, k: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """At most k slots for each query; where `mask` leaves fewer than k, others with scores of minus infinity follow."""
    slots = keys.shape[0]
    scores = _scores(keys.to(queries.dtype), queries)
    if mask is not None:
        scores.narrow(0, 0, slots).masked_fill_(~mask.unsqueeze(1), -math.inf)
    return _best(scores, min(k, slots))


def _scores(keys: Tensor, queries: Tensor) -> Tensor:
    """Inner products [slots, Q], with or without some rows of minus infinity behind them."""
    # [slots, Q] rather than [Q, slots]: the product is faster by a third with the many keys on its left.
    slots, count = keys.shape[0], queries.shape[0]
    if not 2 * _TOPK_ALONE <= 3 * slots * count <= 3 * _TOPK_ALONE or not keys.is_cpu:
        return torch.mm(keys, queries.t())
    rows = _TOPK_ALONE // count + 1  # just enough for `topk` to use threads
    scores = queries.new_empty(rows, count)
    torch.mm(keys, queries.t(), out=scores.narrow(0, 0, slots))
    scores.narrow(0, slots, rows - slots).fill_(-math.inf)
    return scores


def _best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest in each column of `scores` [slots, Q], and their slots, each [Q, k], in the order of `nearest`."""
    slots = scores.shape[0]
    if k == 1:
        best_scores, best_slots = scores.max(dim=0)  # promises the first of equal scores
        return best_scores.unsqueeze(1), best_slots.unsqueeze(1)
    # `topk` orders equal scores at will. One more than k shows whether there are any among the k or at their border.
    if slots < max(_GROUPS_PAY_FROM, _GROUPS_PAY_FROM_PER_K * k):
        best_scores, best_slots = scores.t().topk(min(k + 1, slots))
    else:
        groups = slots // _GROUP_SIZE
        maxima = scores[: groups * _GROUP_SIZE].view(groups, _GROUP_SIZE, -1).amax(1).t()  # [Q, groups]
        candidates = _members(maxima.topk(k + 1, sorted=False).indices, slots)
        best_scores, best = scores.t().gather(1, candidates).topk(k + 1)
        best_slots = candidates.gather(1, best)
    if _all_differ(best_scores):
        return best_scores.narrow(1, 0, k), best_slots.narrow(1, 0, k)
    if _all_differ(best_scores[:, k - 1 :]):
        return in_order(best_scores[:, :k], best_slots[:, :k])
    return _best_with_equal_scores(scores, k)


def _best_with_equal_scores(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As `_best`, by stable sorts: slower, but the lowest of the slots that share the k-th score are the ones kept."""
    slots = len(scores)
    groups = slots // _GROUP_SIZE
    candidates = torch.arange(slots, device=scores.device).expand(scores.shape[1], -1)
    if k < groups:
        maxima = scores[: groups * _GROUP_SIZE].view(groups, _GROUP_SIZE, -1).amax(1).t()
        chosen = maxima.sort(dim=1, descending=True, stable=True).indices[:, :k]
        candidates = _members(chosen.sort(dim=1).values, slots)  # ascending, as the next stable sort needs them
    best_scores, best = scores.t().gather(1, candidates).sort(dim=1, descending=True, stable=True)
    return best_scores[:, :k], candidates.gather(1, best[:, :k])


def _members(chosen: Tensor, slots: int) -> Tensor:
    """The slots of the chosen groups [Q, chosen], and those left over behind the last group, [Q, candidates]."""
    members = torch.arange(_GROUP_SIZE, device=chosen.device)
    candidates = chosen.mul(_GROUP_SIZE).unsqueeze(2).add(members).flatten(1)
    left_over = slots % _GROUP_SIZE
    if left_over == 0:
        return candidates
    rest = torch.arange(slots - left_over, slots, device=chosen.device)
    return torch.cat([candidates, rest.expand(len(chosen), -1)], dim=1)


def _all_differ(descending: Tensor) -> bool:
    """Whether no two neighbours in a row are equal. Masked ones never are: minus infinity less itself is not zero."""
    return bool(descending.diff().all())


def in_order(scores: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Each row by descending score, equal ones by ascending slot."""
    slots, order = slots.sort(dim=1)
    scores, columns = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    return scores, slots.gather(1, columns)


def _score_again(keys: Tensor, queries: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of the given slots only, with gradients, and the slots, in the order that `nearest` promises."""
    dtype = _score_type(keys, queries)
    read = keys.index_select(0, slots.flatten()).unflatten(0, slots.shape).to(dtype)  # [Q, k, K]
    return in_order(torch.einsum("qsk,qk->qs", read, queries.to(dtype)), slots)


def _score_type(keys: Tensor, queries: Tensor) -> torch.dtype:
    # Half-precision scores could not tell apart slots that are close to each other.
    return torch.promote_types(torch.promote_types(keys.dtype, queries.dtype), torch.float32)


@STORES.register("exact")
class ExactStore(Store):
    """Compares a query with every key, in plain torch; what it finds is the truth that others are measured by.

    Args:
        key_size: K.
    """

    compares_all = True

    def __init__(self, key_size: int) -> None:
        super().__init__(key_size)
        self._keys = torch.zeros(0, key_size)

    def parts(self) -> dict[str, Tensor]:
        slots = self.holds.nonzero()[:, 0]
        return {"slots": slots, "keys": self._keys[slots]}

    def _add(self, slots: Tensor, keys: Tensor) -> None:
        end, before = int(slots.max()) + 1, self._keys
        if end > len(before):  # twice as many, of which those without a key take up no memory yet
            self._keys = torch.from_numpy(np.zeros((2 * end, self.key_size), np.float32))
            self._keys[: len(before)] = before
        self._keys[slots] = keys

    def _remove(self, slots: Tensor) -> None:
        self._keys[slots] = 0

    def _search(self, queries: Tensor, k: int, mask: Tensor) -> tuple[Tensor, Tensor]:
        return nearest(self._keys[: len(mask)], queries, k, mask)
