"""What is asked of any lasting memory, whatever it holds, and how each kind lies in files."""

from collections.abc import Callable, Iterable, Set
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from ..registry import Registry

Own = TypeVar("Own", bound="MemoryValue")

CheckEncoder = Callable[[str | None, int], None]
"""Called with the name and the key size of the encoder that wrote a memory, before the most of its file is read."""


class MemoryValue(Protocol):
    """The content of a model's lasting memory: an immutable value, of which every method returns a new one.

    It is a dataclass with the fields `probe`, `encoder_name` and `adapters`, which `dataclasses.replace` takes.
    """

    @property
    def probe(self) -> Tensor | None:
        """[P, K]: the encoder's keys for fixed inputs, which identify the encoder; None while nothing is held."""

    @property
    def encoder_name(self) -> str | None:
        """The name of the encoder that wrote the keys."""

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters that were on it then."""

    @property
    def key_size(self) -> int:
        """K, the size of keys."""

    @property
    def device(self) -> torch.device:
        """Where its tensors lie."""

    @property
    def summary(self) -> str:
        """What it holds, in a few words."""

    @property
    def ids(self) -> Set[int]:
        """The ids of its entries, by which they are forgotten."""

    @property
    def texts(self) -> Set[str]:
        """The texts that it keeps."""

    def __len__(self) -> int:
        """Number of entries."""

    def to(self: Own, device: torch.device | str) -> Own:
        """This memory on another device."""

    def forget(self: Own, ids: Iterable[Any] | None = None) -> Own:
        """This memory without some entries, as if they had never been written.

        Raises:
            NotInMemoryError: an id that is not there.
        """


class MemoryFormat(NamedTuple):
    """One kind of memory, and how its file is written and read.

    Attributes:
        kind: the class of its values.
        noun: what messages say that it holds, such as `"labelled examples"`.
        write: writes a memory into a folder that nobody reads yet: its file and, for people, `memory.json`.
        read: gives the memory of a file by its path, the version of its format, and, if its encoder is to be looked at
            first, a function for that. It raises built-in errors, or those of this library, where the file is not what
            `write` made; the file may be a stranger's.
        merge: of a memory that two processes began with, what one made of it, and what the other did: both together;
            None where memories of this kind cannot be put together.
    """

    kind: type
    noun: str
    write: Callable[[Any, Path], None]
    read: Callable[[Path, str, CheckEncoder | None], Any]
    merge: Callable[[Any, Any, Any], Any] | None = None


MEMORY_FORMATS: Registry[MemoryFormat] = Registry("format of a memory's file")
"""Every kind of memory by what stands before the version in the metadata `format` of its safetensors file."""


def format_of(memory: Any) -> MemoryFormat:
    """How a memory is written, by its class.

    Raises:
        TypeError: it is none of a kind in `MEMORY_FORMATS`.
    """
    for _, one in MEMORY_FORMATS.items():
        if isinstance(memory, one.kind):
            return one
    raise TypeError(f"{type(memory).__name__} is no kind of memory that has a file; register it in MEMORY_FORMATS.")
