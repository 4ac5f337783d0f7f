"""A memory that is read with another tokenizer than it was taught with is noticed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mann_hf import FewShotTextClassificationPipeline
from mann_hf.errors import EncoderMismatchError
from mann_hf.memory.eviction import EVICTIONS, Oldest
from mann_hf.persistent import large_memory

Build = Callable[..., Any]
Told = Callable[[], list[str]]
TEXTS, LABELS = ["where is my card", "send my money back", "cancel it"], ["card", "refund", "cancel"]


def warned(told: Told) -> list[str]:
    return [line for line in told() if "now has another key" in line]


@pytest.fixture
def other() -> Any:
    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *" ".join(TEXTS).split()])}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")


@pytest.fixture
def taught(tiny_classifier: Build) -> Any:
    classifier = FewShotTextClassificationPipeline(model=tiny_classifier())
    classifier.remember(TEXTS, LABELS)
    return classifier


def test_another_tokenizer_on_a_taught_model(taught: Any, other: Any, told: Told) -> None:
    classifier = FewShotTextClassificationPipeline(model=taught.model, tokenizer=other)
    classifier("my card")
    (why,) = warned(told)
    assert "'where is my card'" in why and "taught with another tokenizer" in why and "reencode_memory" in why
    classifier("my card")
    taught.model.reencode_memory(other)
    FewShotTextClassificationPipeline(model=taught.model, tokenizer=other)("my card")
    assert len(warned(told)) == 1, "told again, or of a memory that was written again"


@pytest.mark.parametrize("merges", [True, False])
def test_slots_that_a_rule_from_outside_mixes_are_not_looked_at(
    tiny_classifier: Build, other: Any, told: Told, monkeypatch: pytest.MonkeyPatch, merges: bool
) -> None:
    name = f"from outside, merges: {merges}"
    monkeypatch.setitem(EVICTIONS._parts, name, type("Outside", (Oldest,), {"merges": merges})())
    classifier = FewShotTextClassificationPipeline(model=tiny_classifier(eviction=name))
    classifier.remember(TEXTS, LABELS)
    FewShotTextClassificationPipeline(model=classifier.model, tokenizer=other)("my card")
    assert len(warned(told)) == (0 if merges else 1)


def test_a_memory_that_is_loaded_into_another(
    taught: Any, other: Any, told: Told, tmp_path: Path, tiny_classifier: Build
) -> None:
    taught.save_memory(tmp_path / "memory")
    classifier = FewShotTextClassificationPipeline(model=tiny_classifier(), tokenizer=other)
    classifier.remember(["money"], ["refund"])
    classifier("my card")
    assert not warned(told), "what it taught itself"
    classifier.load_memory(tmp_path / "memory")
    classifier.remember(["another"], ["refund"])
    assert len(warned(told)) == 1


def test_a_large_memory_that_forgot_its_first_entries_is_looked_at_in_the_right_slots(
    tiny_classifier: Build, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_memory, "LARGE", 2)
    classifier = FewShotTextClassificationPipeline(model=tiny_classifier())
    ids = classifier.remember([*TEXTS, "where is it"], [*LABELS, "card"])
    classifier.forget(ids=ids[:1])
    assert classifier.model.memory.slots.tolist() != [0, 1, 2]
    FewShotTextClassificationPipeline(model=classifier.model)("my card")
    assert not warned(told)


def test_texts_that_no_tokenizer_takes_are_passed_over(taught: Any, other: Any, told: Told) -> None:
    def blank(memory: Any) -> tuple[Any, None]:
        return replace(memory, entries=(memory.entries[0]._replace(text=" "), *memory.entries[1:])), None

    taught.model.update_memory(blank)
    FewShotTextClassificationPipeline(model=taught.model)("my card")
    assert not warned(told)
    FewShotTextClassificationPipeline(model=taught.model, tokenizer=other)("my card")
    assert "'send my money back'" in warned(told)[0]


def test_an_encoder_that_was_trained_is_told_before_texts_are_encoded(taught: Any, told: Told) -> None:
    classifier = FewShotTextClassificationPipeline(model=taught.model)
    with torch.no_grad():
        for parameter in taught.model.encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    encoded: list[int] = []
    with pytest.raises(EncoderMismatchError, match="trained, quantised or changed in another way after its memory"):
        classifier.remember(["money"], ["refund"], progress=encoded.append)
    assert not encoded and not warned(told)


@pytest.mark.parametrize(
    "settings", [{}, {"capacity": 2}, {"capacity": 2, "eviction": "kaiser"}, {"store_texts": False}]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_one_says_nothing(
    tiny_classifier: Build, told: Told, tmp_path: Path, settings: dict[str, Any], dtype: torch.dtype
) -> None:
    classifier = FewShotTextClassificationPipeline(model=tiny_classifier(**settings))
    classifier.remember([*TEXTS, "where is my card"], [*LABELS, "refund"])
    classifier.remember(labels=["card"], descriptions=["the card has not come"])
    torch.nn.Module.to(classifier.model, dtype=dtype)
    classifier("my card")
    classifier.forget(label="card")
    classifier("my card")
    classifier.save_pretrained(tmp_path)
    again = FewShotTextClassificationPipeline(model=type(classifier.model).from_pretrained(tmp_path))
    again("my card")
    again.with_own_memory()("my card")
    assert not warned(told)
