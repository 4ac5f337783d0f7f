"""Episodes of pairs: a memory that lives for one call reads as the lasting one does."""

from typing import Any

import pytest
import torch

import mann_hf
from mann_hf.errors import InvalidInputError
from mann_hf.models.episode_batch import EpisodeBatch
from tests.tiny_seq2seq import SOURCES, TARGETS, batch_of, save_tiny, word_tokenizer

IGNORED = -100
KINDS: dict[str, dict[str, Any]] = {
    "token": {"memory": "token", "interpolation": 0.9, "key_dtype": "float32", "source_weight": 1.0},
    "adaptive": {"memory": "token", "interpolation": "adaptive", "key_dtype": "float32"},
    "robust": {"memory": "token", "interpolation": "robust", "key_dtype": "float32"},
    "example": {"memory": "example", "gate": 1.0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return save_tiny("t5", tmp_path_factory.mktemp("t5"))


def made(folder: Any, kind: str) -> Any:
    torch.manual_seed(0)
    return mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained(folder, **KINDS[kind])


def pairs() -> dict[str, torch.Tensor]:
    labels = batch_of(TARGETS)["input_ids"]
    return {**batch_of(SOURCES), "labels": labels.masked_fill(labels == 0, IGNORED)}


def episodes(support: list[list[int]], query: list[list[int]]) -> EpisodeBatch:
    """Episodes of some of the pairs; -1 stands for none."""
    held, asked = torch.tensor(support), torch.tensor(query)
    marks = [torch.where(index < 0, IGNORED, 0) for index in (held, asked)]
    return EpisodeBatch([pairs()], held, marks[0], asked, marks[1])


def from_lasting(model: Any, support: list[int], query: list[int]) -> torch.Tensor:
    """The logits [Q, T, V] of a model that was taught the support."""
    ids = model.remember_texts(
        word_tokenizer(), [SOURCES[place] for place in support], [TARGETS[place] for place in support]
    )
    with torch.no_grad():
        logits = model(**{name: part[query] for name, part in pairs().items()}).logits
    model.forget(ids)
    return logits


@pytest.mark.parametrize("kind", KINDS)
def test_support_is_read_as_if_it_had_been_remembered(folder: Any, kind: str) -> None:
    model = made(folder, kind)
    with torch.no_grad():
        found = model.embed_episodes(episodes([[0, 1], [2, -1]], [[2, 0], [1, 2]]))
    for row, (support, query) in enumerate((([0, 1], [2, 0]), ([2], [1, 2]))):
        expected, there = from_lasting(model, support, query), found.labels[row] != IGNORED
        torch.testing.assert_close(found.logits[row][there], expected[there], atol=2e-4, rtol=1e-4)
        assert not torch.allclose(found.logits[row][there], from_lasting(model, [1 - row], query)[there], atol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_without_support_it_is_the_wrapped_model_whatever_was_remembered(folder: Any, kind: str) -> None:
    model = made(folder, kind)
    model.remember_texts(word_tokenizer(), SOURCES, TARGETS)
    with torch.no_grad():
        found = model.embed_episodes(episodes([[-1]], [[0, 2]])).logits[0]
        bare = model.encoder(**{name: part[[0, 2]] for name, part in pairs().items()}).logits
    assert torch.equal(found, bare)


def test_labels_are_those_of_the_queries_that_are_there(folder: Any) -> None:
    found = made(folder, "token").embed_episodes(episodes([[0], [1]], [[2, -1], [0, 1]]))
    labels = pairs()["labels"]
    assert torch.equal(found.labels[0, 0], labels[2]) and (found.labels[0, 1] == IGNORED).all()
    assert torch.equal(found.labels[1], labels[[0, 1]])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_what_wrote_the_support(folder: Any, kind: str) -> None:
    model = made(folder, kind)
    states = []
    own = model.pair_states

    def pair_states(**inputs: Any) -> Any:
        states.append(own(**inputs))
        return states[-1]

    model.pair_states = pair_states
    found = model.embed_episodes(episodes([[0, 1]], [[2]]))
    found.logits.log_softmax(-1).gather(-1, found.labels.clamp(min=0)[..., None]).sum().backward(
        inputs=[states[0].targets, states[0].sources]
    )
    assert states[0].targets.grad.any() and states[0].sources.grad.any()


@pytest.mark.parametrize("name", ["support_index", "query_index"])
def test_pairs_that_are_not_there_are_refused(folder: Any, name: str) -> None:
    support, query = ([[3]], [[0]]) if name == "support_index" else ([[0]], [[3]])
    with pytest.raises(InvalidInputError, match=f"{name} names pairs that are not there; there are 3"):
        made(folder, "token").embed_episodes(episodes(support, query))
