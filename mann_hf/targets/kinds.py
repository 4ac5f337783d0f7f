"""Every kind of targets that comes with the library, registered in `TARGETS`."""

from .base import (
    MULTI_LABEL,
    REGRESSION,
    SINGLE_LABEL,
    TARGETS,
    TOKEN_IDS,
    Targets,
    problem_types,
    targets_of,
)
from .class_indices import ClassIndices
from .multi_label import MultiLabel
from .regression import Regression
from .rows import Rows
from .single_label import SingleLabel
from .token_ids import TokenIds

PROBLEM_TYPES = (SINGLE_LABEL, MULTI_LABEL, REGRESSION)

__all__ = [
    "MULTI_LABEL",
    "PROBLEM_TYPES",
    "REGRESSION",
    "SINGLE_LABEL",
    "TARGETS",
    "TOKEN_IDS",
    "ClassIndices",
    "MultiLabel",
    "Regression",
    "Rows",
    "SingleLabel",
    "Targets",
    "TokenIds",
    "problem_types",
    "targets_of",
]
