"""A SCAN of a few commands, in the form of the data folder and in that of the official files."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

VERBS = {"walk": "I_WALK", "look": "I_LOOK", "run": "I_RUN", "jump": "I_JUMP"}
TURNS = {"right": "I_TURN_RIGHT", "left": "I_TURN_LEFT"}


def commands() -> list[tuple[str, str]]:
    """Verbs alone, twice and thrice, and behind a turn: 44 commands of one to four actions."""
    found = [(f"turn {side}", turn) for side, turn in TURNS.items()]
    for verb, action in VERBS.items():
        for word, times in (("", 1), (" twice", 2), (" thrice", 3)):
            found.append((f"{verb}{word}", " ".join([action] * times)))
            found += [(f"{verb} {side}{word}", " ".join([turn, action] * times)) for side, turn in TURNS.items()]
    found += [(f"{one} and {other}", f"{VERBS[one]} {VERBS[other]}") for one in VERBS for other in ("walk", "run")]
    return found


@pytest.fixture(scope="session")
def scan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scan"
    folder.mkdir()
    every = commands()
    with gzip.open(folder / "tasks.tsv.gz", "wt", encoding="utf-8") as file:
        file.write("command\tactions\n" + "".join(f"{command}\t{actions}\n" for command, actions in every))

    def rows(chosen: Callable[[str, str], bool]) -> np.ndarray:
        return np.array([row for row, pair in enumerate(every) if chosen(*pair)], dtype=np.uint16)

    parts = {
        "train_addprim_jump": np.concatenate(
            [rows(lambda c, a: "jump" not in c), np.repeat(rows(lambda c, a: c == "jump"), 3)]
        ),
        "test_addprim_jump": rows(lambda c, a: "jump" in c and c != "jump"),
        "train_template_around_right": rows(lambda c, a: "right" not in c),
        "test_template_around_right": rows(lambda c, a: "right" in c),
        "train_length": rows(lambda c, a: len(a.split()) < 4),
        "test_length": rows(lambda c, a: len(a.split()) >= 4),
    }
    np.savez_compressed(folder / "splits.npz", **parts)  # type: ignore[arg-type]
    return folder.parent


@pytest.fixture
def official_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scan" / "add_prim_split"
    folder.mkdir(parents=True)
    (folder / "tasks_test_addprim_jump.txt").write_text("IN: jump twice OUT: I_JUMP I_JUMP\n", encoding="utf-8")
    (folder / "tasks_train_addprim_jump.txt").write_text("IN: jump OUT: I_JUMP\nOUT:\n", encoding="utf-8")
    return tmp_path
