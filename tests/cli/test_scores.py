import math

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, precision_recall_fscore_support, r2_score
from sklearn.preprocessing import MultiLabelBinarizer

from mann_hf.cli.scores import calibration_error, label_scores, regression_scores, score_interval


@pytest.mark.parametrize("most", [1, 3])
def test_label_scores_are_those_of_scikit_learn(most: int) -> None:
    random = np.random.default_rng(0)
    names = np.array(["a", "b", "c", "d"])  # d is never true

    def draw(among: int) -> list[list[str]]:
        return [sorted(random.choice(names[:among], random.integers(1, most + 1), replace=False)) for _ in range(50)]

    truth, given = draw(3), draw(4)
    scores = label_scores(truth, given)
    binarizer = MultiLabelBinarizer().fit([names])
    expected = precision_recall_fscore_support(
        binarizer.transform(truth), binarizer.transform(given), zero_division=0.0
    )
    assert list(scores) == list(names)
    for column, score in enumerate(scores.values()):
        precision, recall, f1, support = (figure[column] for figure in expected)
        assert score == pytest.approx((support, precision, recall, f1))


def test_calibration_error_of_a_case_worked_by_hand() -> None:
    # two bins: (0, 0.5] holds 0.5 and 0.25 with one of two right, (0.5, 1] holds 0.75 and 1.0 with two right
    error = calibration_error([0.5, 0.25, 0.75, 1.0], [True, False, True, True], bins=2)
    assert error == pytest.approx(0.5 * abs(0.5 - 0.375) + 0.5 * abs(1 - 0.875))


def test_calibration_error_is_that_of_a_loop_over_bins() -> None:
    random = np.random.default_rng(0)
    confidences, right = random.random(500), random.random(500) < 0.6
    expected = 0.0
    for low in range(15):
        inside = (confidences > low / 15) & (confidences <= (low + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidences[inside].mean())
    assert calibration_error(confidences.tolist(), right.tolist()) == pytest.approx(expected)


def test_scores_at_the_ends_have_a_bin() -> None:
    assert calibration_error([0.0, 1.0], [False, True]) == 0
    assert calibration_error([0.0, 1.0], [True, False]) == 1


@pytest.mark.parametrize("targets", [1, 2])
def test_regression_scores_are_those_of_scikit_learn(targets: int) -> None:
    random = np.random.default_rng(0)
    truth, given = random.normal(size=(20, targets)), random.normal(size=(20, targets))
    assert regression_scores(truth.tolist(), given.tolist()) == pytest.approx(
        {
            "mean_absolute_error": mean_absolute_error(truth, given),
            "mean_squared_error": mean_squared_error(truth, given),
            "r2": r2_score(truth, given),
        }
    )


def test_rounding_is_no_variance() -> None:
    assert regression_scores([[0.1]] * 3, [[0.2]] * 3)["r2"] is None
    assert regression_scores([[1.0, 0.1], [2.0, 0.1]], [[1.0, 0.1], [2.0, 0.1]])["r2"] is None


def test_no_variance_no_share_of_it() -> None:
    scores = regression_scores([[1.0], [1.0]], [[1.0], [2.0]])
    assert scores["r2"] is None
    assert scores["mean_squared_error"] == 0.5
    assert math.isclose(scores["mean_absolute_error"] or 0, 0.5)


@pytest.mark.parametrize(
    "right, count, low, high",  # of the score interval without continuity correction: Newcombe 1998, table I
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_score_interval_is_that_of_the_literature(right: int, count: int, low: float, high: float) -> None:
    assert score_interval(right / count, count) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize("share, count", [(0.0, 5), (1.0, 5), (0.95, 20)])
def test_score_interval_stays_between_0_and_1(share: float, count: int) -> None:
    low, high = score_interval(share, count)
    assert 0 <= low <= share <= high <= 1 and low < high
