"""Captions in both directions, and rare words that are taken out of training with their translations."""

from pathlib import Path

import pytest

from mann_hf.episodes import Pair
from tasks.translation.data import hold_out, load, words

from .conftest import RARE


def test_captions_are_read_in_both_directions_and_empty_ones_left_out(captions_folder: Path) -> None:
    there = load(captions_folder, "test_2016_flickr")
    back = load(captions_folder, "test_2016_flickr", "en", "de")
    assert len(there) == 6 and back == [Pair(pair.target, pair.source) for pair in there]
    with pytest.raises(ValueError, match="no language 'fr'"):
        load(captions_folder, "val", "fr", "en")
    with pytest.raises(FileNotFoundError, match="test_2099.jsonl.gz is missing"):
        load(captions_folder, "test_2099")


def test_words_are_letters_in_lower_case() -> None:
    assert words("Ein T-Shirt, 2 Hüte (rot)!") == {"ein", "t-shirt", "hüte", "rot"}


def test_no_pair_of_a_held_out_word_is_left_to_train_on(captions_folder: Path) -> None:
    pairs = load(captions_folder, "train")
    left, held = hold_out(pairs, 2, teach=3, least=5, most=12)
    assert {(word.source, word.target) for word in held} < set(RARE.items())
    for word in held:
        assert not any(word.source in words(pair.source) or word.target in words(pair.target) for pair in left)
        assert len(word.taught) == 3 and len(word.asked) == 9 and not set(word.taught) & set(word.asked)
        assert all(word.source in words(pair.source) for pair in [*word.taught, *word.asked])
    assert len(left) == len(pairs) - 2 * 12
    assert hold_out(pairs, 2, teach=3, least=5, most=12) == (left, held), "the same words each time"
    with pytest.raises(ValueError, match="there are 3 words of 5 to 12 pairs with one translation, not 4"):
        hold_out(pairs, 4, teach=3, least=5, most=12)


def test_a_word_without_one_translation_is_not_held_out() -> None:
    pairs = [Pair(f"bank {row}", f"{'bench' if row % 2 else 'shore'} {row}") for row in range(12)]
    with pytest.raises(ValueError, match="there are 0 words"):
        hold_out(pairs, 1, teach=2, least=3)
