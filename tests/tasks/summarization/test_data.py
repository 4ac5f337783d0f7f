"""Documents and summaries of any columns."""

from pathlib import Path

import pytest

from mann_hf.episodes import Pair
from tasks.summarization.data import load, sampler_of, texts

from ..rows import write_rows


@pytest.fixture
def news(tmp_path: Path) -> Path:
    rows = [{"text": f"news {row} of the day", "title": f"news {row}"} for row in range(6)]
    write_rows(tmp_path / "train.jsonl", [*rows, {"text": "no title", "title": None}])
    for part in ("validation", "test"):
        write_rows(tmp_path / f"{part}.jsonl.gz", rows[:3])
    return tmp_path


def test_rows_without_a_summary_are_left_out(news: Path) -> None:
    found = load(news, "train", "text", "title")
    assert len(found) == 6 and found[2] == Pair("news 2 of the day", "news 2")


def test_a_task_may_be_cut_short(news: Path) -> None:
    found = texts(news, "text", "title", most=2)
    assert (len(found.train), len(found.valid), found.references) == (2, 2, [["news 0"], ["news 1"]])


def test_episodes_are_of_training_pairs(news: Path) -> None:
    episode = sampler_of(news, 2, 2, document="text", summary="title")[1]
    assert len({*episode.support.inputs, *episode.query.inputs}) == 4


def test_what_is_not_there_is_named(news: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no column 'document'; it has 'text', 'title'"):
        load(news, "train")
    with pytest.raises(ValueError, match="no part 'valid'"):
        load(news, "valid")
    (news / "test.jsonl.gz").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"test.jsonl.gz is missing; --data names the folder that holds test.jsonl"
    ):
        load(news, "test", "text", "title")
