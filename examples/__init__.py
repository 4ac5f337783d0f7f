"""Short scripts to copy from; each runs from the repository root as ``python -m examples.<name>``."""
