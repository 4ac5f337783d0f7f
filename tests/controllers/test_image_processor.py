from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, CLIPImageProcessor, ViTImageProcessor

from mann_hf.controllers.image_controller import as_grey
from mann_hf.controllers.image_processor import ImageProcessor
from mann_hf.errors import InvalidInputError

RANDOM = np.random.default_rng(0)
PICTURES = [RANDOM.integers(0, 256, (9 + n, 12, 3), dtype=np.uint8) for n in range(5)]


def processor(channels: int = 3) -> ImageProcessor:
    middle = [0.5] * channels
    return ImageProcessor(
        ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=middle, image_std=middle), num_channels=channels
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_tensors_of_one_size(channels: int) -> None:
    made = processor(channels)
    images = made.encode(made.check(PICTURES))
    batch = made.collate(images, [3, 0])
    assert batch.keys() == {"pixel_values"} and batch["pixel_values"].shape == (2, channels, 8, 8)
    assert batch["pixel_values"].dtype == torch.float32 and batch["pixel_values"].abs().max() <= 1
    alone = made.collate(images, [0])["pixel_values"][0]
    assert torch.equal(batch["pixel_values"][1], alone), "an image depends on itself alone"


def test_each_image_is_in_one_batch() -> None:
    made = processor()
    assert made.batches(PICTURES, 2) == [[0, 1], [2, 3], [4]]
    assert made.batches(PICTURES) == [[0, 1, 2, 3, 4]] and made.batches([]) == []
    with pytest.raises(InvalidInputError, match="batch_size is 0"):
        made.batches(PICTURES, 0)


def test_it_is_saved_for_the_auto_class(tmp_path: Path) -> None:
    made = processor()
    made.save_pretrained(tmp_path)
    again = ImageProcessor(AutoImageProcessor.from_pretrained(tmp_path))
    images = made.check(PICTURES)
    assert torch.equal(again.collate(images, [1])["pixel_values"], made.collate(images, [1])["pixel_values"])


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_a_picture_that_would_be_large_once_resized_is_refused(shape: tuple[int, int]) -> None:
    made = ImageProcessor(CLIPImageProcessor(size={"shortest_edge": 256}, crop_size={"height": 8, "width": 8}))
    images = made.check([PICTURES[0], np.zeros((*shape, 3), np.uint8)])
    with pytest.raises(InvalidInputError, match=r"^image 1 .counted from 0.: .* would have 327,680,000, .* Crop it"):
        made.collate(images, [0, 1])
    assert made.collate(images, [0])["pixel_values"].shape == (1, 3, 8, 8)
    for settings in ({"size": {"height": 8, "width": 8}}, {"size": {"shortest_edge": 256}, "do_resize": False}):
        other = ImageProcessor(CLIPImageProcessor(**{"crop_size": {"height": 8, "width": 8}, **settings}))
        assert other.collate(images, [0, 1])["pixel_values"].shape == (2, 3, 8, 8)


def test_grey_is_that_of_pillow() -> None:
    colour = torch.from_numpy(np.stack([picture[:9] for picture in PICTURES])).permute(0, 3, 1, 2).float()
    expected = [np.asarray(Image.fromarray(picture[:9]).convert("L")) for picture in PICTURES]
    grey = as_grey(colour)
    assert grey.shape == (5, 1, 9, 12) and np.abs(grey[:, 0].numpy() - np.stack(expected)).max() <= 0.501
