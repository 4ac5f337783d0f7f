"""The table, from the result files: python -m tasks.semantic_parsing.render writes it into the page that shows it."""

from collections.abc import Sequence
from pathlib import Path

from tasks.common.pages import table
from tasks.common.seeds import over_seeds
from tasks.common.task_pages import Results, render_page

from .data import FORMS, SPLITS

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).with_name("README.md")
ROWS = (
    ("none", "exact_match", "without memory"),
    ("example", "alone", "with memory, empty in the test"),
    ("example", "exact_match", "with memory, training pairs in it"),
)


def exact_match(files: Results) -> str:
    """Exact match on the test part, the mean over seeds."""
    rows = []
    for form in FORMS:
        for memory, figure, title in ROWS:
            own = [file for file in files if (file["form"], file["memory"]) == (form, memory)]
            of_split = ([file[figure] for file in own if file["split"] == split] for split in SPLITS)
            rows.append([f"{form}, {title}", *map(over_seeds, of_split)])
    return table(["exact match, %", *(f"{split} split" for split in SPLITS)], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    render_page(arguments, __doc__ or "", (exact_match,), RESULTS, PAGE, "tasks.semantic_parsing.render")


if __name__ == "__main__":
    main()
