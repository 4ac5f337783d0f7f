"""A live page of a classifier: ask it, see why, teach it, make it forget. Needs `pip install 'mann_hf[demo]'`."""

from .guard import PageGuard
from .inputs import PAGE_INPUTS, PageInputs
from .page import build_page, launch

__all__ = ["PAGE_INPUTS", "PageGuard", "PageInputs", "build_page", "launch"]
