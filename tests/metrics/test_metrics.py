"""Each module of `evaluate` in `mann_hf/metrics` that measures episodes."""

import doctest
from pathlib import Path
from typing import Any
from uuid import uuid4

import evaluate
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

import mann_hf

ROOT = Path(mann_hf.__file__).parents[1]
OF_TEXTS = {"chrf", "exact_match", "rouge", "sacrebleu"}
"""Those of `test_text_metrics.py`."""
NAMES = sorted({file.stem for file in (ROOT / "mann_hf" / "metrics").glob("*/*.py")} - OF_TEXTS)
IGNORED = -100
SPLITS = 3
Rows = list[tuple[int, int, int]]
"""Episode, reference and prediction of each query; episode t is of split t % `SPLITS`."""


def load(name: str) -> Any:
    """The module, with a cache file of its own: two of one name wait a second for each other."""
    return evaluate.load(str(ROOT / "mann_hf" / "metrics" / name), experiment_id=uuid4().hex)


def columns(rows: Rows) -> dict[str, list[int]]:
    episodes, references, predictions = ([row[place] for row in rows] for place in range(3))
    splits = [episode % SPLITS for episode in episodes]
    return {"predictions": predictions, "references": references, "episodes": episodes, "splits": splits}


def compute(name: str, rows: Rows) -> dict[str, float]:
    metric = load(name)
    return metric.compute(**{column: values for column, values in columns(rows).items() if column in metric.features})


def random_rows(seed: int, episodes: int = 30, classes: int = 5, unknown: float = 0.1) -> Rows:
    """Episodes of different size in mixed order, with holes in their numbers."""
    random = np.random.default_rng(seed)
    rows: Rows = []
    for episode in random.choice(200, episodes, replace=False).tolist():
        for reference in random.integers(0, classes, random.integers(2, 15)).tolist():
            answer = reference if random.random() < 0.5 else int(random.integers(0, classes))
            rows.append((episode, IGNORED if random.random() < unknown else reference, answer))
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


def split_accuracy(rows: Rows) -> dict[str, float]:
    splits = [[row for row in rows if row[0] % SPLITS == split] for split in range(SPLITS)]
    each = [accuracy(some) for some in splits if some]
    means = [one["accuracy"] for one in each]
    return {
        "split_accuracy": float(np.mean(means)),
        "split_accuracy_ci95": sum(one["accuracy_ci95"] ** 2 for one in each) ** 0.5 / len(each),
        "split_accuracy_std": float(np.std(means, ddof=1)) if len(means) > 1 else 0.0,
    }


REFERENCES = {"episodic_accuracy": accuracy, "episodic_f1": f1, "split_accuracy": split_accuracy}
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


@every
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", [[], [(0, IGNORED, 0), (0, IGNORED, 1), (1, IGNORED, 0)]], ids=["none", "unknown"])
def test_nothing_known_is_an_error_that_says_so(name: str, rows: Rows) -> None:
    metric = load(name)
    given = {column: values for column, values in columns(rows).items() if column in metric.features}
    with pytest.raises(ValueError, match=f"none of the {len(rows)} queries is of a known class.*reference -100"):
        metric.compute(**given)
    right = {column: [0] for column in metric.features}
    assert next(iter(metric.compute(**right).values())) == 1, "what failed is forgotten"


@every
@pytest.mark.parametrize("kind", [list, np.array])
def test_columns_of_different_length(name: str, kind: Any) -> None:
    metric = load(name)
    for short in metric.features:
        given = {column: kind([0, 1, 1]) for column in metric.features} | {short: kind([0, 1])}
        says = (
            r"predictions \(2\) and references \(3\)"
            if short == "predictions"
            else rf"predictions \(3\) and {short} \(2\)"
        )
        with pytest.raises(ValueError, match=f"^Mismatch in the number of {says}$"):
            metric.compute(**given)


@every
def test_an_answer_of_no_class_is_a_wrong_one(name: str) -> None:
    rows = random_rows(3)
    rows = [
        (episode, reference, -1 if place % 5 == 0 else answer)
        for place, (episode, reference, answer) in enumerate(rows)
    ]
    assert compute(name, rows) == pytest.approx(REFERENCES[name](rows))


def test_a_single_episode_has_no_interval() -> None:
    assert compute("episodic_accuracy", [(3, 0, 0), (3, 1, 0)]) == {"accuracy": 0.5, "accuracy_ci95": 0.0}
    figures = {"split_accuracy": 0.5, "split_accuracy_ci95": 0.0, "split_accuracy_std": 0.0}
    assert compute("split_accuracy", [(3, 0, 0), (3, 1, 0)]) == figures


class TestSplits:
    def test_each_split_counts_the_same(self) -> None:
        """However many episodes it has: one of 4 with a mean of 0.5 and a variance of 1/3, one of 2 with 1."""
        scores = load("split_accuracy").compute(
            predictions=[1, 1, 0, 0, 1, 1], references=[1] * 6, episodes=[0, 1, 2, 3, 4, 5], splits=[0, 0, 0, 0, 7, 7]
        )
        assert scores == pytest.approx(
            {
                "split_accuracy": 0.75,
                "split_accuracy_ci95": 1.96 * (1 / 3 / 4) ** 0.5 / 2,
                "split_accuracy_std": 0.5 / 2**0.5,
            }
        )

    def test_splits_may_number_their_episodes_alike(self) -> None:
        given = columns(random_rows(4))
        order = {episode: place for place, episode in enumerate(sorted(set(given["episodes"])))}
        apart = given | {"episodes": [100 * order[episode] + 7 for episode in given["episodes"]]}
        alike = given | {"episodes": [episode // SPLITS for episode in given["episodes"]]}
        figures = [load("split_accuracy").compute(**each) for each in (given, apart, alike)]
        assert figures[0] == figures[1] == figures[2]

    def test_one_split_is_as_its_episodes(self) -> None:
        given = columns(random_rows(5)) | {"splits": [4] * len(random_rows(5))}
        scores = accuracy(random_rows(5))
        assert load("split_accuracy").compute(**given) == pytest.approx(
            {
                "split_accuracy": scores["accuracy"],
                "split_accuracy_ci95": scores["accuracy_ci95"],
                "split_accuracy_std": 0.0,
            }
        )

    def test_a_split_without_a_known_query_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"no query of split 2, 5 is of a known class.*leave these splits out"):
            load("split_accuracy").compute(
                predictions=[0] * 4,
                references=[0, IGNORED, IGNORED, IGNORED],
                episodes=[0, 0, 1, 2],
                splits=[0, 0, 2, 5],
            )


@every
def test_batches_add_up(name: str) -> None:
    rows = random_rows(1)
    metric = load(name)
    for start in range(0, len(rows), 50):
        batch = columns(rows[start : start + 50])
        metric.add_batch(**{column: batch[column] for column in metric.features})
    assert metric.compute() == compute(name, rows)


def test_they_go_together() -> None:
    rows = random_rows(2)
    expected = accuracy(rows) | f1(rows) | split_accuracy(rows)
    together = evaluate.combine([load(name) for name in NAMES])
    assert together.compute(**columns(rows)) == pytest.approx(expected)
    together.add_batch(**columns(rows))
    assert together.compute() == pytest.approx(expected)


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
    assert metric.description.strip() and {"predictions", "references", "episodes"} <= set(metric.features)
    for named in (*metric.features, *compute(name, [(0, 0, 0)])):
        assert f"{named}:" in metric.inputs_description
