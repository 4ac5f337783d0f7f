"""The figures of an evaluation, by the `evaluate` modules of this library."""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtraError
from .evaluation import EpisodeAnswers

METRICS = Path(__file__).parents[1] / "metrics"
"""The folder of the `evaluate` modules, one folder each."""


def load_metric(name: str) -> Any:
    """One of this library's `evaluate` modules, `"episodic_accuracy"` or `"episodic_f1"`.

    Several go together, and with those of others, by `evaluate.combine`.

    Raises:
        MissingExtraError: `evaluate` is not installed.
    """
    return _evaluate().load(str(METRICS / name))


def episodic_scores(answers: EpisodeAnswers) -> dict[str, float]:
    """`accuracy`, `accuracy_ci95`, `macro_f1` and `loss` of what was answered."""
    told = _combined().compute(
        predictions=answers.predictions, references=answers.references, episodes=answers.episodes
    )
    return {**told, "loss": float(np.nanmean(answers.losses))}


@cache
def _combined() -> Any:
    return _evaluate().combine([load_metric("episodic_accuracy"), load_metric("episodic_f1")])


def _evaluate() -> Any:
    try:
        return importlib.import_module("evaluate")
    except ModuleNotFoundError as error:
        raise MissingExtraError("evaluating episodes", "evaluate", "train") from error
