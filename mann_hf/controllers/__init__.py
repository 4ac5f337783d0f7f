"""Controllers: they turn texts into keys (embeddings)."""

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""The default encoder: small, fast on a CPU, also available as a package."""
SHORT_NAMES = {"all-MiniLM-L6-v2": DEFAULT_ENCODER}
