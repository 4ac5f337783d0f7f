"""Figures of merit of answers."""

import math
from collections.abc import Sequence
from typing import NamedTuple

BINS = 15


class LabelScores(NamedTuple):
    """How well one label is found.

    Attributes:
        texts: how many have the label.
        precision: the share of right answers among those that give the label; 0 if none does.
        recall: the share of the label's texts that are given it; 0 if it has none.
        f1: the harmonic mean of the two.
    """

    texts: int
    precision: float
    recall: float
    f1: float


def label_scores(truth: Sequence[Sequence[str]], given: Sequence[Sequence[str]]) -> dict[str, LabelScores]:
    """The scores of every label that a text has or is given.

    Args:
        truth: for each text its labels.
        given: for each text the labels that it was given.
    """
    texts: dict[str, int] = {}
    answers: dict[str, int] = {}
    right: dict[str, int] = {}
    for true, answered in zip(truth, given, strict=True):
        for counts, labels in ((texts, set(true)), (answers, set(answered)), (right, set(true) & set(answered))):
            for label in labels:
                counts[label] = counts.get(label, 0) + 1
    scores = {}
    for label in sorted({*texts, *answers}):
        hits, there, said = right.get(label, 0), texts.get(label, 0), answers.get(label, 0)
        scores[label] = LabelScores(
            there,
            hits / said if said else 0.0,
            hits / there if there else 0.0,
            2 * hits / (there + said),
        )
    return scores


def score_interval(share: float, count: int) -> tuple[float, float]:
    r"""The 95 % score interval of a share, $(p + z^2/2n \pm z\sqrt{p(1-p)/n + z^2/4n^2}) / (1 + z^2/n)$, z = 1.96.

    Its ends are the shares that lie z of their own standard errors from p; p is not in its middle.

    Source: Wilson 1927, [Probable Inference, the Law of Succession, and Statistical
    Inference](https://doi.org/10.1080/01621459.1927.10502953).

    Args:
        share: p, the mean of n answers that are right or wrong.
        count: n.
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
        right: for each whether what it was given to was right.
        bins: M.
    """
    sums = [0.0] * bins
    for confidence, was_right in zip(confidences, right, strict=True):
        sums[min(max(math.ceil(confidence * bins), 1), bins) - 1] += was_right - confidence
    return sum(map(abs, sums)) / len(confidences)


def regression_scores(truth: Sequence[Sequence[float]], given: Sequence[Sequence[float]]) -> dict[str, float | None]:
    """Mean absolute and squared error, and the share of variance explained (R²; None if the truth has no variance).

    Of several targets each is averaged over texts and targets, R² over targets.
    """
    absolute, squared, explained = [], [], []
    for true, answered in zip(zip(*truth, strict=True), zip(*given, strict=True), strict=True):
        errors = [t - g for t, g in zip(true, answered, strict=True)]
        mean = sum(true) / len(true)
        variance = sum((t - mean) ** 2 for t in true)
        absolute.append(sum(map(abs, errors)) / len(errors))
        squared.append(sum(error**2 for error in errors) / len(errors))
        explained.append(1 - sum(error**2 for error in errors) / variance if variance else None)
    known = [share for share in explained if share is not None]
    return {
        "mean_absolute_error": sum(absolute) / len(absolute),
        "mean_squared_error": sum(squared) / len(squared),
        "r2": sum(known) / len(known) if len(known) == len(explained) else None,
    }
