"""Pixels of pictures as bytes on white ground, whichever numbers and transparency they came with."""

from typing import Any

import numpy as np

from ..errors import InvalidInputError, InvalidTypeError, import_extra
from ..wording import shown

BYTE = 255


def deep_numbers(image: Any) -> np.ndarray | None:
    """The numbers of a PIL image of one channel with more than 8 bits, which PIL would cut at 255; None of another.

    Mode "I" has numbers of 32 bits, and is that in which some versions of Pillow give a PNG of 16 bits.
    """
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return None
    numbers = np.asarray(image)
    if image.mode == "I" and numbers.size and numbers.min() >= 0 and numbers.max() < 2**16:
        return numbers.astype(np.uint16)
    if image.mode == "I":
        raise InvalidInputError("a picture of numbers outside of 0 to 65535; scale it to 8 or 16 bits.")
    return numbers


def on_white(image: Any) -> Any:
    """A PIL image without transparency: what is transparent shows white ground, as in a browser."""
    if image.mode in ("RGBa", "La"):  # with colours multiplied by their opacity, which PIL does not lay on others
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    if not image.has_transparency_data:
        return image
    pillow: Any = import_extra("PIL.Image", "images", "images")
    image = image.convert("RGBA")
    return pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image).convert("RGB")


def as_array(picture: Any) -> np.ndarray:
    """The numbers of a picture, [h, w] or [h, w, C]; a tensor has its channels in front."""
    is_tensor, given = hasattr(picture, "detach"), getattr(picture, "shape", None)
    if is_tensor:
        if picture.is_meta or str(picture.layout) != "torch.strided":
            kind = "on the device 'meta', which has no numbers" if picture.is_meta else "that is sparse"
            raise InvalidInputError(f"a tensor {kind}; give a dense one of numbers (to_dense() makes one).")
        picture = picture.detach().cpu().float() if picture.is_floating_point() else picture.detach().cpu()
    if not hasattr(picture, "__array__"):
        raise InvalidTypeError(
            f"{shown(picture, 40)} of type {type(picture).__name__} is no image; give a PIL image, the path of a file, "
            "an array [h, w, C] or a tensor [C, h, w]."
        )
    array = np.asarray(picture)
    if is_tensor and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InvalidInputError(
            f"{'a tensor' if is_tensor else 'an array'} of the shape {list(given or array.shape)}; give [h, w], or "
            f"{'[C, h, w]' if is_tensor else '[h, w, C]'} with C = 1, 3 or 4."
        )
    return array


def as_bytes(array: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1 and those of 16 bits as bytes; bytes as they are. The type decides, whatever the numbers."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == bool:
        return array.astype(np.uint8) * BYTE
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return (array >> 8).astype(np.uint8)
    if array.size and np.issubdtype(array.dtype, np.integer) and array.min() >= 0 and array.max() <= BYTE:
        return array.astype(np.uint8)
    if array.size and np.issubdtype(array.dtype, np.integer):
        raise InvalidInputError(
            f"an array of whole numbers from {array.min()} to {array.max()}; they may be from 0 to {BYTE}, or of 16 "
            "bits (uint16)."
        )
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidInputError(f"an array of {array.dtype}; give bytes from 0 to 255, or floats from 0 to 1.")
    if array.size and not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise InvalidInputError("an array with NaN, infinity or numbers outside of 0 to 1; scale it, or give bytes.")
    return (array * BYTE).round().astype(np.uint8)
