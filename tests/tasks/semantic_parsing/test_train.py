"""One cell of GeoQuery is trained and asked, without and with the training pairs in memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.semantic_parsing import render, train
from tasks.semantic_parsing.data import load

pytestmark = pytest.mark.usefixtures("no_energy_meter")


@pytest.mark.parametrize("memory, held", [("example", [0, 16]), ("none", [0])])
def test_a_cell_is_measured(
    geo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: str, held: list[int]
) -> None:
    asked: list[int] = []

    def answers(model: Any, tokenizer: Any, sources: list[str], **settings: Any) -> list[str]:
        asked.append(len(model.memory))
        right = dict(load(geo_folder, "logic", "query", "test"))
        return [right[source] if len(model.memory) else "size ( iowa )" for source in sources]

    monkeypatch.setattr(train, "generated", answers)
    output = tmp_path / "cell.json"
    tiny = ["k_shot=4", "n_query=2", "max_steps=2", "encoder.hidden_size=8"]
    words = ["--data", str(geo_folder), "--split", "query", "--memory", memory, "--output", str(output)]
    train.main([*words, "--set", *tiny])
    result = json.loads(output.read_text(encoding="utf-8"))
    assert asked == held and result["alone"] == 0 and result["exact_match"] == (100 if memory == "example" else 0)
    assert result["tests"] == 8 and result["sayable"] == 100 and result["trained"]["steps"] == 2
    assert "logic" in render.exact_match([result])
    with pytest.raises(SystemExit, match="is there: delete it"):
        train.main(words)


def test_the_page_shows_the_results_that_are_kept() -> None:
    render.main(["--check"])
