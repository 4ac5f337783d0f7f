"""`mann-hf remember`, `generate` and `forget` with a model that generates."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_seq2seq import SOURCES, TARGETS, save_tiny

from .conftest import Shell, files

Write = Callable[[str, str | bytes], Path]
TABLE = "source,target\n" + "".join(f"{one},{other}\n" for one, other in zip(SOURCES, TARGETS, strict=True))


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(save_tiny("t5", tmp_path_factory.mktemp("t5")))


@pytest.fixture
def pairs(write: Write) -> Path:
    return write("pairs.csv", TABLE)


@pytest.fixture(scope="session")
def _translator(tiny_t5: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("translator")
    (place / "pairs.csv").write_text(TABLE)
    Shell()("remember", place / "model", place / "pairs.csv", "--seq2seq", tiny_t5, "--interpolation", 0.95)
    return place / "model"


@pytest.fixture
def translator(_translator: Path, tmp_path: Path) -> Path:
    """A folder that knows SOURCES and TARGETS, a copy for each test."""
    return Path(shutil.copytree(_translator, tmp_path / "translator"))


def test_a_new_folder_is_made_and_taught(shell: Shell, pairs: Path, tiny_t5: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    printed = shell("remember", folder, pairs, "--seq2seq", tiny_t5, "--interpolation", 0.95)
    assert printed == f"Remembered 3 pairs; {folder} now holds 3 pairs.\n"
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["interpolation"]) == ("mann_seq2seq", 0.95)
    assert shell("generate", folder, SOURCES[0]) == f"{TARGETS[0]}\n"


def test_a_folder_learns_more_by_any_usual_names(shell: Shell, translator: Path, write: Write) -> None:
    before = {name: content for name, content in files(translator).items() if name.endswith(".safetensors")}
    more = write("more.jsonl", '{"en": "the bird", "de": "der vogel", "n": 1}\n')
    named = ("--source-column", "en", "--target-column", "de")
    document = shell.json("remember", translator, more, *named)
    assert document["pairs"] == 4 and len(document["ids"]) == 1
    assert shell("generate", translator, "the bird") == "der vogel\n"
    after = files(translator)
    assert [name for name in before if after[name] != before[name]] == ["memory.safetensors"]
    again = shell.json("remember", translator, write("again.csv", "question,answer\nthe bird,der vogel\n"))
    assert (again["pairs"], again["ids"]) == (4, document["ids"])
    assert "sources from the column 'question'" in shell.stderr


def test_a_table_of_answers(shell: Shell, translator: Path, write: Write, tmp_path: Path) -> None:
    asked = write("asked.csv", "id;source\n" + "".join(f"{n};{source}\n" for n, source in enumerate(SOURCES)))
    shell("generate", translator, asked, "--output", tmp_path / "said.csv")
    rows = list(csv.DictReader((tmp_path / "said.csv").open(), delimiter=";"))
    assert [row["generated_text"] for row in rows] == TARGETS and [row["id"] for row in rows] == ["0", "1", "2"]
    shell("generate", translator, asked, "--output", tmp_path / "said.jsonl", "--evidence", 1)
    lines = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert lines[0]["evidence"][0]["pairs"][0]["target"] == TARGETS[0]
    assert shell("generate", translator, asked) == "".join(f"{target}\n" for target in TARGETS)


def test_lines_json_and_evidence(shell: Shell, translator: Path) -> None:
    answers = shell.json("generate", translator, "-", "--num-beams", 2, given="\n".join(SOURCES))
    assert [answer["generated_text"] for answer in answers] == TARGETS
    lines = shell("generate", translator, SOURCES[0], "--evidence", 1).splitlines()
    assert lines[0] == TARGETS[0] and lines[1] == f"  {TARGETS[0].split()[0]}"
    assert SOURCES[0] in lines[2] and TARGETS[0] in lines[2]
    assert shell("generate", translator, SOURCES[0], "--max-new-tokens", 1).split() == TARGETS[0].split()[:1]


def test_pairs_are_forgotten_by_id_and_by_source(shell: Shell, translator: Path) -> None:
    answer = shell.json("generate", translator, SOURCES[0], "--evidence", 1)
    id_ = answer["evidence"][0]["pairs"][0]["id"]
    assert shell("forget", translator, "--id", id_) == f"Forgot 1 pair; {translator} now holds 2 pairs.\n"
    assert shell.json("forget", translator, "--text", SOURCES[1])["pairs"] == 1
    assert SOURCES[0].encode() not in b"".join(files(translator).values())
    assert "did you mean" in shell.fails("forget", translator, "--text", SOURCES[2] + "s")
    assert "neither labels nor images" in shell.fails("forget", translator, "--label", "x", status=2)


def test_rows_that_lack_one_half_are_named(shell: Shell, translator: Path, write: Write) -> None:
    table = write("bad.csv", "source,target\nthe bird,der vogel\nthe dog,\n,die katze\n")
    error = shell.fails("remember", translator, table)
    assert "row 2 (line 3)" in error and "'target': no target" in error and "1 more row is wrong" in error
    assert shell.json("remember", translator, table, "--skip-bad-rows")["pairs"] == 4


def test_what_does_not_go_together_is_refused(
    shell: Shell, translator: Path, taught: Path, shots: Path, pairs: Path, tiny_t5: Path, tmp_path: Path
) -> None:
    assert "mann-hf predict" in shell.fails("generate", taught, "my card")
    assert "mann-hf generate" in shell.fails("predict", translator, "the dog")
    assert "generates texts" in shell.fails("remember", translator, pairs, "--reading", "logistic", status=2)
    assert "holds a classifier" in shell.fails("remember", taught, pairs, "--seq2seq", tiny_t5, status=2)
    assert "is made of" in shell.fails("remember", translator, pairs, "--seq2seq", taught, status=2)
    assert "--seq2seq" in shell.fails("remember", taught, shots, "--interpolation", 0.5, status=2)
    assert "--target-column is of targets" in shell.fails("remember", taught, shots, "--target-column", "label")
    assert "no column 'target'" in shell.fails("remember", translator, shots, "--source-column", "text")
    assert "evidence is written to .json" in shell.fails(
        "generate", translator, pairs, "--evidence", 1, "--output", tmp_path / "a.csv", status=2
    )
    assert "is empty" in shell.fails("generate", translator, " ")
