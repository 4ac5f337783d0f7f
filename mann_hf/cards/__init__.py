"""Model cards: the page that a repository on the Hub shows."""

from .data import EvaluationResult, MANNModelCardData, TrainingData, TrainingRecord
from .facts import CardFacts, LabelFacts, ModelFacts, PairFacts
from .render import is_own, memory_card, merged, model_card, results_file

__all__ = [
    "CardFacts",
    "EvaluationResult",
    "LabelFacts",
    "MANNModelCardData",
    "ModelFacts",
    "PairFacts",
    "TrainingData",
    "TrainingRecord",
    "is_own",
    "memory_card",
    "merged",
    "model_card",
    "results_file",
]
