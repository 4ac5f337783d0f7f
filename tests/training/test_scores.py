import sys
from typing import Any

import evaluate
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from mann_hf.episodes import UNKNOWN
from mann_hf.errors import InvalidInputError, MissingExtraError, UnknownNameError
from mann_hf.training import EpisodeAnswers, episodic_scores, load_metric


def random_answers(count: int = 40, unknown: float = 0.1) -> EpisodeAnswers:
    """Episodes of 4 to 20 queries."""
    random = np.random.default_rng(0)
    episodes = np.repeat(np.arange(count), random.integers(4, 20, count))
    references, guesses = random.integers(0, 4, (2, len(episodes)))
    predictions = np.where(random.random(len(episodes)) < 0.6, references, guesses)
    references = np.where(random.random(len(episodes)) < unknown, UNKNOWN, references)
    return EpisodeAnswers(predictions, references, episodes, random.random(len(episodes)), random.random(count))


def of_each(answers: EpisodeAnswers) -> list[tuple[np.ndarray, np.ndarray]]:
    """References and predictions of each episode, without queries of no class."""
    known = answers.references != UNKNOWN
    rows = [known & (answers.episodes == number) for number in range(len(answers.losses))]
    return [(answers.references[row], answers.predictions[row]) for row in rows]


def test_scores_are_those_of_scikit_learn_and_numpy() -> None:
    answers = random_answers()
    accuracies = [accuracy_score(*each) for each in of_each(answers)]
    assert episodic_scores(answers) == pytest.approx(
        {
            "accuracy": np.mean(accuracies),
            "accuracy_ci95": 1.96 * np.std(accuracies, ddof=1) / np.sqrt(40),
            "macro_f1": np.mean([f1_score(*each, average="macro", zero_division=0.0) for each in of_each(answers)]),
            "loss": answers.losses.mean(),
            "unknown_auroc": roc_auc_score(answers.references != UNKNOWN, answers.scores),
        }
    )


def test_ties_between_known_and_unknown_count_half() -> None:
    answers = random_answers(unknown=0.3)
    coarse = answers._replace(scores=answers.scores.round(1))
    expected = roc_auc_score(coarse.references != UNKNOWN, coarse.scores)
    assert episodic_scores(coarse)["unknown_auroc"] == pytest.approx(expected)


def test_without_unknown_queries_there_is_nothing_to_tell_apart() -> None:
    assert "unknown_auroc" not in episodic_scores(random_answers(unknown=0))


def test_one_evaluation_does_not_show_in_the_next() -> None:
    first = episodic_scores(random_answers())
    episodic_scores(random_answers(5))
    assert episodic_scores(random_answers()) == first


def test_an_episode_without_a_loss_is_passed_over() -> None:
    answers = random_answers(4)
    answers.losses[1] = np.nan
    assert episodic_scores(answers)["loss"] == pytest.approx(answers.losses[[0, 2, 3]].mean())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [0, 12])
def test_nothing_that_could_be_scored(count: int) -> None:
    before = episodic_scores(random_answers())
    unknown = np.full(count, UNKNOWN)
    answers = EpisodeAnswers(np.zeros(count, int), unknown, np.arange(count) % 3, np.ones(count), np.full(3, np.nan))
    with pytest.raises(InvalidInputError, match="no query of the 3 episodes is of a class of its episode.*n_query"):
        episodic_scores(answers)
    assert episodic_scores(random_answers()) == before


@pytest.mark.filterwarnings("error")
def test_a_model_that_gives_no_numbers_has_no_loss() -> None:
    answers = random_answers(4)
    answers.losses[:] = np.nan
    assert np.isnan(episodic_scores(answers)["loss"])


@pytest.mark.parametrize("name", ["episodic_accuracy", "episodic_f1", "split_accuracy"])
def test_metrics_by_their_names(name: str) -> None:
    metric = load_metric(name)
    assert isinstance(metric, evaluate.Metric) and metric.name == name


def test_a_metric_that_there_is_not() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown metric 'accuracy'; choose one of 'chrf', 'episodic_accuracy', 'episodic_f1'"
    ):
        load_metric("accuracy")


def test_without_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "evaluate", missing)
    with pytest.raises(MissingExtraError, match=r"evaluating episodes needs .*pip install 'mann_hf\[train\]'"):
        load_metric("episodic_accuracy")
