"""A tiny model is trained, and measured alone and with the training pairs in memory."""

import json
from pathlib import Path

import pytest

from tasks.summarization import render, train

from ..rows import write_rows

pytestmark = pytest.mark.usefixtures("no_energy_meter")
TINY = [
    "tokenizer.vocab_size=40", "max_steps=2", "logging_steps=1", "encoder.d_model=16", "encoder.encoder_layers=1",
    "encoder.decoder_layers=1", "encoder.encoder_ffn_dim=16", "encoder.decoder_ffn_dim=16", "use_cpu=true",
]  # fmt: skip
NAMES = ("The Vaults", "Blue Spice", "The Mill", "Green Man", "Alimentum", "Cocum", "Zizzi", "Wildwood")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "LONGEST", 6)
    monkeypatch.setattr("tasks.common.from_scratch.SHARES", (0.5,))
    monkeypatch.setattr("tasks.common.from_scratch.SHARPNESSES", (10.0,))


def test_a_task_is_measured_alone_and_from_memory(tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "result.json"
    rows = [
        {"document": f"{name} serves food that is English and good.", "summary": f"{name} is good."} for name in NAMES
    ]
    for part in ("train", "validation", "test"):
        write_rows(data / f"{part}.jsonl.gz", rows)
    words = ["--data", str(data), "--model", str(tmp_path / "model"), "--output", str(output)]
    train.main([*words, "--set", *TINY])
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["tests"] == 8 and {"bleu", "rougeL"} <= result["alone"].keys() == result["memory"].keys()
    assert result["memory"]["rougeL"] > result["alone"]["rougeL"], "an untrained model, asked what is in its memory"
    assert "training pairs in memory" in render.figures([result])
    with pytest.raises(SystemExit, match="is there: delete it"):
        train.main(words)


def test_the_page_shows_the_results_that_are_kept() -> None:
    render.main(["--check"])
