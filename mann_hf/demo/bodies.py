"""Reads bodies of requests, within limits of size, time and depth."""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

from ..wording import counted

MOST_BYTES = 1 << 20
"""Size of a body."""
MOST_SECONDS = 20
"""Seconds in which a body has to arrive."""
MOST_DEPTH, MOST_VALUES = 6, 1000
"""Levels of nested lists and objects, and values in all."""
MOST_INPUTS = 16
"""Inputs of one event."""
SESSION = re.compile(r"[\w.-]{1,64}", re.ASCII)
"""A name that a browser may give its session."""

Headers = dict[bytes, list[bytes]]
"""All values of each header, by its name in lower case."""


class Refused(Exception):
    """A request is refused, with an HTTP status and the reason, for the visitor."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


TOO_LARGE = 413, f"That is too much at once: at most {MOST_BYTES:,} bytes."


def check_length(headers: Headers) -> None:
    """Refuses a body whose Content-Length is wrong or too large."""
    lengths = set(headers.get(b"content-length", []))
    if len(lengths) > 1 or not all(length.isdigit() for length in lengths):
        raise Refused(400, "The Content-Length is not one number.")
    if any(len(length) > 12 or int(length) > MOST_BYTES for length in lengths):
        raise Refused(*TOO_LARGE)


async def read_body(receive: Callable[[], Awaitable[Any]]) -> bytes:
    """Reads a whole body.

    Raises:
        Refused: it is too large, or takes too long.
        ConnectionError: the client has gone.
    """
    parts, size = [], 0

    async def read() -> bytes:
        nonlocal size
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ConnectionResetError
            part = message.get("body", b"")
            size += len(part)
            if size > MOST_BYTES:
                raise Refused(*TOO_LARGE)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    try:
        return await asyncio.wait_for(read(), MOST_SECONDS)
    except asyncio.TimeoutError:
        raise Refused(408, f"The request took longer than {MOST_SECONDS} seconds to arrive.") from None


def check_json(headers: Headers) -> None:
    """Refuses a body that is not sent as uncompressed JSON."""
    kinds = [kind.split(b";")[0].strip().lower() for kind in headers.get(b"content-type", [])]
    if kinds != [b"application/json"]:
        raise Refused(415, "The request has to be JSON: Content-Type: application/json.")
    if any(coding.strip().lower() not in (b"", b"identity") for coding in headers.get(b"content-encoding", [])):
        raise Refused(415, "A compressed request is not read.")


def read_event(body: bytes) -> dict[str, Any]:
    """Parses the body of an event.

    Raises:
        Refused: it is no JSON object, or is nested too deep.
    """
    try:
        event = json.loads(body, parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise Refused(400, "The request is not JSON that can be read.") from None
    if not isinstance(event, dict):
        raise Refused(422, "The request has to be a JSON object.")
    _check_depth(event)
    session = event.get("session_hash")
    if session is not None and not (isinstance(session, str) and SESSION.fullmatch(session)):
        raise Refused(422, "session_hash is up to 64 letters, digits, dots and dashes.")
    return event


def inputs_of(event: dict[str, Any]) -> list[Any]:
    """The inputs of an event that are sent as a list, which none of them may be."""
    inputs = event.get("data", [])
    if not isinstance(inputs, list) or len(inputs) > MOST_INPUTS:
        raise Refused(422, f"data is a list of at most {MOST_INPUTS} inputs.")
    if event.get("batched"):
        raise Refused(422, "This page takes one event at a time.")
    return _plain(inputs)


def named_inputs(event: dict[str, Any], parameters: Sequence[dict[str, Any]]) -> list[Any]:
    """The inputs of an event that are sent by name, as Gradio describes its parameters."""
    names = [parameter["parameter_name"] for parameter in parameters]
    needed = {parameter["parameter_name"] for parameter in parameters if not parameter["parameter_has_default"]}
    if not needed <= event.keys() <= {*names}:
        raise Refused(422, f"This event takes {', '.join(names)}, by these names.")
    return _plain([event.get(name) for name in names])


def _plain(inputs: list[Any]) -> list[Any]:
    if any(isinstance(one, (list, dict)) for one in inputs):
        raise Refused(422, "Each input of this page is a text.")
    return inputs


def check_inputs(inputs: Sequence[Any], components: Sequence[Any], by_name: bool) -> None:
    """Refuses inputs of an event if their number is wrong, or one is not among the choices.

    Args:
        inputs: the inputs that were sent.
        components: Gradio's components that the event takes its inputs from.
        by_name: whether the event was called by name, in which case the page's state may be left out.
    """
    shown = [one for one in components if type(one).__name__ != "State"]
    if len(inputs) != len(components) and not (by_name and len(inputs) == len(shown)):
        raise Refused(422, f"This event takes {counted(len(shown), 'input')}, and {len(inputs)} came.")
    for value, component in zip(inputs, components if len(inputs) == len(components) else shown, strict=True):
        choices = [choice[-1] for choice in getattr(component, "choices", None) or ()]
        if choices and value is not None and value not in choices:
            raise Refused(422, f"The choices are {', '.join(map(repr, choices))}.")


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


def _check_depth(event: Any) -> None:
    """Refuses lists and objects that are nested too deep or hold too many values."""
    level, values = [event], 0
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for one in level
            if isinstance(one, (list, dict))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        values += len(level)
        if not level:
            return
        if values > MOST_VALUES:
            break
    raise Refused(422, "The request holds too much, or lists too deep in one another.")
