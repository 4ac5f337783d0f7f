"""Approximate search of keys of which a few bytes are kept, with an index of faiss."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidInputError
from .base import STORES
from .faiss import FaissLists

QUANTISED_FROM = 100_000
"""Keys from which on they are kept in codes; fewer are kept in half precision."""
LARGEST_PART = 8
"""Numbers of a key that one byte stands for, at most."""
LEAST_BYTES = 32
"""Bytes of a code, if the key has so many numbers."""
LEAST_COMPARED = 20_000
"""Keys that a query is compared with, at least."""
PROBED = 32
"""Lists whose keys a query is compared with, at least."""
SAMPLE = 2**15
"""Keys of which the codes are made."""
ITERATIONS = 12
"""Iterations of k-means, which makes the codes."""

OwnCodes = TypeVar("OwnCodes", bound="FaissPQStore")


@STORES.register("faiss_pq")
class FaissPQStore(FaissLists):
    """Lists as in `faiss`, of keys in codes of a byte for up to eight numbers: for many millions of entries.

    A code (product quantisation) stands for what a key differs from the centre of its list. Fewer than a hundred
    thousand keys are kept in half precision, as in `faiss`; then codes are made for them, from which keys can be read
    back about as they were. When the centres are found again, codes are made of what was read back.

    Source: Jégou et al. 2011, [Product Quantization for Nearest Neighbor
    Search](https://inria.hal.science/inria-00514462), section 4.

    Args:
        key_size: K.

    Raises:
        MissingExtraError: faiss is not installed.
    """

    needs = ("faiss", "the store 'faiss_pq'", "faiss")

    def __init__(self, key_size: int) -> None:
        self._codebooks: np.ndarray | None = None
        """[m, 256, K / m], what each code stands for; None as long as keys are kept in half precision."""
        super().__init__(key_size)

    def _empty(self, centres: np.ndarray) -> Any:
        if self._codebooks is None:
            return super()._empty(centres)
        faiss, parts = self._faiss, len(self._codebooks)
        index = faiss.IndexIVFPQ(
            self._quantizer(centres), self.key_size, len(centres), parts, 8, faiss.METRIC_INNER_PRODUCT
        )
        faiss.copy_array_to_vector(self._codebooks.ravel(), index.pq.centroids)
        return self._ready(index)

    def _keys_of(self, codes: np.ndarray, number: int) -> np.ndarray:
        if self._codebooks is None:
            return super()._keys_of(codes, number)
        if not len(codes):
            return np.empty((0, self.key_size), np.float32)
        return self._index.pq.decode(codes) + self._index.quantizer.reconstruct(number)

    def _kept(self, codes: np.ndarray) -> dict[str, Tensor]:
        if self._codebooks is None:
            return super()._kept(codes)
        return {"codes": torch.from_numpy(codes), "codebooks": torch.from_numpy(self._codebooks)}

    @classmethod
    def of_parts(cls: type[OwnCodes], parts: Mapping[str, Tensor]) -> OwnCodes:
        if "codes" not in parts:
            return super().of_parts(parts)  # type: ignore[misc]
        codes, codebooks = parts["codes"], parts["codebooks"]
        if codes.dtype != torch.uint8 or codebooks.dim() != 3 or codebooks.dtype != torch.float32:
            raise InvalidInputError("its codes are none of product quantisation.")
        number, entries, size = codebooks.shape
        if codes.shape[1:] != (number,) or entries != 256 or not number * size or not codebooks.isfinite().all():
            raise InvalidInputError("its codes do not fit what they stand for.")
        store = cls(number * size)
        store._codebooks = codebooks.contiguous().numpy().copy()
        store._restore(parts, codes.contiguous())
        return store

    def _add(self, slots: Tensor, keys: Tensor) -> None:
        if self._codebooks is not None:
            self._index.add_with_ids(keys.contiguous().numpy(), slots.numpy())
            return
        super()._add(slots, keys)
        if self._index.ntotal >= QUANTISED_FROM:
            self._find_lists()

    def _lay_out(self, sample: np.ndarray, count: int) -> None:
        if count < QUANTISED_FROM:
            super()._lay_out(sample, count)
            return
        centres = self._centres_for(sample, count)
        self._codebooks = self._codebooks_for(sample[:: math.ceil(len(sample) / SAMPLE)], centres)
        self._index, self._found_for = self._empty(centres), count

    def _codebooks_for(self, sample: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """What codes stand for, fitted to what the keys of a sample [N, K] differ from their centres."""
        _, nearest = self._quantizer(centres).search(sample, 1)
        size = _part_of(self.key_size)
        quantizer = self._faiss.ProductQuantizer(self.key_size, self.key_size // size, 8)
        quantizer.cp.niter, quantizer.cp.seed = ITERATIONS, 0
        quantizer.cp.min_points_per_centroid, quantizer.cp.max_points_per_centroid = 1, SAMPLE
        quantizer.train(sample - centres[nearest[:, 0]])
        return self._faiss.vector_to_array(quantizer.centroids).reshape(-1, 256, size)

    def _probed(self) -> int:
        if self._codebooks is None:
            return super()._probed()
        return max(PROBED, math.ceil(self._index.nlist * LEAST_COMPARED / len(self)))


def _part_of(key_size: int) -> int:
    """How many numbers of a key one byte stands for: a divisor of K."""
    most = min(LARGEST_PART, max(1, key_size // LEAST_BYTES))
    return next(size for size in range(most, 0, -1) if key_size % size == 0)
