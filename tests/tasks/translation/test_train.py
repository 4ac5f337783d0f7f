"""A tiny model of made-up captions is trained, and measured alone, with captions and with words in memory."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mann_hf.persistent.pairs import search
from tasks.common.recipes import Seq2SeqRecipe
from tasks.translation import render, speed, train
from tasks.translation.data import hold_out

from ..rows import write_rows
from .conftest import captions

pytestmark = pytest.mark.usefixtures("no_energy_meter")
TINY = [
    "tokenizer.vocab_size=40", "max_steps=2", "logging_steps=1", "encoder.d_model=16", "encoder.encoder_layers=1",
    "encoder.decoder_layers=1", "encoder.encoder_ffn_dim=16", "encoder.decoder_ffn_dim=16", "use_cpu=true",
]  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "LONGEST", 6)
    monkeypatch.setattr(train, "BEAMS", 1)
    monkeypatch.setattr(train, "TEACH", (1, 2))
    monkeypatch.setattr("tasks.common.from_scratch.SHARES", (0.1, 0.9))
    monkeypatch.setattr("tasks.common.from_scratch.SHARPNESSES", (10.0,))


def measured(captions_folder: Path, folder: Path, *options: str) -> dict[str, Any]:
    output = folder / "result.json"
    words = ["--data", str(captions_folder), "--model", str(folder / "model"), "--output", str(output), *options]
    train.main([*words, "--set", *TINY])
    return json.loads(output.read_text(encoding="utf-8"))


def test_all_captions_are_measured_alone_and_from_memory(captions_folder: Path, tmp_path: Path) -> None:
    result = measured(captions_folder, tmp_path)
    assert result["kind"] == "whole" and result["tests"] == 6 and result["pairs_stored"] == 84
    assert result["memory"]["chrf"] > result["alone"]["chrf"], "an untrained model, and captions that are in its memory"
    assert result["mixture"]["interpolation"] in (0.1, 0.9) and result["trained"]["steps"] == 2
    assert "training pairs" in render.whole([result])


def test_words_are_taught_by_more_and_more_pairs(
    captions_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "hold_out", lambda pairs, count, **kw: hold_out(pairs, count, least=5, most=12, **kw))
    result = measured(captions_folder, tmp_path, "--held-out", "2")
    assert list(result["words"]) == ["0", "1", "2"] and result["held_out"] == 2 and result["asked"] == 2 * 10
    assert [each["pairs_stored"] for each in result["words"].values()] == [0, 2, 4]
    assert all(
        {"accuracy", "bleu_of_others", "test"} == each.keys() - {"pairs_stored"} for each in result["words"].values()
    )
    assert "pairs a word" in render.words([result])
    (tmp_path / "result.json").unlink()
    with pytest.raises(SystemExit, match="holds a model of other settings"):
        measured(captions_folder, tmp_path)


def test_a_kept_model_is_of_the_same_languages_and_pairs(captions_folder: Path, tmp_path: Path) -> None:
    measured(captions_folder, tmp_path)
    note = tmp_path / "model" / train.TRAINED
    trained = note.read_bytes()
    (tmp_path / "result.json").unlink()
    measured(captions_folder, tmp_path)
    assert note.read_bytes() == trained, "it is not trained again"
    (tmp_path / "result.json").unlink()
    with pytest.raises(SystemExit, match="holds a model of other settings"):
        measured(captions_folder, tmp_path, "--source", "en")
    others = shutil.copytree(captions_folder, tmp_path / "others")
    write_rows(others / "multi30k_en_de" / "train.jsonl.gz", captions()[::-1])
    with pytest.raises(SystemExit, match="holds a model of other settings"):
        measured(others, tmp_path)


def test_a_word_is_masked_whatever_its_case_and_signs() -> None:
    assert train._masked("The Lynx, a lynx and a lynxes", "lynx") == "The _ a _ and a lynxes"


def test_speed_is_printed_as_one_json_object(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    tiny = [name for name in TINY if name.startswith(("encoder", "tokenizer"))]
    output = tmp_path / "speed.json"
    speed.main(["--entries", "64", "128", "--turns", "1", "--json", "--output", str(output), "--set", *tiny])
    printed = json.loads(capsys.readouterr().out)
    assert printed["generate_over_wrapped"].keys() == {"64", "128"}
    assert all(ratio > 0 for ratio in printed["generate_over_wrapped"].values()) and printed["peak_memory_mib"] > 50
    assert printed["by_entries"]["64"]["store"] == "exact"
    assert "| 64 | exact | 16 | 1 |" in render.speed([json.loads(output.read_text(encoding="utf-8"))])


def test_the_store_is_named_where_it_finds_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "EXACT", 63)
    monkeypatch.setattr(speed, "STORE", "faiss")
    recipe = Seq2SeqRecipe.read(speed.RECIPE).changed([name for name in TINY if "." in name])
    for entries, neighbours, store in ((64, None, "faiss"), (48, None, "exact"), (1024, 2, "faiss"), (320, 2, "exact")):
        found = speed.measure(recipe, entries, neighbours=neighbours, chunk_size=1, beams=1, turns=1)
        assert found["store"] == store


def test_a_random_memory_has_as_many_tokens_as_asked_for() -> None:
    recipe = Seq2SeqRecipe.read(speed.RECIPE).changed([name for name in TINY if "." in name])
    model = speed.random_model(recipe, 320)
    assert model.memory.num_tokens == 320 and len(model.memory) == 20


def test_the_page_shows_the_results_that_are_kept() -> None:
    render.main(["--check"])
