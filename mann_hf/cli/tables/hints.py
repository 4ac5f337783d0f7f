"""Prints hints on texts and labels that may not be what was meant."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from ...targets.labels import BETWEEN_LABELS
from ...targets.pairs import why_swapped
from ...wording import counted, listed, shown
from ..modalities import MODALITIES, TEXT
from ..output import say
from .columns import option_of
from .rows import Table

OTHERS = (";", ",", "/", "+")
"""Other signs that people put between labels, those that are rare in names first."""
FRACTION = re.compile(r"[+-]?\d+[.,]\d+")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
EPOCH = re.compile(r"1[0-9]{12}(\d{3}|\d{6})?", re.ASCII)
"""Milliseconds, microseconds or nanoseconds from 1970 to a moment between 2001 and 2033."""
WORDS_FOR_NOTHING = {
    *("NA", "N/A", "n/a", "<NA>", "NaN", "nan", "-NaN", "-nan", "NaT"),
    *("NULL", "null", "(null)", "None", "nil", "undefined"),
}
"""Words that data frames and databases write for a missing value."""
TOTALS = ("total", "totals", "grand total", "sum", "summe", "gesamt", "gesamtsumme", "insgesamt", "somme", "suma")
"""Words for a last row that adds up the rows above."""
Parts = Callable[[Any], Sequence[Any]]
"""Gives the labels of a cell."""


def say_words_for_nothing(table: Table, parts: Parts) -> None:
    """Prints which words that other programs take for a missing value are in the cells."""
    for place, kind in enumerate((table.kind, "label")[: len(table.columns)]):
        written = [row.cells[place] for row in table.rows]
        cells = (part for part in (chain.from_iterable(map(parts, written)) if place else written) if type(part) is str)
        found = Counter(part for part in cells if part.strip() in WORDS_FOR_NOTHING)
        if found:
            words = listed(f"{word!r} ({counted(count, 'cell')})" for word, count in found.items())
            say(
                f"{table.source}: the column {table.columns[place]!r} has {words}, each read as a {kind} like any "
                "other; leave a cell empty where there is none."
            )


def say_paths(table: Table, texts: Sequence[str]) -> None:
    """Prints a hint if texts look like the paths of files, such as images."""
    for kind, modality in MODALITIES.items():
        if table.kind == TEXT and modality.are_files and all(text.lower().endswith(modality.endings) for text in texts):
            option = option_of(kind)
            cure = f": {option} {table.columns[0]} reads them" if option else ""
            say(f"{table.source}: the texts, such as {shown(texts[0])}, look like paths of {kind}s{cure}.")


def say_swapped(table: Table, texts: Sequence[str], labels: Sequence[Any]) -> None:
    """Prints a hint if texts and labels look swapped."""
    if why := why_swapped(texts, labels):
        say(f"{table.source}: are the columns swapped? {why} (--{table.kind}-column, --label-column).")


def say_separators(table: Table, labels: Sequence[Any], several: bool) -> None:
    """Prints labels that look like several with a sign between them."""
    counts = Counter(name for label in labels for name in ((label,) if isinstance(label, str) else label))
    signs = OTHERS if several else (BETWEEN_LABELS, *OTHERS[:1])
    for sign in signs:
        parts = {name: [part.strip() for part in name.split(sign)] for name in counts if sign in name}
        seen = Counter(part for name in parts for part in parts[name])
        seen.update(name for name in counts if name not in parts)
        lists = [name for name in parts if all(parts[name])]
        if sign != signs[0]:
            lists = [name for name in lists if any(seen[part] > 1 for part in parts[name])]
        if lists:
            found = f"{listed(map(shown, lists), 3)} {'is' if len(lists) == 1 else 'are each'} one label"
            cure = f"put {BETWEEN_LABELS} between them" + (
                ", and make the classifier with --multi-label" * (not several)
            )
            say(f"{table.source}: {found}; if several are meant, {cure}.")


def say_alike(table: Table, labels: Iterable[str]) -> None:
    """Prints labels that differ only in upper and lower case or in the form of their letters."""
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys(labels):
        alike.setdefault(in_one_case(name), []).append(name)
    pairs = [" and ".join(map(visible, names)) for names in alike.values() if len(names) > 1]
    if pairs:
        say(f"{table.source}: {listed(pairs, 3)} are different labels; give them one name if they are one class.")


def say_alike_stored(table: Table, labels: Iterable[str], stored: Iterable[str]) -> None:
    """Prints labels that the memory has only in another case or with other forms of letters."""
    stored = dict.fromkeys(stored)
    known = {in_one_case(name): name for name in stored}
    new = [name for name in dict.fromkeys(labels) if name not in stored and in_one_case(name) in known]
    if new:
        pairs = (f"{visible(name)} (there {visible(known[in_one_case(name)])})" for name in new)
        say(
            f"{table.source}: {counted(len(new), 'label is', 'labels are')} not written as in the memory, "
            f"{listed(pairs, 3)}, and so not the same; give them one name if they are one class."
        )


def in_one_case(name: str) -> str:
    """A text or label in a form for comparing, without differences of case, white space and form of letters."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def say_numbers(table: Table, labels: Iterable[str]) -> None:
    """Prints a hint if labels look like amounts or times."""
    names = set(labels)
    column = table.columns[1]
    if names and all(map(NUMBER.fullmatch, names)) and any(map(FRACTION.fullmatch, names)):
        say(
            f"{table.source}: each of {counted(len(names), 'number')} in the column {column!r} is a class of its own; "
            "if they are amounts, make the classifier with --problem-type regression."
        )
    if names and all(map(EPOCH.fullmatch, names)):
        say(
            f"{table.source}: the labels in the column {column!r}, such as {min(names)}, look like times since 1970, "
            "as data frames write dates to json; to_json(..., date_format='iso') writes them as dates."
        )


def say_total(table: Table, texts: Sequence[str], labels: Sequence[Any]) -> None:
    """Prints a hint if the last row looks like a total: it has a number in a column without others."""
    if len(texts) < 2 or not all(isinstance(label, str) for label in labels):
        return
    last = [texts[-1].strip(), labels[-1].strip()]
    lines = [row.line for row in table.rows[-2:]]
    apart = len(lines) == 2 and lines[0] is not None and lines[1] is not None and lines[1] - lines[0] > 1
    words = [each for each in last if not NUMBER.fullmatch(each)]
    column = (*texts[:-1],) if words == last[1:] else labels[:-1]
    if len(words) == 1 and (apart or words[0].casefold() in TOTALS) and not any(map(NUMBER.fullmatch, column)):
        say(
            f"{table.source}: the last row, {shown(last[0], 40)} with the label {shown(last[1], 40)}, looks like a "
            "total of the rows above; remove it if it is no example."
        )


def say_contradictions(
    table: Table, inputs: Sequence[str], labels: Sequence[Any], contents: Sequence[Any] | None = None
) -> None:
    """Prints inputs that have different labels in different rows.

    Args:
        table: the table that they are of.
        inputs: texts, or paths as the table has them.
        labels: for each input its label, or its labels.
        contents: what tells inputs apart; by default the inputs themselves.
    """
    several: dict[Any, dict[Any, str]] = {}
    for given, label, content in zip(inputs, labels, inputs if contents is None else contents, strict=True):
        several.setdefault(content, {}).setdefault(label if isinstance(label, str) else tuple(sorted(label)), given)
    found = [each for each in several.values() if len(each) > 1]
    if found:
        names = listed(
            (shown(name if isinstance(name, str) else BETWEEN_LABELS.join(name), 40) for name in found[0]), 3
        )
        example = listed((shown(given, 60) for given in dict.fromkeys(found[0].values())), 3)
        count = counted(len(found), f"{table.kind} has", f"{table.kind}s have")
        such = "" if len(found) == 1 else "such as "
        say(f"{table.source}: {count} different labels in different rows, {such}{example}: {names}.")


def say_spelling(table: Table, parts: Parts, spell: Callable[[str], str | None], several: bool) -> None:
    """Prints labels whose spelling differs from how they are written in the table.

    With `several` in a cell, white space around each is no difference.
    """
    changed: Counter[tuple[str, str]] = Counter()
    spaces = 0
    for row in table.rows:
        for part in parts(row.cells[1]):
            name = spell(part) if isinstance(part, str) else None
            if name is None or name == part or (several and part.strip() == name):
                continue
            changed[part, name] += 1
            spaces += part.strip() != part
    if changed:
        spelled = [f"{visible(written)} as {visible(name, written)}" for written, name in changed]
        ends = f" ({counted(spaces, 'label has', 'labels have')} white space at the ends)" if spaces else ""
        say(f"{table.source}: labels are spelled in one way, {listed(spelled, 5)}{ends}.")


def visible(text: str, beside: str = "") -> str:
    """A text in quotes, with invisible characters, repeated spaces and combining marks escaped."""
    composed = all(unicodedata.is_normalized("NFKC", each) for each in (text, beside))
    return re.sub(" {2,}", lambda spaces: r"\x20" * len(spaces[0]), shown(text) if composed else ascii(text[:80]))
