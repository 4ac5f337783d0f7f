"""Stores: where the keys of a large memory are searched for the nearest, by name in `STORES`."""

from .base import STORES, Store
from .exact import ExactStore, nearest
from .faiss import FaissStore
from .faiss_pq import FaissPQStore

__all__ = ["STORES", "ExactStore", "FaissPQStore", "FaissStore", "Store", "nearest"]
