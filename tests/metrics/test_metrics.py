"""Each folder of `mann_hf/metrics` as a module of `evaluate`."""

import doctest
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

import mann_hf

ROOT = Path(mann_hf.__file__).parents[1]
FOLDERS = sorted(file.parent for file in (ROOT / "mann_hf" / "metrics").glob("*/*.py"))
NAMES = [folder.name for folder in FOLDERS]
IGNORED = -100
Rows = list[tuple[int, int, int]]
"""Episode, reference and prediction of each query."""


def load(name: str) -> Any:
    return evaluate.load(str(ROOT / "mann_hf" / "metrics" / name))


def columns(rows: Rows) -> dict[str, list[int]]:
    episodes, references, predictions = ([row[place] for row in rows] for place in range(3))
    return {"predictions": predictions, "references": references, "episodes": episodes}


def compute(name: str, rows: Rows) -> dict[str, float]:
    return load(name).compute(**columns(rows))


def random_rows(seed: int, episodes: int = 30, classes: int = 5, unknown: float = 0.1) -> Rows:
    """Episodes of different size in mixed order, with holes in their numbers."""
    random = np.random.default_rng(seed)
    rows: Rows = []
    for episode in random.choice(200, episodes, replace=False).tolist():
        for reference in random.integers(0, classes, random.integers(2, 15)).tolist():
            told = reference if random.random() < 0.5 else int(random.integers(0, classes))
            rows.append((episode, IGNORED if random.random() < unknown else reference, told))
        rows.append((episode, 0, 0))  # so that none is of queries of no class alone
    return [rows[place] for place in random.permutation(len(rows))]


def of_each(rows: Rows) -> list[tuple[list[int], list[int]]]:
    known = [row for row in rows if row[1] != IGNORED]
    each = [[row for row in known if row[0] == episode] for episode in {row[0] for row in known}]
    return [([row[1] for row in some], [row[2] for row in some]) for some in each]


def accuracy(rows: Rows) -> dict[str, float]:
    figures = [float(accuracy_score(*each)) for each in of_each(rows)]
    spread = 1.96 * float(np.std(figures, ddof=1)) / len(figures) ** 0.5 if len(figures) > 1 else 0.0
    return {"accuracy": float(np.mean(figures)), "accuracy_ci95": spread}


def f1(rows: Rows) -> dict[str, float]:
    return {"macro_f1": float(np.mean([f1_score(*each, average="macro", zero_division=0.0) for each in of_each(rows)]))}


REFERENCES = {"episodic_accuracy": accuracy, "episodic_f1": f1}
every = pytest.mark.parametrize("name", NAMES)


def test_every_module_has_a_reference_here() -> None:
    assert sorted(REFERENCES) == NAMES


@every
@pytest.mark.parametrize("seed", range(4))
def test_the_figures_are_those_of_each_episode_by_itself(name: str, seed: int) -> None:
    rows = random_rows(seed, classes=2 + seed)
    assert compute(name, rows) == pytest.approx(REFERENCES[name](rows))


@every
def test_all_right_and_all_wrong(name: str) -> None:
    rows = [(episode, label, label) for episode in range(3) for label in range(4)]
    wrong = [(episode, label, (label + 1) % 4) for episode, label, _ in rows]
    figure = next(iter(compute(name, rows)))
    assert compute(name, rows)[figure] == 1 and compute(name, wrong)[figure] == 0


@every
def test_queries_of_no_class_are_passed_over(name: str) -> None:
    rows = random_rows(0, unknown=0)
    more = [(episode, IGNORED, prediction) for episode, _, prediction in random_rows(0, unknown=0)]
    only = [(500, IGNORED, 1), (500, IGNORED, 7)]
    assert compute(name, [*rows, *more, *only]) == compute(name, rows)


@every
def test_each_episode_counts_the_same(name: str) -> None:
    large = [(0, label, 0) for label in range(2)] * 10
    small = [(1, 0, 0), (1, 1, 1)]
    figure = next(iter(compute(name, small)))
    both, apart = compute(name, [*large, *small]), [compute(name, rows)[figure] for rows in (large, small)]
    assert both[figure] == pytest.approx(sum(apart) / 2)


def test_a_single_episode_has_no_interval() -> None:
    assert compute("episodic_accuracy", [(3, 0, 0), (3, 1, 0)]) == {"accuracy": 0.5, "accuracy_ci95": 0.0}


def test_batches_add_up() -> None:
    rows = random_rows(1)
    metric = load("episodic_accuracy")
    for start in range(0, len(rows), 50):
        metric.add_batch(**columns(rows[start : start + 50]))
    assert metric.compute() == compute("episodic_accuracy", rows)


def test_they_go_together() -> None:
    rows = random_rows(2)
    together = evaluate.combine([load(name) for name in NAMES])
    assert together.compute(**columns(rows)) == pytest.approx(accuracy(rows) | f1(rows))


@every
def test_examples_in_the_description_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # they load by a path from there
    text = load(name).inputs_description
    examples = doctest.DocTestParser().get_doctest(text, {"evaluate": evaluate}, name, None, None)
    assert len(examples.examples) >= 2
    assert doctest.DocTestRunner().run(examples).failed == 0


@every
def test_it_says_what_it_is_and_what_it_gives(name: str) -> None:
    metric = load(name)
    assert metric.description.strip() and set(metric.features) == {"predictions", "references", "episodes"}
    for figure in compute(name, [(0, 0, 0)]):
        assert f"{figure}:" in metric.inputs_description
