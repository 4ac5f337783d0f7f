"""Pairs are found, and forgotten, by the letters of their texts."""

from typing import Any

import pytest

from mann_hf.errors import InvalidTypeError, NotInMemoryError
from mann_hf.persistent.pairs import PairMemory, ids_of_texts
from tests.taught_pairs import E, K, encoded, taught

PAIRS = [("a dog", "ein Hund"), ("a dog", "der Hund"), ("a \u732b", "ein Hund"), ("ein Hund", "a dog"), ("a dof", "x")]


def left(memory: PairMemory) -> list[tuple[str | None, str | None]]:
    return [(entry.source, entry.target) for entry in memory.entries]


@pytest.mark.parametrize(
    ("given", "gone"),
    [
        ({"source": "a dog"}, PAIRS[:2]),
        ({"target": "ein Hund"}, [PAIRS[0], PAIRS[2]]),
        ({"source": "a dog", "target": "ein Hund"}, PAIRS[:1]),
        ({"source": "a \u732b"}, PAIRS[2:3]),
    ],
)
def test_pairs_are_forgotten_by_their_texts(given: dict[str, str], gone: list[tuple[str, str]]) -> None:
    memory = taught(PAIRS[:2]).remember(encoded(PAIRS[2:]))[0]
    assert left(memory.forget(**given)) == [pair for pair in PAIRS if pair not in gone]


def test_ids_and_texts_go_together() -> None:
    memory = taught(PAIRS)
    assert left(memory.forget([memory.pair(4).id, memory.pair(0).id], source="a dog")) == PAIRS[2:4]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"source": "a dofg"}, "did you mean 'a dog' or 'a dof'"),
        ({"source": "der Hund"}, "holds no source 'der Hund'; that is a target"),
        ({"target": "nothing of it"}, "evidence of an answer shows targets"),
        ({"source": "a dof", "target": "ein Hund"}, "no pair of the source 'a dof' and the target 'ein Hund'"),
        ({"source": ""}, "no source ''"),
        ({"source": "\ud83d"}, "holds no source"),
    ],
)
def test_texts_that_are_not_there(given: dict[str, str], words: str) -> None:
    memory = taught(PAIRS)
    with pytest.raises(NotInMemoryError, match=words) as told:
        memory.forget(**given)
    assert told.value.missing == [*given.values()]


@pytest.mark.parametrize("text", [["a dog"], 3])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(InvalidTypeError, match="one string at a time"):
        ids_of_texts(taught(PAIRS), source=text)


def test_a_memory_without_texts_says_so() -> None:
    memory = PairMemory.empty("token", K, E).remember(encoded(PAIRS), store_texts=False)[0]
    with pytest.raises(NotInMemoryError, match="keeps no texts"):
        memory.forget(source="a dog")
