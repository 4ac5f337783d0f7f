import bz2
import gzip
import io
import json
import lzma
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from mann_hf.cli.options import Format, TableOptions
from mann_hf.cli.tables import content, is_table, read_table
from mann_hf.errors import InvalidInputError

from ..conftest import Shell

ROWS = [{"text": "my card, lost", "label": "lost_card"}, {"text": "refund me", "label": "refund"}]
CSV = 'text,label\n"my card, lost",lost_card\nrefund me,refund\n'
LINES = "my card, lost\n\nrefund me\n"


def parquet() -> bytes:
    file = io.BytesIO()
    Dataset.from_list(ROWS).to_parquet(file)
    return file.getvalue()


def jsonl() -> str:
    return "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], str]:
    """Hands bytes to standard input, and says by which name they are read."""

    def give(data: bytes) -> str:
        monkeypatch.setattr(content, "_standard_input", lambda: io.BytesIO(data))
        return "-"

    return give


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0", "pipe", "fifo"])
@pytest.mark.parametrize("labels", [False, True])
def test_a_stream_is_read_by_any_name(stream: Callable[[bytes], str], name: str, labels: bool, tmp_path: Path) -> None:
    stream(CSV.encode())
    if name == "pipe":
        ends = os.pipe()
        os.write(ends[1], CSV.encode())
        os.close(ends[1])
        name = f"/dev/fd/{ends[0]}"
    if name == "fifo":
        name = str(tmp_path / "fifo")
        os.mkfifo(name)
        threading.Thread(target=Path(name).write_bytes, args=[CSV.encode()]).start()
    assert is_table(name, TableOptions())
    table = read_table(name, TableOptions(), "train", labels=labels)
    assert [row.cells[0] for row in table.rows] == ["my card, lost", "refund me"]


@pytest.mark.parametrize(
    "data",
    [
        CSV.encode(),
        CSV.replace(",", ";").replace("card;", "card,").encode(),
        CSV.encode("utf-16"),
        CSV.replace("text", "utterance").replace("label", "intent").encode(),
        jsonl().encode(),
        json.dumps(ROWS, indent=1).encode(),
        parquet(),
        gzip.compress(CSV.encode(), mtime=0),
        bz2.compress(CSV.encode()),
        lzma.compress(jsonl().encode()),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("labels", [False, True])
def test_a_table_is_known_by_its_content(stream: Callable[[bytes], str], data: bytes, labels: bool) -> None:
    table = read_table(stream(data), TableOptions(), "train", labels=labels)
    assert [row.cells for row in table.rows] == [tuple(row.values())[: 1 + labels] for row in ROWS]


@pytest.mark.parametrize(
    "text",
    [
        LINES,
        LINES.replace("\n", "\r\n"),
        "question, please\nmy card\n",
        "{curly}\n[square]\n",
        "message please\nlabel\n",
        "message",
        "question,please,help\nmy card\n",
        "hello,there\nmy,card\n",
        '"open\nquote',
    ],
)
def test_anything_else_is_lines_of_text(stream: Callable[[bytes], str], text: str) -> None:
    table = read_table(stream(text.encode()), TableOptions(), "test", labels=False)
    assert [row.cells[0] for row in table.rows] == [line for line in text.replace("\r", "").split("\n") if line]
    with pytest.raises(InvalidInputError, match="has no column|header, at line 1, cannot be read"):
        read_table(stream(text.encode()), TableOptions(), "train")


def test_the_form_may_be_named(stream: Callable[[bytes], str], tmp_path: Path) -> None:
    options = TableOptions(format=Format.LINES)
    lines = read_table(stream(CSV.encode()), options, "test", labels=False)
    assert [row.cells[0] for row in lines.rows] == CSV.splitlines()
    (tmp_path / "notes.txt").write_text(LINES)
    assert is_table(str(tmp_path / "notes.txt"), options)
    assert len(read_table(str(tmp_path / "notes.txt"), options, "test", labels=False).rows) == 2
    with pytest.raises(InvalidInputError, match="is read as lines of text, which have no labels; give a table"):
        read_table(stream(LINES.encode()), options, "train")
    (tmp_path / "shots.dat").write_text(CSV)
    found = read_table(str(tmp_path / "shots.dat"), TableOptions(format=Format.CSV), "train")
    assert len(found.rows) == 2


def test_what_was_guessed_is_said(stream: Callable[[bytes], str], capsys: pytest.CaptureFixture) -> None:
    read_table(stream(CSV.encode()), TableOptions(), "test", labels=False)
    assert capsys.readouterr().err == (
        "standard input: is read as a table, by its header (--format lines reads each line as a text).\n"
    )
    read_table(stream(LINES.encode()), TableOptions(), "test", labels=False)
    assert capsys.readouterr().err == "standard input: each line is read as a text (--format csv reads a table).\n"


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("query,answer\nmy card,here\nhello,you\n", ["my card", "hello"]),
        ("message\nmy card\nhello\n", ["my card", "hello"]),
        ("id\tUtterance\n1\tmy card\n", ["my card"]),
        ("Frage;Antwort\nmy card;here\n", ["my card"]),
    ],
)
def test_a_header_has_the_names_that_columns_of_files_have(
    stream: Callable[[bytes], str], content: str, texts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "t.txt").write_text(content)
    for source in (stream(content.encode()), str(tmp_path / "t.txt")):
        table = read_table(source, TableOptions(), "test", labels=False)
        assert [row.cells[0] for row in table.rows] == texts
        said = capsys.readouterr().err
        assert "is read as a table, by its header" in said and "reads texts from the column" in said


def test_a_txt_is_lines_or_a_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "lines.txt"
    path.write_text(LINES)
    assert is_table(str(path), TableOptions())
    assert [row.cells[0] for row in read_table(str(path), TableOptions(), "test", labels=False).rows] == [
        "my card, lost",
        "refund me",
    ]
    assert "lines.txt: each line is read as a text (--format csv reads a table)" in capsys.readouterr().err
    path.write_text(CSV.replace(",", "\t").replace("card\t", "card,"))
    assert len(read_table(str(path), TableOptions(), "train").rows) == 2
    packed = tmp_path / "lines.txt.gz"
    packed.write_bytes(gzip.compress(LINES.encode()))
    assert len(read_table(str(packed), TableOptions(), "test", labels=False).rows) == 2


@pytest.mark.parametrize("data", [b"", b" \n\n"])
def test_an_empty_stream_is_told(stream: Callable[[bytes], str], data: bytes) -> None:
    with pytest.raises(InvalidInputError, match="nothing came from standard input; give it texts or a table"):
        read_table(stream(data), TableOptions(), "test", labels=False)
    with pytest.raises(InvalidInputError, match="nothing came from /dev/null; give it a table"):
        read_table("/dev/null", TableOptions(), "train")


def test_a_terminal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(InvalidInputError, match="standard input is a terminal; send it texts or a table"):
        read_table("-", TableOptions(), "test", labels=False)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InvalidInputError, match="there is no standard input"):
        read_table("-", TableOptions(), "test", labels=False)


def test_a_device_and_a_stream_without_end_are_refused(
    stream: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInputError, match="'/dev/zero' is a device"):
        read_table("/dev/zero", TableOptions(), "train")
    monkeypatch.setattr(content, "LARGEST", 10)
    with pytest.raises(InvalidInputError, match="standard input gives more than 10 bytes; give it in parts"):
        read_table(stream(CSV.encode()), TableOptions(), "train")
    with pytest.raises(InvalidInputError, match="standard input gives more than 10 bytes"):
        read_table(stream(b"\x1f\x8b" + gzip.compress(CSV.encode())[2:]), TableOptions(), "train")


@pytest.mark.parametrize("name", ["missing/shots.csv", "some shots.csv"])
def test_what_has_the_ending_of_a_table_is_one_where_its_folder_is(tmp_path: Path, name: Any) -> None:
    assert is_table("missing/shots.csv", TableOptions())
    assert is_table(str(tmp_path / "some shots.csv"), TableOptions())
    assert not is_table("what is in shots.csv", TableOptions())


class TestLinesThatAreRows:
    @pytest.mark.parametrize(
        "text",
        [
            "Ticket text,Team\nwhere is my order,Orders\n",
            "Anliegen;Team;Nr\nwo ist es;Versand;7\n",
            'a\tb\n"c, d"\te\n',
        ],
    )
    def test_they_are_refused_until_it_is_said_what_they_are(self, shell: Shell, taught: Path, text: str) -> None:
        error = shell.fails("predict", taught, "-", given=text)
        assert "looks like a table, whose first row is" in error and "--format lines" in error
        assert len(shell.json("predict", taught, "-", "--format", "lines", given=text)) == 2

    @pytest.mark.parametrize(
        "text",
        [
            "hello, you\nyes, please\n",
            "a,b\n",
            "one,two\nthree\n",
            "it costs 1,5\nit costs 2,5\n",
            "a\nb\n",
            "a;\nb;\n",
        ],
    )
    def test_sentences_are_lines(self, shell: Shell, taught: Path, text: str) -> None:
        assert len(shell.json("predict", taught, "-", given=text)) == text.count("\n")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\0", "a PNG picture"),
        (b"\xff\xd8\xff\xe0\0", "a JPEG picture"),
        (b"%PDF-1.7\n%\xe2", "a PDF document"),
        (b"PK\x03\x04\x14\0", "a zip archive"),
        (b"GIF89a\x10\x01\x10\x01\xf7\0\0", "a GIF picture"),
    ],
)
def test_what_is_no_text_is_named(
    shell: Shell, taught: Path, write: Callable[..., Path], data: bytes, kind: str
) -> None:
    for name in ("t.csv", "t.json"):
        assert f"is {kind}" in shell.fails("predict", taught, write(name, data))


@pytest.mark.parametrize("begin", ["PAR1", "GIF89a", "GIF8", "%PDF-"])
@pytest.mark.parametrize("name", ["t.csv", "t.txt", "-"])
def test_text_may_begin_as_a_file_of_another_kind(
    stream: Callable[[bytes], str], write: Callable[..., Path], name: str, begin: str
) -> None:
    data = f"{begin},text,label\n1,my card,card\n".encode()
    table = read_table(stream(data) if name == "-" else str(write(name, data)), TableOptions(), "train")
    assert [row.cells for row in table.rows] == [("my card", "card")]


def test_an_empty_text_and_a_header_that_is_a_row_are_said_plainly(
    shell: Shell, taught: Path, write: Callable[..., Path]
) -> None:
    assert "the text is empty; give a sentence" in shell.fails("predict", taught, " ")
    assert "add --no-header" in shell.fails("predict", taught, write("q.csv", "where is my card?\nmy money\n"))
