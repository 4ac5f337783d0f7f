"""A model with a memory that fits its encoder."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ..cards import MANNModelCardData, TrainingRecord
from ..errors import EncoderMismatchError, InvalidInputError
from ..persistent import memory_files
from ..persistent.entries import Label, label_names, label_words, lack_texts
from ..persistent.holder import MemoryHolder
from ..persistent.labelled_memory import LabelledMemory
from ..targets.kinds import targets_of
from ..wording import listed
from . import adapter_base, base_weights
from .adapter_switches import active_adapters_on, enable_all
from .encoding import EncodingModel, same_keys

Model = TypeVar("Model", bound="MemoryKeepingModel")


class _Look(NamedTuple):
    """Outcome of the last comparison of an encoder with the memory.

    Attributes:
        probe: of the memory.
        mark: of the weights.
        adapters: the names of those that were on.
        fits: whether the encoder had written the memory.
    """

    probe: Tensor | None
    mark: base_weights.Mark
    adapters: tuple[str, ...]
    fits: bool


class MemoryKeepingModel(EncodingModel):
    """Keeps the model's memory consistent with its encoder.

    `config.id2label` follows the memory. While another thread writes, the labels of an answer are those of the memory
    that was read (`ready_memory().memory.labels`).

    Attributes:
        model_card_data: what the model card says beyond weights and memory.
        loaded_training: the record of training with which the model was loaded.
        seen_memories: the digest of the memory in each folder that the model was loaded from or saved to.
    """

    _holder: MemoryHolder
    model_card_data: MANNModelCardData
    loaded_training: TrainingRecord | None
    seen_memories: dict[str, str | None]
    _last_look: _Look | None = None
    _trained_on: Tensor | None = None  # the probe of the memory that a training last read

    @property
    def memory(self) -> LabelledMemory:
        """The model's memory, an immutable value; each write replaces it by a new one."""
        return self._holder.memory

    def extra_repr(self) -> str:
        """What the memory holds, in one line of `repr(model)`."""
        holder = self.__dict__.get("_holder")
        return "" if holder is None else f"memory: {holder.memory.summary}"

    def __getstate__(self) -> dict[str, Any]:
        """For a pickle or copy: the memory and the labels in the configuration are of one moment."""
        with self._holder.unchanged():
            return {**self.__dict__, "config": copy.copy(self.config), "_holder": self._holder.branch()}

    def unchanged_memory(self) -> AbstractContextManager[None]:
        """Keeps other threads from writing to the memory while the block runs."""
        return self._holder.unchanged()

    def with_own_memory(self: Model) -> Model:
        """A model that shares these weights and has its own copy of the memory and labels.

        The weights are not copied, so each user of a service can have such a model.
        """
        model = copy.copy(self)  # with a configuration and a holder of its own
        for name in ("_parameters", "_buffers", "_modules"):  # or what is set on one would be set on both
            setattr(model, name, getattr(self, name).copy())
        return model

    def name_keys(
        self, labels: Iterable[Label], tokenizer: Any, known: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The keys [K] of the words of labels, for labels that have words.

        Args:
            labels: of examples.
            tokenizer: of the encoder.
            known: keys that need not be encoded again.
        """
        if not self.config.label_names:
            return {}
        known = known or {}
        names = dict.fromkeys(name for label in labels for name in label_names(label))
        words = {name: text for name in names if name not in known and (text := label_words(name)) is not None}
        keys = {name: known[name] for name in names if name in known}
        if words:
            keys |= zip(words, self.embed_texts(tokenizer, list(words.values())), strict=True)
        return keys

    def reencode_memory(self, tokenizer: Any = None) -> None:
        """Computes the keys of the memory again from its texts, after the encoder was trained.

        Args:
            tokenizer: the encoder's tokenizer; by default that of `load_tokenizer`.

        Raises:
            InvalidInputError: the memory keeps no texts. It stays as it was.
        """
        if len(self.memory):
            tokenizer = tokenizer or self.load_tokenizer()
            self._swap(lambda memory: (self._reencoded(memory, tokenizer), None))

    @contextmanager
    def memory_set_aside(
        self, find_tokenizer: Callable[[], Any], encoding: Callable[[], AbstractContextManager] = nullcontext
    ) -> Iterator[None]:
        """Empties the memory while the encoder changes, and computes its keys again afterwards.

        Args:
            find_tokenizer: gives the encoder's tokenizer.
            encoding: gives a context in which the encoder can be called.
        """
        kept = self.memory
        if not len(kept):
            yield
            return
        self._swap(lambda _: (self._empty_memory(), None))
        try:
            yield
        finally:
            with encoding():
                self._swap(lambda _: (self._reencoded(kept, find_tokenizer()), None))

    def _reencoded(self, memory: LabelledMemory, tokenizer: Any) -> LabelledMemory:
        texts = [entry.text for entry in memory.entries]
        if lack_texts(memory.entries):
            raise InvalidInputError(
                "the memory keeps no texts (store_texts=False), so its keys cannot be computed again."
            )
        fresh = self._stamped(self._empty_memory(), self.encoder_probe())
        if fresh.targets is not memory.targets:
            return memory  # refused with both named when it is taken
        keys = self.embed_texts(tokenizer, [text for text in texts if text is not None])
        words = self.name_keys([entry.label for entry in memory.entries], tokenizer)
        filled, _ = fresh.remember(
            keys, [e.label for e in memory.entries], texts, [e.kind for e in memory.entries], words
        )
        return filled.with_counts_of(memory.to(self.device))

    def _take_file(self, path: Path, source: str, find_tokenizer: Callable[[], Any] | None) -> None:
        """Swaps in the memory of a file, written again from its texts where there is a tokenizer for that."""
        if find_tokenizer is not None:
            self._take(self._reencoded(memory_files.load_memory(path), find_tokenizer()), source)
            return

        def check(encoder_name: str | None, key_size: int) -> None:
            if key_size != self.config.key_size:
                raise self._mismatch(encoder_name, key_size, source)

        self._take(memory_files.load_memory(path, check), source)

    def _take(self, memory: LabelledMemory, source: str) -> None:
        """Swaps in a memory that fits this model.

        Raises:
            InvalidInputError: it is of another problem.
            EncoderMismatchError: it was written by another encoder.
        """
        mine = self._empty_memory()
        if memory.targets is not mine.targets:
            raise InvalidInputError(
                f"the memory {source} is for problem_type={memory.problem_type!r}, and this model for "
                f"{mine.problem_type!r}."
            )
        if not memory.targets.named and memory.law.value_size != mine.law.value_size:
            raise InvalidInputError(
                f"the memory {source} holds {memory.law.value_size} numbers for each text, and this model predicts "
                f"{mine.law.value_size} (num_labels)."
            )
        self._check_encoder(memory, self.encoder_probe(), source)
        try:
            memory = memory.with_law(mine.law, self.config.label_names)
        except InvalidInputError as error:
            raise InvalidInputError(
                f"the memory {source} does not fit this model: {error} Give the model a larger capacity, or load with "
                "reencode=True, which drops examples as teaching does."
            ) from None
        if not self.config.store_texts:
            memory = replace(memory, entries=tuple(entry._replace(text=None) for entry in memory.entries))
        memory = replace(memory, adapters=active_adapters_on(self)).to(self.device)
        self._note_weights(memory.probe)
        self._swap(lambda _: (memory, None), forgets=True)

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """Puts an adapter on the encoder; see `PreTrainedModel.add_adapter`.

        Raises:
            InvalidInputError: its initialisation changes the encoder in a way that loading cannot repeat.
        """
        with adapter_base.noting_base(self, adapter_name or "default", adapter_config):
            super().add_adapter(adapter_config, adapter_name)

    def enable_adapters(self) -> None:
        """Switches the adapters on again; see `PreTrainedModel.enable_adapters`."""
        super().enable_adapters()
        enable_all(self)

    def check_memory(self, weights: bool = True) -> None:
        """Refuses a memory whose keys are not those that the encoder gives now, with its adapters and weights.

        A question pays for a look at the weights; the encoder is called only if they or the adapters have changed.

        Args:
            weights: whether to look at the weights, and not at the adapters alone.

        Raises:
            EncoderMismatchError: they are not.
        """
        memory, on = self.memory, active_adapters_on(self)
        if not len(memory) or torch.compiler.is_compiling():
            return
        if not weights and memory.adapters == on:
            return
        now, last = base_weights.mark(self.encoder, self.projection), self._last_look
        if last is None or last.probe is not memory.probe or last.adapters != on or not last.mark.same(now):
            last = self._last_look = _Look(memory.probe, now, on, self.wrote(memory))
        if not last.fits:
            encoder = self.config.encoder_name or self.config.encoder_config.model_type
            raise EncoderMismatchError(why_old(memory, on), encoder, encoder)
        if memory.adapters != on:
            self._swap(lambda held: (replace(held, adapters=on) if held is memory else held, None))

    def wrote(self, memory: LabelledMemory, probe: Tensor | None = None) -> bool:
        """Whether a memory's keys are those of this encoder as it is now, as far as the memory tells.

        Args:
            memory: with keys of this size.
            probe: `encoder_probe`, if it is known.
        """
        if memory.probe is None:
            return True
        return same_keys(memory.probe, self.encoder_probe() if probe is None else probe)

    def _note_weights(self, probe: Tensor | None) -> None:
        """Notes that the weights are those of a memory with this probe."""
        now = base_weights.mark(self.encoder, self.projection)
        self._last_look = _Look(probe, now, active_adapters_on(self), True)

    def _check_encoder(self, memory: LabelledMemory, probe: Tensor, source: str) -> None:
        if memory.law.key_size != self.config.key_size or not self.wrote(memory, probe):
            raise self._mismatch(memory.encoder_name, memory.law.key_size, source)

    def _mismatch(self, encoder_name: str | None, key_size: int, source: str) -> EncoderMismatchError:
        here = self.config.encoder_name or self.config.encoder_config.model_type
        theirs = encoder_name or "an encoder without a name"
        if encoder_name != self.config.encoder_name or key_size != self.config.key_size:
            difference = "another model"
        elif encoder_name is not None:
            difference = "with other weights"
        else:
            difference = "with other weights or of another type"  # a memory does not tell the type
        return EncoderMismatchError(
            f"the memory {source} was written by {theirs!r} (key size {key_size}), this model's encoder "
            f"is {here!r} (key size {self.config.key_size}, {difference}): keys of one mean nothing to the "
            "other. model.reencode_memory() writes the model's own memory again from its texts, once it was quantised "
            "or trained; from_pretrained(folder, reencode=True) and load_memory(folder, reencode=True) a saved one.",
            theirs,
            here,
        )

    def _stamped(self, memory: LabelledMemory, probe: Tensor) -> LabelledMemory:
        """The memory with the mark of the encoder that is about to write it."""
        name, on = self.config.encoder_name, active_adapters_on(self)
        self._note_weights(probe)
        return replace(memory, probe=probe, encoder_name=name, adapters=on)

    def _swap(self, change: Callable[[LabelledMemory], tuple[LabelledMemory, Any]], forgets: bool = False) -> Any:
        """Updates the memory and, after it, the labels in the configuration.

        Args:
            change: from the memory to the new one and a result.
            forgets: whether this process keeps nothing of the memory before.
        """

        def follow(before: LabelledMemory, memory: LabelledMemory) -> None:
            if memory.labels == before.labels:
                return
            names = [*memory.labels]
            if len(names) < 2 and memory.targets.exclusive:
                # with one label alone transformers would take a sigmoid for the score, not a softmax
                numbered = (f"LABEL_{number}" for number in count(len(names)))
                names += islice((name for name in numbered if name not in memory.labels), 2 - len(names))
            self.config.id2label = dict(enumerate(names))
            self.config.label2id = {label: number for number, label in enumerate(names)}

        return self._holder.update(change, follow, forgets)

    def _empty_memory(self) -> LabelledMemory:
        config, device = self.config, self.device
        targets = targets_of(config.problem_type)
        return LabelledMemory.empty(
            config.key_size,
            targets.name,
            targets.value_size(config.num_labels),
            config.capacity,
            config.eviction,
            torch.device("cpu") if device.type == "meta" else device,  # a model is loaded on the meta device
        )

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> Any:
        result = super()._apply(fn, *args, **kwargs)
        holder = self.__dict__.get("_holder")
        if holder is not None:  # the memory moves with the weights, but stays in float32
            device = next(self.parameters()).device
            if device.type != "meta" and device != holder.memory.state.keys.device:
                holder.update(lambda memory: (memory.to(device), None))
        return result


def why_old(memory: LabelledMemory, on: tuple[str, ...]) -> str:
    """What is wrong with a memory that the encoder of before wrote, and what helps.

    Args:
        memory: whose probe is another than that of the encoder.
        on: the names of the adapters that are on the encoder now.
    """
    reencode = "write the memory again from its texts with reencode_memory()"
    cure = "teach the memory again, as it keeps no texts" if lack_texts(memory.entries) else reencode
    if memory.adapters != on:
        return (
            f"the memory was written with {_named(memory.adapters)}, and now the encoder has {_named(on)}: keys of one "
            "mean nothing to the other. Switch back (enable_adapters, disable_adapters, set_adapter), or "
            f"{cure}."
        )
    return (
        "the encoder was trained, quantised or changed in another way after its memory was taught, so the keys in the "
        f"memory are not those that it would give now: {cure}."
    )


def _named(adapters_on: tuple[str, ...]) -> str:
    return f"the adapter {listed(map(repr, adapters_on))}" if adapters_on else "no adapter"
