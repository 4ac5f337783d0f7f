"""The controller of images: vision encoders, and those that have a text half in the same space (CLIP, SigLIP)."""

import functools
import inspect
import json
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MODEL_MAPPING, PreTrainedConfig
from transformers.utils import logging

from ..errors import InvalidInputError, InvalidTypeError, MannError, UnknownNameError
from .base import CONTROLLERS, IMAGE, POOLER, Controller
from .image_processor import ImageProcessor, image_processor_of
from .inputs import is_of_device
from .pictures import MODES
from .samples import SampleInputs

logger = logging.get_logger(f"transformers.{__name__}")

IMAGE_POOLINGS = (POOLER, "cls", "mean")
"""The encoder's own vector of an image (of CLIP and its kin that which texts share; of encoders that have none the
mean), its first token, or the mean over places."""
USUAL_SIZE, USUAL_CHANNELS = 224, 3
LARGEST_SIDE = 2**11
"""Pixels of an image that an encoder reads; those in use have a few hundred."""
WITHOUT_CLASS_TOKEN = ("ijepa", "vitdet")
"""Types of Vision Transformers whose first token is a part of the image, and that have no vector of the whole."""


@CONTROLLERS.register(IMAGE)
class ImageController(Controller):
    """Images: their pretrained encoders and image processors; words too, where the encoder has a text half."""

    modality = IMAGE
    noun = "image"
    main_input = "pixel_values"
    input_dims = 3  # channels, height, width
    processing_class = "image_processor"
    task = "image-classification"
    extra = "images"
    stored_as = "as small PNGs"
    samples = SampleInputs("photo.png", {"cat.png": "cat", "dog.png": "dog"}, {"worn.png": 0.1, "new.png": 0.9})
    in_shell = True

    def prepare(self, config: PreTrainedConfig) -> None:
        """Has masked autoencoders see a whole image: the parts that they leave out are drawn at each call."""
        if hasattr(config, "mask_ratio"):
            config.mask_ratio = 0.0

    def options(self, config: PreTrainedConfig, pooling: str | None) -> dict[str, Any]:
        """The argument that leaves a pooler out that nobody asks, for the classes that take it."""
        kind: Any = MODEL_MAPPING.get(type(config), None)
        if (pooling or self.default_pooling(config)) == POOLER or not inspect.isclass(kind):
            return {}
        return {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind).parameters else {}

    def finish(self, encoder: Any) -> Any:
        """The encoder as it is.

        Raises:
            InvalidInputError: it reads no images, or images of neither one channel nor three.
        """
        if (channels := num_channels(encoder.config)) not in MODES:
            raise InvalidInputError(
                f"{type(encoder).__name__} reads images of {channels} channels; there may be 1 (grey) or 3 (colour)."
            )
        if not reads_words(encoder.config):
            inputs = inspect.signature(encoder.forward).parameters
            if inputs and "pixel_values" not in inputs:
                raise InvalidInputError(
                    f"{type(encoder).__name__} is no image encoder: it takes no pixel_values. Take a model that "
                    "AutoModel loads and that reads images alone, or one with a text half such as CLIP."
                )
        return encoder

    def default_pooling(self, config: PreTrainedConfig) -> str:
        """The class token of a Vision Transformer, whose pooler is often untrained; the encoder's own vector else."""
        if config.model_type in WITHOUT_CLASS_TOKEN:
            return "mean"
        is_transformer = hasattr(config, "num_attention_heads") and not hasattr(config, "depths")  # as of Swin
        is_half = reads_words(config) or config.model_type.endswith("vision_model")  # whose first token is no summary
        return "cls" if is_transformer and not is_half else POOLER

    def pooled_size(self, config: PreTrainedConfig, pooling: str) -> int:
        if pooling not in IMAGE_POOLINGS:
            raise UnknownNameError("pooling", pooling, [*IMAGE_POOLINGS])
        if reads_words(config) and pooling != POOLER:
            raise InvalidInputError(
                f"pooling is {pooling!r}; an encoder with a text half takes 'pooler', the vector that texts share."
            )
        kind: Any = type(config)
        return _pooled_size(config.to_json_string(use_diff=False), kind, pooling)

    def reads_words(self, config: PreTrainedConfig) -> bool:
        return reads_words(config)

    def pool(self, encoder: nn.Module, pooling: str, **inputs: Any) -> Tensor:
        try:
            states = _states(encoder, pooling, inputs)
        except MannError:
            raise
        except (AttributeError, TypeError, ValueError, IndexError, RuntimeError) as error:
            if is_of_device(error):
                raise
            raise InvalidInputError(
                f"{type(encoder).__name__} could not encode {', '.join(inputs)} ({type(error).__name__}: "
                f"{str(error)[:200]}). Give images of the size that it reads; its image processor makes them so."
            ) from error
        if states.dim() != 2 or len(states) != len(next(iter(inputs.values()))):
            raise InvalidInputError(
                f"{type(encoder).__name__} gave states of the shape {list(states.shape)} for a batch of "
                f"{len(next(iter(inputs.values())))}: it is no encoder of whole images."
            )
        return states.float() if states.dtype in (torch.float16, torch.bfloat16) else states

    def probe_inputs(self, config: PreTrainedConfig, device: torch.device) -> dict[str, Tensor]:
        height, width = image_size(config)
        numbers = torch.arange(num_channels(config) * height * width, device=device)
        pixels = (numbers * 7919 + 104729) % 4093  # primes: no two rows alike
        return {"pixel_values": (pixels / 2046.5 - 1).view(1, -1, height, width)}

    def processor(self, config: Any, encoder: nn.Module, processing_class: Any) -> ImageProcessor:
        own = config.encoder_config
        made = ImageProcessor(
            processing_class,
            num_channels=num_channels(own),
            most_tokens=most_tokens(own),
            pads_words=own.model_type.startswith("siglip"),
        )
        if config.label_names and made.words is None:
            logger.warning_once(
                "The image processor came without a tokenizer, so the words of labels are not stored: give the one of "
                "AutoProcessor.from_pretrained(encoder)."
            )
        return made

    def keeps(self, entry: Any) -> bool:
        return entry.stored is not None or (entry.kind == "description" and entry.text is not None)

    def loading_options(self, config: Any) -> dict[str, Any]:
        """Words are needed where those of labels are stored; else their tokenizer may be missing."""
        return {"with_words": (True if config.label_names else None) if reads_words(config.encoder_config) else False}

    def processing_class_from(self, config: PreTrainedConfig) -> Any:
        """An image processor that scales images to the encoder's size, and pixels to numbers from -1 to 1."""
        return None if reads_words(config) else image_processor_of(image_size(config))


def reads_words(config: PreTrainedConfig) -> bool:
    """Whether an encoder has a text half, whose vectors lie in the space of those of images."""
    kind = MODEL_MAPPING.get(type(config), None)
    return hasattr(kind, "get_text_features") and hasattr(kind, "get_image_features")


@functools.cache
def _pooled_size(content: str, kind: type[PreTrainedConfig], pooling: str) -> int:
    """H of an encoder, measured on one that has shapes alone: configurations of image encoders do not say it alike."""
    config, controller = kind.from_dict(json.loads(content)), ImageController()
    try:
        with torch.device("meta"), torch.no_grad():
            encoder = controller.build(config, pooling).eval()
            return _states(encoder, pooling, controller.probe_inputs(config, torch.device("meta"))).shape[1]
    except MannError:
        raise
    except Exception as error:
        raise InvalidInputError(
            f"no image encoder can be made of the configuration of type {config.model_type!r} "
            f"({type(error).__name__}: {str(error)[:200]})."
        ) from error


def most_tokens(config: PreTrainedConfig) -> int | None:
    """The most tokens of a sentence that the text half of an encoder reads; None where it has none."""
    return config.text_config.max_position_embeddings if reads_words(config) else None


def image_size(config: PreTrainedConfig) -> tuple[int, int]:
    """Height and width in pixels of the images that an encoder reads.

    Raises:
        InvalidInputError: they are none that an image can have; a stranger may have written them.
    """
    found = getattr(getattr(config, "vision_config", config), "image_size", None) or USUAL_SIZE
    sides = [*found] if isinstance(found, list | tuple) else [found, found]
    if len(sides) != 2 or not all(isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in sides):
        raise InvalidInputError(
            f"image_size of the encoder is {found!r:.80}; give a whole number of pixels up to {LARGEST_SIDE:,}, or two."
        )
    return sides[0], sides[1]


def num_channels(config: PreTrainedConfig) -> int:
    """How many channels an encoder reads: 3 for colour, 1 for grey."""
    return getattr(getattr(config, "vision_config", config), "num_channels", None) or USUAL_CHANNELS


def _states(encoder: Any, pooling: str, inputs: dict[str, Any]) -> Tensor:
    """The pooled states [B, H] of images; or of words, for an encoder with a text half."""
    if inputs.get("pixel_values") is None:
        if not reads_words(encoder.config) or inputs.get("input_ids") is None:
            words = " or input_ids" if reads_words(encoder.config) else ""
            raise InvalidInputError(
                f"the encoder got no image: give pixel_values [B, C, h, w]{words}. The pipeline "
                "few-shot-image-classification takes images."
            )
        return _features(encoder.get_text_features(**inputs))
    pixels = inputs["pixel_values"]
    if not isinstance(pixels, Tensor) or not pixels.is_floating_point():
        raise InvalidTypeError(
            f"pixel_values are of type {getattr(pixels, 'dtype', type(pixels).__name__)}; give a tensor of "
            "floating-point numbers [B, C, h, w], from the image processor. The pipeline "
            "few-shot-image-classification takes images."
        )
    if pixels.dim() != 4 or not pixels.numel():
        raise InvalidInputError(f"pixel_values have the shape {list(pixels.shape)}; they must be [B, C, h, w].")
    if pixels.shape[1] == 3 and num_channels(encoder.config) == 1:
        pixels = as_grey(pixels)
    inputs = {**inputs, "pixel_values": pixels.to(encoder.dtype)}
    if reads_words(encoder.config):
        return _features(encoder.get_image_features(**inputs))
    output = encoder(**inputs)
    if pooling == POOLER and (pooled := getattr(output, "pooler_output", None)) is not None:
        return pooled.flatten(1)
    hidden = output.last_hidden_state
    if pooling == "cls" and hidden.dim() == 4:
        raise InvalidInputError(
            f"pooling is 'cls', and {type(encoder).__name__} has no class token: take {POOLER!r} or 'mean'."
        )
    if hidden.dim() == 4:  # [B, H, h, w], of a convolutional network
        hidden = hidden.flatten(2).mT
    return hidden[:, 0] if pooling == "cls" else hidden.mean(1)


def as_grey(pixels: Tensor) -> Tensor:
    """[B, 1, h, w]: colour pixels [B, 3, h, w] as an encoder of grey images takes them.

    The brightness of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, with the weights of Pillow's `convert("L")`, which add
    up to 1: mean and deviation that all channels share are those of the brightness.
    """
    weights = torch.tensor([19595, 38470, 7471], dtype=torch.float32, device=pixels.device) / 2**16
    return torch.einsum("bchw,c->bhw", pixels, weights.to(pixels.dtype))[:, None]


def _features(output: Any) -> Tensor:
    """The vectors [B, H] of a half of an encoder, whichever output it has."""
    return output if isinstance(output, Tensor) else output.pooler_output
