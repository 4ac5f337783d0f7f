"""Ratios of two things that take turns."""

import time
from collections.abc import Callable, Sequence

TURNS = 7


def ratio(
    one: Callable[[], object],
    other: Callable[[], object],
    turns: int = TURNS,
    of: Callable[[Sequence[float]], float] = min,
) -> float:
    """The seconds of the one over those of the other, taking turns.

    The least seconds are those with the least of what else the machine does in them; where the work differs from turn
    to turn, `of` is the median.
    """
    one(), other()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for call, taken in zip((one, other), seconds, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return of(seconds[0]) / of(seconds[1])
