"""The parts of the page as HTML. Texts and labels may come from strangers, so the template escapes all of them."""

import base64
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from ..errors import InvalidInputError
from ..models import Entry, LabelledMemory
from ..persistent.entries import label_names
from ..targets.kinds import targets_of
from ..wording import counted, with_article
from .bounds import MOST_LETTERS_SENT, called, short
from .inputs import PageInputs
from .map import MOST_DRAWN, MOST_LETTERS_OF_LABEL, NO_LABEL, mark_of

TEMPLATES = Path(__file__).with_name("templates")
MOST_LETTERS = 300
"""Letters of a text that are shown."""
MOST_LETTERS_OF_DIGEST = 21
"""Letters that are shown of what identifies another input than a text."""
MOST_BYTES_SHOWN = 150_000
"""Bytes of a stored image that is shown."""
PNG = b"\x89PNG\r\n\x1a\n"
MOST_LABELS = 60
"""Labels in the legend."""
MOST_CHIPS = 12
"""Labels of one example that are shown."""
MOST_CHOICES = 500
"""Labels that are offered to choose from."""
KNOWN_LABELS = "mh-known-labels"
"""The id of the list of labels to choose from."""

Answer = dict[str, Any]


def part(name: str, *facts: Any) -> str:
    """A part of the page, made of some facts by the macro of this name."""
    return str(getattr(_parts(), name)(*facts))


def answer(
    ranked: list[Answer],
    memory: LabelledMemory,
    problem_type: str,
    reading: str,
    inputs: PageInputs,
    cut: tuple[int, int] | None = None,
) -> str:
    """The answer to a question: the best labels as bars, and the evidence for those that were chosen.

    Of a text of which only a part was read, `cut` has the numbers of its tokens and of those that were.
    """
    targets = targets_of(problem_type)
    notice = shortened(*cut) if cut else ""
    return part("answer", ranked, targets.chosen(ranked), targets.several, memory, reading, notice, inputs)


def stored(memory: LabelledMemory, wanted: str, most: int, inputs: PageInputs) -> str:
    """The stored examples with the wanted words, if any, in their text or label, the newest first and a few at most."""
    found, count = _found(memory, wanted.strip().casefold(), most)
    return part("stored", found, count, _whole_label(wanted, memory), memory, inputs)


def _found(memory: LabelledMemory, words: str, most: int) -> tuple[list[Entry], int]:
    """The newest entries with these words, which are in lower case, and the number of all entries with them."""
    if not words:
        return list(memory.entries[: -most - 1 : -1]), len(memory)
    labels = {label for label in memory.labels if words in label.casefold()}
    found, count = [], 0
    for entry in reversed(memory.entries):
        if words in (entry.text or "").casefold() or not labels.isdisjoint(label_names(entry.label)):
            count += 1
            if count <= most:
                found.append(entry)
    return found, count


def _whole_label(wanted: str, memory: LabelledMemory) -> dict[str, Any] | None:
    """The label with the wanted name and the number of its examples; None if there is no such label."""
    try:
        name = called(wanted, memory.labels) or called(wanted.strip(), memory.labels)
    except InvalidInputError:
        name = None
    if name is None:
        return None
    return {"label": name, "examples": sum(name in label_names(entry.label) for entry in memory.entries)}


def legend(memory: LabelledMemory, noun: str) -> str:
    """The labels with their marks on the map and the number of their examples; a click finds these.

    It also has the list from which the label of a new example can be chosen.

    Args:
        memory: whose labels they are.
        noun: what an input is called.
    """
    counts = Counter(label for entry in memory.entries for label in label_names(entry.label))
    notes = []
    if len(memory):
        notes.append(
            f"Each point is a stored example, and near ones are alike to the encoder; the star is your {noun}."
        )
    if len(memory.labels) > MOST_LABELS:
        notes.append(f"{len(memory.labels) - MOST_LABELS:,} more labels are not listed.")
    if len(memory) > MOST_DRAWN:
        notes.append(f"The map shows {MOST_DRAWN:,} of {len(memory):,} examples, evenly chosen.")
    return part("legend", memory, counts, notes)


def shortened(tokens: int, read: int) -> str:
    """The notice that only the beginning of a text was read."""
    return (
        f"The text is long: only its beginning counts, {read:,} of its {tokens:,} tokens (words and pieces of words)."
    )


def notice(message: str, is_problem: bool = False) -> str:
    """A message about what was tried. A screen reader reads it out, and interrupts itself for a problem."""
    return part("notice", message, is_problem)


@cache
def template(name: str, **names: Any) -> Any:
    """The macros of a template, which escape what they are given.

    Args:
        name: of its file.
        names: what it uses beside the filters that all have.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_without_indentation), undefined=jinja2.StrictUndefined, autoescape=True
    )
    environment.filters |= {
        "counted": counted,
        "short": short,
        "sent": lambda label: label[:MOST_LETTERS_SENT],
        "with_article": with_article,
    }
    environment.globals |= {"most_letters": MOST_LETTERS, **names}
    return environment.get_template(name).module


def _parts() -> Any:
    return template(
        "parts.html.jinja",
        colour_of=_colour_of,
        entry_of=_entry_of,
        image_of=_image_of,
        label_names=label_names,
        mark_of=mark_of,
        known_labels=KNOWN_LABELS,
        most_chips=MOST_CHIPS,
        most_choices=MOST_CHOICES,
        most_labels=MOST_LABELS,
        most_letters_of_digest=MOST_LETTERS_OF_DIGEST,
        most_letters_of_label=MOST_LETTERS_OF_LABEL,
        no_label=NO_LABEL,
    )


def _without_indentation(name: str) -> str:
    """A template on one line, because white space between tags is visible in a browser."""
    return "".join(map(str.strip, TEMPLATES.joinpath(name).read_text(encoding="utf-8").splitlines()))


def _entry_of(part: dict[str, Any], memory: LabelledMemory) -> Entry | None:
    """The entry of a part of the evidence; None for a label's own words, which cannot be forgotten alone."""
    slot = memory.slot_by_id.get(part["id"])
    return None if slot is None else memory.entry(slot)


def _image_of(entry: Entry) -> str | None:
    """The address of the content of an image that a memory keeps; None where it keeps none, or too large a one."""
    if entry.stored is None or len(entry.stored) > MOST_BYTES_SHOWN or not entry.stored.startswith(PNG):
        return None
    return f"data:image/png;base64,{base64.b64encode(entry.stored).decode()}"


def _colour_of(label: str, memory: LabelledMemory) -> str:
    return mark_of(memory.labels.index(label)).colour if label in memory.labels else "currentColor"
