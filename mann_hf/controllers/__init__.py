"""Controllers: they turn texts and images into keys (embeddings)."""

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
