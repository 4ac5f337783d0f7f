"""Reads json: a list of objects, or an object a line."""

import io
import json
from collections.abc import Iterator
from typing import Any

from ...errors import InvalidInputError
from .columns import Columns
from .rows import BadRow, Row


def read_objects(source: str, text: str, columns: Columns) -> Iterator[Row | BadRow]:
    """The objects of a list, or one a line; the content says which, as either goes by the name of json.

    Raises:
        InvalidInputError: the list cannot be read, or a column is missing in all objects.
    """
    listed = text.lstrip()[:1] == "["
    found = list(_listed(source, text) if listed else _lines(source, text))
    there = dict.fromkeys(name for _, cells in found if isinstance(cells, dict) for name in cells)
    if len(found) == 1 and there and all(isinstance(cells, (list, dict)) for cells in found[0][1].values()):
        raise InvalidInputError(
            f"{source}: is one object of columns; give a list of objects, or an object a line, as pandas writes with "
            "to_json(path, orient='records')."
        )
    names: list[str] = []
    if any(isinstance(cells, dict) for _, cells in found):
        names = [list(there)[place] for place in columns.find(source, list(there), named=True)]
    for number, (line, cells) in enumerate(found, start=1):
        if isinstance(cells, dict):
            yield Row(number, tuple(cells.get(name) for name in names), line)
        elif isinstance(cells, _Broken):
            yield BadRow(number, f"{cells.reason}; give an object a line, or a list of them", line)
        else:
            yield BadRow(number, 'is no object such as {"text": "...", "label": "..."}', line)


class _Broken:
    """What is wrong with a line."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _listed(source: str, text: str) -> Iterator[tuple[None, Any]]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"{source}: no valid JSON at line {error.lineno}: {error.msg}.") from None
    except (ValueError, RecursionError) as error:  # a number of too many digits, lists within lists within lists
        raise InvalidInputError(f"{source}: no JSON that can be read: {error}.") from None
    return ((None, each) for each in found)


def _lines(source: str, text: str) -> Iterator[tuple[int, Any]]:
    for line_number, line in enumerate(io.StringIO(text, newline=""), start=1):
        if not line.strip():
            continue
        try:
            yield line_number, json.loads(line)
        except json.JSONDecodeError as error:
            if error.msg.startswith("Expecting property name") and _is_one_object(text):
                raise InvalidInputError(
                    f"{source}: is one JSON object over many lines; give a list of objects, or an object a line."
                ) from None
            yield line_number, _Broken(f"no valid JSON: {error.msg}")
        except (ValueError, RecursionError) as error:
            yield line_number, _Broken(f"no JSON that can be read: {error}")


def _is_one_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
