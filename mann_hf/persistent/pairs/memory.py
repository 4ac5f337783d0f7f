"""A memory of pairs: what sources and targets are stored, as columns of tensors."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidInputError, NotInMemoryError
from ...wording import counted
from ..entries import LARGEST_ID
from ..forks import renew_cached_properties_in_children
from ..refusals import whole_numbers, why_not_held
from .by_text import ids_of_texts
from .encoded import SEGMENT_BYTES, EncodedPairs, PairEntry, check_pairs, pair_ids, segments_of
from .segment import KEPT_SOURCE, KEPT_TARGET, Segment
from .tokenizer_identity import TokenizerIdentity

if TYPE_CHECKING:
    from .index import Index

PairKind = Literal["token", "example"]
PAIR_KINDS: tuple[PairKind, ...] = ("token", "example")
CPU = torch.device("cpu")
FORGET_TEXTS = "Pairs are forgotten by their texts with forget(source=...), forget(target=...) or both."
"""Added to the error where words came as ids."""


@dataclass(frozen=True, eq=False, repr=False)
class PairMemory:
    """The pairs that a sequence-to-sequence model remembers, as an immutable value: every method returns a new one.

    N pairs are numbered in the order in which they were first written, and their S target tokens ("slots") likewise.
    Numbers of pairs and slots are those of one value: forgetting moves up what follows.

    Attributes:
        kind: `"token"`, a key for each target token, or `"example"`, a value for each pair.
        key_size: K, of token keys and of values.
        source_size: E, of source keys.
        segments: the pairs, in order.
        key_dtype: in which token keys are kept.
        tokenizer: whose tokens the targets are; None if that is not known.
        probe: [P, ...], the encoder's keys for fixed inputs, which identify the encoder.
        encoder_name: the name of the model that wrote the keys.
        adapters: the names of the adapters that were on it then.
        device: where tokens and keys lie.
        index_folder: where indexes of these pairs, or of most of them, may have been saved.
    """

    kind: PairKind
    key_size: int
    source_size: int
    segments: tuple[Segment, ...] = ()
    key_dtype: torch.dtype = torch.bfloat16
    tokenizer: TokenizerIdentity | None = None
    probe: Tensor | None = None
    encoder_name: str | None = None
    adapters: tuple[str, ...] = ()
    device: torch.device = field(default=CPU)
    index_folder: Path | None = None

    @classmethod
    def empty(
        cls,
        kind: PairKind,
        key_size: int,
        source_size: int,
        key_dtype: torch.dtype = torch.bfloat16,
        device: torch.device | str | None = None,
    ) -> "PairMemory":
        """A memory without pairs.

        Raises:
            InvalidInputError: an unknown kind, or keys of a type that no file of pairs has.
        """
        if kind not in PAIR_KINDS:
            raise InvalidInputError(f"memory is {kind!r}; choose one of {', '.join(map(repr, PAIR_KINDS))}.")
        if key_dtype not in (torch.bfloat16, torch.float32):
            raise InvalidInputError(f"key_dtype is {key_dtype}; choose torch.bfloat16 or torch.float32.")
        return cls(kind, key_size, source_size, (), key_dtype, device=torch.device(device or CPU))

    def __len__(self) -> int:
        return int(self._firsts[0][-1])

    @property
    def num_tokens(self) -> int:
        """S, the target tokens of all pairs."""
        return int(self._firsts[1][-1])

    def __repr__(self) -> str:
        return f"PairMemory({self.kind}, {self.summary})"

    @property
    def summary(self) -> str:
        """What it holds, in a few words."""
        if not len(self):
            return "empty"
        return f"{counted(len(self), 'pair')} of {counted(self.num_tokens, 'target token')}"

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone, without what is worked out from them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def _firsts(self) -> tuple[np.ndarray, np.ndarray]:
        """The number of the first pair, and of the first token, of each segment; and how many there are."""
        counts = [(len(each), each.num_tokens) for each in self.segments]
        pairs, tokens = np.array([(0, 0), *counts], dtype=np.int64).cumsum(0).T
        return pairs, tokens

    @cached_property
    def indexes(self) -> dict[str, "Index"]:
        """The indexes that searches made of these pairs, by what they are of; they are saved with the pairs."""
        return {}

    @property
    def starts(self) -> Tensor:
        """[N+1], the first slot of each pair, and S."""
        firsts = self._firsts[1].tolist()
        parts = [each.starts[:-1] + first for each, first in zip(self.segments, firsts, strict=False)]
        return torch.cat([*parts, torch.tensor(firsts[-1:])])

    @property
    def ids_in_order(self) -> Tensor:
        """[N], the id of each pair."""
        return torch.cat([torch.empty(0, dtype=torch.long), *(each.ids for each in self.segments)])

    @property
    def counts_in_order(self) -> Tensor:
        """[N], how often each pair was written."""
        return torch.cat([torch.empty(0, dtype=torch.long), *(each.counts for each in self.segments)])

    @property
    def ids(self) -> frozenset[int]:
        """The ids of all pairs."""
        return frozenset(self.ids_in_order.tolist())

    @property
    def entries(self) -> "PairEntries":
        """The pairs, each read when it is asked for."""
        return PairEntries(self)

    @property
    def largest_token(self) -> int:
        """The largest of all target tokens; 0 without any."""
        return max((int(each.tokens.max()) for each in self.segments if len(each.tokens)), default=0)

    @property
    def keeps_texts(self) -> bool:
        """Whether the source and target texts of all pairs are stored."""
        return all(bool((each.kept == (KEPT_SOURCE | KEPT_TARGET)).all()) for each in self.segments)

    @property
    def texts(self) -> set[str]:
        """All source and target texts that are stored."""
        return {text for entry in self.entries for text in (entry.source, entry.target) if text is not None}

    def pair(self, number: int) -> PairEntry:
        """The pair of a number.

        Raises:
            InvalidInputError: there is none of that number, or its text is damaged.
        """
        segment, row = self._place_of(number)
        try:
            source, target = segment.texts_of(row)
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"source or target of pair {number} is damaged: {error}.") from error
        return PairEntry(int(segment.ids[row]), source, target, int(segment.counts[row]))

    def tokens_of(self, number: int) -> Tensor:
        """The target tokens of a pair.

        Raises:
            InvalidInputError: there is none of that number.
        """
        segment, row = self._place_of(number)
        start, end = segment.starts[row : row + 2].tolist()
        return segment.tokens[start:end].long()

    def _place_of(self, number: int) -> tuple[Segment, int]:
        if not 0 <= number < len(self):
            raise InvalidInputError(f"there is no pair {number}: the memory holds {self.summary}.")
        firsts = self._firsts[0]
        place = int(firsts.searchsorted(number, side="right")) - 1
        return self.segments[place], number - int(firsts[place])

    def numbers_of(self, ids: Iterable[Any]) -> list[int]:
        """The numbers of pairs by their ids.

        Raises:
            NotInMemoryError: an id that is not there.
            InvalidTypeError: ids that are no whole numbers.
        """
        wanted = list(ids)
        numbers = dict(
            zip(sorted(unique := whole_numbers(wanted, FORGET_TEXTS)), self._numbers(sorted(unique)), strict=True)
        )
        return [numbers[int(id_)] for id_ in wanted]

    def _numbers(self, ids: Sequence[int]) -> list[int]:
        segments, rows = self._held(ids)
        return (self._firsts[0][segments] + rows).tolist()

    def _held(self, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """The segment and row of each id, all of which must be there."""
        possible = [id_ if 0 <= id_ <= LARGEST_ID else -1 for id_ in ids]
        segments, rows = self._find(np.array(possible, dtype=np.int64))
        if (segments < 0).any():
            missing = [id_ for id_, segment in zip(ids, segments.tolist(), strict=True) if segment < 0]
            raise NotInMemoryError(why_not_held(missing, (), None), missing)
        return segments, rows

    def _find(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The segment and the row of each id [M]; -1 for those that are not there."""
        segments, rows = np.full(len(ids), -1), np.full(len(ids), -1)
        for number, segment in enumerate(self.segments):
            found = segment.find(ids)
            held = found >= 0
            if held.any():
                segments[held], rows[held] = number, found[held]
        return segments, rows

    def remember(self, pairs: EncodedPairs, store_texts: bool = True) -> tuple["PairMemory", list[int]]:
        """This memory with N more pairs. A pair that is stored already counts once more and keeps its id.

        Args:
            pairs: what is remembered.
            store_texts: whether the new memory keeps the texts; ids follow from them in any case.

        Returns:
            The new memory, and the N ids.

        Raises:
            InvalidInputError: they do not fit this memory.
        """
        size = None if self.tokenizer is None else self.tokenizer.size
        check_pairs(pairs, self.key_size, self.source_size, self.kind == "token", size)
        ids = pair_ids(pairs)
        each, first, times = np.unique(ids, return_index=True, return_counts=True)
        new = np.flatnonzero(self.counts_of(each) == 0)
        new = new[first[new].argsort()]  # in the order in which they came
        fresh = segments_of(pairs, first[new], each[new], times[new], self.key_dtype, self.device, store_texts)
        return self.taught_again(each, times).with_segments(fresh), ids.tolist()

    def counts_of(self, ids: np.ndarray) -> np.ndarray:
        """How often the pair of each id [M] was written; 0 for those that are not there."""
        places, rows = self._find(ids)
        counts = np.zeros(len(ids), dtype=np.int64)
        for place in np.unique(places[places >= 0]).tolist():
            here = places == place
            counts[here] = self.segments[place].counts.numpy()[rows[here]]
        return counts

    def taught_again(self, ids: np.ndarray, times: np.ndarray) -> "PairMemory":
        """This memory in which the pairs of some ids [M], each once, count so many times more; others are left out."""
        places, rows = self._find(ids)
        segments = list(self.segments)
        for place in np.unique(places[places >= 0]).tolist():
            here = places == place
            segments[place] = segments[place].counted_again(rows[here], times[here])
        return replace(self, segments=tuple(segments))

    def with_segments(self, more: Iterable[Segment]) -> "PairMemory":
        """This memory with more pairs behind its own, of which it has none yet."""
        segments = list(self.segments)
        for segment in more:
            segments.append(segment)
            _join_last(segments)
        return replace(self, segments=tuple(segments))

    def forget(
        self, ids: Iterable[Any] | None = None, source: str | None = None, target: str | None = None
    ) -> "PairMemory":
        """This memory without some pairs, as if they had never been written.

        Args:
            ids: the pairs to remove.
            source: removes every pair of this source; with a target, the pair of both.
            target: removes every pair of this target.

        Raises:
            NotInMemoryError: an id, a source or a target that is not there.
            InvalidInputError: none of them is given.
            InvalidTypeError: ids that are no whole numbers, or several texts at once.
        """
        if ids is None and source is None and target is None:
            raise InvalidInputError("say what to forget: ids=[...], source=... or target=...")
        unique = whole_numbers(ids, FORGET_TEXTS)
        if source is not None or target is not None:
            unique |= ids_of_texts(self, source, target)
        gone = sorted(unique)
        if not gone:
            return self
        places, rows = self._held(gone)
        if len(gone) == len(self):  # nothing is left, the mark of the encoder included
            return self.empty(self.kind, self.key_size, self.source_size, self.key_dtype, self.device)
        touched = {int(place): rows[places == place] for place in np.unique(places)}
        segments: list[Segment] = []
        for place, segment in enumerate(self.segments):
            if place not in touched:
                segments.append(segment)
            elif len(kept := _without(len(segment), touched[place])):
                segments.append(segment.take(kept))
                if len(segments) > 1 and segments[-2].nbytes + segments[-1].nbytes <= SEGMENT_BYTES // 2:
                    segments[-2:] = [Segment.joined(segments[-2:])]
        return replace(self, segments=tuple(segments))

    def same_contents(self, other: "PairMemory") -> bool:
        """Whether both hold the same segments."""
        return self is other or (
            len(self.segments) == len(other.segments)
            and all(mine is theirs for mine, theirs in zip(self.segments, other.segments, strict=True))
        )

    def to(self, device: torch.device | str) -> "PairMemory":
        """This memory with its keys on another device."""
        device = torch.device(device)
        if self.device == device:
            return self
        segments = tuple(each.to(device) for each in self.segments)
        probe = None if self.probe is None else self.probe.to(device)
        return replace(self, segments=segments, probe=probe, device=device)


renew_cached_properties_in_children(PairMemory)


class PairEntries(Sequence[PairEntry]):
    """The pairs of a memory in order, each read when it is asked for."""

    def __init__(self, memory: PairMemory) -> None:
        self._memory = memory

    def __len__(self) -> int:
        return len(self._memory)

    def __iter__(self) -> Iterator[PairEntry]:
        return map(self._memory.pair, range(len(self)))

    @overload
    def __getitem__(self, place: int) -> PairEntry: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[PairEntry, ...]: ...
    def __getitem__(self, place: int | slice) -> PairEntry | tuple[PairEntry, ...]:
        numbers = range(len(self))[place]
        return self._memory.pair(numbers) if isinstance(numbers, int) else tuple(map(self._memory.pair, numbers))


def _join_last(segments: list[Segment]) -> None:
    """Joins the last segment to those before it that are not twice as large, so that few small ones are left."""
    count, size = 1, segments[-1].nbytes
    while count < len(segments):
        before = segments[-count - 1].nbytes
        if before >= 2 * size or before + size > SEGMENT_BYTES:
            break
        count, size = count + 1, size + before
    if count > 1:
        segments[-count:] = [Segment.joined(segments[-count:])]


def _without(count: int, rows: np.ndarray) -> np.ndarray:
    """The rows of so many that are left without some."""
    kept = np.ones(count, dtype=bool)
    kept[rows] = False
    return np.flatnonzero(kept)
