import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from .conftest import Shell

Write = Callable[[str, str | bytes], Path]
LINES = [f"der {one} sieht die {other}." for one in ("Hund", "Vogel", "Kater") for other in ("Katze", "Kuh", "Maus")]


@pytest.fixture
def text(write: Write) -> Path:
    return write("lines.txt", "\n".join(LINES * 4))


def test_a_tokenizer_is_made_of_lines(shell: Shell, text: Path, tmp_path: Path) -> None:
    printed = shell("tokenizer", text, "--output", tmp_path / "pieces", "--vocab-size", 28)
    assert printed == (
        f"{tmp_path / 'pieces'} holds a tokenizer of 28 tokens, trained on 36 texts (pad 0, eos 1, unk 2, bos 3).\n"
    )
    loaded = AutoTokenizer.from_pretrained(tmp_path / "pieces")
    ids = loaded(LINES[0]).input_ids
    assert ids[-1] == 1 and loaded.decode(ids, skip_special_tokens=True) == LINES[0]


def test_columns_of_tables_and_several_files(shell: Shell, text: Path, write: Write, tmp_path: Path) -> None:
    pairs = write("pairs.csv", "de,en\n" + "".join(f"{line},the zebra number {n}\n" for n, line in enumerate(LINES)))
    document = shell.json(
        "tokenizer", pairs, "--text-column", "de,en", "--output", tmp_path / "both", "--vocab-size", 36
    )
    assert document == {
        "folder": str(tmp_path / "both"), "texts": 18, "vocab_size": 36, "pad": 0, "eos": 1, "unk": 2, "bos": 3,
    }  # fmt: skip
    pieces = json.loads((tmp_path / "both" / "tokenizer.json").read_text())["model"]["vocab"]
    assert {"z", "K"} <= {letter for piece, _ in pieces for letter in piece}, "of both languages"
    more = write("more.jsonl", '{"text": "die Ziege malt"}\n')
    assert shell.json("tokenizer", text, more, "--output", tmp_path / "two", "--vocab-size", 28)["texts"] == 37


def test_bpe_and_lower_case(shell: Shell, text: Path, tmp_path: Path) -> None:
    options = ("--vocab-size", 40, "--model-type", "bpe", "--lower-case", "--output", tmp_path / "pieces")
    shell("tokenizer", text, *options)
    model = json.loads((tmp_path / "pieces" / "tokenizer.json").read_text())["model"]
    assert model["type"] == "BPE" and not any(piece != piece.lower() for piece in model["vocab"])


def test_lines_of_standard_input(shell: Shell, tmp_path: Path) -> None:
    given = "\n".join(LINES)
    assert shell.json("tokenizer", "-", "--vocab-size", 28, "--output", tmp_path / "a", given=given)["texts"] == 9


def test_what_cannot_be_used_is_refused(shell: Shell, text: Path, write: Write, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes").write_text("mine")
    output = ("--output", tmp_path / "new", "--vocab-size")
    assert "is not empty" in shell.fails("tokenizer", text, "--output", taken, "--vocab-size", 28)
    assert "give fewer, or more text" in shell.fails("tokenizer", text, *output, 5000, after=None)
    assert "no column 'fr'" in shell.fails("tokenizer", write("a.csv", "text\nx\n"), *output, 28, "--text-column", "fr")
    assert "several columns" in shell.fails("tokenizer", "-", *output, 28, "--text-column", "a,b", status=2, given="a")
    assert not (tmp_path / "new").exists()
