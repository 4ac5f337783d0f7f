import io
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from mann_hf.cli.options import Format, TableOptions
from mann_hf.cli.tables import excel, read_table
from mann_hf.errors import InvalidInputError, MissingExtraError

HEADER = ["text", "label"]


def write(path: Path, *rows: Any, **sheets: Any) -> str:
    """A workbook with one sheet of these rows, or several by name."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, page in (sheets or {"one": rows}).items():
        sheet = book.create_sheet(name)
        for row in page:
            sheet.append(row)
    book.save(path)
    return str(path)


def read(path: str, labels: bool = True, **options: Any) -> list[tuple[Any, ...]]:
    table = read_table(path, TableOptions(**options), "train", labels=labels)
    assert not table.bad
    return [row.cells for row in table.rows]


def refusal(path: str, **options: Any) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read_table(path, TableOptions(**options), "train")
    return str(caught.value)


def test_cells_are_of_their_types(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", [None], HEADER, ["a", 1], [None, None], ["b", True], ["c", None])
    assert read(path) == [("a", 1), ("b", True), ("c", None)]
    table = read_table(path, TableOptions(), "train")
    assert [row.place for row in table.rows] == [f"row {number} of the sheet" for number in (3, 5, 6)]


def test_a_header_may_be_missing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert read(write(tmp_path / "t.xlsx", ["a", "b"]), no_header=True) == [("a", "b")]
    assert "has no header, reads texts from column 1 and labels from column 2" in capsys.readouterr().err
    path = write(tmp_path / "u.xlsx", [1, "a", "b"])
    assert "has 3 columns and no header" in refusal(path, no_header=True)
    assert read(path, no_header=True, text_column="2", label_column="3") == [("a", "b")]
    assert "'text', 'label', looks like a header" in refusal(write(tmp_path / "v.xlsx", HEADER), no_header=True)


def test_a_sheet_is_named_as_a_split(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write(tmp_path / "t.xlsx", one=[HEADER, ["a", "b"]], two=[HEADER, ["c", "d"]])
    assert read(path) == [("a", "b")]
    assert "reads the sheet 'one' and not 'two' (--split names another)" in capsys.readouterr().err
    assert read(path, split="two") == [("c", "d")]
    assert capsys.readouterr().err == ""
    assert "has no sheet 'three'; it has 'one', 'two'" in refusal(path, split="three")


def test_a_table_is_found_below_titles_and_behind_cover_sheets(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    page = [["Export"], [None], ["of", 2020], ["Nr", "Text", "Intent"], [1, "a", "b"], [2, "text", "label"]]
    path = write(tmp_path / "t.xlsx", Cover=[["Our messages"], ["by", "us"]], Data=page)
    assert read(path) == [("a", "b"), ("text", "label")]
    said = capsys.readouterr().err
    assert "reads the sheet 'Data' and not 'Cover'" in said
    assert "its header is in row 4, what is above it is left out" in said
    assert read(path, labels=False) == [("a",), ("text",)]


def test_a_row_of_names_below_another_header_is_no_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", ["subject", "kind"], ["message", "request"])
    assert "has no column 'text' nor another usual name; it has 'subject', 'kind'" in refusal(path)
    path = write(tmp_path / "u.xlsx", ["subject"], ["message"], ["text"])
    with pytest.raises(InvalidInputError, match="it has 'subject'"):
        read(path, labels=False)


def test_sheets_without_a_table_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", Cover=[["Our messages"]], Data=[["subject", "kind"], ["a", "b"]])
    assert "it has 'Our messages': choose with --text-column or, for another sheet than 'Cover', with --split" in (
        refusal(path)
    )
    assert read(path, text_column="subject", label_column="kind") == [("a", "b")]
    assert "the sheet 'Cover' is empty; --split names another" in refusal(write(tmp_path / "u.xlsx", Cover=[], Data=[]))


def test_a_hidden_sheet_comes_last(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", old=[HEADER, ["a", "b"]], new=[HEADER, ["c", "d"]])
    book = openpyxl.load_workbook(path)
    book["old"].sheet_state = "hidden"
    book.save(path)
    assert read(path) == [("c", "d")]


class TestFormulas:
    def test_one_that_was_never_calculated_is_told_with_its_cell(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.xlsx", HEADER, ["a", "=B3"], ["b", "card"], ["c", None], [None], ["=A2", "=B2"])
        table = read_table(path, TableOptions(), "train")
        assert [row.cells for row in table.rows] == [("b", "card"), ("c", None)]
        assert [(row.line, row.problem[:50]) for row in table.bad] == [
            (2, "cell B2 holds a formula that was never calculated;"),
            (6, "cell A6 holds a formula that was never calculated;"),
        ]
        assert "open the file in Excel or LibreOffice and save it" in table.bad[0].problem

    def test_one_beside_the_columns_is_left_alone(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.xlsx", [*HEADER, "length"], ["a", "b", "=LEN(A2)"])
        assert read(path) == [("a", "b")]
        table = read_table(path, TableOptions(), "test", labels=False, others=True)
        assert ([row.cells for row in table.rows], table.bad) == ([("a", "b", None)], [])

    def test_a_header_of_formulas_is_told(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.xlsx", ["=A2", "=B2"], ["=A3", "=B3"])
        assert "the sheet 'one' has formulas that were never calculated; open the file" in refusal(path)

    def test_the_value_of_one_that_was_calculated_is_read(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.xlsx", HEADER, ["a", "=B9"], ["b", '=""'])
        values = {"B2": "card", "B3": ""}

        def calculated(xml: str) -> str:  # as Excel saves it
            for cell, value in values.items():
                empty = rf'<c r="{cell}"([^>]*)><f>(.*?)</f><v ?/?>(</v>)?</c>'
                xml, found = re.subn(empty, rf'<c r="{cell}" t="str"><f>\2</f><v>{value}</v></c>', xml)
                assert found == 1
            return xml

        assert read(edited(path, calculated)) == [("a", "card"), ("b", None)]


def edited(path: str, edit: Callable[[str], str]) -> str:
    """A workbook with its first sheet's XML changed."""
    content = io.BytesIO()
    with zipfile.ZipFile(path) as packed, zipfile.ZipFile(content, "w") as out:
        for each in packed.infolist():
            text = packed.read(each).decode()
            out.writestr(each, edit(text) if each.filename.endswith("sheet1.xml") else text)
    Path(path).write_bytes(content.getvalue())
    return path


def test_wrong_dimensions_lose_no_row(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", HEADER, ["a", "b"], ["c", "d"])
    assert read(edited(path, lambda xml: xml.replace('ref="A1:B3"', 'ref="A1"'))) == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("part", "by"), [("</sheetData>", ""), ("<row", '<row r="x"'), ("<sheetView ", "<sheetView odd='1' "), ("A2", "??")]
)
def test_a_damaged_sheet_is_told(tmp_path: Path, part: str, by: str) -> None:
    path = write(tmp_path / "t.xlsx", HEADER, ["a", "b"])
    assert "t.xlsx' cannot be read as an Excel file (.xlsx): " in refusal(edited(path, lambda x: x.replace(part, by)))


@pytest.mark.parametrize(("place", "by"), [(6, 99), (46, 0xF3)])  # the version, and a letter of a name
def test_a_damaged_directory_is_told(tmp_path: Path, place: int, by: int) -> None:
    path = Path(write(tmp_path / "t.xlsx", HEADER, ["a", "b"]))
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + place] = by
    data[entry + 9] |= 8  # names are UTF-8
    path.write_bytes(data)
    assert "t.xlsx' cannot be read as an Excel file (.xlsx): " in refusal(str(path))
    (tmp_path / "t.csv.zip").write_bytes(data)
    assert "t.csv.zip' is not a complete zip file: " in refusal(str(tmp_path / "t.csv.zip"))


def test_a_row_far_beyond_the_last_is_not_waited_for(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", HEADER, ["a", "b"], ["c", "d"])
    assert read(edited(path, lambda xml: xml.replace('r="3"', 'r="99999999999"'))) == [("a", "b")]


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.xlsx", HEADER, ["a", "b"])
    monkeypatch.setattr(excel, "LARGEST", 100)
    assert "has more than 100 bytes once it is unpacked" in refusal(path)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.xlsx", HEADER, ["a", "b"])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"an Excel file needs the package 'openpyxl'.*mann_hf\[excel\]"):
        read(path)


def test_a_file_with_a_password_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500))
    assert "has a password, or is an old Excel file (.xls); open it in" in refusal(str(tmp_path / "t.xlsx"))


def test_what_excel_lays_beside_an_open_file_is_no_table(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", HEADER, ["a", "b"])
    lock = tmp_path / "~$t.xlsx"
    lock.write_bytes(b"\x05Nadia" + bytes(159))
    assert read(str(tmp_path)) == read(path)
    assert "only says that Office has the file 't.xlsx' open; close that file" in refusal(str(lock))


@pytest.mark.parametrize("more", [{}, {"split": "one"}])
@pytest.mark.parametrize("name", ["u.csv", "u.json", "u.parquet"])
def test_a_workbook_of_another_name_is_told(tmp_path: Path, name: str, more: dict[str, Any]) -> None:
    path = str(Path(write(tmp_path / "t.xlsx", HEADER, ["a", "b"])).rename(tmp_path / name))
    assert "is an Excel file by its content, whatever its name: read it with --format xlsx" in refusal(path, **more)
    assert read(path, format=Format.XLSX, **more) == [("a", "b")]


class TestMergedCells:
    @pytest.mark.parametrize(
        ("merged", "row"),
        [
            ("B2:B4", "row 3 of the sheet, the cells B2:B4 are merged"),
            ("A3:A4", "row 4 of the sheet, the cells A3:A4 are merged"),
        ],
    )
    def test_they_are_told(self, tmp_path: Path, merged: str, row: str) -> None:
        path = write(tmp_path / "t.xlsx", HEADER, ["a", "x"], ["b", "x"], ["c", "x"], ["d", "y"])
        book = openpyxl.load_workbook(path)
        book["one"].merge_cells(merged)
        book.save(path)
        [bad, *_] = read_table(path, TableOptions(), "train").bad
        assert f"{bad.place}, {bad.problem}" == f"{row}, and only the first has a value; unmerge them and fill each"

    def test_those_beside_the_columns_are_left_alone(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.xlsx", [*HEADER, "note"], ["a", "x", "n"], ["b", "x"], ["c", None])
        book = openpyxl.load_workbook(path)
        book["one"].merge_cells("C2:C4")
        book.save(path)
        assert read(path) == [("a", "x"), ("b", "x"), ("c", None)]
