"""A generator that was taught a few pairs, for each test a copy with a memory of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mann_hf import MANNForConditionalGeneration
from mann_hf.pipelines import MemoryAugmentedGenerationPipeline
from tests.tiny_seq2seq import SOURCES, TARGETS, save_tiny, word_tokenizer

Make = Callable[..., MemoryAugmentedGenerationPipeline]


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random T5 and its tokenizer; to be read, not changed."""
    return Path(save_tiny("t5", tmp_path_factory.mktemp("t5")))


@pytest.fixture
def make(tiny_t5: Path) -> Make:
    """Makes a generator with an empty memory; arguments are fields of its configuration."""

    def made(**kwargs: Any) -> MemoryAugmentedGenerationPipeline:
        model = MANNForConditionalGeneration.from_seq2seq_pretrained(tiny_t5, **{"interpolation": 0.95, **kwargs})
        return MemoryAugmentedGenerationPipeline(model=model, tokenizer=word_tokenizer())

    return made


@pytest.fixture
def taught(make: Make) -> MemoryAugmentedGenerationPipeline:
    """A generator that knows SOURCES and TARGETS."""
    generator = make()
    generator.remember(SOURCES, TARGETS)
    return generator
