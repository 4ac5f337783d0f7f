"""Model cards: the page that a repository on the Hub shows."""

from .data import EvaluationResult, MANNModelCardData, TrainingData, TrainingRecord
from .facts import LabelFacts, ModelFacts
from .render import is_own, memory_card, merged, model_card, results_file

__all__ = [
    "EvaluationResult",
    "LabelFacts",
    "MANNModelCardData",
    "ModelFacts",
    "TrainingData",
    "TrainingRecord",
    "is_own",
    "memory_card",
    "merged",
    "model_card",
    "results_file",
]
