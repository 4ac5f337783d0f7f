from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch

from mann_hf.counts import as_count, whole_number
from mann_hf.errors import InvalidInputError


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
