"""Captions of Multi30k in two languages, and words that are held out of training.

Reads `multi30k_en_de/<part>.jsonl.gz` in the data folder, one JSON object a line with `en` and `de`; or a data set on
the Hub with these columns, such as `bentrevett/multi30k`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mann_hf.episodes import Pair
from tasks.common.tables_of_json import read_rows

LANGUAGES = ("de", "en")
FOLDER = "multi30k_en_de"
ON_HUB = {"val": "validation", "test_2016_flickr": "test"}
"""What parts are called on the Hub, where that differs."""
WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
ALIKE = 0.8
"""The Dice coefficient from which on a word is the translation of another."""


class HeldOutWord(NamedTuple):
    """A word that training never saw, in both languages.

    Attributes:
        source: the word.
        target: its translation.
        taught: pairs with the word, in the order in which they are remembered.
        asked: other pairs with the word.
    """

    source: str
    target: str
    taught: list[Pair]
    asked: list[Pair]


def load(data: str | Path, part: str, source: str = "de", target: str = "en") -> list[Pair]:
    """The pairs of a part.

    Args:
        data: the folder that holds `multi30k_en_de`, or the name of a data set on the Hub.
        part: `"train"`, `"val"`, `"test_2016_flickr"` or another file's name.
        source: the language of the sources.
        target: the language of the targets.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: a language that there is not.
    """
    for language in (source, target):
        if language not in LANGUAGES:
            raise ValueError(f"there is no language {language!r}; choose one of {', '.join(LANGUAGES)}.")
    rows = read_rows(data, FOLDER, part, split=ON_HUB.get(part, part))
    return [
        Pair(row[source].strip(), row[target].strip()) for row in rows if row[source].strip() and row[target].strip()
    ]


def words(text: str) -> set[str]:
    """The words of a text, in lower case."""
    return {word.lower() for word in WORD.findall(text)}


def hold_out(
    pairs: Sequence[Pair], count: int, *, teach: int = 5, least: int = 10, most: int = 40, seed: int = 0
) -> tuple[list[Pair], list[HeldOutWord]]:
    """Takes all pairs with some rare words out of training pairs.

    A word has one translation here: a word of the other language that is in nearly all pairs with it and in few others,
    by the Dice coefficient 2 |A ∩ B| / (|A| + |B|) of the pairs with each. Words are drawn at random among those whose
    coefficient is `ALIKE` or more and that are in `least` to `most` pairs.

    Source: Smadja et al. 1996, [Translating Collocations for Bilingual Lexicons](https://aclanthology.org/J96-1001),
    for the coefficient.

    Args:
        pairs: of training.
        count: number of words.
        teach: pairs of each word that are for teaching; the others are asked.
        least: smallest number of pairs of a word, above `teach`.
        most: largest number of pairs of a word.
        seed: of the draws.

    Returns:
        The pairs that are left, and the words.

    Raises:
        ValueError: there are fewer such words.
    """
    pairs = list(dict.fromkeys(pairs))
    of_source, of_target = (_rows(pair[side] for pair in pairs) for side in (0, 1))
    chosen: list[tuple[str, str]] = []
    taken: set[int] = set()
    candidates = sorted(word for word, rows in of_source.items() if max(least, teach + 1) <= len(rows) <= most)
    random = np.random.default_rng(seed)
    for place in random.permutation(len(candidates)):
        word = candidates[place]
        found = _translation(word, pairs, of_source, of_target)
        if found is None or taken & {*of_source[word], *of_target[found]}:
            continue
        chosen.append((word, found))
        taken |= {*of_source[word], *of_target[found]}
        if len(chosen) == count:
            break
    if len(chosen) < count:
        raise ValueError(f"there are {len(chosen)} words of {least} to {most} pairs with one translation, not {count}.")
    held = []
    for word, found in chosen:
        both = sorted({*of_source[word]} & {*of_target[found]})
        order = [both[place] for place in random.permutation(len(both))]
        held.append(HeldOutWord(word, found, [pairs[r] for r in order[:teach]], [pairs[r] for r in order[teach:]]))
    return [pair for row, pair in enumerate(pairs) if row not in taken], held


def _rows(texts: Iterable[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        for word in words(text):
            found[word].append(row)
    return found


def _translation(
    word: str, pairs: Sequence[Pair], of_source: dict[str, list[int]], of_target: dict[str, list[int]]
) -> str | None:
    """The word of the other language with a Dice coefficient of `ALIKE` or more; None without one."""
    beside = Counter(other for row in of_source[word] for other in words(pairs[row].target))
    best, together = max(
        beside.items(), key=lambda each: (2 * each[1] / (len(of_target[each[0]]) + len(of_source[word])), each[0])
    )
    return best if 2 * together >= ALIKE * (len(of_target[best]) + len(of_source[word])) else None
