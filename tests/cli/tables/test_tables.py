import bz2
import csv
import gzip
import io
import json
import lzma
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from pyarrow.parquet import write_table  # type: ignore[import-untyped]

from mann_hf.cli.options import SINGLE_LABEL, TableOptions
from mann_hf.cli.tables import delimited, examples_of, hub, inputs_of, is_table, read_table
from mann_hf.cli.tables.columns import Columns
from mann_hf.cli.tables.folders import choose
from mann_hf.errors import InvalidInputError

Write = Callable[[str, str | bytes], Path]
ROWS = [{"text": "my card, lost", "label": "lost_card"}, {"text": 'say "please"', "label": "refund"}]
CELLS = [(row["text"], row["label"]) for row in ROWS]
CSV = 'text,label\n"my card, lost",lost_card\n"say ""please""",refund\n'
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.fixture(autouse=True)
def bars_as_before() -> Iterator[None]:
    """The switch of datasets' progress bars is one for the whole process."""
    before = datasets.are_progress_bars_disabled()
    yield
    assert datasets.are_progress_bars_disabled() == before


def packed(files: dict[str, str]) -> bytes:
    """The bytes of a zip file, the same each time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in files.items():
            file.writestr(zipfile.ZipInfo(name), text)
    return content.getvalue()


def with_password(text: str) -> bytes:
    """The bytes of a zip file whose one entry is marked as locked."""
    data = bytearray(packed({"a.csv": text}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def options(*columns: str, **given: Any) -> TableOptions:
    names = dict(zip(("text_column", "label_column"), columns, strict=False))
    return TableOptions(**{**names, **given})


def read(path: Path | str, *columns: str, **given: Any) -> list[tuple[Any, ...]]:
    """The cells of all rows; with one column named, of that alone."""
    table = read_table(str(path), options(*columns, **given), "train", labels=len(columns) != 1)
    assert not table.bad
    return [row.cells for row in table.rows]


def refusal(path: Path | str, *columns: str, **given: Any) -> str:
    """What is wrong with a table, or with its first bad row."""
    try:
        table = read_table(str(path), options(*columns, **given), "train", labels=len(columns) != 1)
    except InvalidInputError as error:
        return str(error)
    assert table.bad
    return f"{table.source}: {table.bad[0].place} {table.bad[0].problem}"


# No time in a gzip file: the workers of a run compare the names of the tests, which hold the content.
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", CSV),
        ("T.CSV", CSV),
        ("t.csv", CSV.replace("\n", "\r")),
        ("t.csv", CSV.replace(",", ";").replace("card;", "card,")),
        ("t.csv", "sep=;\n" + CSV.replace(",", ";").replace("card;", "card,")),
        ("t.csv", CSV.replace(",", "\t").replace("card\t", "card,")),
        ("t.csv", CSV.replace(",", "|").replace("card|", "card,")),
        ("t.csv", CSV.replace("text,", "id, Text ,").replace('\n"', '\n1,"')),
        ("t.csv", CSV.replace("text", "utterance").replace("label", "INTENT")),
        ("t.csv", CSV.encode("utf-16")),
        ("t.csv", CSV.encode("utf-16-le")),
        ("t.csv", CSV.encode("utf-16-be")),
        ("t.csv", CSV.encode("utf-32")),
        ("t.csv", CSV + ",\n ,\n"),
        ("t.csv", CSV.replace("lost_card", "lost_card,,")),
        ("t.csv.bz2", bz2.compress(CSV.encode())),
        ("t.csv.xz", lzma.compress(CSV.encode())),
        ("t.csv.zip", packed({"rows.csv": CSV})),
        ("t.zip", packed({"rows.csv": CSV, "__MACOSX/._rows.csv": "x", ".DS_Store": "y"})),
        ("t.zip", packed({"in/rows.jsonl": LINES})),
        ("t.gz", gzip.compress(LINES.encode(), mtime=0)),
        ("t.txt", CSV.replace(",", "\t").replace("card\t", "card,")),
        ("t.csv", "Export of 2020\nfor me\n\n" + CSV),
        ("t.csv", "Export of 2020;;\n\n" + CSV.replace(",", ";").replace("card;", "card,")),
        ("t.csv", CSV.replace("text", "Nachricht").replace("label", "Kategorie")),
        ("t.csv", CSV.replace("text", "REQUÊTE").replace("label", "e\u0301tiquette")),
        ("t.json", json.dumps({"version": 1, "data": ROWS})),
        ("t.json", json.dumps({"version": 1, "data": ROWS}, indent=1)),
        ("t.csv", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("t.csv", CSV.replace("\n", "\n\n")),
        ("t.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("t.tsv", 'text\tlabel\nmy card, lost\tlost_card\n"say ""please"""\trefund\n'),
        ("t.jsonl", LINES),
        ("t.ndjson", "\n" + LINES + "\n"),
        ("t.json", LINES),
        ("t.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)),
        ("t.json", "\ufeff" + LINES),
        ("t.json", json.dumps(ROWS)),
        ("t.json", "\n " + json.dumps(ROWS, indent=2)),
        ("t.jsonl", json.dumps(ROWS)),
    ],
)
def test_every_kind_of_text_file_is_read(write: Write, name: str, content: str | bytes) -> None:
    assert read(write(name, content)) == CELLS


def test_parquet_is_read_and_class_numbers_become_names(tmp_path: Path) -> None:
    features = Features(
        {"text": Value("string"), "label": ClassLabel(names=["a", "b"]), "tags": List(ClassLabel(names=["x", "y"]))}
    )
    rows = {"text": ["one", "two", "three"], "label": [1, -1, None], "tags": [[0, 1], [], [1]]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet", "text", "label") == [("one", "b"), ("two", None), ("three", None)]
    assert read(tmp_path / "t.parquet", "text", "tags") == [("one", ["x", "y"]), ("two", []), ("three", ["y"])]


def test_numbers_of_little_precision_are_read_as_they_are_written(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": Value("float32")})
    Dataset.from_dict({"text": ["one"], "label": [0.1]}, features=features).to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet") == [("one", 0.1)]


def test_nothing_is_copied_into_a_cache(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", str(tmp_path / "home"))
    secret = "a very private message"
    Dataset.from_dict({"text": [secret], "label": ["a"]}).to_parquet(tmp_path / "t.parquet")
    read(tmp_path / "t.parquet")
    read(write("t.csv", f"text,label\n{secret},a\n"))
    holders = {path.name for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()}
    assert holders == {"t.parquet", "t.csv"}


@pytest.mark.parametrize("cell", ["007", "NA", "None", "null", "nan", "2020-01-01", "1e5", "true", " padded "])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_cells_stay_as_they_are_written(write: Write, name: str, cell: str) -> None:
    content = f"text,label\n{cell},{cell}\n" if name == "t.csv" else json.dumps({"text": cell, "label": cell})
    path = write(name, content)
    assert read(path) == read(path.parent) == [(cell, cell)]


def test_a_folder_of_data_files_has_splits(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for split in ("train", "test"):
        Dataset.from_dict({"text": [f"of {split}"], "label": ["a"]}).to_parquet(folder / f"{split}.parquet")
    assert read(folder, "text") == [("of train",)]
    assert read(folder, "text", split="test") == [("of test",)]
    assert refusal(folder, split="dev") == (
        f"'{folder}' has no split 'dev': by the names of its files it has 'train' (train.parquet), 'test' "
        f"(test.parquet). Choose with --split train, or give one file in place of the folder, as in "
        f"{folder / 'train.parquet'}."
    )
    assert read_table(str(folder), options(), "test").source.endswith("set (test)")


def test_a_folder_with_files_of_no_split_names_them(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("tickets.csv", "german.csv", "test.csv"):
        (tmp_path / name).write_text(CSV)
    assert refusal(tmp_path) == (
        f"'{tmp_path}' has no split 'train': by the names of its files it has 'test' (test.csv), and 2 files are of "
        f"none (german.csv, tickets.csv). Choose with --split test, or give one file in place of the folder, as in "
        f"{tmp_path / 'german.csv'}."
    )
    assert refusal(tmp_path, split="dev").startswith(f"'{tmp_path}' has no split 'dev': by the names")
    read(tmp_path, split="test")
    assert "2 files are of no split by name, and left out: german.csv, tickets.csv." in capsys.readouterr().err


def test_which_files_of_a_folder_are_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "one.csv").write_text(CSV)
    (tmp_path / "two.csv").write_text(CSV)
    read(tmp_path)
    assert capsys.readouterr().err == f"{tmp_path}: reads 2 files, one.csv, two.csv.\n"
    (tmp_path / "one.csv").rename(tmp_path / "train.csv")
    (tmp_path / "two.csv").rename(tmp_path / "test.csv")
    read(tmp_path)
    assert capsys.readouterr().err == (
        f"{tmp_path}: reads 1 file of the split 'train', train.csv (--split names another: 'test').\n"
    )
    datasets.DatasetDict(train=Dataset.from_list(ROWS), dev=Dataset.from_list(ROWS)).save_to_disk(tmp_path / "saved")
    capsys.readouterr()
    read(tmp_path / "saved")
    assert capsys.readouterr().err == f"{tmp_path / 'saved'}: reads the split 'train' of 'train', 'dev'.\n"


@pytest.mark.parametrize(
    ("names", "of_train", "of_test"),
    [
        (["train.csv", "test.csv"], ["train.csv"], ["test.csv"]),
        (["a_train-1.csv", "a_train-2.csv", "eval.jsonl"], ["a_train-1.csv", "a_train-2.csv"], ["eval.jsonl"]),
        (["train/a.csv", "train/b.csv", "test/a.csv"], ["train/a.csv", "train/b.csv"], ["test/a.csv"]),
        (["data/train-00000-of-00001.csv", "data/test-00000-of-00001.csv"], *(
            [[f"data/{split}-00000-of-00001.csv"] for split in ("train", "test")]
        )),
        (["one.csv", "sub/two.jsonl"], ["one.csv", "sub/two.jsonl"], ["one.csv", "sub/two.jsonl"]),
        (["latest.csv", ".hidden.csv", "__pycache__/x.csv", "README.md"], ["latest.csv"], ["latest.csv"]),
    ],
)  # fmt: skip
def test_files_are_of_the_split_that_their_names_say(
    tmp_path: Path, names: list[str], of_train: list[str], of_test: list[str]
) -> None:
    for name in names:
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps({"text": name, "label": "a"}) if name.endswith("jsonl") else f"text,label\n{name},a\n"
        )
    for usual, expected in (("train", of_train), ("test", of_test)):
        table = read_table(str(tmp_path / "set"), options(), usual)
        assert [row.cells[0] for row in table.rows] == expected


def test_rows_of_several_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\none,a\n")
    (tmp_path / "b.csv").write_text("text,label\ntwo,a,b\n")
    assert "b.csv, row 1 (line 2) has 3 cells" in refusal(tmp_path)


def test_the_card_of_a_folder_says_which_file_is_of_which_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: "one.csv"
  - split: held_out
    path: "two.csv"
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          "0": card
          "1": refund
---
"""
    (tmp_path / "README.md").write_text(card)
    (tmp_path / "one.csv").write_text("text,label\none,0\n")
    (tmp_path / "two.csv").write_text("text,label\n007,1\n")
    assert read(tmp_path) == [("one", "card")]
    assert read(tmp_path, split="held_out") == [("007", "refund")]
    monkeypatch.chdir(tmp_path.parent)
    assert read(Path(tmp_path.name)) == [("one", "card")]
    assert "by its README.md it has 'train' (one.csv), 'held_out' (two.csv)." in refusal(Path(tmp_path.name), split="x")


def test_what_datasets_saved_is_read(tmp_path: Path) -> None:
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=Dataset.from_list(ROWS)).save_to_disk(tmp_path / "splits")
    assert read(tmp_path / "one") == read(tmp_path / "splits") == CELLS
    assert "has no split 'test'; it has 'train'" in refusal(tmp_path / "splits", split="test")
    assert "has no splits" in refusal(tmp_path / "one", split="test")


class TestClassFolders:
    @staticmethod
    def plant(folder: Path, *names: str) -> Path:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"text of {name}\n")
        return folder

    def test_the_name_of_the_folder_is_the_label(self, tmp_path: Path) -> None:
        self.plant(tmp_path, "refund/b.txt", "card/a.txt", "card/b.TXT", "README.txt", "card/.hidden.txt")
        assert read(tmp_path) == [
            (f"text of {name}", name.split("/")[0]) for name in ("card/a.txt", "card/b.TXT", "refund/b.txt")
        ]
        assert len(read(tmp_path, "text")) == 4
        table = read_table(str(tmp_path), options(), "train")
        assert inputs_of(table, False).numbers == [1, 2, 3]
        assert table.rows[2].place == "refund/b.txt, row 1"

    def test_a_text_that_cannot_be_read_is_a_bad_row(self, tmp_path: Path) -> None:
        self.plant(tmp_path, "card/a.txt", "card/b.txt")
        (tmp_path / "card/b.txt").write_bytes("привет".encode("cp1251"))
        table = read_table(str(tmp_path), options(), "train")
        assert len(table.rows) == 1
        assert (table.bad[0].place, table.bad[0].problem[:20]) == ("card/b.txt, row 1", "is not UTF-8 text (i")

    def test_splits_lie_above_classes(self, tmp_path: Path) -> None:
        self.plant(tmp_path, "train/card/a.txt", "test/card/b.txt")
        assert read(tmp_path) == [("text of train/card/a.txt", "card")]
        assert read(tmp_path, split="test") == [("text of test/card/b.txt", "card")]
        assert refusal(tmp_path, split="dev") == (
            f"'{tmp_path}' has no split 'dev': by the names of its folders it has 'train' (train/card/a.txt), 'test' "
            f"(test/card/b.txt). Choose with --split train, or give the folder of one split, as in "
            f"{tmp_path / 'train'}."
        )
        assert read(tmp_path / "train") == [("text of train/card/a.txt", "card")]

    def test_many_texts_are_sorted_into_splits_at_once(self, tmp_path: Path) -> None:
        files = [tmp_path / f"{split}/card/{number}.txt" for split in ("train", "test") for number in range(500)]
        compared = 0

        class Counted(type(tmp_path)):  # type: ignore[misc]
            def __eq__(self, other: object) -> bool:
                nonlocal compared
                compared += 1
                return bool(super().__eq__(other))

            __hash__ = type(tmp_path).__hash__

        found = choose(str(tmp_path), [Counted(path) for path in files], None, "train", Columns(options()))
        assert len(found.files) == 500
        assert compared < 5_000

    def test_a_class_may_be_called_as_a_split(self, tmp_path: Path) -> None:
        self.plant(tmp_path, "training/a.txt", "refund/b.txt")
        assert [label for _, label in read(tmp_path)] == ["refund", "training"]

    def test_texts_without_a_class_are_refused(self, tmp_path: Path) -> None:
        self.plant(tmp_path, "a.txt", "b.txt")
        assert "holds texts without labels, 'a.txt', 'b.txt'; put each in a folder" in refusal(tmp_path)
        assert len(read(tmp_path, "text")) == 2

    @pytest.mark.parametrize("table", ["overview.csv", "card/overview.csv"])
    def test_tables_among_classes_are_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture, table: str) -> None:
        (self.plant(tmp_path, "card/1.txt", "refund/1.txt") / table).write_text(CSV)
        assert f"holds 1 table, {table}, and texts in folders of classes, 'card', 'refund'; give a" in refusal(tmp_path)
        assert len(read(tmp_path, "text")) == 2
        assert "2 text files are left out, card/1.txt, refund/1.txt, as there are tables." in capsys.readouterr().err

    def test_a_text_beside_tables_is_said_to_be_left_out(self, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
        (self.plant(tmp_path, "licence.txt") / "t.csv").write_text(CSV)
        assert len(read(tmp_path)) == 2
        assert "1 text file is left out, licence.txt, as there are tables." in capsys.readouterr().err

    def test_a_folder_of_neither_is_refused(self, tmp_path: Path) -> None:
        self.plant(tmp_path, "a.pdf")
        assert "holds no table (.csv, " in refusal(tmp_path)


@pytest.mark.parametrize(
    ("source", "name", "configuration"),
    [
        ("banking77", "banking77", None),
        ("owner/name", "owner/name", None),
        ("owner/na.me-2:plain_text", "owner/na.me-2", "plain_text"),
    ],
)
def test_a_name_is_asked_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, source: str, name: str, configuration: str | None
) -> None:
    asked: list[Any] = []

    def load_dataset(path: str, name: str | None = None, *, split: str) -> Dataset:
        asked.append((path, name, split))
        return Dataset.from_list(ROWS)

    monkeypatch.setattr(hub, "check_on_hub", lambda *it: asked.append(it[:2]))
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read(source) == CELLS
    assert read(source, split="dev") == CELLS
    assert asked == [
        (name, "dataset"),
        (name, configuration, "train"),
        (name, "dataset"),
        (name, configuration, "dev"),
    ]


def test_a_table_at_a_url_is_not_fetched() -> None:
    url = "https://example.org/t.csv"
    assert refusal(url) == f"'{url}' is a URL, and URLs are not fetched: download the table."


def test_a_hub_out_of_reach_is_told() -> None:
    assert refusal("owner/name") == (
        "there is no file or folder 'owner/name', and as a data set 'owner/name' cannot be read: "
        "Couldn't reach 'owner/name' on the Hub (OfflineModeIsEnabled)"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.csv",
            "id,label,x\na,b,c\n",
            "no column 'text' nor another usual name; it has 'id', 'label', 'x': choose with --",
        ),
        (
            "t.csv",
            "where is my card,card\n",
            "it has 'where is my card', 'card': choose with --text-column; if the first line",
        ),
        (
            "t.csv",
            "query,question,label\na,b,c\n",
            "several columns that could hold the texts, 'query', 'question': choose",
        ),
        ("t.csv", "", "is empty."),
        ("t.csv", "\ufeff\n \n", "is empty."),
        ("t.csv.gz", gzip.compress(b"", mtime=0), "is empty."),
        ("t.csv", "text,label\n", "has no rows."),
        ("t.csv", "text,text,label\na,b,c\n", "has 2 columns called 'text'; rename one."),
        (
            "t.csv",
            'text,label\n"two\nlines",b\n\nhello, you,c\n',
            "row 2 (line 5) has 3 cells and the header 2; put quotes around a text that holds a comma",
        ),
        ("t.tsv", "text\tlabel\nhello\n", "row 1 (line 2) has 1 cell and the header 2; put quotes around a text that"),
        (
            "t.csv",
            'text,label\na,b\n"never closed,b\nc,d\n',
            "row 2 (line 3) unexpected end of data (is a quote not closed",
        ),
        (
            "t.csv",
            'text,label\n"a"b,c\n',
            "row 1 (line 2) ',' expected after '\"' (is a quote not closed or not doubled",
        ),
        (
            "t.csv",
            "text,label\nпривет,b\n".encode("cp1251"),
            "is not UTF-8 text (invalid continuation byte at byte 11)",
        ),
        ("t.csv.gz", CSV, "is not a complete gzip file"),
        ("t.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9], "is not a complete gzip file"),
        ("t.parquet.gz", gzip.compress(b"junk" * 20, mtime=0), "cannot be read: Parquet magic bytes not found"),
        ("t.xls", CSV, "or with --format; save it as .xlsx or csv."),
        ("t.pdf", CSV, "is read as a table only if its name ends in .csv, .tsv, .json, .jsonl"),
        ("t.xlsx", b"PK\x03\x04\0junk", "cannot be read as an Excel file (.xlsx): File is not a zip file"),
        ("t.csv.zip", packed({"a.csv": CSV, "b.csv": CSV}), "holds 2 files, 'a.csv', 'b.csv'; unpack it"),
        ("t.json", "", "is empty."),
        ("t.json", "[]", "has no rows."),
        (
            "t.json",
            '{"text": "a"',
            "row 1 (line 1) no valid JSON: Expecting ',' delimiter; give an object a line, or a list",
        ),
        ("t.jsonl", LINES + "\noops\n", "row 3 (line 4) no valid JSON: Expecting value; give an object a line"),
        ("t.json", '{\n "text": "a"\n}', "is one JSON object over many lines; give a list of objects"),
        ("t.json", "[" * 100_000, "no JSON that can be read: maximum recursion depth"),
        (
            "t.jsonl",
            '{"text": "a", "label": ' + "1" * 5000 + "}",
            "row 1 (line 1) no JSON that can be read: Exceeds the",
        ),
        ("t.json", "[{},\n oops]", "no valid JSON at line 2: Expecting value"),
        ("t.json", '[{"text": "a", "label": "b"}, 3]', 'row 2 is no object such as {"text": '),
        ("t.jsonl", '{"text": "a", "label": "b"}\n\n[3]\n', "row 2 (line 3) is no object such as"),
        ("t.jsonl", '{"x": "a", "label": "b"}\n', "has no column 'text' nor another usual name; it has 'x', 'label'"),
        ("t.json", '{"text": ["a"], "label": ["b"]}', "is one object of columns; give a list of objects"),
        ("t.json", '{\n"text": ["a"],\n"label": ["b"]}', "is one object of columns; give a list of objects"),
        ("t.json", '{"train": [{}],\n"test": [{}]}', "has several lists of objects, under 'train', 'test'; save each"),
        (
            "t.csv",
            "text,card,refund\nhello,1,0\n",
            "choose with --label-column (of columns of 0 and 1, one a label, name all: --label-column a,b,c)",
        ),
        ("t.jsonl", "{}\n", "has no column 'text' nor another usual name; it has none"),
        ("t.xlsx", CSV, "is text by its content, whatever its name: read it with --format csv, or give it the right"),
        ("t.xlsx", CSV.encode("utf-16"), "is text by its content"),
        ("t.xlsm", '[{"text": "a"}]', "is text in the form of json by its content, whatever its name: read it with"),
        ("t.xlsx", b"PAR1" + b"\0junk" * 20, "is a parquet file by its content, whatever its name: read it with"),
        ("t.csv", b"PAR1" + b"\0junk" * 20, "read it with --format parquet"),
        ("t.parquet", CSV, "is text by its content, whatever its name: read it with --format csv"),
        ("t.zip", with_password(CSV), "is locked with a password; unpack it and give the file in it."),
        ("t.parquet", b"\0junk" * 20, "cannot be read: Parquet magic bytes not found in footer"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(write: Write, name: str, content: str | bytes, message: str) -> None:
    path = write(name, content)
    refused = refusal(path)
    assert message in refused
    assert str(path) in refused


def test_a_column_missing_in_parquet_is_told(tmp_path: Path) -> None:
    Dataset.from_list(ROWS).to_parquet(tmp_path / "t.parquet")
    assert "has no column 'body'; it has 'text', 'label'" in refusal(tmp_path / "t.parquet", "body", "label")


@pytest.mark.parametrize("names", [["text", "label", "label"], ["text", "label", "note", "note"]])
def test_two_columns_of_one_name_in_parquet_are_told(tmp_path: Path, names: list[str]) -> None:
    arrays = [pa.array([name]) for name in names]
    write_table(pa.Table.from_arrays(arrays, names=names), tmp_path / "t.parquet")
    refused = f"'{tmp_path / 't.parquet'}' has several columns called {names[-1]!r}; rename one."
    assert refusal(tmp_path / "t.parquet") == refused
    assert refusal(tmp_path) == refused


@pytest.mark.parametrize("source", ["missing.csv", "a b", "a/b/c", "missing.parquet", "owner/name:"])
def test_what_is_neither_file_nor_name_is_told(source: str) -> None:
    assert refusal(source) == (
        f"there is no file or folder {source!r}; give a file (.csv, .tsv, .json, .jsonl, .ndjson, .parquet, .xlsx, "
        ".xlsm), a folder of files, - for standard input, or a data set on the Hub as 'name' or 'name:configuration'."
    )


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("tickets.cvs", "'tickets.csv'"),
        ("ticket.csv", "'tickets.csv'"),
        ("Tickets.xlsx", "'tickets.csv'"),
        ("tickets.data", "'tickets.csv'"),
        ("./tikets", "'tickets.csv'"),
        ("data/tickets.csv", "'tickets.csv'"),
        ("data/shot.jsonl", "'data/shots.jsonl'"),
        ("dta/shots.jsonl", "'data/shots.jsonl'"),
        ("shots.jsonl", "'data/shots.jsonl'"),
    ],
)
def test_a_file_that_was_probably_meant_is_named_at_once(
    source: str, meant: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("tickets.csv", CSV)
    write(".tickets.csv", CSV)
    write("notes.pdf", "no table")
    (tmp_path / "data").mkdir()
    write("data/shots.jsonl", '{"text": "a", "label": "b"}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "check_on_hub", None)  # which is not to be called
    assert refusal(source) == f"there is no file or folder {source!r}; did you mean {meant}?"
    assert is_table("ticket.cvs", options()) and not is_table("hello.cvs", options())
    assert "there is no file or folder ''; give a file (" in refusal("")


def test_a_name_that_may_be_on_the_hub_is_asked_there_first(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("tickets.csv", CSV)
    monkeypatch.chdir(tmp_path)
    assert refusal("tickets") == (
        "there is no file or folder 'tickets'; did you mean 'tickets.csv'? As a data set 'tickets' cannot be read: "
        "Couldn't reach 'tickets' on the Hub (OfflineModeIsEnabled)"
    )


@pytest.mark.parametrize("letters", [160_000, 10_000_000])
def test_a_cell_may_be_of_any_size(write: Write, letters: int) -> None:
    assert read(write("t.csv", f"text,label\n{'x' * letters},a\n")) == [("x" * letters, "a")]
    assert csv.field_size_limit() < 160_000  # one for the whole process


def test_a_delimiter_and_an_encoding_may_be_named(write: Write) -> None:
    path = write("t.csv", "text~label\nпривет~a\n".encode("cp1251"))
    assert read(path, delimiter="~", encoding="cp1251") == [("привет", "a")]
    assert "there is no encoding 'nothing'; some are utf-8" in refusal(path, encoding="nothing")
    assert "there is no encoding" in refusal(path, encoding="nul\0")
    assert "is no text in utf-8: 'utf-8' codec can't decode" in refusal(path, encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (CSV, ""),
        (CSV.replace(",", ";"), "has a semicolon between its columns (--delimiter names another)."),
        (
            "text,label\nGrüße,a\n".encode("latin-1"),
            "is no UTF-8 and is read as cp1252, as in 'Grüße,a' (--encoding names",
        ),
        (CSV.encode("utf-16"), "is read as utf-16 (--encoding names another)."),
        (CSV.replace("text", "Query"), "reads texts from the column 'Query' (--text-column)."),
    ],
)
def test_what_was_guessed_is_said_once(
    write: Write, content: str | bytes, said: str, capsys: pytest.CaptureFixture
) -> None:
    path = write("t.csv", content)
    read(path)
    notes = capsys.readouterr().err
    assert said in notes and notes.count("\n") == bool(said)


def test_a_cell_without_end_is_a_bad_row(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "LARGEST_CELL", 100)
    path = write("t.csv", 'text,label\na,b\n"never closed,c\n' + "d,e\n" * 100)
    table = read_table(str(path), options(), "train")
    assert len(table.rows) == 101
    assert [(row.line, row.problem) for row in table.bad] == [
        (3, "field larger than field limit (100) (is a quote not closed or not doubled?)")
    ]
    long = refusal(write("u.csv", "x" * 90 + ",label\n"))
    assert f"it has '{'x' * 35} ..., 'label'" in long and len(long) < 500


def test_a_file_of_too_many_bytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "t.csv", "wb") as file:
        file.truncate(2**31)
    assert "has more than 268,435,456 bytes; give it in parts, or as parquet." in refusal(tmp_path / "t.csv")


def test_damaged_utf_8_is_no_other_encoding(write: Write) -> None:
    path = write("t.csv", "text,label\nÄpfel und Öl,ä\n".encode() + b"cut \xc3,b\n")
    assert "is not UTF-8 text" in refusal(path)
    table = read_table(str(path), options(skip_bad_rows=True), "train")
    assert table.rows[0].cells == ("Äpfel und Öl", "ä")
    with pytest.raises(
        InvalidInputError, match=r"row 2 \(line 3\), column 'text': the text holds bytes that are no UTF-8"
    ):
        inputs_of(table, False)


def test_after_a_bad_row_the_next_are_read(write: Write) -> None:
    content = 'text,label\na,b\nhello, you,c\n"never closed,d\ne,f\n"g"h,i\nj,k\n'
    table = read_table(str(write("t.csv", content)), options(), "train")
    assert [(row.number, row.line, row.cells) for row in table.rows] == [
        (1, 2, ("a", "b")),
        (4, 5, ("e", "f")),
        (6, 7, ("j", "k")),
    ]
    assert [(row.number, row.line) for row in table.bad] == [(2, 3), (3, 4), (5, 6)]


@pytest.mark.slow
def test_a_million_rows_are_read_in_bounded_time(write: Write) -> None:
    path = write("t.csv", "text,label\n" + "".join(f'"text, number {n}",label {n % 50}\n' for n in range(1_000_000)))
    begin = time.monotonic()
    assert len(examples_of(read_table(str(path), options(), "train"), SINGLE_LABEL, False).inputs) == 1_000_000
    assert time.monotonic() - begin < 120


def test_a_file_has_no_splits(write: Write) -> None:
    assert "is a file and has no splits: leave out --split" in refusal(write("t.csv", CSV), split="test")


def test_an_unreadable_file_is_told(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:  # whoever runs the tests may read every file
        raise PermissionError(13, "Permission denied")

    path = write("t.csv.gz", gzip.compress(CSV.encode(), mtime=0))
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert refusal(path) == f"{str(path)!r} cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("argument", "answer"),
    [
        ("node.js", False),
        ("hello.text", False),
        ("Hotmail.tx", False),
        ("nett.cvs", False),
        ("mode.text", False),
        ("hallo.text", True),
        ("mode.jsno", True),
        ("Mode.jsn", True),
        ("hello.tyt", False),
        ("hello.ttx", True),
    ],
)
def test_a_word_with_a_dot_is_a_file_only_if_one_was_surely_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, argument: str, answer: bool
) -> None:
    for name in ("mode.json", "hallo.txt", "mail.txt", "net.txt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert is_table(argument, options()) is answer
    assert ("is read as a text, as no file has this name" in capsys.readouterr().err) is not answer


@pytest.mark.parametrize(
    ("argument", "answer"),
    [
        ("where is my card?", False),
        ("hello", False),
        ("and/or", False),
        ("what is in report.csv", False),
        ("report.csv", True),
        ("some/folder/Report.JSONL.gz", True),
        ("x" * 5000, False),
        ("nul\0byte", False),
        ("shots.zip", True),
        ("lines.txt", True),
        ("read me in lines.txt", False),
    ],
)
def test_a_text_is_told_from_a_table_by_its_ending(argument: str, answer: bool) -> None:
    assert is_table(argument, options()) is answer


def test_a_file_is_a_table_whatever_its_name_holds(write: Write) -> None:
    assert is_table(str(write("my shots.csv", CSV)), options())
    with pytest.raises(InvalidInputError, match="is a file, but not a known kind of table .* --text to classify"):
        is_table(str(write("notes.pdf", CSV)), options())


def test_a_file_in_no_folder_of_a_class_is_not_said_to_be_read(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("train/card/1.txt", "train/pin/2.txt", "test/pin/3.txt", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert read(tmp_path) == [("train/card/1.txt", "card"), ("train/pin/2.txt", "pin")]
    said = capsys.readouterr().err
    assert "1 file is in no folder of a class, and left out: 'notes.txt'." in said
    assert "reads 2 files of the split 'train', train/card/1.txt, train/pin/2.txt (" in said
