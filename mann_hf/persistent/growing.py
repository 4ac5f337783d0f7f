"""Rows that versions of a memory share while it only grows."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


class Growing:
    """A table with room behind its rows, which all that hold the first of them share.

    Args:
        rows: [S, ...], copied.
    """

    def __init__(self, rows: Tensor) -> None:
        self._table = np.zeros((2 * len(rows) + 1, *rows.shape[1:]), rows.numpy().dtype)
        self._table[: len(rows)] = rows.numpy()
        self._taken = len(rows)

    @property
    def rows(self) -> Tensor:
        """All rows that were written."""
        return torch.from_numpy(self._table[: self._taken])

    def with_more(self, rows: Tensor, more: Tensor) -> Tensor | None:
        """Rows [S, ...] and more behind them; None unless the table's first are these, with room left behind them."""
        end = len(rows) + len(more)
        if rows.data_ptr() != self._table.ctypes.data or len(rows) != self._taken or end > len(self._table):
            return None
        self._table[self._taken : end], self._taken = more.numpy(), end
        return self.rows


def grown(
    tables: Mapping[str, Growing], fields: Mapping[str, tuple[Tensor, Tensor]]
) -> tuple[dict[str, Growing], dict[str, Tensor]]:
    """Fields, each given as rows and what comes behind them, in place where the tables that they had have room."""
    kept, result = {}, {}
    for name, (rows, more) in fields.items():
        table = tables.get(name)
        longer = None if table is None else table.with_more(rows, more)
        if table is None or longer is None:
            table = Growing(torch.cat([rows, more]))
            longer = table.rows
        kept[name], result[name] = table, longer
    return kept, result
