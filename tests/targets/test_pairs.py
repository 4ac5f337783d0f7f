"""Texts and labels that look swapped, and columns of pandas whose rows are not the same."""

from typing import Any

import pytest

from mann_hf.errors import InvalidInputError
from mann_hf.targets.pairs import check_same_rows, why_numbers_meet_names, why_swapped

TEXTS = ["where is my new card?", "my card is not there", "please give it back", "I want my money"]
NAMES = ["card", "card", "refund", "refund"]


class TestSwapped:
    @pytest.mark.parametrize("names", [NAMES, ["card_arrival", "card_lost", "refund", "money_back"]])
    def test_names_in_place_of_texts(self, names: list[str]) -> None:
        assert why_swapped(TEXTS, names) is None
        assert "4 different labels, such as 'where is my new card?', came for" in str(why_swapped(names, TEXTS))
        several = [(text, "urgent") for text in TEXTS]
        assert why_swapped(names, several) is not None
        assert why_swapped(TEXTS, [(name, "urgent") for name in names]) is None

    @pytest.mark.parametrize(
        ("texts", "labels"),
        [
            pytest.param(NAMES[1:3], TEXTS[1:3], id="too few to tell"),
            pytest.param(NAMES, NAMES, id="texts that are their own labels"),
            pytest.param(TEXTS, TEXTS, id="long texts that are their own labels"),
            pytest.param(["dog", "cat", "cow", "hen"], ["Hund und Co", "Katze", "Kuh", "Henne (f.)"], id="words"),
            pytest.param(["hours?", "parking?", "price?", "refund?"], TEXTS, id="questions with answers as labels"),
            pytest.param(["where the card is", "money that comes back"] * 2, ["card", "refund"] * 2, id="descriptions"),
            pytest.param(["ok", "ok", "no", "no"], ["a_long_name_of_yes"] * 2 + ["a_long_name_of_no"] * 2, id="names"),
            pytest.param(
                ["ERR_404", "ERR_500", "ERR_403", "ERR_503"],
                ["the page was not found", "the server has failed", "you may not see this", "please come back later"],
                id="codes",
            ),
            pytest.param(
                ["get_user", "set_user", "drop_user", "list_all"],
                ["read operation", "write operation", "removing operation", "listing operation"],
                id="functions",
            ),
            pytest.param(["1", "2", "3", "4"], ["one", "two", "three", "four"], id="numbers"),
        ],
    )
    def test_others(self, texts: list[str], labels: list[str]) -> None:
        assert why_swapped(texts, labels) is None


@pytest.mark.parametrize(
    ("known", "labels", "meet"),
    [
        (["card", "refund"], ["0", "1"], True),
        (["0", "1"], ["card", "refund"], True),
        ([], ["0", "1"], False),
        (["card"], [], False),
        (["0", "1"], ["1", "2"], False),
        (["card"], ["refund"], False),
        (["card", "3"], ["1", "2"], False),
        (["card"], ["1", "refund"], False),
        (["card"], ["20771", "007", "-1", "1.5", "²"], False),
    ],
)
def test_numbers_of_classes_that_meet_names(known: list[str], labels: list[str], meet: bool) -> None:
    assert ("ClassLabel" in str(why_numbers_meet_names(known, labels))) is meet


class TestSameRows:
    @pytest.fixture
    def column(self) -> Any:
        return pytest.importorskip("pandas").Series

    @pytest.mark.parametrize("index", [[2, 0, 1], ["b", "c", "a"]])
    def test_another_order_is_refused(self, column: Any, index: list[Any]) -> None:
        texts, labels = column(["x", "y", "z"], index=sorted(index)), column(["1", "2", "3"], index=index)
        with pytest.raises(InvalidInputError, match=r"labels.loc\[inputs.index\], or inputs.tolist\(\)"):
            check_same_rows(texts, labels)
        assert check_same_rows(texts, labels.loc[texts.index]) is None
        assert check_same_rows(texts.tolist(), labels.tolist()) is None

    def test_rows_of_one_name_have_no_order_to_go_by(self, column: Any) -> None:
        texts = column(["x", "y", "z"], index=[0, 0, 1])
        with pytest.raises(InvalidInputError, match=r"give inputs.tolist\(\) and labels.tolist\(\)"):
            check_same_rows(texts, column(["1", "2", "3"], index=[0, 1, 0]))
        for index, aligned in (([0, 1, 1], False), ([0, 1, 2], True)):
            labels = column(["1", "2", "3"], index=index)
            assert ("labels.loc[inputs.index]" in str(check_same_rows(texts, labels))) == aligned
            assert "different indexes" in str(check_same_rows(texts, labels))
        assert len(labels.loc[texts.index]) == len(texts)

    def test_rows_in_common_are_told(self, column: Any) -> None:
        texts, labels = column(["x", "y", "z"], index=[0, 2, 3]), column(["1", "2", "3"])
        assert "matched by position" in str(check_same_rows(texts, labels))

    def test_rows_that_cannot_be_counted_are_not_compared(self, column: Any) -> None:
        pandas = pytest.importorskip("pandas")
        texts = column(["x", "y"], index=pandas.Index([["a"], ["b"]]))
        assert check_same_rows(texts, column(["1", "2"])) is None

    def test_others_are_taken(self, column: Any) -> None:
        texts = column(["x", "y"], index=[7, 7])
        for labels in (column(["1", "2"], index=[7, 7]), column(["1", "2"]), ["1", "2"], "1", None, column(["1"])):
            assert check_same_rows(texts, labels) is None
            assert check_same_rows(labels, texts) is None
