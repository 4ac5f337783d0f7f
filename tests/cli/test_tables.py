import bz2
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from mann_hf.cli import tables
from mann_hf.cli.options import ProblemType
from mann_hf.cli.tables import Row, Table, is_table, labels_of, read_table, texts_of
from mann_hf.errors import InvalidInputError

Write = Callable[[str, str | bytes], Path]
ROWS = [{"text": "my card, lost", "label": "lost_card"}, {"text": 'say "please"', "label": "refund"}]
CSV = 'text,label\n"my card, lost",lost_card\n"say ""please""",refund\n'
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.fixture(autouse=True)
def bars_as_before() -> Iterator[None]:
    """The switch of datasets' progress bars is one for the whole process."""
    before = datasets.are_progress_bars_disabled()
    yield
    assert datasets.are_progress_bars_disabled() == before


def read(path: Path | str, *columns: str, split: str | None = None) -> list[dict[str, Any]]:
    return [row.cells for row in read_table(str(path), columns or ("text", "label"), split, "train").rows]


def refusal(path: Path | str, *columns: str, split: str | None = None) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read(path, *columns, split=split)
    return str(caught.value)


# No time in a gzip file: the workers of a run compare the names of the tests, which hold the content.
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", CSV),
        ("T.CSV", CSV),
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
    assert read(write(name, content)) == ROWS


def test_parquet_is_read_and_class_numbers_become_names(tmp_path: Path) -> None:
    features = Features(
        {"text": Value("string"), "label": ClassLabel(names=["a", "b"]), "tags": List(ClassLabel(names=["x", "y"]))}
    )
    rows = {"text": ["one", "two", "three"], "label": [1, -1, None], "tags": [[0, 1], [], [1]]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet", "text", "label", "tags") == [
        {"text": "one", "label": "b", "tags": ["x", "y"]},
        {"text": "two", "label": None, "tags": []},
        {"text": "three", "label": None, "tags": ["y"]},
    ]


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
    assert read(write(name, content)) == [{"text": cell, "label": cell}]


def test_a_folder_of_data_files_has_splits(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for split in ("train", "test"):
        Dataset.from_dict({"text": [f"of {split}"], "label": ["a"]}).to_parquet(folder / f"{split}.parquet")
    assert read(folder, "text") == [{"text": "of train"}]
    assert read(folder, "text", split="test") == [{"text": "of test"}]
    assert "cannot be read: Unknown split \"dev\". Should be one of ['train', 'test']" in refusal(folder, split="dev")
    assert read_table(str(folder), ["text"], None, "test").source.endswith("set (test)")


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

    monkeypatch.setattr(tables, "check_on_hub", lambda *it: asked.append(it))
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read(source) == ROWS
    assert read(source, split="dev") == ROWS
    assert asked == [
        (name, "dataset"),
        (name, configuration, "train"),
        (name, "dataset"),
        (name, configuration, "dev"),
    ]


def test_a_hub_out_of_reach_is_told() -> None:
    assert refusal("owner/name") == (
        "there is no file or folder 'owner/name', and as a data set 'owner/name' cannot be read: "
        "Couldn't reach 'owner/name' on the Hub (OfflineModeIsEnabled)"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "body,label,topic\na,b,c\n", "has no column 'text'; it has 'body', 'label', 'topic': choose with --"),
        ("t.csv", "text;label\na;b\n", "it has 'text;label': a csv file has commas between its columns"),
        ("t.tsv", "text,label\na,b\n", "it has 'text,label': a csv file has commas between its columns"),
        ("t.csv", "", "has no column 'text'; it has none"),
        ("t.csv", "text,label\n", "has no rows."),
        ("t.csv", "text,text,label\na,b,c\n", "has 2 columns called 'text'; rename one."),
        (
            "t.csv",
            'text,label\n"two\nlines",b\n\nhello, you,c\n',
            "row 2 (line 5) has 3 cells and the header 2; put quotes around a text that holds a comma.",
        ),
        ("t.tsv", "text\tlabel\nhello\n", "row 1 (line 2) has 1 cells and the header 2; put quotes around a text that"),
        ("t.csv", 'text,label\n"never closed,b\n', "cannot be read at line 2: unexpected end of data; is a quote not"),
        (
            "t.csv",
            "text,label\nü,b\n".encode("latin-1"),
            "is no text in UTF-8 (invalid start byte at byte 11): save it",
        ),
        ("t.csv.gz", CSV, "is no whole gzip file"),
        ("t.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9], "is no whole gzip file"),
        ("t.csv.bz2", bz2.compress(CSV.encode()), "is read only if its name ends in .csv, .tsv, .json, .jsonl"),
        ("t.parquet.gz", b"", "is read only if its name ends in .csv, .tsv, .json, .jsonl"),
        ("t.txt", CSV, "is read only if its name ends in .csv, .tsv, .json, .jsonl"),
        ("t.json", "", "has no rows."),
        ("t.json", "[]", "has no rows."),
        (
            "t.json",
            '{"text": "a"',
            "no valid JSON at line 1: Expecting ',' delimiter; give an object a line, or a list",
        ),
        ("t.jsonl", LINES + "\noops\n", "no valid JSON at line 4: Expecting value"),
        ("t.json", "[{},\n oops]", "no valid JSON at line 2: Expecting value"),
        ("t.json", '[{"text": "a", "label": "b"}, 3]', "row 2 is no object such as {'text': ...}."),
        ("t.jsonl", '{"text": "a", "label": "b"}\n\n[3]\n', "row 2 (line 3) is no object such as"),
        ("t.jsonl", '{"body": "a", "label": "b"}\n', "has no column 'text'; it has 'body', 'label'"),
        ("t.parquet", b"junk" * 20, "cannot be read: Parquet magic bytes not found in footer"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(write: Write, name: str, content: str | bytes, message: str) -> None:
    path = write(name, content)
    told = refusal(path)
    assert message in told
    assert str(path) in told


def test_a_column_missing_in_parquet_is_told(tmp_path: Path) -> None:
    Dataset.from_list(ROWS).to_parquet(tmp_path / "t.parquet")
    assert "has no column 'body'; it has 'text', 'label'" in refusal(tmp_path / "t.parquet", "body")


@pytest.mark.parametrize("source", ["missing.csv", "a b", "a/b/c", "missing.parquet", "owner/name:"])
def test_what_is_neither_file_nor_name_is_told(source: str) -> None:
    assert refusal(source) == (
        f"there is no file {source!r}; give a file (.csv, .tsv, .json, .jsonl, .ndjson, .parquet) or a data set on the "
        "Hub as 'name' or 'name:configuration'."
    )


def test_a_file_has_no_splits(write: Write) -> None:
    assert "is a file and has no splits: leave out --split" in refusal(write("t.csv", CSV), split="test")


def test_an_unreadable_file_is_told(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:  # whoever runs the tests may read every file
        raise PermissionError(13, "Permission denied")

    path = write("t.csv.gz", gzip.compress(CSV.encode(), mtime=0))
    monkeypatch.setattr(gzip, "open", refuse)
    assert refusal(path) == f"{str(path)!r} cannot be read: Permission denied"


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
    ],
)
def test_a_text_is_told_from_a_table_by_its_ending(argument: str, answer: bool) -> None:
    assert is_table(argument) is answer


def test_a_file_is_a_table_whatever_its_name_holds(write: Write) -> None:
    assert is_table(str(write("my shots.csv", CSV)))
    with pytest.raises(InvalidInputError, match="is a file, but none that is read as a table .* add --text"):
        is_table(str(write("notes.txt", CSV)))


def table(*cells: Any) -> Table:
    return Table("t.csv", [Row(f"row {number}", {"c": cell}) for number, cell in enumerate(cells, start=1)], "t.csv")


@pytest.mark.parametrize(
    ("problem_type", "cells", "labels"),
    [
        (ProblemType.SINGLE_LABEL, ["a|b", 3, True, "007"], ["a|b", "3", "true", "007"]),
        (
            ProblemType.MULTI_LABEL,
            ["a|b", "c", "d | e", ["f", 1], 3],
            [["a", "b"], ["c"], ["d", "e"], ["f", "1"], ["3"]],
        ),
        (ProblemType.REGRESSION, ["1.5", 2, -0.5, [3], "1e3"], [[1.5], [2.0], [-0.5], [3.0], [1000.0]]),
        (ProblemType.REGRESSION, ["1|2", [3, 4.5]], [[1.0, 2.0], [3.0, 4.5]]),
    ],
)
def test_labels_are_of_the_problem(problem_type: ProblemType, cells: list[Any], labels: list[Any]) -> None:
    assert labels_of(table(*cells), "c", problem_type) == labels


@pytest.mark.parametrize(
    ("problem_type", "cell", "message"),
    [
        (ProblemType.SINGLE_LABEL, None, "no label"),
        (ProblemType.SINGLE_LABEL, " \t", "no label"),
        (ProblemType.SINGLE_LABEL, 1.5, "1.5 is a number and no label (--problem-type regression makes a classifier"),
        (ProblemType.SINGLE_LABEL, ["a", "b"], "['a', 'b'] are several labels (--multi-label makes a classifier"),
        (ProblemType.SINGLE_LABEL, {"a": 1}, "{'a': 1} is no label but of type dict"),
        (ProblemType.MULTI_LABEL, None, "no label"),
        (ProblemType.MULTI_LABEL, [], "no label"),
        (ProblemType.MULTI_LABEL, ["a", None], "no label"),
        (ProblemType.MULTI_LABEL, "a||b", "no label"),
        (ProblemType.REGRESSION, "much", "'much' is no finite number"),
        (ProblemType.REGRESSION, "", "'' is no finite number"),
        (ProblemType.REGRESSION, "nan", "'nan' is no finite number"),
        (ProblemType.REGRESSION, None, "None is no finite number"),
        (ProblemType.REGRESSION, True, "True is no finite number"),
        (ProblemType.REGRESSION, [], "[] is no finite number"),
        (ProblemType.REGRESSION, "1|2", "2 numbers, where the first row has 1; give each row as many."),
    ],
)
def test_a_wrong_label_is_told_with_its_row(problem_type: ProblemType, cell: Any, message: str) -> None:
    good = "1" if problem_type is ProblemType.REGRESSION else "a"
    with pytest.raises(InvalidInputError) as caught:
        labels_of(table(good, cell), "c", problem_type)
    assert str(caught.value).startswith(f"t.csv: row 2, column 'c': {message}")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "no text"),
        ("", "no text"),
        (" \n", "no text"),
        (12, "12 is no text but of type int"),
        ("\ud800", "the text holds half a surrogate pair"),
    ],
)
def test_a_wrong_text_is_told_with_its_row(cell: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        texts_of(table("good", cell), "c")
    assert str(caught.value).startswith(f"t.csv: row 2, column 'c': {message}")


def test_all_wrong_rows_are_counted() -> None:
    with pytest.raises(InvalidInputError, match=r"row 2, column 'c': no text \(2 more rows are wrong\); mend or"):
        texts_of(table("good", "", "good", None, 7), "c")


def test_texts_are_given_in_order() -> None:
    assert texts_of(table("b", " a "), "c") == ["b", " a "]
