"""Episodes without end, each of which depends on a seed and its number alone."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import InvalidInputError
from ..wording import whole_number
from .episode import Episode


class SeededEpisodes(ABC):
    """Draws episodes without end: what samplers share, whatever their episodes are made of.

    Episode number t depends only on the data, the settings, the seed and t: `sampler[t]` draws it again, two samplers
    made with the same arguments draw the same episodes, and processes that draw different numbers draw different
    episodes. Iterating continues at the `drawn` of `state_dict()`.

    Args:
        seed: random seed of the draws.
        process_index: which of several processes this is.
        num_processes: their number.

    Attributes:
        n_way: the lowest and highest number of classes in an episode.
        k_shot: likewise of the support examples of each class.
        n_query: likewise of the queries of each class.
        batch_size: episodes in a row that have one number of classes.
        labels: the names of all classes that episodes are drawn from; empty where there are no classes.

    Raises:
        InvalidInputError: numbers that cannot be meant.
    """

    n_way: tuple[int, int] = (1, 1)
    k_shot: tuple[int, int]
    n_query: tuple[int, int]
    n_unknown: tuple[int, int] = (0, 0)
    batch_size: int = 1
    labels: set[str] | frozenset[str] = frozenset()

    def __init__(self, seed: int = 0, process_index: int = 0, num_processes: int = 1) -> None:
        start = whole_number(seed)
        if start is None or start < 0:
            raise InvalidInputError(f"seed is {seed!r}; give a whole number from 0 on.")
        self.seed = start
        _check_process(process_index, num_processes)
        self.process_index, self.num_processes = process_index, num_processes
        self.drawn = 0

    @abstractmethod
    def draw(self, number: int) -> Episode:
        """Draws an episode.

        Args:
            number: of the episode, from 0 on.
        """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of everything that episodes depend on except the seed."""

    @property
    @abstractmethod
    def sources(self) -> list[dict[str, Any]]:
        """What episodes are drawn from, for people: of each data set its `name`, and `classes`, `texts` (the number of
        inputs) and `dataset_id` (its name on the Hub) where they are known.
        """

    @property
    @abstractmethod
    def task(self) -> str:
        """What an episode is, for people: `"5-way 1-shot episodes"`."""

    def __getitem__(self, number: int) -> Episode:
        """Episode `number`, counted from 0 over all processes."""
        if number < 0:
            raise IndexError(f"episodes count from 0; there is no episode {number}.")
        return self.draw(number)

    def __iter__(self) -> Iterator[Episode]:
        """Episodes without end, of this process."""
        return self

    def __next__(self) -> Episode:
        batch, place = divmod(self.drawn, self._turn)
        episode = self[(batch * self.num_processes + self.process_index) * self._turn + place]
        self.drawn += 1
        return episode

    def shard(self, process_index: int, num_processes: int) -> "SeededEpisodes":
        """The sampler for one of several processes, with the same draws."""
        _check_process(process_index, num_processes)
        shard = object.__new__(type(self))
        shard.__dict__.update(self.__dict__, process_index=process_index, num_processes=num_processes)
        return shard

    def state_dict(self) -> dict[str, Any]:
        """The number of episodes drawn, and what identifies this sampler."""
        position = {"drawn": self.drawn, "num_processes": self.num_processes}
        return {**position, "seed": self.seed, "fingerprint": self.fingerprint}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where a sampler made with the same arguments stopped.

        Raises:
            InvalidInputError: it had other data or settings, or a number of processes whose episodes cannot be divided
                among this sampler's.
        """
        if (state["seed"], state["fingerprint"]) != (self.seed, self.fingerprint):
            raise InvalidInputError(
                "the state belongs to a sampler with other data, settings or seed, so it cannot be resumed."
            )
        each, before = int(state["drawn"]), int(state["num_processes"])
        if before == self.num_processes:
            self.drawn = each
            return
        batches, begun = divmod(each, self._turn)
        if begun or batches * before % self.num_processes:
            raise InvalidInputError(
                f"{each * before} episodes were drawn, {each} on each of {before} processes; they cannot be shared out "
                f"among {self.num_processes} in batches of {self._turn}."
            )
        self.drawn = batches * before // self.num_processes * self._turn

    @property
    def _turn(self) -> int:
        """Episodes in a row that a process draws, and that have one number of classes."""
        return self.batch_size if self.n_way[0] < self.n_way[1] else 1


def _check_process(process_index: int, num_processes: int) -> None:
    if not 0 <= process_index < num_processes:
        raise InvalidInputError(f"process_index is {process_index} of {num_processes}; it counts from 0.")
