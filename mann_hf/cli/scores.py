"""How good answers are: accuracy of labels, calibration of scores, errors of numbers."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

BINS = 15


class LabelScores(NamedTuple):
    """Scores of one label: the number of inputs that have it, its precision and recall (0 of none), and their F1."""

    inputs: int
    precision: float
    recall: float
    f1: float

    def shown(self, kind: str) -> dict[str, float]:
        """The scores by their names, the count by that of the inputs."""
        return {f"{kind}s" if name == "inputs" else name: value for name, value in self._asdict().items()}


def label_scores(truth: Sequence[Sequence[str]], given: Sequence[Sequence[str]]) -> dict[str, LabelScores]:
    """The scores of every label in the table or the answers, from the labels of each input and of its answer."""
    counts = Counter(label for labels in truth for label in set(labels))
    answers = Counter(label for labels in given for label in set(labels))
    right = Counter(label for each in zip(truth, given, strict=True) for label in set(each[0]).intersection(each[1]))
    return {
        label: LabelScores(
            counts[label],
            right[label] / answers[label] if answers[label] else 0.0,
            right[label] / counts[label] if counts[label] else 0.0,
            2 * right[label] / (counts[label] + answers[label]),
        )
        for label in sorted({*counts, *answers})
    }


def score_interval(share: float, count: int) -> tuple[float, float]:
    r"""The 95 % score interval of a share, $(p + z^2/2n \pm z\sqrt{p(1-p)/n + z^2/4n^2}) / (1 + z^2/n)$, z = 1.96.

    Its ends are the shares that are z of their own standard errors away from p; p is not in the middle.

    Source: Wilson 1927, [Probable Inference, the Law of Succession, and Statistical
    Inference](https://doi.org/10.1080/01621459.1927.10502953).

    Args:
        share: p, the share of right answers.
        count: n, the number of answers.
    """
    z = 1.96
    middle = share + z**2 / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    scale = 1 + z**2 / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    r"""The expected calibration error $\sum_b \frac{|b|}{n} |\text{accuracy}(b) - \text{confidence}(b)|$.

    The bins $((b-1)/M, b/M]$ are of equal width.

    Source: Guo et al. 2017, [On Calibration of Modern Neural Networks](https://arxiv.org/abs/1706.04599), equation 3.

    Args:
        confidences: n scores from 0 to 1.
        right: for each score whether the answer was right.
        bins: M, the number of bins.
    """
    sums = [0.0] * bins
    for confidence, was_right in zip(confidences, right, strict=True):
        sums[min(max(math.ceil(confidence * bins), 1), bins) - 1] += was_right - confidence
    return sum(map(abs, sums)) / len(confidences)


def regression_scores(truth: Sequence[Sequence[float]], given: Sequence[Sequence[float]]) -> dict[str, float | None]:
    """Mean absolute error, mean squared error and R²; R² is None if a target has no variance.

    With several targets, errors are averaged over inputs and targets, R² over targets.
    """
    import numpy as np

    true = np.array(truth)
    errors = true - np.array(given)
    has_variance = bool(np.ptp(true, axis=0).all())
    return {
        "mean_absolute_error": float(np.abs(errors).mean()),
        "mean_squared_error": float((errors**2).mean()),
        "r2": float((1 - (errors**2).mean(0) / true.var(0)).mean()) if has_variance else None,
    }
