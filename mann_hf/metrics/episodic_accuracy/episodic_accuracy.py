"""Accuracy over episodes as an `evaluate` module; load it by the path of its folder."""

from typing import Any

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
The mean over episodes of the share of queries that are answered correctly, with the half width of its 95 % confidence
interval over episodes (1.96 standard errors). Queries with the reference -100 have no class and are ignored, and
so are episodes with only such queries.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: for each query the index of the predicted class.
    references: for each query the index of its class.
    episodes: for each query the number of its episode.

Returns:
    accuracy: from 0 to 1.
    accuracy_ci95: the half width of the interval; 0 for a single episode.

Raises:
    ValueError: all references are -100.

Examples:
    >>> metric = evaluate.load("mann_hf/metrics/episodic_accuracy")
    >>> metric.compute(predictions=[0, 1, 1, 1], references=[0, 1, 0, 1], episodes=[0, 0, 1, 1])["accuracy"]
    0.75
"""

_CITATION = ""


class EpisodicAccuracy(evaluate.Metric):
    """Accuracy over episodes, with a confidence interval."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "predictions": datasets.Value("int64"),
                    "references": datasets.Value("int64"),
                    "episodes": datasets.Value("int64"),
                }
            ),
        )

    def _compute(self, predictions: Any, references: Any, episodes: Any, splits: Any = None) -> dict[str, float]:
        # splits: `evaluate.combine` passes on the arguments of another module
        predictions, references, episodes = (np.asarray(each) for each in (predictions, references, episodes))
        known = references != -100
        if not known.any():
            raise ValueError(
                f"none of the {len(references)} queries is of a known class (all have the reference -100), so there is "
                "no accuracy."
            )
        numbers, place = np.unique(episodes[known], return_inverse=True)
        right = np.bincount(place, weights=(predictions == references)[known])
        accuracies = right / np.bincount(place)
        error = accuracies.std(ddof=1) / np.sqrt(len(numbers)) if len(numbers) > 1 else 0.0
        return {"accuracy": float(accuracies.mean()), "accuracy_ci95": float(1.96 * error)}
