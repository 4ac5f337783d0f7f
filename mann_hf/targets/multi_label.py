"""Several labels for each input."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInputError
from .base import MULTI_LABEL, TARGETS
from .label_tensors import IGNORED
from .rows import Rows
from .schema import SeveralNames
from .single_label import rows_of_names


@TARGETS.register(MULTI_LABEL)
class MultiLabel(SeveralNames, Rows):
    """Several labels for each input, or none. Values are rows of 0 and 1; each logit goes through a sigmoid.

    The loss is binary cross entropy, its mean over the outputs. Rows of labels may hold shares between 0 and 1.
    """

    name = MULTI_LABEL

    def encode(self, labels: Sequence[tuple[str, ...]], names: Sequence[str], size: int) -> Tensor:
        return rows_of_names(labels, names)

    def decode(self, values: Tensor, names: Sequence[str]) -> list[tuple[str, ...]]:
        return [tuple(name for name, has in zip(names, row, strict=True) if has) for row in values.tolist()]

    def check_query_labels(self, labels: Tensor, queries: Sequence[int], count: int) -> None:
        super().check_query_labels(labels, queries, count)
        strange = ~((labels >= 0) & (labels <= 1)) & (labels != IGNORED).all(-1, keepdim=True)
        if strange.any():
            raise InvalidInputError(
                f"labels hold {labels[strange][0].item()}; where inputs have several labels they are 0 or 1, and "
                f"{IGNORED} leaves a query out."
            )

    def output_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none")

    def scores(self, logits: Tensor) -> Tensor:
        """The sigmoid, computed as the stock pipelines of transformers do, so that it is the same to the last bit."""
        numbers = logits.detach().float().cpu().numpy()
        return torch.from_numpy(1.0 / (1.0 + np.exp(-numbers)))

    def calibration_loss(self, logits: Tensor, values: Tensor) -> Tensor:
        losses = F.binary_cross_entropy_with_logits(logits, values.to(logits), reduction="sum")
        return losses / values.shape[1]

    def fit_values(self, values: Tensor) -> Tensor:
        return 2 * values - 1

    def read_logits(self, weights: Tensor, values: Tensor, floor: float, outputs: int | None = None) -> Tensor:
        logits = self.read(weights, values).clamp_min(floor).log()
        rest = weights @ (1 - values.to(weights.dtype))  # 1 - what is read, but exact where that is close to 0
        closed = (weights == 0).all(dim=-1, keepdim=True)
        return logits - rest.masked_fill(closed, 1).clamp_min(floor).log()

    def read_of_logits(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()
