"""What a trainer says of its episodes against what is said of the same episodes one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import TrainerCallback

from mann_hf import EpisodicTrainer, EpisodicTrainingArguments, MANNForSequenceClassification
from mann_hf.episodes import EpisodeSampler
from mann_hf.errors import InvalidInputError
from mann_hf.training import answer_episodes, episodic_scores, evaluation_episodes

CLASSES = {"card_arrival": "card", "refund": "money", "password": "reset", "bank": "bank"}
FILLERS = ["my", "the", "is", "how", "not", "please"]
Build = Callable[..., EpisodicTrainer]


@pytest.fixture(scope="module")
def data() -> Dataset:
    rows = [(f"{word} {filler}", label) for label, word in CLASSES.items() for filler in FILLERS]
    return Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


@pytest.fixture
def build(tiny_classifier: Callable[..., Any], tmp_path: Path, data: Dataset) -> Build:
    """A trainer of a tiny model that is only evaluated."""

    def make(eval_dataset: Any = data, **arguments: Any) -> EpisodicTrainer:
        given: dict[str, Any] = {"n_way": 3, "k_shot": 2, "n_query": 2, "eval_episodes": 10, "use_cpu": True}
        given |= {"report_to": "none", "disable_tqdm": True, **arguments}
        return EpisodicTrainer(
            model=tiny_classifier(),
            args=EpisodicTrainingArguments(str(tmp_path), **given),
            eval_dataset=eval_dataset,
        )

    return make


def model_of(trainer: EpisodicTrainer) -> MANNForSequenceClassification:
    assert isinstance(trainer.model, MANNForSequenceClassification)
    return trainer.model


def figures(metrics: dict[str, float]) -> dict[str, float]:
    """Those that do not depend on time."""
    timed = ("runtime", "_per_second", "epoch")
    return {name.removeprefix("eval_"): figure for name, figure in metrics.items() if not name.endswith(timed)}


class TestEvaluate:
    def test_words_of_labels_are_used_where_they_are_asked_for(
        self, build: Build, data: Dataset, tiny_tokenizer: Any
    ) -> None:
        episodes = evaluation_episodes(EpisodeSampler(data, 3, 2, 2), 10)
        told, expected = {}, {}
        for label_names in (False, True):
            trainer = build(label_names=label_names)
            told[label_names] = trainer.evaluate()["eval_loss"]
            answers = answer_episodes(model_of(trainer), tiny_tokenizer, episodes, label_names)
            expected[label_names] = float(np.mean(answers.losses))
        assert told == pytest.approx(expected, abs=1e-5)
        assert abs(told[True] - told[False]) > 1e-3

    def test_as_many_episodes_as_asked_for_of_their_own_sizes(
        self, build: Build, data: Dataset, tiny_tokenizer: Any
    ) -> None:
        trainer = build(eval_n_way=2, eval_k_shot=1, eval_n_query=3, eval_n_unknown=2, eval_seed=5, eval_episodes=7)
        episodes = evaluation_episodes(EpisodeSampler(data, 2, 1, 3, n_unknown=2, seed=5), 7)
        expected = episodic_scores(answer_episodes(model_of(trainer), tiny_tokenizer, episodes))
        assert "unknown_auroc" in expected
        assert figures(trainer.evaluate()) == pytest.approx(expected, abs=1e-5)

    def test_training_in_half_precision_does_not_show(self, build: Build) -> None:
        assert figures(build(bf16=True).evaluate()) == pytest.approx(figures(build().evaluate()), abs=1e-6)

    def test_callbacks_and_the_log_have_what_is_returned(self, build: Build) -> None:
        heard: list[dict[str, float]] = []

        class Listener(TrainerCallback):
            def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                heard.append(kwargs["metrics"])

        trainer = build()
        trainer.add_callback(Listener)
        told = trainer.evaluate(metric_key_prefix="end")
        assert heard == [told] and {name.split("_")[0] for name in told} - {"epoch"} == {"end"}
        assert trainer.state.log_history == [{**told, "step": 0}]


class TestPredict:
    def test_the_answers_to_the_episodes(self, build: Build, data: Dataset, tiny_tokenizer: Any) -> None:
        trainer = build(None)
        told = trainer.predict(data)
        episodes = evaluation_episodes(EpisodeSampler(data, 3, 2, 2), 10)
        expected = answer_episodes(model_of(trainer), tiny_tokenizer, episodes)
        assert np.array_equal(told.predictions, expected.predictions)
        assert np.array_equal(told.label_ids, expected.references)  # type: ignore[arg-type]
        assert told.metrics is not None and told.metrics["test_loss"] == pytest.approx(np.mean(expected.losses))

    def test_one_data_set_at_a_time(self, build: Build, data: Dataset) -> None:
        with pytest.raises(InvalidInputError, match="predict answers one data set, not one, two"):
            build(None).predict({"one": data, "two": data})
