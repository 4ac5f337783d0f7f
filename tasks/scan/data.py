"""The commands of SCAN and its official splits.

Reads a folder `scan` in the data folder: `tasks.tsv.gz` with all commands and their actions, and `splits.npz` with the
rows of each official file by its name, such as `train_addprim_jump`. Or the official files themselves, such as
`tasks_train_addprim_jump.txt`, below that folder. Or a data set on the Hub with a configuration for each split and the
columns `commands` and `actions`.
"""

import csv
import gzip
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from datasets import load_dataset

from mann_hf.episodes import Pair

COMMANDS, SPLITS = "tasks.tsv.gz", "splits.npz"
OFFICIAL = {
    "add_jump": "addprim_jump",
    "add_turn_left": "addprim_turn_left",
    "around_right": "template_around_right",
    "opposite_right": "template_opposite_right",
    "right": "template_right",
    "jump_around_right": "template_jump_around_right",
}
"""Short names of splits, and what their files are called; all others go by that name."""
PARTS = ("train", "test")
LINE = re.compile(r"IN: (.+) OUT: (.+)")
SPLIT_NAME = re.compile(r"simple(_p\d+)?|length|addprim_(jump|turn_left|complex_jump_num\d+_rep\d+)|"
                        r"template_\w+|filler_num\d+|fewshot_num\d+_rep\d+")  # fmt: skip


def official_name(split: str) -> str:
    """What the files of a split are called.

    Raises:
        ValueError: it is no split's name.
    """
    name = OFFICIAL.get(split, split)
    if not SPLIT_NAME.fullmatch(name):
        raise ValueError(
            f"there is no split {split!r}; there are {', '.join(OFFICIAL)}, and the official names, such as simple, "
            "length, filler_num1, simple_p8 and addprim_complex_jump_num8_rep1."
        )
    return name


def load(data: str | Path, split: str, part: str) -> list[Pair]:
    """The pairs of command and actions of one part of a split, each once, in the order of the file.

    Args:
        data: the folder that holds `scan`; or the name of a data set on the Hub.
        split: `"add_jump"`, `"around_right"` and the like, or an official name.
        part: `"train"` or `"test"`.

    Raises:
        FileNotFoundError: the folder lacks a file; the message says which.
        ValueError: there is no such split or part.
    """
    name = f"{part}_{official_name(split)}"
    if part not in PARTS:
        raise ValueError(f"there is no part {part!r}; choose one of {', '.join(map(repr, PARTS))}.")
    folder = Path(data) / "scan"
    if not Path(data).is_dir():
        found = load_dataset(str(data), official_name(split), split=part)
        return _once(zip(found["commands"], found["actions"], strict=True))
    if (folder / SPLITS).is_file():
        with np.load(folder / SPLITS, allow_pickle=False) as stored:
            if name not in stored.files:
                raise ValueError(f"{folder / SPLITS} has no split {name!r}.")
            rows = stored[name]
        commands = read_all(data)
        return _once(commands[row] for row in rows)
    files = sorted(folder.rglob(f"tasks_{name}.txt"))
    if not files:
        raise FileNotFoundError(
            f"{folder} holds neither {SPLITS} nor tasks_{name}.txt; --data names the folder that holds scan/."
        )
    return _once(_read_lines(files[0]))


def read_all(data: str | Path) -> list[Pair]:
    """All commands of SCAN with their actions.

    Raises:
        FileNotFoundError: the folder lacks the file.
    """
    if not Path(data).is_dir():
        return _once([pair for part in PARTS for pair in load(data, "simple", part)])
    file = Path(data) / "scan" / COMMANDS
    if not file.is_file():
        return _once([pair for part in PARTS for pair in load(data, "simple", part)])
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, delimiter="\t")
        next(rows)
        return [Pair(command, actions) for command, actions in rows]


def _read_lines(file: Path) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        found = LINE.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"{file}, line {number} is {line[:60]!r}; it should be 'IN: command OUT: actions'.")
        yield found[1], found[2]


def _once(pairs: Iterable[tuple[str, str]]) -> list[Pair]:
    return list(dict.fromkeys(Pair(*pair) for pair in pairs))
