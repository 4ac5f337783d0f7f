"""The one reference to a model's lasting memory, swapped whole."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor

from ..errors import EmptyMemoryError
from ..memory import Reading, Solution, calibrated_sharpness
from .labelled_memory import LabelledMemory


class ReadyMemory(NamedTuple):
    """A memory with all that a read needs; threads that share one see the same memory.

    Attributes:
        memory: what is remembered.
        solution: what the reading prepared from it.
        sharpness: by which scores become calibrated logits.
    """

    memory: LabelledMemory
    solution: Solution
    sharpness: Tensor


class MemoryHolder:
    """Holds a memory for threads that read and threads that write.

    Writers take turns; each swaps in a new memory at one stroke. A reader works with the memory that was there when it
    asked. What a reading prepares is kept until the memory or the reading's parameters change.

    Args:
        memory: what is held at first.
    """

    def __init__(self, memory: LabelledMemory) -> None:
        self.memory = memory
        self._writing = threading.RLock()
        self._solving = threading.Lock()
        self._ready: tuple[ReadyMemory, list[Tensor]] | None = None

    def update(self, change: Callable[[LabelledMemory], tuple[LabelledMemory, Any]]) -> Any:
        """Swaps in the memory that `change` makes of the present one, and returns what else it returns."""
        with self._writing:
            self.memory, result = change(self.memory)
            return result

    def ready(self, reading: Reading) -> ReadyMemory:
        """The present memory, ready to be read.

        Raises:
            EmptyMemoryError: it holds nothing.
        """
        memory = self.memory
        if not len(memory):
            raise EmptyMemoryError(
                "the memory is empty: teach it with remember(texts, labels), load one with load_memory(folder), "
                "or give support_input_ids and support_labels."
            )
        kept = self._ready
        if _is_ready(kept, memory, reading):
            return kept[0]
        with self._solving, torch.inference_mode(False), torch.no_grad():
            kept = self._ready
            if _is_ready(kept, memory, reading):
                return kept[0]
            parameters = [parameter.clone() for parameter in reading.parameters()]
            start = kept[0].solution if kept is not None and _comparable(kept[0].memory, memory) else None
            solution = reading.solve(memory.reading_state, start=start)
            ready = ReadyMemory(memory, solution, calibrated_sharpness(reading, solution, memory.examples))
            self._ready = (ready, parameters)
            return ready

    def __deepcopy__(self, memo: dict) -> "MemoryHolder":
        return MemoryHolder(self.memory)

    def __reduce__(self) -> tuple:
        return MemoryHolder, (self.memory,)


def _is_ready(
    kept: tuple[ReadyMemory, list[Tensor]] | None, memory: LabelledMemory, reading: Reading
) -> TypeGuard[tuple[ReadyMemory, list[Tensor]]]:
    """Whether what is kept was made from what this memory holds, with the parameters that the reading has now."""
    if kept is None or not kept[0].memory.reads_like(memory):
        return False
    return all(
        before.device == now.device and torch.equal(before, now)
        for before, now in zip(kept[1], reading.parameters(), strict=True)
    )


def _comparable(before: LabelledMemory, now: LabelledMemory) -> bool:
    """Whether the columns of the one are the first columns of the other, so that a solve may start from it."""
    shared = min(len(before.labels), len(now.labels))
    same_place = before.state.keys.device == now.state.keys.device
    return same_place and before.labels[:shared] == now.labels[:shared] and len(before.labels) <= len(now.labels)
