"""The tables, from the result files: python -m tasks.omniglot.render writes them into the pages that show them."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tasks.common.pages import ABSENT, rendered, table
from tasks.common.seeds import over_seeds

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).with_name("README.md")
SETTINGS = ("5-way 1-shot", "5-way 5-shot", "20-way 1-shot", "20-way 5-shot")
METHODS = {"one_key": "", "mean_key": ", mean key of 25 places"}

PUBLISHED = {
    "Matching networks (Vinyals et al. 2016) †": ("98.1", "98.9", "93.8", "98.5"),
    "Kaiser's memory (Kaiser et al. 2017) †": ("98.4", "99.6", "95.0", "98.6"),
    "Prototypical networks (Snell et al. 2017) †": ("98.8", "99.7", "96.0", "98.9"),
    "SNAIL (Mishra et al. 2018) †": ("99.1", "99.8", "97.6", "99.4"),
}

Results = Sequence[dict[str, Any]]
"""The content of result files."""


def load_results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The result files of a folder."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def episodes(files: Results) -> str:
    """Accuracy in episodes, the mean over seeds."""
    rows = []
    for recipe, own in _by_recipe(files).items():
        for method, title in METHODS.items():
            figures = ([file["figures"][setting][method]["accuracy"] for file in own] for setting in SETTINGS)
            rows.append([f"`{recipe}`{title}", *map(over_seeds, figures), minutes(own)])
    rows += [[title, *figures, ABSENT] for title, figures in PUBLISHED.items()]
    return table(["accuracy, %", *SETTINGS, "CPU minutes"], rows)


def runs(files: Results) -> str:
    """The error in the official one-shot runs, the mean over seeds."""
    rows = []
    for recipe, own in _by_recipe(files).items():
        for method, title in METHODS.items():
            errors = [file["figures"]["runs"][method] for file in own]
            every = [error for one in errors for error in one["error_by_run"]]
            rows.append(
                [
                    f"`{recipe}`{title}",
                    over_seeds([one["error"] for one in errors]),
                    f"{min(every):.0f} to {max(every):.0f}",
                    minutes(own),
                ]
            )
    rows.append(["people (Lake et al. 2015)", "4.5", ABSENT, ABSENT])
    return table(["error, %", "20-way 1-shot", "of a single run", "CPU minutes"], rows)


def seeds(files: Results) -> str:
    """Every seed by itself, with the interval over its episodes."""
    rows = []
    for file in files:
        for method, title in METHODS.items():
            own = {setting: figures[method] for setting, figures in file["figures"].items()}
            rows.append(
                [
                    f"`{file['trained']['recipe']}`, seed {file['trained']['seed']}{title}",
                    *(f"{own[setting]['accuracy']:.2f} ± {own[setting]['interval']:.2f}" for setting in SETTINGS),
                    f"{own['runs']['error']:.2f}",
                ]
            )
    return table(["%", *SETTINGS, "error of the runs"], rows)


def made_with(files: Results) -> str:
    """What the models were trained with."""
    if not files:
        return "No model is trained to the end yet."
    versions = sorted({", ".join(f"{name} {v}" for name, v in file["versions"].items()) for file in files})
    images = sorted({f"{file['trained']['images'] / 1e6:.1f}" for file in files})
    return f"{len(files)} trained models, of {' and '.join(images)} million drawings each, with {'; '.join(versions)}."


def minutes(files: Results) -> str:
    """Minutes of one core in training, the mean over seeds."""
    return f"{sum(file['trained']['cpu_minutes'] for file in files) / len(files):.0f}"


def _by_recipe(files: Results) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        found.setdefault(file["trained"]["recipe"], []).append(file)
    return found


TABLES: dict[str, Callable[[Results], str]] = {
    one.__name__: one for one in (episodes, runs, seeds, made_with)
}  # fmt: skip


def tables(files: Results) -> dict[str, str]:
    """Every table by name."""
    return {name: make(files) for name, make in TABLES.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where the page has other figures")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    chosen = parser.parse_args(arguments)
    before = chosen.page.read_text(encoding="utf-8")
    after = rendered(before, tables(load_results(chosen.results)))
    if chosen.check and after != before:
        sys.exit(f"{chosen.page} differs from the result files: run python -m tasks.omniglot.render")
    if not chosen.check:
        chosen.page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
