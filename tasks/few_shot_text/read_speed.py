"""How fast the exact read of the nearest slots is, next to faiss's exact index on the same keys and queries."""

import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mann_hf.errors import MissingExtraError
from mann_hf.memory.stores import nearest

KEY_SIZE = 384
BATCHES = 4  # different queries in turn, as a processor learns to foresee the branches of one batch
TURNS = 5  # of each library at least, and more of them until
SECONDS = 5.0  # have passed
TURN_SECONDS = 0.05
PAUSE_SECONDS = 0.02  # in which the threads of the other library, which wait for more work in a loop, go to sleep
TIE = 1e-5  # products of unit vectors that differ by less may change places by rounding

Read = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Queries [Q, K] to the scores and slots [Q, k] of the nearest."""


def read_over_faiss(
    slot_counts: Sequence[int] = (1_000, 10_000, 100_000, 1_000_000), k: int = 32, batch: int = 32, seed: int = 0
) -> dict[str, float]:
    """Times exact reads of the k slots nearest to each of a batch of queries, in float32 on the CPU.

    Both libraries use as many threads as torch is set to. They take turns of several reads each.

    Args:
        slot_counts: sizes of the memories; each slot takes 3 KiB, half of it for faiss's own copy of the key.
        k: slots to read for each query.
        batch: queries in a read.
        seed: of the keys and queries, which are random unit vectors of 384 numbers.

    Returns:
        For each slot count, as a string, the median seconds of faiss over the median seconds of `nearest`.

    Raises:
        MissingExtraError: if faiss is not installed.
        RuntimeError: if the two do not find the same slots, slots of equal score aside.
    """
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        return {str(slots): _ratio(faiss, slots, k, batch, seed) for slots in slot_counts}
    finally:
        faiss.omp_set_num_threads(threads)


def check_same(keys: Tensor, queries: Tensor, slots: Tensor, others: Tensor) -> None:
    """Raises `RuntimeError` unless two results [Q, k] name the same slots, slots of equal score aside."""
    for found in (slots, others):
        if not found.sort(dim=1).values.diff().all():
            raise RuntimeError("One slot was found twice for a query.")
    products = [torch.einsum("qsk,qk->qs", keys[found].double(), queries.double()) for found in (slots, others)]
    worst = (products[0] - products[1]).abs().max().item()
    if not worst <= TIE:
        raise RuntimeError(
            f"The two searches found different slots: the scores at one rank differ by {worst:.1e}, "
            f"where rounding explains {TIE:.0e} at most."
        )


def _ratio(faiss: Any, slots: int, k: int, batch: int, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(slots, KEY_SIZE, generator=generator)
    keys /= keys.norm(dim=1, keepdim=True)
    queries = torch.nn.functional.normalize(torch.randn(BATCHES, batch, KEY_SIZE, generator=generator), dim=2)
    index = faiss.IndexFlatIP(KEY_SIZE)
    index.add(keys.numpy())

    def theirs(queries: Tensor) -> tuple[Tensor, Tensor]:
        scores, found = index.search(queries.numpy(), k)
        return torch.from_numpy(scores), torch.from_numpy(found)

    def ours(queries: Tensor) -> tuple[Tensor, Tensor]:
        return nearest(keys, queries, k)

    for some in queries:
        check_same(keys, some, ours(some)[1], theirs(some)[1])
    ours_seconds, theirs_seconds = _alternate(ours, theirs, queries)
    return theirs_seconds / ours_seconds


def _alternate(first: Read, second: Read, queries: Tensor) -> tuple[float, float]:
    """Median seconds of a call of each."""
    once = max(_turn(read, queries, 2)[-1] for read in (first, second))
    calls = max(2, min(50, round(TURN_SECONDS / once)))
    seconds: tuple[list[float], list[float]] = ([], [])
    start, turns = time.perf_counter(), 0
    while turns < TURNS or time.perf_counter() - start < SECONDS:
        turns += 1
        for read, spent in zip((first, second), seconds, strict=True):
            time.sleep(PAUSE_SECONDS)
            spent += _turn(read, queries, calls)[1 + calls // 10 :]  # the first calls wake the threads
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _turn(read: Read, queries: Tensor, calls: int) -> list[float]:
    seconds = []
    for call in range(calls):
        some = queries[call % len(queries)]
        start = time.perf_counter()
        read(some)
        seconds.append(time.perf_counter() - start)
    return seconds


def _faiss() -> Any:
    try:
        return importlib.import_module("faiss")
    except ModuleNotFoundError as error:
        raise MissingExtraError("timing reads against faiss", "faiss-cpu", "faiss") from error
