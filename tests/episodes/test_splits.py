import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from mann_hf.episodes import EpisodeSampler, select_classes, split_classes
from mann_hf.errors import InvalidInputError, InvalidTypeError

PARTS = ["train", "validation", "test"]


def data(classes: int = 10, each: int = 3) -> Dataset:
    """Rows of the classes in turn."""
    rows = [(f"text {row} of {name}", f"class {name}") for row in range(each) for name in range(classes)]
    return Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


def classes_of(split: DatasetDict) -> list[set[str]]:
    return [set(split[part]["label"]) for part in PARTS]


class TestSplit:
    @pytest.mark.parametrize(
        "sizes, counts",
        [
            ((0.6, 0.2, 0.2), (6, 2, 2)),
            ((0.3, 0.3, 0.3), (3, 3, 3)),
            ((0.25, 0.25, 0.5), (2, 3, 5)),
            ((0.26, 0.26, 0.26), (3, 2, 3)),
            ((5, 3, 2), (5, 3, 2)),
            ((2, 1, 1), (2, 1, 1)),
            ((2.0, 1.0, 1.0), (2, 1, 1)),
            (np.array([2, 1, 1]), (2, 1, 1)),
            ([np.float32(0.3)] * 3, (3, 3, 3)),
        ],
    )
    def test_sizes_are_shares_or_numbers_of_the_classes(self, sizes: Sequence[float], counts: tuple[int, ...]) -> None:
        split = split_classes(data(), sizes)
        assert list(split) == PARTS
        assert tuple(map(len, classes_of(split))) == counts

    @settings(max_examples=25)
    @given(st.integers(3, 12), st.integers(0, 50), st.data())
    def test_no_class_is_in_two_parts_and_each_has_all_its_rows(
        self, count: int, seed: int, draw: st.DataObject
    ) -> None:
        ends = sorted(draw.draw(st.lists(st.integers(1, count), min_size=3, max_size=3, unique=True)))
        sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        rows = data(count, each=2)
        split = split_classes(rows, sizes, seed=seed)
        told = classes_of(split)
        assert list(map(len, told)) == sizes and len(set.union(*told)) == ends[-1]
        for part, names in zip(PARTS, told, strict=True):
            assert list(split[part]) == [row for row in rows if row["label"] in names]

    @pytest.mark.parametrize("sizes", [(0.6, 0.2, 0.2), (5, 3, 2)])
    def test_sizes_of_a_generator(self, sizes: Sequence[float]) -> None:
        assert classes_of(split_classes(data(), (size for size in sizes))) == classes_of(split_classes(data(), sizes))
        with pytest.raises(InvalidInputError, match=r"sizes are \(9, 9, 9\)|cannot be split \(9, 9, 9\)"):
            split_classes(data(), (9 for _ in range(3)))

    def test_a_seed_says_which_classes_go_where(self) -> None:
        first, again, other = (classes_of(split_classes(data(), seed=seed)) for seed in (1, 1, 2))
        assert first == again != other

    def test_the_order_of_the_rows_does_not_say_where_classes_go(self) -> None:
        rows = data()
        assert classes_of(split_classes(rows)) == classes_of(split_classes(rows.select(range(len(rows))[::-1])))

    def test_other_columns(self) -> None:
        rows = data().rename_columns({"text": "body", "label": "intent"})
        split = split_classes(rows, text_column="body", label_column="intent")
        assert [len(set(split[part]["intent"])) for part in PARTS] == [6, 2, 2]

    @pytest.mark.parametrize(
        "sizes, says",
        [
            ((0.5, 0.5), "sizes are .0.5, 0.5.; give three above 0, for train, validation, test"),
            (0.8, "sizes are 0.8; give three above 0"),
            (("a", 1, 1), "sizes are .'a', 1, 1.; give three above 0"),
            ((float("nan"), 1, 1), "sizes are .nan, 1, 1.; give three above 0"),
            ((0.5, 0.5, 0.0), "give three above 0"),
            ((8, 3, -1), "give three above 0"),
            ((0.6, 0.3, 0.2), "as shares they must sum to at most 1"),
            ((0.5, 2, 2), "give shares below 1, or whole numbers of classes"),
            ((2.5, 2, 2), "give shares below 1, or whole numbers of classes"),
            (
                (8, 2, 1),
                "10 classes cannot be split .8, 2, 1.: every part needs a class.*; sizes=.7, 2, 1. would",
            ),
            ((0.9, 0.05, 0.02), "10 classes cannot be split .*every part needs a class, and no class can be in two"),
        ],
    )
    def test_sizes_that_make_no_sense(self, sizes: Sequence[float], says: str) -> None:
        with pytest.raises(InvalidInputError, match=says):
            split_classes(data(), sizes)

    def test_fewer_classes_than_parts(self) -> None:
        with pytest.raises(InvalidInputError, match="2 classes cannot be split.* give inputs of 3 classes or more"):
            split_classes(data(2))

    def test_the_sizes_that_the_error_gives_keep_their_proportion(self) -> None:
        with pytest.raises(InvalidInputError, match=r"sizes=\(5, 2, 2\) would work"):
            split_classes(data(9), (10, 5, 4))

    @pytest.mark.parametrize("count", [3, 4, 5, 7])
    @pytest.mark.parametrize("sizes", [(0.6, 0.2, 0.2), (0.9, 0.05, 0.05), (8, 2, 1), (0.01, 0.01, 0.9)])
    def test_the_sizes_that_the_error_gives_work(self, count: int, sizes: Sequence[float]) -> None:
        rows = data(count)
        try:
            split_classes(rows, sizes)
        except InvalidInputError as error:
            said = re.search(r"; sizes=\((\d+), (\d+), (\d+)\) would work\.$", str(error))
            assert said is not None
            split_classes(rows, tuple(map(int, said.groups())))


class TestSelect:
    def test_the_rows_of_some_classes_in_their_order(self) -> None:
        rows = data(4, each=2)
        chosen = select_classes(rows, ["class 3", "class 1", "class 3"])
        assert list(chosen) == [row for row in rows if row["label"] in ("class 1", "class 3")]

    def test_rows_that_are_alike_all_stay(self) -> None:
        rows = Dataset.from_dict({"text": ["x", "x", "y"], "label": ["a", "a", "b"]})
        assert len(select_classes(rows, ["a"])) == 2

    def test_no_class_is_no_row(self) -> None:
        assert len(select_classes(data(), [])) == 0

    def test_a_class_that_is_not_there(self) -> None:
        with pytest.raises(InvalidInputError, match="no class 'class 7', 'other'"):
            select_classes(data(4), ["class 1", "class 7", "other"])


@pytest.mark.parametrize("classes", [[0, 1], (1, 0), np.array([0, 1]), ["0", 1], {0.0, "1"}, range(2)], ids=str)
def test_classes_that_are_numbers_are_chosen_by_number(classes: Any) -> None:
    data = Dataset.from_dict({"text": [f"text {n}" for n in range(6)], "label": [0, 0, 1, 1, 2, 2]})
    assert select_classes(data, classes)["label"][:] == [0, 0, 1, 1]
    assert EpisodeSampler(data, n_way=2, k_shot=1, n_query=1, classes=classes).labels == {"0", "1"}


@pytest.mark.parametrize("classes", [[0, 1], ["card", "refund"], [np.int64(1), "card"]], ids=str)
def test_classes_of_a_class_label_are_chosen_by_name_or_number(classes: Any) -> None:
    feature = ClassLabel(names=["card", "refund", "order"])
    columns = {"text": [f"text {n}" for n in range(6)], "label": [0, 0, 1, 1, 2, 2]}
    data = Dataset.from_dict(columns, features=Features({"text": Value("string"), "label": feature}))
    assert select_classes(data, classes)["label"][:] == [0, 0, 1, 1]
    assert EpisodeSampler(data, n_way=2, k_shot=1, n_query=1, classes=classes).labels == {"card", "refund"}


@pytest.mark.parametrize("classes", ["refund", 0, b"refund", None, [["refund"]]], ids=repr)
def test_what_is_no_list_of_classes_is_refused(classes: Any) -> None:
    data = Dataset.from_dict({"text": ["a", "b"], "label": ["refund", "card"]})
    with pytest.raises((InvalidTypeError, InvalidInputError), match="classes"):
        select_classes(data, classes)
    if classes is not None:
        with pytest.raises((InvalidTypeError, InvalidInputError), match="classes"):
            EpisodeSampler(data, n_way=2, k_shot=1, n_query=0, classes=classes)
