"""Controllers: they turn texts into keys (embeddings)."""

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""For those who name none: small, fast on a CPU, and to be had as a package."""
