"""Few-shot accuracy of trained encoders: the recipes, each measured on classes and texts that training never saw.

    python -m tasks.few_shot_text.train --data FOLDER
    python -m tasks.few_shot_text.train --data FOLDER --cells banking77-1-shot-01

A cell is a recipe and one of the data set's class splits; a recipe across data sets has one cell. Each goes into a file
of its own and is left out when it is there already. A run that was stopped goes on from its last checkpoint.
"""

import argparse
import fnmatch
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from datasets import Dataset, concatenate_datasets

import mann_hf
from mann_hf.persistent.entries import label_words
from mann_hf.training.run import TrainingRun
from mann_hf.training.run_folder import CHECKPOINTS, RESULTS_FILE

from ..common.files import versions, write
from .benchmark import ALL_CLASS_SHOTS, CACHE, RESULTS, Benchmark, Cell
from .data import SPLIT_DATASETS, SPLITS, LabelledTexts, draw_episodes, load_all_classes, load_splits
from .encoder import Encoder, encoder_of, load_encoder
from .methods import episode_accuracies
from .render_trained import load_trained, trained_tables
from .vectors import VectorStore

RECIPES = Path(__file__).with_name("recipes")
READING = "logistic"
"""By which trained and frozen encoders are compared: the model's default."""
SEEDS = 3
"""Draws of the examples with all classes at once."""
STUDENT_T = 4.303  # 97.5 % quantile at SEEDS - 1 degrees of freedom


@dataclass(frozen=True)
class Recipe:
    """How the encoder for one row of a table is trained.

    Attributes:
        name: of its file.
        dataset: whose classes are asked.
        k_shot: examples of each class in the 5-way episodes that are asked; None for all classes at once.
        sources: other data sets of whose classes training draws, all of them; with a `k_shot` beside the train classes
            of `dataset`.
        run: settings of a `TrainingRun`.
    """

    name: str
    dataset: str
    k_shot: int | None
    sources: tuple[str, ...]
    run: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """The recipe in a yaml file.

        Raises:
            SystemExit: it says something that a recipe does not have.
        """
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
        unknown = recipe.keys() - {"dataset", "k_shot", "sources", "run"}
        if unknown or recipe.get("dataset") not in SPLIT_DATASETS:
            sys.exit(f"{path} needs a dataset of {', '.join(SPLIT_DATASETS)}, and has {', '.join(recipe)}.")
        return cls(path.stem, recipe["dataset"], recipe.get("k_shot"), tuple(recipe.get("sources", ())), recipe["run"])


class TrainedCell(NamedTuple):
    """One result file.

    Attributes:
        recipe: what is trained.
        split: of the classes; None across data sets.
    """

    recipe: Recipe
    split: str | None

    @property
    def stem(self) -> str:
        """The name of the file, after `trained-`."""
        return self.recipe.name if self.split is None else f"{self.recipe.name}-{self.split}"


def all_cells(recipes: Path = RECIPES) -> list[TrainedCell]:
    """Every cell, the splits of a data set one after the other."""
    found = [Recipe.read(path) for path in sorted(recipes.glob("*.yaml"))]
    return [TrainedCell(recipe, split) for recipe in found for split in (SPLITS if recipe.k_shot else (None,))]


class Training:
    """Trains and measures cells.

    Args:
        data: the folder of the data sets.
        models: the folder of the trained models; recipes that differ in what is asked alone share one.
        cache: the folder of vectors.
        episodes: that are asked in each split.
        overrides: settings in place of the recipes' own.
    """

    def __init__(self, data: Path, models: Path, cache: Path, episodes: int, overrides: Mapping[str, Any]) -> None:
        self.data, self.models, self.cache, self.episodes, self.overrides = data, models, cache, episodes, overrides

    def settings(self, cell: TrainedCell) -> dict[str, Any]:
        """What a cell's figures depend on beside the data."""
        recipe = cell.recipe
        asked = {"seeds": SEEDS} if cell.split is None else {"episodes": self.episodes}
        sources = {"sources": list(recipe.sources)} if recipe.sources else {}
        return {"run": {**recipe.run, **self.overrides}, **sources, **asked}

    def measure(self, cell: TrainedCell) -> dict[str, Any]:
        """Trains, where the model is not there yet, and asks the frozen and the trained encoder the same."""
        run, results = self._train(cell)
        model = mann_hf.MANNForSequenceClassification.from_pretrained(run.output)
        trained, frozen = encoder_of(model, run.encoder), load_encoder(run.encoder)
        ask = self._five_way if cell.recipe.k_shot else self._all_classes
        return {
            "encoder": {"name": frozen.name, "fingerprint": frozen.fingerprint},
            "training": {name: results[name] for name in ("before", "after", "steps", "best_step", "seconds")},
            "test": ask(cell, frozen, trained),
        }

    def _train(self, cell: TrainedCell) -> tuple[TrainingRun, dict[str, Any]]:
        recipe, settings = cell.recipe, self.settings(cell)["run"]
        what = (recipe.dataset, recipe.sources, cell.split, sorted(settings.items()))
        digest = hashlib.sha256(repr(what).encode()).hexdigest()[:12]
        folder = self.models / f"{recipe.dataset}-{cell.split or 'across'}-{digest}"
        run = TrainingRun.from_dict({**settings, "output": str(folder)})
        done = folder / RESULTS_FILE
        if not done.is_file():
            run.train(*self._texts(cell), resume=(folder / CHECKPOINTS).is_dir())
        return run, json.loads(done.read_text(encoding="utf-8"))

    def _texts(self, cell: TrainedCell) -> tuple[Dataset | dict[str, Dataset], Dataset]:
        """Labelled texts to train on and to choose the best model by, without a class in common.

        A text that other data sets have in common with classes of `dataset` that may be asked has no part in it.
        """
        recipe = cell.recipe
        texts, splits = load_splits(self.data, recipe.dataset)
        if cell.split is not None:
            parts = splits[cell.split]
            own, choosing = _of_classes(texts, parts["train"]), _of_classes(texts, parts["valid"])
            mixed, asked = {recipe.dataset: own}, set(texts.texts) - set(own["text"])
            for source in recipe.sources:
                others = _without(asked, load_splits(self.data, source)[0])
                mixed[source] = _of_classes(others, range(len(others.names)), source)
            return mixed if recipe.sources else own, choosing
        taught, test = load_all_classes(self.data, recipe.dataset)
        asked = {*texts.texts, *taught.texts, *(test or taught).texts}
        train, valid = [], []
        for source in recipe.sources:
            others, splits = load_splits(self.data, source)
            others, held_out = _without(asked, others), set(splits[SPLITS[0]]["valid"])
            train.append(_of_classes(others, [c for c in range(len(others.names)) if c not in held_out], source))
            valid.append(_of_classes(others, sorted(held_out), source))
        return concatenate_datasets(train), concatenate_datasets(valid)

    def _five_way(self, cell: TrainedCell, frozen: Encoder, trained: Encoder) -> dict[str, Any]:
        recipe = cell.recipe
        assert cell.split is not None and recipe.k_shot is not None
        texts, splits = load_splits(self.data, recipe.dataset)
        classes = splits[cell.split]["test"]
        rows = np.flatnonzero(np.isin(texts.labels, classes))
        asked = texts.select(rows)
        words = [label_words(name) or name for name in texts.names]
        drawn = draw_episodes(texts.labels, classes, recipe.k_shot, self.episodes, recipe.dataset, cell.split)
        place = np.full(len(texts.texts), -1)
        place[rows] = np.arange(len(rows))
        drawn = drawn._replace(support=place[drawn.support], query=place[drawn.query])
        right: dict[str, dict[bool, np.ndarray]] = {}
        for name, encoder in (("frozen", frozen), ("trained", trained)):
            encode = self._vectors(encoder)
            vectors, named = encode(asked.texts), encode(words)
            right[name] = {
                names: episode_accuracies(READING, vectors, drawn, named if names else None) for names in (False, True)
            }
        result = {}
        for names in (False, True):
            before, after = right["frozen"][names], right["trained"][names]
            result["names" if names else "no_names"] = {
                "frozen": _interval("accuracy", before),
                "trained": _interval("accuracy", after),
                "gain": _interval("points", after - before),
            }
        return result

    def _all_classes(self, cell: TrainedCell, frozen: Encoder, trained: Encoder) -> dict[str, Any]:
        dataset = cell.recipe.dataset
        result: dict[str, Any] = {"no_names": {}, "names": {}}
        for name, encoder in (("frozen", frozen), ("trained", trained)):
            benchmark = Benchmark(self.data, self._vectors(encoder), SEEDS, self.episodes)
            for names in (False, True):
                for shots in ALL_CLASS_SHOTS:
                    _, methods = benchmark.measure(Cell("all_classes", dataset, shots, names), [READING])
                    kept = {field: methods[READING][field] for field in ("accuracy", "calibration_error")}
                    kept["by_seed"] = [seed["accuracy"] for seed in methods[READING]["by_seed"]]
                    kept["interval"] = STUDENT_T * float(np.std(kept["by_seed"], ddof=1)) / math.sqrt(SEEDS)
                    result["names" if names else "no_names"].setdefault(str(shots), {})[name] = kept
        return result

    def _vectors(self, encoder: Encoder) -> VectorStore:
        return VectorStore(encoder.encode, self.cache / encoder.fingerprint[:16])


def _without(asked: Set[str], texts: LabelledTexts) -> LabelledTexts:
    return texts.select(np.flatnonzero([text not in asked for text in texts.texts]))


def _of_classes(texts: LabelledTexts, classes: Sequence[int], prefix: str = "") -> Dataset:
    rows = np.flatnonzero(np.isin(texts.labels, classes))
    names = [f"{prefix} {name}".strip() for name in texts.names]
    return Dataset.from_dict(
        {"text": [texts.texts[row] for row in rows], "label": [names[texts.labels[row]] for row in rows]}
    )


def _interval(name: str, per_episode: np.ndarray) -> dict[str, float]:
    """The mean over episodes, and half of its 95 % interval."""
    half = 1.96 * float(per_episode.std(ddof=1)) / math.sqrt(len(per_episode))
    return {name: float(per_episode.mean()), "interval": half}


def run(training: Training, cells: Sequence[TrainedCell], output: Path, say: Callable[[str], None]) -> None:
    """Measures the cells whose files are not there.

    Raises:
        SystemExit: a file is there that was measured with other settings.
    """
    for number, cell in enumerate(cells, start=1):
        path = output / f"trained-{cell.stem}.json"
        settings = training.settings(cell)
        started = time.perf_counter()
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))["settings"]
            if before != settings:
                sys.exit(f"{path} was measured with {before}, and this run asks for {settings}: delete it, or choose "
                         "another --output.")  # fmt: skip
            say(f"[{number}/{len(cells)}] {cell.stem}: is there already")
            continue
        measured = training.measure(cell)
        recipe = cell.recipe
        about = {"recipe": recipe.name, "dataset": recipe.dataset, "k_shot": recipe.k_shot, "split": cell.split}
        write(path, {"trained": about, **measured, "versions": versions()}, settings=settings)
        say(f"[{number}/{len(cells)}] {cell.stem}: {time.perf_counter() - started:.0f} s")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--cells", nargs="+", metavar="PATTERN", default=["*"],
                        help="a recipe and a split, as in banking77-1-shot-01 or '*-1-shot-*'")  # fmt: skip
    parser.add_argument("--recipes", type=Path, default=RECIPES, help="folder of yaml files (default: beside this)")
    parser.add_argument("--episodes", type=int, default=600, help="that are asked in a split (default: 600)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="overrides",
                        help="settings in place of the recipe's, as in max_steps=20")  # fmt: skip
    parser.add_argument("--models", type=Path, default=CACHE / "trained", help="folder of the trained models")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results (default: beside this)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for vectors (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    every = all_cells(chosen.recipes)
    cells = [cell for cell in every if any(fnmatch.fnmatch(cell.stem, pattern) for pattern in chosen.cells)]
    if not cells:
        sys.exit(f"No cell fits --cells {chosen.cells}; there are\n  " + "\n  ".join(cell.stem for cell in every))
    pairs = (setting.partition("=")[::2] for setting in chosen.overrides)
    overrides = {name: yaml.safe_load(value) for name, value in pairs}
    training = Training(chosen.data, chosen.models, chosen.cache, chosen.episodes, overrides)
    run(training, cells, chosen.output, lambda line: print(line, file=sys.stderr, flush=True))
    print("\n\n".join(trained_tables(load_trained(chosen.output)).values()))


if __name__ == "__main__":
    main()
