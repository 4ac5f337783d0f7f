import ast
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mann_hf
from mann_hf.errors import InvalidInputError
from mann_hf.wording import as_count, counted, did_you_mean, holds_words, listed, near, shown, whole_number


def test_counted() -> None:
    assert [counted(n, "text") for n in (0, 1, 2000)] == ["0 texts", "1 text", "2,000 texts"]
    assert counted(2, "entry", "entries") == "2 entries"


def test_words_stand_in_a_text_where_words_begin_and_end() -> None:
    for text in ("lost card", "a lost card.", "(lost card)", "blost card, lost card"):
        assert holds_words(text, "lost card")
    for text in ("lost cards", "blost card", "lost_card", "lost card_", ""):
        assert not holds_words(text, "lost card")
    assert holds_words("the lost cards", "lost card", whole=False)
    assert not holds_words("the blost card", "lost card", whole=False)


def test_the_first_few_of_many_names() -> None:
    assert listed([]) == "none"
    assert listed(["a", "b"]) == "a, b"
    assert listed(iter(["a", "b", "c"]), most=2) == "a, b and 1 more"


def test_what_was_probably_meant_is_a_question() -> None:
    assert did_you_mean([]) == ""
    assert did_you_mean(["a.csv", "b.csv"]) == "did you mean 'a.csv' or 'b.csv'?"


def test_long_values_are_cut() -> None:
    assert shown("a" * 78) == repr("a" * 78)
    assert len(shown("a" * 79)) == 80 and shown("a" * 79).endswith("a ...")
    assert shown([1] * 100, 10) == "[1, 1, ..."
    assert shown(10**5000) == "a number of thousands of digits (int)"


LABELS = [f"intent_{number}" for number in range(1500)]
LABELS += ["lost_card", "Refund", "refund_status", "refused", "card arrival", "change my PIN", "Straße", "x" * 100_000]


@pytest.mark.parametrize(
    "name, likeliest",
    [
        ("refund", ["Refund", "refused", "refund_status"]),
        ("refnud", ["Refund", "refused"]),
        (" REFUND\n", ["Refund"]),
        ("Lost-Card", ["lost_card"]),
        ("card_arival", ["card arrival"]),
        ("pin", ["change my PIN"]),
        ("change my", ["change my PIN"]),
        ("STRASSE", ["Straße"]),
        ("intent_1234", ["intent_1234"]),
        ("pizza", []),
        ("", []),
        (" ", []),
        ("x" * 1_000_000, ["x" * 100_000]),
        ("(", []),
    ],
    ids=lambda value: str(value)[:20],
)
def test_names_that_were_meant(name: str, likeliest: list[str]) -> None:
    found = near(name, LABELS)
    assert found[: len(likeliest)] == likeliest and bool(found) == bool(likeliest) and len(found) <= 3


@pytest.mark.parametrize("told, count", [(5, 5), ("5", 5), ("5-10", (5, 10)), (" 5 - 10 ", (5, 10)), ((1, 2), (1, 2))])
def test_numbers_and_ranges(told: object, count: object) -> None:
    assert as_count("n_way", told) == count


@pytest.mark.parametrize("told", ["", "many", "5-", "-5", "5-6-7", "1.5"])
def test_what_is_neither(told: str) -> None:
    with pytest.raises(InvalidInputError, match="n_way is .*give a number, or a range such as 5-10"):
        as_count("n_way", told)


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2), torch.tensor(2), np.array(2)], ids=repr)
def test_whole_numbers_of_every_library(value: Any) -> None:
    number = whole_number(value)
    assert number == 2 and type(number) is int


@pytest.mark.parametrize(
    "value",
    [None, True, np.True_, torch.tensor(True), 2.0, torch.tensor(2.0), "2", Decimal(2), [2], np.array([2])],
    ids=repr,
)
def test_what_is_no_whole_number(value: Any) -> None:
    assert whole_number(value) is None


def trees(*parts: str) -> Iterator[tuple[str, ast.AST]]:
    """Every part of the code of the package, or of some of its folders, with the name of its file."""
    for part in parts or ("",):
        for file in sorted((Path(mann_hf.__file__).parent / part).rglob("*.py")):
            yield from ((file.name, node) for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def test_what_an_input_is_called_has_no_default() -> None:
    """With one, a forgotten argument would have people with images read of texts."""
    found = []
    for file, node in trees():
        if isinstance(node, ast.FunctionDef):
            given, named = node.args.defaults, [*node.args.posonlyargs, *node.args.args]
            defaults: dict[str, Any] = {
                one.arg: default for one, default in zip(named[len(named) - len(given) :], given, strict=True)
            }
            defaults |= {one.arg: each for one, each in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)}
            if (noun := defaults.get("noun")) is not None and ast.unparse(noun) != "None":
                found.append(f"{file}: {node.name}")
    assert not found


def test_parts_that_take_any_input_do_not_call_it_a_text() -> None:
    """Their errors and warnings; that something is `given as text` is said of spelling."""
    found = []
    for file, node in trees("memory", "targets", "persistent", "episodes", "training"):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and ast.unparse(node.func) == "logger.warning"):
            parts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
            words = " ".join(each for each in parts if isinstance(each, str))
            named = file == "refusals.py" and re.search(
                r"\btexts (?:and|or)\b.* came", words
            )  # arguments of `remember`
            if not named and re.search(r"(?<!as )(?<!as a )\btexts?\b", words):
                found.append(f"{file}: {words}")
    assert found == []


STRUCK_OUT = r"\b(told|minimised|minimized)\b"
"""Words in whose place the thing is named: a config, metrics or a record; a loss function."""


def test_words_that_name_nothing_stay_out_of_docstrings() -> None:
    found = []
    for file, node in trees():
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found += [f"{file}:{node.lineno}: {word}" for word in re.findall(STRUCK_OUT, node.value.value)]
    assert not found


def test_docstrings_of_constants_name_a_thing() -> None:
    """`Of a picture` leaves open what of it."""
    found = []
    for file, node in trees():
        if isinstance(node, ast.Module):
            for constant, below in pairwise(node.body):
                is_constant = isinstance(constant, ast.Assign | ast.AnnAssign) and isinstance(below, ast.Expr)
                if is_constant and re.match(r"['\"]+(Of|Those) ", ast.unparse(below)):
                    found.append(f"{file}: {ast.unparse(constant)[:40]}")
    assert not found


def test_words_of_the_glossary_are_said_once() -> None:
    table = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text("utf-8").split("## Glossary")[1].split("\n## ")[0]
    words = [
        word.strip() for row in table.splitlines() if row.startswith("| ") for word in row.split("|")[1].split(",")
    ]
    assert len(words) == len({*words}) > 30
