"""Tables of tasks that generate texts."""

from collections.abc import Sequence

from .pages import table
from .seeds import over_seeds
from .task_pages import Results

METHODS = (("alone", "model alone"), ("memory", "with the training pairs in memory"))


def figures_table(files: Results, columns: Sequence[tuple[str, str]]) -> str:
    """Figures alone and with memory, the mean over seeds; one row for each data set and method.

    Args:
        files: of `generation_task`.
        columns: name of a figure in the files, and its title.
    """
    rows = []
    for data in sorted({file["data"] for file in files}):
        own = [file for file in files if file["data"] == data]
        for method, title in METHODS:
            rows.append(
                [f"`{data}`, {title}", *(over_seeds([file[method][name] for file in own]) for name, _ in columns)]
            )
    return table(["test part", *(title for _, title in columns)], rows)
