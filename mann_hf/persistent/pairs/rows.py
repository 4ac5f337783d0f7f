"""Columns of many segments as the rows of one table, which is not copied together."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...memory.stores import nearest
from ...memory.stores.exact import in_order

ROWS_AT_ONCE = 2**16


class Rows:
    """The rows of several tensors, one behind the other.

    Neighbours that adjoin in one storage, as the parts of a mapped file do, are taken as one.

    Args:
        columns: [n, ...] each, of one shape behind n.
        empty: [0, ...], what they are where there are none.
    """

    def __init__(self, columns: Sequence[Tensor], empty: Tensor) -> None:
        self._runs = _adjoined(columns) or [empty]
        firsts = torch.tensor([0, *map(len, self._runs)]).cumsum(0)
        self._firsts, self._bounds = firsts.tolist(), firsts.to(empty.device)

    def __len__(self) -> int:
        return self._firsts[-1]

    def at(self, rows: Tensor) -> Tensor:
        """Some rows [M], as a copy."""
        if len(self._runs) == 1:
            return taken(self._runs[0], rows)
        run = torch.searchsorted(self._bounds, rows, right=True) - 1
        counts = run.bincount(minlength=len(self._runs)).tolist()
        main = counts.index(max(counts))
        if 2 * counts[main] > len(rows):  # a loaded file and a few later writes: one copy, and a few rows put right
            there = self._runs[main]
            found = taken(there, (rows - self._firsts[main]).clamp(0, len(there) - 1))
            if len(others := (run != main).nonzero()[:, 0]):
                found[others] = self.at(rows[others])
            return found
        found = self._runs[0].new_empty(len(rows), *self._runs[0].shape[1:])
        order, first = run.argsort(stable=True), 0
        for number, count in enumerate(counts):
            if count:
                places = order[first : first + count]
                found[places] = taken(self._runs[number], rows[places] - self._firsts[number])
                first += count
        return found

    def whole(self) -> Tensor:
        """All rows as one tensor; a copy unless they adjoin."""
        return self._runs[0] if len(self._runs) == 1 else torch.cat(self._runs)

    def parts(self, first: int = 0) -> Iterator[tuple[int, Tensor]]:
        """All rows from one on, in parts of at most `ROWS_AT_ONCE`, each with the number of its first."""
        for start, run in zip(self._firsts, self._runs, strict=False):
            for begin in range(max(0, first - start), len(run), ROWS_AT_ONCE):
                yield start + begin, run[begin : begin + ROWS_AT_ONCE]

    def sample(self, count: int) -> Tensor:
        """About so many rows from all over the table; at least one, if there is any."""
        step = max(1, len(self) // count)
        return self.at(torch.arange(0, len(self), step, device=self._bounds.device))

    def nearest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """For each query [Q, K] the k rows of the largest inner products with it, as `nearest` finds them."""
        found = [nearest(run, queries, k) for run in self._runs]
        if len(found) == 1:
            return found[0]
        scores = torch.cat([each for each, _ in found], dim=1)
        rows = torch.cat([each + first for (_, each), first in zip(found, self._firsts, strict=False)], dim=1)
        scores, rows = in_order(scores, rows)
        return scores[:, :k], rows[:, :k]


def taken(table: Tensor, rows: Tensor) -> Tensor:
    """Some rows [M] of a table, as a copy."""
    per_word = 8 // table.element_size()
    whole = table.dim() == 2 and not any(size % per_word for size in (table.shape[1], table.storage_offset()))
    if not whole or not table.is_contiguous() or not len(table):
        return table.index_select(0, rows)
    # Of eight bytes at a time rows in half precision are copied twice as fast.
    return table.view(torch.int64).index_select(0, rows).view(table.dtype)


def _adjoined(columns: Sequence[Tensor]) -> list[Tensor]:
    """The same rows in as few tensors as can be had without a copy."""
    runs: list[Tensor] = []
    end = (0, 0)
    for column in columns:
        place = (column.untyped_storage().data_ptr(), int(column.storage_offset()))
        if runs and place == end and column.is_contiguous():
            size = (len(runs[-1]) + len(column), *column.shape[1:])
            runs[-1] = runs[-1].as_strided(size, column.stride(), runs[-1].storage_offset())
        else:
            runs.append(column)
        end = (place[0], int(place[1]) + column.numel())
    return runs
