"""Means over seeds."""

import math
from collections.abc import Sequence

from .pages import ABSENT

STUDENT_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""97.5 % quantiles of Student's t for that many seeds."""


def over_seeds(figures: Sequence[float]) -> str:
    """The mean with half of its 95 % interval, by Student's t over the seeds."""
    if not (count := len(figures)):
        return ABSENT
    mean = sum(figures) / count
    if count not in STUDENT_T:
        return f"{mean:.2f} ({count} seed{'' if count == 1 else 's'})"
    spread = math.sqrt(sum((figure - mean) ** 2 for figure in figures) / (count - 1))
    few = "" if count >= 3 else f" ({count} seeds)"
    return f"{mean:.2f} ± {STUDENT_T[count] * spread / math.sqrt(count):.2f}{few}"
