"""The one reference to a model's lasting memory, swapped whole."""

import copy
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor
from transformers.utils import logging

from ..errors import EmptyMemoryError, InvalidInputError
from ..memory import STORES, Calibration, Reading, Solution, calibrate
from ..wording import counted
from .entries import name_id
from .forks import free, renew_in_children
from .labelled_memory import LabelledMemory
from .values import MemoryValue

logger = logging.get_logger(f"transformers.{__name__}")


class ReadyMemory(NamedTuple):
    """A memory with all that a read needs; threads that share one see the same memory.

    Attributes:
        memory: what is remembered.
        solution: what the reading prepared from it.
        calibration: by whose sharpness scores become calibrated logits.
    """

    memory: LabelledMemory
    solution: Solution
    calibration: Calibration

    @property
    def sharpness(self) -> Tensor:
        """By which scores become calibrated logits."""
        return self.calibration.sharpness


class Kept(NamedTuple):
    """What is kept of the last read for the next.

    Attributes:
        memory: of which it was made.
        solution: what the reading prepared from it, or a start for that.
        calibration: of it.
        reading: by which it is read.
        parameters: those that the reading had.
        ready: the memory, if it can be read as it is; not if something was forgotten since.
    """

    memory: LabelledMemory
    solution: Solution | None
    calibration: Calibration | None
    reading: Reading
    parameters: list[Tensor]
    ready: ReadyMemory | None


Value = TypeVar("Value", bound=MemoryValue)


class Holder(Generic[Value]):
    """Holds a memory, of whatever kind, for threads that read and threads that write.

    Writers take turns; each swaps in a new memory at one stroke. A reader works with the memory that was there when it
    asked. A process may be forked off at any time: its holder has the memory of that moment, and none of its locks is
    held.

    Args:
        memory: what is held at first.
    """

    def __init__(self, memory: Value) -> None:
        self.memory = memory
        self._writing, self._swapping = threading.RLock(), threading.Lock()
        self._following: Callable[[], None] | None = None
        renew_in_children(self)

    def update(
        self,
        change: Callable[[Value], tuple[Value, Any]],
        then: Callable[[Value, Value], None] | None = None,
        forgets: bool = False,
    ) -> Any:
        """Swaps in the memory that `change` makes of the present one, and returns what else it returns.

        Args:
            change: from the memory to the new one and a result.
            then: called with the memory before and after, before another writer has its turn.
            forgets: whether no key and no text of the memory before is kept but those that the new one has.
        """
        with self._writing, torch.inference_mode(False):  # what is made in inference mode cannot be trained with later
            before = self.memory
            try:
                if then is not None:
                    self._following = lambda: then(before, self.memory)
                after, result = change(before)
                with self._swapping:
                    self.memory = after
                if forgets:
                    self._forget()
                if self._following is not None:
                    self._following()
            finally:
                self._following = None
            return result

    def _forget(self) -> None:
        """Lets go of what was made of memories before the present one; here there is nothing."""

    def unchanged(self) -> AbstractContextManager[Any]:
        """Keeps writers out, so that what belongs to a memory can be copied with it."""
        return self._writing

    def renew(self) -> None:
        """Goes on in a process that was forked off while other threads wrote or read."""
        self._writing, self._swapping = free(self._writing), threading.Lock()
        if self._following is not None:  # the memory may have been swapped, and what follows it not
            self._following()

    def branch(self) -> "Holder[Value]":
        """An independent holder of the present memory, with what was prepared for reads."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict) -> "Holder[Value]":
        return type(self)(self.memory)

    def __reduce__(self) -> tuple:
        return type(self), (self.memory,)


class MemoryHolder(Holder[LabelledMemory]):
    """Holds a memory of labelled examples, and what readings prepare of it.

    What a reading prepares is kept until the memory or the reading's parameters change.

    Args:
        memory: what is held at first.
        store: the name in `STORES` of what searches a large memory, for readings that take the nearest slots.
    """

    def __init__(self, memory: LabelledMemory, store: str = "exact") -> None:
        self._store, self._solving = store, threading.RLock()
        self._kept: Kept | None = None
        self._forgotten = 0
        super().__init__(memory)

    def _forget(self) -> None:  # what was made ready for reads holds the keys and texts of before
        self._forgotten += 1
        self._kept = None if self._kept is None else _without_forgotten(self._kept, self.memory)

    def renew(self) -> None:
        """Goes on in a process that was forked off while other threads wrote or read."""
        self._solving = free(self._solving)
        super().renew()

    def ready(self, reading: Reading) -> ReadyMemory:
        """The present memory, ready to be read.

        Raises:
            EmptyMemoryError: it holds nothing.
            InvalidInputError: its keys are none that anything can be compared with.
        """
        forgotten, memory = self._forgotten, self.memory
        if (ready := _ready(self._kept, memory, reading)) is not None:
            return ready
        with self._solving, torch.inference_mode(False), torch.no_grad():
            memory = self.memory  # another reader may have brought it into another form
            _check_answers(memory)
            if reading.nearest_by is not None:
                memory = self._for_search(memory)
            if (ready := _ready(kept := self._kept, memory, reading)) is not None:
                return ready
            parameters = [parameter.clone() for parameter in reading.parameters()]
            before = kept if kept is not None and _comparable(kept, memory, reading) else None
            with full_precision(memory.state.keys):
                state = memory.reading_state
                if memory.has_strange_keys:
                    raise InvalidInputError(
                        "the memory holds keys with NaN, infinity or numbers beyond all bounds, so there is no answer "
                        "from it; load it again, or compute its keys anew with reencode_memory()."
                    )
                by = reading.nearest_by
                search = None if by is None else memory.search(self._store, by)
                if search is None:
                    self._tell_not_searched(memory, reading)
                solution = reading.solve(state, start=before and before.solution, search=search)
                known, each = before and before.calibration, memory.examples_per_label
                calibration = calibrate(reading, state, memory.examples, before=known, per_label=each)
            ready = ReadyMemory(memory, solution, calibration)
            self._kept = Kept(memory, solution, calibration, reading, parameters, ready)
            if self._forgotten != forgotten:  # meanwhile, so this is not for later reads
                self._kept = None
            return ready

    def _for_search(self, memory: LabelledMemory) -> LabelledMemory:
        """The memory as a store can search it, which takes its place here, so that the next write goes on from it."""
        shared = memory.in_shared_slots()
        if shared is not memory:
            with self._swapping:
                if self.memory is memory:  # and nothing was written meanwhile
                    self.memory = shared
        return shared

    def _tell_not_searched(self, memory: LabelledMemory, reading: Reading) -> None:
        """Warns, once, where a large memory is compared whole although a store was asked for."""
        if STORES[self._store].compares_all:
            return
        why = memory.why_not_searched()
        if reading.nearest_by is None and memory.is_large_with(len(memory), len(memory.labels)):
            why = f"the reading {reading.name!r} reads every entry"
        if why is not None:
            logger.warning_once(
                f"the store {self._store!r} is not used for this memory, as {why}: questions are compared with every "
                "entry."
            )

    def branch(self) -> "MemoryHolder":
        """An independent holder of the present memory, with what was prepared for reads."""
        branch = MemoryHolder(self.memory, self._store)
        branch._kept = self._kept
        return branch

    def __deepcopy__(self, memo: dict) -> "MemoryHolder":
        return MemoryHolder(self.memory, self._store)

    def __reduce__(self) -> tuple:
        return MemoryHolder, (self.memory, self._store)


def _check_answers(memory: LabelledMemory) -> None:
    """Refuses a memory that nothing can be answered from."""
    if not len(memory):
        raise EmptyMemoryError(
            "the memory is empty: teach it with remember(inputs, labels), load one with load_memory(folder), or "
            "give a support and support_labels."
        )
    if not memory.labels and memory.targets.named:
        raise EmptyMemoryError(
            f"the memory holds {counted(len(memory), 'example')} of no label and none with one, so there is "
            "nothing to answer: teach it one that has a label."
        )


def full_precision(tensor: Tensor) -> torch.autocast:
    """Turns autocast off where a tensor is: it would round what is solved, and what is kept for later reads."""
    return torch.autocast(tensor.device.type, enabled=False)


def _ready(kept: Kept | None, memory: LabelledMemory, reading: Reading) -> ReadyMemory | None:
    """What was made ready of what this memory holds, with the parameters that the reading has now."""
    if kept is None or kept.ready is None or not kept.memory.same_contents(memory):
        return None
    return kept.ready if _has_parameters(reading, kept.parameters) else None


def _comparable(kept: Kept, now: LabelledMemory, reading: Reading) -> bool:
    """Whether work for what is kept can be saved now: the columns of the one are the first columns of the other."""
    before = kept.memory
    shared = min(len(before.labels), len(now.labels))
    same_place = before.state.keys.device == now.state.keys.device
    same_columns = before.labels[:shared] == now.labels[:shared] and len(before.labels) <= len(now.labels)
    return same_place and same_columns and _has_parameters(reading, kept.parameters)


def _has_parameters(reading: Reading, parameters: list[Tensor]) -> bool:
    return all(
        before.device == now.device and torch.equal(before, now)
        for before, now in zip(parameters, reading.parameters(), strict=True)
    )


@torch.no_grad()
def _without_forgotten(kept: Kept, memory: LabelledMemory) -> Kept | None:
    """What can be kept for the next read of a memory of which something was forgotten."""
    before, reading, solution = kept.memory, kept.reading, kept.solution
    if before.labels != memory.labels or before.state.keys.device != memory.state.keys.device:
        return None
    if solution is not None:
        with full_precision(memory.state.keys):
            solution = reading.without_forgotten(solution, memory.reading_state)
    calibration = kept.calibration if _holds_sample(memory, kept.calibration) else None
    return Kept(memory, solution, calibration, reading, kept.parameters, None)


def _holds_sample(memory: LabelledMemory, calibration: Calibration | None) -> bool:
    """Whether all entries, and labels' words, that a calibration was fitted on are in the memory."""
    if calibration is None or calibration.sample is None or calibration.examples is None:
        return False
    ids, known = calibration.sample.ids[0], memory.slot_by_id
    words = [id_ for id_ in ids[~calibration.examples].tolist() if id_ not in known]
    same_words = {*words} == {*map(name_id, memory.named_labels)}
    return same_words and all(id_ in known for id_ in ids[calibration.examples].tolist())
