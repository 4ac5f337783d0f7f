"""Asks trained models about characters that training never saw: episodes, and the official one-shot runs.

    python -m tasks.omniglot.evaluate --data FOLDER --models FOLDER
    python -m tasks.omniglot.evaluate --data FOLDER --models FOLDER --split validation --output OTHER

Each trained model has a file of its own in `results/`, and is left out when that is there already. With
`--split validation`, which is for choosing settings, runs are drawn from alphabets of it in the form of the official
ones.
"""

import argparse
import functools
import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

import mann_hf
from mann_hf.episodes import Examples
from mann_hf.training.evaluation import answer_episodes
from tasks.common.files import versions, write

from .data import Drawings, read_drawings, read_runs
from .processor import BYTE, DrawingProcessor
from .render import load_results, tables
from .train import MODELS, RESULTS_FILE, SETTINGS_FILE

RESULTS = Path(__file__).with_name("results")
WAYS, SHOTS = (5, 20), (1, 5)
EPISODES, QUERIES = 1000, 5
"""Episodes of each kind, and what each asks of a character."""
SEED = 0
"""Of the episodes: all models are asked the same."""
SHIFTS = tuple(itertools.product(range(-2, 3), repeat=2))
"""Pixels down and right by which a drawing is moved for a mean key."""
ONE_KEY, MEAN_KEY = "one_key", "mean_key"
RUN_CHARACTERS = 20
DRAWN_RUNS = 200
"""Runs that are drawn from validation characters."""


class Keys:
    """The keys of drawings, each encoded once, for episodes whose inputs are the drawings' numbers.

    Args:
        model: whose they are.
        drawings: [n, 28, 28] bytes.
    """

    def __init__(self, model: mann_hf.MANNForImageClassification, drawings: np.ndarray) -> None:
        self.model, self.processor = model, DrawingProcessor()
        embed = lambda shift: model.embed_inputs(self.processor, list(shifted(drawings, *shift)))  # noqa: E731
        several = sum(map(embed, SHIFTS), start=torch.zeros(1))
        self.by_method = {ONE_KEY: embed((0, 0)), MEAN_KEY: several / len(SHIFTS)}

    def right(self, episodes: Sequence[mann_hf.Episode]) -> dict[str, np.ndarray]:
        """The share of right answers in each episode, in percent, by how a drawing becomes a key."""
        found = {}
        for method, keys in self.by_method.items():
            embed = functools.partial(_looked_up, keys)
            answers = answer_episodes(self.model, self.processor, episodes, embed_inputs=embed)
            hits = np.bincount(answers.episodes, answers.predictions == answers.references)
            found[method] = 100 * hits / np.bincount(answers.episodes)
        return found


def shifted(drawings: np.ndarray, down: int, right: int) -> np.ndarray:
    """Drawings [n, h, w] moved by some pixels; what leaves on one side does not come in on the other."""
    margin = max(abs(down), abs(right))
    if not margin:
        return drawings
    height, width = drawings.shape[1:]
    wide = np.pad(drawings, ((0, 0), (margin, margin), (margin, margin)))
    return wide[:, margin - down : margin - down + height, margin - right : margin - right + width]


def measure(model: mann_hf.MANNForImageClassification, data: Path, split: str, episodes: int) -> dict[str, Any]:
    """The figures of a model.

    Args:
        model: a trained one.
        data: the folder that holds `omniglot`.
        split: `"test"`, or `"validation"`.
        episodes: how many of each kind.
    """
    drawings = read_drawings(data, split)
    keys = Keys(model, drawings.images)
    numbered = Dataset.from_dict({"image": np.arange(len(drawings.images)), "label": drawings.labels})
    result: dict[str, Any] = {}
    for way in WAYS:
        for shots in SHOTS:
            drawn = mann_hf.EpisodeSampler(numbered, way, shots, QUERIES, input_column="image", seed=SEED)
            right = keys.right([drawn[number] for number in range(episodes)])
            result[f"{way}-way {shots}-shot"] = {method: interval(each) for method, each in right.items()}
    if split == "test":
        runs = read_runs(data)
        pictures = black_and_white(np.concatenate([runs.support, runs.query], axis=1))
        right = Keys(model, pictures.reshape(-1, *pictures.shape[2:])).right(official_runs(runs.classes))
    else:
        right = keys.right(drawn_runs(drawings))
    result["runs"] = {
        method: {"error": 100 - float(each.mean()), "error_by_run": [100 - float(one) for one in each]}
        for method, each in right.items()
    }
    return result


def black_and_white(pictures: np.ndarray) -> np.ndarray:
    """Pictures in shades of grey as the drawings are: ink where a pixel is more than half covered."""
    return np.where(pictures > BYTE // 2, BYTE, 0).astype(np.uint8)


def official_runs(classes: np.ndarray) -> list[mann_hf.Episode]:
    """The official runs as episodes of picture numbers: of each run first its support, then its queries."""
    count, episodes = classes.shape[1], []
    for run, asked in enumerate(classes.tolist()):
        first = 2 * count * run
        episodes.append(_run(range(first, first + count), range(first + count, first + 2 * count), asked))
    return episodes


def drawn_runs(drawings: Drawings, count: int = DRAWN_RUNS) -> list[mann_hf.Episode]:
    """Runs in the form of the official ones: characters of one alphabet, shown by one drawer, asked by another."""
    random = np.random.default_rng(SEED)
    alphabets = np.array([name.split("/")[0] for name in drawings.names])
    place = {
        pair: row for row, pair in enumerate(zip(drawings.labels.tolist(), drawings.drawers.tolist(), strict=True))
    }
    large = [each for each in sorted(set(alphabets)) if (alphabets == each).sum() >= RUN_CHARACTERS]
    drawers, episodes = np.unique(drawings.drawers), []
    for number in range(count):
        within = np.flatnonzero(alphabets == large[number % len(large)])
        characters = random.choice(within, RUN_CHARACTERS, replace=False).tolist()
        one, other = random.choice(drawers, 2, replace=False).tolist()
        shown, asked = ([place[each, drawer] for each in characters] for drawer in (one, other))
        episodes.append(_run(shown, asked, range(RUN_CHARACTERS)))
    return episodes


def _run(shown: Sequence[int], asked: Sequence[int], classes: Sequence[int]) -> mann_hf.Episode:
    names = tuple(map(str, range(len(shown))))
    return mann_hf.Episode(Examples(list(shown), list(range(len(shown)))), Examples(list(asked), list(classes)), names)


def _looked_up(keys: Tensor, rows: Sequence[int]) -> Tensor:
    return keys[torch.tensor([int(row) for row in rows])]


def interval(per_episode: np.ndarray) -> dict[str, float]:
    """The mean over episodes, and half of its 95 % interval."""
    half = 1.96 * float(per_episode.std(ddof=1)) / math.sqrt(len(per_episode))
    return {"accuracy": float(per_episode.mean()), "interval": half}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds omniglot/")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the models (default: %(default)s)")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="which characters are asked")
    parser.add_argument("--episodes", type=int, default=EPISODES, help="of each kind (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results (default: beside this)")
    chosen = parser.parse_args(arguments)
    done = sorted(path.parent for path in chosen.models.glob(f"*/{RESULTS_FILE}"))
    if not done:
        sys.exit(f"{chosen.models} holds no trained model; python -m tasks.omniglot.train makes them.")
    for folder in done:
        path = chosen.output / f"{folder.name}.json"
        asked = {"split": chosen.split, "episodes": chosen.episodes, "queries": QUERIES, "shifts": len(SHIFTS)}
        settings = {"recipe": json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8")), **asked}
        if path.is_file():
            if json.loads(path.read_text(encoding="utf-8"))["settings"] != settings:
                sys.exit(f"{path} was measured with other settings: delete it, or choose another --output.")
            continue
        model = mann_hf.MANNForImageClassification.from_pretrained(folder)
        name, _, seed = folder.name.rpartition("-seed-")
        trained = {"recipe": name, "seed": int(seed), **json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))}
        figures = measure(model, chosen.data, chosen.split, chosen.episodes)
        write(path, {"trained": trained, "figures": figures, "versions": versions()}, settings=settings)
        print(f"{folder.name}: measured", file=sys.stderr, flush=True)
    print("\n\n".join(tables(load_results(chosen.output)).values()))


if __name__ == "__main__":
    main()
