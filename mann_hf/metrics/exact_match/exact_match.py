"""The share of answers that are right as a whole, as an `evaluate` module; load it by the path of its folder."""

from typing import Any

import datasets
import evaluate
import numpy as np

from mann_hf.metrics import references as right

_DESCRIPTION = """
The share of generated sequences that are equal to their references: texts as they are, or tokens one by one. Negative
tokens, such as the -100 of padded labels, are left out of both.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: for each input the text, or the list of tokens, that was generated.
    references: for each input the right one.

Returns:
    exact_match: from 0 to 1.

Raises:
    ValueError: there are none.

Examples:
    >>> metric = evaluate.load("mann_hf/metrics/exact_match")
    >>> metric.compute(predictions=["I_JUMP", "I_RUN"], references=["I_JUMP", "I_RUN I_RUN"])["exact_match"]
    0.5
    >>> metric.compute(predictions=[[5, 1]], references=[[5, 1, -100]])["exact_match"]
    1.0
"""

_CITATION = ""


class ExactMatch(right.SequenceMetric):
    """The share of sequences that are right as a whole."""

    def _info(self) -> evaluate.MetricInfo:
        kinds = (datasets.Value("string"), datasets.Sequence(datasets.Value("int64")))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[datasets.Features({"predictions": kind, "references": kind}) for kind in kinds],
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        same = [_kept(one) == _kept(other) for one, other in zip(predictions, references, strict=True)]
        return {"exact_match": float(np.mean(same))}


def _kept(sequence: Any) -> Any:
    """A text as it is, or a list of tokens without those that stand for padding."""
    return sequence if isinstance(sequence, str) else [token for token in sequence if token >= 0]
