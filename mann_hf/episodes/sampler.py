"""Draws small tasks from labelled inputs, such as texts or images."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from transformers.utils import logging

from ..errors import InvalidInputError
from ..targets.label_tensors import IGNORED
from ..wording import counted, listed
from .counts import Count as Count
from .counts import as_range, span
from .episode import Episode, Examples
from .seeded import SeededEpisodes
from .table import LabelledTable

logger = logging.get_logger(f"transformers.{__name__}")

UNKNOWN = IGNORED
"""The label of a query that is of none of an episode's classes; it has no part in the loss."""


class EpisodeSampler(SeededEpisodes):
    """Draws N-way K-shot episodes from a data set, without end.

    Episode number t depends only on the data, the settings, the seed and t: `sampler[t]` draws it again, two samplers
    made with the same arguments draw the same episodes, and processes that draw different numbers draw different
    episodes. Iterating continues at the `drawn` of `state_dict()`.

    Classes of an episode are drawn without replacement, in random order, so that their numbers carry no meaning.
    Inputs are drawn without replacement, too: none is both support and query, or has two labels. One that a class has
    in several rows counts once. One of several classes goes to the first class that draws it, and is never an unknown
    input beside one of them.

    Args:
        dataset: a `datasets.Dataset`, or several by name; each episode is drawn from one of them.
        n_way: number of classes in an episode, or a range.
        k_shot: number of support inputs of each class, or a range.
        n_query: number of queries of each class, or a range; with 0 there is only support.
        text_column: the column of the texts.
        input_column: the column of inputs of any kind, such as images, in place of `text_column`.
        noun: what an input is called in messages; a trainer gives what its model's controller calls it.
        label_column: the column of their classes: names, numbers or a `ClassLabel`.
        classes: the classes to draw from, by name or number, for example one part of a class split; by default all.
        weights: relative frequency of each of several data sets, by name; by default the number of its classes. A data
            set that is left out (see below) does not count.
        unbalanced: whether each class of an episode draws its own number of shots from the range `k_shot`.
        n_unknown: number of further queries from other classes of the same data set, with the label `UNKNOWN`.
        batch_size: if `n_way` is a range, how many episodes in a row have the same number of classes; episodes packed
            into one batch must.
        seed: random seed, 0 or more.
        process_index: the number of this process.
        num_processes: number of processes. Process p takes every `num_processes`-th episode from the p-th on (or batch
            of episodes, if `n_way` is a range), so together they draw what one process would.

    Raises:
        InvalidTypeError: no `datasets.Dataset`, inputs or labels of the wrong type, or `classes` that is one text.
        InvalidInputError: a missing column, no rows, impossible settings, or too few classes with enough inputs.
            Classes with fewer inputs of their own than an episode may need are skipped, and data sets with none of the
            `classes` are left out, each with a warning that names them.
    """

    def __init__(
        self,
        dataset: Any,
        n_way: Count = 5,
        k_shot: Count = 1,
        n_query: Count = 5,
        *,
        text_column: str = "text",
        label_column: str = "label",
        classes: Iterable[str | int] | None = None,
        weights: Mapping[str, float] | None = None,
        unbalanced: bool = False,
        n_unknown: Count = 0,
        batch_size: int = 1,
        seed: int = 0,
        process_index: int = 0,
        num_processes: int = 1,
        input_column: str | None = None,
        noun: str | None = None,
    ) -> None:
        self.n_way = as_range("n_way", n_way, 2)
        self.k_shot = as_range("k_shot", k_shot, 1)
        self.n_query = as_range("n_query", n_query, 0)
        self.n_unknown = as_range("n_unknown", n_unknown, 0)
        super().__init__(seed, process_index, num_processes)
        self.unbalanced = unbalanced
        self.batch_size = as_range("batch_size", batch_size, 1)[0]
        if unbalanced and self.k_shot[0] == self.k_shot[1]:
            raise InvalidInputError(f"unbalanced=True needs a range for k_shot, such as (1, 5), not {k_shot}.")
        several = isinstance(dataset, Mapping) and not hasattr(dataset, "column_names")
        sources = dict(dataset) if several else {"the data set": dataset}
        if not sources:
            raise InvalidInputError("there is no data set to draw from.")
        self.tables = {
            name: LabelledTable(source, text_column, label_column, repr(name) if several else name, input_column, noun)
            for name, source in sources.items()
        }
        wanted = None
        if classes is not None:
            classes = list(classes) if isinstance(classes, Iterator) else classes  # of each data set in turn
            wanted = {name for table in self.tables.values() for name in table.class_names(classes)}
            if not wanted:
                raise InvalidInputError("classes is empty; name those to draw from, or leave it out to draw from all.")
            unknown = wanted - {name for table in self.tables.values() for name in table.names}
            if unknown:
                raise InvalidInputError(
                    f"there is no class {listed(map(repr, sorted(unknown)))} in the data to draw from."
                )
            self.tables = _with_some(wanted, self.tables)
        self.classes = {name: self._usable(table, wanted) for name, table in self.tables.items()}
        self._weights = self._shares(weights, list(sources))

    def draw(self, number: int) -> Episode:
        random = np.random.default_rng([self.seed, number])
        names = list(self.tables)
        source = names[random.choice(len(names), p=self._weights)] if len(names) > 1 else names[0]
        table, usable = self.tables[source], self.classes[source]
        draw = lambda bounds: int(random.integers(bounds[0], bounds[1] + 1))  # noqa: E731
        of_batch = np.random.default_rng([self.seed, number // self.batch_size, 1])
        n_way = int(of_batch.integers(self.n_way[0], self.n_way[1] + 1))
        n_query, n_unknown = draw(self.n_query), draw(self.n_unknown)
        shots = [draw(self.k_shot) for _ in range(n_way)] if self.unbalanced else [draw(self.k_shot)] * n_way
        order = random.permutation(len(usable))
        chosen = tuple(usable[place] for place in order[:n_way])
        support, query = Examples([], []), Examples([], [])
        taken: set[str] = set()
        for label, (name, shot) in enumerate(zip(chosen, shots, strict=True)):
            rows = _drawn(random, table, table.distinct[name], shot + n_query, taken)
            for part, some in ((support, rows[:shot]), (query, rows[shot:])):
                part.inputs.extend(table.inputs[row] for row in some)
                part.labels.extend([label] * len(some))
        if n_unknown:
            others = np.concatenate([table.distinct[usable[place]] for place in order[n_way:]])
            taken |= {key for key, have in table.shared.items() if not have.isdisjoint(chosen)}
            query.inputs.extend(table.inputs[row] for row in _drawn(random, table, others, n_unknown, taken))
            query.labels.extend([UNKNOWN] * n_unknown)
        return Episode(support, query, chosen, int(random.integers(2**62)))

    @property
    def fingerprint(self) -> str:
        """A digest of everything that episodes depend on except the seed."""
        settings: list[Any] = [self.n_way, self.k_shot, self.n_query, self.n_unknown, self.unbalanced]
        settings.append(self._turn)
        settings += [[name, table.fingerprint, self.classes[name]] for name, table in self.tables.items()]
        text = json.dumps([*settings, self._weights])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def sources(self) -> list[dict[str, Any]]:
        several, found = len(self.tables) > 1, []
        for name, table in self.tables.items():
            classes = self.classes[name]
            texts = len({table.keys[row] for label in classes for row in table.distinct[label]})
            called = name if several else table.name
            found.append({"name": called, "classes": len(classes), "texts": texts, "dataset_id": table.dataset_id})
        return found

    @property
    def task(self) -> str:
        return f"{span(self.n_way)}-way {span(self.k_shot)}-shot episodes"

    @property
    def labels(self) -> set[str]:  # type: ignore[override]
        """The names of all classes that episodes are drawn from."""
        return {name for names in self.classes.values() for name in names}

    def _usable(self, table: LabelledTable, wanted: set[str] | None) -> list[str]:
        """The classes of a data set with inputs enough, in order."""
        needed = self.k_shot[1] + self.n_query[1]
        asked = [name for name in table.names if wanted is None or name in wanted]
        shared = [key for key, have in table.shared.items() if len(have.intersection(asked)) > 1]
        others = Counter(name for key in shared for name in table.shared[key])
        own = {name: len(table.distinct[name]) - others[name] for name in asked}
        usable = [name for name in asked if own[name] >= needed]
        small = [f"{name!r} ({own[name]})" for name in asked if own[name] < needed]
        shots = f"k_shot {self.k_shot[1]} and n_query {self.n_query[1]}"
        if shared:
            example = f", such as {shared[0][:40]!r}" if table.are_texts else ""
            shots += f"; {table.noun}s in several classes do not count: {len(shared)}{example}"
        least = self.n_way[1] + bool(self.n_unknown[1])
        if len(usable) < least:
            too_small = f"; left out are {listed(small)}, which have fewer" if small else ""
            other = f" and another for the unknown {table.noun}s" if self.n_unknown[1] else ""
            classes = counted(len(usable), "class", "classes")
            raise InvalidInputError(
                f"{table.source} has {classes} with at least {needed} {table.noun}s ({shots}), and an episode takes "
                f"{self.n_way[1]}{other}{too_small}: {self._cure(list(own.values()), table.noun)}"
            )
        if self.n_unknown[1]:
            left = sorted(own[name] for name in usable)[: len(usable) - self.n_way[1]]
            if sum(left) < self.n_unknown[1]:
                raise InvalidInputError(
                    f"n_unknown is {self.n_unknown[1]}, but beside the {self.n_way[1]} classes of an episode "
                    f"{table.source} may have only {sum(left)} {table.noun}s left."
                )
        if small:
            logger.warning(
                f"{table.source}: {len(small)} of {len(asked)} classes have fewer than {needed} {table.noun}s "
                f"({shots}) and are left out: {listed(small)}."
            )
        return usable

    def _cure(self, sizes: list[int], noun: str) -> str:
        """What would work with classes of these numbers of inputs, at the end of an error."""
        fewest = self.k_shot[0] + 1 if self.unbalanced else 1, min(1, self.n_query[1])
        others = bool(self.n_unknown[1])
        enough = sorted((size for size in sizes if size >= sum(fewest)), reverse=True)
        n_way = min(self.n_way[1], len(enough) - others)
        if n_way < 2:
            return (
                f"the least that episodes can be made of are {2 + others} classes with {counted(sum(fewest), noun)} "
                f"each; add {noun}s."
            )
        size = enough[n_way + others - 1]
        k_shot = min(self.k_shot[1], size - fewest[1])
        most = {"n_way": n_way, "k_shot": k_shot, "n_query": min(self.n_query[1], size - k_shot)}
        asked = {name: getattr(self, name) for name in most}
        lower = {name: (min(asked[name][0], high), high) for name, high in most.items() if high < asked[name][1]}
        said = [f"{name}={high if low == high else (low, high)}" for name, (low, high) in lower.items()]
        options = [
            f"--{name.replace('_', '-')} {high if low == high else f'{low}-{high}'}"
            for name, (low, high) in lower.items()
        ]
        return f"{' and '.join(said)} would work (in the shell {' '.join(options)})."

    def _shares(self, weights: Mapping[str, float] | None, sources: list[str]) -> list[float]:
        if weights is None:
            given: list[Any] = [len(self.classes[name]) for name in self.tables]
        else:
            if set(weights) != set(sources):
                raise InvalidInputError(
                    f"weights are for {listed(map(repr, weights))}; the data sets are {listed(map(repr, sources))}."
                )
            given = [weights[name] for name in self.tables]
        numbers = all(isinstance(weight, (int, float, np.number)) and 0 <= weight < math.inf for weight in given)
        if not numbers or not sum(given):
            raise InvalidInputError(f"weights are {given}; they must be 0 or more, and not all 0.")
        return [float(weight / sum(given)) for weight in given]


def _with_some(wanted: set[str], tables: dict[str, LabelledTable]) -> dict[str, LabelledTable]:
    """The data sets that have any of the classes, with a warning that names the others."""
    without = [name for name, table in tables.items() if wanted.isdisjoint(table.names)]
    if without:
        have, are = ("has", "is") if len(without) == 1 else ("have", "are")
        named = listed(tables[name].source for name in without)
        logger.warning(f"{named} {have} none of the classes to draw from and {are} left out.")
    return {name: table for name, table in tables.items() if name not in without}


def _drawn(
    random: np.random.Generator, table: LabelledTable, pool: np.ndarray, count: int, taken: set[str]
) -> np.ndarray:
    """Rows of a pool, none of them of an input that is taken; those of inputs that several classes have are then taken.

    Rows are drawn again only in place of such as may not be had, so that all other draws are as if none were shared.
    """
    rows = random.choice(pool, count, replace=False)
    again = []
    for place, row in enumerate(rows if table.shared else ()):
        if table.keys[row] in taken:
            again.append(place)
        elif table.keys[row] in table.shared:
            taken.add(table.keys[row])
    if again:
        left = {table.keys[row]: row for row in np.setdiff1d(pool, rows) if table.keys[row] not in taken}
        rows[again] = random.choice(list(left.values()), len(again), replace=False)
        taken |= {table.keys[row] for row in rows[again]} & table.shared.keys()
    return rows
