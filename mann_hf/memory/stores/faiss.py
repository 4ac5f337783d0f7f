"""Approximate search with an index of faiss."""

import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidInputError, check_extra, import_extra
from .base import STORES, Store
from .exact import in_order

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
ADDED_AT_ONCE = 2**18
"""Keys that are put together at a time as a saved index is taken up."""
LARGEST_HALF = 1e4
"""Keys are kept in half precision, which halves the time of a search, unless one has a larger number."""


OwnLists = TypeVar("OwnLists", bound="FaissLists")


class FaissLists(Store):
    """Keys in lists around centres, in an index of faiss.

    Args:
        key_size: K.

    Raises:
        MissingExtraError: faiss is not installed.
    """

    needs: ClassVar[tuple[str, str, str]]
    """The module, what needs it, and the extra that installs it."""

    def __init__(self, key_size: int) -> None:
        super().__init__(key_size)
        self._faiss: Any = import_extra(*self.needs)
        _use_one_thread_in_children(self._faiss)
        self._half = True
        self._index = self._empty(np.zeros((1, key_size), np.float32))
        self._found_for = LEAST_COMPARED // GROWTH
        """How many keys the centres of the lists were found for."""

    @classmethod
    def check_installed(cls) -> None:
        check_extra(*cls.needs)

    def prepare(self, sample: Tensor, count: int) -> None:
        if not len(self) and len(sample) and count > GROWTH * self._found_for:
            self._lay_out(sample.contiguous().numpy(), count)

    def _empty(self, centres: np.ndarray) -> Any:
        """An index without keys, of lists around centres [L, K]."""
        faiss = self._faiss
        settings = (self._quantizer(centres), self.key_size, len(centres))
        if self._half:
            half = faiss.ScalarQuantizer.QT_fp16
            index = faiss.IndexIVFScalarQuantizer(*settings, half, faiss.METRIC_INNER_PRODUCT, False)
        else:
            index = faiss.IndexIVFFlat(*settings, faiss.METRIC_INNER_PRODUCT)
        return self._ready(index)

    def _quantizer(self, centres: np.ndarray) -> Any:
        quantizer = self._faiss.IndexFlatIP(self.key_size)
        quantizer.add(centres)
        return quantizer

    def _ready(self, index: Any) -> Any:
        index.set_direct_map_type(self._faiss.DirectMap.Hashtable)  # from the slot to the place of its key
        index.is_trained = True
        return index

    @property
    def _centres(self) -> np.ndarray:
        return self._index.quantizer.reconstruct_n(0, self._index.nlist)

    def _codes(self, number: int, places: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Slots [n] and what is kept of keys [n, bytes] in one list, as `_list`."""
        lists, pointed = self._index.invlists, self._faiss.rev_swig_ptr
        size = lists.list_size(number) if places is None else places
        if not size:
            return np.empty(0, np.int64), np.empty((0, lists.code_size), np.uint8)
        codes = pointed(lists.get_codes(number), size * lists.code_size)
        return pointed(lists.get_ids(number), size), codes.reshape(size, lists.code_size)

    def _list(self, number: int, places: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Slots [n] and keys [n, K] in one list; or of so many places, used or not any more."""
        slots, codes = self._codes(number, places)
        return slots, self._keys_of(codes, number)

    def _keys_of(self, codes: np.ndarray, number: int) -> np.ndarray:
        """The keys [n, K] of which codes are kept in a list, without a copy where it can be."""
        return codes.view(np.float16 if self._half else np.float32)

    def parts(self) -> dict[str, Tensor]:
        lists = [self._codes(number) for number in range(self._index.nlist)]
        sizes = torch.tensor([len(slots) for slots, _ in lists])
        return {
            "slots": torch.from_numpy(np.concatenate([slots for slots, _ in lists])),
            "lists": torch.arange(len(lists)).repeat_interleave(sizes),
            "centres": torch.from_numpy(self._centres),
            "found_for": torch.tensor(self._found_for),
            **self._kept(np.concatenate([codes for _, codes in lists])),
        }

    def _kept(self, codes: np.ndarray) -> dict[str, Tensor]:
        """What is kept of all keys, as a part."""
        return {"keys": torch.from_numpy(codes.view(np.float16 if self._half else np.float32))}

    @classmethod
    def of_parts(cls: type[OwnLists], parts: Mapping[str, Tensor]) -> OwnLists:
        keys = parts["keys"]
        store = cls(keys.shape[1])
        store._half = keys.dtype == torch.float16
        if not keys.isfinite().all():
            raise InvalidInputError("keys hold NaN or infinity, with which nothing can be compared.")
        if not store._half and keys.dtype != torch.float32:
            raise InvalidInputError(f"its keys are {keys.dtype}.")
        store._restore(parts, keys.contiguous().view(torch.uint8))
        return store

    def _restore(self, parts: Mapping[str, Tensor], codes: Tensor) -> None:
        """Takes up parts, of which nothing was looked at but the keys or what is kept of them [N, bytes]."""
        slots, lists, centres = parts["slots"], parts["lists"], parts["centres"]
        if centres.shape != (len(centres), self.key_size) or not len(centres) or not centres.isfinite().all():
            raise InvalidInputError("the centres of the lists do not fit its keys.")
        self._index, self._found_for = self._empty(centres.float().contiguous().numpy()), int(parts["found_for"])
        whole = slots.dtype == lists.dtype == torch.int64 and slots.shape == lists.shape == (len(codes),)
        if not whole or codes.shape[1:] != (self._index.invlists.code_size,):
            raise InvalidInputError("its slots, lists and keys do not fit each other.")
        if not len(slots):
            return
        if int(slots.min()) < 0 or len(slots.unique()) < len(slots):
            raise InvalidInputError("slots must be numbers from 0 on, each of them once.")
        if int(lists.min()) < 0 or int(lists.max()) >= len(centres):
            raise InvalidInputError("a key is in a list that is not there.")
        width = self._index.coarse_code_size()
        for some in torch.arange(len(slots)).split(ADDED_AT_ONCE):
            begins = lists[some].numpy().astype("<i8").view(np.uint8).reshape(len(some), 8)[:, :width]
            numbers = slots[some].numpy()  # named, as earlier versions of faiss read them after letting go of them
            self._index.add_sa_codes(np.hstack([begins, codes[some].numpy()]), numbers)
        self.holds = torch.zeros(int(slots.max()) + 1, dtype=torch.bool).index_fill(0, slots, True)

    def _add(self, slots: Tensor, keys: Tensor) -> None:
        if self._half and keys.abs().max() > LARGEST_HALF:
            self._move(self._empty_of_full_precision)
        self._index.add_with_ids(keys.contiguous().numpy(), slots.numpy())

    def _empty_of_full_precision(self) -> None:
        centres, self._half = self._centres, False
        self._index = self._empty(centres)

    def _remove(self, slots: Tensor) -> None:
        lists = self._index.invlists
        places = self._index.direct_map
        touched = {self._faiss.lo_listno(places.get(slot)) for slot in slots.tolist()}
        sizes = {number: lists.list_size(number) for number in touched}
        self._index.remove_ids(slots.numpy())
        for number, size in sizes.items():  # behind its end a list still has what moved up, or was removed
            ids, codes = self._codes(number, size)
            ids[lists.list_size(number) :], codes[lists.list_size(number) :] = -1, 0

    def _search(self, queries: Tensor, k: int, mask: Tensor) -> tuple[Tensor, Tensor]:
        if len(self) > GROWTH * self._found_for:
            self._find_lists()
        faiss, asked, total = self._faiss, queries.contiguous().numpy(), self._index.nlist
        # few queries share the work on each, many are shared out
        self._index.parallel_mode = int(len(queries) < faiss.omp_get_max_threads())
        probed, options = min(total, self._probed()), {}
        if int(mask.count_nonzero()) < len(self):
            bits = np.packbits(mask.numpy(), bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(bits)
        while True:
            searching = faiss.SearchParametersIVF(nprobe=probed, **options)
            scores, slots = self._index.search(asked, k, params=searching)
            if probed == total or (slots >= 0).all():
                return in_order(torch.from_numpy(scores), torch.from_numpy(slots))
            probed = min(total, WIDER * probed)

    def _probed(self) -> int:
        """How many lists a query is compared with."""
        return math.ceil(self._index.nlist * min(1.0, max(COMPARED, LEAST_COMPARED / len(self))))

    def _find_lists(self) -> None:
        """Moves the keys into as many lists as there should be, around centres that fit them."""
        count = int(self._index.ntotal)
        every = max(1, count // (SAMPLE_A_LIST * max(1, round(count**0.5))))
        sample = np.concatenate([self._list(number)[1][::every] for number in range(self._index.nlist)])
        self._move(lambda: self._lay_out(sample.astype(np.float32), count))

    def _lay_out(self, sample: np.ndarray, count: int) -> None:
        """Begins with an empty index for so many keys like those of a sample [N, K]."""
        self._index, self._found_for = self._empty(self._centres_for(sample, count)), count

    def _centres_for(self, sample: np.ndarray, count: int) -> np.ndarray:
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
        found.train(sample[:: max(1, len(sample) // (SAMPLE_A_LIST * number))])
        return found.centroids

    def _move(self, begin: Callable[[], None]) -> None:
        """Moves the keys, list by list, from this index into one that `begin` puts in its place."""
        before = object.__new__(type(self))
        before.__dict__.update(self.__dict__)
        begin()
        for number in range(before._index.nlist):
            slots, keys = before._list(number)
            if len(slots):
                self._index.add_with_ids(keys.astype(np.float32), slots.copy())


@STORES.register("faiss")
class FaissStore(FaissLists):
    """Lists of keys around centres, in an index of faiss: a query is compared with the keys of the nearest lists.

    Keys are added and removed one by one, and rounded to half precision. The centres are found again, at the next
    search, when there are four times as many keys.

    Source: Douze et al. 2024, [The Faiss library](https://arxiv.org/abs/2401.08281), section 5.1.

    Args:
        key_size: K.

    Raises:
        MissingExtraError: faiss is not installed.
    """

    needs = ("faiss", "the store 'faiss'", "faiss")


@functools.cache
def _use_one_thread_in_children(faiss: Any) -> None:
    """A forked process has none of the threads that OpenMP knows of, and would wait for them forever."""
    if hasattr(os, "register_at_fork"):  # where processes are forked at all
        os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))
