"""Episodes of pairs in training: the loss, the figures of an evaluation, and what is refused."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mann_hf import EpisodicTrainingArguments
from mann_hf.errors import InvalidInputError, InvalidTypeError, UnknownNameError
from mann_hf.training.kinds import EPISODE_KINDS, kind_of
from mann_hf.training.pair_kind import PairAnswers, pair_scores
from mann_hf.training.pair_objectives import PAIR_OBJECTIVES

LABELS = torch.tensor([[[1, 2, -100], [3, 0, 1]], [[2, -100, -100], [-100, -100, -100]]])


def arguments(**options: Any) -> EpisodicTrainingArguments:
    return EpisodicTrainingArguments("unused", use_cpu=True, report_to="none", **options)


def read(seed: int = 0) -> Any:
    logits = torch.randn(2, 2, 3, 5, generator=torch.Generator().manual_seed(seed))
    return SimpleNamespace(logits=logits, labels=LABELS)


def test_the_loss_is_the_mean_over_an_episodes_tokens_then_over_episodes() -> None:
    episodes = read()
    loss, logits = PAIR_OBJECTIVES["episode"]()(None, episodes)
    means = []
    for episode in range(2):
        losses = [
            -episodes.logits[episode, query, token].log_softmax(-1)[LABELS[episode, query, token]]
            for query in range(2)
            for token in range(3)
            if LABELS[episode, query, token] >= 0
        ]
        means.append(sum(losses) / len(losses))
    torch.testing.assert_close(loss, sum(means) / 2)
    assert logits is episodes.logits


def test_label_smoothing_keeps_a_loss_of_certain_answers() -> None:
    episodes = read()
    episodes.logits = 50 * torch.nn.functional.one_hot(LABELS.clamp_min(0), 5).float()
    plain, smoothed = (PAIR_OBJECTIVES["episode"](share)(None, episodes)[0] for share in (0.0, 0.1))
    assert plain < 1e-6 and smoothed > 1
    with pytest.raises(InvalidInputError, match="label_smoothing is 1"):
        PAIR_OBJECTIVES["episode"](1)


def test_an_episode_without_queries_counts_as_nothing() -> None:
    episodes = SimpleNamespace(logits=torch.randn(1, 1, 2, 4, requires_grad=True), labels=torch.full((1, 1, 2), -100))
    loss, _ = PAIR_OBJECTIVES["episode"]()(None, episodes)
    loss.backward()
    assert loss == 0 and not episodes.logits.grad.any()


def test_scores_are_means_over_episodes() -> None:
    references = np.array([[1, 2, -100], [3, 4, 5], [6, -100, -100]])
    predictions = np.array([[1, 2, -100], [3, 4, 0], [6, -100, -100]])
    answers = PairAnswers(predictions, references, np.array([0, 0, 1]), np.array([0.5, 0.1, math.nan]))
    scores = pair_scores(answers)
    assert scores["exact_match"] == pytest.approx((0.5 + 1) / 2)
    assert scores["token_accuracy"] == pytest.approx((4 / 5 + 1) / 2)
    assert scores["loss"] == pytest.approx(0.3), "of episodes that have one"
    assert scores["exact_match_ci95"] == pytest.approx(1.96 * np.std([0.5, 1], ddof=1) / math.sqrt(2))
    with pytest.raises(InvalidInputError, match="no queries"):
        pair_scores(PairAnswers(predictions[:0], references[:0], np.array([], int), np.array([math.nan])))


def test_several_data_sets_have_their_mean_and_spread() -> None:
    kind = EPISODE_KINDS["pairs"]()
    right, wrong = (
        PairAnswers(np.array([[token]]), np.array([[1]]), np.array([0]), np.array([0.2])) for token in (1, 2)
    )
    named = kind.named_scores({"one": right, "other": wrong}, "eval")
    assert (named["eval_one_exact_match"], named["eval_other_exact_match"], named["eval_exact_match"]) == (1, 0, 0.5)
    assert named["eval_exact_match_std"] == 0.5


def test_a_kind_is_named_by_the_model_or_else_by_its_data() -> None:
    named = SimpleNamespace(episode_kind="pairs")
    assert kind_of(None, named).name == "pairs" and kind_of(SimpleNamespace(), None).name == "labels"
    assert kind_of(named, SimpleNamespace(episode_kind="labels")).name == "pairs", "the model comes first"
    with pytest.raises(UnknownNameError, match="unknown kind of episodes 'triples'"):
        kind_of(SimpleNamespace(episode_kind="triples"))


def test_arguments_without_a_use_are_refused() -> None:
    kind = EPISODE_KINDS["pairs"]()
    kind.check_arguments(arguments(regularizers={"weight_anchor": 0.1}))
    with pytest.raises(InvalidInputError, match="leave out 'uniformity'; there is 'weight_anchor'"):
        kind.check_arguments(arguments(regularizers={"uniformity": 0.1, "weight_anchor": 0.1}))
    with pytest.raises(InvalidInputError, match="label_names=True"):
        kind.check_arguments(arguments(label_names=True))
    with pytest.raises(UnknownNameError, match="objective of episodes of pairs 'leave_one_out'"):
        kind.objective(arguments(objective="leave_one_out"))
    with pytest.raises(InvalidTypeError, match="of type SimpleNamespace"):
        kind.check_model(SimpleNamespace())


@pytest.mark.parametrize("kind, metric", [("pairs", "exact_match"), ("labels", "accuracy")])
def test_the_best_model_is_chosen_by_the_kinds_metric_if_nothing_else_is_asked_for(kind: str, metric: str) -> None:
    sampler: Any = SimpleNamespace(n_unknown=(0, 0))
    chosen = arguments(load_best_model_at_end=True, eval_strategy="steps", eval_steps=1, save_steps=1)
    EPISODE_KINDS[kind]().check_best_metric(chosen, {"": sampler})
    assert chosen.metric_for_best_model == metric
    other = arguments(
        load_best_model_at_end=True, eval_strategy="steps", eval_steps=1, save_steps=1, metric_for_best_model="bleu"
    )
    with pytest.raises(InvalidInputError, match=f"is 'bleu'; the best model can be chosen by .*{metric}"):
        EPISODE_KINDS[kind]().check_best_metric(other, {"": sampler})
