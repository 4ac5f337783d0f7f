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

    @staticmethod
    def searched(keys: Tensor) -> Tensor:
        """Keys [..., K'] whose inner products with what `asked` makes of a query rank them as the similarity does."""
        return keys

    def asked(self, queries: Tensor) -> Tensor:
        """Queries [..., K'], see `searched`."""
        return queries


SIMILARITIES: Registry[type[Similarity]] = Registry("similarity")


@SIMILARITIES.register("cosine")
class CosineSimilarity(Similarity):
    """The cosine of the angle between key and query."""

    scale_free = True

    def forward(self, keys: Tensor, queries: Tensor) -> Tensor:
        return addressing.cosine_similarity(keys, queries)

    @staticmethod
    def searched(keys: Tensor) -> Tensor:
        return addressing.unit(keys)

    def asked(self, queries: Tensor) -> Tensor:
        return addressing.unit(queries)


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

    @staticmethod
    def searched(keys: Tensor) -> Tensor:
        return torch.cat([keys, -keys.square().sum(-1, keepdim=True)], dim=-1)

    def asked(self, queries: Tensor) -> Tensor:
        return torch.cat([2 * queries, torch.ones_like(queries[..., :1])], dim=-1)  # the query's own square is the same


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

    def asked(self, queries: Tensor) -> Tensor:
        return queries @ self.weight.to(queries.dtype)
