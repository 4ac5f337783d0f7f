"""An invented Omniglot that is learnt in a few steps, and a recipe for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tasks.omniglot import data

DRAWERS = 6
ALPHABETS = ["Aurek-Besh", *data.VALIDATION_ALPHABETS, "Greek", "Latin"]
CHARACTERS = [
    (name, name == "Aurek-Besh") for name in ("Greek", "Latin", "Hebrew", "Korean", "Aurek-Besh") for _ in range(3)
]
RECIPE: dict[str, Any] = {
    "split": "train",
    "encoder": {"hidden_size": 4},
    "model": {
        "reading": "prototype", "similarity": "euclidean", "normalize": False, "reading_options": {"sharpness": 0.1},
    },
    "augmentation": {"turn": 5, "shear": 5, "stretch": 0.1, "shift": 1},
    "run": {
        "n_way": 3, "k_shot": 1, "n_query": 1, "episodes_per_step": 2, "max_steps": 3, "learning_rate": 1e-2,
        "logging_steps": 1,
    },
}  # fmt: skip


def drawn(character: int, drawer: int) -> np.ndarray:
    """A few blots that are those of the character, with a few pixels of the drawer's own."""
    coarse = np.random.default_rng(character).random((7, 7)) < 0.3
    noise = np.random.default_rng([character, drawer]).random((28, 28)) < 0.02
    return np.where(np.kron(coarse, np.ones((4, 4), bool)) ^ noise, 255, 0).astype(np.uint8)


@pytest.fixture(scope="session")
def drawings_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three characters of each alphabet, and two runs in shades of grey."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "omniglot").mkdir()
    rows = [(number, drawer) for number in range(len(CHARACTERS)) for drawer in range(DRAWERS)]
    content: dict[str, Any] = {
        "images": np.stack([drawn(*row) for row in rows]),
        "character": np.array([number for number, _ in rows], np.int16),
        "drawer": np.array([drawer + 1 for _, drawer in rows], np.int8),
        "alphabet": np.array([ALPHABETS.index(CHARACTERS[number][0]) for number, _ in rows], np.int8),
        "evaluation": np.array([CHARACTERS[number][1] for number, _ in rows], np.int8),
        "alphabet_names": np.array(ALPHABETS),
    }
    np.savez(folder / "omniglot" / data.DRAWINGS, **content)
    tested = [number for number, (_, is_test) in enumerate(CHARACTERS) if is_test]
    classes = np.array([[2, 0, 1], [1, 2, 0]])
    support = np.stack([[drawn(number, run) for number in tested] for run in (0, 2)])
    query = np.stack([
        [drawn(tested[place], run) for place in places] for run, places in zip((1, 3), classes, strict=True)
    ])  # fmt: skip
    grey = lambda pictures: np.where(pictures > 0, 200, 90).astype(np.uint8)  # noqa: E731
    np.savez(folder / "omniglot" / data.RUNS, support=grey(support), query=grey(query), query_class=classes)
    return folder


@pytest.fixture
def recipe_folder(tmp_path: Path) -> Path:
    """A folder with the recipe `small`."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "small.yaml").write_text(yaml.safe_dump(RECIPE))
    return folder
