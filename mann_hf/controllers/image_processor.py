"""The processor of images: an image processor of transformers, and pictures in whichever form they come."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from torch import Tensor

from ..errors import InvalidInputError, InvalidTypeError, import_extra
from .pictures import MOST_PIXELS, Picture, as_image, as_png, check_pictures, from_png, is_picture
from .processor import InputProcessor

USUAL_SIDE = 224
"""Pixels of a stored picture where the image processor does not say how large its own are."""
WORDS = "This is a photo of {}."
"""What a text half is asked of a label's words, as transformers' zero-shot image classification does."""


class ImageProcessor(InputProcessor):
    """Resizes and scales images as a model reads them.

    Args:
        processing_class: an image processor, from `AutoImageProcessor`; or one of images and texts, from
            `AutoProcessor`, for an encoder with a text half.
        num_channels: that the encoder reads: 3 for colour, 1 for grey.
        most_tokens: of a sentence that its text half reads; None where it has none.
        pads_words: whether sentences are padded to that length, as SigLIP was trained, which reads their last place.
    """

    noun = "image"
    file = "preprocessor_config.json"
    files = ("preprocessor_config.json", "processor_config.json")

    def __init__(
        self, processing_class: Any, *, num_channels: int = 3, most_tokens: int | None = None, pads_words: bool = False
    ) -> None:
        self.image_processor = getattr(processing_class, "image_processor", processing_class)
        self.tokenizer = getattr(processing_class, "tokenizer", None)
        self.processing_class, self.num_channels = processing_class, num_channels
        if not callable(self.image_processor):
            raise InvalidTypeError(
                f"the image processor is of type {type(processing_class).__name__}; give that of the encoder, from "
                "AutoImageProcessor.from_pretrained(encoder)."
            )
        self.most_tokens, self.pads_words = most_tokens, pads_words

    def is_one(self, inputs: Any) -> bool:
        return is_picture(inputs)

    def check(self, inputs: Any) -> list[Picture]:
        return check_pictures(inputs, self.num_channels)

    def check_part(self, inputs: Any, start: int | None) -> list[Picture]:
        return check_pictures(inputs, self.num_channels, start)

    def contents(self, inputs: Sequence[Picture]) -> list[str | None]:
        return [picture.content for picture in inputs]

    def stored(self, inputs: Sequence[Picture]) -> list[bytes | None]:
        """PNGs, at most as large as the encoder reads, from which nearly the same key is computed again."""
        side = _side(self.image_processor)
        return [as_png(picture.pixels(), side) for picture in inputs]

    def restored(self, content: str | None, stored: bytes | None) -> Picture | None:
        """The picture of a PNG, under the content of the one that was taught.

        Raises:
            InvalidInputError: it is no picture; a stranger may have stored it.
        """
        if stored is None:
            return None
        return Picture(as_image(from_png(stored), self.num_channels), self.num_channels, content)

    def collate(self, encodings: Sequence[Picture], rows: Sequence[int]) -> dict[str, Tensor]:
        images = [self._pixels(encodings[row]) for row in rows]
        if self.num_channels == 1:  # or the image processor would look for the channels among the pixels
            images = [np.asarray(image)[..., None] for image in images]
        options = {"return_tensors": "pt", "input_data_format": "channels_last", **self._grey_options}
        batch = self.image_processor(images=images, **options)
        return {"pixel_values": batch["pixel_values"]}

    @property
    def _grey_options(self) -> dict[str, list[float]]:
        """Mean and deviation of one channel, where those of three are alike, as they are saved for grey encoders."""
        names = ("image_mean", "image_std") if self.num_channels == 1 else ()
        found = {name: getattr(self.image_processor, name, None) for name in names}
        alike = {name: [*value] for name, value in found.items() if isinstance(value, list | tuple)}
        return {name: value[:1] for name, value in alike.items() if len(value) == 3 and len({*value}) == 1}

    def _pixels(self, picture: Picture) -> Any:
        """The picture, unless the image processor would make one of it that fills the memory."""
        image, edge = picture.pixels(), _shortest_edge(self.image_processor)
        shorter, longer = sorted(image.size)
        if edge is not None and (resized := edge * round(edge * longer / shorter)) > MOST_PIXELS:
            raise InvalidInputError(
                f"{picture.name}a picture of {image.width:,} x {image.height:,} pixels is too long and narrow: with a "
                f"shorter side of {edge} pixels, as the encoder's image processor makes it, it would have {resized:,}, "
                f"and there may be {MOST_PIXELS:,}. Crop it."
            )
        return image

    @property
    def words(self) -> InputProcessor | None:
        if self.most_tokens is None or self.tokenizer is None:
            return None
        return WordsProcessor(self.tokenizer, self.most_tokens, self.pads_words)

    def save_pretrained(self, folder: Path) -> None:
        self.processing_class.save_pretrained(folder)


class WordsProcessor(InputProcessor):
    """Gives labels' words to the text half of an encoder of images, in a sentence.

    Args:
        tokenizer: of the encoder.
        most_tokens: of a sentence; longer ones are cut.
        pads: whether shorter ones are padded to that length.
    """

    noun = "text"
    batch_size = 1  # so that none has padding

    def __init__(self, tokenizer: Any, most_tokens: int, pads: bool) -> None:
        self.tokenizer, self.most_tokens, self.padding = tokenizer, most_tokens, "max_length" if pads else True

    def check(self, inputs: Any) -> list[str]:
        return list(inputs)

    def phrase(self, words: str) -> str:
        return WORDS.format(words)

    def collate(self, encodings: Sequence[str], rows: Sequence[int]) -> dict[str, Tensor]:
        texts, options = [encodings[row] for row in rows], {"truncation": True, "max_length": self.most_tokens}
        return dict(self.tokenizer(texts, padding=self.padding, return_tensors="pt", **options))


def with_tokenizer(image_processor: Any, tokenizer: Any) -> Any:
    """A processor of images and words, made of its parts; `AutoProcessor` loads what it saves."""
    own = getattr(image_processor, "image_processor", image_processor)
    return transformers.VisionTextDualEncoderProcessor(image_processor=own, tokenizer=tokenizer)


def _side(image_processor: Any) -> int:
    """The longest of the sides, in pixels, that an image processor scales or cuts images to."""
    sizes = (getattr(image_processor, name, None) or {} for name in ("size", "crop_size"))
    sides = [side for size in sizes for side in dict(size).values() if isinstance(side, int)]
    return max(sides, default=USUAL_SIDE)


def _shortest_edge(image_processor: Any) -> int | None:
    """The length in pixels to which an image processor scales the shorter side, however long the other then is."""
    size = dict(getattr(image_processor, "size", None) or {})
    bounded = size.get("longest_edge") or not getattr(image_processor, "do_resize", True)
    return None if bounded else size.get("shortest_edge")


def image_processor_of(size: tuple[int, int]) -> Any:
    """An image processor that scales images to a height and width, and their pixels to numbers from -1 to 1.

    It is of three channels for grey encoders, too: the stock pipeline gives it nothing else than colour.
    """
    import_extra("PIL.Image", "images", "images")
    kind = getattr(transformers, "ViTImageProcessorPil", None) or transformers.ViTImageProcessor  # by its older name
    middle = [0.5] * 3
    return kind(size={"height": size[0], "width": size[1]}, image_mean=middle, image_std=middle)
