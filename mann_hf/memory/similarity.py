"""Similarities by name: thin modules over the functions of `addressing`."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..registry import Registry
from . import addressing


class Similarity(nn.Module):
    """How alike keys and queries are: `forward(keys [B, S, K], queries [B, Q, K]) -> [B, Q, S]`.

    Args:
        key_size: K.
    """

    scale_free: ClassVar[bool] = False
    """Whether the result does not depend on the length of keys and queries."""

    def __init__(self, key_size: int) -> None:
        super().__init__()
        self.key_size = key_size

    def forward(self, keys: Tensor, queries: Tensor) -> Tensor:
        raise NotImplementedError


SIMILARITIES: Registry[type[Similarity]] = Registry("similarity")


@SIMILARITIES.register("cosine")
class CosineSimilarity(Similarity):
    """The cosine of the angle between key and query."""

    scale_free = True

    def forward(self, keys: Tensor, queries: Tensor) -> Tensor:
        return addressing.cosine_similarity(keys, queries)


@SIMILARITIES.register("dot")
class DotSimilarity(Similarity):
    """The inner product of key and query."""

    def forward(self, keys: Tensor, queries: Tensor) -> Tensor:
        return addressing.dot_similarity(keys, queries)


@SIMILARITIES.register("euclidean")
class EuclideanSimilarity(Similarity):
    """The negative squared distance between key and query."""

    def forward(self, keys: Tensor, queries: Tensor) -> Tensor:
        return addressing.euclidean_similarity(keys, queries)


@SIMILARITIES.register("bilinear")
class BilinearSimilarity(Similarity):
    """A learned bilinear form; before training it is the inner product."""

    def __init__(self, key_size: int) -> None:
        super().__init__(key_size)
        self.weight = nn.Parameter(torch.empty(key_size, key_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to the identity, so that the form is the inner product."""
        nn.init.eye_(self.weight)

    def forward(self, keys: Tensor, queries: Tensor) -> Tensor:
        return addressing.bilinear_similarity(keys, queries, self.weight)
