"""Metrics of an evaluation, computed by the `evaluate` modules of this library."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..episodes import UNKNOWN
from ..errors import InvalidInputError, UnknownNameError, import_extra
from .evaluation import EpisodeAnswers

METRICS = Path(__file__).parents[1] / "metrics"
"""The folder of the `evaluate` modules, one folder each."""


def load_metric(name: str) -> Any:
    """Loads an `evaluate` module of this library: `"episodic_accuracy"`, `"episodic_f1"` or `"split_accuracy"`.

    `evaluate.combine` combines several of them, also with those of others.

    Raises:
        UnknownNameError: there is no such module.
        MissingExtraError: `evaluate` is not installed.
    """
    choices = sorted(path.parent.name for path in METRICS.glob("*/*.py"))
    if name not in choices:
        raise UnknownNameError("metric", name, choices)
    return _evaluate().load(str(METRICS / name))


def episodic_scores(answers: EpisodeAnswers) -> dict[str, float]:
    """`accuracy`, `accuracy_ci95`, `macro_f1` and `loss` of answers.

    Episodes without a query of their classes do not count. If there were queries of no class, the result also has
    `unknown_auroc`: the probability that a query of the episode's classes has a higher score than one of none, the area
    under the ROC curve.

    Source: Hendrycks & Gimpel 2017, [A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks](https://arxiv.org/abs/1610.02136), section 2, for `unknown_auroc`.

    Raises:
        InvalidInputError: none has such a query.
    """
    if not (answers.references != UNKNOWN).any():
        raise InvalidInputError(
            f"no query of the {len(answers.losses)} episodes is of a class of its episode, so there is nothing to "
            "score; draw them with an n_query of 1 or more."
        )
    scores = _combined().compute(
        predictions=answers.predictions, references=answers.references, episodes=answers.episodes
    )
    losses = answers.losses[~np.isnan(answers.losses)]
    scores = {**scores, "loss": float(losses.mean()) if len(losses) else float("nan")}
    unknown = answers.references == UNKNOWN
    return {**scores, "unknown_auroc": _auroc(answers.scores, unknown)} if unknown.any() else scores


def split_scores(answers: Mapping[str, EpisodeAnswers]) -> dict[str, float]:
    """The means of `episodic_scores` over several class splits, for scores that all of them have.

    Args:
        answers: the answers of each split, by name.

    Returns:
        The means, the interval of the accuracy as `accuracy_ci95` and its standard deviation over splits as
        `accuracy_std`.
    """
    parts = [episodic_scores(each) for each in answers.values()]
    shared = set.intersection(*map(set, parts))
    means = {name: float(np.mean([part[name] for part in parts])) for name in parts[0] if name in shared}
    combined = load_metric("split_accuracy").compute(
        predictions=np.concatenate([each.predictions for each in answers.values()]),
        references=np.concatenate([each.references for each in answers.values()]),
        episodes=np.concatenate([each.episodes for each in answers.values()]),
        splits=np.repeat(np.arange(len(parts)), [len(each.references) for each in answers.values()]),
    )
    return means | {name.removeprefix("split_"): value for name, value in combined.items()}


def _auroc(scores: np.ndarray, unknown: np.ndarray) -> float:
    """How often a known query's score is above an unknown one's, ties counted half."""
    below, known = np.sort(scores[unknown]), scores[~unknown]
    beaten = np.searchsorted(below, known, "left") + np.searchsorted(below, known, "right")
    return float(beaten.mean() / 2 / len(below))


@cache
def _combined() -> Any:
    return _evaluate().combine([load_metric("episodic_accuracy"), load_metric("episodic_f1")])


def _evaluate() -> Any:
    return import_extra("evaluate", "evaluating episodes", "train")
