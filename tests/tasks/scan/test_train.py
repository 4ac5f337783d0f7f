"""One cell of SCAN is trained, asked the whole test part, and shown in the table."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.common import seq2seq
from tasks.common.words import word_tokenizer
from tasks.scan import episodes, render, train
from tasks.scan.data import load
from tasks.scan.episodes import ACTIONS, Protocol

pytestmark = pytest.mark.usefixtures("no_energy_meter")
TINY = ["max_steps=2", "encoder.hidden_size=8", "logging_steps=1"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = Protocol(ACTIONS, k_shot=4, n_query=4, test_support=ACTIONS)
    monkeypatch.setattr(episodes, "PROTOCOLS", ((".*", protocol),))


def measured(scan_folder: Path, output: Path, *options: str) -> dict[str, Any]:
    words = ["--data", str(scan_folder), "--split", "add_jump", "--output", str(output), *options]
    train.main([*words, "--set", *TINY])
    return json.loads(output.read_text(encoding="utf-8"))


def test_a_cell_is_measured_on_the_whole_test_part(scan_folder: Path, tmp_path: Path) -> None:
    result = measured(scan_folder, tmp_path / "cell.json", "--save", str(tmp_path / "model"))
    assert result["tests"] == 10 and len(result["by_support"]) == 1 and 0 <= result["exact_match"] <= 100
    assert result["trained"]["steps"] == 2 and result["trained"]["cpu_seconds"] > 0
    assert (tmp_path / "model" / "model.safetensors").is_file()
    with pytest.raises(SystemExit, match="is there: delete it"):
        measured(scan_folder, tmp_path / "cell.json")
    with pytest.raises(SystemExit, match="is there, of other settings"):
        measured(scan_folder, tmp_path / "cell.json", "--seed", "1")


def test_exact_match_is_of_what_is_generated_with_the_support_in_memory(
    scan_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    def perfect(model: Any, tokenizer: Any, sources: list[str], **settings: Any) -> list[str]:
        held.append(len(model.memory))
        right = dict(load(scan_folder, "add_jump", "test"))
        return [right[source] if place else "I_RUN" for place, source in enumerate(sources)]

    monkeypatch.setattr(train, "generated", perfect)
    assert measured(scan_folder, tmp_path / "cell.json")["exact_match"] == 90.0
    assert measured(scan_folder, tmp_path / "control.json", "--control", "no_memory")["exact_match"] == 90.0
    assert held == [4, 0]


def test_what_is_remembered_for_a_while_is_forgotten_again(scan_folder: Path) -> None:
    recipe = train.recipe_of("add_jump").changed(TINY)
    tokenizer = word_tokenizer(["walk", "I_WALK"])
    model = seq2seq.new_model(recipe, tokenizer, 0)
    with seq2seq.remembered(model, tokenizer, [("walk", "I_WALK"), ("walk", "I_WALK")]):
        assert len(model.memory) == 1
    assert not len(model.memory)
    with contextlib.suppress(KeyError), seq2seq.remembered(model, tokenizer, [("walk", "I_WALK")]):
        raise KeyError
    assert not len(model.memory)


def test_a_split_without_a_recipe_has_the_default_one() -> None:
    assert train.recipe_of("filler_num1").name == "default"


def test_the_page_has_a_place_for_every_table(scan_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    shutil.copy(render.PAGE, page)
    measured(scan_folder, tmp_path / "results" / "cell.json")
    options = ["--results", str(tmp_path / "results"), "--page", str(page)]
    with pytest.raises(SystemExit, match="differs from the result files"):
        render.main([*options, "--check"])
    render.main(options)
    render.main([*options, "--check"])
    assert "(1 seed)" in page.read_text(encoding="utf-8")


def test_the_page_shows_the_results_that_are_kept() -> None:
    render.main(["--check"])
