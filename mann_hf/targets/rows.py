"""The base of targets whose labels are rows with a number for each output."""

from collections.abc import Sequence

from torch import Tensor

from ..errors import InvalidInputError
from .base import Targets
from .label_tensors import IGNORED


class Rows(Targets):
    """Targets whose labels are rows, [B, S, V] and [B, Q, V], as values are."""

    def support_values(self, labels: Tensor, n_way: int | None = None) -> tuple[Tensor, Tensor]:
        labels = self.rows_of(labels, dimensions=3)
        if labels.dim() != 3:
            raise InvalidInputError(f"support_labels are {tuple(labels.shape)}; {self.name} takes [B, S, C].")
        mask = (labels != IGNORED).all(-1)
        return labels.masked_fill(~mask[..., None], 0), mask

    def check_query_labels(self, labels: Tensor, queries: Sequence[int], count: int) -> None:
        shape = (*queries, count)
        if self.rows_of(labels, len(shape)).shape != shape:
            raise InvalidInputError(f"labels are {tuple(labels.shape)}; they must be {shape}.")

    def has_label(self, labels: Tensor, dimensions: int) -> Tensor:
        return (self.rows_of(labels, dimensions) != IGNORED).all(-1)

    def values_of(self, labels: Tensor, count: int) -> Tensor:
        return self.rows_of(labels, 3).masked_fill(~self.has_label(labels, 3)[..., None], 0)

    def losses(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.has_label(labels, logits.dim())
        labels = self.rows_of(labels, logits.dim())
        logits, labels = (each.masked_fill(~kept[..., None], 0) for each in (logits, labels))  # no NaN in a gradient
        return self.output_losses(logits, labels.to(logits)).mean(-1), kept

    def output_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of each output of each query, [..., V]."""
        raise NotImplementedError

    def rows_of(self, labels: Tensor, dimensions: int) -> Tensor:
        """Labels as rows, where they may be given in another form."""
        return labels
