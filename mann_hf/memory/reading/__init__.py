"""Readings: ways to compute an answer from a memory, by name in `READINGS`."""

from ...targets.kinds import MULTI_LABEL, PROBLEM_TYPES, REGRESSION, SINGLE_LABEL
from .attention import AttentionReading
from .base import NEVER_LEFT_OUT, READINGS, Reading, Search, Solution
from .least_squares import LeastSquaresReading
from .logistic import LogisticReading
from .prototype import PrototypeReading

__all__ = [
    "MULTI_LABEL",
    "NEVER_LEFT_OUT",
    "PROBLEM_TYPES",
    "READINGS",
    "REGRESSION",
    "SINGLE_LABEL",
    "AttentionReading",
    "LeastSquaresReading",
    "LogisticReading",
    "PrototypeReading",
    "Reading",
    "Search",
    "Solution",
]
