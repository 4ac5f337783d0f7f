from typing import Any

import pytest

from mann_hf.errors import EncoderMismatchError, TokenizerMismatchError
from mann_hf.persistent.pairs import TokenizerIdentity, check_tokenizer, tokenizer_identity


class Tokens:
    """As much of a tokenizer as is asked for."""

    def __init__(self, name: str, words: list[str], **special: str) -> None:
        self.name_or_path, self._words, self.special_tokens_map = name, words, special

    def get_vocab(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self._words)}


def test_it_follows_from_vocabulary_and_special_tokens_alone() -> None:
    first = tokenizer_identity(Tokens("a", ["<s>", "x", "y"], eos_token="<s>"))
    assert first.name == "a" and first.size == 3
    assert tokenizer_identity(Tokens("", ["<s>", "x", "y"], eos_token="<s>")) == (None, first.digest, 3)
    others = [
        Tokens("a", ["<s>", "y", "x"], eos_token="<s>"),
        Tokens("a", ["<s>", "x", "y", "z"], eos_token="<s>"),
        Tokens("a", ["<s>", "x", "y"], pad_token="<s>"),
    ]
    assert len({first.digest, *(tokenizer_identity(each).digest for each in others)}) == 4


def test_a_tokenizer_of_transformers(tiny_tokenizer: Any) -> None:
    before = tokenizer_identity(tiny_tokenizer)
    tiny_tokenizer(["a text"], padding=True, truncation=True, max_length=2)
    assert tokenizer_identity(tiny_tokenizer) == before, "its use does not change it"
    assert before.size == len(tiny_tokenizer) and before.name


def test_another_tokenizer_is_refused_with_both_named() -> None:
    mine, theirs = TokenizerIdentity("mine", "ab" * 16, 1000), TokenizerIdentity(None, "cd" * 16, 32)
    for written_by, own in ((mine, mine), (None, mine), (mine, None), (mine, mine._replace(name="moved"))):
        check_tokenizer(written_by, own, "in 'folder'")
    with pytest.raises(TokenizerMismatchError, match="the memory in 'folder'.*without a name.*32 tokens.*mine") as told:
        check_tokenizer(theirs, mine, "in 'folder'")
    assert isinstance(told.value, EncoderMismatchError)
    assert "32" in told.value.written_by and "mine" in told.value.read_by
