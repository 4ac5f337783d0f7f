"""The lasting memory of a model of labelled examples: writing it, reading it, and what its labels ask for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.utils import logging

from ..cards import ModelFacts
from ..controllers.processor import InputProcessor
from ..errors import InvalidTypeError
from ..memory.reading import Reading
from ..persistent.entries import Example, Kind, Label, label_names, renamed
from ..persistent.evidence import Evidence, evidence_of, read_keys, used_entries, with_use
from ..persistent.holder import MemoryHolder, ReadyMemory
from ..persistent.labelled_memory import LabelledMemory
from ..persistent.refusals import checked_kinds, checked_names, checked_texts, examples_of, label_meant, parts_of
from ..targets import known_as, same_label
from ..targets.given import check_described, check_pairs, given_labels
from ..targets.kinds import targets_of
from ..targets.labels import plain
from ..targets.pairs import why_numbers_meet_names
from ..wording import shown
from . import card_files, memory_card
from .adapter_switches import active_adapters_on
from .configuration_mann import MANNConfig
from .episode_keys import check_keys, check_queries
from .memory_keys import check_inputs_read, keys_of_words, lack_inputs, reencoded, taken_over

logger = logging.get_logger(f"transformers.{__name__}")

if TYPE_CHECKING:  # what it is mixed in beside
    from .modeling_mann import MANNPreTrainedModel as Mixed
else:
    Mixed = object


class LabelledMemoryMixin(Mixed):
    """A lasting memory of labelled examples: a `LabelledMemory`.

    `config.id2label` follows it. While another thread writes, the labels of an answer are those of the memory that was
    read (`ready_memory().memory.labels`).
    """

    config: MANNConfig
    reading: Reading
    _holder: MemoryHolder

    @property
    def memory(self) -> LabelledMemory:
        """The model's memory, an immutable value; each write replaces it by a new one."""
        return self._holder.memory

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

    def reencoded(self, memory: LabelledMemory, processor: InputProcessor) -> LabelledMemory:
        """The memory with the keys that the encoder gives for its inputs now; see `MemoryMixin.reencoded`."""
        return reencoded(self, memory, processor)

    def lacks_inputs(self, memory: LabelledMemory) -> bool:
        """Whether the memory lacks some input of its entries."""
        return lack_inputs(self, memory)

    def check_inputs_read(self, memory: LabelledMemory, processor: InputProcessor) -> None:
        """Refuses a memory whose keys cannot be computed again; see `MemoryMixin.check_inputs_read`."""
        check_inputs_read(self, memory, processor)

    def taken_over(self, memory: LabelledMemory, source: str, processor: InputProcessor | None) -> LabelledMemory:
        """A memory that was loaded, as this model keeps it; see `MemoryMixin.taken_over`."""
        return taken_over(self, memory, source, processor)

    def as_saved_with(self, processor: InputProcessor | None) -> Any:
        """Beside a processor without a tokenizer one that stores no words, or none would load it.

        One whose memory holds the words of labels stays as it is: it needs them.
        """
        has_words = processor is None or processor.words is not None
        if has_words or not self.config.label_names or self.memory.names:
            return self
        own = self.with_own_memory()
        own.config.label_names = False
        return own

    def why_not_beside(self, fields: Mapping[str, Any], place: str) -> str | None:
        """Why the memory is none for a saved configuration; see `MemoryMixin.why_not_beside`."""
        why = super().why_not_beside(fields, place)
        if why is None and not self.memory.targets.is_of(fields.get("problem_type")):
            there = fields.get("problem_type") or targets_of(None).name
            return (
                f"the memory is for problem_type={self.memory.problem_type!r}, and the model in {place} for {there!r}."
            )
        return why

    def why_not_merged(self) -> str | None:
        """Why the memory cannot be put together with another; None where it can."""
        rules = self.memory.rules
        if rules.capacity is None or not rules.eviction.merges:
            return None
        return (
            f'with eviction="{rules.eviction_name}", which mixes examples in one slot, two memories cannot be put '
            "together. Load the folder again and teach your examples anew."
        )

    def memory_fields(self) -> dict[str, Any]:
        """The fields of the configuration that follow the memory: the names of the outputs."""
        return {"id2label": self.config.id2label, "label2id": self.config.label2id}

    def card_facts(self, place: str) -> ModelFacts:
        """Facts of the model for its card; see `MemoryMixin.card_facts`."""
        return card_files.model_facts(self, place)

    def loaded_by(self) -> str | None:
        """The expression that gives a model with this model's encoder; None where no one else can have it."""
        return memory_card.loading(self)

    def _follow(self, before: LabelledMemory, memory: LabelledMemory) -> None:
        if memory.labels != before.labels:
            self.config.set_labels(memory.labels)
