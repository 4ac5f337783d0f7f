"""What people say an input is: the one way in which a label is kept, and what the values of a memory mean.

Spelling needs no torch, which takes seconds to import; `TARGETS` and what belongs to it come when they are asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .labels import Spellings, check_not_multi_hot, is_missing, known_as, same_label, spell_label, spell_labels
from .numbers import spell_numbers
from .schema import LabelSchema, Numbers, OneName, SeveralNames

if TYPE_CHECKING:
    from .kinds import TARGETS, Targets, targets_of

__all__ = [
    "TARGETS",
    "LabelSchema",
    "Numbers",
    "OneName",
    "SeveralNames",
    "Spellings",
    "Targets",
    "check_not_multi_hot",
    "is_missing",
    "known_as",
    "same_label",
    "spell_label",
    "spell_labels",
    "spell_numbers",
    "targets_of",
]


def __getattr__(name: str) -> Any:
    if name in ("TARGETS", "Targets", "targets_of"):
        return getattr(importlib.import_module(".kinds", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
