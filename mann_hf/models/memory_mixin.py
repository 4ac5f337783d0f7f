"""The lasting memory of a model: writing it, reading it, and keeping it in step with the encoder."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from transformers.utils import logging

from ..controllers.processor import InputProcessor
from ..errors import EncoderMismatchError, InvalidTypeError
from ..memory.reading import Reading
from ..persistent.entries import Example, Kind, Label, label_names, renamed
from ..persistent.evidence import Evidence, evidence_of, read_keys, used_entries, with_use
from ..persistent.fitting import EncoderIdentity, mismatch, same_keys, why_old
from ..persistent.holder import MemoryHolder, ReadyMemory
from ..persistent.labelled_memory import LabelledMemory
from ..persistent.refusals import checked_kinds, checked_names, checked_texts, examples_of, label_meant, parts_of
from ..targets import known_as, same_label
from ..targets.given import check_described, check_pairs, given_labels
from ..targets.kinds import targets_of
from ..targets.labels import plain
from ..targets.pairs import why_numbers_meet_names
from ..wording import shown
from .adapter_switches import active_adapters_on
from .configuration_mann import MANNConfig
from .embedding import Probe, last_probe
from .episode_keys import check_keys, check_queries
from .memory_keys import from_file, keys_of_words, lack_inputs, reencoded
from .set_aside import set_aside

logger = logging.get_logger(f"transformers.{__name__}")

Model = TypeVar("Model", bound="MemoryMixin")
if TYPE_CHECKING:  # what it is mixed into
    from transformers import PreTrainedModel as Mixed
else:
    Mixed = object


class MemoryMixin(Mixed):
    """A memory that lasts, beside an encoder whose keys it holds.

    The memory is separate from the weights: a `LabelledMemory`, replaced as a whole by each change. `config.id2label`
    follows it. While another thread writes, the labels of an answer are those of the memory that was read
    (`ready_memory().memory.labels`).
    """

    config: MANNConfig
    encoder: Any
    projection: nn.Module
    reading: Reading
    key_size: int
    encoder_probe: Callable[[], Tensor]
    processor: Callable[..., InputProcessor]
    _holder: MemoryHolder
    _last_probe: Probe | None = None
    _trained_on: Tensor | None = None  # the probe of the memory that a training last read

    @property
    def memory(self) -> LabelledMemory:
        """The model's memory, an immutable value; each write replaces it by a new one."""
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
        model = copy.copy(self)  # with a configuration and a holder of its own
        for name in ("_parameters", "_buffers", "_modules"):  # or what is set on one would be set on both
            setattr(model, name, getattr(self, name).copy())
        return model

    def ready_memory(self) -> ReadyMemory:
        """The present memory, ready for any number of reads; later writes do not change it.

        Raises:
            EmptyMemoryError: it holds nothing.
            EncoderMismatchError: its keys are not those that the encoder gives now, as it was trained or its adapters
                were switched since.
        """
        self.check_memory()
        return self._holder.ready(self.reading)

    def read(self, ready: ReadyMemory, keys: Tensor) -> Tensor:
        """Calibrated logits for keys: [Q, K] -> [Q, C].

        A query's key has the same logits by itself and among others, to the last bit: products are kept to whole
        vectors of the processor.

        Raises:
            InvalidTypeError: keys that are no tensor of floating-point numbers.
            InvalidInputError: keys of another shape, that are not finite, or beyond all bounds; or the reading's
                weights give no finite answer.
        """
        check_keys(self, keys, "Q")
        check_queries(keys)
        return read_keys(self.reading, ready, keys)

    def evidence(
        self, ready: ReadyMemory, keys: Tensor, logits: Tensor, columns: Tensor, most: int | None
    ) -> list[list[Evidence]]:
        """The stored entries behind outputs, with their weights.

        Weights and rest sum to the label's logit; with the reading `"attention"` to its score.

        Args:
            ready: the memory that the logits were read from.
            keys: [Q, K].
            logits: [Q, C].
            columns: [Q, R], the outputs to explain for each query; -1 at the end of a row for fewer than R.
            most: the largest number of slots to name for each output; None for all.

        Returns:
            For each query one for each of its outputs.
        """
        return evidence_of(self.reading, ready, keys, logits, columns, most)

    def record_use(self, ready: ReadyMemory, keys: Tensor, logits: Tensor) -> None:
        """Records each query's top entry as used, for an eviction rule that counts use."""
        rules = ready.memory.rules
        if rules.capacity is None or not rules.eviction.counts_use:
            return
        used = used_entries(self.reading, ready, keys, logits)
        self.update_memory(lambda memory: (with_use(memory, used), None))

    @torch.inference_mode(False)  # what is made in inference mode cannot be trained with later
    def remember(
        self,
        keys: Tensor,
        labels: Any,
        texts: Sequence[str | None] | None = None,
        kinds: Sequence[Kind] | None = None,
        names: Mapping[str, Tensor] | None = None,
    ) -> list[int]:
        """Writes examples to the model's own memory.

        Labels and texts are checked and spelled as those that the pipeline takes.

        ```python
        model.remember(keys, [Example("cat", digest, stored=png)])  # of an image that the memory keeps
        model.remember(keys, ["cat"])  # the same without what identifies the image, and without the image
        ```

        Args:
            keys: [N, K], from `embed` or `embed_inputs`.
            labels: N values of the class `Example`; or, as a shorthand for examples of few parts, N labels: names;
                lists of names for several labels, empty ones for examples that have none; numbers, or lists of them,
                for regression. What an example stores of its input is kept where the configuration has `store_inputs`.
            texts: what the keys stand for: texts, or what identifies other inputs; None for those that have nothing.
            kinds: `"example"` (the default) or `"description"` for each. Both are parts of an `Example`.
            names: the key [K] of the words of labels (see `name_keys`).

        Returns:
            The N ids, by which they are forgotten. Of an example that `eviction="kaiser"` merged into another's slot it
            is the id of that.

        Raises:
            InvalidTypeError: keys that are no tensor, or labels or texts of a type that there is not.
            InvalidInputError: keys that are not finite or do not fit, empty texts, unequal lengths. The memory stays as
                it was.
            EncoderMismatchError: the encoder has changed since the memory was written. The memory stays as it was.
        """
        check_keys(self, keys, "N")
        labels, texts, kinds, stored = parts_of(labels, texts, kinds)
        read = checked_texts(texts, len(keys))
        kinds = checked_kinds(kinds, len(keys))
        given = given_labels(labels, len(keys), 0, self.reading.targets, texts, noun=self.config.controller.noun)
        if self.config.controller.readable:  # of others the contents are no words
            check_pairs(read, given, self.reading.targets)
        check_described(label for label, kind in zip(given, kinds, strict=False) if kind == "description")
        kept = stored if self.config.store_inputs else None
        return self.remember_checked(keys, examples_of(given, read, kinds, keys, kept), checked_names(names))

    @torch.inference_mode(False)
    def remember_checked(self, keys: Tensor, examples: Sequence[Example], names: Mapping[str, Tensor]) -> list[int]:
        """Writes examples whose labels are spelled and whose texts are checked; see `remember`."""
        probe, on = self.known_probe(), active_adapters_on(self)
        keys = keys.detach().to(torch.float32, copy=True)
        words = {same_label(label): key.detach().to(torch.float32, copy=True) for label, key in names.items()}
        labels = [label_names(example.label) for example in examples]

        def change(memory: LabelledMemory) -> tuple[LabelledMemory, list[int]]:
            if len(memory):
                self.check_wrote(memory, "of this model", probe)
                memory = replace(memory, adapters=on)
            else:
                memory = self.stamped(memory, probe)
            known = known_as(chain(words, *labels), memory.labels)
            own = [example._replace(label=renamed(example.label, known)) for example in examples]
            named = {known[label]: key for label, key in words.items()}
            return memory.remember(keys, own, named, self.config.store_texts)

        why = why_numbers_meet_names(self.memory.labels, chain.from_iterable(labels))
        ids = self.update_memory(change)
        if why is not None:
            logger.warning(why)
        return ids

    def forget(self, ids: int | Sequence[int] | None = None, label: Any = None) -> None:
        """Removes entries from the model's memory, as if they had never been written.

        With a `capacity`, what gave way to them does not come back, and with `eviction="kaiser"` a slot goes with all
        that was merged into it. How often the others were used stays as it was counted: what the forgotten ones
        answered is not counted again for others.

        Args:
            ids: one id or several.
            label: removes every entry of this label; where examples have several labels, also those that have others
                besides.

        Raises:
            NotInMemoryError: an id or a label that is not there. The memory stays as it was.
            InvalidTypeError: ids that are no whole numbers, or several labels at once.
        """
        ids, label = plain(ids), plain(label)
        given = ids if ids is None or isinstance(ids, Iterable) else [ids]
        if isinstance(label, Iterable) and not isinstance(label, str):
            raise InvalidTypeError(
                f"label is {shown(label)}; forget one label at a time, as in: for label in [...]: forget(label=label)."
            )

        self.update_memory(lambda memory: (memory.forget(given, label_meant(label, memory.labels)), None), forgets=True)

    def name_keys(
        self, labels: Iterable[Label], processing_class: Any, known: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The keys [K] of the words of labels, for labels that have words; none where the encoder reads no words.

        Args:
            labels: of examples.
            processing_class: of the encoder: a tokenizer, or an `InputProcessor`.
            known: keys that need not be encoded again.
        """
        processor = self.processor(processing_class).words if self.config.label_names else None
        return {} if processor is None else keys_of_words(self, labels, processor, known or {})

    def reencode_memory(self, processing_class: Any = None) -> None:
        """Computes the keys of the memory again from its inputs, after the encoder was trained.

        Args:
            processing_class: the encoder's tokenizer, or an `InputProcessor`; by default that of the model.

        Raises:
            InvalidInputError: the memory keeps no inputs, or some that cannot be read. It stays as it was.
        """
        if len(self.memory):
            processor = self.processor(processing_class)
            self.update_memory(lambda memory: (reencoded(self, memory, processor), None))

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
            InvalidInputError: it is of another problem; or keeps no inputs, and is to be computed again.
            EncoderMismatchError: it was written by another encoder.
        """
        memory = from_file(self, path, source, processor)
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
            why = why_old(memory, on, lack_inputs(self, memory), own.noun)
            raise EncoderMismatchError(why, own.shown, own.shown)
        if memory.adapters != on:
            self.update_memory(lambda held: (replace(held, adapters=on) if held is memory else held, None))

    def wrote(self, memory: LabelledMemory) -> bool:
        """Whether a memory's keys are those of this encoder as it is now, as far as the memory's probe shows."""
        return memory.probe is None or same_keys(memory.probe, self.known_probe(fresh=True))

    def check_wrote(self, memory: LabelledMemory, source: str, probe: Tensor | None = None) -> None:
        """Refuses a memory that this encoder, as it is now, did not write."""
        fits = memory.rules.key_size == self.key_size
        if fits and memory.probe is not None:
            fits = same_keys(memory.probe, self.known_probe() if probe is None else probe)
        if not fits:
            raise mismatch(memory.encoder_name, memory.rules.key_size, self.identity, source)

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

    def stamped(self, memory: LabelledMemory, probe: Tensor) -> LabelledMemory:
        """The memory with probe, name and adapters of the encoder that is about to write it."""
        return replace(memory, probe=probe, encoder_name=self.config.encoder_name, adapters=active_adapters_on(self))

    def update_memory(
        self, change: Callable[[LabelledMemory], tuple[LabelledMemory, Any]], forgets: bool = False
    ) -> Any:
        """Replaces the memory, and names the configuration's outputs after its labels.

        Other writers wait. Reads go on with the memory that they began with.

        Args:
            change: from the memory to the new one and a result.
            forgets: whether this process is to keep nothing of the memory before.

        Returns:
            The result of `change`.
        """

        def follow(before: LabelledMemory, memory: LabelledMemory) -> None:
            if memory.labels != before.labels:
                self.config.set_labels(memory.labels)

        return self._holder.update(change, follow, forgets)

    def empty_memory(self) -> LabelledMemory:
        """A memory for this model that holds nothing."""
        config, device = self.config, self.device
        targets = targets_of(config.problem_type)
        return LabelledMemory.empty(
            self.key_size,
            targets.name,
            targets.value_size(config.num_labels),
            config.capacity,
            config.eviction,
            torch.device("cpu") if device.type == "meta" else device,  # a model is loaded on the meta device
        )

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> Any:
        result = super()._apply(fn, *args, **kwargs)
        holder = getattr(self, "_holder", None)
        if holder is not None:  # the memory moves with the weights, but stays in float32
            device = next(self.parameters()).device
            if device.type != "meta" and device != holder.memory.state.keys.device:
                holder.update(lambda memory: (memory.to(device), None))
        return result
