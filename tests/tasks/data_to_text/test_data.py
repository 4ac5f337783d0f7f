"""Properties of restaurants in a row, and all sentences about them."""

from pathlib import Path

import pytest

from mann_hf.episodes import Pair
from tasks.data_to_text.data import in_a_row, load, sampler_of, texts

from ..rows import write_rows


@pytest.fixture
def restaurants(tmp_path: Path) -> Path:
    rows = [
        {"mr": f"name[The {row}], food[{row % 2}]", "ref": f"The {row} serves {row % 2}.", "ref_tok": "no"}
        for row in range(8)
    ]
    for part in ("train", "dev"):
        write_rows(tmp_path / "e2e_nlg" / f"{part}.jsonl.gz", rows)
    more = {"meaning_representation": "name[The 7], food[1]", "human_reference": "1 is served at The 7."}
    write_rows(tmp_path / "e2e_nlg" / "test.jsonl.gz", [*rows, more])
    return tmp_path


def test_properties_stand_in_a_row() -> None:
    assert in_a_row("name[The Vaults], eatType[pub], near[Café, Adriatic]") == (
        "name = The Vaults | eatType = pub | near = Café, Adriatic"
    )
    assert in_a_row("name[]") == "name = "
    with pytest.raises(ValueError, match="the properties are 'a pub'"):
        in_a_row("a pub")


def test_a_test_has_all_sentences_about_the_same_properties(restaurants: Path) -> None:
    found = texts(restaurants)
    assert found.train[0] == Pair("name = The 0 | food = 0", "The 0 serves 0.") and len(found.sources) == 8
    assert found.references[7] == ["The 7 serves 1.", "1 is served at The 7."] and found.valid == found.train


def test_episodes_are_of_training_pairs(restaurants: Path) -> None:
    episode = sampler_of(restaurants, 3, 2)[0]
    train = load(restaurants, "train")
    assert len(episode.support.inputs) == 3 and set(episode.query.inputs) <= set(train)
