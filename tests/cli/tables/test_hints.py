from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mann_hf.cli.options import MULTI_LABEL, REGRESSION, SINGLE_LABEL, TableOptions
from mann_hf.cli.tables import Row, Table, examples_of, inputs_of, read_table
from mann_hf.cli.tables.hints import say_contradictions, visible

from ..conftest import Shell

Write = Callable[[str, str | bytes], Path]

ONE, SEVERAL = SINGLE_LABEL, MULTI_LABEL


def table(*rows: tuple[Any, ...]) -> Table:
    return Table("t.csv", [Row(n, row) for n, row in enumerate(rows, start=1)], ("t", "c")[: len(rows[0])], [], "t.csv")


def of_labels(*labels: Any) -> Table:
    return table(*((f"what I wrote in my message {n}", label) for n, label in enumerate(labels)))


def said(found: Table, problem_type: str, capsys: pytest.CaptureFixture) -> str:
    examples_of(found, problem_type, False)
    return capsys.readouterr().err


class TestWordsForNothing:
    def test_they_are_read_as_written_and_said(self, capsys: pytest.CaptureFixture) -> None:
        found = table(("nan", "card"), ("b", "None"), ("nan", "N/A"), ("NA sold me this", "None"))
        assert examples_of(found, ONE, False).labels == ["card", "None", "N/A", "None"]
        assert capsys.readouterr().err == (
            "t.csv: the column 't' has 'nan' (2 cells), each read as a text like any other; leave a cell empty where "
            "there is none.\n"
            "t.csv: the column 'c' has 'None' (2 cells), 'N/A' (1 cell), each read as a label like any other; leave a "
            "cell empty where there is none.\n"
        )

    def test_those_among_several_labels_are_said(self, capsys: pytest.CaptureFixture) -> None:
        for cell in ("card|nan", ["card", "nan"], "['card', 'nan']"):
            assert "the column 'c' has 'nan' (1 cell), each read as a label" in said(of_labels(cell), SEVERAL, capsys)

    def test_texts_without_labels_are_looked_at_too(self, capsys: pytest.CaptureFixture) -> None:
        inputs_of(table(("null",), ("a",)), False)
        assert "the column 't' has 'null' (1 cell), each read as a text" in capsys.readouterr().err

    def test_numbers_are_looked_at_for_their_texts(self, capsys: pytest.CaptureFixture) -> None:
        examples_of(table(("nan", 1.5)), REGRESSION, False)
        assert "the column 't' has 'nan' (1 cell)" in capsys.readouterr().err


class TestPaths:
    def test_paths_of_images_are_no_texts(self, capsys: pytest.CaptureFixture) -> None:
        hint = "t.csv: the texts, such as 'red/1.PNG', look like paths of images: --image-column t reads them.\n"
        found = table(("red/1.PNG", "red"), ("blue/2.jpeg", "blue"))
        assert hint in said(found, ONE, capsys)
        inputs_of(found, False)
        assert capsys.readouterr().err == hint
        assert "paths" not in said(table(("red/1.png", "red"), ("see 1.png!", "blue")), ONE, capsys)


class TestSwapped:
    TEXTS = ["where is my new card?", "my card is not there", "please give it back", "I want my money"]

    @pytest.mark.parametrize("problem_type", [ONE, SEVERAL])
    def test_columns_are_said_to_look_swapped(self, problem_type: str, capsys: pytest.CaptureFixture) -> None:
        found = table(*zip(["card", "card", "refund", "refund"], self.TEXTS, strict=True))
        assert said(found, problem_type, capsys) == (
            "t.csv: are the columns swapped? 4 different labels, such as 'where is my new card?', came for 2 different "
            "texts, such as 'card' (--text-column, --label-column).\n"
        )

    @pytest.mark.parametrize(
        "labels",
        [
            ["card", "card", "refund", "refund"],
            ["card_arrival", "card_lost", "refund", "money_back"],
            ["a long name of a class of texts", "a long name of a class of texts", "refund", "refund"],
        ],
    )
    def test_others_are_not(self, labels: list[str], capsys: pytest.CaptureFixture) -> None:
        assert said(table(*zip(self.TEXTS, labels, strict=True)), ONE, capsys) == ""


@pytest.mark.parametrize(
    ("problem_type", "labels", "expected"),
    [
        (ONE, ["a|b", "c"], "'a|b' is one label; if several are meant, put | between them, and make the classifier"),
        (ONE, ["a;b", "a", "b"], "'a;b' is one label; if several are meant"),
        (ONE, ["a;b", "c"], None),
        (ONE, ["a, b", "b"], None),
        (SEVERAL, ["a; b", "c"], "'a; b' is one label; if several are meant, put | between them.\n"),
        (SEVERAL, ["a; b", "b; c"], "'a; b', 'b; c' are each one label"),
        (SEVERAL, ["a, b", "b"], "'a, b' is one label; if several are meant, put | between them.\n"),
        (SEVERAL, ["a, b|c", "d"], None),
        (SEVERAL, ["a/b", "b/a"], "'a/b', 'b/a' are each one label"),
        (SEVERAL, ["a|b", "c", ["a", "b"]], None),
        (SEVERAL, ["a;", "b"], None),
    ],
)
def test_another_sign_between_labels_is_said(
    problem_type: str, labels: list[Any], expected: str | None, capsys: pytest.CaptureFixture
) -> None:
    notes = said(of_labels(*labels), problem_type, capsys)
    assert notes == "" if expected is None else expected in notes and notes.count("\n") == 1


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (
            ["Card", "card", "refund"],
            "'Card' and 'card' are different labels; give them one name if they are one class",
        ),
        (["ﬁne", "fine"], r"'\ufb01ne' and 'fine' are different labels"),
        (["1,5", "2"], "each of 2 numbers in the column 'c' is a class of its own"),
        (["1577836800000", 1577923200000], "such as 1577836800000, look like times since 1970"),
        (["1577836800000", "card"], None),
        ([4915112345678, 4915187654321], None),
    ],
)
def test_labels_that_may_not_be_meant_are_said(
    labels: list[Any], expected: str | None, capsys: pytest.CaptureFixture
) -> None:
    notes = said(of_labels(*labels), ONE, capsys)
    assert notes == "" if expected is None else expected in notes


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("lost\u00a0card", r"'lost\xa0card' as 'lost card'"),
        ("lost  card", r"'lost\x20\x20card' as 'lost card'"),
        ("ca\u200brd", r"'ca\u200brd' as 'card'"),
        ("cafe\u0301", r"'cafe\u0301' as 'caf\xe9'"),
        ("\u202ecard\u202c ", None),
        ("Größe ", "'Größe ' as 'Größe'"),
    ],
)
def test_the_difference_of_spellings_can_be_seen(
    written: str, shown: str | None, capsys: pytest.CaptureFixture
) -> None:
    notes = said(of_labels(written), ONE, capsys)
    if shown is None:
        before, _, after = notes.partition("'")[2].partition(" as ")
        assert before.strip("'") != after.partition(" (")[0].strip("'")
    else:
        assert f"labels are spelled in one way, {shown}" in notes


def test_what_can_be_seen_is_shown_as_it_is() -> None:
    assert visible("Größe") == "'Größe'"
    assert visible("日本 語") == "'日本 語'"


class TestContradictions:
    def test_a_text_of_two_labels_is_said(self, shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path) -> None:
        rows = "where is it,delivery\nwhere is it,delivery\nmy money,refund\nwhere is it,refund\n"
        shell("remember", tmp_path / "new", write("t.csv", f"text,label\n{rows}"), "--encoder", tiny_encoder)
        assert "1 text has different labels in different rows, 'where is it': 'delivery', 'refund'." in shell.stderr
        assert "1 row repeats a text with its label; each is stored once." in shell.stderr

    @pytest.mark.parametrize("several", [False, True])
    def test_repeats_alone_contradict_nothing(self, write: Write, capsys: pytest.CaptureFixture, several: bool) -> None:
        path = write("t.csv", f"text,label\na,{'x|y' if several else 'x'}\na,{'y|x' if several else 'x'}\nb,y\n")
        kind = MULTI_LABEL if several else SINGLE_LABEL
        found = read_table(str(path), TableOptions(), "train")
        texts, labels, _ = examples_of(found, kind, False)
        say_contradictions(found, texts, labels)
        assert "different labels" not in capsys.readouterr().err


class TestTotal:
    def test_a_last_row_that_adds_up_is_said(self, write: Write, capsys: pytest.CaptureFixture) -> None:
        for last in ("Total,6", "Gesamt,6", "\nall of them,6", "6,Total", 'grand TOTAL,"1,5"'):
            path = write("t.csv", f"text,label\nmy card,card\nmy money,refund\n{last}\n")
            examples_of(read_table(str(path), TableOptions(), "train"), SINGLE_LABEL, False)
            assert "looks like a total of the rows above" in capsys.readouterr().err, last

    def test_other_last_rows_are_rows(self, write: Write, capsys: pytest.CaptureFixture) -> None:
        for rows in ("a,1\nb,2\nTotal,6", "a,x\nb,y\nTotal,x", "a,x\n\nb,y", "a,x\nb,y\nall,6", "Total,6"):
            path = write("t.csv", f"text,label\n{rows}\n")
            examples_of(read_table(str(path), TableOptions(), "train"), SINGLE_LABEL, False)
            assert "total" not in capsys.readouterr().err, rows
