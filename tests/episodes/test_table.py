from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from mann_hf.episodes import LabelledTable
from mann_hf.errors import InvalidInputError, InvalidTypeError


def data(labels: list, texts: list | None = None, feature: Any = None) -> Dataset:
    rows = {"text": [f"text {row}" for row in range(len(labels))] if texts is None else texts, "label": labels}
    features = None if feature is None else Features({"text": Value("string"), "label": feature})
    return Dataset.from_dict(rows, features=features)


def by_name(table: LabelledTable) -> dict[str, list[int]]:
    return {name: rows.tolist() for name, rows in table.rows.items()}


@pytest.mark.parametrize(
    "labels, feature, names",
    [
        (["b", "a", "b"], None, ["b", "a", "b"]),
        ([3, 10, 3], None, ["3", "10", "3"]),
        ([True, False, True], None, ["true", "false", "true"]),
        ([1.0, 2.0, 1.0], None, ["1", "2", "1"]),
        (["a ", "b", "a"], None, ["a", "b", "a"]),
        ([1, 0, 1], ClassLabel(names=["no", "yes"]), ["yes", "no", "yes"]),
        (["yes", "no", "yes"], ClassLabel(names=["no", "yes", "unused"]), ["yes", "no", "yes"]),
        ([1, 0, 1], ClassLabel(num_classes=2), ["1", "0", "1"]),
    ],
    ids=[
        "names",
        "numbers",
        "truth",
        "whole floats",
        "white space",
        "class numbers",
        "class names",
        "classes without names",
    ],
)
def test_rows_stand_under_the_names_of_their_classes(labels: list, feature: Any, names: list[str]) -> None:
    table = LabelledTable(data(labels, feature=feature))
    assert table.names == sorted(set(names))
    assert by_name(table) == {name: [row for row in range(3) if names[row] == name] for name in sorted(set(names))}
    assert [table.names[label] for label in table.labels] == names
    assert table.texts == ["text 0", "text 1", "text 2"]


def test_columns_of_other_names() -> None:
    rows = Dataset.from_dict({"utterance": ["one", "two"], "intent": ["a", "b"], "text": [1, 2]})
    table = LabelledTable(rows, "utterance", "intent")
    assert table.texts == ["one", "two"] and by_name(table) == {"a": [0], "b": [1]}


@pytest.mark.parametrize("kind", ["torch", "numpy", "pandas"])
@pytest.mark.parametrize("feature", [None, ClassLabel(names=["0", "1"])])
def test_the_format_of_a_data_set_is_no_matter(kind: str, feature: Any) -> None:
    rows = data([1, 0, 1], feature=feature)
    formatted = rows.with_format(kind)
    assert LabelledTable(formatted).fingerprint == LabelledTable(rows).fingerprint
    assert formatted.format["type"] == kind, "what was given is unchanged"


def test_a_selection_of_rows_counts_from_its_own_first() -> None:
    table = LabelledTable(data(["a", "b", "a", "c"]).select([3, 2]))
    assert by_name(table) == {"a": [1], "c": [0]} and table.texts == ["text 3", "text 2"]


def test_a_text_that_a_class_has_twice_is_distinct_once() -> None:
    table = LabelledTable(data(["a", "b", "a", "a", "b"], ["x", "x", "y", "x", "z"]))
    assert {name: rows.tolist() for name, rows in table.distinct.items()} == {"a": [0, 2], "b": [1, 4]}
    assert by_name(table) == {"a": [0, 2, 3], "b": [1, 4]}


def test_a_text_that_several_classes_have_is_shared() -> None:
    table = LabelledTable(data(["a", "b", "a", "a", "c", "c"], ["y", "x", "x", "y", "x", "z"]))
    assert table.shared == {"x": {"a", "b", "c"}}


@pytest.mark.parametrize("seed", range(5))
def test_every_row_is_in_one_class(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 6, 40).tolist()
    table = LabelledTable(data(labels))
    assert sorted(row for rows in table.rows.values() for row in rows) == list(range(40))
    assert all(
        labels[row] == int(name) and list(rows) == sorted(rows) for name, rows in table.rows.items() for row in rows
    )


class TestFingerprint:
    def test_the_same_for_the_same_rows(self) -> None:
        assert LabelledTable(data(["a", "b"])).fingerprint == LabelledTable(data(["a", "b"])).fingerprint
        numbered = data([0, 1], feature=ClassLabel(names=["a", "b"]))
        assert LabelledTable(numbered).fingerprint == LabelledTable(data(["a", "b"])).fingerprint

    @pytest.mark.parametrize(
        "labels, texts",
        [
            (["a", "c"], ["one", "two"]),
            (["a", "b"], ["one", "too"]),
            (["b", "a"], ["two", "one"]),
            (["a"], ["one"]),
            (["a", "b"], ["on", "etwo"]),
        ],
        ids=["label", "text", "order", "rows", "cut"],
    )
    def test_another_for_other_rows(self, labels: list[str], texts: list[str]) -> None:
        assert (
            LabelledTable(data(labels, texts)).fingerprint
            != LabelledTable(data(["a", "b"], ["one", "two"])).fingerprint
        )

    def test_no_text_passes_for_several(self) -> None:
        odd = data(["b"], ["one\x1fa\x1etwo"])
        assert LabelledTable(odd).fingerprint != LabelledTable(data(["a", "b"], ["one", "two"])).fingerprint


class TestErrors:
    @pytest.mark.parametrize(
        "rows, says",
        [
            (data(["a", None]), "the data set, column 'label': row 1 .counted from 0. has no label"),
            (data(["a", "  "]), "row 1 .* has no label; leave such rows out"),
            (data([0, None], feature=ClassLabel(names=["a"])), "row 1 .* has no label"),
            (data([0, -1], feature=ClassLabel(names=["a"])), "row 1 .* has no label"),
            (data(["a", "b"], ["one", ""]), "the data set, column 'text': text 1 .counted from 0. is empty"),
            (data(["a", "b"], ["one", " \n"]), "column 'text': text 1 .counted from 0. is blank"),
            (data([], []), "the data set has no rows"),
            (Dataset.from_dict({"body": ["a"], "label": [1]}), "no column 'text'.*'body'.*text_column=.*input_column="),
            (Dataset.from_dict({"text": ["a"], "kind": [1]}), "no column 'label'; it has .*label_column="),
        ],
    )  # fmt: skip
    def test_rows_that_cannot_be_used(self, rows: Dataset, says: str) -> None:
        with pytest.raises(InvalidInputError, match=says):
            LabelledTable(rows)

    @pytest.mark.parametrize(
        "rows, says",
        [
            (DatasetDict(train=data(["a"]), test=data(["a"])), "is a DatasetDict of 'train', 'test'; give one of its"),
            ([{"text": "a", "label": 1}], "the data set is of type list; give a datasets.Dataset"),
            (None, "is of type NoneType"),
            (data(["a", "b"], ["one", None]), "column 'text': text 1 .* is None, not a string"),
            (data(["a"], [7]), "column 'text': text 0 .* is 7 .of type int., not a string"),
            (
                data([0.5]),
                "column 'label': row 0 .counted from 0.: 0.5 is neither a name nor a whole number.*one class each",
            ),
            (data([["a", "b"]]), "row 0 .* is a list; .*; episodes are made of texts with one class each"),
        ],
    )
    def test_what_is_of_another_type(self, rows: Any, says: str) -> None:
        with pytest.raises(InvalidTypeError, match=says):
            LabelledTable(rows)

    def test_the_source_is_named(self) -> None:
        with pytest.raises(InvalidInputError, match="^'banking' has no rows"):
            LabelledTable(data([], []), source="'banking'")


def test_an_empty_path_is_called_what_it_stands_for() -> None:
    rows = data(["a", "b"], ["one.png", ""])
    with pytest.raises(InvalidInputError, match=r"column 'text': image 1 .counted from 0. is empty"):
        LabelledTable(rows, input_column="text", noun="image")
