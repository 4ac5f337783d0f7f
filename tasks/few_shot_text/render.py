"""The tables of README.md from the result files.

python -m tasks.few_shot_text.render            writes them between their markers
python -m tasks.few_shot_text.render --check    only fails where the page says something else
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from mann_hf.memory import READINGS

from ..common.pages import ABSENT, rendered, table
from .render_docs import docs_tables, front_tables
from .render_speed import speed_tables
from .render_trained import load_trained, trained_tables
from .tables import PUBLISHED_FIVE_WAY, SHOTS, TITLES, shown, with_names

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).with_name("README.md")
ROOT = Path(__file__).parents[2]
FRONT_PAGE = ROOT / "README.md"
DOCS = ROOT / "docs"
READING_TITLES = {name: f"`{name}`" for name in READINGS}
BASELINE_TITLES = {
    "logistic_regression": "scikit-learn LogisticRegression",
    "nearest_centroid": "scikit-learn NearestCentroid",
}
METHODS = READING_TITLES | BASELINE_TITLES

# Published figures: method, data set -> (examples of a class -> accuracy).
PUBLISHED_ALL_CLASSES = {
    "RoBERTa + classifier †": {
        "banking77": {5: 74.0, 10: 84.3}, "hwu64": {5: 75.6, 10: 82.9}, "clinc150": {5: 88.0, 10: 91.6},
    },
    "DNNC †": {
        "banking77": {5: 80.4, 10: 86.7}, "hwu64": {5: 80.5, 10: 84.7}, "clinc150": {5: 91.0, 10: 93.8},
    },
    "CPFT †": {
        "banking77": {5: 80.9, 10: 87.2}, "hwu64": {5: 82.0, 10: 87.1}, "clinc150": {5: 92.3, 10: 94.2},
    },
    "ICDA (with texts written by a language model) †": {
        "banking77": {5: 84.0, 10: 89.8}, "hwu64": {5: 82.5, 10: 87.4}, "clinc150": {5: 92.6, 10: 94.8},
    },
}  # fmt: skip

Key = tuple[str, str, int | None, bool]
Results = dict[Key, dict[str, Any]]
"""Result files by setting, data set, examples of a class, and whether names are entries."""


def load(folder: Path) -> Results:
    """The result files of the benchmark in a folder; others may lie beside them."""
    results: Results = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if "cell" in content:
            results[tuple(content["cell"].values())] = content  # type: ignore[index]
    return results


def value(results: Results, key: Key, method: str, field: str = "accuracy") -> float | None:
    """One figure; None where it was not measured."""
    return results.get(key, {}).get("methods", {}).get(method, {}).get(field)


def five_way(results: Results) -> str:
    """Accuracy in 5-way episodes."""
    sets = next(iter(PUBLISHED_FIVE_WAY.values()))

    def cell(dataset: str, method: str, names: bool) -> str:
        found = [
            (value(results, key, method), value(results, key, method, "interval"))
            for shots in (1, 5)
            for key in [("five_way", dataset, shots, names)]
        ]
        return " / ".join(ABSENT if mean is None else f"{mean:.1f} ± {half:.1f}" for mean, half in found)

    rows = [
        [with_names(title, names), *(cell(dataset, method, names) for dataset in sets)]
        for names in (False, True)
        for method, title in METHODS.items()
    ]
    rows += [[title, *(shown(figures[dataset].values()) for dataset in sets)]
             for title, figures in PUBLISHED_FIVE_WAY.items()]  # fmt: skip
    return table(["1-shot / 5-shot, %", *(TITLES[dataset] for dataset in sets)], rows)


def all_classes(results: Results) -> str:
    """Accuracy with all classes at once."""
    rows = [
        [with_names(title, names)]
        + [shown(value(results, ("all_classes", d, shots, names), method) for shots in SHOTS) for d in TITLES]
        for names in (False, True)
        for method, title in METHODS.items()
    ]
    rows += [
        [title, *(shown(figures[d].get(shots) for shots in SHOTS) if d in figures else "" for d in TITLES)]
        for title, figures in PUBLISHED_ALL_CLASSES.items()
    ]
    return table(["K = 1 / 5 / 10, %", *TITLES.values()], rows)


def calibration(results: Results) -> str:
    """Expected calibration error with the fitted sharpness, and the least that any single one reaches."""
    rows = []
    for names in (False, True):
        for method, title in METHODS.items():
            for field, what in (("calibration_error", ""), ("oracle_calibration_error", ", oracle *")):
                figures = [
                    shown(value(results, ("all_classes", d, shots, names), method, field) for shots in SHOTS)
                    for d in TITLES
                ]
                rows.append([with_names(title, names) + what, *figures])
    return table(["K = 1 / 5 / 10, %", *TITLES.values()], rows)


def default(results: Results) -> str:
    """Each reading, with and without names, against the better of the two baselines, over all cells of all classes."""
    cells = [(d, shots) for d in TITLES for shots in SHOTS]

    def mean(figures: Iterable[float]) -> str:
        there = list(figures)
        return f"{sum(there) / len(there):.1f}" if there else ABSENT

    rows = []
    for names in (False, True):
        for reading, title in READING_TITLES.items():
            measured = {cell: results.get(("all_classes", *cell, names), {}).get("methods", {}) for cell in cells}
            own = {cell: methods[reading] for cell, methods in measured.items() if reading in methods}
            rows.append(
                [
                    with_names(title, names),
                    *(mean(own[cell]["accuracy"] for cell in own if cell[1] == shots) for shots in SHOTS),
                    mean(result["accuracy"] for result in own.values()),
                    mean(result["calibration_error"] for result in own.values()),
                    mean(result["oracle_calibration_error"] for result in own.values()),
                    *_behind(results, own, names=False),
                    *_behind(results, own, names=names),
                ]
            )
    header = ["mean over six data sets, %", *(f"K = {shots}" for shots in SHOTS), "all cells", "calibration error",
              "oracle *", "worst cell against the better baseline without names", "cells more than 0.3 below it",
              "worst cell against the better baseline on the same entries", "cells more than 0.3 below it"]  # fmt: skip
    return table(header, rows)


def _behind(results: Results, own: dict[tuple[str, int], dict[str, Any]], names: bool) -> list[str]:
    """The worst cell of a reading against the better of the two baselines, and how many are more than 0.3 below."""
    gaps = {}
    for cell, result in own.items():
        best = [value(results, ("all_classes", *cell, names), method) for method in BASELINE_TITLES]
        if None not in best:
            gaps[cell] = result["accuracy"] - max(figure for figure in best if figure is not None)
    worst = min(gaps, key=gaps.__getitem__) if gaps else None
    widest = ABSENT if worst is None else f"{gaps[worst]:+.1f} ({TITLES[worst[0]]}, K = {worst[1]})"
    return [widest, f"{sum(gap < -0.3 for gap in gaps.values())} of {len(gaps)}"]


def large_memory(results: Results) -> str:
    """What a large memory costs in accuracy and time."""
    key: Key = ("large_memory", "banking77", None, False)
    methods = results.get(key, {}).get("methods", {})
    unit = methods.get("logistic", {})
    rows = []
    for method, found in methods.items():
        near = re.fullmatch(r"least_squares_(\d+)_neighbours", method)
        exact = "`least_squares`, all slots together"
        title = f"`least_squares`, {near[1]} nearest slots" if near else METHODS.get(method, exact)
        ratios = [found[field] / unit[field] if unit else float("nan") for field in ("solve_seconds", "read_seconds")]
        rows.append([
            title, f"{found['accuracy']:.1f}", shown([found.get("calibration_error")]),
            *(f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2f}" for ratio in ratios),
        ])  # fmt: skip
    header = ["10,003 examples", "accuracy, %", "calibration error, %", "solve, × logistic", "read, × logistic"]
    return table(header, rows)


def made_with(results: Results) -> str:
    """Encoder, versions and time."""
    cells = results.values()
    encoders = sorted({f"{cell['encoder']['name']} (weights {cell['encoder']['fingerprint'][:12]})" for cell in cells})
    versions = sorted({", ".join(f"{name} {v}" for name, v in cell["versions"].items()) for cell in cells})
    minutes = sum(cell["seconds"] for cell in cells) / 60
    with_what = f"on {'; '.join(encoders)}, with {'; '.join(versions)}"
    return f"{len(results)} result files, {minutes:.0f} minutes in all, {with_what}."


TABLES: dict[str, Callable[[Results], str]] = {
    "five_way": five_way,
    "all_classes": all_classes,
    "calibration": calibration,
    "default": default,
    "large_memory": large_memory,
    "made_with": made_with,
}


def tables(results: Results) -> dict[str, str]:
    """Every table by name."""
    return {name: make(results) for name, make in TABLES.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where the page has other figures")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, help="write the tables of this task's page into another one")
    chosen = parser.parse_args(arguments)
    results, trained = load(chosen.results), load_trained(chosen.results)
    own = tables(results) | trained_tables(trained) | speed_tables(chosen.results)
    pages = {PAGE: own, FRONT_PAGE: front_tables(results, trained)}
    pages |= {DOCS / name: blocks for name, blocks in docs_tables(results, trained).items()}
    for page, blocks in pages.items() if chosen.page is None else [(chosen.page, own)]:
        before = page.read_text(encoding="utf-8")
        after = rendered(before, blocks)
        if chosen.check and after != before:
            sys.exit(f"{page} differs from the result files: run python -m tasks.few_shot_text.render")
        if not chosen.check:
            page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
