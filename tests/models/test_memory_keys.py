"""Keys that are computed again: each from its own input, or none at all."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoImageProcessor

from mann_hf import MANNForImageClassification
from mann_hf.errors import InvalidInputError
from mann_hf.pipelines import FewShotImageClassificationPipeline
from tests.pictures import SIZE, save_image_encoder, shape

NO_WORDS = r"describes labels in words \('grey cat' first\).* reads none.*AutoProcessor.from_pretrained"


@pytest.fixture
def taught(tmp_path: Path, tiny_tokenizer: Any) -> FewShotImageClassificationPipeline:
    """A classifier of images and words, with one label of words alone and one picture."""
    folder = save_image_encoder("clip", tmp_path / "clip", tiny_tokenizer)
    model = MANNForImageClassification.from_encoder_pretrained(folder, store_inputs=True)
    classifier = FewShotImageClassificationPipeline(model=model)
    classifier.remember(labels=["grey_cat"])
    classifier.remember([shape("disc", 0)], ["dog"])
    return classifier


def test_descriptions_need_the_tokenizer(taught: FewShotImageClassificationPipeline, tmp_path: Path) -> None:
    before = taught.model.memory
    with pytest.raises(InvalidInputError, match=NO_WORDS):
        taught.model.reencode_memory(AutoImageProcessor.from_pretrained(tmp_path / "clip"))
    assert taught.model.memory is before
    taught.model.reencode_memory()
    torch.testing.assert_close(taught.model.memory.state.keys, before.state.keys)


def test_descriptions_need_an_encoder_that_reads_words(
    taught: FewShotImageClassificationPipeline, tmp_path: Path
) -> None:
    taught.save_memory(tmp_path / "memory")
    model = MANNForImageClassification.from_encoder_config("conv4", image_size=SIZE, num_channels=3, store_inputs=True)
    with pytest.raises(InvalidInputError, match=NO_WORDS):
        model.load_memory(tmp_path / "memory", reencode=True)
    assert not len(model.memory)


def test_descriptions_are_looked_at_before_the_encoder_is_trained(
    taught: FewShotImageClassificationPipeline, tmp_path: Path
) -> None:
    before, alone = taught.model.memory, AutoImageProcessor.from_pretrained(tmp_path / "clip")
    with pytest.raises(InvalidInputError, match=NO_WORDS), taught.model.memory_set_aside(alone):
        pytest.fail("the block ran")
    assert taught.model.memory is before
