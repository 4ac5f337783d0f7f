"""Controllers: what turns a text into a key."""

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""For those who name none: small, fast on a CPU, and to be had as a package."""
