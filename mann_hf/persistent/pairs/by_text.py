"""Which pairs have a given source, a given target, or both."""

from itertools import islice
from typing import Any

import numpy as np

from ...errors import InvalidTypeError, NotInMemoryError
from ...wording import did_you_mean, near, shown
from .segment import KEPT_SOURCE, KEPT_TARGET, Segment

COMPARED = 10_000
"""Texts among which one that was probably meant is looked for."""


def ids_of_texts(memory: Any, source: Any = None, target: Any = None) -> set[int]:
    """The ids of the pairs of a source, of a target, or of both, letter by letter.

    Args:
        memory: a `PairMemory`.
        source: a text; None for any.
        target: a text; None for any.

    Raises:
        NotInMemoryError: there is none; the message says which texts may be meant.
        InvalidTypeError: something that is no text, such as several at once.
    """
    given = {name: text for name, text in (("source", source), ("target", target)) if text is not None}
    for name, text in given.items():
        if not isinstance(text, str):
            raise InvalidTypeError(
                f"{name} is {shown(text)}; give one string at a time, as in for {name} in [...]: forget({name}={name})."
            )
    found = {id_ for segment in memory.segments for id_ in segment.ids[_rows(segment, given)].tolist()}
    if not found:
        raise NotInMemoryError(_why_none(memory, given), [*given.values()])
    return found


def _rows(segment: Segment, given: dict[str, str]) -> np.ndarray:
    """The rows of the pairs whose texts are these."""
    starts = segment.text_starts.numpy()
    fits = np.ones(len(segment), dtype=bool)
    for name, text in given.items():
        place, bit = (0, KEPT_SOURCE) if name == "source" else (1, KEPT_TARGET)
        letters = text.encode("utf-8", "surrogatepass")  # half of a surrogate pair is in no file
        fits &= (segment.kept.numpy() & bit > 0) & (np.diff(starts)[place::2] == len(letters))
        first = starts[place:-1:2]
        for row in np.flatnonzero(fits).tolist():
            fits[row] = segment.texts[first[row] : first[row] + len(letters)].numpy().tobytes() == letters
    return np.flatnonzero(fits)


def _why_none(memory: Any, given: dict[str, str]) -> str:
    if len(memory) and not any(bool(segment.kept.any()) for segment in memory.segments):
        return "the memory keeps no texts (store_texts=False); forget by id (evidence names them)."
    if len(given) == 2:
        named = f"no pair of the source {shown(given['source'])} and the target {shown(given['target'])}"
        return f"the memory holds {named}; forget(source=...) alone forgets every pair of a source."
    ((name, text),) = given.items()
    other = "target" if name == "source" else "source"
    entries = list(islice(memory.entries, COMPARED))
    if any(getattr(entry, other) == text for entry in entries):
        return f"the memory holds no {name} {shown(text)}; that is a {other}."
    known = {each for entry in entries if (each := getattr(entry, name)) is not None}
    hint = did_you_mean(near(text, sorted(known))) or f"the evidence of an answer shows {name}s."
    return f"the memory holds no {name} {shown(text)}; {hint}"
