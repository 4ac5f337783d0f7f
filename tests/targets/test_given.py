from decimal import Decimal
from fractions import Fraction
from typing import Any

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from mann_hf.controllers.text import check_texts
from mann_hf.errors import InvalidInputError, InvalidTypeError
from mann_hf.targets.given import given_labels

ONE, SEVERAL, NUMBERS = "single_label_classification", "multi_label_classification", "regression"


@pytest.mark.parametrize("several", [False, True])
def test_columns_of_class_labels_have_names(several: bool) -> None:
    kind = datasets.ClassLabel(names=["card", "pin"])
    feature = datasets.Sequence(kind) if several else kind
    rows = datasets.Dataset.from_dict(
        {"label": [[1, 0], [], [1]] if several else [1, 0, 1]}, datasets.Features({"label": feature})
    )
    expected = [("pin", "card"), (), ("pin",)] if several else ["pin", "card", "pin"]
    assert given_labels(rows["label"], 3, 0, SEVERAL if several else ONE, ()) == expected


def test_what_has_no_order_is_refused() -> None:
    for unordered in ({"a", "b"}, frozenset("ab")):
        with pytest.raises(InvalidTypeError, match="no order"):
            given_labels(unordered, 2, 0, ONE, ())
        with pytest.raises(InvalidTypeError, match="no order"):
            check_texts(unordered)
    assert given_labels([{"b", "a"}], 1, 0, SEVERAL, ()) == [("a", "b")]


def test_arrow_is_taken() -> None:
    column = pa.chunked_array([["a"], ["b"]])
    for texts in (column, column.chunk(0), list(column)):
        assert check_texts(texts) == texts_of(texts) == given_labels(texts, len(texts), 0, ONE, ())
    assert given_labels(pa.array([["a"], []]), 2, 0, SEVERAL, ()) == [("a",), ()]
    assert given_labels(pa.scalar("a"), 1, 0, ONE, ()) == ["a"]


def texts_of(column: Any) -> list[str]:
    return [each.as_py() for each in column]


def test_a_nul_is_refused_in_texts() -> None:
    with pytest.raises(InvalidInputError, match="text 1 .* NUL"):
        check_texts(["a", "b\0"])


def test_numbers_of_every_type_are_taken_or_named() -> None:
    assert given_labels([Decimal("1.5"), Fraction(1, 2), 3], 3, 0, NUMBERS, ()) == [(1.5,), (0.5,), (3.0,)]
    label: Any
    for label, says in [("1", "of type str"), (True, "of type bool"), (1e39, r"is 1e\+39.*up to 3\.4e\+38")]:
        with pytest.raises(InvalidTypeError, match=f"label 1 .*{says}"):
            given_labels([1, label], 2, 0, NUMBERS, ())
    for label in (10**4500, Decimal("sNaN"), float("nan"), []):
        with pytest.raises(InvalidTypeError, match="finite"):
            given_labels([1, label], 2, 0, NUMBERS, ())
