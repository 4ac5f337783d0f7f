"""Macro-F1 over episodes as an `evaluate` module; load it by the path of its folder."""

from typing import Any

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
The mean over episodes of the macro F1: the mean over the classes of an episode of the harmonic mean of precision and
recall. Queries with the reference -100 have no class and are ignored, and so are episodes with only such queries. A
prediction that is no class, such as -1, counts as a class with an F1 of 0.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: for each query the index of the predicted class.
    references: for each query the index of its class.
    episodes: for each query the number of its episode.

Returns:
    macro_f1: from 0 to 1.

Raises:
    ValueError: all references are -100.

Examples:
    >>> metric = evaluate.load("mann_hf/metrics/episodic_f1")
    >>> metric.compute(predictions=[0, 1], references=[0, 1], episodes=[0, 0])["macro_f1"]
    1.0
"""

_CITATION = ""


class EpisodicF1(evaluate.Metric):
    """Macro-F1 over episodes."""

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
                "no F1."
            )
        _, place = np.unique(episodes[known], return_inverse=True)
        labels, numbers = np.unique(np.stack([predictions[known], references[known]]), return_inverse=True)
        classes, (predictions, references) = len(labels), numbers.reshape(2, -1)
        cells = (place.max() + 1) * classes
        count = lambda labels: np.bincount(place * classes + labels, minlength=cells).reshape(-1, classes)  # noqa: E731
        predicted, true = count(predictions), count(references)
        right = np.bincount((place * classes + references)[predictions == references], minlength=cells).reshape(
            -1, classes
        )
        present = predicted + true > 0  # a class among neither references nor predictions does not count
        f1 = np.divide(2 * right, predicted + true, out=np.zeros(right.shape), where=present)
        return {"macro_f1": float((f1.sum(1) / present.sum(1)).mean())}
