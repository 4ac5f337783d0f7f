"""The tables, from the result files: python -m tasks.scan.render writes them into the page that shows them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.common.pages import ABSENT, table
from tasks.common.seeds import over_seeds
from tasks.common.task_pages import Results, render_page

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).with_name("README.md")
SPLITS = ("add_jump", "around_right", "opposite_right", "length")
CONTROLS = {"none": "this model", "no_support_loss": "without support loss", "no_memory": "without memory"}
PUBLISHED = {"meta seq2seq (Lake 2019) †": ("99.9", "99.9", ABSENT, "16.6")}


def exact_match(files: Results) -> str:
    """Exact match on the whole test part, the mean over seeds."""
    rows = [
        [title, *(over_seeds([file["exact_match"] for file in _of(files, split, control)]) for split in SPLITS)]
        for control, title in CONTROLS.items()
    ]
    rows += [[title, *figures] for title, figures in PUBLISHED.items()]
    return table(["exact match, %", *map(_named, SPLITS)], rows)


def other_splits(files: Results) -> str:
    """Exact match on the other splits that were measured."""
    others = sorted({file["split"] for file in files} - set(SPLITS))
    rows = [[f"`{split}`", over_seeds([file["exact_match"] for file in _of(files, split, "none")])] for split in others]
    return table(["split", "exact match, %"], rows)


def cost(files: Results) -> str:
    """What training took."""
    rows = []
    for split in SPLITS:
        own = _of(files, split, "none")
        if own:
            minutes = max(file["trained"]["cpu_seconds"] for file in own) / 60
            steps = sorted({file["trained"]["steps"] for file in own})
            rows.append([_named(split), " and ".join(map(str, steps)), f"{minutes:.1f}", str(len(own))])
    return table(["split", "steps", "CPU minutes, at most", "seeds"], rows)


def _of(files: Results, split: str, control: str) -> list[dict[str, Any]]:
    return [file for file in files if (file["split"], file["control"]) == (split, control)]


def _named(split: str) -> str:
    return split.replace("_", " ")


TABLES = (exact_match, other_splits, cost)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    render_page(arguments, __doc__ or "", TABLES, RESULTS, PAGE, "tasks.scan.render")


if __name__ == "__main__":
    main()
