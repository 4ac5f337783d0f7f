"""Approximate search with an index of faiss."""

import functools
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidInputError, check_extra, import_extra
from .base import STORES, Store
from .exact import in_order

NEEDS = ("faiss", "the store 'faiss'", "faiss")
"""The module, what needs it, and the extra that installs it."""
LEAST_COMPARED = 50_000
"""Keys that a query is compared with, if there are so many; with fewer they lie in one list."""
COMPARED = 0.1
"""The share of the keys that a query is compared with, if that is more."""
GROWTH = 4
"""The lists are found anew when there are so many times the keys that they were found for."""
SAMPLE_A_LIST = 48
"""Keys for each list from which the centres of the lists are found."""
ITERATIONS = 8
"""Iterations of k-means, which finds the centres."""
WIDER = 4
"""Times more lists are probed where too few keys were found."""
LARGEST_HALF = 1e4
"""Keys are kept in half precision, which halves the time of a search, unless one has a larger number."""


@STORES.register("faiss")
class FaissStore(Store):
    """Lists of keys around centres, in an index of faiss: a query is compared with the keys of the nearest lists.

    Keys are added and removed one by one, and rounded to half precision. The centres are found again, at the next
    search, when there are four times as many keys.

    Source: Douze et al. 2024, [The Faiss library](https://arxiv.org/abs/2401.08281), section 5.1.

    Args:
        key_size: K.

    Raises:
        MissingExtraError: faiss is not installed.
    """

    def __init__(self, key_size: int) -> None:
        super().__init__(key_size)
        self._faiss: Any = import_extra(*NEEDS)
        _use_one_thread_in_children(self._faiss)
        self._half = True
        self._index = self._empty(np.zeros((1, key_size), np.float32))
        self._found_for = LEAST_COMPARED // GROWTH
        """How many keys the centres of the lists were found for."""

    @classmethod
    def check_installed(cls) -> None:
        check_extra(*NEEDS)

    def _empty(self, centres: np.ndarray) -> Any:
        """An index without keys, of lists around centres [L, K]."""
        faiss = self._faiss
        quantizer = faiss.IndexFlatIP(self.key_size)
        quantizer.add(centres)
        settings = (quantizer, self.key_size, len(centres))
        if self._half:
            half = faiss.ScalarQuantizer.QT_fp16
            index = faiss.IndexIVFScalarQuantizer(*settings, half, faiss.METRIC_INNER_PRODUCT, False)
        else:
            index = faiss.IndexIVFFlat(*settings, faiss.METRIC_INNER_PRODUCT)
        index.set_direct_map_type(faiss.DirectMap.Hashtable)  # from the slot to the place of its key
        index.is_trained = True
        return index

    @property
    def _centres(self) -> np.ndarray:
        return self._index.quantizer.reconstruct_n(0, self._index.nlist)

    def _list(self, number: int, places: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Slots [n] and keys [n, K] in one list, without a copy; or of so many places, used or not any more."""
        lists, pointed = self._index.invlists, self._faiss.rev_swig_ptr
        size = lists.list_size(number) if places is None else places
        if not size:
            return np.empty(0, np.int64), np.empty((0, self.key_size), np.float32)
        keys = pointed(lists.get_codes(number), size * lists.code_size).view(np.float16 if self._half else np.float32)
        return pointed(lists.get_ids(number), size), keys.reshape(size, self.key_size)

    def parts(self) -> dict[str, Tensor]:
        lists = [self._list(number) for number in range(self._index.nlist)]
        return {
            "slots": torch.from_numpy(np.concatenate([slots for slots, _ in lists])),
            "keys": torch.from_numpy(np.concatenate([keys for _, keys in lists])).float(),
            "centres": torch.from_numpy(self._centres),
            "found_for": torch.tensor(self._found_for),
        }

    @classmethod
    def of_parts(cls, parts: Mapping[str, Tensor]) -> "FaissStore":
        keys, centres = parts["keys"], parts["centres"]
        store = cls(keys.shape[1])
        if centres.shape != (len(centres), store.key_size) or not len(centres) or not centres.isfinite().all():
            raise InvalidInputError("the centres of the lists do not fit its keys.")
        store._index, store._found_for = store._empty(centres.float().numpy()), int(parts["found_for"])
        store.add(parts["slots"], keys)
        return store

    def _add(self, slots: Tensor, keys: Tensor) -> None:
        if self._half and keys.abs().max() > LARGEST_HALF:
            before, self._half = self._every(), False
            self._index = self._empty(self._centres)
            self._index.add_with_ids(*before)
        self._index.add_with_ids(keys.contiguous().numpy(), slots.numpy())

    def _remove(self, slots: Tensor) -> None:
        lists = self._index.invlists
        places = self._index.direct_map
        touched = {self._faiss.lo_listno(places.get(slot)) for slot in slots.tolist()}
        sizes = {number: lists.list_size(number) for number in touched}
        self._index.remove_ids(slots.numpy())
        for number, size in sizes.items():  # behind its end a list still has what moved up, or was removed
            ids, keys = self._list(number, size)
            ids[lists.list_size(number) :], keys[lists.list_size(number) :] = -1, 0

    def _search(self, queries: Tensor, k: int, mask: Tensor) -> tuple[Tensor, Tensor]:
        if len(self) > GROWTH * self._found_for:
            self._find_lists()
        faiss, asked, total = self._faiss, queries.contiguous().numpy(), self._index.nlist
        # few queries share the work on each, many are shared out
        self._index.parallel_mode = int(len(queries) < faiss.omp_get_max_threads())
        probed, options = math.ceil(total * min(1.0, max(COMPARED, LEAST_COMPARED / len(self)))), {}
        if int(mask.count_nonzero()) < len(self):
            bits = np.packbits(mask.numpy(), bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(bits)
        while True:
            searching = faiss.SearchParametersIVF(nprobe=probed, **options)
            scores, slots = self._index.search(asked, k, params=searching)
            if probed == total or (slots >= 0).all():
                return in_order(torch.from_numpy(scores), torch.from_numpy(slots))
            probed = min(total, WIDER * probed)

    def _find_lists(self) -> None:
        """Moves the keys into as many lists as there should be, around centres that fit them."""
        (keys, slots), count = self._every(), len(self)
        number = max(1, round(count**0.5))
        found = self._faiss.Kmeans(
            self.key_size,
            number,
            niter=ITERATIONS,
            spherical=True,
            seed=0,
            min_points_per_centroid=1,
            max_points_per_centroid=SAMPLE_A_LIST,
        )
        found.train(keys[:: max(1, count // (SAMPLE_A_LIST * number))])
        self._index, self._found_for = self._empty(found.centroids), count
        self._index.add_with_ids(keys, slots)

    def _every(self) -> tuple[np.ndarray, np.ndarray]:
        """All keys [N, K] in single precision, and their slots [N]."""
        parts = self.parts()
        return parts["keys"].numpy(), parts["slots"].numpy()


@functools.cache
def _use_one_thread_in_children(faiss: Any) -> None:
    """A forked process has none of the threads that OpenMP knows of, and would wait for them forever."""
    if hasattr(os, "register_at_fork"):  # where processes are forked at all
        os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))
