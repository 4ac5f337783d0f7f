import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from mann_hf.cli.options import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from mann_hf.cli.tables import Row, Table, examples_of, inputs_of
from mann_hf.errors import InvalidInputError

AMOUNTS = (
    "t.csv: each of 2 numbers in the column 'c' is a class of its own; if they are amounts, make the classifier with "
    "--problem-type regression.\n"
)


def table(*cells: Any, bad: tuple[Row, ...] = ()) -> Table:
    """Rows of a text and these labels."""
    rows = [Row(number, ("text", cell)) for number, cell in enumerate(cells, start=1)]
    return Table("t.csv", rows, ("t", "c"), list(bad), "t.csv")


def of_texts(*cells: Any) -> Table:
    return Table("t.csv", [Row(number, (cell,)) for number, cell in enumerate(cells, start=1)], ("t",), [], "t.csv")


@pytest.mark.parametrize(
    ("problem_type", "cells", "labels"),
    [
        (SINGLE_LABEL, ["a|b", 3, True, "007", 1.0, 1.5], ["a|b", "3", "true", "007", "1", "1.5"]),
        (
            MULTI_LABEL,
            ["a|b", "c", "d | e", ["f", 1], 3, "['g', 'h']", '["i"]', "", None, [], "[]", "a|a"],
            [("a", "b"), ("c",), ("d", "e"), ("f", "1"), ("3",), ("g", "h"), ("i",), (), (), (), (), ("a",)],
        ),
        (MULTI_LABEL, [1.5, Decimal("2.5"), [3.5, Decimal("4.5")]], [("1.5",), ("2.5",), ("3.5", "4.5")]),
        (REGRESSION, ["1.5", 2, -0.5, [3], "1e3"], [[1.5], [2.0], [-0.5], [3.0], [1000.0]]),
        (REGRESSION, ["1|2", [3, 4.5]], [[1.0, 2.0], [3.0, 4.5]]),
        (REGRESSION, ["[1.5, 2]", [3, Decimal("4.5")]], [[1.5, 2.0], [3.0, 4.5]]),
        (SINGLE_LABEL, [Decimal("1.50"), Decimal("2.00"), dt.timedelta(2)], ["1.50", "2", "2 days"]),
    ],
)
def test_labels_are_of_the_problem(problem_type: str, cells: list[Any], labels: list[Any]) -> None:
    examples = examples_of(table(*cells), problem_type, False)
    assert examples.labels == labels
    assert examples.numbers == list(range(1, len(cells) + 1))


@pytest.mark.parametrize(
    ("problem_type", "cell", "message"),
    [
        (SINGLE_LABEL, None, "no label"),
        (SINGLE_LABEL, float("nan"), "no label"),
        (SINGLE_LABEL, " \t", "no label"),
        (SINGLE_LABEL, ["a", "b"], "['a', 'b'] is a list; .* (--multi-label)"),
        (SINGLE_LABEL, "['a', 'b']", "['a', 'b'] is a list; .* (--multi-label)"),
        (SINGLE_LABEL, "['a' 'b']", "is a list that was written as text without commas"),
        (SINGLE_LABEL, [0, 1], "[0, 1] is a row of zeros and ones"),
        (SINGLE_LABEL, {"a": 1}, "{'a': 1} is a dict, not a label"),
        (SINGLE_LABEL, b"a", "b'a' is bytes"),
        (SINGLE_LABEL, "a\0", "the label holds a NUL byte"),
        (MULTI_LABEL, ["a", None], "no label"),
        (MULTI_LABEL, "a||b", "no label"),
        (MULTI_LABEL, [1, 1, 0], "[1, 1, 0] is a row of zeros and ones"),
        (MULTI_LABEL, "1|1|0", "['1', '1', '0'] is a row of zeros and ones"),
        (MULTI_LABEL, "[1 1 0]", "is a list that was written as text without commas"),
        (MULTI_LABEL, "['a' 'b']", "is a list that was written as text without commas"),
        (MULTI_LABEL, {"a": 1}, "{'a': 1} is a dict, not a label"),
        (REGRESSION, "much", "'much' is no number"),
        (REGRESSION, "", "no number; leave out what has none"),
        (REGRESSION, "nan", "'nan' is no number"),
        (REGRESSION, None, "no number; leave out what has none"),
        (REGRESSION, True, "True is of type bool; a regression takes numbers"),
        (REGRESSION, [], "an empty list has no number"),
        (REGRESSION, "3,5", "'3,5' has a comma; write decimals behind a point"),
        (REGRESSION, "[1. 2.]", "is a list that was written as text without commas"),
        (REGRESSION, "True", "True is of type bool; a regression takes numbers"),
        (REGRESSION, 1e39, "1e+39 is no finite number"),
        (REGRESSION, "#DIV/0!", "'#DIV/0!' is the error of a spreadsheet; mend or empty the cell there"),
        (REGRESSION, dt.timedelta(1), "is of type timedelta; a regression takes numbers"),
        (SINGLE_LABEL, "#N/A", "'#N/A' is the error of a spreadsheet"),
        (SINGLE_LABEL, 2.0**53, "is too large to be kept exactly as a float"),
        (SINGLE_LABEL, "9007199254740993.0", "is too large to be kept exactly as a float"),
        (REGRESSION, 10**400, "is no finite number"),
        (REGRESSION, "1|2", "2 numbers, where the first row has 1; give each row as many"),
    ],
)
def test_a_wrong_label_is_told_with_its_row(problem_type: str, cell: Any, message: str) -> None:
    good = "1" if problem_type == REGRESSION else "a"
    with pytest.raises(InvalidInputError) as caught:
        examples_of(table(good, cell), problem_type, False)
    error = str(caught.value)
    assert error.startswith("t.csv: row 2, column 'c': ")
    assert all(part in error for part in message.split(" .* "))


def test_rows_that_are_all_of_zeros_and_ones_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"t.csv: column 'c': all rows hold only zeros and ones .*\[0, 1\]"):
        examples_of(table([0, 1], [1, 0], []), MULTI_LABEL, False)
    assert examples_of(table([0, 1], [2]), MULTI_LABEL, False).labels == [("0", "1"), ("2",)]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "no text"),
        (float("nan"), "no text"),
        ("", "no text"),
        (" \n", "no text"),
        ([12], "[12] is no text but of type list"),
        ("#REF!", "'#REF!' is the error of a spreadsheet"),
        ("\ud800", "the text holds half a surrogate pair"),
        ("\udc80", "the text holds bytes that are no UTF-8"),
        ("a\0b", "the text holds a NUL byte"),
    ],
)
def test_a_wrong_text_is_told_with_its_row(cell: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        inputs_of(of_texts("good", cell), False)
    assert str(caught.value).startswith(f"t.csv: row 2, column 't': {message}")


def test_all_wrong_rows_are_counted() -> None:
    with pytest.raises(InvalidInputError, match=r"row 2, column 't': no text \(2 more rows are wrong\); mend or"):
        inputs_of(of_texts("good", "", "good", None, [7]), False)


def test_wrong_rows_are_skipped_and_listed(capsys: pytest.CaptureFixture) -> None:
    bad = (Row(3, line=9, problem="has 3 cells and the header 2"),)
    found = table("a", None, "b", "", bad=bad)
    found.rows[2] = found.rows[2]._replace(number=4)
    found.rows[3] = found.rows[3]._replace(number=5)
    examples = examples_of(found, SINGLE_LABEL, True)
    assert (examples.labels, examples.numbers) == (["a", "b"], [1, 4])
    assert capsys.readouterr().err == (
        "t.csv: skipped 3 of 5 rows: row 2, column 'c': no label; row 3 (line 9) has 3 cells and the header 2; row 5, "
        "column 'c': no label.\n"
    )
    inputs_of(of_texts("good", *[None] * 9), True)
    assert capsys.readouterr().err.endswith("; and 4 more.\n")
    with pytest.raises(InvalidInputError, match=r"skipped 2 of 2 rows: .* No row is left"):
        inputs_of(of_texts("", None), True)


def test_rows_of_several_files_are_numbered_on() -> None:
    rows = [Row(1, ("a",), file="one"), Row(2, ("b",), file="one"), Row(1, ("c",), file="two")]
    assert inputs_of(Table("folder", rows, ("t",), [], "folder"), False).numbers == [1, 2, 3]


@pytest.mark.parametrize(
    ("problem_type", "cells", "said"),
    [
        (SINGLE_LABEL, ["card", "refund", "007"], ""),
        (SINGLE_LABEL, [1, 2.0, True, None][:3], ""),
        (
            SINGLE_LABEL,
            ["card ", "card", " card", "card "],
            "t.csv: labels are spelled in one way, 'card ' as 'card', ' card' as 'card' (3 labels have white space at "
            "the ends).\n",
        ),
        (SINGLE_LABEL, ["True"], "t.csv: labels are spelled in one way, 'True' as 'true'.\n"),
        (MULTI_LABEL, ["a | b", "True|c"], "t.csv: labels are spelled in one way, 'True' as 'true'.\n"),
        (MULTI_LABEL, ["a", ""], "t.csv: 1 text has no label, which tells against every label.\n"),
        (SINGLE_LABEL, [0.5, 1, "0.5"], AMOUNTS),
        (SINGLE_LABEL, ["1.1", "2"], AMOUNTS),
    ],
)  # fmt: skip
def test_what_was_made_of_labels_is_said_once(
    problem_type: str, cells: list[Any], said: str, capsys: pytest.CaptureFixture
) -> None:
    examples_of(table(*cells), problem_type, False)
    assert capsys.readouterr().err == said


def test_texts_are_given_in_order() -> None:
    assert inputs_of(of_texts("b", " a "), False).inputs == ["b", " a "]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ([1.0, 0.0, 0.0], "is a row of zeros and ones"),
        ([1, 0, 0], "is a row of zeros and ones"),
        ("1|0|0", "is a row of zeros and ones"),
        (["card", ["refund"]], r"holds a list, \['refund'\], where a name belongs"),
        ("['card' 'refund']", "a list that was written as text"),
    ],
)
def test_a_cell_of_several_labels_is_refused_among_others_that_are_good(cell: Any, says: str) -> None:
    found = table("card", cell, "refund|card")
    with pytest.raises(InvalidInputError, match=f"row 2, column 'c': .*{says}"):
        examples_of(found, MULTI_LABEL, False)
    examples = examples_of(found, MULTI_LABEL, True)
    assert examples.labels == [("card",), ("refund", "card")] and examples.numbers == [1, 3]
    assert found.rows[1].cells[1] is cell, "the table stays as it is"
