"""Every controller that comes with the library, registered in `CONTROLLERS`."""

from .base import CONTROLLERS, IMAGE, TEXT, Controller, controller_of
from .image_controller import ImageController
from .text_controller import TextController

__all__ = ["CONTROLLERS", "IMAGE", "TEXT", "Controller", "ImageController", "TextController", "controller_of"]
