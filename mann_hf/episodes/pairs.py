"""Episodes of pairs: a few pairs of a source and a target to learn from, and sources whose targets are asked."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import InvalidInputError, InvalidTypeError
from ..wording import counted, listed, shown
from .counts import Count, as_range, span
from .episode import Episode, Examples, Pair
from .pair_table import PairTable, digest_of_pairs
from .seeded import SeededEpisodes

PAIRS = "pairs"
"""The kind of such episodes, for a trainer."""
NAMES = ("pair",)
"""The one class that all pairs of an episode are of."""
MakeEpisode = Callable[[np.random.Generator], tuple[Iterable[tuple[str, str]], Iterable[tuple[str, str]]]]
"""Makes the support and the query pairs of an episode by random draws."""


class PairSampler(SeededEpisodes):
    """Draws episodes of support and query pairs from a data set, without end and without a pair in both.

    Pairs are drawn without replacement, and one that is in several rows counts once. A source with several targets may
    be support with one and query with another, unless `apart` is set.

    Args:
        dataset: a `datasets.Dataset` of pairs, or several by name; each episode is drawn from one of them.
        k_shot: number of support pairs in an episode, or a range; 0 for none.
        n_query: number of query pairs, or a range.
        source_column: the column of the sources.
        target_column: the column of the targets.
        apart: whether no source of the support is among the queries, whatever its targets are.
        ask_support: whether the support pairs are asked, too, behind the queries.
        weights: relative frequency of each of several data sets, by name; by default the number of its pairs.
        seed: random seed of the draws.
        process_index: which of several processes this is.
        num_processes: their number.

    Raises:
        InvalidTypeError: data of another type.
        InvalidInputError: a missing column, no rows, impossible settings, or too few pairs for an episode.
    """

    episode_kind = PAIRS

    def __init__(
        self,
        dataset: Any,
        k_shot: Count = 1,
        n_query: Count = 5,
        *,
        source_column: str = "source",
        target_column: str = "target",
        apart: bool = True,
        ask_support: bool = False,
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
        process_index: int = 0,
        num_processes: int = 1,
    ) -> None:
        self.k_shot, self.n_query = as_range("k_shot", k_shot, 0), as_range("n_query", n_query, 0)
        super().__init__(seed, process_index, num_processes)
        self.apart, self.ask_support = apart, ask_support
        several = isinstance(dataset, Mapping) and not hasattr(dataset, "column_names")
        given = dict(dataset) if several else {"the data set": dataset}
        if not given:
            raise InvalidInputError("there is no data set to draw from.")
        self.tables = {
            name: PairTable(one, source_column, target_column, repr(name) if several else name)
            for name, one in given.items()
        }
        needed = self.k_shot[1] + self.n_query[1]
        if not needed:
            raise InvalidInputError("an episode without pairs: give a k_shot or n_query of 1 or more.")
        self._groups = {name: self._grouped(table) for name, table in self.tables.items()}
        for name, table in self.tables.items():
            if len(self._groups[name]) < needed:
                kind = "different sources" if apart else "different pairs"
                raise InvalidInputError(
                    f"{table.called} has {len(self._groups[name])} {kind}, and an episode takes {needed} (k_shot "
                    f"{self.k_shot[1]} and n_query {self.n_query[1]})."
                )
        self._weights = self._shares(weights)

    def _grouped(self, table: PairTable) -> list[list[Pair]]:
        """The pairs among which one is drawn at most: those of one source, or each by itself."""
        if not self.apart:
            return [[pair] for pair in table.distinct]
        groups: dict[str, list[Pair]] = {}
        for pair in table.distinct:
            groups.setdefault(pair.source, []).append(pair)
        return list(groups.values())

    def draw(self, number: int) -> Episode:
        random = np.random.default_rng([self.seed, number])
        names = list(self.tables)
        groups = self._groups[names[random.choice(len(names), p=self._weights)] if len(names) > 1 else names[0]]
        shots, asked = (int(random.integers(low, high + 1)) for low, high in (self.k_shot, self.n_query))
        chosen = [groups[place] for place in random.choice(len(groups), shots + asked, replace=False)]
        pairs = [group[random.integers(len(group))] if len(group) > 1 else group[0] for group in chosen]
        return episode_of(pairs[:shots], pairs[shots:], self.ask_support, int(random.integers(2**62)))

    @property
    def fingerprint(self) -> str:
        settings: list[Any] = [self.k_shot, self.n_query, self.apart, self.ask_support, self._weights]
        text = json.dumps([*settings, *([name, table.fingerprint] for name, table in self.tables.items())])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def sources(self) -> list[dict[str, Any]]:
        several = len(self.tables) > 1
        return [
            {
                "name": name if several else table.name,
                "texts": len(table.distinct),
                "dataset_id": table.dataset_id,
            }
            for name, table in self.tables.items()
        ]

    @property
    def task(self) -> str:
        return f"episodes of {span(self.k_shot)} pairs and {span(self.n_query)} queries"

    def _shares(self, weights: Mapping[str, float] | None) -> list[float]:
        if weights is None:
            given: list[Any] = [len(table.distinct) for table in self.tables.values()]
        elif set(weights) != set(self.tables):
            raise InvalidInputError(
                f"weights are for {listed(map(repr, weights))}; the data sets are {listed(map(repr, self.tables))}."
            )
        else:
            given = [weights[name] for name in self.tables]
        numbers = all(isinstance(weight, int | float) and 0 <= weight < math.inf for weight in given)
        if not numbers or not sum(given):
            raise InvalidInputError(f"weights are {given}; they must be 0 or more, and not all 0.")
        return [float(weight / sum(given)) for weight in given]


class TaskSampler(SeededEpisodes):
    """Episodes that a task makes itself, such as by giving words other meanings in each.

    Args:
        make: called with a `numpy.random.Generator` of the episode's own; returns its support pairs and its query
            pairs, (source, target) each, by nothing but that generator's draws.
        name: what the task is called in cards and, beside the seed, what a run is known by when it is resumed: tasks of
            one name must make the same episodes.
        ask_support: whether the support pairs are asked, too, behind the queries.
        seed: random seed of the draws.
        process_index: which of several processes this is.
        num_processes: their number.

    Attributes:
        k_shot: the number of support pairs of the first episode.
        n_query: the number of its queries.

    Raises:
        InvalidTypeError: `make` cannot be called, or gives no pairs of texts.
        InvalidInputError: the first episode has no queries.
    """

    episode_kind = PAIRS

    def __init__(
        self,
        make: MakeEpisode,
        *,
        name: str,
        ask_support: bool = False,
        seed: int = 0,
        process_index: int = 0,
        num_processes: int = 1,
    ) -> None:
        super().__init__(seed, process_index, num_processes)
        if not callable(make):
            raise InvalidTypeError(f"make is of type {type(make).__name__}; give what makes an episode when called.")
        self.make, self.name, self.ask_support = make, name, ask_support
        support, query = self._made(np.random.default_rng([self.seed, 0]))
        if not query:
            raise InvalidInputError(f"the first episode of {name!r} has no queries.")
        self.k_shot, self.n_query = (len(support), len(support)), (len(query), len(query))
        self._first = digest_of_pairs([*support, *query])

    def draw(self, number: int) -> Episode:
        random = np.random.default_rng([self.seed, number])
        support, query = self._made(random)
        return episode_of(support, query, self.ask_support, int(random.integers(2**62)))

    def _made(self, random: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
        parts = self.make(random)
        support, query = ([_pair(pair, self.name) for pair in part] for part in parts)
        return support, query

    @property
    def fingerprint(self) -> str:
        text = json.dumps([self.name, self.ask_support, self._first])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def sources(self) -> list[dict[str, Any]]:
        return [{"name": self.name}]

    @property
    def task(self) -> str:
        pairs, queries = counted(self.k_shot[0], "pair"), counted(self.n_query[0], "query", "queries")
        return f"episodes of {self.name} with {pairs} and {queries}"


def episode_of(support: list[Pair], query: list[Pair], ask_support: bool, seed: int | None = None) -> Episode:
    """An episode of pairs; with `ask_support` the support is asked, too.

    Source: Lake 2019, [Compositional generalization through meta sequence-to-sequence
    learning](https://arxiv.org/abs/1906.05381), section 3, the support loss.
    """
    asked = [*query, *support] if ask_support else query
    return Episode(Examples(list(support), [0] * len(support)), Examples(asked, [0] * len(asked)), NAMES, seed)


def _pair(pair: Any, name: str) -> Pair:
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise InvalidTypeError(f"an episode of {name!r} holds {shown(pair)}; a pair is (source, target), both strings.")
    return Pair(*pair)
