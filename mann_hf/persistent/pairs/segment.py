"""Columns of stored pairs: one immutable part of a memory of pairs, in main memory or in a mapped file."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..forks import renew_cached_properties_in_children

KEPT_SOURCE, KEPT_TARGET = 1, 2
"""Bits that say which texts of a pair are kept."""
TOKEN_COLUMNS = ("tokens", "token_keys", "log_probabilities")
"""The columns with a row for each token."""


@dataclass(frozen=True, eq=False, repr=False)
class Segment:
    """Some pairs, column by column: n pairs of s target tokens in all. No tensor is ever changed.

    Attributes:
        ids: [n] int64, in the order in which the pairs were written.
        counts: [n] int64, how often each was written.
        starts: [n+1] int64, the first token of each pair, and s.
        text_starts: [2n+1] int64, the first byte of each pair's source and target, and the number of bytes.
        kept: [n] uint8, which texts of a pair are kept: bits of `KEPT_SOURCE` and `KEPT_TARGET`.
        texts: [bytes] uint8, sources and targets in UTF-8, each source before its target.
        tokens: [s] int32, the tokens of all targets.
        source_keys: [n, E] float32.
        token_keys: [s, K]; None in an example memory.
        log_probabilities: [s] float32; None in an example memory.
        values: [n, K] float32; None in a token memory.
    """

    ids: Tensor
    counts: Tensor
    starts: Tensor
    text_starts: Tensor
    kept: Tensor
    texts: Tensor
    tokens: Tensor
    source_keys: Tensor
    token_keys: Tensor | None = None
    log_probabilities: Tensor | None = None
    values: Tensor | None = None

    @classmethod
    def joined(cls, segments: Sequence["Segment"]) -> "Segment":
        """The pairs of some segments, one behind the other, in columns of their own."""
        starts, text_starts = (
            _behind_each_other([getattr(each, name) for each in segments]) for name in ("starts", "text_starts")
        )
        columns = {
            each.name: _joined([getattr(segment, each.name) for segment in segments])
            for each in fields(cls)
            if each.name not in ("starts", "text_starts")
        }
        return cls(**columns, starts=starts, text_starts=text_starts)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_tokens(self) -> int:
        """S."""
        return len(self.tokens)

    @property
    def columns(self) -> dict[str, Tensor]:
        """The columns that there are, by name."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: column for name, column in found.items() if column is not None}

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for column in self.columns.values())

    @cached_property
    def _in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids in ascending order, and the row of each."""
        ids = self.ids.numpy()
        order = ids.argsort()
        return ids[order], order

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The row of each id [M]; -1 for those that are not here."""
        known, rows = self._in_order
        places = np.minimum(known.searchsorted(ids), len(known) - 1)
        return np.where(known[places] == ids, rows[places], -1)

    def take(self, rows: np.ndarray) -> "Segment":
        """Some of the pairs, in columns of their own.

        Args:
            rows: [M], ascending; at least one.
        """
        # Whole spans: of a segment most pairs are taken, which is then as fast as memory is.
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        spans = [(int(span[0]), int(span[-1]) + 1) for span in np.split(rows, breaks)]
        bounds = {**dict.fromkeys(TOKEN_COLUMNS, self.starts), "texts": self.text_starts[::2]}
        columns = {}
        for name, column in self.columns.items():
            if name in ("starts", "text_starts"):
                lengths, each = column.diff(), 2 if name == "text_starts" else 1
                columns[name] = starts_of(torch.cat([lengths[each * first : each * end] for first, end in spans]))
            elif name in bounds:
                columns[name] = _own([column[bounds[name][first] : bounds[name][end]] for first, end in spans])
            else:
                columns[name] = _own([column[first:end] for first, end in spans])
        return Segment(**columns)

    def counted_again(self, rows: np.ndarray, times: np.ndarray) -> "Segment":
        """These pairs, of which some [M] were written so many times more."""
        counts = self.counts.clone()
        counts[torch.from_numpy(rows)] += torch.from_numpy(times)
        return replace(self, counts=counts)

    def texts_of(self, row: int) -> tuple[str | None, str | None]:
        """Source and target of a pair; None for what is not kept.

        Raises:
            UnicodeDecodeError: they are not UTF-8, in a file that a stranger wrote.
        """
        kept = int(self.kept[row])
        start, middle, end = self.text_starts[2 * row : 2 * row + 3].tolist()
        source, target = (self.texts[a:b].numpy().tobytes().decode() for a, b in ((start, middle), (middle, end)))
        return source if kept & KEPT_SOURCE else None, target if kept & KEPT_TARGET else None

    def to(self, device: torch.device) -> "Segment":
        """These pairs with tokens and keys on another device; what only people read stays in main memory."""
        moved = {
            name: column.to(device)
            for name, column in self.columns.items()
            if name in ("tokens", "source_keys", "token_keys", "values")
        }
        return replace(self, **moved)  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[Any, ...]:
        # A view takes all of its storage along, which may be a whole file.
        return Segment, tuple(None if column is None else column.clone() for column in self._in_fields())

    def _in_fields(self) -> list[Tensor | None]:
        return [getattr(self, each.name) for each in fields(self)]


renew_cached_properties_in_children(Segment)


def ranges(starts: Tensor, lengths: Tensor) -> Tensor:
    """Whole numbers [sum of lengths]: so many from each start on, one range behind the other."""
    before = lengths.cumsum(0) - lengths
    total = int(lengths.sum())
    return torch.repeat_interleave(starts - before, lengths, output_size=total) + torch.arange(
        total, device=starts.device
    )


def starts_of(lengths: Tensor) -> Tensor:
    """Where each of n parts begins that lie one behind the other, and where the last ends, [n+1]."""
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0))


def _own(parts: Sequence[Tensor]) -> Tensor:
    """Parts of columns as one that shares no memory with them."""
    return torch.cat([*parts]) if len(parts) > 1 else parts[0].clone()


def _behind_each_other(starts: Sequence[Tensor]) -> Tensor:
    return starts_of(torch.cat([each.diff() for each in starts]))


def _joined(columns: Sequence[Tensor | None]) -> Tensor | None:
    return None if any(column is None for column in columns) else torch.cat([*columns])  # type: ignore[list-item]
