"""What the tables of the page have in common."""

from collections.abc import Iterable

from ..common.pages import ABSENT

TITLES = {"banking77": "BANKING77", "hwu64": "HWU64", "clinc150": "CLINC150", "emotion": "emotion", "sst5": "SST-5",
          "ag_news": "AG News"}  # fmt: skip
SHOTS = (1, 5, 10)

# Published figures: method, data set -> (examples of a class -> accuracy).
PUBLISHED_FIVE_WAY = {
    "ContrastNet (BERT-base; saw unlabelled text of the test classes), as reported, not verified ‡": {
        "banking77": {1: 91.2, 5: 96.4}, "hwu64": {1: 86.6, 5: 92.6}, "clinc150": {1: 96.6, 5: 98.5},
    },
}  # fmt: skip


def shown(figures: Iterable[float | None]) -> str:
    """Figures to one decimal, between slashes."""
    return " / ".join(ABSENT if figure is None else f"{figure:.1f}" for figure in figures)


def with_names(title: str, names: bool) -> str:
    """A method's title in a table that holds rows with and without label names."""
    return f"{title}, names" if names else title
