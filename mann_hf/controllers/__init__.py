"""Controllers: they turn texts and images into keys (embeddings)."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .kinds import CONTROLLERS as CONTROLLERS
    from .kinds import Controller as Controller
    from .processor import InputProcessor as InputProcessor

TEXT, IMAGE = "text", "image"
"""The modalities that come with the library, which are also what one input is called."""
DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""The default encoder: small, fast on a CPU, also available as a package."""
KNOWN_ENCODERS = (
    DEFAULT_ENCODER,
    "sentence-transformers/all-MiniLM-L12-v2",
    "sentence-transformers/all-mpnet-base-v2",
    "BAAI/bge-small-en-v1.5",
    "BAAI/bge-base-en-v1.5",
    "MongoDB/mdbr-leaf-mt",
    "Alibaba-NLP/gte-modernbert-base",
    "intfloat/e5-small-v2",
    "intfloat/multilingual-e5-small",
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
)
"""Encoders that are suggested where a name is nearly one of theirs, likeliest first."""
SHORT_NAMES = {"all-MiniLM-L6-v2": DEFAULT_ENCODER}


def __getattr__(name: str) -> Any:
    """What needs torch and transformers, which take seconds to import, comes when it is asked for."""
    modules = {"CONTROLLERS": "kinds", "Controller": "kinds", "InputProcessor": "processor"}
    if name in modules:
        return getattr(importlib.import_module(f".{modules[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
