"""Processors: they turn what a user gives, such as texts, into the tensors that an encoder reads."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor


class InputProcessor(ABC):
    """Turns inputs of one modality into tensors; pipeline, trainer and shell share it.

    A model speaks tensors alone. Between a user's input and those stand, in this order, `check`, `encode` and, for a
    batch of like size, `collate`.

    Attributes:
        noun: what one input is called in messages.
    """

    noun: ClassVar[str]

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

    def contents(self, inputs: Sequence[Any]) -> list[str | None]:
        """What identifies each input in a memory: a text itself, of others a digest; None for nothing.

        Args:
            inputs: as `check` gives them.
        """
        return [None] * len(inputs)

    def restored(self, content: str) -> Any:
        """The input that a content stands for, as `check` takes it; None where the content does not hold it."""
        return None

    @abstractmethod
    def encode(self, inputs: Sequence[Any]) -> list[Any]:
        """What the encoder is given of each input, not yet in batches.

        Args:
            inputs: as `check` gives them.
        """

    @abstractmethod
    def batches(self, encodings: Sequence[Any], batch_size: int | None = None) -> list[list[int]]:
        """The positions of inputs, cut into batches of like size; each position is in exactly one.

        Args:
            encodings: what `encode` gives.
            batch_size: inputs in a batch; by default what is fast.
        """

    @abstractmethod
    def collate(self, encodings: Sequence[Any], rows: Sequence[int]) -> dict[str, Tensor]:
        """The encoder's inputs [B, ...] for some of the inputs.

        Args:
            encodings: what `encode` gives.
            rows: B positions.
        """

    @property
    def words(self) -> "InputProcessor | None":
        """The processor that gives labels' words to the same encoder; None where it reads none."""
        return None

    @property
    def embed_options(self) -> dict[str, Any]:
        """Further arguments of `embed` that are the same for every batch."""
        return {}

    @abstractmethod
    def save_pretrained(self, folder: Path) -> None:
        """Writes what `from_pretrained` of the Auto class reads again, as the model uses it."""
