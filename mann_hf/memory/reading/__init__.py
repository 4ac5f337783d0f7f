"""Readings: ways to compute an answer from a memory, by name in `READINGS`."""

from .attention import AttentionReading
from .base import (
    MULTI_LABEL,
    NEVER_LEFT_OUT,
    PROBLEM_TYPES,
    READINGS,
    REGRESSION,
    SINGLE_LABEL,
    Reading,
    Solution,
)
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
    "Solution",
]
