"""A live page of a model: ask it, see why, teach it, make it forget. Needs `pip install 'mann_hf[demo]'`."""

from . import classifier_face as classifier_face
from . import generator_face as generator_face
from .face import PAGE_FACES, PageFace
from .guard import PageGuard
from .inputs import PAGE_INPUTS, PageInputs
from .page import build_page, launch

__all__ = ["PAGE_FACES", "PAGE_INPUTS", "PageFace", "PageGuard", "PageInputs", "build_page", "launch"]
