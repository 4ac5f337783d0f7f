"""Numbers for each input."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInputError
from .base import REGRESSION, TARGETS
from .label_tensors import with_dimensions_of
from .rows import Rows
from .schema import Numbers


@TARGETS.register(REGRESSION)
class Regression(Numbers, Rows):
    """A number for each output. Values and answers are the numbers themselves; the loss is the squared error.

    NaN leaves a query out of the loss, for -100 is a number. Labels of one output may be [B, S] and [B, Q].
    """

    name = REGRESSION
    calibrated = False
    centred = True
    default_reading = "least_squares"

    def encode(self, labels: Sequence[tuple[float, ...]], names: Sequence[str], size: int) -> Tensor:
        for label in labels:
            if len(label) != size:
                raise InvalidInputError(
                    f"a label of {len(label)} numbers came; this memory takes {size} for each input, the num_labels of "
                    "the model's configuration."
                )
        return torch.tensor(labels, dtype=torch.float32).view(len(labels), size)

    def decode(self, values: Tensor, names: Sequence[str]) -> list[tuple[float, ...]]:
        return [tuple(row) for row in values.tolist()]

    def has_label(self, labels: Tensor, dimensions: int) -> Tensor:
        return (~self.rows_of(labels, dimensions).isnan()).all(-1)

    def without_queries(self, labels: Tensor, absent: Tensor) -> Tensor:
        return labels.float().masked_fill(with_dimensions_of(absent, labels), float("nan"))

    def output_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(logits, labels, reduction="none")

    def scores(self, logits: Tensor) -> Tensor:
        """The numbers themselves."""
        return logits

    def rows_of(self, labels: Tensor, dimensions: int) -> Tensor:
        """Labels as rows; of one number for each input in a column of their own."""
        return labels[..., None] if labels.dim() == dimensions - 1 else labels
