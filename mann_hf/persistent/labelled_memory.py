"""A model's memory: the stored keys with what they stand for and their labels."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidInputError, NotInMemoryError
from ..memory import KeyValueMemory, KeyValueState
from ..memory.precision import strange
from ..memory.reading import Search
from ..memory.similarity import Similarity
from ..memory.state import slots_by_column, slots_of_columns
from ..targets.kinds import SINGLE_LABEL
from ..wording import counted
from . import large_memory, refusals
from .entries import Entry, Example, Label, ids_of, label_names, says_words_alone, words_entry
from .forks import renew_cached_properties_in_children
from .large_memory import Content
from .stored_entries import SlotById


@dataclass(frozen=True, repr=False)
class LabelledMemory(Content):
    """The content of a model's memory, as an immutable value: every method returns a new one.

    Labels are numbered in the order in which their first entry was written. The words of labels ("names") are kept
    apart from the entries: they are never evicted, and exist exactly as long as their label has an example.

    Attributes:
        rules: of writing and eviction.
        problem_type: whether labels are one name, several names or numbers.
        entries: what was taught, in the order of the slots.
        state: keys [1, S, K] and values [1, S, C] of the entries. In a large memory some slots are not in use: what was
            forgotten leaves one behind for a while, and labels' words lie between the entries.
        labels: the C labels in the order of the columns of the values; empty for regression.
        names: the key [K] of each label's words, for labels that have words.
        probe: [P, K], the encoder's keys for fixed inputs, which identify the encoder.
        encoder_name: the name of the encoder that wrote the keys.
        adapters: the names of the adapters that were on it then.
    """

    probe: Tensor | None = None
    encoder_name: str | None = None
    adapters: tuple[str, ...] = ()

    @classmethod
    def empty(
        cls,
        key_size: int,
        problem_type: str = SINGLE_LABEL,
        value_size: int = 0,
        capacity: int | None = None,
        eviction: str = "least_recently_used",
        device: torch.device | str | None = None,
    ) -> "LabelledMemory":
        """An empty memory. `value_size` is the number of targets of a regression."""
        rules = KeyValueMemory(key_size, value_size, capacity, eviction)
        return cls(rules, problem_type, (), rules.initial_state(1, device, torch.float32))

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"LabelledMemory({self.summary})"

    @property
    def summary(self) -> str:
        """What it holds, in a few words."""
        if not self.entries:
            return "empty"
        examples = int(self.examples.sum())
        kinds = {"example": examples, "description": len(self) - examples}
        held = " and ".join(counted(count, kind) for kind, count in kinds.items() if count)
        named, numbers = self.targets.named, counted(self.rules.value_size, "number")
        held += f" of {counted(len(self.labels), 'label')}" if named else f" with {numbers} each"
        if len(self.unlabelled):
            held += f", {len(self.unlabelled):,} without a label"
        return held if self.rules.capacity is None else f"{held}, at most {self.rules.capacity:,}"

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: a reader may add what is worked out from them while a copy is made."""
        own = self.together()
        return {each.name: getattr(own, each.name) for each in fields(own)}

    @property
    def key_size(self) -> int:
        """K, the size of keys."""
        return self.rules.key_size

    @property
    def device(self) -> torch.device:
        """Where its tensors lie."""
        return self.state.keys.device

    @property
    def ids(self) -> Set[int]:
        """The ids of its entries."""
        return self.slot_by_id.keys()

    @property
    def texts(self) -> Set[str]:
        """The texts that it keeps; of inputs that are none, what identifies them."""
        return {entry.text for entry in self.entries if entry.text}

    @cached_property
    def slot_by_id(self) -> Mapping[int, int]:
        """The slot of each entry by its id."""
        if self._stored is not None:
            return SlotById(self._stored)
        return {entry.id: slot for slot, entry in enumerate(self.entries)}

    @property
    def slots(self) -> Tensor:
        """[M], the slot of each entry."""
        stored = self._stored
        return torch.arange(len(self), device=self.state.keys.device) if stored is None else stored.slots

    def entry(self, slot: int) -> Entry:
        """The entry, or the label's words, in a slot of `reading_state`."""
        return self._stored.at(slot) if self._stored is not None else self.all_entries[slot]

    @cached_property
    def named_labels(self) -> tuple[str, ...]:
        """The labels whose words are read: not those of which a description says the same, so that it counts once."""
        described = self._descriptions() if self.names else ()
        twice = {name for entry in described if says_words_alone(entry) for name in label_names(entry.label)}
        return tuple(label for label in self.labels_with_words if label not in twice)

    def _descriptions(self) -> Iterable[Entry]:
        """The entries that are no examples."""
        if self._stored is None:
            return (entry for entry in self.entries if entry.kind != "example")
        return map(self._stored.at, (self._stored.used & ~self._stored.examples).nonzero()[:, 0].tolist())

    @cached_property
    def labels_with_words(self) -> tuple[str, ...]:
        """The labels whose words are kept: those with an example."""
        if not self.names:
            return ()
        if self._stored is not None:
            return tuple(label for label in self.labels if label in self.names)
        with_example = (self._are_examples.to(self.state.values.dtype) @ self.state.values[0] > 0).tolist()
        return tuple(label for label, has in zip(self.labels, with_example, strict=True) if has and label in self.names)

    @cached_property
    def all_entries(self) -> tuple[Entry, ...]:
        """The entries, then the labels' words."""
        return (*self.entries, *map(words_entry, self.named_labels))

    @cached_property
    def reading_state(self) -> KeyValueState:
        """The state that is read: the entries, then the labels' words, which in a large memory lie between them."""
        if not self.named_labels:
            return self.state
        if self._stored is not None:
            slots = torch.tensor([self._stored.name_slots[label] for label in self.named_labels])
            return self.state._replace(mask=self.state.mask.index_fill(1, slots, True))
        state = large_memory.with_words(
            self.state, {label: self.names[label] for label in self.named_labels}, self.labels
        )
        return state._replace(mask=state.mask | (torch.arange(state.slots, device=state.mask.device) >= len(self)))

    def search(self, store: str, similarity: Similarity) -> Search | None:
        """A search of `reading_state` by a store of `STORES`; None where the memory is small enough to compare all."""
        return None if self._stored is None else self._stored.search(store, similarity, self.reading_state.mask[0])

    @cached_property
    def examples(self) -> Tensor:
        """[S], which slots of `reading_state` hold examples."""
        if self._stored is not None:
            return self._stored.examples
        return torch.nn.functional.pad(self._are_examples, (0, len(self.named_labels)))

    @property
    def _are_examples(self) -> Tensor:
        return large_memory.are_examples(self.entries).to(self.state.keys.device)

    @cached_property
    def has_strange_keys(self) -> bool:
        """Whether some key is none that anything can be compared with."""
        return bool(strange(self.reading_state.keys).any()) if self._stored is None else self._stored.strange

    @property
    def examples_per_label(self) -> float | None:
        """How often a label was written, its words included, on average; None where that has to be counted."""
        return None if self._stored is None else self._stored.per_label(self.reading_state)

    @cached_property
    def unlabelled(self) -> Tensor:
        """[M], the slots of entries that have none of several labels."""
        if not self.targets.several:
            return torch.empty(0, dtype=torch.long, device=self.state.keys.device)
        return ((self.state.values[0] == 0).all(dim=1) & self.state.mask[0]).nonzero()[:, 0]

    @cached_property
    def _slots_by_column(self) -> dict[int, Tensor]:
        """A cache of `slots_of`, by column."""
        return {}

    def slots_of(self, columns: Sequence[int]) -> list[Tensor]:
        """The slots of `reading_state` that are stored under a label, for each label of some columns of the values."""
        new = [column for column in columns if column not in self._slots_by_column]
        self._slots_by_column.update(zip(new, self._found_slots(new), strict=True))
        return [self._slots_by_column[column] for column in columns]

    def _found_slots(self, columns: Sequence[int]) -> list[Tensor]:
        if self._stored is None or self._stored.columns is None:
            state = self.reading_state
            return [slots[state.mask[0, slots]] for slots in slots_by_column(state.values[0], columns)]
        return slots_of_columns(self._stored.columns, self.reading_state.mask[0], columns)

    def remember(
        self,
        keys: Tensor,
        examples: Sequence[Example],
        names: dict[str, Tensor] | None = None,
        store_texts: bool = True,
    ) -> tuple["LabelledMemory", list[int]]:
        """This memory with N more entries. An entry that is stored already counts once more and keeps its id.

        Args:
            keys: [N, K].
            examples: N examples.
            names: the key [K] of each new label's words.
            store_texts: whether the new memory keeps the texts; ids follow from them in any case.

        Returns:
            The new memory, and the N ids. With a capacity, an example that was merged into another slot has the id of
            that, and one may be evicted within the call, and its id be gone.

        Raises:
            InvalidInputError: keys that are not finite or do not fit, another number of them, or more than
                `MOST_VALUES` entries times labels.
            InvalidTypeError: labels that are no names where each example has one.
        """
        refusals.check_examples(keys, examples, self.problem_type)
        refusals.check_words(names or {}, self.rules.key_size)
        columns = dict.fromkeys([*self.labels, *(name for one in examples for name in label_names(one.label))])
        ids = ids_of(keys, examples)
        first = {id_: number for number, id_ in reversed(list(enumerate(ids)))}
        fresh = sorted(number for id_, number in first.items() if id_ not in self.slot_by_id)
        refusals.check_size(len(self) + len(fresh), len(columns))
        new = [
            Entry(ids[n], one.text if store_texts else None, one.label, one.kind, one.stored)
            for n, one in ((n, examples[n]) for n in fresh)
        ]
        keys = keys[torch.tensor(fresh).long().to(keys.device)]
        again = Counter(ids) - Counter(entry.id for entry in new)
        if self.is_large_with(len(self) + len(new), len(columns)):
            return self._remember_large(keys, new, tuple(columns), names or {}).taught_again(again), ids
        wider = self._with_columns(tuple(columns))
        values = wider.values_of([entry.label for entry in new])
        written = [entry.id for entry in new]
        state, slots = wider.rules.place(
            wider.state, keys[None].to(wider.state.keys), values[None], torch.tensor([written]).long()
        )
        place = dict(zip(written, slots[0].tolist(), strict=True))  # those that are merged have another's id
        memory = replace(wider, entries=(*self.entries, *new), state=state, names={**self.names, **(names or {})})
        if self.rules.capacity is None:
            memory = memory._with_names()
        else:
            by_id = {entry.id: entry for entry in memory.entries}
            memory = replace(memory, entries=tuple(by_id[id_] for id_ in state.ids[0].tolist()))._settled()
        memory = memory.taught_again(Counter(place.get(id_, id_) for id_ in again.elements()))
        return memory, [place.get(id_, id_) for id_ in ids]

    def taught_again(self, times: Mapping[int, int]) -> "LabelledMemory":
        """This memory with larger counts of some entries.

        Args:
            times: by id, how many times more an entry counts; ids that are gone are passed over.
        """
        again = {self.slot_by_id[id_]: count for id_, count in times.items() if count > 0 and id_ in self.slot_by_id}
        if not again:
            return self
        return replace(
            self, state=self.rules.count(self.state, torch.tensor([*again]), torch.tensor([*again.values()]))
        )

    def _remember_large(
        self, keys: Tensor, new: list[Entry], labels: tuple[str, ...], names: Mapping[str, Tensor]
    ) -> "LabelledMemory":
        """This memory with new entries and more labels."""
        rules, ids = self._rules_of(labels), torch.tensor([[entry.id for entry in new]]).long()
        values = self.targets.encode([entry.label for entry in new], labels, rules.value_size)
        slots = rules.new_slots(keys.detach()[None].to(self.state.keys), values[None], ids)
        return large_memory.remember(self, slots, new, labels, names)

    def forget(self, ids: Iterable[Any] | None = None, label: str | None = None) -> "LabelledMemory":
        """This memory without some entries, as if they had never been written.

        With a capacity, what gave way to them does not come back, and with them goes what was merged into their slots.

        Args:
            ids: the entries to remove.
            label: removes every entry with this label, alone or among others.

        Raises:
            NotInMemoryError: an id or a label that is not there.
            InvalidInputError: neither is given.
            InvalidTypeError: ids that are no whole numbers.
        """
        if ids is None and label is None:
            raise InvalidInputError("say what to forget: ids=[...] or label=...")
        gone = refusals.whole_numbers(ids)
        missing = [id_ for id_ in gone if id_ not in self.slot_by_id]
        if missing:
            raise NotInMemoryError(refusals.why_not_held(missing, self.named_labels, self.rules.capacity), missing)
        if label is not None:
            refusals.check_label(label, self.labels, self.problem_type)
            gone |= self._ids_under(label)
        if gone and self.is_large_with(len(self) - len(gone), len(self.labels)):
            return large_memory.forget(self, gone)
        memory = self.together()
        if gone:
            entries = tuple(entry for entry in memory.entries if entry.id not in gone)
            memory = replace(self, entries=entries, state=self.rules.forget(memory.state, torch.tensor(sorted(gone))))
        return memory._settled()

    def _ids_under(self, label: str) -> set[int]:
        """The ids of the entries of a label."""
        (slots,) = self.slots_of([self.labels.index(label)])
        slots = slots[slots < self.state.slots]  # without the label's words
        return set(self.state.ids[0, slots[self.state.mask[0, slots]]].tolist())

    def used(self, weights: Tensor) -> "LabelledMemory":
        """This memory with the usage that Q reads with the read weights [Q, S] leave."""
        return replace(self, state=self.rules.use(self.state, weights[None]))

    def same_contents(self, other: "LabelledMemory") -> bool:
        """Whether both hold the same, apart from how much entries were used."""
        return self is other or (
            self.entries is other.entries and self.state.keys is other.state.keys and self.names is other.names
        )

    def with_rules(self, rules: KeyValueMemory, with_names: bool) -> "LabelledMemory":
        """This memory with another capacity and eviction rule, with or without the words of labels.

        Raises:
            InvalidInputError: it holds more than that.
        """
        if rules.capacity is not None and len(self) > rules.capacity:
            raise InvalidInputError(f"it holds {counted(len(self), 'example')}, and capacity is {rules.capacity}.")
        return replace(self, rules=rules.with_value_size(self.rules.value_size), names=self.names if with_names else {})

    def values_of(self, labels: Sequence[Label]) -> Tensor:
        """The rows [N, V] that stand for labels: one-hot, multi-hot, or the numbers themselves."""
        return self.targets.encode(labels, self.labels, self.rules.value_size).to(self.state.keys.device)

    def to(self, device: torch.device | str) -> "LabelledMemory":
        """This memory on another device."""
        if self.state.keys.device == torch.device(device):
            return self
        own = self.together()
        return replace(
            own,
            state=own.state.to(device),
            names={label: key.to(device) for label, key in self.names.items()},
            probe=None if self.probe is None else self.probe.to(device),
        )

    def _settled(self) -> "LabelledMemory":
        """The same entries with the labels that they have, in order, and the words of those that have an example.

        Without an entry nothing is left, the mark of the encoder included.
        """
        if not self.entries:
            rules, size = self.rules, 0 if self.targets.named else self.rules.value_size
            device = self.state.keys.device
            return self.empty(rules.key_size, self.problem_type, size, rules.capacity, rules.eviction_name, device)
        in_order = dict.fromkeys(name for entry in self.entries for name in label_names(entry.label))
        return self._with_columns(tuple(in_order))._with_names()

    def _with_names(self) -> "LabelledMemory":
        """The same entries with the words of those labels alone that have an example."""
        if len(self.labels_with_words) == len(self.names):
            return self
        return replace(self, names={label: self.names[label] for label in self.labels_with_words})

    def _with_columns(self, labels: tuple[str, ...]) -> "LabelledMemory":
        """The same entries under a list of labels with more, fewer or reordered ones."""
        if not self.targets.named or labels == self.labels:
            return self
        old = {label: number for number, label in enumerate(self.labels)}
        values = self.state.values
        if labels[: len(self.labels)] == self.labels:
            values = torch.nn.functional.pad(values, (0, len(labels) - len(self.labels)))
        else:
            values = values[..., [old[label] for label in labels]]
        return replace(self, rules=self._rules_of(labels), labels=labels, state=self.state._replace(values=values))


renew_cached_properties_in_children(LabelledMemory)
