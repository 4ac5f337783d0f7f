"""The data sets, as texts with whole-number labels, and how examples and episodes are drawn from them.

Reads a folder with one subfolder a data set, of files `*.jsonl.gz` with one object `{"text", "label"}` a line.
"""

import gzip
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

ALL_CLASS_DATASETS = ("banking77", "hwu64", "clinc150", "emotion", "sst5", "ag_news")
"""Data sets that are asked with all their classes at once."""
SPLIT_DATASETS = {"banking77": "BANKING77", "hwu64": "HWU64", "clinc150": "CLINC150"}
"""Data sets whose classes are split for episodes, and the file that holds them."""
SPLITS = ("01", "02", "03", "04", "05")
N_WAY = 5
N_QUERY = 5


class LabelledTexts(NamedTuple):
    """Texts and what they are.

    Attributes:
        texts: n texts.
        labels: [n] numbers of labels, positions in `names`.
        names: the labels as the data set spells them, in alphabetical order.
    """

    texts: list[str]
    labels: np.ndarray
    names: list[str]

    def select(self, rows: np.ndarray) -> "LabelledTexts":
        """Some of the texts."""
        return LabelledTexts([self.texts[row] for row in rows], self.labels[rows], self.names)


class Episodes(NamedTuple):
    """Draws of a few classes with a few texts each, as row numbers of a `LabelledTexts`.

    Attributes:
        classes: [E, N] the numbers of the classes.
        support: [E, N, k] rows to be taught.
        query: [E, N, q] rows to be asked.
    """

    classes: np.ndarray
    support: np.ndarray
    query: np.ndarray


def read_rows(path: Path) -> list[dict[str, str]]:
    """The objects of a `*.jsonl.gz` file.

    Raises:
        FileNotFoundError: the file is not there; the message says what the folder should hold.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; --data names the folder that holds banking77/, protaugment/ and the other data sets."
        )
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def labelled(rows: list[dict[str, str]], names: list[str] | None = None) -> LabelledTexts:
    """Rows as texts and label numbers; `names` are the labels in the rows if not given."""
    names = sorted({str(row["label"]) for row in rows}) if names is None else names
    number = {name: i for i, name in enumerate(names)}
    return LabelledTexts([row["text"] for row in rows], np.array([number[str(row["label"])] for row in rows]), names)


def load_all_classes(data: Path, dataset: str) -> tuple[LabelledTexts, LabelledTexts | None]:
    """The texts that examples are drawn from and those that are asked.

    AG News has its official test set alone: examples are drawn from it and the rest is asked (None).
    """
    if dataset == "ag_news":
        return labelled(read_rows(data / dataset / "test.jsonl.gz")), None
    train = labelled(read_rows(data / dataset / "train.jsonl.gz"))
    return train, labelled(read_rows(data / dataset / "test.jsonl.gz"), train.names)


def load_splits(data: Path, dataset: str) -> tuple[LabelledTexts, dict[str, dict[str, list[int]]]]:
    """All texts of a data set and, for each of the five splits, the class numbers of its train, valid and test part."""
    stem = SPLIT_DATASETS[dataset]
    texts = labelled(read_rows(data / "protaugment" / f"{stem}.jsonl.gz"))
    splits = json.loads((data / "protaugment" / f"{stem}.splits.json").read_text(encoding="utf-8"))
    number = {name: i for i, name in enumerate(texts.names)}
    parts = ("train", "valid", "test")
    return texts, {split: {part: [number[name] for name in splits[split][part]] for part in parts} for split in SPLITS}


def generator(*key: object) -> np.random.Generator:
    """Random numbers that depend on what they are for and on nothing else."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big"))


def draw_examples(labels: np.ndarray, shots: int, *key: object) -> np.ndarray:
    """Row numbers of `shots` examples of every label, drawn without replacement.

    Raises:
        ValueError: a label has fewer.
    """
    random = generator("examples", shots, *key)
    rows = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if len(own) < shots:
            raise ValueError(f"label {label} has {len(own)} texts, and {shots} examples of it are asked for.")
        rows.append(random.choice(own, shots, replace=False))
    return np.concatenate(rows)


def draw_episodes(
    labels: np.ndarray, classes: list[int], shots: int, episodes: int, *key: object, queries: int = N_QUERY
) -> Episodes:
    """Episodes of `N_WAY` of the classes, with `shots` texts of each to be taught and others to be asked.

    Classes within an episode differ, and so do the rows of a class.
    """
    random = generator("episodes", shots, *key)
    own = {label: np.flatnonzero(labels == label) for label in classes}
    chosen = np.stack([random.choice(classes, N_WAY, replace=False) for _ in range(episodes)])
    rows = np.stack(
        [[random.choice(own[label], shots + queries, replace=False) for label in episode] for episode in chosen]
    )
    return Episodes(chosen, rows[:, :, :shots], rows[:, :, shots:])
