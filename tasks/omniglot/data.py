"""The characters of Omniglot, as data sets of pictures with labels.

Reads a folder `omniglot` in the data folder. Its `omniglot_28x28.npz` holds all drawings, `images` [n, 28, 28] with ink
255 on 0, and of each its `character`, `drawer`, `alphabet` and whether it is of the `evaluation` alphabets, [n] each,
beside `alphabet_names`. `omniglot_oneshot_runs_28x28.npz` holds the official one-shot runs: `support` and `query`
[20, 20, 28, 28], and `query_class` [20, 20], the number of the support picture of the same character.
"""

from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as Pillow

DRAWINGS = "omniglot_28x28.npz"
RUNS = "omniglot_oneshot_runs_28x28.npz"
SPLITS = ("train", "validation", "background", "test")
VALIDATION_ALPHABETS = ("Burmese_(Myanmar)", "Hebrew", "Korean", "Malay_(Jawi_-_Arabic)", "Sanskrit")
"""Background alphabets that settings are chosen on: 178 of the 964 characters, of scripts unlike each other."""
TURNS = (0, 90, 180, 270)


class Drawings(NamedTuple):
    """Drawings of characters, those of a character one behind the other.

    Attributes:
        images: [n, 28, 28] bytes, 255 where there is ink.
        labels: [n] numbers of characters, positions in `names`.
        names: the characters, as alphabet and number within it: `Greek/07`.
        drawers: [n] numbers of the people who drew, 1 to 20.
    """

    images: np.ndarray
    labels: np.ndarray
    names: list[str]
    drawers: np.ndarray


class OneShotRuns(NamedTuple):
    """The official runs of 20-way one-shot classification: each is of one alphabet and of two drawers.

    Attributes:
        support: [20, 20, 28, 28] bytes; one picture of each character of a run.
        query: [20, 20, 28, 28] bytes; one picture of each character by another drawer.
        classes: [20, 20] the position in a run's support of what each query shows.
    """

    support: np.ndarray
    query: np.ndarray
    classes: np.ndarray


def read_drawings(data: Path, split: str) -> Drawings:
    """The drawings of a split as they are stored, not rotated.

    Args:
        data: the folder that holds `omniglot`.
        split: `"background"` is what Lake et al. give to learn from, `"test"` their evaluation set. `"validation"` is
            the `VALIDATION_ALPHABETS` of the background, `"train"` the rest of it.

    Raises:
        FileNotFoundError: the file is not there; the message says what the folder should hold.
        ValueError: there is no such split, or it is empty.
    """
    stored = _read(data, DRAWINGS)
    alphabets = [str(name) for name in stored["alphabet_names"]]
    is_held_out = np.isin(stored["alphabet"], [alphabets.index(name) for name in VALIDATION_ALPHABETS])
    is_test = stored["evaluation"].astype(bool)
    parts = {
        "train": ~is_test & ~is_held_out,
        "validation": ~is_test & is_held_out,
        "background": ~is_test,
        "test": is_test,
    }
    if split not in parts:
        raise ValueError(f"there is no split {split!r}; choose one of {', '.join(map(repr, SPLITS))}.")
    order = np.lexsort((stored["drawer"], stored["character"]))
    rows = order[parts[split][order]]
    characters, first, labels = np.unique(stored["character"][rows], return_index=True, return_inverse=True)
    if not len(characters):
        raise ValueError(f"the split {split!r} is empty: {data / 'omniglot' / DRAWINGS} has no drawing of it.")
    names, within = [], dict.fromkeys(alphabets, 0)
    for alphabet in (alphabets[number] for number in stored["alphabet"][rows][first]):
        within[alphabet] += 1
        names.append(f"{alphabet}/{within[alphabet]:02d}")
    return Drawings(stored["images"][rows], labels, names, stored["drawer"][rows])


def rotated(drawings: Drawings) -> Drawings:
    """The drawings turned by 0, 90, 180 and 270 degrees, each turn of a character as one more character.

    Source: Santoro et al. 2016, [One-shot Learning with Memory-Augmented Neural
    Networks](https://arxiv.org/abs/1605.06065), and Vinyals et al. 2016, [Matching Networks for One Shot
    Learning](https://arxiv.org/abs/1606.04080), section 4.1.1.
    """
    count = len(drawings.names)
    return Drawings(
        np.concatenate([np.rot90(drawings.images, quarter, axes=(1, 2)) for quarter in range(len(TURNS))]),
        np.concatenate([drawings.labels + quarter * count for quarter in range(len(TURNS))]),
        [name if not turn else f"{name} turned {turn}" for turn in TURNS for name in drawings.names],
        np.tile(drawings.drawers, len(TURNS)),
    )


def as_dataset(drawings: Drawings) -> Dataset:
    """A data set with the columns `image`, pictures of one channel, and `label`, with the characters' names."""
    content = {"image": [_as_png(image) for image in drawings.images], "label": drawings.labels}
    return Dataset.from_dict(content, features=Features({"image": Image(), "label": ClassLabel(names=drawings.names)}))


def load(data: Path, split: str, *, rotations: bool | None = None) -> Dataset:
    """The data set of a split: see `read_drawings` and `as_dataset`.

    Args:
        data: the folder that holds `omniglot`.
        split: a name of `SPLITS`.
        rotations: whether rotated characters are classes of their own; by default in what is learnt from alone, which
            is `"train"` and `"background"`.

    Raises:
        FileNotFoundError, ValueError: those of `read_drawings`.
    """
    drawings = read_drawings(data, split)
    rotations = split in ("train", "background") if rotations is None else rotations
    return as_dataset(rotated(drawings) if rotations else drawings)


def read_runs(data: Path) -> OneShotRuns:
    """The official one-shot runs.

    Raises:
        FileNotFoundError: the file is not there; the message says what the folder should hold.
    """
    stored = _read(data, RUNS)
    return OneShotRuns(stored["support"], stored["query"], stored["query_class"].astype(np.int64))


def _read(data: Path, name: str) -> dict[str, Any]:
    path = data / "omniglot" / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; --data names the folder that holds omniglot/{name}.")
    with np.load(path, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def _as_png(image: np.ndarray) -> dict[str, Any]:
    content = BytesIO()
    Pillow.fromarray(image).save(content, "PNG")
    return {"bytes": content.getvalue(), "path": None}
