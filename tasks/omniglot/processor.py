"""Drawings as tensors, and the random turns, sizes and places in which a model sees them while it learns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import ViTImageProcessor

from mann_hf import Episode, EpisodeBatch, EpisodeCollator
from mann_hf.controllers.pictures import is_picture
from mann_hf.controllers.processor import InputProcessor

SIDE = 28
"""Pixels of a drawing's height and width."""
BATCH_SIZE = 120
"""Drawings in a batch: a CPU is half as slow again at 720 together, whose states fill no cache."""
BYTE = 255


class DrawingProcessor(InputProcessor):
    """Drawings [28, 28] as numbers from 0, which is no ink, to 1.

    An image processor of transformers gives the same numbers, a picture at a time, and takes a hundred times as long;
    it is what is saved with a model, so that anybody's pictures can be given to it.
    """

    noun = "image"

    def is_one(self, inputs: Any) -> bool:
        return is_picture(inputs)

    def check(self, inputs: Any) -> list[np.ndarray]:
        """Bytes [28, 28] of each drawing.

        Raises:
            ValueError: a picture of another size, or in colour.
        """
        drawings = [np.asarray(one) for one in ([inputs] if self.is_one(inputs) else inputs)]
        for drawing in drawings:
            if drawing.shape != (SIDE, SIDE) or drawing.dtype != np.uint8:
                raise ValueError(
                    f"a drawing is [{SIDE}, {SIDE}] bytes, and one of {list(drawing.shape)} {drawing.dtype} came."
                )
        return drawings

    def encode(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return list(inputs)

    def batches(self, encodings: Sequence[Any], batch_size: int | None = None) -> list[list[int]]:
        """Batches in an order that is random and always the same.

        In training, batch normalization is over a batch. It would tell classes if the support of some classes made one
        batch, and their queries another.
        """
        size, rows = batch_size or BATCH_SIZE, np.random.default_rng(0).permutation(len(encodings)).tolist()
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def collate(self, encodings: Sequence[np.ndarray], rows: Sequence[int]) -> dict[str, Tensor]:
        pixels = torch.from_numpy(np.stack([encodings[row] for row in rows]))
        return {"pixel_values": (pixels.float() / BYTE)[:, None]}

    def save_pretrained(self, folder: Path) -> None:
        size = {"height": SIDE, "width": SIDE}
        ViTImageProcessor(size=size, image_mean=[0.0] * 3, image_std=[1.0] * 3).save_pretrained(folder)


@dataclass(frozen=True)
class Augmentation:
    """Draws an affine map for each picture: turned, sheared, stretched in both directions, and moved.

    Args:
        turn: the largest angle in degrees, to either side.
        shear: likewise.
        stretch: by how much height and width, each by itself, may grow or shrink; a share of them.
        shift: the most pixels that a picture moves in either direction.
    """

    turn: float = 12.0
    shear: float = 0.0
    stretch: float = 0.15
    shift: float = 2.0

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures [B, 1, h, w] with 0 where there is nothing, each changed by a map of its own.

        Args:
            pixels: the pictures.
            generator: what the maps are drawn from.
        """
        most = torch.tensor([
            math.radians(self.turn), math.radians(self.shear), self.stretch, self.stretch,
            2 * self.shift / pixels.shape[-1], 2 * self.shift / pixels.shape[-1],
        ])  # fmt: skip
        drawn = (2 * torch.rand(len(pixels), len(most), generator=generator) - 1) * most
        turn, shear, wide, high, right, down = drawn.unbind(1)
        cos, sin, slope = turn.cos(), turn.sin(), shear.tan()
        across = torch.stack([cos * (1 + wide), cos * slope - sin, right], dim=1)
        along = torch.stack([sin, (sin * slope + cos) * (1 + high), down], dim=1)
        grid = F.affine_grid(torch.stack([across, along], dim=1), list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, grid, align_corners=False)


class AugmentingCollator(EpisodeCollator):
    """Changes the drawings of training episodes, by the episodes' seeds: a run that is resumed sees the same.

    Args:
        processor: of the drawings.
        augmentation: how they are changed.
    """

    def __init__(self, processor: DrawingProcessor, augmentation: Augmentation) -> None:
        super().__init__(processor, group_by_length=True)
        self.augmentation = augmentation

    def __call__(self, episodes: Sequence[Episode]) -> EpisodeBatch:
        batch = super().__call__(episodes)
        mixed = np.random.SeedSequence([episode.seed or 0 for episode in episodes]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(mixed[0] >> np.uint64(1)))
        inputs = [
            {**group, "pixel_values": self.augmentation(group["pixel_values"], generator)} for group in batch.inputs
        ]
        return replace(batch, inputs=inputs)
