"""The table, from the result files: python -m tasks.data_to_text.render writes it into the page that shows it."""

from collections.abc import Sequence
from pathlib import Path

from tasks.common.generation_tables import figures_table
from tasks.common.task_pages import Results, render_page

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).with_name("README.md")
COLUMNS = (("bleu", "BLEU"), ("chrf", "chrF"), ("rougeL", "ROUGE-L"))


def figures(files: Results) -> str:
    """Figures of the test part."""
    return figures_table(files, COLUMNS)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    render_page(arguments, __doc__ or "", (figures,), RESULTS, PAGE, "tasks.data_to_text.render")


if __name__ == "__main__":
    main()
