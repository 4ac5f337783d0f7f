"""Reads folders that `save_to_disk` of datasets wrote, and folders whose card assigns files to splits."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InvalidInputError
from ...wording import listed
from .columns import Columns
from .hub import in_words, named, rows_of
from .rows import Row, Table, table_of

CONFIGS = re.compile(rb"\A---\s.*?^(configs|dataset_info):.*?^---\s*$", re.DOTALL | re.MULTILINE)
"""A card with metadata about files and splits, or about columns."""


def is_saved_data_set(folder: str) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return os.path.isfile(Path(folder, "dataset_dict.json")) or os.path.isfile(Path(folder, "state.json"))


def read_saved(folder: str, name: str, split: str | None, usual_split: str, columns: Columns) -> Table:
    """The rows of a folder that was written by `save_to_disk`.

    Raises:
        InvalidInputError: it cannot be read, or has no such split.
    """
    with in_words(folder):
        import datasets

        found = datasets.load_from_disk(folder)
        if isinstance(found, datasets.DatasetDict):
            split = split or usual_split
            if split not in found:
                raise InvalidInputError(
                    f"{folder!r} has no split {split!r}; it has {listed(map(repr, found))}: choose with --split."
                )
            if len(found) > 1:
                columns.say(f"{folder}: reads the split {split!r} of {listed(map(repr, found))}.")
            found = found[split]
        elif split is not None:
            raise InvalidInputError(f"{folder!r} is one data set and has no splits: leave out --split.")
        title = folder if split is None else f"{folder} ({split})"
        return table_of(title, rows_of(title, found, columns), columns, name, split=split)


class Card(NamedTuple):
    """The files of each split of a folder according to its card, and the features of its columns, if it has any."""

    files: dict[str, list[Path]]
    features: Any

    def named(self, rows: Iterator[Row], columns: Columns) -> Iterator[Row]:
        """The rows with names of classes in place of numbers, if the card has names for them."""
        for row in rows:
            if not row.problem:
                features = [(self.features or {}).get(name) for name in columns.found]
                row = row._replace(cells=tuple(map(_named, features, row.cells)))
            yield row


def files_by_card(folder: str) -> Card | None:
    """The files of each split according to the folder's README.md, as on the Hub; None if it says nothing about them.

    Raises:
        InvalidInputError: the card cannot be read.
    """
    card = Path(folder, "README.md")
    if not card.is_file() or not CONFIGS.search(card.read_bytes()[:100_000]):
        return None
    with in_words(folder):
        import datasets

        builder = datasets.load_dataset_builder(folder)
        files = {  # its paths are absolute
            str(split): [Path(folder, os.path.relpath(path, folder)) for path in paths]
            for split, paths in builder.config.data_files.items()
        }
        return Card(files, builder.info.features)


def _named(feature: Any, cell: Any) -> Any:
    """A cell with the name of its class, if the feature of its column has one."""
    if hasattr(feature, "int2str") and isinstance(cell, str) and re.fullmatch(r"-?\d+", cell.strip()):
        cell = int(cell)
    return named(feature, cell) if isinstance(cell, int) else cell
