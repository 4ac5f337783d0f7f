"""Drawings become the numbers that a stock image processor gives, and learning sees them changed by known maps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mann_hf
from tasks.omniglot.processor import Augmentation, AugmentingCollator, DrawingProcessor

STILL: dict[str, Any] = {"turn": 0, "shear": 0, "stretch": 0, "shift": 0}


def blots(count: int) -> torch.Tensor:
    """Smooth pictures, so that moving them back gives nearly the same."""
    place = torch.arange(28.0)
    centres = torch.rand(count, 2, 1, generator=torch.Generator().manual_seed(0)) * 8 + 10
    high, wide = (torch.exp(-((place - centres[:, axis]) ** 2) / 18) for axis in (0, 1))
    return (high[:, :, None] * wide[:, None, :])[:, None]


def changed(pixels: torch.Tensor, seed: int = 0, **most: float) -> torch.Tensor:
    return Augmentation(**{**STILL, **most})(pixels, torch.Generator().manual_seed(seed))


def middle(pixels: torch.Tensor) -> torch.Tensor:
    """The centre of the ink of each picture, [B, 2] as down and right."""
    place, picture = torch.arange(28.0), pixels[:, 0]
    total = picture.sum((1, 2))
    return torch.stack([(picture.sum(2) * place).sum(1) / total, (picture.sum(1) * place).sum(1) / total], dim=1)


def test_the_saved_image_processor_gives_the_same_numbers(tmp_path: Path) -> None:
    drawings = list(np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8))
    fast, model = DrawingProcessor(), mann_hf.MANNForImageClassification.from_encoder_config("conv4", num_channels=1)
    model.save_pretrained(tmp_path)
    fast.save_pretrained(tmp_path)
    saved = mann_hf.MANNForImageClassification.from_pretrained(tmp_path)
    stock = saved.processor()
    given = stock.collate(stock.encode(stock.check(drawings)), range(3))["pixel_values"]
    own = fast.collate(fast.encode(fast.check([Image.fromarray(drawing) for drawing in drawings])), range(3))
    assert torch.allclose(own["pixel_values"], given, atol=1e-6)
    assert own["pixel_values"].min() >= 0 and own["pixel_values"].max() <= 1


def test_one_drawing_is_a_list_of_one() -> None:
    drawing = np.zeros((28, 28), np.uint8)
    assert len(DrawingProcessor().check(drawing)) == 1


def test_batches_hold_each_drawing_once_in_no_order() -> None:
    found = DrawingProcessor().batches(range(50), 20)
    assert [len(batch) for batch in found] == [20, 20, 10]
    rows = [row for batch in found for row in batch]
    assert sorted(rows) == list(range(50)) and rows != sorted(rows)
    assert DrawingProcessor().batches(range(50), 20) == found


@pytest.mark.parametrize("drawing", [np.zeros((28, 20), np.uint8), np.zeros((28, 28))])
def test_other_pictures_are_refused(drawing: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a drawing is \[28, 28\] bytes"):
        DrawingProcessor().check([drawing])


def test_without_a_change_a_picture_stays() -> None:
    pixels = blots(4)
    assert torch.allclose(changed(pixels), pixels, atol=1e-5)


def test_a_shift_moves_the_ink_by_up_to_so_many_pixels() -> None:
    pixels = blots(64)
    moved = middle(changed(pixels, shift=2)) - middle(pixels)
    assert moved.abs().max() <= 2.1 and moved.abs().max() > 1.5
    assert not torch.allclose(moved[0], moved[1])


def test_a_turn_keeps_the_ink_and_undone_gives_the_picture_again() -> None:
    pixels = blots(8)
    turned = changed(pixels, turn=90)
    assert torch.allclose(turned.sum((1, 2, 3)), pixels.sum((1, 2, 3)), rtol=0.02)
    from_middle = lambda pictures: (middle(pictures) - 13.5).norm(dim=1)  # noqa: E731
    assert torch.allclose(from_middle(turned), from_middle(pixels), atol=0.05)
    assert not torch.allclose(middle(turned), middle(pixels), atol=0.05)


def test_a_stretch_changes_height_and_width_by_themselves() -> None:
    pixels = blots(16)
    ink = changed(pixels, stretch=0.15).sum((1, 2, 3)) / pixels.sum((1, 2, 3))
    assert 1 / 1.15**2 <= ink.min() < 0.95 and 1.05 < ink.max() <= 1 / 0.85**2 + 0.01


def test_a_shear_keeps_the_ink() -> None:
    pixels = blots(16)
    sheared = changed(pixels, shear=20)
    assert torch.allclose(sheared.sum((1, 2, 3)), pixels.sum((1, 2, 3)), rtol=0.02)
    assert not torch.allclose(sheared, pixels, atol=0.05)


def test_training_sees_the_same_changes_of_the_same_episodes() -> None:
    drawing = lambda seed: np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)  # noqa: E731
    support, query = mann_hf.episodes.Examples([drawing(0), drawing(1)], [0, 1]), [drawing(2)]
    episodes = [
        mann_hf.Episode(support, mann_hf.episodes.Examples(query, [0]), ("a", "b"), seed) for seed in (5, 6)
    ]  # fmt: skip
    collate = AugmentingCollator(DrawingProcessor(), Augmentation())
    pixels = lambda chosen: collate(chosen).inputs[0]["pixel_values"]  # noqa: E731
    assert torch.equal(pixels(episodes[:1]), pixels(episodes[:1]))
    assert not torch.allclose(pixels(episodes[:1]), pixels(episodes[1:]))
    plain = mann_hf.EpisodeCollator(DrawingProcessor())(episodes[:1])
    batch = collate(episodes[:1])
    assert torch.equal(batch.support_index, plain.support_index) and torch.equal(batch.query_index, plain.query_index)
    assert not torch.allclose(batch.inputs[0]["pixel_values"], plain.inputs[0]["pixel_values"])
