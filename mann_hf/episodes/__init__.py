"""Episodes: small tasks drawn from labelled inputs or from pairs of texts, and their tensors."""

from ..models.episode_batch import EpisodeBatch
from .collator import EpisodeCollator
from .episode import Episode, Examples, Pair
from .pair_collator import PairCollator
from .pair_table import PairTable
from .pairs import PairSampler, TaskSampler
from .sampler import UNKNOWN, EpisodeSampler
from .seeded import SeededEpisodes
from .splits import select_classes, split_classes
from .table import LabelledTable

__all__ = [
    "UNKNOWN",
    "Episode",
    "EpisodeBatch",
    "EpisodeCollator",
    "EpisodeSampler",
    "Examples",
    "LabelledTable",
    "Pair",
    "PairCollator",
    "PairSampler",
    "PairTable",
    "SeededEpisodes",
    "TaskSampler",
    "select_classes",
    "split_classes",
]
