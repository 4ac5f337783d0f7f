"""The tables of trained encoders, from their result files."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..common.pages import ABSENT, table
from .data import SPLIT_DATASETS, SPLITS
from .tables import PUBLISHED_FIVE_WAY, SHOTS, TITLES, shown, with_names

Trained = Sequence[dict[str, Any]]
"""The content of result files."""

MORE = "trained, with the classes of both other sets"
"""The title of encoders that saw all classes of the other data sets beside the train classes of their split."""


def load_trained(folder: Path) -> list[dict[str, Any]]:
    """The result files of trained encoders in a folder."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("trained-*.json"))]


def trained(files: Trained) -> str:
    """Accuracy in 5-way episodes of the encoder frozen and trained, the mean over the splits that were measured."""
    return _five_way(files, {"trained": False, MORE: True})


def _five_way(files: Trained, encoders: dict[str, bool]) -> str:
    """The table of frozen and trained encoders.

    Args:
        files: the result files.
        encoders: by their title, whether they are those that saw the classes of other data sets, too.
    """

    def row(title: str, names: str, encoder: str, more: bool, field: str = "accuracy") -> list[str]:
        figures = (
            " / ".join(
                over_splits(trained_files(files, dataset, shots, more), names, encoder, field) for shots in (1, 5)
            )
            for dataset in SPLIT_DATASETS
        )
        return [with_names(title, names == "names"), *figures]

    rows = []
    for names in ("no_names", "names"):
        rows.append(row("frozen", names, "frozen", False))
        for title, more in encoders.items():
            rows.append(row(title, names, "trained", more))
            rows.append(row("gain in points", names, "gain", more, "points"))
    rows += [[title, *(shown(figures[dataset].values()) for dataset in SPLIT_DATASETS)]
             for title, figures in PUBLISHED_FIVE_WAY.items()]  # fmt: skip
    return table(["1-shot / 5-shot, %", *(TITLES[dataset] for dataset in SPLIT_DATASETS)], rows)


def trained_splits(files: Trained) -> str:
    """The same, each split by itself."""
    rows = [
        [
            f"{TITLES[file['trained']['dataset']]} {file['trained']['split']}, {file['trained']['k_shot']}-shot"
            + (f", {MORE}" if _more(file) else ""),
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
        gains = {d: [_gains(found[d][names][str(shots)]) for shots in SHOTS] for d in SPLIT_DATASETS if d in found}
        for title, tell in (
            ("gain in points", lambda draws: f"{sum(draws) / len(draws):+.1f}"),
            ("least and most of a draw", lambda draws: f"{min(draws):+.1f}, {max(draws):+.1f}"),
        ):
            figures = (" / ".join(map(tell, gains[d])) if d in gains else ABSENT for d in SPLIT_DATASETS)
            rows.append([with_names(title, names == "names"), *figures])
    return table(["K = 1 / 5 / 10, all classes at once, %", *(TITLES[d] for d in SPLIT_DATASETS)], rows)


def _gains(measured: dict[str, dict[str, Any]]) -> list[float]:
    """By how much the trained encoder is better, in points, for each draw of the examples."""
    return [
        after - before
        for before, after in zip(*(measured[one]["by_seed"] for one in ("frozen", "trained")), strict=True)
    ]


def _more(file: dict[str, Any]) -> bool:
    return bool(file["settings"].get("sources"))


def trained_files(files: Trained, dataset: str, shots: int, more: bool = False) -> list[dict[str, Any]]:
    """The files of one data set and number of shots.

    Args:
        files: the result files.
        dataset: by its short name.
        shots: examples of a class.
        more: whether those of encoders that saw the classes of other data sets, too.
    """
    wanted = (dataset, shots, more)
    return [file for file in files if (file["trained"]["dataset"], file["trained"]["k_shot"], _more(file)) == wanted]


def over_splits(files: Trained, names: str, encoder: str, field: str = "accuracy") -> str:
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
