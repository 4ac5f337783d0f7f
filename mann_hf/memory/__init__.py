"""Memories in pure torch: explicit states, addressing functions, readings and eviction rules.

This package does not use transformers, tokenizers or text.
"""

from .addressing import (
    bilinear_similarity,
    content_weights,
    cosine_similarity,
    dot_similarity,
    euclidean_similarity,
    sparse_content_weights,
)
from .base import MEMORIES, Memory
from .calibration import Calibration, calibrate
from .eviction import EVICTIONS
from .key_value import KeyValueMemory
from .reading import READINGS, Reading, Solution
from .similarity import SIMILARITIES
from .state import KeyValueState
from .stores import STORES, Store

__all__ = [
    "EVICTIONS",
    "MEMORIES",
    "READINGS",
    "SIMILARITIES",
    "STORES",
    "Calibration",
    "KeyValueMemory",
    "KeyValueState",
    "Memory",
    "Reading",
    "Solution",
    "Store",
    "bilinear_similarity",
    "calibrate",
    "content_weights",
    "cosine_similarity",
    "dot_similarity",
    "euclidean_similarity",
    "sparse_content_weights",
]
