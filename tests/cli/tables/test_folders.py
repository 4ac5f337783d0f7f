"""Folders of classes, also with folders inside, and tables beside them."""

from typing import Any

import pytest

from .test_left_out import Said, said

__all__ = ["said"]


def labels(said: Said) -> list[tuple[str, Any]]:
    return [(row.file, row.cells[1]) for row in said.table.rows]


class TestNesting:
    @pytest.mark.parametrize("ending", ["png", "txt"])
    def test_the_label_is_the_top_folder(self, said: Said, ending: str) -> None:
        names = [f"{name}.{ending}" for name in ("cat/1", "cat/session2/1", "dog/a/b/2")]
        (note,) = said(*names)
        kind = {"png": "images", "txt": "texts"}[ending]
        assert note == (
            f"2 {kind} lie deeper than in a folder of a class, such as cat/session2/1.{ending}, and have the top "
            "folder as their label, as 'cat'."
        )
        assert labels(said) == [*zip(names, ("cat", "cat", "dog"), strict=True)]

    def test_where_all_lie_in_one_folder_another_is_proposed(self, said: Said) -> None:
        (note,) = said("data/cat/1.png", "data/dog/1.png")
        assert note.endswith(f"as 'data' (for the labels 'cat', 'dog' give {said.folder}/data).")
        assert {label for _, label in labels(said)} == {"data"}

    def test_splits_lie_above_classes(self, said: Said) -> None:
        (note,) = said("train/cat/1.png", "train/dog/late/1.png", "test/cat/2.png")
        assert "1 image lies deeper" in note and "as 'dog'." in note
        assert labels(said) == [("train/cat/1.png", "cat"), ("train/dog/late/1.png", "dog")]

    def test_a_folder_beside_splits_is_of_none(self, said: Said) -> None:
        (note,) = said("train/cat/1.png", "test/cat/2.png", "extra/cat/3.png")
        assert note == "1 file is of no split by name, and left out: extra/cat/3.png."
        assert labels(said) == [("train/cat/1.png", "cat")]

    def test_a_class_may_be_called_as_a_split(self, said: Said) -> None:
        said("train/a/1.png", "car/a/1.png", "test tube/a/1.png")
        assert {label for _, label in labels(said)} == {"train", "car", "test tube"}

    def test_what_lies_beside_the_classes_of_a_split_has_no_label(self, said: Said) -> None:
        notes = said("train/cat/1.png", "train/dog/1.png", "test/1.png", "test/2.png")
        assert notes == ["2 files are in no folder of a class, and left out: 'test/1.png', 'test/2.png'."]
        assert labels(said) == [("train/cat/1.png", "cat"), ("train/dog/1.png", "dog")]

    def test_without_labels_all_are_read(self, said: Said) -> None:
        assert said("cat/1.png", "cat/a/2.png", "3.png", labels=False) == []
        assert len(said.table.rows) == 3
