"""A model's memory: the stored vectors with their texts and labels."""

import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidInputError, InvalidTypeError, NotInMemoryError
from ..memory import KeyValueMemory, KeyValueState
from ..memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from ..memory.state import concatenate, slots_by_column
from ..wording import counted, listed, near, shown
from .entries import Entry, Kind, Label, content_id, label_names, label_words, name_id
from .forks import renew_cached_properties_in_children

MOST_VALUES = 2**30
"""The most that entries times labels may be: the values are a table of both, here of 4 GiB."""


@dataclass(frozen=True, repr=False)
class LabelledMemory:
    """The content of a model's memory, as an immutable value: every method returns a new one.

    Labels are numbered in the order in which their first entry was written. The words of labels ("names") are kept
    apart from the entries: they are never evicted, and exist exactly as long as their label has an example.

    Attributes:
        law: the rules for writing and eviction.
        problem_type: whether labels are one name, several names or numbers.
        entries: the taught texts, in the order of the slots.
        state: keys [1, S, K] and values [1, S, C] of the entries.
        labels: the C labels in the order of the columns of the values; empty for regression.
        names: the key [K] of each label's words, for labels that have words.
        probe: [P, K], the encoder's keys for fixed inputs, which identify the encoder.
        encoder_name: the name of the encoder that wrote the keys.
        adapters: the names of the adapters that were on it then.
    """

    law: KeyValueMemory
    problem_type: str
    entries: tuple[Entry, ...]
    state: KeyValueState
    labels: tuple[str, ...] = ()
    names: dict[str, Tensor] = field(default_factory=dict)
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
        law = KeyValueMemory(key_size, value_size, capacity, eviction)
        return cls(law, problem_type, (), law.initial_state(1, device, torch.float32))

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"LabelledMemory({self.summary})"

    @property
    def summary(self) -> str:
        """What it holds, in a few words."""
        if not self.entries:
            return "empty"
        described = sum(entry.kind == "description" for entry in self.entries)
        parts = [counted(len(self) - described, "example")] if len(self) > described else []
        if described:
            parts.append(counted(described, "description"))
        held = " and ".join(parts)
        if self.problem_type == REGRESSION:
            held += f" with {counted(self.law.value_size, 'number')} each"
        else:
            held += f" of {counted(len(self.labels), 'label')}"
        if len(self.unlabelled):
            held += f", {len(self.unlabelled):,} without a label"
        return held if self.law.capacity is None else f"{held}, at most {self.law.capacity:,}"

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: a reader may add what is worked out from them while a copy is made."""
        return {attribute.name: getattr(self, attribute.name) for attribute in fields(self)}

    @cached_property
    def ids(self) -> dict[int, int]:
        """The slot of each entry by its id."""
        return {entry.id: slot for slot, entry in enumerate(self.entries)}

    @cached_property
    def _are_examples(self) -> Tensor:
        """[S], which entries are examples."""
        kinds = [entry.kind == "example" for entry in self.entries]
        return torch.tensor(kinds, dtype=torch.bool, device=self.state.keys.device)

    @cached_property
    def named_labels(self) -> tuple[str, ...]:
        """The labels whose words are in the memory."""
        if not self.names:
            return ()
        with_example = (self._are_examples.to(self.state.values.dtype) @ self.state.values[0] > 0).tolist()
        return tuple(label for label, has in zip(self.labels, with_example, strict=True) if has and label in self.names)

    @cached_property
    def all_entries(self) -> tuple[Entry, ...]:
        """The entries, then the labels' words, in the order of the slots of `reading_state`."""
        names = (Entry(name_id(label), label_words(label), label, "name") for label in self.named_labels)
        return (*self.entries, *names)

    @cached_property
    def reading_state(self) -> KeyValueState:
        """The state that is read: the entries, then the labels' words."""
        if not self.named_labels:
            return self.state
        columns = torch.tensor([self.labels.index(label) for label in self.named_labels], device=self.state.keys.device)
        law = KeyValueMemory(self.law.key_size, len(self.labels))
        names = law.write(
            law.initial_state(1, self.state.keys.device, self.state.keys.dtype),
            torch.stack([self.names[label] for label in self.named_labels])[None],
            torch.nn.functional.one_hot(columns, len(self.labels))[None].to(self.state.values.dtype),
            ids=torch.tensor([[name_id(label) for label in self.named_labels]], device=self.state.keys.device),
        )
        return concatenate(self.state, names)

    @cached_property
    def examples(self) -> Tensor:
        """[S], which slots of `reading_state` hold examples."""
        return torch.nn.functional.pad(self._are_examples, (0, len(self.named_labels)))

    @cached_property
    def unlabelled(self) -> Tensor:
        """[M], the slots of texts that have none of several labels."""
        without = [not label_names(entry.label) for entry in self.entries] if self.problem_type == MULTI_LABEL else []
        return torch.tensor(without, dtype=torch.bool, device=self.state.keys.device).nonzero()[:, 0]

    @cached_property
    def _slots_by_column(self) -> dict[int, Tensor]:
        """Those that have been asked for."""
        return {}

    def slots_of(self, columns: Sequence[int]) -> list[Tensor]:
        """For each of some columns the slots of `reading_state` that are stored under its label."""
        new = [column for column in columns if column not in self._slots_by_column]
        self._slots_by_column.update(zip(new, slots_by_column(self.reading_state.values[0], new), strict=True))
        return [self._slots_by_column[column] for column in columns]

    def remember(
        self,
        keys: Tensor,
        labels: Sequence[Label],
        texts: Sequence[str | None],
        kinds: Sequence[Kind],
        names: dict[str, Tensor] | None = None,
        store_texts: bool = True,
    ) -> tuple["LabelledMemory", list[int]]:
        """This memory with N more entries. An entry that is stored already counts once more and keeps its id.

        Args:
            keys: [N, K].
            labels: N labels.
            texts: N texts; None for entries that have none.
            kinds: N kinds.
            names: the key [K] of each new label's words.
            store_texts: whether the new memory keeps the texts; ids follow from them in any case.

        Returns:
            The new memory, and the N ids. With a capacity, an example that was merged into another slot has the id of
            that, and one may be evicted within the call, and its id be gone.

        Raises:
            InvalidInputError: keys that are not finite or do not fit, lists of different length, or more than
                `MOST_VALUES` entries times labels.
            InvalidTypeError: labels that are no names where each text has one.
        """
        if not len(keys) == len(labels) == len(texts) == len(kinds):
            raise InvalidInputError(
                f"{len(keys)} keys, {len(labels)} labels, {len(texts)} texts and {len(kinds)} kinds came; "
                "there must be one of each for every example."
            )
        if self.problem_type == SINGLE_LABEL and not all(isinstance(label, str) for label in labels):
            raise InvalidTypeError("labels must be names (str): this memory has one label for each text.")
        for name, key in (names or {}).items():
            if tuple(key.shape) != (self.law.key_size,) or not torch.isfinite(key).all():
                raise InvalidInputError(
                    f"the key of the words of {name!r} has the shape {tuple(key.shape)} or holds NaN or infinity; it "
                    f"must be {self.law.key_size} finite numbers."
                )
        columns = dict.fromkeys([*self.labels, *(name for label in labels for name in label_names(label))])
        ids = [
            content_id(kind, text if text is not None else _hexadecimal(key), label)
            for key, label, text, kind in zip(keys, labels, texts, kinds, strict=True)
        ]
        first = {id_: number for number, id_ in reversed(list(enumerate(ids)))}
        fresh = sorted(number for id_, number in first.items() if id_ not in self.ids)
        check_size(len(self) + len(fresh), len(columns))
        new = [Entry(ids[n], texts[n] if store_texts else None, labels[n], kinds[n]) for n in fresh]
        wider = self._with_columns(tuple(columns))
        values = wider.values_of([labels[n] for n in fresh])
        before = wider.state
        state, places = wider.law.place(
            before,
            keys[torch.tensor(fresh).long().to(keys.device)][None].to(before.keys),
            values[None],
            torch.tensor([[ids[n] for n in fresh]]).long(),
        )
        place = dict(zip((ids[n] for n in fresh), places[0].tolist(), strict=True))
        again = Counter(ids) - Counter(ids[n] for n in fresh)
        ids = [place.get(id_, id_) for id_ in ids]
        if again:
            slots = {id_: slot for slot, id_ in enumerate(state.ids[0].tolist())}
            times: dict[int, int] = {}
            for id_, count in again.items():
                slot = slots.get(place.get(id_, id_))
                if slot is not None:  # or it is evicted by now
                    times[slot] = times.get(slot, 0) + count
            state = wider.law.count(state, torch.tensor([*times]).long(), torch.tensor([*times.values()]).long())
        memory = replace(wider, entries=(*self.entries, *new), state=state, names={**self.names, **(names or {})})
        if self.law.capacity is None:
            return memory._with_names(), ids
        by_id = {entry.id: entry for entry in memory.entries}
        return replace(memory, entries=tuple(by_id[id_] for id_ in state.ids[0].tolist()))._settled(), ids

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
        wanted: list[Any] = [] if ids is None else [ids] if isinstance(ids, str) else list(ids)
        try:
            gone = {operator.index(id_) for id_ in wanted}
        except TypeError:
            hint = (
                " A label is forgotten with forget(label=...)." if any(isinstance(id_, str) for id_ in wanted) else ""
            )
            raise InvalidTypeError(
                f"ids are {shown(ids)}; give the whole numbers that remember() returned.{hint}"
            ) from None
        missing = [id_ for id_ in gone if id_ not in self.ids]
        if missing:
            names = {name_id(name): name for name in self.named_labels}
            hints = [
                f"{id_} is the name of the label {names[id_]!r}, which goes with its last example"
                for id_ in missing
                if id_ in names
            ]
            unknown = f"the memory holds no {', '.join(map(str, missing))}; remember() returns ids, evidence names them"
            if self.law.capacity is not None:
                unknown += f". It has room for {counted(self.law.capacity, 'text')}: what gave way to others is gone"
            raise NotInMemoryError(("; ".join(hints) or unknown) + ".", missing)
        if label is not None:
            if self.problem_type == REGRESSION:
                raise NotInMemoryError(
                    "numbers cannot be forgotten as labels; give ids (evidence names them).", [label]
                )
            if label not in self.labels:
                meant = " or ".join(map(repr, near(label, self.labels)))
                raise NotInMemoryError(
                    f"the memory holds no label {label!r}; {f'did you mean {meant}? It' if meant else 'it'} knows "
                    f"{listed(map(repr, self.labels))}.",
                    [label],
                )
            gone |= {entry.id for entry in self.entries if label in label_names(entry.label)}
        entries = tuple(entry for entry in self.entries if entry.id not in gone)
        memory = self
        if gone:
            state = self.law.forget(self.state, torch.tensor(sorted(gone)))
            memory = replace(self, entries=entries, state=state)
        return memory._settled()

    def used(self, weights: Tensor) -> "LabelledMemory":
        """This memory after reads that took `weights` [Q, S] from its entries."""
        return replace(self, state=self.law.use(self.state, weights[None]))

    def same_contents(self, other: "LabelledMemory") -> bool:
        """Whether both hold the same, apart from how much entries were used."""
        return self is other or (
            self.entries is other.entries and self.state.keys is other.state.keys and self.names is other.names
        )

    def with_law(self, law: KeyValueMemory, with_names: bool) -> "LabelledMemory":
        """This memory with another capacity and eviction rule, with or without the words of labels.

        Raises:
            InvalidInputError: it holds more than that.
        """
        if law.capacity is not None and len(self) > law.capacity:
            raise InvalidInputError(f"it holds {len(self)} texts, and capacity is {law.capacity}.")
        own = KeyValueMemory(self.law.key_size, self.law.value_size, law.capacity, law.eviction_name)
        return replace(self, law=own, names=self.names if with_names else {})

    def with_counts_of(self, other: "LabelledMemory") -> "LabelledMemory":
        """This memory with the usage, age and counts that entries of the same ids have in another."""
        pairs = [(slot, other.ids[id_]) for id_, slot in self.ids.items() if id_ in other.ids]
        own, theirs = torch.tensor(pairs, device=self.state.keys.device).long().view(-1, 2).unbind(1)
        kept = {
            name: getattr(self.state, name).index_copy(1, own, getattr(other.state, name)[:, theirs])
            for name in ("usage", "age", "write_count")
        }
        return replace(self, state=self.state._replace(**kept))

    def values_of(self, labels: Sequence[Label]) -> Tensor:
        """The rows [N, V] that stand for labels: one-hot, multi-hot, or the numbers themselves."""
        if self.problem_type == REGRESSION:
            width = self.law.value_size
            for label in labels:
                if len(label) != width:
                    raise InvalidInputError(
                        f"a label of {len(label)} numbers came; this memory takes {width} for each text, the "
                        "num_labels of the model's configuration."
                    )
            return torch.tensor(labels, dtype=torch.float32, device=self.state.keys.device).view(len(labels), width)
        column = {label: number for number, label in enumerate(self.labels)}
        ones = [(row, column[name]) for row, label in enumerate(labels) for name in label_names(label)]
        rows = torch.zeros(len(labels), len(self.labels))
        rows[tuple(torch.tensor(ones, dtype=torch.long).view(-1, 2).T)] = 1
        return rows.to(self.state.keys.device)

    def to(self, device: torch.device | str) -> "LabelledMemory":
        """This memory on another device."""
        return replace(
            self,
            state=self.state.to(device),
            names={label: key.to(device) for label, key in self.names.items()},
            probe=None if self.probe is None else self.probe.to(device),
        )

    def _settled(self) -> "LabelledMemory":
        """The same entries with the labels that they have, in order, and the words of those that have an example.

        Without an entry nothing is left, the mark of the encoder included.
        """
        if not self.entries:
            law, size = self.law, self.law.value_size if self.problem_type == REGRESSION else 0
            device = self.state.keys.device
            return self.empty(law.key_size, self.problem_type, size, law.capacity, law.eviction_name, device)
        in_order = dict.fromkeys(name for entry in self.entries for name in label_names(entry.label))
        return self._with_columns(tuple(in_order))._with_names()

    def _with_names(self) -> "LabelledMemory":
        """The same entries with the words of those labels alone that have an example."""
        if len(self.named_labels) == len(self.names):
            return self
        return replace(self, names={label: self.names[label] for label in self.named_labels})

    def _with_columns(self, labels: tuple[str, ...]) -> "LabelledMemory":
        """The same entries under a list of labels with more, fewer or reordered ones."""
        if self.problem_type == REGRESSION or labels == self.labels:
            return self
        law = self.law.with_value_size(len(labels))
        old = {label: number for number, label in enumerate(self.labels)}
        values = self.state.values
        if labels[: len(self.labels)] == self.labels:
            values = torch.nn.functional.pad(values, (0, len(labels) - len(self.labels)))
        else:
            values = values[..., [old[label] for label in labels]]
        return replace(self, law=law, labels=labels, state=self.state._replace(values=values))


renew_cached_properties_in_children(LabelledMemory)


def check_size(entries: int, labels: int) -> None:
    """Refuses a memory that is too large, before its values are made.

    Raises:
        InvalidInputError: it names both counts.
    """
    if entries * labels > MOST_VALUES:
        raise InvalidInputError(
            f"a memory of {entries:,} texts of {labels:,} labels is too large: the two multiplied may be at most "
            f"{MOST_VALUES:,}. Use fewer labels, or several memories."
        )


def _hexadecimal(key: Tensor) -> str:
    return key.detach().float().cpu().numpy().tobytes().hex()
