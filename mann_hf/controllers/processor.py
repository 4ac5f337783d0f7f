"""Processors: they turn what a user gives, such as texts, into the tensors that an encoder reads."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from ..wording import at_least


def digest_of(numbers: Any) -> str:
    """What identifies an array or tensor: its numbers, their type and its shape."""
    array = np.ascontiguousarray(numbers)
    digest = hashlib.blake2b(f"{array.dtype} {array.shape} ".encode(), digest_size=16)
    digest.update(array.tobytes())
    return f"blake2b:{digest.hexdigest()}"


def is_digest(content: str) -> bool:
    """Whether a text is what `digest_of` gives."""
    return re.fullmatch("blake2b:[0-9a-f]{32}", content) is not None


class InputProcessor(ABC):
    """Turns inputs of one modality into tensors; pipeline, trainer and shell share it.

    A model speaks tensors alone. Between a user's input and those stand, in this order, `check`, `encode` and, for a
    batch of like size, `collate`.

    Attributes:
        noun: what one input is called in messages.
        pads: whether inputs differ in size and are padded in a batch, so that those of like size go together.
        batch_size: inputs in a batch if nothing else is asked for.
        file: of what is loaded for the inputs, which errors name.
        files: that `save_pretrained` may write, and that do not outlive a save that writes others.
    """

    noun: ClassVar[str]
    pads: ClassVar[bool] = False
    batch_size: ClassVar[int] = 32
    file: ClassVar[str] = "config.json"
    files: ClassVar[tuple[str, ...]] = ()

    def is_one(self, inputs: Any) -> bool:
        """Whether it is meant as one input, and not as several."""
        return isinstance(inputs, str)

    @abstractmethod
    def check(self, inputs: Any) -> list[Any]:
        """The inputs as a list in one form, one input as a list of one.

        Raises:
            InvalidTypeError: something that is no such input.
            InvalidInputError: one that is empty or damaged.
        """

    def check_part(self, inputs: Any, start: int | None) -> list[Any]:
        """As `check`, for a part of many inputs; by default errors count from its beginning.

        Args:
            inputs: a list.
            start: the place of the first in what the user gave, from which errors count; None where it is not known,
                and they name none.
        """
        return self.check(inputs)

    def contents(self, inputs: Sequence[Any]) -> list[str | None]:
        """What identifies each input in a memory: a text itself, of others a digest; None for nothing.

        By default it is a digest of arrays and tensors.

        Args:
            inputs: as `check` gives them.
        """
        return [digest_of(one) if isinstance(one, np.ndarray | Tensor) else None for one in inputs]

    def stored(self, inputs: Sequence[Any]) -> list[bytes | None]:
        """Each input as a small file, for memories that keep their inputs; None for one that cannot be kept.

        Args:
            inputs: as `check` gives them.
        """
        return [None] * len(inputs)

    def restored(self, content: str | None, stored: bytes | None) -> Any:
        """The input of an entry, as `check` takes it; None where the entry does not hold it.

        Args:
            content: what `contents` gave.
            stored: what `stored` gave.

        Raises:
            InvalidInputError: it is none; a stranger may have stored it.
        """
        return None

    def encode(self, inputs: Sequence[Any]) -> list[Any]:
        """What is made of each input by itself, before batches; by default nothing.

        Args:
            inputs: as `check` gives them.
        """
        return list(inputs)

    def batches(self, encodings: Sequence[Any], batch_size: int | None = None) -> list[list[int]]:
        """The positions of inputs, cut into batches; each position is in exactly one.

        Args:
            encodings: what `encode` gives.
            batch_size: inputs in a batch; by default what is fast.

        Raises:
            InvalidInputError: `batch_size` is no positive whole number.
        """
        size = self.batch_size if batch_size is None else at_least("batch_size", batch_size)
        rows = range(len(encodings))
        return [list(rows[start : start + size]) for start in range(0, len(rows), size)]

    @abstractmethod
    def collate(self, encodings: Sequence[Any], rows: Sequence[int]) -> dict[str, Tensor]:
        """The encoder's inputs [B, ...] for some of the inputs.

        Args:
            encodings: what `encode` gives.
            rows: B positions.
        """

    def phrase(self, words: str) -> str:
        """What stands for the words of a label: by default the words."""
        return words

    @property
    def words(self) -> "InputProcessor | None":
        """The processor that gives labels' words to the same encoder; None where it reads none."""
        return None

    @property
    def embed_options(self) -> dict[str, Any]:
        """Further arguments of `embed` that are the same for every batch."""
        return {}

    def save_pretrained(self, folder: Path) -> None:  # noqa: B027  # some have nothing to save
        """Writes what the processing class is loaded from again, as the model uses it."""
