"""Tables of answers are written as the table that was read."""

import codecs
import csv
import zipfile
from pathlib import Path

import pytest

from .conftest import Shell

GERMAN = "Text;Betrag\nMeine Karte ist völlig weg;12,50\nGeld zurück; 3\n"


@pytest.mark.parametrize(
    ("name", "data", "delimiter", "marked"),
    [
        ("t.csv", GERMAN.encode("cp1252"), ";", True),
        ("t.csv", GERMAN.encode("utf-8-sig"), ";", True),
        ("t.csv", GERMAN.encode(), ";", False),
        ("t.csv", GERMAN.encode("utf-16"), ";", True),
        ("t.csv", b"sep=;\r\n" + GERMAN.encode(), ";", False),
        ("t.csv", GERMAN.replace(";", "\t").encode(), "\t", False),
        ("t.csv.zip", GERMAN.encode("cp1252"), ";", True),
        ("t.tsv", GERMAN.replace(";", "\t").encode("cp1252"), ",", True),
        ("t.csv", b"text,amount\nwhere is my card,1\n", ",", False),
        ("t.json", '[{"text": "völlig weg", "amount": 1}]'.encode(), ",", False),
    ],
)
def test_a_csv_is_written_as_the_one_that_was_read(
    shell: Shell, taught: Path, tmp_path: Path, name: str, data: bytes, delimiter: str, marked: bool
) -> None:
    path = tmp_path / name
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("t.csv", data)
    else:
        path.write_bytes(data)
    shell("predict", taught, path, "--output", tmp_path / "out.csv")
    written = (tmp_path / "out.csv").read_bytes()
    assert written.startswith(codecs.BOM_UTF8) is marked
    rows = list(csv.reader(written.decode("utf-8-sig").splitlines(), delimiter=delimiter))
    assert {len(row) for row in rows} == {4}
    assert rows[0][2:] == ["predicted_label", "predicted_score"]
    if name == "t.csv" and "Text" in rows[0]:
        assert rows[1][:2] == ["Meine Karte ist völlig weg", "12,50"]
    shell("predict", taught, tmp_path / "out.csv", "--output", tmp_path / "again.csv")  # which can be read again
    shell("predict", taught, path, "--output", tmp_path / "out.tsv")
    assert (tmp_path / "out.tsv").read_text("utf-8-sig").splitlines()[0].count("\t") == 3


@pytest.mark.parametrize("ending", [".csv", ".json", ".xlsx"])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv", "text,née\nmy card is löst,öß".encode() + b"\xe4\n"),
        (
            "t.jsonl",
            b'{"text": "my card", "n\\ud83d": ["cut \\ud83d"]}\n{"text": "refund", "n\\ud83d": "cut \\ud83d"}\n',
        ),
    ],
    ids=["csv", "json"],
)
def test_what_is_no_letter_in_other_columns_is_replaced(
    shell: Shell, taught: Path, tmp_path: Path, name: str, data: bytes, ending: str
) -> None:
    (tmp_path / name).write_bytes(data)
    output = tmp_path / f"out{ending}"
    shell("predict", taught, tmp_path / name, "--skip-bad-rows", "--output", output)
    assert f"{output.name}: 1 cell has bytes that are no letters, written as \ufffd." in shell.stderr
    if ending != ".xlsx":
        assert "\ufffd" in output.read_text("utf-8")


def test_encoding_by_name_is_marked_too(shell: Shell, taught: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("text\nкарта\n".encode("cp1251"))
    shell("predict", taught, tmp_path / "t.csv", "--encoding", "cp1251", "--output", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes().startswith(codecs.BOM_UTF8 + b"text,predicted_label")


def test_columns_of_plain_numbers_are_numbers_in_excel(shell: Shell, taught: Path, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    (tmp_path / "t.csv").write_text(
        "number,amount,id,big,size,mixed,none,version,whole,zero,text\n"
        "12,3.5,00123,1234567890123456,1e5,1,,1.10,2.0,-0,my card is lost\n"
        "-7,,00007,1,2,one,,1.1,3.0,0,refund\n"
    )
    shell("predict", taught, tmp_path / "t.csv", "--output", tmp_path / "out.xlsx")
    _, *rows = openpyxl.load_workbook(tmp_path / "out.xlsx").active.iter_rows(values_only=True)
    assert [row[:10] for row in rows] == [
        (12, 3.5, "00123", "1234567890123456", "1e5", "1", None, "1.10", "2.0", "-0"),
        (-7, None, "00007", "1", "2", "one", None, "1.1", "3.0", "0"),
    ]
    assert type(rows[0][0]) is int


def test_text_that_a_format_has_as_text_stays_text_in_excel(shell: Shell, taught: Path, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    (tmp_path / "t.json").write_text('[{"text": "refund", "id": "12", "count": 3}]')
    shell("predict", taught, tmp_path / "t.json", "--output", tmp_path / "out.xlsx")
    _, row = openpyxl.load_workbook(tmp_path / "out.xlsx").active.iter_rows(values_only=True)
    assert row[1:3] == ("12", 3)
