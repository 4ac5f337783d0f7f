"""Reads JSON: a list of objects, or an object a line."""

import json
from collections.abc import Iterator
from typing import Any

from ...errors import InvalidInputError
from ...wording import listed
from .columns import Columns
from .decoding import lines_of
from .rows import Row


def read_objects(source: str, text: str, columns: Columns) -> Iterator[Row]:
    """The rows of a list of objects or of an object a line; the content decides, as both are called `.json`.

    Raises:
        InvalidInputError: the list cannot be read, or no object has a column that is wanted.
    """
    found = _found(source, text, columns)
    there = dict.fromkeys(name for _, cells in found if isinstance(cells, dict) for name in cells)
    names: list[str] = []
    if any(isinstance(cells, dict) for _, cells in found):
        names = [list(there)[place] for place in columns.find(source, list(there), named=True)]
    for number, (line, cells) in enumerate(found, start=1):
        if isinstance(cells, dict):
            yield Row(number, tuple(cells.get(name) for name in names), line)
        elif isinstance(cells, _Broken):
            yield Row(number, line=line, problem=f"{cells}; give an object a line, or a list of them")
        else:
            yield Row(number, line=line, problem=f'is no object such as {{"{columns.input}": "...", "label": "..."}}')


class _Broken(str):
    """Why a line cannot be read."""


def _found(source: str, text: str, columns: Columns) -> list[tuple[int | None, Any]]:
    """All objects, each with its line, or None if they are in a list."""
    start = text.lstrip()[:1]
    if start == "[":
        return [(None, each) for each in _read(source, text)]
    whole = _whole(text) if start == "{" else None
    if whole is None:
        return list(_lines(text))
    lists = {name: each for name, each in whole.items() if _is_objects(each)}
    if lists and not columns.have_inputs(list(whole)):
        if len(lists) > 1:
            raise InvalidInputError(
                f"{source}: has several lists of objects, under {listed(map(repr, lists))}; save each in its own file."
            )
        ((name, objects),) = lists.items()
        columns.say(f"{source}: reads the list under {name!r}.")
        return [(None, each) for each in objects]
    if whole and all(isinstance(each, (list, dict)) for each in whole.values()):
        raise InvalidInputError(
            f"{source}: is one object of columns; give a list of objects, or an object a line, as pandas writes with "
            "to_json(path, orient='records')."
        )
    if "\n" in text.strip():
        raise InvalidInputError(
            f"{source}: is one JSON object over many lines; give a list of objects, or an object a line."
        )
    return [(1, whole)]


def _read(source: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"{source}: no valid JSON at line {error.lineno}: {error.msg}.") from None
    except (ValueError, RecursionError) as error:  # too many digits, or nested too deep
        raise InvalidInputError(f"{source}: no JSON that can be read: {error}.") from None


def _whole(text: str) -> dict[str, Any] | None:
    """The object, if the text is a single one; None otherwise."""
    first, _, rest = text.strip().partition("\n")
    try:
        json.loads(first)
        if rest:  # an object a line
            return None
    except (ValueError, RecursionError):
        if not rest:
            return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _lines(text: str) -> Iterator[tuple[int, Any]]:
    for line_number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        try:
            yield line_number, json.loads(line)
        except json.JSONDecodeError as error:
            yield line_number, _Broken(f"no valid JSON: {error.msg}")
        except (ValueError, RecursionError) as error:
            yield line_number, _Broken(f"no JSON that can be read: {error}")
