"""Commands and splits of SCAN, from either form of its files."""

from pathlib import Path

import pytest

from mann_hf.episodes import Pair
from tasks.scan.data import load, official_name, read_all

from .conftest import commands


def test_all_commands_are_read(scan_folder: Path) -> None:
    assert read_all(scan_folder) == [Pair(*pair) for pair in commands()]


def test_a_split_holds_each_of_its_rows_once(scan_folder: Path) -> None:
    train, test = (load(scan_folder, "add_jump", part) for part in ("train", "test"))
    assert [pair for pair in train if "jump" in pair.source] == [Pair("jump", "I_JUMP")]
    assert test and all("jump" in pair.source for pair in test) and not set(train) & set(test)
    assert load(scan_folder, "addprim_jump", "test") == test, "by its official name, too"


def test_official_files_are_read(official_folder: Path) -> None:
    assert load(official_folder, "add_jump", "test") == [Pair("jump twice", "I_JUMP I_JUMP")]
    with pytest.raises(ValueError, match="line 2 is 'OUT:'"):
        load(official_folder, "add_jump", "train")


def test_what_is_not_there_is_named(scan_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no split 'add_hop'; there are add_jump"):
        load(scan_folder, "add_hop", "test")
    with pytest.raises(ValueError, match="no part 'valid'"):
        load(scan_folder, "add_jump", "valid")
    with pytest.raises(ValueError, match="no split 'test_simple'"):
        load(scan_folder, "simple", "test")
    with pytest.raises(FileNotFoundError, match=r"neither splits.npz nor tasks_test_length.txt"):
        load(tmp_path, "length", "test")


@pytest.mark.parametrize("name", ["simple", "simple_p8", "filler_num3", "addprim_complex_jump_num16_rep2", "length"])
def test_official_names_stand_for_themselves(name: str) -> None:
    assert official_name(name) == name
