"""Texts and labels side by side: whether they were probably meant to go together as they came."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import InvalidInputError
from ..wording import counted, shown

FEWEST = 4
"""Rows from which on texts and labels are compared."""
FEWEST_WORDS = 4
"""Mean number of words from which texts are sentences, and not the meaning of a code or a function."""
MOST_DIGITS = 4
"""The most digits of the number of a class; longer ones are names that are numbers, such as those of articles."""


def why_swapped(texts: Sequence[str], labels: Sequence[str | tuple[str, ...]]) -> str | None:
    """Why texts and labels look swapped; None where they do not.

    Labels are long and differ from row to row, and texts repeat, or are names such as `card_arrival` whose labels are
    sentences. Other short texts that each have a label of their own, as words or error codes with what they mean, are
    taken as they are.
    """
    names = [" ".join(label) if isinstance(label, tuple) else label for label in labels]
    if len(names) < FEWEST:
        return None
    different, all_texts = len(set(names)), len(set(texts))
    longer = sum(map(len, names)) > 1.5 * sum(map(len, texts))
    if not longer or different < 0.8 * len(names) or all_texts > different:
        return None
    sentences = sum(len(name.split()) for name in names) >= FEWEST_WORDS * len(names)
    if all_texts == different and not (sentences and _are_names(texts)):
        return None
    return (
        f"{counted(different, 'different label')}, such as {shown(names[0], 40)}, came for "
        f"{counted(all_texts, 'different text')}, such as {shown(texts[0], 40)}"
    )


def _are_names(texts: Sequence[str]) -> bool:
    """Whether texts are written as names of classes are: in one word without digits, and most with an underscore."""
    codes = any(len(text.split()) != 1 or text.isupper() or any(map(str.isdigit, text)) for text in texts)
    return not codes and 2 * sum("_" in text for text in texts) > len(texts)


def why_numbers_meet_names(known: Iterable[str], labels: Iterable[str]) -> str | None:
    """What to say where numbers of classes come to a memory of names, or names to one of such numbers; else None."""
    known, labels = list(known), [*dict.fromkeys(labels)]
    held, new = [*map(_is_number, known)], [*map(_is_number, labels)]
    if not held or not new or any(held) == any(new) or not (all(held) or all(new)):
        return None
    return (
        f"labels such as {shown(labels[0], 40)} come to a memory of labels such as {shown(known[0], 40)}: are they the "
        "numbers of the same classes? Then forget the numbers, and teach those inputs by names. A ClassLabel column "
        "has its names as a whole, ds['label'], also of ds.select(...); cut, as in ds['label'][:2], it is numbers."
    )


def _is_number(label: str) -> bool:
    """Whether a label is written as the number of a class is."""
    return label.isascii() and label.isdigit() and len(label) <= MOST_DIGITS and label == str(int(label))


def check_same_rows(texts: Any, labels: Any) -> str | None:
    """Refuses two columns of pandas that have the same rows in another order: they would be matched by position.

    Returns:
        What to say where they have some rows in common at other places; None of all else.

    Raises:
        InvalidInputError: they have the same rows in another order.
    """
    one: Any
    other: Any
    one, other = (getattr(column, "index", None) for column in (texts, labels))
    indexes = hasattr(one, "equals") and hasattr(other, "equals")
    if not indexes or not len(one) or len(one) != len(other) or one.equals(other):
        return None
    try:
        rows, others = Counter(one), Counter(other)
    except TypeError:  # rows that are named by lists, say
        return None
    aligned = "labels.loc[inputs.index], or " if rows.keys() <= others.keys() and max(others.values()) == 1 else ""
    if rows == others:
        raise InvalidInputError(
            "inputs and labels are columns of pandas with the same index in another order, and would be matched by "
            f"position: give {aligned}inputs.tolist() and labels.tolist() if positions are meant."
        )
    if rows.keys() & others.keys():
        return (
            "inputs and labels are columns of pandas with different indexes, and are matched by position: give "
            f"{aligned}inputs.tolist() and labels.tolist() if that is meant."
        )
    return None
