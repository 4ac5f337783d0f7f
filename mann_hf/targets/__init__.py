"""What people say an input is, and the one way in which it is kept."""

from .labels import Spellings, check_not_multi_hot, is_missing, known_as, same_label, spell_label, spell_labels
from .numbers import spell_numbers

__all__ = [
    "Spellings",
    "check_not_multi_hot",
    "is_missing",
    "known_as",
    "same_label",
    "spell_label",
    "spell_labels",
    "spell_numbers",
]
