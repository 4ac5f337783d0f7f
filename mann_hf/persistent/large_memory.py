"""Writes to large memories: what they cost follows from what is written, not from what is stored.

Keys, values and entries are shared by all versions (`SharedSlots`); a write copies a few numbers of each slot alone.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..memory import KeyValueMemory, KeyValueState
from ..memory.precision import strange
from ..memory.state import NO_ID
from ..targets.kinds import Targets, targets_of
from .entries import Entry, label_names, name_id, words_entry
from .forks import renew_cached_properties_in_children
from .growing import grown
from .shared_slots import SharedSlots
from .stored_entries import LabelCounts, StoredEntries

LARGE = 4096
"""The fewest entries whose slots are shared; a smaller memory is copied at each write."""
LARGE_VALUES = 2**22
"""The fewest numbers in its values that make a memory of fewer entries a large one."""
FEW_GONE = 8
"""Slots whose ages are compared with all others one by one."""
MOST_UNUSED = 0.25
"""The share of slots that may be empty before the others are moved together."""


C = TypeVar("C", bound="Content")


@dataclass(frozen=True, repr=False)
class Content:
    """What a memory holds: the fields of a `LabelledMemory` that writes change."""

    rules: KeyValueMemory
    problem_type: str
    entries: Sequence[Entry]
    state: KeyValueState
    labels: tuple[str, ...] = ()
    names: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def targets(self) -> Targets:
        """What its values mean."""
        return targets_of(self.problem_type)

    @cached_property
    def _stored(self) -> StoredEntries | None:
        """The entries of a large memory, which shares its slots with other versions."""
        own, state = self.entries, self.state
        if not isinstance(own, StoredEntries):
            return None
        same = own.keys is state.keys and own.values is state.values and own.names is self.names
        return own if same else None

    def is_large_with(self, count: int, labels: int) -> bool:
        """Whether so many entries of so many labels share their slots.

        Accelerators copy faster than a write waits, and share none.
        """
        return self._is_much(count, labels) and self._why_copied is None

    def why_not_searched(self) -> str | None:
        """Why a memory of many entries is searched by no store; None where it is, or where it is small."""
        return self._why_copied if self._is_much(len(self.entries), len(self.labels)) else None

    @property
    def _why_copied(self) -> str | None:
        """What keeps even a large memory from sharing its slots with other versions."""
        if self.rules.capacity is not None:
            return f"it has a capacity ({self.rules.capacity:,})"
        device = self.state.keys.device.type
        return None if device == "cpu" else f"it is on the device {device!r}"

    @staticmethod
    def _is_much(count: int, labels: int) -> bool:
        return count >= min(LARGE, LARGE_VALUES / max(1, labels))

    def together(self: C) -> C:
        """This memory with one slot for each entry, in their order, and no other."""
        own = self.entries
        if not isinstance(own, StoredEntries):
            return self
        return replace(self, entries=tuple(own), state=self.state.select(own.slots))

    def in_shared_slots(self: C) -> C:
        """This memory with slots that stores can search and later versions share; a small one as it is."""
        is_large = self.is_large_with(len(self.entries), len(self.labels))
        return _shared(self) if is_large and self._stored is None else self

    def _rules_of(self, labels: tuple[str, ...]) -> KeyValueMemory:
        return self.rules.with_value_size(len(labels)) if self.targets.named else self.rules


renew_cached_properties_in_children(Content)


def remember(
    content: C, new: KeyValueState, entries: Sequence[Entry], labels: tuple[str, ...], names: Mapping[str, Tensor]
) -> C:
    """The content after a write; see `_with_more`."""
    return _written(content, lambda shared: _with_more(shared, new, entries, labels, names))


def forget(content: C, ids: Collection[int]) -> C:
    """The content without some of its entries; see `_without`."""
    after = _written(content, lambda shared: _without(shared, ids))
    unused = after.state.slots - len(after.entries) - len(after.names)
    return _shared(after) if unused > MOST_UNUSED * after.state.slots else after


def _written(content: C, write: Callable[[C], C | None]) -> C:
    """What a write makes of a content, in slots of its own where it shared none or others have gone on from it."""
    after = None if content._stored is None else write(content)
    if after is None:
        after = write(_shared(content))
    assert after is not None, "nobody else has these slots"
    return after


def _shared(content: C) -> C:
    """A memory of the same content, in slots that its later versions share."""
    content = content.together()
    entries, labels, values = content.entries, content.labels, content.state.values[0].detach()
    examples = are_examples(entries)
    counts = _counted(values, examples) if labels else None
    table = SharedSlots(content.state.keys[0].detach(), values, entries)
    keys, values = table.seen_by(table.newest, len(entries))
    state = content.state._replace(keys=keys, values=values)
    columns = _columns(values[0]) if content.targets.named and not content.targets.several else None
    odd = bool(strange(keys).any())
    own = StoredEntries(table, table.newest, keys, values, state.mask[0], examples, columns, counts, {}, {}, odd, {})
    names, content = content.names, replace(content, entries=own, state=state, names=own.names)
    after = _with_more(content, None, (), labels, names)
    return content if after is None else after


def _with_more(
    content: C,
    new: KeyValueState | None,
    entries: Sequence[Entry],
    labels: tuple[str, ...],
    names: Mapping[str, Tensor],
) -> C | None:
    """The content after a write; None if it is no longer the newest of those that share its slots.

    Args:
        content: in shared slots.
        new: the slots [1, N] of the entries, with a value for each of the labels; None for no entry.
        entries: N entries.
        labels: those of the content, and those that are new.
        names: the key [K] of each label's words; those of labels without an example are left out.
    """
    own, state = content.entries, content.state
    assert isinstance(own, StoredEntries)
    width = len(labels) or state.values.shape[2]
    new = new or state.select(torch.arange(0))._replace(values=state.values.new_zeros(1, 0, width))
    examples = are_examples(entries)
    counts = _more_counts(own.counts, _counted(new.values[0], examples), state.slots) if labels else None
    words = _new_words(own, labels, counts, {**content.names, **names})
    new, rows = with_words(new, words, labels), [*entries, *(words_entry(label) for label in words)]
    replaced = [own.name_slots[label] for label in words if label in own.name_slots]
    kept = own.kept()
    kept[replaced] = False
    wider = None if labels == content.labels else [*range(len(content.labels)), *[-1] * (width - len(content.labels))]
    version = own.shared.advance(own.version, kept, (new.keys[0], new.values[0], rows), np.array(replaced, int), wider)
    if version is None:
        return None
    keys, values = own.shared.seen_by(version, len(kept) + len(rows))
    more = {name: (getattr(state, name)[0], getattr(new, name)[0]) for name in ("usage", "write_count", "mask", "ids")}
    more["examples"] = (own.examples, torch.nn.functional.pad(examples, (0, len(words))))
    if own.columns is not None:
        more["columns"] = (own.columns, _columns(new.values[0]))
    tables, fields = grown(own.tables, more)
    written, columns = fields.pop("examples"), fields.pop("columns", None)
    fields["age"] = torch.cat([state.age[0], new.age[0]])
    fields["age"][: state.slots].add_(len(entries)).mul_(state.mask[0])
    place = {label: len(kept) + len(entries) + number for number, label in enumerate(words)}
    named = {**own.names, **words}
    odd = own.strange or bool(strange(new.keys).any())
    after = replace(own, version=version, keys=keys, values=values, used=fields["mask"], columns=columns)
    after = replace(
        after,
        examples=written,
        counts=counts,
        names=named,
        name_slots={**own.name_slots, **place},
        strange=odd,
        tables=tables,
    )
    state = KeyValueState(keys=keys, values=values, **{name: rows[None] for name, rows in fields.items()})
    return replace(content, rules=content._rules_of(labels), entries=after, state=state, labels=labels, names=named)


def _without(content: C, ids: Collection[int]) -> C | None:
    """The content without some entries; None if it is no longer the newest of those that share its slots.

    Args:
        content: in shared slots, with more entries than those.
        ids: of entries.
    """
    own, state, labels = content.entries, content.state, content.labels
    assert isinstance(own, StoredEntries)
    slots = torch.tensor([own.slot_of(id_) for id_ in ids])
    used = state.mask[0].index_fill(0, slots, False)
    counts, order, names = None, [*range(len(labels))], dict(own.names)
    if own.counts is not None:
        counts = _fewer_counts(own, slots, used)
        order = _order(own, labels, counts)
        counts = LabelCounts(*(field[order] for field in counts))
        labelled = {labels[column] for column, many in zip(order, counts.examples.tolist(), strict=True) if many}
        names = {label: key for label, key in own.names.items() if label in labelled}
    moved = None if order == [*range(len(labels))] else order
    without_example = [slot for label, slot in own.name_slots.items() if label not in names]
    dropped = torch.tensor([*slots.tolist(), *without_example])
    kept = own.kept()
    kept[dropped.numpy()] = False
    version = own.shared.advance(own.version, kept, None, dropped.numpy(), moved)
    if version is None:
        return None
    keys, values = own.shared.seen_by(version, len(kept))
    state = KeyValueState(
        keys=keys,
        values=values,
        usage=state.usage.index_fill(1, dropped, 0),
        age=_younger(state, slots).index_fill(1, dropped, 0),
        write_count=state.write_count.index_fill(1, dropped, 0),
        mask=used[None],
        ids=state.ids.index_fill(1, dropped, NO_ID),
    )
    columns = own.columns
    if columns is not None and moved is not None:
        place = torch.full((len(labels),), -1).index_copy(0, torch.tensor(order), torch.arange(len(order)))
        columns = torch.where(columns < 0, columns, place[columns])
    after = replace(own, version=version, keys=keys, values=values, used=used, columns=columns, counts=counts)
    name_slots = {label: own.name_slots[label] for label in names}
    examples = own.examples.index_fill(0, slots, False)
    after = replace(after, examples=examples, names=names, name_slots=name_slots, tables={})
    labels = tuple(labels[column] for column in order)
    return replace(content, rules=content._rules_of(labels), entries=after, state=state, labels=labels, names=names)


def are_examples(entries: Sequence[Entry]) -> Tensor:
    """Which of N entries are examples."""
    return torch.tensor([entry.kind == "example" for entry in entries], dtype=torch.bool)


def _columns(values: Tensor) -> Tensor:
    """The column of the only label of each row [S, C]."""
    return values.argmax(1) if len(values) else torch.empty(0, dtype=torch.long)


def _counted(values: Tensor, examples: Tensor) -> LabelCounts:
    """How often labels are stored in slots of these values [S, C]."""
    if not len(values):
        none = torch.zeros(values.shape[1], dtype=torch.long)
        return LabelCounts(none, none, none)
    first = torch.from_numpy(values.numpy().argmax(0))  # of equal ones the first
    return LabelCounts(values.sum(0).long(), (examples.to(values.dtype) @ values).long(), first)


def _more_counts(before: LabelCounts | None, new: LabelCounts, slots: int) -> LabelCounts:
    """The counts after a write behind so many slots."""
    if before is None:
        return new._replace(first=new.first + slots)
    more = (0, len(new.entries) - len(before.entries))
    entries, examples, first = (torch.nn.functional.pad(field, more) for field in before)
    first = torch.where(entries > 0, first, new.first + slots)
    return LabelCounts(entries + new.entries, examples + new.examples, first)


def _fewer_counts(own: StoredEntries, gone: Tensor, used: Tensor) -> LabelCounts:
    """The counts without some slots; the first slot of a label that has none any more means nothing."""
    assert own.counts is not None
    rows = own.values[0, gone]
    entries = own.counts.entries - rows.sum(0).long()
    examples = own.counts.examples - (own.examples[gone].to(rows.dtype) @ rows).long()
    first = own.counts.first.clone()
    for column in (torch.isin(first, gone) & (entries > 0)).nonzero()[:, 0].tolist():
        under = own.values[0, :, column] != 0 if own.columns is None else own.columns == column
        first[column] = int((under & used).numpy().argmax())  # of equal ones the first
    return LabelCounts(entries, examples, first)


def _order(own: StoredEntries, labels: tuple[str, ...], counts: LabelCounts) -> list[int]:
    """The columns of the labels that are left, in the order in which their first entries were written."""
    first = counts.first.tolist()

    def place(column: int) -> tuple[int, int]:
        return first[column], label_names(own.at(first[column]).label).index(labels[column])

    return sorted((counts.entries > 0).nonzero()[:, 0].tolist(), key=place)


def _new_words(
    own: StoredEntries, labels: tuple[str, ...], counts: LabelCounts | None, names: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The words that are not stored yet, or not with this key, of labels that have an example."""
    if counts is None or not names:
        return {}
    with_example = counts.examples.tolist()
    return {
        label: names[label]
        for label, many in zip(labels, with_example, strict=True)
        if many and label in names and not (label in own.names and torch.equal(own.names[label], names[label]))
    }


def with_words(new: KeyValueState, words: Mapping[str, Tensor], labels: tuple[str, ...]) -> KeyValueState:
    """Appends the keys of label names to new slots, masked out: they are stored, but not counted as examples."""
    if not words:
        return new
    column, device = {label: number for number, label in enumerate(labels)}, new.keys.device
    one_hot = torch.nn.functional.one_hot(torch.tensor([column[label] for label in words]), len(labels))
    ones = torch.ones(1, len(words), device=device)
    theirs = KeyValueState(
        keys=torch.stack([*words.values()])[None].to(new.keys),
        values=one_hot[None].to(new.values),
        usage=ones.to(new.usage),
        age=torch.zeros_like(ones).long(),
        write_count=ones.long(),
        mask=torch.zeros_like(ones).bool(),
        ids=torch.tensor([[name_id(label) for label in words]], device=device),
    )
    return KeyValueState(*(torch.cat(fields, dim=1) for fields in zip(new, theirs, strict=True)))


def _younger(state: KeyValueState, gone: Tensor) -> Tensor:
    """The ages [1, S] without the writes of slots that are forgotten."""
    ages = state.age[0, gone]
    if len(ages) > FEW_GONE:
        return state.age - torch.searchsorted(ages.sort().values, state.age)
    younger = state.age.clone()
    for age in ages:
        younger -= (state.age > age).to(younger)
    return younger
