"""The tables of the front page and of docs/: one figure a cell, from the same result files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..common.pages import ABSENT, table
from .data import SPLIT_DATASETS
from .render_trained import Trained, over_splits, trained_files
from .tables import PUBLISHED_FIVE_WAY, SHOTS, TITLES

MTEB = Path(__file__).with_name("mteb.json")
INTENTS = ("banking77", "hwu64", "clinc150")
OURS = "mann_hf on all-MiniLM-L6-v2"
THEIRS = "scikit-learn LogisticRegression"

Results = dict[Any, dict[str, Any]]
"""Result files by setting, data set, examples of a class, and whether names are entries."""
Row = tuple[str, str, bool, str]
"""A title, a method, whether names are entries, and which figure."""

ACCURACY: tuple[Row, ...] = (
    (OURS, "logistic", True, "accuracy"),
    (f"{OURS}, without label names", "logistic", False, "accuracy"),
    (f"{THEIRS}, without label names", "logistic_regression", False, "accuracy"),
    (f"{THEIRS}, with label names", "logistic_regression", True, "accuracy"),
)
ERROR: tuple[Row, ...] = (
    (f"{OURS}, calibration error", "logistic", True, "calibration_error"),
    (f"{THEIRS}, calibration error", "logistic_regression", False, "calibration_error"),
)


def all_classes(results: Results, header: str, sets: Sequence[str], shots: int, rows: Sequence[Row]) -> str:
    """Figures with all classes at once at one number of examples."""

    def figure(dataset: str, row: Row) -> str:
        _, method, names, field = row
        methods = results.get(("all_classes", dataset, shots, names), {}).get("methods", {})
        found = methods.get(method, {}).get(field)
        return ABSENT if found is None else f"{found:.1f}"

    cells = [[row[0], *(figure(dataset, row) for dataset in sets)] for row in rows]
    return table([header, *(TITLES[dataset] for dataset in sets)], cells)


def front_page(results: Results) -> str:
    """Five examples a class on the sets of intents."""
    return all_classes(results, _examples(5), INTENTS, 5, (ACCURACY[0], ACCURACY[2], *ERROR))


def five_way(files: Trained, shots: int, rows: Sequence[tuple[str, str, str]], published: bool = False) -> str:
    """Accuracy in 5-way episodes of new classes at one number of examples.

    Args:
        files: the result files of trained encoders.
        shots: examples of a class.
        rows: a title, `"frozen"` or `"trained"`, and `"names"` or `"no_names"`.
        published: whether figures of others follow.
    """
    cells = [
        [title, *(over_splits(trained_files(files, dataset, shots), names, encoder) for dataset in SPLIT_DATASETS)]
        for title, encoder, names in rows
    ]
    if published:
        for title, figures in PUBLISHED_FIVE_WAY.items():
            cells.append([title, *(f"{figures[dataset][shots]:.1f}" for dataset in SPLIT_DATASETS)])
    examples = "1 example" if shots == 1 else f"{shots} examples"
    return table([f"5 new classes, {examples} of each, %", *(TITLES[dataset] for dataset in SPLIT_DATASETS)], cells)


TRAINING: tuple[tuple[str, str, str], ...] = (
    ("frozen all-MiniLM-L6-v2", "frozen", "names"),
    ("trained on other classes of the data set", "trained", "names"),
    ("frozen, without label names", "frozen", "no_names"),
    ("trained, without label names", "trained", "no_names"),
)


def encoders() -> str:
    """Encoders by MTEB's published results."""
    found = json.loads(MTEB.read_text(encoding="utf-8"))["encoders"]
    sets = list(found[0]["accuracy"])
    rows = []
    for encoder in found:
        figures = [ABSENT if encoder["accuracy"][one] is None else f"{encoder['accuracy'][one]:.1f}" for one in sets]
        size, trained = str(encoder["million_parameters"]), encoder["trained_on_banking77"]
        rows.append([f"`{encoder['name']}`", size, *figures, trained])
    return table(["encoder, % (by MTEB)", "million parameters", *sets, "trained on BANKING77?"], rows)


def front_tables(results: Results, files: Trained) -> dict[str, str]:
    """The tables of the front page by the name of their place."""
    return {
        "front_page": front_page(results),
        "front_trained": five_way(files, 1, TRAINING[:2]),
    }


def docs_tables(results: Results, files: Trained) -> dict[str, dict[str, str]]:
    """The tables of each page in docs/ by the name of their place."""

    def all_sets(shots: int) -> str:
        return all_classes(results, _examples(shots), list(TITLES), shots, (*ACCURACY, *ERROR))

    def minilm(shots: int) -> str:
        return all_classes(results, _examples(shots), ("banking77", "emotion"), shots, ACCURACY[:2])

    return {
        "benchmarks.md": {f"all_classes_{shots}": all_sets(shots) for shots in SHOTS},
        "training.md": {f"five_way_{shots}": five_way(files, shots, TRAINING, published=True) for shots in (1, 5)},
        "encoders.md": {"mteb": encoders(), "minilm_5": minilm(5), "minilm_10": minilm(10)},
    }


def _examples(shots: int) -> str:
    return f"{shots} example{'s' * (shots > 1)} of each class, %"
