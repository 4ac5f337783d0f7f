"""Drawings of a tiny invented Omniglot are split, rotated and labelled as the task says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.omniglot import data

ALPHABETS = ["Aurek-Besh", *data.VALIDATION_ALPHABETS, "Greek"]  # of evaluation, validation and training
CHARACTERS = [("Greek", 0), ("Aurek-Besh", 1), ("Greek", 0), ("Hebrew", 0), ("Korean", 0), ("Greek", 0)]
DRAWERS = 3


def drawing(character: int, drawer: int) -> np.ndarray:
    """A picture of its own for each character and drawer, and unlike its rotations."""
    return np.random.default_rng([character, drawer]).choice(np.array([0, 255], np.uint8), (28, 28))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder, with the drawings in no order."""
    rows = [(number, drawer) for number in range(len(CHARACTERS)) for drawer in range(DRAWERS)]
    rows = [rows[row] for row in np.random.default_rng(0).permutation(len(rows))]
    content: dict[str, Any] = {
        "images": np.stack([drawing(*row) for row in rows]),
        "character": np.array([number + 1 for number, _ in rows], np.int16),
        "drawer": np.array([drawer + 1 for _, drawer in rows], np.int8),
        "alphabet": np.array([ALPHABETS.index(CHARACTERS[number][0]) for number, _ in rows], np.int8),
        "evaluation": np.array([CHARACTERS[number][1] for number, _ in rows], np.int8),
        "alphabet_names": np.array(ALPHABETS),
    }
    (tmp_path / "omniglot").mkdir()
    np.savez(tmp_path / "omniglot" / data.DRAWINGS, **content)
    return tmp_path


@pytest.mark.parametrize(
    "split, names, numbers",
    [
        ("train", ["Greek/01", "Greek/02", "Greek/03"], [0, 2, 5]),
        ("validation", ["Hebrew/01", "Korean/01"], [3, 4]),
        ("background", ["Greek/01", "Greek/02", "Hebrew/01", "Korean/01", "Greek/03"], [0, 2, 3, 4, 5]),
        ("test", ["Aurek-Besh/01"], [1]),
    ],
)
def test_a_split_has_the_drawings_of_its_characters(
    folder: Path, split: str, names: list[str], numbers: list[int]
) -> None:
    found = data.read_drawings(folder, split)
    assert found.names == names
    assert found.labels.tolist() == np.repeat(np.arange(len(names)), DRAWERS).tolist()
    assert found.drawers.tolist() == [1, 2, 3] * len(names)
    expected = np.stack([drawing(number, drawer) for number in numbers for drawer in range(DRAWERS)])
    assert np.array_equal(found.images, expected)


def test_each_turn_of_a_character_is_one_more_character(folder: Path) -> None:
    plain = data.read_drawings(folder, "train")
    turned = data.rotated(plain)
    assert turned.names[:3] == plain.names
    assert turned.names[3::3] == ["Greek/01 turned 90", "Greek/01 turned 180", "Greek/01 turned 270"]
    assert len(turned.names) == 12 and np.bincount(turned.labels).tolist() == [DRAWERS] * 12
    for image, label in zip(turned.images, turned.labels, strict=True):
        character, quarter = turned.names.index(plain.names[label % 3]), label // 3
        originals = plain.images[plain.labels == character]
        assert any(np.array_equal(image, np.rot90(original, quarter)) for original in originals)
    assert turned.drawers.tolist() == plain.drawers.tolist() * 4


@pytest.mark.parametrize("split, classes", [("train", 12), ("validation", 2), ("background", 20), ("test", 1)])
def test_what_is_learnt_from_is_rotated_and_nothing_else(folder: Path, split: str, classes: int) -> None:
    assert data.load(folder, split).features["label"].num_classes == classes


def test_rotations_can_be_chosen(folder: Path) -> None:
    assert data.load(folder, "train", rotations=False).features["label"].num_classes == 3
    assert data.load(folder, "test", rotations=True).features["label"].num_classes == 4


def test_a_data_set_has_the_pictures_and_the_names(folder: Path) -> None:
    table = data.load(folder, "train")
    turned = data.rotated(data.read_drawings(folder, "train"))
    assert table.column_names == ["image", "label"]
    assert table.features["label"].names == turned.names
    for row, image, label in zip(table, turned.images, turned.labels, strict=True):
        assert row["image"].mode == "L" and row["label"] == label
        assert np.array_equal(np.asarray(row["image"]), image)


def test_the_official_runs_are_read_as_stored(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (2, 2, 3, 28, 28), dtype=np.uint8)
    classes = np.array([[2, 0, 1], [0, 1, 2]], np.int8)
    (tmp_path / "omniglot").mkdir()
    np.savez(tmp_path / "omniglot" / data.RUNS, support=pictures[0], query=pictures[1], query_class=classes)
    runs = data.read_runs(tmp_path)
    assert np.array_equal(runs.support, pictures[0]) and np.array_equal(runs.query, pictures[1])
    assert np.array_equal(runs.classes, classes)


def test_a_missing_file_says_what_the_folder_should_hold(tmp_path: Path) -> None:
    for read in (lambda: data.load(tmp_path, "test"), lambda: data.read_runs(tmp_path)):
        with pytest.raises(FileNotFoundError, match=r"is missing; --data names .* omniglot/omniglot_"):
            read()


def test_a_split_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"no split 'valid'; choose one of 'train', 'validation'"):
        data.load(folder, "valid")


def test_an_empty_split_is_refused(folder: Path) -> None:
    path = folder / "omniglot" / data.DRAWINGS
    with np.load(path) as stored:
        content = dict(stored) | {"evaluation": np.zeros(len(stored["evaluation"]), np.int8)}
    np.savez(path, **content)
    with pytest.raises(ValueError, match="split 'test' is empty"):
        data.load(folder, "test")
