"""Tables of result files in pages."""

from tasks.common.pages import ABSENT, NOT_MEASURED, table


def test_rows_without_figures_are_left_out() -> None:
    shown = table(["exact match, %", "one", "other"], [["alone", "3.50", ABSENT], ["with memory", ABSENT, ABSENT]])
    assert shown == "| exact match, % | one | other |\n| --- | ---: | ---: |\n| alone | 3.50 | – |"


def test_a_table_without_figures_says_so() -> None:
    assert table(["exact match, %", "one"], [["alone", ABSENT]]) == NOT_MEASURED == table(["a", "b"], [])
