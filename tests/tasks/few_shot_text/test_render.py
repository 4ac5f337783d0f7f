"""The page says what the result files say."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.common import pages
from tasks.few_shot_text import render
from tasks.few_shot_text.render_speed import SPEED_TABLES, WRITE_TITLES, speed_tables
from tasks.few_shot_text.render_trained import TRAINED_TABLES

NAMES = [*render.TABLES, *TRAINED_TABLES, *SPEED_TABLES]
MARKED = "# Page\n" + "".join(f"<!-- results: {name} -->\nold\n<!-- end of results -->\ntext\n" for name in NAMES)


def write_cell(folder: Path, cell: dict[str, Any], methods: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    about = {"encoder": {"name": "e", "fingerprint": "f" * 64}, "versions": {"torch": "2"}, "seconds": 60.0}
    name = "-".join(map(str, cell.values()))
    (folder / f"{name}.json").write_text(json.dumps({"cell": cell, "methods": methods, **about}))


def all_classes(dataset: str, shots: int, names: bool) -> dict[str, Any]:
    return {"setting": "all_classes", "dataset": dataset, "shots": shots, "names": names}


SPEED = {
    "material": "messages",
    "slots": 1000,
    "processor": "a processor",
    "threads": 2,
    "versions": {"torch": "1.2.3"},
    "predict_over_encoder": 1.04,
    "read_over_faiss": {"10000": 2.5},
    "peak_memory_mib": 1234.4,
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for names, logistic in ((False, 50.0), (True, 59.96)):
        methods = {
            "logistic": {"accuracy": logistic, "calibration_error": 3.25, "oracle_calibration_error": 2.0},
            "logistic_regression": {"accuracy": 50.5, "calibration_error": 40.0},
            "nearest_centroid": {"accuracy": 50.2},
        }
        write_cell(folder, all_classes("hwu64", 5, names), methods)
    five_way = {"setting": "five_way", "dataset": "banking77", "shots": 1, "names": True}
    write_cell(folder, five_way, {"prototype": {"accuracy": 90.04, "interval": 0.26}})
    large = {"setting": "large_memory", "dataset": "banking77", "shots": None, "names": False}
    times = {"calibration_error": 2.0, "accuracy": 93.0}
    write_cell(
        folder,
        large,
        {
            "logistic": {**times, "solve_seconds": 4.0, "read_seconds": 0.5},
            "least_squares_exact": {**times, "solve_seconds": 60.0, "read_seconds": 0.25},
            "least_squares_128_neighbours": {**times, "solve_seconds": 0.0, "read_seconds": 500.0},
        },
    )
    (folder / "speed.json").write_text(json.dumps(SPEED))
    return folder


def test_figures_stand_in_their_places(results: Path) -> None:
    tables = render.tables(render.load(results))
    assert "| `logistic`, names | – / – / – | – / 60.0 / – |" in tables["all_classes"]
    assert "| `prototype`, names | 90.0 ± 0.3 / – | – / – | – / – |" in tables["five_way"]
    assert "| `logistic`, oracle * | – / – / – | – / 2.0 / – |" in tables["calibration"]
    assert "| scikit-learn LogisticRegression | – / – / – | – / 40.0 / – |" in tables["calibration"]
    assert "| `least_squares`, all slots together | 93.0 | 2.0 | 15 | 0.50 |" in tables["large_memory"]
    assert "| `least_squares`, 128 nearest slots | 93.0 | 2.0 | 0.00 | 1,000 |" in tables["large_memory"]


def test_files_of_other_measurements_are_passed_over(results: Path) -> None:
    before = render.load(results)
    (results / "notes.json").write_text('{"accuracy": 1.0}')
    assert render.load(results) == before


def test_speed_is_told_with_what_it_was_measured_on(results: Path) -> None:
    table = speed_tables(results)["speed"]
    assert "| teach" not in table and "bfloat16" not in table
    assert "| 1,000 examples stored | ratio |" in table
    assert "the bare encoder | 1.04 |" in table
    assert "10,000 slots | 2.50 |" in table
    assert "On messages, with 2 threads of a processor; torch 1.2.3. Most memory in use: 1,234 MiB." in table
    halves = {"throughput_bf16_over_sentence_transformers": 2.2, "accuracy_bf16_minus_float32": -0.06}
    (results / "speed.json").unlink()
    assert speed_tables(results)["speed"] == "Not measured."
    (results / "speed.json").write_text(json.dumps(SPEED | halves))
    assert "Accuracy in bfloat16: -0.06 points." in speed_tables(results)["speed"]


def test_what_writes_and_answers_cost_has_a_column_for_each_memory(results: Path) -> None:
    times = dict.fromkeys(WRITE_TITLES, 12.345)
    cells = {
        "3000": {"entries": 3000, "labels": 1500, "store": "exact", **times},
        "1000000": {"entries": 1_000_000, "labels": 150, "store": "faiss", **times},
    }
    made_on = {name: SPEED[name] for name in ("processor", "threads", "versions")}
    (results / "scale.json").write_text(json.dumps({**made_on, "cells": cells}))
    table = speed_tables(results)["scale"]
    assert "| 3,000 entries of 1,500 labels | 1,000,000 entries of 150 labels, store `faiss` |" in table
    assert "| one forgotten, ms | 12.3 | 12.3 |" in table
    assert "Measured with 2 threads of a processor; torch 1.2.3." in table


def test_a_method_without_figures_has_no_row(results: Path) -> None:
    assert "attention" not in render.all_classes(render.load(results))


def test_a_reading_is_held_against_the_better_baseline(results: Path) -> None:
    table = render.default(render.load(results))
    behind = "-0.5 (HWU64, K = 5) | 1 of 1 |"
    assert f"| `logistic` | – | 50.0 | – | 50.0 | 3.2 | 2.0 | {behind} {behind}" in table
    assert (
        "| `logistic`, names | – | 60.0 | – | 60.0 | 3.2 | 2.0 | +9.5 (HWU64, K = 5) | 0 of 1 | +9.5 (HWU64, K = 5) |"
        in table
    )


def test_the_page_is_written_and_drift_is_noticed(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(MARKED)
    arguments = ["--results", str(results), "--page", str(page)]
    with pytest.raises(SystemExit, match="differs"):
        render.main([*arguments, "--check"])
    assert page.read_text() == MARKED
    render.main(arguments)
    render.main([*arguments, "--check"])
    written = page.read_text()
    assert "old" not in written
    assert written.count("\ntext\n") == len(NAMES)
    page.write_text(written.replace("60.0", "61.0"))
    with pytest.raises(SystemExit, match="differs"):
        render.main([*arguments, "--check"])


@pytest.mark.parametrize(
    "page",
    ["no places", MARKED.replace("results: five_way", "results: six_way"), MARKED.replace("<!-- end", "<!--", 1)],
)
def test_a_page_with_other_places_is_refused(page: str, results: Path) -> None:
    with pytest.raises(ValueError, match="place|needs a line"):
        pages.rendered(page, render.tables(render.load(results)))


def test_the_page_in_this_checkout_is_up_to_date() -> None:
    render.main(["--check"])
