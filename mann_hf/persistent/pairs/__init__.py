"""Memories of pairs, for sequence-to-sequence models: what is stored, how it is searched, and its files."""

from .by_text import ids_of_texts
from .encoded import EncodedPairs, PairEntry
from .files import PAIRS_FORMAT, digest_of_memory, pairs_as_bytes, read_pairs, write_pairs
from .holder import PairHolder
from .index_files import INDEX_FILES
from .memory import PAIR_KINDS, PairKind, PairMemory
from .merging import merged_pairs
from .search import Candidates, PairSearch, needs_index
from .segment import TOKEN_COLUMNS
from .tokenizer_identity import TokenizerIdentity, check_tokenizer, tokenizer_identity

__all__ = [
    "INDEX_FILES",
    "PAIRS_FORMAT",
    "PAIR_KINDS",
    "TOKEN_COLUMNS",
    "Candidates",
    "EncodedPairs",
    "PairEntry",
    "PairHolder",
    "PairKind",
    "PairMemory",
    "PairSearch",
    "TokenizerIdentity",
    "check_tokenizer",
    "digest_of_memory",
    "ids_of_texts",
    "merged_pairs",
    "needs_index",
    "pairs_as_bytes",
    "read_pairs",
    "tokenizer_identity",
    "write_pairs",
]
