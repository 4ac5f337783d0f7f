"""Search in the keys of very large memories."""

from .exact import nearest

__all__ = ["nearest"]
