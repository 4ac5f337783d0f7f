"""The tables of trained encoders, from their result files."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .data import SPLIT_DATASETS, SPLITS
from .tables import ABSENT, PUBLISHED_FIVE_WAY, SHOTS, TITLES, shown, table, with_names

Trained = Sequence[dict[str, Any]]
"""The content of result files."""


def load_trained(folder: Path) -> list[dict[str, Any]]:
    """The result files of trained encoders in a folder."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("trained-*.json"))]


def trained(files: Trained, gains: bool = True) -> str:
    """Accuracy in 5-way episodes of the encoder frozen and trained, the mean over the splits that were measured."""

    def cell(dataset: str, names: str, encoder: str, field: str = "accuracy") -> str:
        figures = [_over_splits(_of(files, dataset, shots), names, encoder, field) for shots in (1, 5)]
        return " / ".join(figures)

    rows = []
    for names in ("no_names", "names"):
        for encoder, title in (("frozen", "frozen"), ("trained", "trained")):
            rows.append([with_names(title, names == "names"), *(cell(d, names, encoder) for d in SPLIT_DATASETS)])
        if gains:
            points = (cell(d, names, "gain", "points") for d in SPLIT_DATASETS)
            rows.append([with_names("gain in points", names == "names"), *points])
    rows += [[title, *(shown(figures[dataset].values()) for dataset in SPLIT_DATASETS)]
             for title, figures in PUBLISHED_FIVE_WAY.items()]  # fmt: skip
    return table(["1-shot / 5-shot, %", *(TITLES[dataset] for dataset in SPLIT_DATASETS)], rows)


def trained_splits(files: Trained) -> str:
    """The same, each split by itself."""
    rows = [
        [
            f"{TITLES[file['trained']['dataset']]} {file['trained']['split']}, {file['trained']['k_shot']}-shot",
            *(
                f"{file['test'][names][encoder][field]:.1f} ± {file['test'][names][encoder]['interval']:.1f}"
                for names in ("no_names", "names")
                for encoder, field in (("frozen", "accuracy"), ("trained", "accuracy"), ("gain", "points"))
            ),
            f"{100 * file['training']['before']['accuracy']:.1f} → {100 * file['training']['after']['accuracy']:.1f}",
            str(file["training"]["best_step"]),
        ]
        for file in files
        if file["trained"]["split"] is not None
    ]
    header = ["%", "frozen", "trained", "gain", "frozen, names", "trained, names", "gain, names",
              "valid classes, 1-shot", "best step"]  # fmt: skip
    return table(header, rows)


def across(files: Trained) -> str:
    """Accuracy with all classes of a data set that training did not see."""
    found = {file["trained"]["dataset"]: file["test"] for file in files if file["trained"]["split"] is None}
    rows = []
    for names in ("no_names", "names"):
        for encoder in ("frozen", "trained"):
            figures = (
                shown(found[d][names][str(shots)][encoder]["accuracy"] for shots in SHOTS) if d in found else ABSENT
                for d in SPLIT_DATASETS
            )
            rows.append([with_names(encoder, names == "names"), *figures])
        gains = (
            " / ".join(
                f"{found[d][names][str(k)]['trained']['accuracy'] - found[d][names][str(k)]['frozen']['accuracy']:+.1f}"
                for k in SHOTS
            )
            if d in found
            else ABSENT
            for d in SPLIT_DATASETS
        )
        rows.append([with_names("gain in points", names == "names"), *gains])
    return table(["K = 1 / 5 / 10, all classes at once, %", *(TITLES[d] for d in SPLIT_DATASETS)], rows)


def _of(files: Trained, dataset: str, shots: int) -> list[dict[str, Any]]:
    return [file for file in files if (file["trained"]["dataset"], file["trained"]["k_shot"]) == (dataset, shots)]


def _over_splits(files: Trained, names: str, encoder: str, field: str) -> str:
    """The mean over splits with its interval, which holds for the splits that there are."""
    parts = [file["test"][names][encoder] for file in files]
    if not parts:
        return ABSENT
    mean = sum(part[field] for part in parts) / len(parts)
    half = math.sqrt(sum(part["interval"] ** 2 for part in parts)) / len(parts)
    sign = "+" if field == "points" else ""
    few = "" if len(parts) == len(SPLITS) else f" ({len(parts)} of {len(SPLITS)} splits)"
    return f"{mean:{sign}.1f} ± {half:.1f}{few}"


TRAINED_TABLES: dict[str, Callable[[Trained], str]] = {
    "trained": trained,
    "trained_splits": trained_splits,
    "across": across,
}


def trained_tables(files: Trained) -> dict[str, str]:
    """Every table by name."""
    return {name: make(files) for name, make in TRAINED_TABLES.items()}


def front_trained(files: Trained) -> str:
    """What training brings, for the front page."""
    return trained(files, gains=False)
