"""Episodes: small tasks drawn from labelled texts, and their tensors."""

from ..models.episode_batch import EpisodeBatch
from .collator import EpisodeCollator
from .episode import Episode, Examples
from .sampler import UNKNOWN, EpisodeSampler
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
    "select_classes",
    "split_classes",
]
