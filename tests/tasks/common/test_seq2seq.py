"""What the sequence tasks share: answers as the package gives them."""

from pathlib import Path
from typing import Any

import pytest

import mann_hf
from tasks.common.seq2seq import generated
from tests.tiny_seq2seq import SOURCES, TARGETS, save_tiny, word_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("t5", tmp_path_factory.mktemp("t5"))


def test_answers_come_in_order_whatever_the_size_of_a_batch(folder: Path) -> None:
    model: Any = mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained(folder, interpolation=0.95).train()
    model.remember_texts(word_tokenizer(), SOURCES, TARGETS)
    asked = [SOURCES[0], *SOURCES[::-1]]
    for batch_size in (1, 3):
        answers = generated(model, word_tokenizer(), asked, batch_size=batch_size, max_new_tokens=12, num_beams=2)
        assert answers == [TARGETS[0], *TARGETS[::-1]]


def test_sources_are_read_as_the_models_configuration_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained(
        folder, source_prefix="the ", max_source_length=4
    )
    read, own = [], model.encode_sources

    def encode_sources(input_ids: Any, *args: Any, **kwargs: Any) -> Any:
        read.extend(word_tokenizer().batch_decode(input_ids))
        return own(input_ids, *args, **kwargs)

    monkeypatch.setattr(model, "encode_sources", encode_sources)
    generated(model, word_tokenizer(), ["dog sees a cat"], max_new_tokens=2)
    assert read == ["the dog sees </s>"]
