"""The benchmark measures every cell once, keeps what it measured, and mixes nothing."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mann_hf.memory import READINGS
from tasks.few_shot_text import benchmark
from tasks.few_shot_text.benchmark import Benchmark, Cell
from tasks.few_shot_text.methods import BASELINES
from tasks.few_shot_text.vectors import VectorStore

TOPICS = ["account balance", "cancel order", "charge card", "new password", "refund payment", "transfer money"]
FILLERS = "a and am app are can do for get has help how i in is it my not of on".split()  # noqa: SIM905
ABOUT = {"name": "words", "fingerprint": "0"}


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small data sets: in every text, words of its topic among others."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)

    def rows(per_class: int) -> list[dict[str, str]]:
        return [
            {"text": " ".join(random.permutation([*topic.split(), *random.choice(FILLERS, 4)])), "label": label}
            for topic in TOPICS
            for label in [topic.replace(" ", "_")]
            for _ in range(per_class)
        ]

    write_rows(folder / "hwu64" / "train.jsonl.gz", rows(12))
    write_rows(folder / "hwu64" / "test.jsonl.gz", rows(5))
    write_rows(folder / "banking77" / "train.jsonl.gz", rows(12))
    write_rows(folder / "banking77" / "test.jsonl.gz", rows(5))
    write_rows(folder / "ag_news" / "test.jsonl.gz", rows(12))
    write_rows(folder / "protaugment" / "HWU64.jsonl.gz", rows(12))
    labels = [topic.replace(" ", "_") for topic in TOPICS]
    splits = {f"{n:02}": {"train": [], "valid": [], "test": labels} for n in range(1, 6)}
    (folder / "protaugment" / "HWU64.splits.json").write_text(json.dumps(splits))
    return folder


def bag_of_words(texts: list[str]) -> np.ndarray:
    vocabulary = sorted({word for topic in TOPICS for word in topic.split()} | set(FILLERS))
    counts = np.array([[text.lower().split().count(word) for word in vocabulary] for text in texts], dtype=np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.fixture
def small(data: Path, tmp_path: Path) -> Benchmark:
    return Benchmark(data, VectorStore(bag_of_words, tmp_path / "vectors"), seeds=2, episodes=6)


FIVE_WAY = Cell("five_way", "hwu64", 1, False)
ALL_CLASSES = Cell("all_classes", "hwu64", 5, True)


def read(folder: Path, cell: Cell) -> dict[str, Any]:
    return json.loads((folder / f"{cell.stem}.json").read_text())


def test_a_file_has_every_method_and_what_it_was_made_with(small: Benchmark, tmp_path: Path) -> None:
    benchmark.run(small, [FIVE_WAY, ALL_CLASSES], None, tmp_path / "out", ABOUT)
    for cell in (FIVE_WAY, ALL_CLASSES):
        found = read(tmp_path / "out", cell)
        assert list(found["methods"]) == [*READINGS, *BASELINES]
        assert found["encoder"] == ABOUT
        assert {"python", "torch", "scikit-learn"} <= set(found["versions"])
    found = read(tmp_path / "out", ALL_CLASSES)
    assert found["settings"] == {"seeds": 2}
    assert found["counts"] == {"classes": 6, "entries": 36, "queries": 30}
    seeds = found["methods"]["logistic"]["by_seed"]
    assert len(seeds) == 2
    assert found["methods"]["logistic"]["accuracy"] == pytest.approx(np.mean([seed["accuracy"] for seed in seeds]))
    assert not list((tmp_path / "out").glob("*.unfinished"))


def test_every_method_is_asked_the_same_episodes(small: Benchmark, tmp_path: Path) -> None:
    benchmark.run(small, [FIVE_WAY], None, tmp_path, ABOUT)
    found = read(tmp_path, FIVE_WAY)["methods"]
    # of one example a class, all but the solved readings take the nearest
    assert found["prototype"]["by_split"] == found["nearest_centroid"]["by_split"] == found["attention"]["by_split"]
    assert len(set(found["prototype"]["by_split"].values())) > 1
    assert found["prototype"]["accuracy"] == pytest.approx(
        np.mean([*found["prototype"]["by_split"].values()]), abs=1e-3
    )
    assert 0 < found["prototype"]["interval"] < 20


def watched(small: Benchmark, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods that are measured from now on."""
    measured: list[str] = []
    original = small.measure

    def measure(cell: Cell, methods: list[str]) -> Any:
        measured.extend(methods)
        return original(cell, methods)

    monkeypatch.setattr(small, "measure", measure)
    return measured


def test_what_is_there_is_not_measured_again(small: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark.run(small, [ALL_CLASSES], ["prototype"], tmp_path, ABOUT)
    assert list(read(tmp_path, ALL_CLASSES)["methods"]) == ["prototype", *BASELINES]
    measured = watched(small, monkeypatch)
    benchmark.run(small, [ALL_CLASSES], ["prototype", "logistic"], tmp_path, ABOUT)
    assert measured == ["logistic"]
    assert list(read(tmp_path, ALL_CLASSES)["methods"]) == ["logistic", "prototype", *BASELINES]
    benchmark.run(small, [ALL_CLASSES], ["logistic"], tmp_path, ABOUT, force=True)
    assert measured == ["logistic", "logistic"]
    assert len(read(tmp_path, ALL_CLASSES)["methods"]) == 4


def test_figures_of_other_settings_are_not_mixed(small: Benchmark, data: Path, tmp_path: Path) -> None:
    benchmark.run(small, [ALL_CLASSES], ["prototype"], tmp_path, ABOUT)
    more = Benchmark(data, small.vectors, seeds=3, episodes=6)
    with pytest.raises(SystemExit, match=r"'seeds': 2.*'seeds': 3.*--output"):
        benchmark.run(more, [ALL_CLASSES], None, tmp_path, ABOUT)
    with pytest.raises(SystemExit, match="without --readings"):
        benchmark.run(more, [ALL_CLASSES], ["logistic"], tmp_path, ABOUT, force=True)
    with pytest.raises(SystemExit, match="other"):
        benchmark.run(small, [ALL_CLASSES], None, tmp_path, {"name": "other", "fingerprint": "1"})
    assert read(tmp_path, ALL_CLASSES)["settings"] == {"seeds": 2}
    benchmark.run(more, [ALL_CLASSES], None, tmp_path, ABOUT, force=True)
    assert read(tmp_path, ALL_CLASSES)["settings"] == {"seeds": 3}


def test_two_runs_agree(small: Benchmark, tmp_path: Path) -> None:
    def figures(folder: Path) -> dict[str, float]:
        benchmark.run(small, [ALL_CLASSES, FIVE_WAY], ["logistic"], folder, ABOUT)
        return {
            f"{cell.setting} {method}": result["accuracy"]
            for cell in (ALL_CLASSES, FIVE_WAY)
            for method, result in read(folder, cell)["methods"].items()
        }

    assert figures(tmp_path / "first") == figures(tmp_path / "second")


def test_what_is_taught_is_not_asked(small: Benchmark) -> None:
    task = small._task(Cell("all_classes", "ag_news", 10, False), seed=0)
    assert (len(task.keys), len(task.queries)) == (60, 12)
    assert np.bincount(task.labels).tolist() == [10] * 6
    assert np.bincount(task.answers).tolist() == [2] * 6
    assert not task.name_keys


def test_a_large_memory_holds_the_whole_train_set(small: Benchmark, tmp_path: Path) -> None:
    cell = Cell("large_memory", "banking77", None, False)
    benchmark.run(small, [cell], ["least_squares"], tmp_path, ABOUT)
    found = read(tmp_path, cell)
    assert found["counts"]["entries"] == 72
    assert found["settings"] == {"seeds": 1}
    assert set(found["methods"]) == {
        *(method for method in benchmark.LARGE_MEMORY if method.startswith("least_squares")),
        *BASELINES,
    }


def test_times_that_are_compared_are_taken_in_one_run(
    small: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell("large_memory", "banking77", None, False)
    benchmark.run(small, [cell], ["logistic"], tmp_path, ABOUT)
    measured = watched(small, monkeypatch)
    benchmark.run(small, [cell], ["logistic"], tmp_path, ABOUT)
    assert not measured
    benchmark.run(small, [cell], ["prototype"], tmp_path, ABOUT)
    assert measured == ["logistic", "prototype", *BASELINES]


def test_cells_are_chosen_by_pattern_and_data_set() -> None:
    cells = benchmark.all_cells()
    assert len(cells) == len({cell.stem for cell in cells}) == 12 + 36 + 1
    chosen = benchmark.matching(cells, ["five_way-*"], ["hwu64"])
    assert {cell.stem for cell in chosen} == {
        f"five_way-hwu64-{shots}-shot-{names}" for shots in (1, 5) for names in ("names", "no-names")
    }
    with pytest.raises(SystemExit, match="five_way-banking77-1-shot-names"):
        benchmark.matching(cells, ["six_way*"], None)


def test_the_command_prints_its_tables(
    data: Path, tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", data, "--encoder", tiny_encoder, "--cells", "all_classes-hwu64-1-shot-*"]
    arguments += [
        "--readings",
        "prototype",
        "--seeds",
        "1",
        "--output",
        tmp_path / "out",
        "--cache",
        tmp_path / "cache",
    ]
    benchmark.main([str(argument) for argument in arguments])
    first = capsys.readouterr()
    accuracy = read(tmp_path / "out", Cell("all_classes", "hwu64", 1, True))["methods"]["prototype"]["accuracy"]
    assert f"| `prototype`, names | – / – / – | {accuracy:.1f} / – / – |" in first.out
    assert "all_classes-hwu64-1-shot-names" in first.err
    benchmark.main([str(argument) for argument in arguments])
    second = capsys.readouterr()
    assert second.out == first.out
    assert "is there already" in second.err
