"""Answers to many episodes against each episode read by itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor

from mann_hf.episodes import UNKNOWN, Episode, EpisodeCollator, EpisodeSampler, Examples
from mann_hf.memory import READINGS
from mann_hf.targets.single_label import SingleLabel
from mann_hf.training import EpisodeAnswers, answer_episodes, evaluation, evaluation_episodes
from tests.packed_answers import answer_packed

Build = Callable[..., Any]
WORDS = ["card", "money", "pay", "bank", "order", "cancel", "account", "password", "transfer", "package"]
CLASSES = {"card_arrival": "card", "Refund": "money", "3": "password", "topUp": "bank", "lost": "package"}


@pytest.fixture
def build(tiny_classifier: Build) -> Build:
    return tiny_classifier


@pytest.fixture(scope="module")
def data() -> Dataset:
    rows = [(f"my {word} {other}", name) for name, word in CLASSES.items() for other in WORDS]
    return Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


@pytest.fixture(scope="module")
def episodes(data: Dataset) -> list[Episode]:
    """Of all sizes, some with queries of no class."""
    sampler = EpisodeSampler(data, (2, 4), (1, 3), (1, 3), n_unknown=(0, 2), unbalanced=True)
    return [*evaluation_episodes(sampler, 8), *evaluation_episodes(EpisodeSampler(data, 3, 2, 2), 3)]


def by_hand(model: Any, tokenizer: Any, episodes: list[Episode], label_names: bool = False) -> list[Tensor]:
    """Logits of each episode by itself."""
    collator = EpisodeCollator.for_model(model, tokenizer, label_names=label_names)
    with torch.no_grad():
        return [answer_packed(model, collator([episode])).logits[0] for episode in episodes]


def assert_answers(answers: EpisodeAnswers, logits: list[Tensor], episodes: list[Episode]) -> None:
    labels = [torch.tensor(episode.query.labels) for episode in episodes]
    best = torch.cat([each.softmax(-1).max(-1).values for each in logits])
    assert answers.predictions.tolist() == torch.cat([each.argmax(-1) for each in logits]).tolist()
    assert answers.references.tolist() == torch.cat(labels).tolist()
    assert answers.episodes.tolist() == [place for place, each in enumerate(labels) for _ in each]
    assert np.allclose(answers.scores, best, atol=1e-5)
    losses = [float(F.cross_entropy(each, told)) for each, told in zip(logits, labels, strict=True)]
    assert np.allclose(answers.losses, losses, atol=1e-4)


class TestAnswers:
    @pytest.mark.parametrize("label_names", [False, True])
    @pytest.mark.parametrize("reading", READINGS)
    def test_each_episode_is_answered_as_by_itself(
        self, build: Build, tiny_tokenizer: Any, episodes: list[Episode], reading: str, label_names: bool
    ) -> None:
        model = build(reading=reading)
        answers = answer_episodes(model, tiny_tokenizer, episodes, label_names)
        assert_answers(answers, by_hand(model, tiny_tokenizer, episodes, label_names), episodes)

    def test_scores_and_losses_are_those_of_the_targets(
        self, build: Build, tiny_tokenizer: Any, episodes: list[Episode]
    ) -> None:
        class Halved(SingleLabel):
            def scores(self, logits: Tensor) -> Tensor:
                return super().scores(logits) / 2

            def losses(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
                losses, known = super().losses(logits, labels)
                return losses / 2, known

        model = build()
        whole = answer_episodes(model, tiny_tokenizer, episodes)
        model.reading.targets = Halved()
        halves = answer_episodes(model, tiny_tokenizer, episodes)
        assert np.allclose(halves.scores, whole.scores / 2) and np.allclose(halves.losses, whole.losses / 2)
        assert (halves.predictions == whole.predictions).all()

    def test_words_of_labels_make_a_difference(
        self, build: Build, tiny_tokenizer: Any, episodes: list[Episode]
    ) -> None:
        model = build()
        without, within = (answer_episodes(model, tiny_tokenizer, episodes, names) for names in (False, True))
        assert not np.allclose(without.losses, within.losses)

    def test_however_many_are_read_together(
        self, build: Build, tiny_tokenizer: Any, data: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model, asked = build(), evaluation_episodes(EpisodeSampler(data, 3, 2, 2), 7)
        whole = answer_episodes(model, tiny_tokenizer, asked)
        monkeypatch.setattr(evaluation, "AT_A_TIME", 2)
        for mine, theirs in zip(answer_episodes(model, tiny_tokenizer, asked), whole, strict=True):
            assert np.allclose(mine, theirs, atol=1e-5)

    @pytest.mark.parametrize("label_names", [False, True])
    def test_with_a_capacity(
        self, build: Build, tiny_tokenizer: Any, episodes: list[Episode], label_names: bool
    ) -> None:
        model = build(capacity=3, eviction="oldest")
        answers = answer_episodes(model, tiny_tokenizer, episodes, label_names)
        assert_answers(answers, by_hand(model, tiny_tokenizer, episodes, label_names), episodes)

    def test_each_text_is_encoded_once(self, build: Build, tiny_tokenizer: Any, episodes: list[Episode]) -> None:
        model, encoded = build(), []

        def embed_texts(texts: list[str]) -> Tensor:
            encoded.append(texts)
            return -model.embed_texts(tiny_tokenizer, texts)

        turned = answer_episodes(model, tiny_tokenizer, episodes, True, embed_texts)
        [texts] = encoded
        there = {text for episode in episodes for part in episode[:2] for text in part.texts}
        assert sorted(texts) == sorted(there | {"card arrival", "refund", "top up", "lost"})
        plain = answer_episodes(model, tiny_tokenizer, episodes, True)
        assert turned.predictions.tolist() == plain.predictions.tolist(), "all keys turned around, all angles stay"

    def test_texts_are_prepared_as_the_model_prepares_them(
        self, build: Build, tiny_tokenizer: Any, episodes: list[Episode]
    ) -> None:
        model = build(prompts={"query": "please get "}, prompt_name="query", max_seq_length=6)
        answers = answer_episodes(model, tiny_tokenizer, episodes)
        assert_answers(answers, by_hand(model, tiny_tokenizer, episodes), episodes)

    def test_the_model_is_left_as_it_is(self, build: Build, tiny_tokenizer: Any, episodes: list[Episode]) -> None:
        model = build()
        model.remember(torch.eye(2, 32), ["a", "b"])
        before = model.memory
        plain = answer_episodes(model, tiny_tokenizer, episodes)
        model.train()
        while_training = answer_episodes(model, tiny_tokenizer, episodes)
        assert model.memory is before and model.training and model.encoder.training
        assert all(parameter.grad is None for parameter in model.parameters())
        for mine, theirs in zip(while_training, plain, strict=True):
            assert np.allclose(mine, theirs), "nothing is dropped out while answering"

    @pytest.mark.parametrize("labels", [[], [UNKNOWN, UNKNOWN]])
    def test_an_episode_without_a_query_of_its_classes_has_no_loss(
        self, build: Build, tiny_tokenizer: Any, labels: list[int]
    ) -> None:
        support = Examples(["my card", "my money"], [0, 1])
        odd = Episode(support, Examples(["pay", "order"][: len(labels)], labels), ("card", "money"))
        even = Episode(support, Examples(["my card"], [0]), ("card", "money"))
        answers = answer_episodes(build(), tiny_tokenizer, [odd, even])
        assert np.isnan(answers.losses).tolist() == [True, False]
        assert answers.references.tolist() == [*labels, 0] and answers.predictions[-1] == 0
        assert answers.episodes.tolist() == [0] * len(labels) + [1]


def test_the_first_episodes_whatever_was_drawn(data: Dataset) -> None:
    sampler = EpisodeSampler(data, 2, seed=3)
    expected = evaluation_episodes(sampler, 4)
    next(sampler)
    assert evaluation_episodes(sampler, 4) == expected == [sampler[number] for number in range(4)]
    assert sampler.drawn == 1
    assert evaluation_episodes(sampler.shard(1, 2), 2) == expected[:2]
