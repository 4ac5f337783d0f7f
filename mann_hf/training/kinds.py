"""Every kind of episodes that comes with the library, registered in `EPISODE_KINDS`."""

from .kind_base import EPISODE_KINDS, EpisodeKind, kind_of
from .labelled_kind import LabelledEpisodes
from .pair_kind import PairEpisodesKind

__all__ = ["EPISODE_KINDS", "EpisodeKind", "LabelledEpisodes", "PairEpisodesKind", "kind_of"]
