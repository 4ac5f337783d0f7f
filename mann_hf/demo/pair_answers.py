"""The parts of the page of a model that generates, as HTML. The template escapes texts, which strangers may write."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from ..models.card_files import public_name
from ..persistent.pairs import PairEntry, PairMemory
from . import answers
from .pair_session import PairSession, PairView, from_memory

MOST_LETTERS_OF_ANSWER = 2000
"""Letters of a text that was generated that are shown."""
MOST_LETTERS_OF_TOKEN = 40
MOST_TOKENS = 200
"""Tokens of an answer that are shown."""
MOST_SEARCHED = 20_000
"""Pairs that are searched for words, the newest, each of which is read from the memory's columns."""
MOST_OFFERED, MOST_LETTERS_OFFERED = 3, 200
"""Stored sources that are offered to try, and the letters of one."""


def part(name: str, *facts: Any) -> str:
    """A part of the page, made of some facts by the macro of this name."""
    macros = answers.template(
        "pairs.html.jinja",
        from_memory=from_memory,
        most_letters_of_answer=MOST_LETTERS_OF_ANSWER,
        most_letters_of_token=MOST_LETTERS_OF_TOKEN,
        most_tokens=MOST_TOKENS,
        rest_of=_rest_of,
    )
    return str(getattr(macros, name)(*facts))


def header(title: str, memory: PairMemory, config: Any) -> str:
    """The head of the page.

    Args:
        title: of the page.
        memory: whose size it says.
        config: of the model.
    """
    return part("header", title, memory, public_name(config.encoder_name), config.memory, config.interpolation)


def answer(view: PairView, chosen: int, cut: tuple[int, int] | None) -> str:
    """The text that answers the question, and its tokens as buttons, of which one is pressed.

    Args:
        view: of a question that was asked.
        chosen: the place of the token that is looked at.
        cut: of a question of which only a part was read, the numbers of its tokens and of those that were.
    """
    made = view.answer or {}
    notice = answers.shortened(*cut) if cut else ""
    return part("answer", made["generated_text"], made["evidence"], chosen, view.before, view.memory.kind, notice)


def behind(session: PairSession) -> str:
    """The stored pairs behind the token that is looked at, if any."""
    return part("behind", session.token_looked_at, session.memory.kind)


def invitation(memory: PairMemory, examples: Sequence[str]) -> str:
    """What is shown before the first question: texts to try, by default the newest sources that are stored."""
    if not examples:
        newest = (memory.pair(number).source for number in range(len(memory) - 1, max(-1, len(memory) - 10), -1))
        short = (source for source in newest if source is not None and len(source) <= MOST_LETTERS_OFFERED)
        examples = list(islice(dict.fromkeys(short), MOST_OFFERED))
    return part("invitation", memory, examples)


def stored(memory: PairMemory, wanted: str, most: int) -> str:
    """The stored pairs with the wanted words, if any, in source or target, the newest first and a few at most."""
    words, count = wanted.strip().casefold(), len(memory)
    if not words:
        newest = [memory.pair(number) for number in range(count - 1, max(-1, count - 1 - most), -1)]
        return part("stored", newest, count, memory, count)
    searched = min(count, MOST_SEARCHED)
    numbers = range(count - 1, count - 1 - searched, -1)
    found = [entry for entry in map(memory.pair, numbers) if _has(entry, words)]
    return part("stored", found[:most], len(found), memory, searched)


def _has(entry: PairEntry, words: str) -> bool:
    return any(words in text.casefold() for text in (entry.source, entry.target) if text is not None)


def _rest_of(token: dict[str, Any]) -> float:
    """What is behind a token beside the pairs that are named."""
    return 1.0 - from_memory(token)
