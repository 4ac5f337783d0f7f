"""A tiny model of made-up captions is trained, and measured alone, with captions and with words in memory."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import Seq2SeqTrainer

from mann_hf.persistent.pairs import search
from tasks.common import from_scratch
from tasks.common.recipes import Seq2SeqRecipe
from tasks.translation import render, speed, teaching, train
from tasks.translation.data import hold_out, load

from ..rows import write_rows
from .conftest import captions

pytestmark = pytest.mark.usefixtures("no_energy_meter")
TINY = [
    "tokenizer.vocab_size=36", "max_steps=2", "logging_steps=1", "encoder.d_model=16", "encoder.encoder_layers=1",
    "encoder.decoder_layers=1", "encoder.encoder_ffn_dim=16", "encoder.decoder_ffn_dim=16", "use_cpu=true",
]  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (train, teaching):
        monkeypatch.setattr(module, "LONGEST", 6)
        monkeypatch.setattr(module, "SEARCHES", {"greedy": {"num_beams": 1}})
        monkeypatch.setattr(module, "TEACH", (1, 2))
    monkeypatch.setattr(train, "hold_out", lambda pairs, count, **kw: hold_out(pairs, count, least=5, most=12, **kw))
    monkeypatch.setattr(teaching, "SHARES", (0.1, 0.9))
    monkeypatch.setattr(teaching, "SHARPNESSES", (10.0,))
    monkeypatch.setattr(teaching, "FEWEST_WORDS", 2)
    monkeypatch.setattr(teaching, "PREDICTING", {**teaching.PREDICTING, "max_steps": 2, "logging_steps": 1})
    monkeypatch.setattr("tasks.common.from_scratch.SHARES", (0.1, 0.9))
    monkeypatch.setattr("tasks.common.from_scratch.SHARPNESSES", (10.0,))


def measured(captions_folder: Path, folder: Path, *options: str) -> dict[str, Any]:
    output = folder / "result.json"
    output.unlink(missing_ok=True)
    words = ["--data", str(captions_folder), "--model", str(folder / "model"), "--output", str(output)]
    train.main([*words, "--held-out", "2", "--known", "1", *options, "--set", *TINY])
    return json.loads(output.read_text(encoding="utf-8"))


def test_all_captions_are_measured_alone_and_from_memory(captions_folder: Path, tmp_path: Path) -> None:
    result = measured(captions_folder, tmp_path)
    assert result["kind"] == "whole" and result["tests"] == 6
    assert result["pairs_stored"] == 84 and result["pairs_trained"] == 84 - 3 * 12
    alone, memory = (result[how]["greedy"]["chrf"] for how in ("alone", "memory"))
    assert memory > alone, "an untrained model, and captions that are in its memory"
    assert result["mixture"]["interpolation"] in (0.1, 0.9)
    assert result["mixture"]["bleu_alone"] == 0 and result["trained"]["steps"] == 2
    assert "training pairs" in render.whole([result])


def test_words_are_taught_by_more_and_more_pairs_to_the_model_that_is_there(
    captions_folder: Path, tmp_path: Path
) -> None:
    measured(captions_folder, tmp_path)
    note = (tmp_path / "model" / train.TRAINED).read_bytes()
    result = measured(captions_folder, tmp_path, "--measure", "words")
    assert (tmp_path / "model" / train.TRAINED).read_bytes() == note, "it is not trained again"
    assert result["held_out"] == 2 and result["known"] == 1 and result["asked"] == 2 * 10
    fixed, predicted = (result["mixtures"][kind] for kind in ("fixed", "predicted"))
    assert list(fixed["words"]) == ["0", "1", "2"] and list(predicted["words"]) == ["1", "2"]
    assert [each["greedy"]["pairs_stored"] for each in fixed["words"].values()] == [0, 2, 4]
    assert len(fixed["tried"]) == 2 and fixed["chosen"]["interpolation"] in (0.1, 0.9)
    assert [each["interpolation"] for each in predicted["tried"]] == ["adaptive", "robust"]
    assert predicted["chosen"]["trained"]["steps"] == 2
    assert "predicted λ" in render.words([result])


def test_what_is_chosen_keeps_the_other_words() -> None:
    tried = [
        {"accuracy": 60.0, "bleu": -0.4, "bleu_of_others": 1.0},
        {"accuracy": 40.0, "bleu": -0.3, "bleu_of_others": 0.5},
        {"accuracy": 30.0, "bleu": 0.3, "bleu_of_others": 2.0},
    ]
    assert max(tried, key=teaching._worth) == tried[1]
    assert max([*tried[:1], {**tried[0], "bleu": -2.0, "accuracy": 90.0}], key=teaching._worth) == tried[0]


def test_episodes_teach_words_and_ask_them_in_other_captions(captions_folder: Path) -> None:
    pairs = load(captions_folder, "train")
    left, held = hold_out(pairs, 3, teach=3, least=5, most=12)
    maker = teaching.EpisodeMaker(held, left)
    sizes = set()
    for seed in range(30):
        support, query = maker(np.random.default_rng(seed))
        sizes.add(len(support))
        assert not set(support) & set(query)
        assert len(query) == teaching.N_TAUGHT + len(left)
        assert set(query[: teaching.N_TAUGHT]).isdisjoint(left) and set(query[teaching.N_TAUGHT :]) == set(left)
    assert sizes == {2, 3, 4, 6}, "one or two pairs for each of two or three words"


def test_a_kept_model_is_of_the_same_languages_and_pairs(captions_folder: Path, tmp_path: Path) -> None:
    measured(captions_folder, tmp_path)
    with pytest.raises(SystemExit, match="holds a model of other settings"):
        measured(captions_folder, tmp_path, "--source", "en")
    with pytest.raises(SystemExit, match="holds a model of other settings"):
        measured(captions_folder, tmp_path, "--known", "0")
    others = shutil.copytree(captions_folder, tmp_path / "others")
    write_rows(others / "multi30k_en_de" / "train.jsonl.gz", captions()[::-1])
    with pytest.raises(SystemExit, match="holds a model of other settings"):
        measured(others, tmp_path)


def test_a_stopped_training_goes_on_to_the_same_model(
    captions_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "SAVE_STEPS", 1)
    whole = measured(captions_folder, tmp_path / "whole")
    kept = Seq2SeqTrainer._save_checkpoint

    def killed(trainer: Any, *arguments: Any, **options: Any) -> None:
        kept(trainer, *arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Seq2SeqTrainer, "_save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        measured(captions_folder, tmp_path / "stopped")
    monkeypatch.setattr(Seq2SeqTrainer, "_save_checkpoint", kept)
    assert (tmp_path / "stopped" / "model" / from_scratch.CHECKPOINTS / "checkpoint-1").is_dir()
    on = measured(captions_folder, tmp_path / "stopped")
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert on["alone"] == whole["alone"] and on["trained"]["steps"] == 2
    assert not (tmp_path / "stopped" / "model" / from_scratch.CHECKPOINTS).exists()


def test_a_word_is_masked_whatever_its_case_and_signs() -> None:
    assert teaching.masked("The Lynx, a lynx and a lynxes", "lynx") == "The _ a _ and a lynxes"


def test_speed_is_printed_as_one_json_object(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    tiny = [name for name in TINY if name.startswith(("encoder", "tokenizer"))]
    output = tmp_path / "speed.json"
    speed.main(["--entries", "64", "128", "--turns", "1", "--json", "--output", str(output), "--set", *tiny])
    printed = json.loads(capsys.readouterr().out)
    assert printed["generate_over_wrapped"].keys() == {"64", "128"}
    assert all(ratio > 0 for ratio in printed["generate_over_wrapped"].values()) and printed["peak_memory_mib"] > 50
    assert printed["by_entries"]["64"]["store"] == "exact"
    assert "M | 64 | exact | 16 | 1 |" in render.speed([json.loads(output.read_text(encoding="utf-8"))])


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
