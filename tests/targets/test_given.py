import datetime as dt
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import torch

from mann_hf.controllers.text import check_texts
from mann_hf.errors import InvalidInputError, InvalidTypeError
from mann_hf.targets import Numbers, OneName, SeveralNames, given, spell_numbers
from mann_hf.wording import shown

given_labels = partial(given.given_labels, noun="text")

ONE, SEVERAL, NUMBERS = OneName(), SeveralNames(), Numbers()


@pytest.mark.parametrize("several", [False, True])
def test_columns_of_class_labels_have_names(several: bool) -> None:
    kind = datasets.ClassLabel(names=["card", "pin"])
    feature = datasets.Sequence(kind) if several else kind
    rows = datasets.Dataset.from_dict(
        {"label": [[1, 0], [], [1]] if several else [1, 0, 1]}, datasets.Features({"label": feature})
    )
    expected = [("pin", "card"), (), ("pin",)] if several else ["pin", "card", "pin"]
    assert given_labels(rows["label"], 3, 0, SEVERAL if several else ONE) == expected


def test_what_has_no_order_is_refused() -> None:
    for unordered in ({"a", "b"}, frozenset("ab")):
        with pytest.raises(InvalidTypeError, match="no order"):
            given_labels(unordered, 2, 0, ONE)
        with pytest.raises(InvalidTypeError, match="no order"):
            check_texts(unordered)
    assert given_labels([{"b", "a"}], 1, 0, SEVERAL) == [("a", "b")]


def test_arrow_is_taken() -> None:
    column = pa.chunked_array([["a"], ["b"]])
    for texts in (column, column.chunk(0), list(column)):
        assert check_texts(texts) == texts_of(texts) == given_labels(texts, len(texts), 0, ONE)
    assert given_labels(pa.array([["a"], []]), 2, 0, SEVERAL) == [("a",), ()]
    assert given_labels(pa.scalar("a"), 1, 0, ONE) == ["a"]


def texts_of(column: Any) -> list[str]:
    return [each.as_py() for each in column]


@pytest.mark.parametrize("kind", ["datetime64[us, Europe/Berlin]", "timestamp[us, tz=Europe/Berlin][pyarrow]", object])
def test_moments_with_a_time_zone_are_spelled_as_those_of_python(kind: Any) -> None:
    moments = pd.Series([pd.Timestamp("2020-01-31 10:00", tz="Europe/Berlin"), None]).astype(kind)
    assert given_labels(moments[:1], 1, 0, ONE) == ["2020-01-31 10:00:00+01:00"]
    with pytest.raises(InvalidInputError, match=r"label 1 \(counted from 0\): no label"):
        given_labels(moments, 2, 0, ONE)


def test_a_nul_is_refused_in_texts() -> None:
    with pytest.raises(InvalidInputError, match="text 1 .* NUL"):
        check_texts(["a", "b\0"])


def test_a_table_is_no_column() -> None:
    with pytest.raises(InvalidTypeError, match="came as a table"):
        given_labels(pa.table({"label": ["a"]}), 1, 0, ONE)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (3, (3.0,)),
        (Decimal("1.5"), (1.5,)),
        (Fraction(1, 2), (0.5,)),
        (np.float32(0.5), (0.5,)),
        (np.int8(-2), (-2.0,)),
        (torch.tensor(2.5), (2.5,)),
        (torch.tensor([1.0, 2.0]), (1.0, 2.0)),
        (" 3.5 ", (3.5,)),
        ("+.5", (0.5,)),
        ("1e3", (1000.0,)),
        ("[1, 2.5]", (1.0, 2.5)),
        (("1", 2), (1.0, 2.0)),
    ],
    ids=repr,
)
def test_numbers_of_every_form_are_taken(label: Any, expected: tuple[float, ...]) -> None:
    assert given_labels([label], 1, 0, NUMBERS) == [expected] == [spell_numbers(label)]


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (None, "no number; leave out"),
        (float("nan"), "no number; leave out"),
        (pd.NA, "no number; leave out"),
        (pd.NaT, "no number; leave out"),
        (Decimal("sNaN"), "no number; leave out"),
        ("", "no number; leave out"),
        ([1.0, None], "no number; leave out"),
        ([], "an empty list"),
        (True, "True is of type bool"),
        (np.True_, "True is of type bool"),
        ("true", "True is of type bool"),
        ("1_000", "'1_000' is no number"),
        ("3,5", "comma; write decimals behind a point"),
        ("1.234,50", "comma; write decimals behind a point, as in 3.5, and nothing between thousands"),
        ("TRUE", "True is of type bool"),
        ("#DIV/0!", "is the error of a spreadsheet; mend or empty the cell there"),
        (dt.timedelta(1), "is of type timedelta; a regression takes numbers"),
        ("infinity", "'infinity' is no number"),
        (float("inf"), "finite"),
        ("1e39", "finite"),
        (10**4500, "finite"),
        ("[1. 2.]", "list that was written as text"),
        (1j, "of type complex"),
        ({"a": 1}, "of type dict"),
        (b"1", "of type bytes"),
    ],
    ids=shown,
)
def test_what_is_no_number_is_named_with_its_place(label: Any, says: str) -> None:
    with pytest.raises((InvalidInputError, InvalidTypeError), match=f"label 1 .counted from 0.: .*{says}"):
        given_labels([1, label], 2, 0, NUMBERS)
