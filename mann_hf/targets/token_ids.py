"""One of the tokens of a vocabulary for each slot."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidInputError, InvalidTypeError
from ..wording import shown, whole_number
from .base import TARGETS, TOKEN_IDS
from .class_indices import ClassIndices
from .schema import Answer, spell_each


@TARGETS.register(TOKEN_IDS)
class TokenIds(ClassIndices):
    """A token of a vocabulary for each slot. Values are its number, [B, S] integers, and never one-hot rows.

    What is read is scattered into the V outputs of the vocabulary: the probability of a token is the sum of the read
    weights of its slots. The loss is cross entropy.

    Source: Merity et al. 2017, [Pointer Sentinel Mixture Models](https://arxiv.org/abs/1609.07843), equation 2, for the
    sum.
    """

    name = TOKEN_IDS
    named = dense = False
    default_reading = "attention"

    def spell(self, labels: Sequence[Any]) -> list[int]:
        return spell_each(_token, labels)

    def spell_cell(self, cell: Any, spell_name: Callable[[Any], str]) -> int:
        return _token(int(cell) if isinstance(cell, str) and cell.isdecimal() else cell)

    def check(self, labels: Any) -> None:
        for label in labels:
            _token(label)

    def from_json(self, written: Any) -> int:
        if type(written) is not int or written < 0:
            raise ValueError("a label is no number of a token")
        return written

    def chosen(self, ranked: Sequence[Answer], places: Mapping[str, Any] | None = None) -> list[Answer]:
        return list(ranked[:1])

    def as_taught(self, answers: Sequence[Answer]) -> Answer:
        return answers[0]

    def encode(self, labels: Sequence[int], names: Sequence[str], size: int) -> Tensor:
        strange = next((label for label in labels if not 0 <= label < size), None)
        if strange is not None:
            raise InvalidInputError(f"the token {strange} came; the vocabulary has {size:,}, counted from 0.")
        return torch.tensor(labels, dtype=torch.long)

    def decode(self, values: Tensor, names: Sequence[str]) -> list[int]:
        return values.tolist()

    def support_values(self, labels: Tensor, n_way: int | None = None) -> tuple[Tensor, Tensor]:
        numbers, mask, _ = self.checked_support(labels, n_way)
        return numbers, mask

    def values_of(self, labels: Tensor, count: int) -> Tensor:
        return labels.masked_fill(~self.has_label(labels, 3), 0)

    def read(self, weights: Tensor, values: Tensor, outputs: int | None = None) -> Tensor:
        """The sum of the read weights of each token's slots, [B, Q, V]."""
        if outputs is None:
            raise InvalidInputError("tokens do not say how many there are: give outputs, the size of the vocabulary.")
        batch, queries, _ = weights.shape
        first = outputs * torch.arange(batch, device=values.device)  # where each episode's outputs begin
        place = (values + first[:, None]).flatten()
        sums = weights.new_zeros(batch * outputs, queries)
        return sums.index_add(0, place, weights.mT.flatten(0, 1)).view(batch, outputs, queries).mT

    def of_output(self, values: Tensor, output: int) -> Tensor:
        return values == output


def _token(label: Any) -> int:
    number = whole_number(label)
    if number is None:
        raise InvalidTypeError(f"{shown(label)} is no token; give its number in the vocabulary")
    if number < 0:
        raise InvalidInputError(f"{number} is no token; they count from 0")
    return number
