"""The base of targets whose labels are whole numbers: each is one of V outputs that exclude each other."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidInputError
from ..wording import shown
from .base import Targets
from .label_tensors import IGNORED, cross_entropies, lowest_and_highest


class ClassIndices(Targets):
    """Targets with exactly one right output. Labels [B, S] and [B, Q] are its number; logits go through a softmax."""

    def check_query_labels(self, labels: Tensor, queries: Sequence[int], count: int) -> None:
        if tuple(labels.shape) != tuple(queries):
            raise InvalidInputError(f"labels are {tuple(labels.shape)}; they must be {tuple(queries)}.")
        if labels.is_floating_point():
            raise InvalidInputError(
                f"labels are of {labels.dtype}; {self.name} takes whole numbers, the positions of labels in the memory."
                " Numbers to be predicted have the problem type regression."
            )
        known = labels != IGNORED
        if not (known & ((labels < 0) | (labels >= count))).any():
            return
        lowest, highest = lowest_and_highest(labels, known)
        there = f"they count from 0, and {IGNORED} leaves a query out"
        if highest >= count:
            raise InvalidInputError(f"labels go up to {highest}, and the memory knows {count} labels; {there}.")
        raise InvalidInputError(f"labels go down to {lowest}; {there}.")

    def has_label(self, labels: Tensor, dimensions: int) -> Tensor:
        return labels != IGNORED

    def losses(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return cross_entropies(logits, labels.long())

    def scores(self, logits: Tensor) -> Tensor:
        """The softmax, computed as the stock pipelines of transformers do, so that it is the same to the last bit."""
        numbers = logits.detach().float().cpu().numpy()
        raised = np.exp(numbers - np.max(numbers, axis=-1, keepdims=True))
        return torch.from_numpy(raised / raised.sum(axis=-1, keepdims=True))

    def read_logits(self, weights: Tensor, values: Tensor, floor: float, outputs: int | None = None) -> Tensor:
        return self.read(weights, values, outputs).clamp_min(floor).log()

    def read_of_logits(self, logits: Tensor) -> Tensor:
        return logits.exp()

    def checked_support(self, labels: Tensor, n_way: int | None) -> tuple[Tensor, Tensor, int]:
        """Labels [B, S] of the support, 0 where there is no example; the mask of examples; and how many labels."""
        if labels.dim() != 2 or labels.is_floating_point():
            raise InvalidInputError(
                f"support_labels are {tuple(labels.shape)} of {labels.dtype}; {self.name} takes whole numbers [B, S]."
            )
        labels, mask = labels.long(), labels != IGNORED
        lowest, highest = lowest_and_highest(labels, mask)
        if lowest > highest:
            raise InvalidInputError("support_labels are all -100, so there is nothing to read.")
        if n_way is not None and (isinstance(n_way, bool) or not hasattr(n_way, "__index__")):
            raise InvalidInputError(f"n_way is {shown(n_way)}; give a whole number, or None.")
        count = highest + 1 if n_way is None else int(n_way)
        if lowest < 0 or highest >= count:
            raise InvalidInputError(
                f"support_labels go from {lowest} up to {highest} and n_way is {n_way}; they count from 0 to n_way - "
                f"1, and {IGNORED} marks what is no example."
            )
        return labels.masked_fill(~mask, 0), mask, count
