"""What people say an input is, and the one way in which it is kept."""

from .labels import check_not_multi_hot, is_missing, known_as, same_label, spell_label, spell_labels

__all__ = ["check_not_multi_hot", "is_missing", "known_as", "same_label", "spell_label", "spell_labels"]
