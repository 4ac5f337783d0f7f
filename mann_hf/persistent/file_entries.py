"""The entries in the file of a memory."""

import gc
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import compress
from typing import Any

from ..targets.kinds import targets_of
from .entries import LARGEST_ID, Entry

READABLE_FILE = "memory.json"
"""The copy of a memory's file that people read; nothing is loaded from it."""


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Stops garbage collection, which walks over all objects again and again as those of a large memory are made."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def entries_from(described: Any, problem_type: str) -> tuple[Entry, ...]:
    """The entries in the description of a memory, checked column by column: there may be a million.

    A built-in error is raised where a stranger has written something else.
    """
    expect(isinstance(described, list), "the entries are no list")
    ids, texts, labels, kinds = ([entry[field] for entry in described] for field in ("id", "text", "label", "kind"))
    expect(set(map(type, texts)) <= {str, type(None)}, "a text is no string")
    for kind in kinds:
        if kind not in ("example", "description"):
            raise ValueError(f"unknown kind of entry {kind!r}")
    meant = list(map(targets_of(problem_type).from_json, labels))
    expect("description" not in compress(kinds, map(operator.not_, meant)), "a description of no label")
    expect(set(map(type, ids)) <= {int}, "an id is no whole number")
    expect(not ids or (min(ids) >= 0 and max(ids) <= LARGEST_ID), "a number is out of range")
    return tuple(map(Entry, ids, texts, meant, kinds))


def expect(holds: bool, otherwise: str) -> None:
    """Raises a `ValueError` that says what is wrong with a file, where something does not hold."""
    if not holds:
        raise ValueError(otherwise)
