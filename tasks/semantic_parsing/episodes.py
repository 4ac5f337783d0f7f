"""Episodes of GeoQuery: questions with their meanings to read from, and others, half of other shapes, to answer."""

from collections.abc import Sequence

import numpy as np

from mann_hf.episodes import Pair, TaskSampler

from .data import shapes


class EpisodeMaker:
    """Draws support and queries from training pairs; a share of the queries has a shape that the support does not have.

    So a model practises what the query split asks of it: shapes it was never told, made of parts that it was.

    Args:
        pairs: to draw from.
        k_shot: support pairs of an episode.
        n_query: queries of an episode.
        new_shapes: the share of the queries whose shape is kept out of the support.
        empty: the share of the episodes that have no support, in which the model learns to do without.
    """

    def __init__(
        self, pairs: Sequence[Pair], k_shot: int, n_query: int, new_shapes: float = 0.5, empty: float = 0.0
    ) -> None:
        self.pairs, self.k_shot, self.n_query = list(dict.fromkeys(pairs)), k_shot, n_query
        self.new, self.empty = round(new_shapes * n_query), empty
        self.shapes = np.array(shapes(self.pairs))
        if k_shot + n_query > len(self.pairs):
            raise ValueError(f"there are {len(self.pairs)} pairs, and an episode takes {k_shot + n_query}.")

    def __call__(self, random: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
        """The support and the queries of an episode; the support is smaller where too few other shapes are left."""
        order = random.permutation(len(self.pairs))
        asked = order[: self.n_query]
        new = np.isin(self.shapes[order], self.shapes[asked[: self.new]])
        new[: self.n_query] = True
        support = order[~new][: self.k_shot if random.random() >= self.empty else 0]
        return [self.pairs[row] for row in support], [self.pairs[row] for row in asked]


def sampler_of(pairs: Sequence[Pair], k_shot: int, n_query: int, seed: int, empty: float) -> TaskSampler:
    """The training episodes, see `EpisodeMaker`."""
    return TaskSampler(EpisodeMaker(pairs, k_shot, n_query, empty=empty), name="GeoQuery", seed=seed)
