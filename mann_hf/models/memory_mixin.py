"""The lasting memory of a model, whatever it holds: replacing it, and keeping it in step with the encoder."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from ..controllers.processor import InputProcessor
from ..errors import EncoderMismatchError, InvalidInputError
from ..persistent.fitting import EncoderIdentity, mismatch, same_keys, why_old
from ..persistent.holder import Holder
from ..persistent.memory_files import load_memory
from ..targets.labels import plain
from .adapter_switches import active_adapters_on
from .configuration_base import MANNBaseConfig, memory_config_of
from .embedding import Probe, last_probe
from .memory_card import published_as
from .set_aside import set_aside

Model = TypeVar("Model", bound="MemoryMixin")
if TYPE_CHECKING:  # what it is mixed into
    from transformers import PreTrainedModel as Mixed
else:
    Mixed = object


class MemoryMixin(Mixed):
    """A memory that lasts, beside an encoder whose keys it holds.

    The memory is separate from the weights: a `MemoryValue`, replaced as a whole by each change. Which kind of memory
    it is says `empty_memory`; what a kind asks for of its model are the methods from `empty_memory` to `_follow`.
    """

    config: MANNBaseConfig
    encoder: Any
    key_size: int
    encoder_probe: Callable[[], Tensor]
    processor: Callable[..., InputProcessor]
    _holder: Holder[Any]
    _last_probe: Probe | None = None
    _trained_on: Tensor | None = None  # the probe of the memory that a training last read

    @property
    def memory(self) -> Any:
        """The model's memory, an immutable `MemoryValue`; each write replaces it by a new one."""
        return self._holder.memory

    def extra_repr(self) -> str:
        """What the memory holds, in one line of `repr(model)`."""
        holder = getattr(self, "_holder", None)
        return "" if holder is None else f"memory: {holder.memory.summary}"

    def __getstate__(self) -> dict[str, Any]:
        """For a pickle or copy: the memory and the labels in the configuration are of one moment."""
        with self._holder.unchanged():
            return {**vars(self), "config": copy.copy(self.config), "_holder": self._holder.branch()}

    def unchanged_memory(self) -> AbstractContextManager[None]:
        """Keeps other threads from writing to the memory while the block runs."""
        return self._holder.unchanged()

    def with_own_memory(self: Model) -> Model:
        """A model of these very weights with a memory and labels of its own, as for one of many users."""
        with self.unchanged_memory():
            model = copy.copy(self)  # with a configuration and a holder of its own
            for name in ("_parameters", "_buffers", "_modules"):  # or what is set on one would be set on both
                setattr(model, name, getattr(self, name).copy())
        return model

    def reencode_memory(self, processing_class: Any = None) -> None:
        """Computes the keys of the memory again from its inputs, after the encoder was trained.

        Args:
            processing_class: the encoder's tokenizer, or an `InputProcessor`; by default that of the model.

        Raises:
            InvalidInputError: the memory keeps no inputs, or some that cannot be read. It stays as it was.
        """
        if len(self.memory):
            processor = self.processor(processing_class)
            self.update_memory(lambda memory: (self.reencoded(memory, processor), None))

    def memory_set_aside(
        self, processing_class: Any, encoding: Callable[[], AbstractContextManager] = nullcontext
    ) -> AbstractContextManager[None]:
        """Empties the memory while the encoder changes, and computes its keys again after it, within `encoding()`.

        Raises:
            InvalidInputError: its keys cannot be computed again. That is looked at before the block; where it shows
                only afterwards, the memory is there with the keys that it had.
        """
        return set_aside(self, processing_class, encoding)

    def take_memory(self, path: Path, source: str, processor: InputProcessor | None = None) -> None:
        """Replaces the memory by that of a file, whose keys are computed again if a processor is given.

        Raises:
            MemoryFileError: it is damaged.
            InvalidInputError: it is of another kind or problem; or keeps no inputs, and is to be computed again.
            EncoderMismatchError: it was written by another encoder.
        """

        def check(encoder_name: str | None, key_size: int) -> None:
            if key_size != self.key_size:
                raise mismatch(encoder_name, key_size, self.identity, source)

        loaded = load_memory(path, check if processor is None else None, type(self.memory))
        memory = self.taken_over(loaded, source, processor)
        self.update_memory(lambda _: (memory, None), forgets=True)

    def check_memory(self, weights: bool = True) -> None:
        """Refuses a memory whose keys are not those that the encoder gives now, with its adapters and weights.

        A question pays for a look at the weights; the encoder is called only if they or the adapters have changed.

        Args:
            weights: whether to look at the weights, and not at the adapters alone.
        """
        memory, on = self.memory, active_adapters_on(self)
        if not len(memory) or torch.compiler.is_compiling():
            return
        if not weights and memory.adapters == on:
            return
        if memory.probe is not None and not same_keys(memory.probe, self.known_probe()):
            own = self.identity
            why = why_old(memory, on, self.lacks_inputs(memory), own.noun)
            raise EncoderMismatchError(why, own.shown, own.shown)
        if memory.adapters != on:
            self.update_memory(lambda held: (replace(held, adapters=on) if held is memory else held, None))

    def wrote(self, memory: Any) -> bool:
        """Whether a memory's keys are those of this encoder as it is now, as far as the memory's probe shows."""
        return memory.probe is None or same_keys(memory.probe, self.known_probe(fresh=True))

    def check_wrote(self, memory: Any, source: str, probe: Tensor | None = None) -> None:
        """Refuses a memory that this encoder, as it is now, did not write."""
        fits = memory.key_size == self.key_size
        if fits and memory.probe is not None:
            fits = same_keys(memory.probe, self.known_probe() if probe is None else probe)
        if not fits:
            raise mismatch(memory.encoder_name, memory.key_size, self.identity, source)

    def known_probe(self, fresh: bool = False) -> Tensor:
        """`encoder_probe`, computed only if weights or adapters have changed since, or if `fresh`."""
        self._last_probe = probe = last_probe(self, None if fresh else self._last_probe)
        return probe.keys

    @property
    def identity(self) -> EncoderIdentity:
        """Name, type and key size of the encoder, by which errors name it."""
        config = self.config
        return EncoderIdentity(
            config.controller.noun, config.encoder_name, config.encoder_config.model_type, self.key_size
        )

    def stamped(self, memory: Any, probe: Tensor) -> Any:
        """The memory with probe, name and adapters of the encoder that is about to write it."""
        return replace(memory, probe=probe, encoder_name=self.config.encoder_name, adapters=active_adapters_on(self))

    def named(self, memory: Any, encoder_name: str | None) -> Any:
        """The memory under another name of the encoder that wrote it."""
        return replace(memory, encoder_name=encoder_name)

    def update_memory(self, change: Callable[[Any], tuple[Any, Any]], forgets: bool = False) -> Any:
        """Replaces the memory, and has the configuration follow it where it tells of it.

        Other writers wait. Reads go on with the memory that they began with.

        Args:
            change: from the memory to the new one and a result.
            forgets: whether this process is to keep nothing of the memory before.

        Returns:
            The result of `change`.
        """
        return self._holder.update(change, self._follow, forgets)

    def forget(self, ids: int | Sequence[int]) -> None:
        """Removes entries from the model's memory, as if they had never been written.

        Args:
            ids: one id or several.

        Raises:
            NotInMemoryError: an id that is not there. The memory stays as it was.
            InvalidTypeError: ids that are no whole numbers.
        """
        ids = plain(ids)
        given = ids if isinstance(ids, Iterable) else [ids]
        self.update_memory(lambda memory: (memory.forget(given), None), forgets=True)

    def empty_memory(self) -> Any:
        """A memory for this model that holds nothing, of the kind that this model has, on its device.

        While a model is loaded its device is the meta device, and the memory's the CPU.
        """
        raise NotImplementedError

    def reencoded(self, memory: Any, processor: InputProcessor) -> Any:
        """A memory with the keys that the encoder gives for its inputs now.

        Raises:
            InvalidInputError: the memory lacks inputs, or the processor cannot read some of them.
        """
        raise InvalidInputError(f"{type(self).__name__} cannot compute the keys of its memory again.")

    def files_beside_memory(self) -> Sequence[str]:
        """Names of the files beside that of the memory which save work where they are there, such as indexes."""
        return ()

    def lacks_inputs(self, memory: Any) -> bool:
        """Whether a memory lacks some input of its entries, so that not all keys can be computed again.

        By default every memory does that holds something.
        """
        return len(memory) > 0

    def check_inputs_read(self, memory: Any, processor: InputProcessor) -> None:
        """Refuses a memory whose keys `reencoded` could not compute.

        Raises:
            InvalidInputError: it lacks inputs, or the processor cannot read some of them.
        """
        if self.lacks_inputs(memory):
            noun = self.config.controller.noun
            raise InvalidInputError(f"the memory keeps no {noun}s, so its keys cannot be computed again.")

    def taken_over(self, memory: Any, source: str, processor: InputProcessor | None) -> Any:
        """A memory that was loaded, as this model keeps it; see `take_memory`.

        Args:
            memory: of the kind that this model has.
            source: where it lies, for errors.
            processor: computes its keys again; None to keep them.
        """
        if processor is not None:
            memory = self.reencoded(memory, processor)
        self.check_wrote(memory, source)
        return replace(memory, adapters=active_adapters_on(self)).to(self.device)

    def as_saved_with(self, processor: InputProcessor | None) -> Any:
        """The model as it is saved beside the files of a processor; by default as it is."""
        return self

    def why_not_beside(self, fields: Mapping[str, Any], place: str) -> str | None:
        """Why this model's memory is none for a saved configuration; None where that model can have it.

        Args:
            fields: of the configuration.
            place: where it lies, for the message.
        """
        kind = fields.get("model_type")
        if kind == self.config.model_type:
            return None
        has = "no memory" if memory_config_of(kind) is None else "another kind of memory"
        return f"{place} holds a model of type {kind!r}, which has {has}: push to another repository."

    def why_not_merged(self) -> str | None:
        """Why the memory cannot be put together with another of its kind; None where it can."""
        return None

    def memory_fields(self) -> dict[str, Any]:
        """The fields of the configuration that follow the memory."""
        return {}

    def card_facts(self, place: str) -> Any:
        """Facts of the model for its card, such as a `CardFacts`.

        Args:
            place: the repository or folder by which it is loaded.
        """
        raise NotImplementedError

    def loaded_by(self) -> str | None:
        """The expression that gives a model with this model's encoder, for the card of a memory that lies alone.

        None where no one else can have it, which is the default of models that were not loaded from the Hub.
        """
        return published_as(self)

    def _follow(self, before: Any, memory: Any) -> None:
        """Brings the configuration up to a memory that was swapped in; by default it says nothing of it."""

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> Any:
        result = super()._apply(fn, *args, **kwargs)
        holder = getattr(self, "_holder", None)
        if holder is not None:  # the memory moves with the weights, but keeps its precision
            device = next(self.parameters()).device
            if device.type != "meta" and device != holder.memory.device:
                holder.update(lambda memory: (memory.to(device), None))
        return result
