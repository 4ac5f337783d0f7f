"""The protocol of memories: an explicit state that a step takes and returns."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from ..registry import Registry

State = TypeVar("State")


class Memory(ABC, Generic[State]):
    """A memory under a controller: what happens in one step, for B sequences or episodes side by side.

    It has no weights and keeps no state. A step takes named controls, which a controller's numbers are turned into
    by `controls`; so a step can be compared with its paper by itself, and any controller drives any memory through one
    linear layer of `control_size` outputs.

    Attributes:
        name: its name in `MEMORIES`.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def control_size(self) -> int:
        """How many numbers of a controller make the controls of a step."""

    @property
    @abstractmethod
    def read_size(self) -> int:
        """How many numbers a step reads."""

    @abstractmethod
    def initial_state(
        self, batch_size: int = 1, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """The state before the first step."""

    @abstractmethod
    def controls(self, numbers: Tensor) -> Any:
        """The named controls of a step, each in its range, from any numbers [B, `control_size`]."""

    @abstractmethod
    def step(self, controls: Any, state: State) -> tuple[Tensor, State]:
        """What is read, [B, `read_size`], and the state after it. The state that came in is unchanged."""


MEMORIES: Registry[type[Memory]] = Registry("memory")
