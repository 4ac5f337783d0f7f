"""Texts are read as they are stored, and draws repeat, differ, and never ask what was taught."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from tasks.few_shot_text import data


def write_rows(path: Path, rows: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)


def test_labels_of_the_test_set_are_numbered_as_those_of_the_train_set(tmp_path: Path) -> None:
    write_rows(tmp_path / "emotion" / "train.jsonl.gz", [("a", "joy"), ("b", "anger"), ("c", "fear")])
    write_rows(tmp_path / "emotion" / "test.jsonl.gz", [("d", "joy"), ("é", "fear")])
    train, test = data.load_all_classes(tmp_path, "emotion")
    assert train.names == ["anger", "fear", "joy"]
    assert train.labels.tolist() == [2, 0, 1]
    assert test is not None
    assert (test.texts, test.labels.tolist()) == (["d", "é"], [2, 1])


def test_ag_news_has_one_file(tmp_path: Path) -> None:
    write_rows(tmp_path / "ag_news" / "test.jsonl.gz", [("a", "World"), ("b", "Sports")])
    train, test = data.load_all_classes(tmp_path, "ag_news")
    assert train.texts == ["a", "b"]
    assert test is None


def test_splits_are_numbers_of_classes(tmp_path: Path) -> None:
    write_rows(tmp_path / "protaugment" / "HWU64.jsonl.gz", [("a", "x/y"), ("b", "u/v"), ("c", "p/q")])
    parts = {"train": ["x/y"], "valid": ["p/q"], "test": ["u/v"], "train_10samples_rows": [0]}
    (tmp_path / "protaugment" / "HWU64.splits.json").write_text(json.dumps(dict.fromkeys(data.SPLITS, parts)))
    texts, splits = data.load_splits(tmp_path, "hwu64")
    assert texts.names == ["p/q", "u/v", "x/y"]
    assert splits["03"] == {"train": [2], "valid": [0], "test": [1]}


def test_a_missing_file_says_what_the_folder_should_hold(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"hwu64.*--data"):
        data.load_all_classes(tmp_path, "hwu64")


LABELS = np.repeat(np.arange(8), 20)[np.random.default_rng(0).permutation(160)]


def test_examples_are_as_many_of_every_label_and_differ() -> None:
    rows = data.draw_examples(LABELS, 5, "set", 0)
    assert len(set(rows.tolist())) == 40
    assert np.bincount(LABELS[rows]).tolist() == [5] * 8


def test_draws_repeat_and_depend_on_the_seed() -> None:
    first = data.draw_examples(LABELS, 5, "set", 0)
    assert (first == data.draw_examples(LABELS, 5, "set", 0)).all()
    assert (first != data.draw_examples(LABELS, 5, "set", 1)).any()
    assert (first != data.draw_examples(LABELS, 5, "other", 0)).any()


def test_more_examples_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"label 0 has 20 texts, and 21 examples"):
        data.draw_examples(LABELS, 21)


def test_an_episode_asks_other_texts_of_its_own_classes() -> None:
    classes = [0, 2, 3, 5, 6, 7]
    drawn = data.draw_episodes(LABELS, classes, 3, 50, "set", queries=4)
    assert drawn.support.shape == (50, 5, 3)
    assert drawn.query.shape == (50, 5, 4)
    for episode, support, query in zip(drawn.classes, drawn.support, drawn.query, strict=True):
        assert len(set(episode.tolist())) == 5
        assert set(episode.tolist()) <= set(classes)
        assert (LABELS[support] == episode[:, None]).all()
        assert (LABELS[query] == episode[:, None]).all()
        assert not set(support.flat) & set(query.flat)
    assert set(drawn.classes.flat) == set(classes)
    assert len({tuple(row) for row in drawn.classes.tolist()}) > 30
