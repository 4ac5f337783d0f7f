"""Every controller that comes with the library, registered in `CONTROLLERS`."""

from .base import CONTROLLERS, IMAGE, TEXT, Controller, controller_of
from .image_controller import ImageController
from .seq2seq_controller import SEQ2SEQ, Seq2SeqController
from .text_controller import TextController

__all__ = [
    "CONTROLLERS",
    "IMAGE",
    "SEQ2SEQ",
    "TEXT",
    "Controller",
    "ImageController",
    "Seq2SeqController",
    "TextController",
    "controller_of",
]
