"""What lies in folders of classes and is not read is said, once."""

import os
from pathlib import Path

import pytest

from mann_hf.cli.options import TableOptions
from mann_hf.cli.tables import read_table
from mann_hf.errors import InvalidInputError

BOTH = ("text", "image")


def plant(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture) -> "Said":
    return Said(tmp_path, capsys)


class Said:
    """Reads the files that a test plants, and gives the notes on what was left out."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        self.folder, self.capsys = folder, capsys

    def __call__(self, *names: str, labels: bool = True, split: str | None = None) -> list[str]:
        plant(self.folder, *names)
        options = TableOptions(split=split)
        self.table = read_table(str(self.folder), options, "train", labels=labels, inputs=BOTH)
        lines = self.capsys.readouterr().err.splitlines()
        return [line.removeprefix(f"{self.folder}: ") for line in lines if ": reads " not in line]


def test_nothing_is_said_where_all_is_read(said: Said) -> None:
    hidden = ("cat/.DS_Store", "cat/Thumbs.db", "dog/desktop.ini", ".git/config", "dog/.x.png", "__MACOSX/dog/1.HEIC")
    assert said("cat/1.png", "dog/1.JPG", "config.json", *hidden) == []
    assert len(said.table.rows) == 2


def test_endings_are_counted_and_a_lost_class_is_named(said: Said) -> None:
    names = [f"horse/IMG_{number}.HEIC" for number in (1, 2, 3)]
    (note,) = said("cat/1.png", "dog/1.png", *names, "cat/2.ico", "cat/what")
    assert note == (
        "left out 3 .HEIC files, 1 .ico file and 1 file without an ending, such as cat/2.ico: only .png, .jpg, .jpeg, "
        ".webp, .gif, .bmp, .tif, .tiff, .ppm, .pgm are read as images; convert those that are images; nothing was "
        "read of the class 'horse'."
    )


def test_without_labels_no_class_is_named(said: Said) -> None:
    (note,) = said("cat/1.png", "horse/1.heic", "2.svg", labels=False)
    assert note.startswith("left out 1 .svg file and 1 .heic file, such as 2.svg: ") and "class" not in note


def test_texts_too(said: Said) -> None:
    (note,) = said("card/1.txt", "card/2.md", "refund/1.pdf")
    assert note == (
        "left out 1 .md file and 1 .pdf file, such as card/2.md: only .txt are read as texts; convert those that are "
        "texts; nothing was read of the class 'refund'."
    )


def test_links_and_empty_folders(said: Said, tmp_path: Path) -> None:
    outside = plant(tmp_path.parent / f"{tmp_path.name} outside", "1.png")
    plant(tmp_path, "cat/1.png")
    os.symlink(outside, tmp_path / "horse")
    os.symlink(outside / "gone.png", tmp_path / "cat" / "2.png")
    os.symlink(outside / "1.png", tmp_path / "cat" / "3.png")
    (tmp_path / "cow").mkdir()
    (note,) = said()
    assert note == (
        "left out the link horse, as links to folders are not followed; left out cat/2.png, which leads to no file; "
        "nothing was read of the classes 'cow', 'horse'."
    )
    assert [row.file for row in said.table.rows] == ["cat/1.png", "cat/3.png"]


def test_of_a_split_only_its_own(said: Said) -> None:
    names = ("train/cat/1.png", "train/horse/1.heic", "test/cat/2.png", "test/cow/1.heic")
    (note,) = said(*names)
    assert "1 .heic file, such as train/horse/1.heic" in note and note.endswith("of the class 'horse'.")


def test_a_folder_with_nothing_to_read_says_what_it_holds(said: Said) -> None:
    with pytest.raises(InvalidInputError, match=r"no folders of texts .* by class; it holds 1 \.heic file and 1 \.pdf"):
        said("cat/1.heic", "dog/2.pdf")


def test_a_link_alone_is_said_not_to_be_followed(said: Said, tmp_path: Path) -> None:
    os.symlink(tmp_path.parent, tmp_path / "data")
    with pytest.raises(InvalidInputError, match=r"; it holds the link data \(links to folders are not followed\)\.$"):
        said()
