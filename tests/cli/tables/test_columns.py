import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from mann_hf.cli.options import MULTI_LABEL, TableOptions
from mann_hf.cli.tables import examples_of, read_table
from mann_hf.errors import InvalidInputError

Write = Callable[[str, str | bytes], Path]


def read(path: Path, labels: bool = True, **options: Any) -> list[tuple[Any, ...]]:
    table = read_table(str(path), TableOptions(**options), "train", labels=labels)
    assert not table.bad
    return [row.cells for row in table.rows]


def refusal(path: Path, labels: bool = True, **options: Any) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read_table(str(path), TableOptions(**options), "train", labels=labels)
    return str(caught.value)


class TestNoHeader:
    TWO = "where is my card;card\nrefund me, please;refund\n"
    THREE = "1,where is my card,card\n2,refund me,refund\n"

    def test_of_two_columns_the_first_has_the_texts(self, write: Write, capsys: pytest.CaptureFixture) -> None:
        path = write("t.csv", self.TWO)
        cells = [("where is my card", "card"), ("refund me, please", "refund")]
        assert read(path, no_header=True) == cells
        assert "t.csv: has no header, reads texts from column 1 and labels from column 2." in capsys.readouterr().err
        assert read(path, labels=False, no_header=True) == [(text,) for text, _ in cells]
        assert "t.csv: has no header, reads texts from column 1." in capsys.readouterr().err
        ways: list[dict[str, Any]] = [{"text_column": "2"}, {"label_column": "1"}]
        for asked in (*ways, ways[0] | ways[1]):
            assert read(path, no_header=True, **asked) == [(label, text) for text, label in cells]
            assert "reads texts from column 2 and labels from column 1." in capsys.readouterr().err

    def test_of_more_columns_they_have_to_be_named(self, write: Write) -> None:
        path = write("t.csv", self.THREE)
        assert "has 3 columns and no header to know them by: say which they are with --text-column and " in (
            refusal(path, no_header=True)
        )
        assert "with --text-column, by number from 1 to 3" in refusal(path, labels=False, no_header=True)
        assert "with --label-column, by number" in refusal(path, no_header=True, text_column="2")
        assert read(path, no_header=True, text_column="2", label_column="3") == [
            ("where is my card", "card"),
            ("refund me", "refund"),
        ]
        assert "no column '4'; it has '1', '2', '3'" in refusal(path, no_header=True, text_column="4", label_column="3")
        assert "are to come from one column, '2'" in refusal(path, no_header=True, text_column="2", label_column="2")

    def test_one_column_has_no_labels(self, write: Write, capsys: pytest.CaptureFixture) -> None:
        path = write("t.csv", "hello\nyou\n")
        assert "has 1 column, and no column of labels beside it" in refusal(path, no_header=True)
        assert read(path, labels=False, no_header=True) == [("hello",), ("you",)]
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("first", ["text,label", "Utterance,INTENT", "frage,kategorie"])
    def test_a_first_row_of_names_is_refused(self, write: Write, first: str) -> None:
        assert "looks like a header: leave out --no-header" in refusal(
            write("t.csv", f"{first}\na,b\n"), no_header=True
        )

    def test_a_first_row_with_one_name_is_a_row(self, write: Write) -> None:
        assert read(write("t.csv", "comment,card\na,b\n"), no_header=True)[0] == ("comment", "card")

    def test_objects_have_names_in_any_case(self, write: Write) -> None:
        assert read(write("t.jsonl", '{"text": "a", "label": "b"}'), no_header=True) == [("a", "b")]

    def test_a_data_frame_whose_columns_have_no_names_has_a_header(self, write: Write) -> None:
        assert read(write("t.csv", "0,1\na,b\n")) == [("a", "b")]

    def test_a_delimiter_that_is_not_clear_has_to_be_named(self, write: Write) -> None:
        path = write("t.csv", "gut;1,5\nschlecht;0,5\n")
        assert "each row may be cut at a comma or a semicolon: say which with --delimiter" in (
            refusal(path, no_header=True)
        )
        assert read(path, no_header=True, delimiter=";") == [("gut", "1,5"), ("schlecht", "0,5")]


def test_a_text_below_another_header_is_no_header(write: Write) -> None:
    assert "it has 'subject'" in refusal(write("t.csv", "subject\nhello\ntext\nmessage\n"), labels=False)


class TestOneColumnALabel:
    """Columns of zeros and ones."""

    ROWS: list[dict[str, Any]] = [
        {"text": "late and broken", "late": 1, "broken": 1, "id": 3},
        {"text": "late", "late": True, "broken": 0.0, "id": 4},
        {"text": "neither", "late": 0, "broken": None, "id": 5},
    ]
    CSV = "text,late,broken,id\nlate and broken,1,1,3\nlate,True,0.0,4\nneither,0,,5\n"

    @pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "no header"])
    def test_names_of_columns_are_labels(self, write: Write, form: str) -> None:
        asked = "late, broken"
        if form == "csv":
            path = write("t.csv", self.CSV)
        elif form == "jsonl":
            path = write("t.jsonl", "".join(json.dumps(row) + "\n" for row in self.ROWS))
        elif form == "parquet":
            path = write("t.parquet", b"")
            Dataset.from_list([{**row, "late": int(row["late"])} for row in self.ROWS]).to_parquet(path)
        else:
            path, asked = write("t.csv", self.CSV.partition("\n")[2]), "2,3"
        options = TableOptions(
            "text" if form != "no header" else "1", label_column=asked, no_header=form == "no header"
        )
        table = read_table(str(path), options, "train")
        labels = examples_of(table, MULTI_LABEL, False).labels
        names = ("late", "broken") if form != "no header" else ("2", "3")
        assert labels == [names, names[:1], ()]

    def test_words_say_yes_and_no(self, write: Write) -> None:
        path = write("t.csv", "text,late,broken\na,yes,No\nb,x,\nc,TRUE,false\n")
        assert [labels for _, labels in read(path, label_column="late,broken")] == [["late"]] * 3

    def test_another_cell_is_told(self, write: Write) -> None:
        path = write("t.csv", "text,late,broken\na,1,0\nb,2,0\n")
        table = read_table(str(path), TableOptions(label_column="late,broken"), "train")
        assert [row.problem for row in table.bad] == [
            "column 'late': '2' is neither 0 nor 1, as the column of one label of several has"
        ]

    def test_a_missing_one_is_told(self, write: Write) -> None:
        path = write("t.csv", self.CSV)
        assert "has no column 'late,lost'; it has 'text', 'late'" in refusal(path, label_column="late,lost")

    def test_a_column_with_a_comma_in_its_name_is_one(self, write: Write) -> None:
        path = write("t.csv", 'text,late,"late,broken"\na,1,x\n')
        assert read(path, label_column="late,broken") == [("a", "x")]


class TestSeveralThatCouldBeMeant:
    @pytest.mark.parametrize(
        "header",
        ["text,category,label", "text,Kategorie,label", "Text,Label,label", "label,text,INTENT", "text,labels,label"],
    )
    @pytest.mark.parametrize("form", ["csv", "jsonl"])
    def test_of_labels_none_is_guessed(self, write: Write, header: str, form: str) -> None:
        names = header.split(",")
        rows = {"csv": f"{header}\na,b,c\n", "jsonl": json.dumps(dict(zip(names, "abc", strict=True)))}
        path = write(f"t.{form}", rows[form])
        assert "has several columns that could hold the labels" in refusal(path)
        assert read(path, label_column=names[2])[0][1] == "c"
        assert len(read(path, labels=False)) == 1

    def test_words_beside_the_labels_are_said(self, write: Write, capsys: pytest.CaptureFixture) -> None:
        assert read(write("t.csv", "text,label,label_text\na,0,pin\n")) == [("a", "0")]
        assert "reads labels from 'label' and not from 'label_text' (--label-column)." in capsys.readouterr().err

    def test_a_column_called_text_is_taken_and_others_said(self, write: Write, capsys: pytest.CaptureFixture) -> None:
        path = write("t.csv", "Text,message,label\na,b,c\n")
        assert read(path) == [("a", "c")]
        assert "reads texts from 'Text' and not from 'message' (--text-column)." in capsys.readouterr().err
        assert read(path, text_column="message") == [("b", "c")]
        assert "not from" not in capsys.readouterr().err
        assert "several columns that could hold the texts" in refusal(write("u.csv", "Text,text,label\na,b,c\n"))
