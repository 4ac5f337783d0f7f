"""Accuracy over several class splits as an `evaluate` module; load it by the path of its folder."""

from typing import Any

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
Accuracy over several class splits: the mean over splits of the mean over a split's episodes of the share of queries
that are answered correctly, with the half width of its 95 % confidence interval over the episodes within the splits,
and with the standard deviation over splits. Queries with the reference -100 have no class and are ignored, and so are
episodes with only such queries.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: for each query the index of the predicted class.
    references: for each query the index of its class.
    episodes: for each query the number of its episode; different splits may use the same numbers.
    splits: for each query the number of its split.

Returns:
    split_accuracy: from 0 to 1; each split counts the same, however many episodes it has.
    split_accuracy_ci95: the half width of the interval, 1.96 sqrt(sum over splits of variance / episodes) / splits; a
        split with a single episode adds 0. It says how precisely these splits are measured, not how far others may
        differ.
    split_accuracy_std: the standard deviation of the splits' means; 0 for a single split.

Raises:
    ValueError: all references are -100, or all of a split.

Examples:
    >>> metric = evaluate.load("mann_hf/metrics/split_accuracy")
    >>> metric.compute(
    ...     predictions=[0, 1, 1, 1], references=[0, 1, 0, 1], episodes=[0, 0, 1, 1], splits=[0, 0, 1, 1]
    ... )["split_accuracy"]
    0.75
"""

_CITATION = ""


class SplitAccuracy(evaluate.Metric):
    """Accuracy over class splits, with a confidence interval and the spread over splits."""

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
                    "splits": datasets.Value("int64"),
                }
            ),
        )

    def _compute(self, predictions: Any, references: Any, episodes: Any, splits: Any) -> dict[str, float]:
        given = (predictions, references, episodes, splits)
        predictions, references, episodes, splits = (np.asarray(each) for each in given)
        known = references != -100
        if not known.any():
            raise ValueError(
                f"none of the {len(references)} queries is of a known class (all have the reference -100), so there is "
                "no accuracy."
            )
        empty = np.setdiff1d(splits, splits[known])
        if len(empty):
            raise ValueError(
                f"no query of split {', '.join(map(str, empty))} is of a known class (all have the reference -100); "
                "leave these splits out."
            )
        pairs, place = np.unique(np.stack([splits, episodes])[:, known], axis=1, return_inverse=True)
        place = place.reshape(-1)
        right = np.bincount(place, weights=(predictions == references)[known])
        accuracies = right / np.bincount(place)
        each = [accuracies[pairs[0] == split] for split in np.unique(pairs[0])]
        means = np.array([some.mean() for some in each])
        variances = [some.var(ddof=1) / len(some) if len(some) > 1 else 0.0 for some in each]  # of the means
        return {
            "split_accuracy": float(means.mean()),
            "split_accuracy_ci95": float(1.96 * np.sqrt(np.sum(variances)) / len(each)),
            "split_accuracy_std": float(means.std(ddof=1)) if len(each) > 1 else 0.0,
        }
