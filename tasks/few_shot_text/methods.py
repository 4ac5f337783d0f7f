"""What is compared, all on the same vectors: the ways to read a memory, and two classifiers of scikit-learn."""

import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from mann_hf.memory import READINGS, KeyValueMemory, Reading, calibrate
from mann_hf.models import LabelledMemory
from mann_hf.persistent.entries import Example

from .data import Episodes

BASELINES = ("logistic_regression", "nearest_centroid")
BASELINE_C = 10.0
"""C of scikit-learn's logistic regression, the inverse of its weight decay."""
BINS = 15
EPISODES_AT_ONCE = 100
QUERIES_AT_ONCE = 128
"""A local solve holds a matrix for each query."""
ORACLE_RANGE = np.exp(np.linspace(-3, 3, 61))
"""Multiples of a reading's own sharpness among which the best is looked for."""

Result = dict[str, Any]


class Task(NamedTuple):
    """What is taught and what is asked.

    Attributes:
        texts: S examples.
        keys: [S, K] their vectors.
        labels: [S] numbers of their labels.
        names: the labels.
        name_keys: [K] of the words of each label that has some; empty where label names are no entries.
        queries: [Q, K].
        answers: [Q] numbers of the right labels.
    """

    texts: list[str]
    keys: np.ndarray
    labels: np.ndarray
    names: list[str]
    name_keys: dict[str, np.ndarray]
    queries: np.ndarray
    answers: np.ndarray

    @property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Vectors and label numbers of the examples, and of the label names behind them."""
        named = [self.names.index(name) for name in self.name_keys]
        return np.stack([*self.keys, *self.name_keys.values()]), np.array([*self.labels, *named])


def build_reading(name: str, key_size: int, **settings: Any) -> Reading:
    """A way of reading by its name, for vectors of `key_size`."""
    return READINGS[name](key_size, **settings).eval()


@torch.no_grad()
def read_episodes(reading: Reading, keys: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Answers [E, Q] in episodes of keys [E, S, K], labels [E, S] and queries [E, Q, K]; each has its own memory."""
    memory = KeyValueMemory(keys.shape[-1], int(labels.max()) + 1)
    answers = []
    for start in range(0, len(keys), EPISODES_AT_ONCE):
        part = slice(start, start + EPISODES_AT_ONCE)
        taught, values = torch.from_numpy(keys[part]), F.one_hot(torch.from_numpy(labels[part]), memory.value_size)
        solution = reading.solve(memory.write(memory.initial_state(len(taught)), taught, values.to(taught.dtype)))
        answers.append(reading(solution, torch.from_numpy(queries[part])).argmax(-1))
    return torch.cat(answers).numpy()


def fit_baseline(name: str, keys: np.ndarray, labels: np.ndarray) -> LogisticRegression | NearestCentroid:
    """A classifier of scikit-learn: `"logistic_regression"` or `"nearest_centroid"`."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", UserWarning)  # that there are few examples of a class, or but one
        warnings.simplefilter("error", ConvergenceWarning)
        if name == "nearest_centroid":
            return NearestCentroid().fit(keys, labels)
        return LogisticRegression(C=BASELINE_C, max_iter=2000).fit(keys, labels)


def baseline_episodes(name: str, keys: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """As `read_episodes`, by a classifier of scikit-learn."""
    with threadpool_limits(1):  # threads would wait for each other longer than they work
        return np.stack([fit_baseline(name, k, y).predict(q) for k, y, q in zip(keys, labels, queries, strict=True)])


def calibration_error(probabilities: Tensor, answers: Tensor) -> float:
    """Expected calibration error of the top score, percent, over `BINS` bins of equal width.

    Source: Guo et al. 2017, [On Calibration of Modern Neural Networks](https://arxiv.org/abs/1706.04599), equation 3.
    """
    score, label = probabilities.max(dim=-1)
    right = (label == answers).to(score.dtype)
    place = (score * BINS).long().clamp_max(BINS - 1)
    gap = torch.zeros(BINS, dtype=score.dtype).index_add(0, place, right - score)
    return 100 * (gap.abs().sum() / len(score)).item()


def episode_accuracies(method: str, vectors: np.ndarray, drawn: Episodes, words: np.ndarray | None) -> np.ndarray:
    """The share of right answers in each episode, percent [E].

    Args:
        method: a reading, or one of `BASELINES`.
        vectors: [n, K] of all texts.
        drawn: the episodes, as rows of the vectors.
        words: [classes, K] of the words of the labels, to be entries beside the examples; None for none.
    """
    count, ways = drawn.classes.shape
    keys = vectors[drawn.support].reshape(count, -1, vectors.shape[1])
    labels = np.tile(np.repeat(np.arange(ways), drawn.support.shape[2]), (count, 1))
    if words is not None:
        keys = np.concatenate([keys, words[drawn.classes]], axis=1)
        labels = np.concatenate([labels, np.tile(np.arange(ways), (count, 1))], axis=1)
    queries = vectors[drawn.query].reshape(count, -1, vectors.shape[1])
    if method in BASELINES:
        found = baseline_episodes(method, keys, labels, queries)
    else:
        found = read_episodes(build_reading(method, keys.shape[-1]), keys, labels, queries)
    return 100 * (found == np.repeat(np.arange(ways), drawn.query.shape[2])).mean(axis=1)


@torch.no_grad()
def read_all(reading: Reading, task: Task) -> Result:
    """Accuracy and calibration of a reading on a task, percent, and seconds of each step."""
    memory, _ = LabelledMemory.empty(task.keys.shape[1]).remember(
        torch.from_numpy(task.keys),
        list(map(Example, [task.names[label] for label in task.labels], task.texts)),
        {name: torch.from_numpy(key) for name, key in task.name_keys.items()},
    )
    state, queries = memory.reading_state, torch.from_numpy(task.queries)[None]
    column = {label: number for number, label in enumerate(memory.labels)}
    answers = torch.tensor([column[task.names[label]] for label in task.answers])
    started = time.perf_counter()
    solution = reading.solve(state)
    solved = time.perf_counter()
    sharpness = calibrate(reading, memory.reading_state, memory.examples).sharpness
    calibrated = time.perf_counter()
    scores = torch.cat([reading.scores(solution, part) for part in queries.split(QUERIES_AT_ONCE, dim=1)], dim=1)
    logits = reading.logits(solution, scores, sharpness)[0]
    read = time.perf_counter()
    oracle = [
        (calibration_error(reading.logits(solution, scores, float(beta))[0].softmax(-1), answers), float(beta))
        for beta in float(reading.sharpness) * ORACLE_RANGE
    ]
    return {
        "accuracy": 100 * (logits.argmax(-1) == answers).double().mean().item(),
        "calibration_error": calibration_error(logits.softmax(-1), answers),
        "sharpness": float(sharpness),
        "oracle_calibration_error": min(oracle)[0],
        "oracle_sharpness": min(oracle)[1],
        "solve_seconds": solved - started,
        "calibrate_seconds": calibrated - solved,
        "read_seconds": read - calibrated,
    }


def baseline_all(name: str, task: Task) -> Result:
    """Accuracy of a classifier of scikit-learn on a task, and its calibration if it gives probabilities."""
    started = time.perf_counter()
    fitted = fit_baseline(name, *task.rows)
    solved = time.perf_counter()
    answers = fitted.predict(task.queries)
    read = time.perf_counter()
    result = {
        "accuracy": 100 * float((answers == task.answers).mean()),
        "solve_seconds": solved - started,
        "read_seconds": read - solved,
    }
    if isinstance(fitted, LogisticRegression):
        probabilities = torch.from_numpy(fitted.predict_proba(task.queries))
        result["calibration_error"] = calibration_error(probabilities, torch.from_numpy(task.answers))
    return result
