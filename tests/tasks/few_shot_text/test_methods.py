"""What is compared is compared on the same footing, and its figures are what they are called."""

import numpy as np
import pytest
import torch

from mann_hf.memory import READINGS
from tasks.few_shot_text import methods
from tasks.few_shot_text.methods import Task


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def clusters(per_class: int, spread: float, seed: int = 0, classes: int = 4, size: int = 8) -> np.ndarray:
    """[classes, per_class, size] unit vectors around an axis a class."""
    noise = np.random.default_rng(seed).normal(size=(classes, per_class, size))
    return unit(np.eye(classes, size)[:, None] + spread * noise)


def build_task(spread: float = 0.2, shots: int = 3, names: bool = False, order: list[int] | None = None) -> Task:
    """Examples of four classes, taught in any order, and ten queries of each."""
    keys = clusters(shots, spread).reshape(-1, 8)
    labels = np.repeat(np.arange(4), shots)
    rows = np.arange(len(labels)) if order is None else np.array(order)
    return Task(
        texts=[f"text {row}" for row in rows],
        keys=keys[rows],
        labels=labels[rows],
        names=["a", "b", "c", "d"],
        name_keys={name: np.eye(4, 8, dtype=np.float32)[i] for i, name in enumerate("abcd")} if names else {},
        queries=clusters(10, spread, seed=1).reshape(-1, 8),
        answers=np.repeat(np.arange(4), 10),
    )


def test_calibration_error_is_the_mean_gap_over_the_bins() -> None:
    random = torch.Generator().manual_seed(0)
    probabilities = (2 * torch.randn(500, 6, generator=random)).softmax(-1)
    answers = torch.randint(6, (500,), generator=random)
    expected = 0.0
    score, label = probabilities.max(-1)
    for low in range(15):
        inside = (score >= low / 15) & (score < (low + 1) / 15)
        if inside.any():
            accuracy = (label[inside] == answers[inside]).double().mean()
            expected += inside.double().mean().item() * abs(accuracy - score[inside].double().mean()).item()
    assert methods.calibration_error(probabilities, answers) == pytest.approx(100 * expected, abs=1e-4)


@pytest.mark.parametrize(("score", "right", "error"), [(1.0, 4, 0.0), (1.0, 0, 100.0), (0.75, 2, 25.0)])
def test_calibration_error_of_known_cases(score: float, right: int, error: float) -> None:
    probabilities = torch.tensor([[score, 1 - score]]).expand(4, 2)
    answers = torch.tensor([0] * right + [1] * (4 - right))
    assert methods.calibration_error(probabilities, answers) == pytest.approx(error)


@pytest.mark.parametrize("name", READINGS)
def test_an_episode_is_answered_from_its_own_memory_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    keys, queries = unit(random.normal(size=(7, 10, 8))), unit(random.normal(size=(7, 6, 8)))
    labels = np.tile(np.arange(5).repeat(2), (7, 1))
    reading = methods.build_reading(name, 8)
    alone = [methods.read_episodes(reading, keys[[e]], labels[[e]], queries[[e]])[0] for e in range(7)]
    monkeypatch.setattr(methods, "EPISODES_AT_ONCE", 3)
    together = methods.read_episodes(reading, keys, labels, queries)
    assert (together == np.stack(alone)).all()
    assert len(np.unique(together)) > 1


@pytest.mark.parametrize("name", methods.BASELINES)
def test_baselines_answer_each_episode(name: str) -> None:
    keys = np.stack([clusters(2, 0.1, seed=e).reshape(-1, 8) for e in range(3)])
    labels = np.tile(np.arange(4).repeat(2), (3, 1))
    queries = np.stack([clusters(5, 0.1, seed=10 + e).reshape(-1, 8) for e in range(3)])
    assert (methods.baseline_episodes(name, keys, labels, queries) == np.arange(4).repeat(5)).all()


@pytest.mark.parametrize("name", READINGS)
def test_figures_do_not_depend_on_the_order_of_the_examples(name: str) -> None:
    order = np.random.default_rng(3).permutation(12).tolist()
    assert order[0] >= 3  # so that the memory's first label is not the first of the names
    reading = methods.build_reading(name, 8)
    first = methods.read_all(reading, build_task())
    again = methods.read_all(reading, build_task(order=order))
    for figure in ("accuracy", "calibration_error", "sharpness"):
        assert again[figure] == pytest.approx(first[figure], abs=1e-3)
    assert first["accuracy"] > 90


@pytest.mark.parametrize("name", READINGS)
def test_no_sharpness_beats_the_oracle(name: str) -> None:
    found = methods.read_all(methods.build_reading(name, 8), build_task(spread=0.5))
    assert found["oracle_calibration_error"] <= found["calibration_error"] + 0.5  # it looks at a grid


@pytest.mark.parametrize("name", [*READINGS, *methods.BASELINES])
def test_label_names_are_entries(name: str) -> None:
    def accuracy(names: bool) -> float:
        task = build_task(spread=0.6, shots=1, names=names)
        if name in READINGS:
            return methods.read_all(methods.build_reading(name, 8), task)["accuracy"]
        return methods.baseline_all(name, task)["accuracy"]

    assert accuracy(names=True) > accuracy(names=False)


def test_only_classifiers_with_probabilities_have_a_calibration_error() -> None:
    assert 0 < methods.baseline_all("logistic_regression", build_task())["calibration_error"] < 100
    assert "calibration_error" not in methods.baseline_all("nearest_centroid", build_task())
