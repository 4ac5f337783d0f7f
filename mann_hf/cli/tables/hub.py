"""Reads parquet files and data sets on the Hub, by datasets."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import InvalidInputError
from ...hub.near_paths import near_paths
from ...hub_names import is_hub_name
from ...wording import did_you_mean, is_url
from ..hub_names import check_on_hub
from ..modalities import kind_of_inputs
from .columns import Columns
from .content import can_be_read, ending_of, endings, is_misspelt, shows_form
from .rows import Row, Table, table_of

CONFIGURATION = re.compile(r"[\w.+-]+")
"""The name of a configuration of a data set."""
TWICE = re.compile(r"Multiple matches for FieldRef\.Name\((.*?)\) in ")
"""The error of pyarrow for two columns with one name."""
BATCH = 1000
"""Number of rows that are read at a time."""


def read_parquet(source: str, path: str, columns: Columns) -> Iterator[Row]:
    """The rows of a parquet file; nothing is copied into a cache.

    Raises:
        InvalidInputError: it cannot be read, or a column is missing.
    """
    with in_words(source):
        import datasets

        found = datasets.load_dataset("parquet", data_files=os.path.abspath(path), split="train", streaming=True)
        yield from rows_of(source, found, columns)


def read_hub(source: str, columns: Columns, split: str) -> Table:
    """The rows of a data set on the Hub, `name` or `name:configuration`.

    Raises:
        InvalidInputError: there is no such data set, or it cannot be read.
    """
    meant = near_paths(source, can_be_read)
    question = did_you_mean(meant)
    name, configuration = (None, None) if _is_path(source, meant) else _data_set(source)
    if name is None:
        if is_url(source):
            raise InvalidInputError(f"{source!r} is a URL, and URLs are not fetched: download the table.")
        cure = question or (
            f"give a file ({endings()}), a folder of files, - for standard input, or a data set on the Hub as 'name' "
            "or 'name:configuration'."
        )
        raise InvalidInputError(f"there is no file or folder {source!r}; {cure}")
    check_on_hub(name, "dataset", question)
    title = f"{source} ({split})"
    with in_words(source, question):
        import datasets

        found = datasets.load_dataset(name, configuration, split=split)
        return table_of(title, rows_of(title, found, columns), columns, source, name, split)


def _data_set(source: str) -> tuple[str | None, str | None]:
    """Name and configuration of `name:configuration` or `name`; the name is None if it cannot be one on the Hub."""
    name, colon, configuration = source.partition(":")
    known = is_hub_name(name) and (not colon or CONFIGURATION.fullmatch(configuration))
    return (name if known else None), configuration or None


def _is_path(source: str, meant: Sequence[str]) -> bool:
    """Whether a path that does not exist, near some that do, must mean a file and not a data set on the Hub."""
    if ending_of(source) is not None or shows_form(source) or is_misspelt(source):
        return True
    return bool(meant) and "/" not in source and re.fullmatch(r"\.[a-z]\w*", Path(source.lower()).suffix) is not None


@contextmanager
def in_words(source: str, question: str = "") -> Iterator[None]:
    """Silences datasets within the block, and names the table, or the path that may have been meant, in its errors."""
    import datasets
    from datasets.utils import logging

    level, had_bars = logging.get_verbosity(), not datasets.are_progress_bars_disabled()
    logging.set_verbosity(logging.CRITICAL)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        yield
    except InvalidInputError:
        raise
    except Exception as error:  # pyarrow's and the Hub's among them
        reason = str(error.__cause__ or error) or type(error).__name__
        if twice := TWICE.search(reason):
            raise InvalidInputError(f"{source!r} has several columns called {twice[1]!r}; rename one.") from error
        unknown = _data_set(source)[0] is not None and not os.path.exists(source)
        gap = f"; {question} As" if question else ", and as"
        missing = f"there is no file or folder {source!r}{gap} a data set " if unknown else ""
        raise InvalidInputError(f"{missing}{source!r} cannot be read: {reason}") from error
    finally:
        logging.set_verbosity(level)
        if had_bars:
            datasets.enable_progress_bars()


def rows_of(source: str, found: Any, columns: Columns) -> Iterator[Row]:
    """The rows of a data set, with names of classes in place of their numbers."""
    there = list(found.features)
    names = [there[place] for place in columns.find(source, there, named=True)]
    features = [found.features[name] for name in names]
    if kind_of_inputs(columns.input).are_files and "string" not in str(getattr(features[0], "dtype", "")):
        raise InvalidInputError(
            f"{source}: the column {names[0]!r} holds no paths of files. {columns.input.capitalize()}s in the cells of "
            "a table are not read: save them as files, in a folder for each class, and give that folder."
        )
    number = 0
    for batch in found.select_columns(names).iter(BATCH):
        for cells in zip(*(batch[name] for name in names), strict=True):
            number += 1
            yield Row(number, tuple(map(named, features, cells)))


def named(feature: Any, cell: Any) -> Any:
    """A cell as it was written: class numbers as names (-1, which means no label, as None), `float32` as 0.1."""
    if isinstance(cell, list) and hasattr(feature, "feature"):
        return [named(feature.feature, part) for part in cell]
    if hasattr(feature, "int2str"):
        return None if cell is None or cell < 0 else feature.int2str(cell)
    if isinstance(cell, float) and getattr(feature, "dtype", "") in ("float16", "float32"):
        import numpy as np

        return float(str(np.dtype(feature.dtype).type(cell)))  # 0.1 is no 0.10000000149011612
    return cell
