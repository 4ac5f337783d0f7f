"""What the collator packs, and that a model reads of it what it reads of the texts by themselves."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mann_hf.episodes import UNKNOWN, Episode, EpisodeBatch, EpisodeCollator, Examples
from mann_hf.errors import InvalidInputError, InvalidTypeError
from mann_hf.memory import READINGS
from tests.packed_answers import answer_packed

Build = Callable[..., Any]
TEXTS = [
    "where is my card",
    "my card is not here",
    "what is the balance of my account",
    "please send the money back",
    "cancel",
    "i want to cancel my order and get the money that i payed back to my account",
    "how do i reset the password",
]
ALIKE = [  # of one size; texts 0 and 4 are in both
    Episode(
        Examples([TEXTS[0], TEXTS[3], TEXTS[1]], [0, 1, 0]),
        Examples([TEXTS[2], TEXTS[4]], [0, 1]),
        ("card_arrival", "Refund"),
    ),
    Episode(
        Examples([TEXTS[4], TEXTS[6], TEXTS[5]], [0, 1, 0]),
        Examples([TEXTS[0], TEXTS[1]], [UNKNOWN, 0]),
        ("cancelOrder", "7"),
    ),
]
SMALLER = Episode(Examples([TEXTS[5], TEXTS[0]], [1, 0]), Examples([TEXTS[6]], [1]), ("3", "resetPassword"))


@pytest.fixture
def build(tiny_classifier: Build) -> Build:
    return tiny_classifier


def texts_of(packed: EpisodeBatch, tokenizer: Any) -> list[str]:
    """The texts in the order in which they are numbered."""
    rows = [row for group in packed.inputs for row in group["input_ids"]]
    return [tokenizer.decode(row, skip_special_tokens=True) for row in rows]


def named(packed: EpisodeBatch, index: str, tokenizer: Any) -> list[list[str | None]]:
    texts = texts_of(packed, tokenizer)
    return [[None if number < 0 else texts[number] for number in row] for row in getattr(packed, index).tolist()]


def unpacked(model: Any, tokenizer: Any, episodes: list[Episode]) -> dict[str, Tensor]:
    """Episodes of one size as [B, Q, L] and [B, S, L]."""
    found: dict[str, Tensor] = {}
    for prefix, part in (("", "query"), ("support_", "support")):
        given = [getattr(episode, part) for episode in episodes]
        texts = list(itertools.chain.from_iterable(examples.texts for examples in given))
        tokens = tokenizer(texts, return_tensors="pt", padding=True)
        for name in ("input_ids", "attention_mask"):
            found[prefix + name] = tokens[name].view(len(episodes), -1, tokens[name].shape[-1])
        found[f"{prefix}labels"] = torch.tensor([examples.labels for examples in given])
    return found


grouped = pytest.mark.parametrize("group_by_length", [True, False])


class TestPacking:
    @grouped
    def test_every_text_is_there_once_and_indices_find_it(self, tiny_tokenizer: Any, group_by_length: bool) -> None:
        packed: Any = EpisodeCollator(tiny_tokenizer, group_by_length=group_by_length)(ALIKE)
        assert sorted(texts_of(packed, tiny_tokenizer)) == sorted(TEXTS)
        assert named(packed, "support_index", tiny_tokenizer) == [episode.support.texts for episode in ALIKE]
        assert named(packed, "query_index", tiny_tokenizer) == [episode.query.texts for episode in ALIKE]
        assert packed.support_labels.tolist() == [[0, 1, 0], [0, 1, 0]]
        assert packed.labels.tolist() == [[0, 1], [UNKNOWN, 0]]
        assert packed.n_way == 2 and packed.name_index is None

    @grouped
    def test_words_of_labels(self, tiny_tokenizer: Any, group_by_length: bool) -> None:
        collator = EpisodeCollator(tiny_tokenizer, label_names=True, group_by_length=group_by_length)
        found = named(collator(ALIKE), "name_index", tiny_tokenizer)
        assert [[text and text.replace(" ", "") for text in row] for row in found] == [
            ["cardarrival", "refund"],
            ["cancelorder", None],
        ]

    def test_words_that_are_a_text_too_are_there_once(self, tiny_tokenizer: Any) -> None:
        episode = Episode(Examples(["cancel", "card"], [0, 1]), Examples([], []), ("cancel", "Card"))
        packed: Any = EpisodeCollator(tiny_tokenizer, label_names=True)([episode])
        assert sorted(texts_of(packed, tiny_tokenizer)) == ["cancel", "card"]
        assert torch.equal(packed.name_index, packed.support_index)

    def test_episodes_of_different_size_are_padded(self, tiny_tokenizer: Any) -> None:
        packed: Any = EpisodeCollator(tiny_tokenizer, label_names=True)(
            [ALIKE[0], SMALLER._replace(names=("3", "lost_card"))]
        )
        assert named(packed, "support_index", tiny_tokenizer)[1] == [*SMALLER.support.texts, None]
        assert named(packed, "query_index", tiny_tokenizer)[1] == [*SMALLER.query.texts, None]
        assert packed.support_labels.tolist()[1] == [1, 0, -100] and packed.labels.tolist()[1] == [1, -100]
        assert packed.name_index[1, 0] == -1 and packed.n_way == 2

    def test_episodes_of_other_numbers_of_classes_go_apart(self, tiny_tokenizer: Any) -> None:
        """In a memory of more columns an episode would have other answers than by itself."""
        three = Episode(Examples(TEXTS[:3], [0, 1, 2]), Examples(TEXTS[3:5], [2, 1]), ("a", "b", "c"))
        with pytest.raises(InvalidInputError, match="2, 3 classes cannot be packed together.*batch_size"):
            EpisodeCollator(tiny_tokenizer)([SMALLER, three])

    def test_episodes_without_queries(self, tiny_tokenizer: Any) -> None:
        packed: Any = EpisodeCollator(tiny_tokenizer)([episode._replace(query=Examples([], [])) for episode in ALIKE])
        assert packed.query_index.shape == packed.labels.shape == (2, 0)
        assert packed.labels.dtype == packed.query_index.dtype == torch.long

    def test_texts_of_like_length_are_padded_together(self, tiny_tokenizer: Any) -> None:
        short = [f"my card {number}" for number in range(60)]
        episode = Episode(Examples([*short, " ".join(TEXTS)], [0] * 61), Examples([], []), ("a", "b"))
        cut, whole = (EpisodeCollator(tiny_tokenizer, group_by_length=flag)([episode]) for flag in (True, False))
        assert len(whole.inputs) == 1 and len(cut.inputs) > 1
        for packed in (cut, whole):
            assert packed.input_count == 61
            for tokens, mask in ((group["input_ids"], group["attention_mask"]) for group in packed.inputs):
                assert tokens.shape == mask.shape and mask.any(0).all(), "no column is padding alone"
        assert named(cut, "support_index", tiny_tokenizer) == named(whole, "support_index", tiny_tokenizer)

    def test_groups_by_default_where_there_is_no_gpu(
        self, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for there in (True, False):
            monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
            assert EpisodeCollator(tiny_tokenizer).group_by_length is not there

    def test_texts_are_prepared_as_asked_for(self, tiny_tokenizer: Any) -> None:
        tiny_tokenizer.backend_tokenizer.normalizer = None  # so that lower case is the collator's doing
        collator = EpisodeCollator(tiny_tokenizer, max_length=10, prompt="query: ", lower_case=True)
        packed: Any = collator([Episode(Examples(["MY CARD is here"], [0]), Examples([], []), ("a", "b"))])
        expected = tiny_tokenizer("query: my card is here", truncation=True, max_length=10)["input_ids"]
        assert [group["input_ids"].tolist() for group in packed.inputs] == [[expected]]

    def test_for_a_model_texts_are_prepared_as_it_prepares_them(self, build: Build, tiny_tokenizer: Any) -> None:
        model = build(max_seq_length=6, prompts={"query": "get: "}, prompt_name="query", lower_case=True)
        packed: Any = EpisodeCollator.for_model(model, tiny_tokenizer)([ALIKE[0]])
        output = answer_packed(model, packed)
        expected = model.embed_texts(tiny_tokenizer, ALIKE[0].query.texts)
        assert torch.allclose(output.read_keys[0], expected, atol=1e-5)
        assert max(group["input_ids"].shape[1] for group in packed.inputs) == 6

    def test_nothing_to_pack(self, tiny_tokenizer: Any) -> None:
        with pytest.raises(InvalidInputError, match="no episodes to pack"):
            EpisodeCollator(tiny_tokenizer)([])

    @pytest.mark.parametrize("text, error", [(" ", InvalidInputError), (3, InvalidTypeError)])
    def test_what_is_no_text(self, tiny_tokenizer: Any, text: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match="counted from 0"):
            EpisodeCollator(tiny_tokenizer)([Episode(Examples([text], [0]), Examples([], []), ("a", "b"))])


class TestReadByAModel:
    @grouped
    @pytest.mark.parametrize("reading", READINGS)
    def test_the_same_as_unpacked(self, build: Build, tiny_tokenizer: Any, reading: str, group_by_length: bool) -> None:
        model = build(reading=reading)
        expected = model(**unpacked(model, tiny_tokenizer, ALIKE))
        found = answer_packed(model, EpisodeCollator(tiny_tokenizer, group_by_length=group_by_length)(ALIKE))
        for name in ("logits", "loss", "slot_ids", "memory_weights", "read_keys"):
            assert torch.allclose(found[name], expected[name], atol=1e-5, rtol=1e-5), name

    @grouped
    @pytest.mark.parametrize("reading", READINGS)
    @pytest.mark.parametrize("label_names", [False, True])
    def test_the_same_as_one_by_one(
        self, build: Build, tiny_tokenizer: Any, reading: str, label_names: bool, group_by_length: bool
    ) -> None:
        model = build(reading=reading)
        collator = EpisodeCollator(tiny_tokenizer, label_names=label_names, group_by_length=group_by_length)
        episodes = [*ALIKE, SMALLER]
        together, total = answer_packed(model, collator(episodes)), torch.zeros(())
        for number, episode in enumerate(episodes):
            alone = answer_packed(model, collator([episode]))
            logits = together.logits[number, : len(episode.query.texts)]
            assert torch.allclose(logits, alone.logits[0], atol=1e-5, rtol=1e-5)
            total = total + alone.loss
        assert torch.allclose(together.loss, total / len(episodes), atol=1e-5)

    def test_the_words_of_labels_are_read(self, build: Build, tiny_tokenizer: Any) -> None:
        model = build()
        found = answer_packed(model, EpisodeCollator(tiny_tokenizer, label_names=True)([ALIKE[1]]))
        more = Examples([*ALIKE[1].support.texts, "cancel order"], [*ALIKE[1].support.labels, 0])
        expected = answer_packed(model, EpisodeCollator(tiny_tokenizer)([ALIKE[1]._replace(support=more)]))
        assert torch.allclose(found.logits, expected.logits, atol=1e-5, rtol=1e-5)

    @grouped
    def test_gradients_are_those_of_unpacked(self, build: Build, tiny_tokenizer: Any, group_by_length: bool) -> None:
        gradients = []
        for packed in (True, False):
            model = build()
            collator = EpisodeCollator(tiny_tokenizer, group_by_length=group_by_length)
            if packed:
                output = answer_packed(model, collator(ALIKE))
            else:
                output = model(**unpacked(model, tiny_tokenizer, ALIKE))
            output.loss.backward()
            gradients.append([parameter.grad for parameter in model.parameters()])
        for found, expected in zip(*gradients, strict=True):
            assert torch.allclose(found, expected, atol=1e-5, rtol=1e-3)
