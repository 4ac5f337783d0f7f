"""The protocol of stores: where the keys of a large memory are searched for the nearest."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...errors import InvalidInputError
from ...registry import Registry

FORMAT, VERSION = "mann_hf.store", "1"

Own = TypeVar("Own", bound="Store")


class Store(ABC):
    """Keys by the numbers of their slots, searched for those of the largest inner products with a query.

    Unlike a state, a store is changed in place, at a cost that follows from what is added or removed. What was removed
    is found by no later search. It is used by one thread at a time.

    Args:
        key_size: K.

    Attributes:
        compares_all: whether a search compares a query with every key, as readings without a store do.
    """

    compares_all: ClassVar[bool] = False

    def __init__(self, key_size: int) -> None:
        self.key_size = key_size
        self.holds = torch.zeros(0, dtype=torch.bool)
        """[S'], which slots have a key here; S' is above the largest of them."""

    @classmethod  # noqa: B027  # most need nothing
    def check_installed(cls) -> None:
        """Looks whether the packages that it needs are installed, without importing them.

        Raises:
            MissingExtraError: one is not.
        """

    def prepare(self, sample: Tensor, count: int) -> None:  # noqa: B027  # most need nothing
        """Called before many keys are added to an empty store, so that it need not be laid out again as they come.

        Args:
            sample: [N, K], some of the keys, from all over them.
            count: how many there will be.
        """

    def __len__(self) -> int:
        return int(self.holds.count_nonzero())

    def add(self, slots: Tensor, keys: Tensor) -> None:
        """Adds the keys of N slots; a slot that has one gets the new one in its place.

        Args:
            slots: [N] whole numbers from 0 on, each once.
            keys: [N, K] finite numbers.

        Raises:
            InvalidInputError: shapes that do not fit, a number below 0 or twice, or keys that are not finite.
        """
        if keys.shape != (*slots.shape, self.key_size) or slots.dim() != 1:
            raise InvalidInputError(
                f"slots have the shape {list(slots.shape)} and keys {list(keys.shape)}; this store takes [N] and "
                f"[N, {self.key_size}]."
            )
        if len(slots) and (int(slots.min()) < 0 or len(slots.unique()) < len(slots)):
            raise InvalidInputError("slots must be numbers from 0 on, each of them once.")
        if not keys.isfinite().all():
            raise InvalidInputError("keys hold NaN or infinity, with which nothing can be compared.")
        if not len(slots):
            return
        self.remove(slots)
        beyond = int(slots.max()) + 1 - len(self.holds)
        if beyond > 0:
            self.holds = torch.nn.functional.pad(self.holds, (0, beyond))
        self._add(slots, keys.detach().float())
        self.holds[slots] = True

    def remove(self, slots: Tensor) -> None:
        """Removes the keys of some slots [N]; slots without one are passed over."""
        slots = slots[(slots >= 0) & (slots < len(self.holds))]
        slots = slots[self.holds[slots]].unique()
        if len(slots):
            self._remove(slots)
            self.holds[slots] = False

    def search(self, queries: Tensor, k: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Finds, for each query, slots whose keys have the largest inner products with it.

        Args:
            queries: [Q, K].
            k: slots to find for each query, at least 1. Where fewer may be returned, all of these are.
            mask: [S], the slots that may be returned; of those behind its end none may. All may when it is left out.

        Returns:
            `(scores, slots)`, each [Q, k]: the inner products, largest first, and the slots; of equal scores the lower
            slot comes first. An approximate store may miss some of the best slots, but never finds fewer.

        Raises:
            InvalidInputError: for k below 1, and queries of another shape.
        """
        if k < 1:
            raise InvalidInputError(f"k is {k}; ask for at least 1 slot.")
        if queries.dim() != 2 or queries.shape[1] != self.key_size:
            raise InvalidInputError(
                f"queries have the shape {list(queries.shape)}; this store takes [Q, {self.key_size}], a single one as "
                f"[1, {self.key_size}]."
            )
        shared = len(self.holds) if mask is None else min(len(mask), len(self.holds))
        open_to = self.holds[:shared] if mask is None else self.holds[:shared] & mask[:shared]
        k = min(k, int(open_to.count_nonzero()))
        if k == 0 or not len(queries):
            return queries.new_empty(len(queries), k), torch.empty(len(queries), k, dtype=torch.long)
        return self._search(queries.detach().float(), k, open_to)

    @abstractmethod
    def _add(self, slots: Tensor, keys: Tensor) -> None:
        """Adds N slots, of which none has a key here."""

    @abstractmethod
    def _remove(self, slots: Tensor) -> None:
        """Removes slots, which all have a key here."""

    @abstractmethod
    def _search(self, queries: Tensor, k: int, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As `search`, for at least one query and a mask [S] of at least k slots that have a key here."""

    @abstractmethod
    def parts(self) -> dict[str, Tensor]:
        """All that it holds, as tensors: the `slots` [N], and their `keys` [N, K] or what it keeps of them."""

    @classmethod
    def of_parts(cls: type[Own], parts: Mapping[str, Tensor]) -> Own:
        """The store that has these parts.

        Raises:
            InvalidInputError: a store could not have them.
        """
        store = cls(parts["keys"].shape[1])
        store.add(parts["slots"], parts["keys"])
        return store

    def save(self, file: str | os.PathLike) -> None:
        """Writes all of it to one safetensors file."""
        parts = {name: part.contiguous() for name, part in self.parts().items()}
        save_file(parts, file, metadata={"format": f"{FORMAT}/{VERSION}"})

    @classmethod
    def load(cls: type[Own], file: str | os.PathLike) -> Own:
        """The store in a file that `save` wrote; nothing in it is run.

        Raises:
            InvalidInputError: the file holds no such store.
        """
        try:
            with safe_open(file, framework="pt") as opened:
                written = (opened.metadata() or {}).get("format")
                if written == f"{FORMAT}/{VERSION}":
                    return cls.of_parts({name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118
        except FileNotFoundError:
            raise
        except (SafetensorError, InvalidInputError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise InvalidInputError(f"{file} is damaged, or holds no store: {error}") from error
        raise InvalidInputError(f"{file} has the format {written!r}; a store has {f'{FORMAT}/{VERSION}'!r}.")

    def __reduce__(self) -> tuple:
        return type(self).of_parts, (self.parts(),)


STORES: Registry[type[Store]] = Registry("store")
