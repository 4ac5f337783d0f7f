"""Small pictures and image encoders for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPProcessor,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTModel,
)

from mann_hf.controllers import pictures
from mann_hf.controllers.image_processor import image_processor_of

SIZE = 32
KINDS = ("square", "disc", "cross")
VISION = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
TEXT = {**VISION, "vocab_size": 300, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}


def shape(kind: str, seed: int, mode: str = "RGB") -> Image.Image:
    """A picture of a square, a disc or a cross somewhere, in some colour."""
    numbers = np.random.default_rng(seed)
    picture = Image.new("RGB", (SIZE, SIZE), tuple(map(int, numbers.integers(0, 90, 3))))
    draw, (x, y), r = ImageDraw.Draw(picture), map(int, numbers.integers(10, 22, 2)), int(numbers.integers(5, 9))
    colour: Any = tuple(map(int, numbers.integers(150, 256, 3)))
    if kind == "square":
        draw.rectangle([x - r, y - r, x + r, y + r], fill=colour)
    elif kind == "disc":
        draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    else:
        draw.line([x - r, y, x + r, y], fill=colour, width=3)
        draw.line([x, y - r, x, y + r], fill=colour, width=3)
    return picture.convert(mode)


def image_encoder(kind: str) -> PreTrainedModel:
    """A tiny encoder with random weights, the same at each call: `"vit"`, `"resnet"`, `"clip"` or `"siglip"`."""
    torch.manual_seed(0)
    vision: Any = {**VISION, "image_size": SIZE, "patch_size": 8}
    made: Any
    if kind == "vit":
        made = ViTModel(ViTConfig(**vision))
    elif kind == "resnet":
        sizes: Any = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1]}
        made = ResNetModel(ResNetConfig(layer_type="basic", **sizes))
    elif kind == "clip":
        made = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=24))
    else:
        made = SiglipModel(SiglipConfig(text_config=TEXT, vision_config=vision))
    return made.eval()


def save_image_encoder(kind: str, folder: Path, tokenizer: Any = None) -> Path:
    """The encoder in a folder with its image processor; with a tokenizer as a processor of both."""
    image_encoder(kind).save_pretrained(folder)
    processor = image_processor_of((SIZE, SIZE))
    if tokenizer is None:
        processor.save_pretrained(folder)
    else:
        CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def counting_decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A list that grows by a file each time that a picture's file is decoded."""
    decode, files = pictures._decoded, []

    def counted(file: Any, *rest: Any) -> Any:
        files.append(file)
        return decode(file, *rest)

    monkeypatch.setattr(pictures, "_decoded", counted)
    return files
