import datetime as dt
import enum
import gc
import inspect
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mann_hf import targets
from mann_hf.errors import InvalidInputError, InvalidTypeError, MannError
from mann_hf.targets import (
    Spellings,
    check_not_multi_hot,
    is_missing,
    known_as,
    same_label,
    spell_label,
    spell_labels,
)
from mann_hf.targets import (
    given as given_module,
)
from mann_hf.targets.labels import plain
from mann_hf.targets.schema import OneName

given_labels = partial(given_module.given_labels, noun="text")


class Kind(str, enum.Enum):
    CARD = "card"


FRACTIONS = ["1.500000000000000000e+00", "1.699999999999999956e+00", "1.5e+00", "1.25e+01", "-1.5e+00", "1.0001e+03"]
"""As numpy's savetxt writes them."""
BEYOND_FLOATS = ["1e+309", "-1e+400", "-1e+5000", "1e+99999999999999999999"]


@pytest.mark.parametrize(
    ("spelled", "written"),
    [
        ("card", ["card", " card", "card ", "\tcard\r\n", "\ufeffcard", "card\u200b", "\u3000card\u00a0", Kind.CARD]),
        ("card", [np.str_("card "), "\u200e card \u200d", "ca\u00adrd", " \u200d card"]),
        ("lost card", ["lost  card", "lost\ncard", "lost\u00a0card", "lost \u200b card", "lost\u2003card"]),
        ("caf\u00e9", ["caf\u00e9", "cafe\u0301"]),
        ("true", [True, np.True_, "True", "TRUE", "true", " True ", torch.tensor(True), pd.Series([True])[0]]),
        ("false", [False, np.False_, "False", "FALSE", "false"]),
        ("1", [1, 1.0, np.int64(1), np.int8(1), np.float32(1), Decimal("1.0"), "1", "1.0", "1.00", " 1.0"]),
        ("0", [0, 0.0, -0.0, "0.0", "-0.0"]),
        ("-3", [-3, -3.0, "-3.0", "-3"]),
        ("10000000000000000", [10**16, "10000000000000000"]),
        ("1000000000000000", [10**15, 1e15, "1e+15", "1000000000000000.0"]),
        ("1", ["1e+00", "1.000000000000000000e+00", " +1.0e+00"]),
        ("0", ["0e+00", "0.000000000000000000e+00", "-0.0e+00"]),
        ("120", ["1.2e+02", "1.20000e+02"]),
        *((text, [text, f" {text}"]) for text in FRACTIONS),
        ("2 days", ["2 days", "2 days 00:00:00", "P2DT0H0M0S", dt.timedelta(2), pd.Timedelta(days=2)]),
        ("2 days", [np.timedelta64(2, "D"), np.timedelta64(2 * 86_400 * 10**9, "ns")]),
        ("-1 days +02:00:00.5", ["-1 days +02:00:00.500000", "P-1DT2H0M0.500S", dt.timedelta(-1, 7200.5)]),
        ("P1D", ["P1D"]),
        *((text, [text]) for text in BEYOND_FLOATS),
        *((text, [text]) for text in ("0 days 00:00:00.123456788", "0 days 00:00:00.123456789", "P0DT0H0M0.1234567S")),
        ("1 days 00:00:00.123456", ["1 days 00:00:00.123456000"]),
        ("99999999 days 00:00:61", ["99999999 days 00:00:61"]),
        ("007", ["007"]),
        ("001.0", ["001.0"]),
        ("1.5", ["1.5"]),
        ("1.10", ["1.10"]),
        ("1e5", ["1e5"]),
        ("NA", ["NA"]),
        ("None", ["None"]),
        ("nan", ["nan"]),
        ("tRUE", ["tRUE"]),
        ("[other]", ["[other]"]),
        ("(a, b)", ["(a, b)"]),
        (
            "2020-01-31",
            [
                *("2020-01-31", " 2020-01-31", "2020-01-31 00:00:00", "2020-01-31T00:00:00.000", "2020-01-31T00:00"),
                *(dt.date(2020, 1, 31), dt.datetime(2020, 1, 31), pd.Timestamp("2020-01-31")),
                *(np.datetime64("2020-01-31"), np.datetime64("2020-01-31", "ns"), np.array("2020-01-31", "M8[ns]")),
            ],
        ),
        (
            "2020-01-31 10:00:00.5+00:00",
            ["2020-01-31T10:00:00.500Z", dt.datetime(2020, 1, 31, 10, 0, 0, 500_000, dt.timezone.utc)],
        ),
        ("10:00:00", [dt.time(10), "10:00:00"]),
        ("31.1.2020", ["31.1.2020"]),
        ("\U0001f468\u200d\U0001f469", ["\U0001f468\u200d\U0001f469"]),
    ],
)  # fmt: skip
def test_what_is_one_label_has_one_spelling(spelled: str, written: list[Any]) -> None:
    assert {spell_label(label) for label in written} == {spelled}
    assert {type(spell_label(label)) for label in written} == {str}


@pytest.mark.parametrize(
    "missing",
    [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("nan"), "", "\ufeff\n"],
)  # fmt: skip
def test_what_is_missing_is_told_as_that(missing: Any) -> None:
    assert is_missing(missing)
    with pytest.raises(InvalidInputError, match="no label; leave out what has none"):
        spell_label(missing)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (1.5, "1.5 is neither a name nor a whole number.*regression"),
        (np.float32(0.5), "0.5 is neither a name nor a whole number"),
        (float("inf"), "inf is neither a name nor a whole number"),
        (Decimal("1.5"), "1.5 is neither a name nor a whole number"),
        (2.0**53, "is too large to be kept exactly as a float"),
        (1e16, "is too large to be kept exactly as a float"),
        ("1e+16", "is too large to be kept exactly as a float"),
        ("1e+16\u200b", "is too large to be kept exactly as a float"),
        ("1e+308", "is too large to be kept exactly as a float"),
        ("-9007199254740993.0", "is too large to be kept exactly as a float"),
        ([1, 1, 0], "is a row of zeros and ones .one-hot or multi-hot."),
        (np.array([0.0, 1.0]), "is a row of zeros and ones"),
        (torch.tensor([False, True]), "is a row of zeros and ones"),
        (["card", "refund"], "is a list; .*problem_type='multi_label_classification'"),
        (["card"], "is a list; for several labels"),
        ("['card', 'refund']", "is a list; for several labels"),
        ('["card"]', "is a list; for several labels"),
        ("['card' 'refund']", "is a list that was written as text without commas"),
        ("['card'\n 'refund']", "is a list that was written as text without commas"),
        ("[1 0 0]", "is a list that was written as text without commas"),
        ("[1, 0, 0]", "is a row of zeros and ones"),
        ("[card, refund]", "is a list that was written as text without"),
        ("('card', 'refund')", "is a list; for several labels"),
        ("{'card', 'refund'}", "is a list; for several labels"),
        ("[]", "is a list; for several labels"),
        ("{'a': 1}", "is a dict, not a label"),
        ({"a": 1}, "is a dict, not a label"),
        (b"card", "is bytes, not a label"),
        ("b'card'", "is bytes, not a label"),
        (object, "is of type type"),
        ("\ud800", "half a surrogate pair"),
    ],
)
def test_what_is_no_label_is_refused_by_name(label: Any, says: str) -> None:
    with pytest.raises((InvalidInputError, InvalidTypeError), match=says) as caught:
        spell_label(label)
    assert "str(label)" not in str(caught.value)


@given(st.text())
def test_a_spelling_stays_as_it_is(text: str) -> None:
    assert same_label(same_label(text)) == same_label(text)
    try:
        spelled = spell_label(text)
    except MannError:
        return
    assert spell_label(spelled) == spelled == same_label(text)


@pytest.mark.parametrize(
    ("labels", "spelled"),
    [
        (["card ", "card", "refund"], ("card", "refund")),
        ({"b", "a"}, ("a", "b")),
        ((1.0, True), ("1", "true")),
        (np.array(["x", "y"]), ("x", "y")),
        ([], ()),
        ([2, 0], ("2", "0")),
    ],
)
def test_several_labels_are_spelled_each(labels: Any, spelled: tuple[str, ...]) -> None:
    assert spell_labels(labels) == spelled


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([1, 1, 0], "is a row of zeros and ones .multi-hot.; give the names"),
        ([0.0, 1.0, 1.0], "multi-hot"),
        (np.array([True, False, False]), "multi-hot"),
        (["1", "0", "1"], "multi-hot"),
        (["a", None], "no label"),
        ([0.2, 0.8], "0.2 is neither a name nor a whole number"),
        ([["a"]], r"\[\['a'\]\] holds a list, \['a'\], where a name belongs; give each input one list"),
        (["b", ("a",)], "holds a list"),
        ([[]], "holds a list"),
        ("card", "is not a list"),
        ({"a": 1}, "is not a list"),
    ],
)
def test_several_labels_that_are_none_are_refused(labels: Any, says: str) -> None:
    with pytest.raises((InvalidInputError, InvalidTypeError), match=says):
        spell_labels(labels)


def test_rows_of_zeros_and_ones_are_told_from_numbers_of_classes() -> None:
    check_not_multi_hot([[0, 1], [2]])
    check_not_multi_hot([[0], [1]])
    check_not_multi_hot([["a", "b"], ["b", "a"]])
    check_not_multi_hot([])
    rows: Any
    for rows in ([[0, 1], [1, 0]], np.eye(2), [[True, False]], [["0", "1"], ["1", "0"]]):
        with pytest.raises(InvalidInputError, match="multi-hot"):
            check_not_multi_hot(rows)


def test_a_memory_keeps_the_names_that_it_has() -> None:
    assert known_as(["card", "true", "new"], ["card ", "True"]) == {"card": "card ", "true": "True", "new": "new"}
    assert known_as(["card"], ["card ", "card", " card"]) == {"card": "card"}
    assert known_as(["card"], ["card ", " card"]) == {"card": "card "}


def test_no_label_stays_in_the_process() -> None:
    label = "Jane Doe, 12 Elm Street"
    assert given_labels([label, f" {label}"], 2, 0, OneName()) == [label, label]
    spell_label(label), same_label(label), is_missing(label), spell_labels([label])
    gc.collect()
    assert not any(isinstance(each, Spellings) for each in gc.get_objects())
    for module in (targets.labels, targets.given):
        assert not any(hasattr(each, "cache_info") for _, each in inspect.getmembers(module))
        assert label not in str([each for _, each in inspect.getmembers(module) if isinstance(each, (dict, list))])


def test_a_spelling_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []

    def spelled(text: str) -> str:
        found.append(text)
        return text.strip()

    monkeypatch.setattr(targets.labels, "same_label", spelled)
    spellings = Spellings()
    assert [spellings.of(label) for label in ["card ", "card ", "card", 1]] == ["card", "card", "card", "1"]
    assert found.count("card ") == 2  # once to see that it is there, once to spell it


def test_numbers_that_cannot_be_written_are_refused_in_words() -> None:
    for label in (10**4500, Decimal("1e5000"), Decimal("sNaN"), [10**4500], "a\0b"):
        with pytest.raises((InvalidInputError, InvalidTypeError)):
            spell_label(label)


@pytest.mark.parametrize("labels", [torch.empty(2, device="meta"), torch.eye(2).to_sparse()], ids=["meta", "sparse"])
def test_a_tensor_without_plain_values_is_refused(labels: torch.Tensor) -> None:
    with pytest.raises(InvalidTypeError, match="Tensor cannot be read as plain values .*; give a list"):
        plain(labels)


@pytest.mark.parametrize("unit", ["ns", "ps", "fs", "as", "100ns"])
@pytest.mark.parametrize("kind", [np.timedelta64, np.datetime64])
def test_times_that_would_become_one_are_refused(kind: Any, unit: str) -> None:
    for label in (kind(5, unit), np.array([kind(5, unit), kind("NaT")])):
        with pytest.raises(InvalidInputError, match=r"finer than microseconds.*give it as text"):
            spell_label(label)
    assert spell_label(kind(5 * 10**9, "ns")) == spell_label(kind(5, "s"))
    with pytest.raises(InvalidInputError, match="no label"):
        spell_label(kind("NaT", unit))


@pytest.mark.parametrize("label", [pd.Timedelta(5, "ns"), pa.scalar(5, pa.duration("ns"))])
def test_nanoseconds_of_others_are_refused_in_words(label: Any) -> None:
    with pytest.raises((InvalidInputError, InvalidTypeError), match="finer than microseconds|cannot be read as plain"):
        spell_label(label)
