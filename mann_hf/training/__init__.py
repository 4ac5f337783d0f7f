"""Training the encoder over many small tasks (episodes)."""

from .arguments import EpisodicTrainingArguments
from .evaluation import EpisodeAnswers, answer_episodes, evaluation_episodes
from .objectives import OBJECTIVES, Objective
from .regularizers import REGULARIZERS, Regularized, Regularizer
from .scores import episodic_scores, load_metric
from .step import EpisodicStep, StepOutput
from .trainer import EpisodicTrainer

__all__ = [
    "OBJECTIVES",
    "REGULARIZERS",
    "EpisodeAnswers",
    "EpisodicStep",
    "EpisodicTrainer",
    "EpisodicTrainingArguments",
    "Objective",
    "Regularized",
    "Regularizer",
    "StepOutput",
    "answer_episodes",
    "episodic_scores",
    "evaluation_episodes",
    "load_metric",
]
