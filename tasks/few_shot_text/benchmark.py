"""Few-shot accuracy and calibration of every way of reading, on a frozen encoder.

    python -m tasks.few_shot_text.benchmark --data FOLDER

Every cell (a setting, a data set, a number of examples, with or without label names) goes into a file of its own and is
left out when it is there already. README.md says what is measured.
"""

import argparse
import fnmatch
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mann_hf.controllers import DEFAULT_ENCODER
from mann_hf.memory import READINGS
from mann_hf.persistent.entries import label_words

from ..common.files import versions, write
from . import render
from .data import (
    ALL_CLASS_DATASETS,
    N_QUERY,
    N_WAY,
    SPLIT_DATASETS,
    SPLITS,
    draw_episodes,
    draw_examples,
    load_all_classes,
    load_splits,
)
from .encoder import load_encoder
from .methods import (
    BASELINES,
    Result,
    Task,
    baseline_all,
    build_reading,
    episode_accuracies,
    read_all,
)
from .vectors import VectorStore

RESULTS = Path(__file__).with_name("results")
CACHE = Path.home() / ".cache" / "mann_hf" / "few_shot_text"
EPISODE_SHOTS = (1, 5)
ALL_CLASS_SHOTS = (1, 5, 10)
LARGE = "banking77"
LARGE_MEMORY: dict[str, tuple[str, dict[str, Any]]] = {
    "logistic": ("logistic", {}),
    "least_squares_exact": ("least_squares", {"exact_slots": 1_000_000}),
    **{f"least_squares_{near}_neighbours": ("least_squares", {"nearest": near}) for near in (32, 128, 512)},
    "prototype": ("prototype", {}),
    "attention": ("attention", {}),
}
"""Ways to read a large memory, and the settings that they differ in."""


class Cell(NamedTuple):
    """One result file.

    Attributes:
        setting: `"five_way"`, `"all_classes"` or `"large_memory"`.
        dataset: a name of `data`.
        shots: examples of each class; None for all there are.
        names: whether label names are entries beside the examples.
    """

    setting: str
    dataset: str
    shots: int | None
    names: bool

    @property
    def stem(self) -> str:
        """The name of the file."""
        shots = "all" if self.shots is None else f"{self.shots}-shot"
        return f"{self.setting}-{self.dataset}-{shots}-{'names' if self.names else 'no-names'}"


def all_cells() -> list[Cell]:
    """Every cell, the short ones first."""
    five_way = [
        Cell("five_way", dataset, shots, names)
        for dataset in SPLIT_DATASETS
        for shots in EPISODE_SHOTS
        for names in (False, True)
    ]
    all_classes = [
        Cell("all_classes", dataset, shots, names)
        for dataset in ALL_CLASS_DATASETS
        for shots in ALL_CLASS_SHOTS
        for names in (False, True)
    ]
    return [*five_way, *all_classes, Cell("large_memory", LARGE, None, False)]


class Benchmark:
    """Measures cells.

    Args:
        data: the folder of the data sets.
        vectors: texts to vectors.
        seeds: draws of the examples in the settings with all classes.
        episodes: episodes in each of the five splits.
    """

    def __init__(self, data: Path, vectors: VectorStore, seeds: int, episodes: int) -> None:
        self.data, self.vectors, self.seeds, self.episodes = data, vectors, seeds, episodes

    def settings(self, cell: Cell) -> dict[str, Any]:
        """What a cell's figures depend on beside the encoder."""
        if cell.setting == "five_way":
            sizes = {"n_way": N_WAY, "queries_per_class": N_QUERY}
            return {"splits": len(SPLITS), "episodes_per_split": self.episodes, **sizes}
        return {"seeds": 1 if cell.shots is None else self.seeds}

    def methods(self, cell: Cell) -> list[str]:
        """What can be measured in a cell."""
        return [*(LARGE_MEMORY if cell.setting == "large_memory" else READINGS), *BASELINES]

    def measure(self, cell: Cell, methods: Sequence[str]) -> tuple[dict[str, int], dict[str, Result]]:
        """Counts of what was taught and asked, and each method's result."""
        counts: dict[str, int] = {}
        results: dict[str, Result] = {}
        measure = self._five_way if cell.setting == "five_way" else self._all_classes
        for method in methods:
            started = time.perf_counter()
            counts, results[method] = measure(cell, method)
            results[method]["seconds"] = round(time.perf_counter() - started, 3)
        return counts, results

    def _five_way(self, cell: Cell, method: str) -> tuple[dict[str, int], Result]:
        assert cell.shots is not None
        texts, splits = load_splits(self.data, cell.dataset)
        vectors = self.vectors(texts.texts)
        words = self.vectors([label_words(name) or name for name in texts.names])
        by_split: dict[str, float] = {}
        error = 0.0
        for split in SPLITS:
            drawn = draw_episodes(texts.labels, splits[split]["test"], cell.shots, self.episodes, cell.dataset, split)
            accuracies = episode_accuracies(method, vectors, drawn, words if cell.names else None)
            by_split[split] = float(accuracies.mean())
            error += float(accuracies.var(ddof=1)) / len(accuracies)
        interval = 1.96 * math.sqrt(error) / len(by_split)
        mean = sum(by_split.values()) / len(by_split)
        counts = {"classes": len(texts.names), "texts": len(texts.texts)}
        return counts, {"accuracy": mean, "interval": interval, "by_split": by_split}

    def _all_classes(self, cell: Cell, method: str) -> tuple[dict[str, int], Result]:
        by_seed = []
        for seed in range(self.settings(cell)["seeds"]):
            task = self._task(cell, seed)
            if method in BASELINES:
                by_seed.append(baseline_all(method, task))
            else:
                name, settings = LARGE_MEMORY[method] if cell.setting == "large_memory" else (method, {})
                by_seed.append(read_all(build_reading(name, task.keys.shape[1], **settings), task))
        mean = {key: sum(result[key] for result in by_seed) / len(by_seed) for key in by_seed[0]}
        entries = len(task.keys) + len(task.name_keys)
        counts = {"classes": len(task.names), "entries": entries, "queries": len(task.queries)}
        return counts, mean | {"by_seed": by_seed}

    def _task(self, cell: Cell, seed: int) -> Task:
        train, test = load_all_classes(self.data, cell.dataset)
        if cell.shots is None:
            rows = np.arange(len(train.texts))
        else:
            rows = draw_examples(train.labels, cell.shots, cell.dataset, seed)
        test = train.select(np.setdiff1d(np.arange(len(train.texts)), rows)) if test is None else test
        taught = train.select(rows)
        words = {name: text for name in train.names if cell.names and (text := label_words(name)) is not None}
        return Task(
            texts=taught.texts,
            keys=self.vectors(taught.texts),
            labels=taught.labels,
            names=train.names,
            name_keys=dict(zip(words, self.vectors(list(words.values())), strict=True)) if words else {},
            queries=self.vectors(test.texts),
            answers=test.labels,
        )


def run(
    benchmark: Benchmark,
    cells: Sequence[Cell],
    readings: Sequence[str] | None,
    output: Path,
    encoder: dict[str, str],
    force: bool = False,
) -> None:
    """Measures what the result files lack.

    Args:
        cells: what to measure.
        readings: ways of reading, all if None; the baselines go along.
        output: the folder of the result files.
        encoder: what the files say of the encoder.
        force: measure the readings again, and the baselines too if `readings` is None.

    Raises:
        SystemExit: a file was made with another encoder or other settings, and it is not to be measured again whole.
    """
    started = time.perf_counter()
    for done, cell in enumerate(cells, start=1):
        path = output / f"{cell.stem}.json"
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        now = {"settings": benchmark.settings(cell), "encoder": encoder}
        if before is not None and {key: before[key] for key in now} != now:
            if not force or readings is not None:
                sys.exit(
                    f"{path} was measured with {before['settings']} on {before['encoder']}, and this run asks for "
                    f"{now['settings']} on {encoder}: choose another --output, or --force without --readings."
                )
            before = None
        known: dict[str, Result] = {} if before is None else before["methods"]
        chosen = [method for method in benchmark.methods(cell) if readings is None or kind(method) in readings]
        needed = [method for method in benchmark.methods(cell) if method in chosen or method in BASELINES]
        missing = [method for method in needed if method not in known or (force and method in chosen)]
        if missing and cell.setting == "large_memory":  # its times are compared, so they are taken in one run
            missing = [method for method in benchmark.methods(cell) if method in known or method in needed]
        if missing:
            cell_started = time.perf_counter()
            counts, measured = benchmark.measure(cell, missing)
            known = known | measured
            content = {
                "cell": cell._asdict(),
                **now,
                "counts": counts,
                "methods": {method: known[method] for method in benchmark.methods(cell) if method in known},
                "versions": versions(),
                "seconds": sum(result["seconds"] for result in known.values()),
            }
            write(path, content)
            what = f"{time.perf_counter() - cell_started:.1f} s for {', '.join(missing)}"
        else:
            what = "is there already"
        clock = time.strftime("%H:%M:%S", time.gmtime(time.perf_counter() - started))
        print(f"[{done}/{len(cells)}] {clock} {cell.stem}: {what}", file=sys.stderr, flush=True)


def kind(method: str) -> str:
    """The way of reading that a method is one setting of; of a baseline its own name."""
    return LARGE_MEMORY[method][0] if method in LARGE_MEMORY else method


def matching(cells: Sequence[Cell], patterns: Sequence[str] | None, datasets: Sequence[str] | None) -> list[Cell]:
    """The cells whose file name fits one of the patterns, of some data sets.

    Raises:
        SystemExit: there are none.
    """

    def fits(cell: Cell) -> bool:
        named = patterns is None or any(fnmatch.fnmatch(cell.stem, pattern) for pattern in patterns)
        return named and (datasets is None or cell.dataset in datasets)

    chosen = [cell for cell in cells if fits(cell)]
    if not chosen:
        names = "\n  ".join(cell.stem for cell in cells)
        sys.exit(f"No cell fits --cells {patterns} and --datasets {datasets}; the cells are\n  {names}")
    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="a name or folder (default: %(default)s)")
    parser.add_argument("--readings", nargs="+", choices=list(READINGS), metavar="READING",
                        help=f"some of {', '.join(READINGS)} (default: all)")  # fmt: skip
    parser.add_argument("--datasets", nargs="+", choices=ALL_CLASS_DATASETS, metavar="DATASET",
                        help=f"some of {', '.join(ALL_CLASS_DATASETS)} (default: all)")  # fmt: skip
    parser.add_argument(
        "--cells", nargs="+", metavar="PATTERN", help="names of result files, as in 'five_way-*1-shot*'"
    )
    parser.add_argument("--seeds", type=int, default=3, help="draws of the examples, all classes (default: 3)")
    parser.add_argument("--episodes", type=int, default=600, help="episodes a split, 5-way (default: 600)")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="folder for the results (default: beside this file)"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for vectors (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="measure again what is there already")
    chosen = parser.parse_args(arguments)
    cells = matching(all_cells(), chosen.cells, chosen.datasets)
    encoder = load_encoder(chosen.encoder)
    vectors = VectorStore(encoder.encode, chosen.cache / encoder.fingerprint[:16])
    benchmark = Benchmark(chosen.data, vectors, chosen.seeds, chosen.episodes)
    about = {"name": encoder.name, "fingerprint": encoder.fingerprint}
    run(benchmark, cells, chosen.readings, chosen.output, about, chosen.force)
    print("\n\n".join(render.tables(render.load(chosen.output)).values()))


if __name__ == "__main__":
    main()
