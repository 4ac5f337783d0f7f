"""Reads folders that datasets wrote with `save_to_disk`, and those whose card says which files are of which split."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InvalidInputError
from ...wording import listed
from .columns import Columns
from .hub import in_words, named, rows_of
from .rows import BadRow, Row, Table, table_of

CONFIGS = re.compile(rb"\A---\s.*?^(configs|dataset_info):.*?^---\s*$", re.DOTALL | re.MULTILINE)
"""A card that says which files are of which split, or what the columns are."""


def is_saved_data_set(folder: str) -> bool:
    """Whether `save_to_disk` wrote a folder."""
    return os.path.isfile(Path(folder, "dataset_dict.json")) or os.path.isfile(Path(folder, "state.json"))


def read_saved(folder: str, name: str, split: str | None, usual_split: str, columns: Columns) -> Table:
    """The rows of a folder that `save_to_disk` wrote.

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
    """What the card of a folder says of its files.

    Attributes:
        files: by split.
        features: of the columns, None if it says nothing of them.
    """

    files: dict[str, list[Path]]
    features: Any

    def named(self, rows: Iterator[Row | BadRow], columns: Columns) -> Iterator[Row | BadRow]:
        """The rows with the names of classes, where the card has names for their numbers."""
        for row in rows:
            if isinstance(row, Row):
                features = [(self.features or {}).get(name) for name in columns.found]
                row = row._replace(cells=tuple(map(_named, features, row.cells)))
            yield row


def files_by_card(folder: str) -> Card | None:
    """The files of a folder by split, as its README.md says, in the way of data sets of the Hub; None if it does not.

    Raises:
        InvalidInputError: the card cannot be read.
    """
    card = Path(folder, "README.md")
    if not card.is_file() or not CONFIGS.search(card.read_bytes()[:100_000]):
        return None
    with in_words(folder):
        import datasets

        builder = datasets.load_dataset_builder(folder)
        files = {  # whose paths are absolute there
            str(split): [Path(folder, os.path.relpath(path, folder)) for path in paths]
            for split, paths in builder.config.data_files.items()
        }
        return Card(files, builder.info.features)


def _named(feature: Any, cell: Any) -> Any:
    """A cell of text, or of numbers, by the feature of its column."""
    if hasattr(feature, "int2str") and isinstance(cell, str) and re.fullmatch(r"-?\d+", cell.strip()):
        cell = int(cell)
    return named(feature, cell) if isinstance(cell, int) else cell
