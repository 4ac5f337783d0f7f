"""Macro-F1 over episodes as an `evaluate` module; load it by the path of its folder."""

from typing import Any

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
The mean over episodes of the macro-averaged F1: of each class of an episode the harmonic mean of precision and recall,
then their mean. Queries with the reference -100 are of no class and are passed over, as are episodes of such queries
alone. A prediction of no class, such as -1, counts as a class of its own, with an F1 of 0.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: the number of the predicted class of each query.
    references: the number of its class.
    episodes: the number of the episode that it belongs to.

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
        # splits: `evaluate.combine` passes on what another module takes
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
        said, asked = count(predictions), count(references)
        right = np.bincount((place * classes + references)[predictions == references], minlength=cells).reshape(
            -1, classes
        )
        present = said + asked > 0  # a class that was neither asked nor answered says nothing
        f1 = np.divide(2 * right, said + asked, out=np.zeros(right.shape), where=present)
        return {"macro_f1": float((f1.sum(1) / present.sum(1)).mean())}
