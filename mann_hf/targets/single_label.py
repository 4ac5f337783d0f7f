"""One label for each input."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import SINGLE_LABEL, TARGETS
from .class_indices import ClassIndices
from .schema import OneName


@TARGETS.register(SINGLE_LABEL)
class SingleLabel(OneName, ClassIndices):
    """One label for each input. Values are one-hot rows; logits go through a softmax, the loss is cross entropy."""

    name = SINGLE_LABEL

    def encode(self, labels: Sequence[str], names: Sequence[str], size: int) -> Tensor:
        return rows_of_names([(label,) for label in labels], names)

    def decode(self, values: Tensor, names: Sequence[str]) -> list[str]:
        return [names[column] for column in values.argmax(-1).tolist()]

    def support_values(self, labels: Tensor, n_way: int | None = None) -> tuple[Tensor, Tensor]:
        numbers, mask, count = self.checked_support(labels, n_way)
        return F.one_hot(numbers, count) * mask[..., None], mask

    def values_of(self, labels: Tensor, count: int) -> Tensor:
        known = self.has_label(labels, 3)
        return F.one_hot(labels.masked_fill(~known, 0), count) * known[..., None]

    def labels_of(self, values: Tensor, mask: Tensor) -> Tensor:
        return super().labels_of(values.argmax(-1), mask)

    def calibration_loss(self, logits: Tensor, values: Tensor) -> Tensor:
        return F.cross_entropy(logits, values.argmax(1), reduction="sum")


def rows_of_names(labels: Sequence[Sequence[str]], names: Sequence[str]) -> Tensor:
    """Rows [N, C] of 0 and 1 that say which of C names each of N inputs has."""
    column = {name: number for number, name in enumerate(names)}
    ones = [(row, column[name]) for row, label in enumerate(labels) for name in label]
    rows = torch.zeros(len(labels), len(names))
    rows[tuple(torch.tensor(ones, dtype=torch.long).view(-1, 2).T)] = 1
    return rows
