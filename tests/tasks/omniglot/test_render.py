"""The page says what the result files say."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.common.seeds import over_seeds
from tasks.omniglot import render

PAGE = "# Page\n" + "".join(
    f"<!-- results: {name} -->\nold\n<!-- end of results -->\ntext\n" for name in render.TABLES
)  # fmt: skip


def result(seed: int, accuracy: float, error: float) -> dict[str, Any]:
    both = lambda figures: dict.fromkeys(render.METHODS, figures)  # noqa: E731
    figures: dict[str, Any] = {
        setting: both({"accuracy": accuracy, "interval": 0.25}) for setting in render.SETTINGS
    }  # fmt: skip
    figures["runs"] = both({"error": error, "error_by_run": [0.0, 2 * error]})
    trained = {"recipe": "conv4", "seed": seed, "images": 2_000_000, "cpu_minutes": 20.0 + seed}
    return {"trained": trained, "figures": figures, "versions": {"torch": "1.2"}}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    for seed, (accuracy, error) in enumerate([(98.0, 4.0), (98.5, 5.0), (99.0, 6.0)]):
        (folder / f"conv4-seed-{seed}.json").write_text(json.dumps(result(seed, accuracy, error)))
    return folder


def test_means_have_the_interval_of_students_t(results: Path) -> None:
    tables = render.tables(render.load_results(results))
    # standard deviations 0.5 and 1 over three seeds: 4.303 / sqrt(3) times as much
    assert "| `conv4` | 98.50 ± 1.24 | 98.50 ± 1.24 | 98.50 ± 1.24 | 98.50 ± 1.24 | 21 |" in tables["episodes"]
    assert "| `conv4`, mean key of 25 places | 5.00 ± 2.48 | 0 to 12 | 21 |" in tables["runs"]
    assert "| `conv4`, seed 2 | 99.00 ± 0.25 |" in tables["seeds"]
    assert "3 trained models, of 2.0 million drawings each, with torch 1.2." in tables["made_with"]


@pytest.mark.parametrize(
    "figures, shown", [([], "–"), ([98.0], "98.00 (1 seed)"), ([98.0, 98.5], "98.25 ± 3.18 (2 seeds)")]
)
def test_fewer_seeds_are_said(figures: list[float], shown: str) -> None:
    assert over_seeds(figures) == shown


def test_the_page_is_written_and_checked(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    asked = ["--results", str(results), "--page", str(page)]
    with pytest.raises(SystemExit, match="differs from the result files"):
        render.main([*asked, "--check"])
    render.main(asked)
    assert "old" not in page.read_text() and "98.50 ± 1.24" in page.read_text()
    render.main([*asked, "--check"])


def test_the_page_of_the_task_is_up_to_date() -> None:
    render.main(["--check"])
    assert len(render.load_results()) >= 3, "a table of no results is up to date, too"
