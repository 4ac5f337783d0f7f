"""Episodes of SCAN in which words have other meanings, as a model learns to take them from the support.

Source: Lake 2019, [Compositional generalization through meta sequence-to-sequence
learning](https://arxiv.org/abs/1906.05381), sections 5.2 to 5.5.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mann_hf.episodes import Pair, TaskSampler

from .data import load, official_name, read_all

ACTIONS = (("walk", "I_WALK"), ("look", "I_LOOK"), ("run", "I_RUN"), ("jump", "I_JUMP"))
DIRECTIONS = (("right", "I_TURN_RIGHT"), ("left", "I_TURN_LEFT"))
EXTRA = tuple((str(number), f"I_{number}") for number in range(1, 21))
"""Words and actions without a meaning of their own, from which episodes take some in place of SCAN's."""
LONG = 12
"""Actions of a sequence that is asked in the episodes of the length split; shorter ones are support."""
CONTROLS = ("none", "no_memory", "no_support_loss")


@dataclass(frozen=True)
class Protocol:
    """How episodes of a split are made, and what a model is given when it is tested.

    Attributes:
        words: the words whose meanings change, with their actions in SCAN.
        extra: how many words of `EXTRA` take part.
        held_out: the word whose own meaning no episode may show; None where only the meaning of all words at once may
            not be shown.
        k_shot: support pairs of an episode.
        n_query: queries of an episode.
        long_queries: whether an episode's queries are the long ones of the split's training part and its support the
            short ones; else both are drawn from all commands.
        test_support: the pairs that a model is given when it is tested; where empty, `k_shot` pairs of the training
            part, drawn `test_draws` times.
        test_draws: see there.
    """

    words: Sequence[tuple[str, str]]
    extra: int = 0
    held_out: str | None = None
    k_shot: int = 20
    n_query: int = 20
    long_queries: bool = False
    test_support: Sequence[tuple[str, str]] = ()
    test_draws: int = 1


PRIMITIVES = Protocol(ACTIONS, test_support=ACTIONS)
TURNS = tuple((f"turn {word}", action) for word, action in DIRECTIONS)
PROTOCOLS: Sequence[tuple[str, Protocol]] = (
    ("addprim_turn_left", Protocol(DIRECTIONS, extra=2, held_out="left", test_support=TURNS)),
    ("template_.*|filler_.*", Protocol(DIRECTIONS, extra=2, held_out="right", test_support=TURNS)),
    ("length", Protocol(ACTIONS, extra=20, k_shot=100, long_queries=True, test_draws=5)),
    (".*", PRIMITIVES),
)
"""The protocol of the splits whose official name matches, the first that does: sections 5.4, 5.5 and 5.2."""


def protocol_of(split: str) -> Protocol:
    """The protocol of a split.

    Raises:
        ValueError: there is no such split.
    """
    name = official_name(split)
    return next(protocol for pattern, protocol in PROTOCOLS if re.fullmatch(pattern, name))


class EpisodeMaker:
    """Makes episodes: a few commands and their actions under a new meaning of some words, and others to translate.

    Args:
        protocol: how.
        support: the pairs that support is drawn from.
        query: the pairs that queries are drawn from; those of `support` where left out.
        with_support: whether there is any support.
    """

    def __init__(
        self,
        protocol: Protocol,
        support: Sequence[Pair],
        query: Sequence[Pair] | None = None,
        with_support: bool = True,
    ) -> None:
        self.protocol, self.support, self.with_support = protocol, support, with_support
        self.query = support if query is None else query
        self.apart = query is not None

    def __call__(self, random: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
        """The support and the queries of an episode."""
        protocol = self.protocol
        if self.apart:
            shown = [self.support[row] for row in random.choice(len(self.support), protocol.k_shot, replace=False)]
            asked = [self.query[row] for row in random.choice(len(self.query), protocol.n_query, replace=False)]
        else:
            rows = random.choice(len(self.support), protocol.k_shot + protocol.n_query, replace=False)
            drawn = [self.support[row] for row in rows]
            shown, asked = drawn[: protocol.k_shot], drawn[protocol.k_shot :]
        words, actions = new_meanings(protocol, random)
        support, query = ([reworded(pair, words, actions) for pair in part] for part in (shown, asked))
        return (support if self.with_support else []), query


def new_meanings(protocol: Protocol, random: np.random.Generator) -> tuple[dict[str, str], dict[str, str]]:
    """For each word, and for each of its actions, the one that takes its place in an episode.

    Words and actions are shuffled each, and are paired in that order. Where that gives what is held out for the test,
    both are shuffled again.
    """
    every = [*protocol.words, *EXTRA[: protocol.extra]]
    count = len(protocol.words)
    while True:
        words = [every[place][0] for place in random.permutation(len(every))[:count]]
        actions = [every[place][1] for place in random.permutation(len(every))[:count]]
        meaning = dict(zip(words, actions, strict=True))
        known = dict(every)
        if protocol.held_out is None:
            shown = meaning == dict(protocol.words)
        else:
            shown = meaning.get(protocol.held_out) == known[protocol.held_out]
        if not shown:
            sources, targets = zip(*protocol.words, strict=True)
            return dict(zip(sources, words, strict=True)), dict(zip(targets, actions, strict=True))


def reworded(pair: Pair, words: Mapping[str, str], actions: Mapping[str, str]) -> Pair:
    """A command and its actions with other words in their places."""
    source, target = (
        " ".join(given.get(word, word) for word in text.split())
        for text, given in ((pair.source, words), (pair.target, actions))
    )
    return Pair(source, target)


def maker_of(data: str | Path, split: str, control: str = "none") -> EpisodeMaker:
    """Makes the episodes that a split is learned from.

    Args:
        data: as `data.load` takes it.
        split: likewise.
        control: a name of `CONTROLS`; `"no_memory"` gives no support.
    """
    protocol, with_support = protocol_of(split), control != "no_memory"
    if not protocol.long_queries:
        return EpisodeMaker(protocol, read_all(data), with_support=with_support)
    pairs = load(data, split, "train")
    short = [pair for pair in pairs if len(pair.target.split()) < LONG]
    long = [pair for pair in pairs if len(pair.target.split()) >= LONG]
    return EpisodeMaker(protocol, short, long, with_support)


def sampler_of(data: str | Path, split: str, seed: int, control: str = "none") -> TaskSampler:
    """The training episodes of a split; without the control `"no_support_loss"` the support is asked, too.

    Raises:
        ValueError: there is no such split or control.
    """
    if control not in CONTROLS:
        raise ValueError(f"there is no control {control!r}; choose one of {', '.join(map(repr, CONTROLS))}.")
    maker = maker_of(data, split, control)
    return TaskSampler(maker, name=f"SCAN {split}, {control}", ask_support=control != "no_support_loss", seed=seed)


def supports_of_test(data: str | Path, split: str, seed: int = 0) -> list[list[Pair]]:
    """The support sets with which a model is tested, on the whole test part each."""
    protocol = protocol_of(split)
    if protocol.test_support:
        return [[Pair(*pair) for pair in protocol.test_support]]
    pairs = load(data, split, "train")
    random = np.random.default_rng([seed, 1])
    draws = (random.choice(len(pairs), protocol.k_shot, replace=False) for _ in range(protocol.test_draws))
    return [[pairs[row] for row in rows] for rows in draws]


def vocabulary(pairs: Sequence[Pair], split: str) -> list[str]:
    """All words that episodes and tests of a split hold."""
    texts: list[Any] = [*(text for pair in pairs for text in pair)]
    extra = EXTRA[: protocol_of(split).extra]
    return sorted({word for text in texts for word in text.split()}) + [word for pair in extra for word in pair]
