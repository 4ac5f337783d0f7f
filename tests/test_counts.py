import pytest

from mann_hf.counts import as_count
from mann_hf.errors import InvalidInputError


@pytest.mark.parametrize("told, count", [(5, 5), ("5", 5), ("5-10", (5, 10)), (" 5 - 10 ", (5, 10)), ((1, 2), (1, 2))])
def test_numbers_and_ranges(told: object, count: object) -> None:
    assert as_count("n_way", told) == count


@pytest.mark.parametrize("told", ["", "many", "5-", "-5", "5-6-7", "1.5"])
def test_what_is_neither(told: str) -> None:
    with pytest.raises(InvalidInputError, match="n_way is .*give a number, or a range such as 5-10"):
        as_count("n_way", told)
