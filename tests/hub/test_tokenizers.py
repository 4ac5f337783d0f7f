"""Tokenizers of strangers: what a text could blow up or wait for in vain for is refused before a text is read."""

import base64
import io
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from packaging.version import Version
from transformers import AutoTokenizer

from mann_hf import FewShotTextClassificationPipeline, MANNForSequenceClassification
from mann_hf.errors import FolderError, InvalidInputError, UnsafeFileError
from mann_hf.hub.tokenizers import check_tokenizer, load_tokenizer
from tests.local_hub import COMMIT


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


def change(folder: Path, file: str, edit: Callable[[dict], Any]) -> None:
    content = json.loads((folder / file).read_text())
    edit(content)
    (folder / file).write_text(json.dumps(content))


def replace(content: str, **pattern: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def charsmap(longest: int) -> dict[str, str]:
    tree = b"\1\0\0\0"
    content = len(tree).to_bytes(4, "little") + tree + b"a" * longest + b"\0b\0"
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(content).decode()}


def template(*pieces: dict[str, Any]) -> dict[str, Any]:
    return {"post_processor": {"type": "TemplateProcessing", "single": pieces, "pair": [], "special_tokens": {}}}


TEXT = {"Sequence": {"id": "A", "type_id": 0}}
TRAPS: dict[str, tuple[dict[str, Any], str]] = {
    "a text twice": (template(TEXT, {"Sequence": {"id": "A", "type_id": 1}}), "puts a text in several times"),
    "no text": (template({"SpecialToken": {"id": "[CLS]", "type_id": 0}}), "leaves the text out"),
    "many added tokens": ({"added_tokens": [{"content": f"a{number}"} for number in range(80_000)]}, "80,000 added"),
    "a slow pattern": ({"normalizer": replace("", Regex="^(([a-z ])+.)+[A-Z]([a-z])+$")}, "may take for ever"),
    "within a sequence": (
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, replace("", Regex="(a*)*b")]}},
        "a pattern of its normalizer",
    ),
    "of a split": (
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a|a)*c"}, "behavior": "Isolated", "invert": False}},
        "a pattern of its pre_tokenizer",
    ),
    "long": ({"normalizer": replace("a" * 1000, String="a")}, "has 1,000 letters"),
    "again and again": (
        {"normalizer": {"type": "Sequence", "normalizers": [replace("aa", String="a")] * 30}},
        "times as long",
    ),
    "between all letters": ({"normalizer": replace("b" * 100, Regex="")}, "times as long"),
    "in front": ({"normalizer": {"type": "Prepend", "prepend": "a" * 10**6}}, "the prepend of a step"),
    "a map": ({"normalizer": charsmap(5000)}, "times as long"),
    "many steps": ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 500}}, "more than 256 parts"),
    "padding": ({"padding": {"strategy": {"Fixed": 2**40}}}, "it pads texts"),
    "a template": ({"post_processor": {"type": "TemplateProcessing", "single": [{}] * 200}}, "has 200 pieces"),
}


@pytest.mark.parametrize(("parts", "why"), TRAPS.values(), ids=TRAPS)
def test_a_trap_is_refused(folder: Path, parts: dict[str, Any], why: str) -> None:
    change(folder, "tokenizer.json", lambda content: content.update(parts))
    with pytest.raises(UnsafeFileError, match=why) as caught:
        load_tokenizer(folder)
    assert caught.value.file == "tokenizer.json" and "Ask its author" in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("continuing_subword_prefix", "#" * 10**5), ("max_input_chars_per_word", 10**9), ("dropout", 0.1)],
)
def test_a_models_own_sizes(folder: Path, field: str, value: Any) -> None:
    change(folder, "tokenizer.json", lambda content: content["model"].update({field: value}))
    with pytest.raises(UnsafeFileError, match=f"{field} of its model"):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    "normalizer",
    [
        {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"}, replace("▁", String=" ")]},
        {"type": "Sequence", "normalizers": [replace('"', String="``"), replace(" ", Regex=" {2,}")]},
        charsmap(33),
    ],
    ids=["Llama", "ALBERT", "NFKC"],
)
def test_what_is_in_use_is_no_trap(folder: Path, normalizer: dict[str, Any]) -> None:
    change(folder, "tokenizer.json", lambda content: content.update(normalizer=normalizer))
    check_tokenizer(folder / "tokenizer.json")


@pytest.mark.parametrize(
    ("file", "edit", "why"),
    [
        ("tokenizer.json", lambda c: c["model"]["vocab"].update(card=-5), "expected u32"),
        ("tokenizer.json", lambda c: c.pop("added_tokens"), "added_tokens"),
        ("tokenizer.json", lambda c: c.update(model=[]), "tokenizer.json"),
        ("tokenizer_config.json", lambda c: c.update(pad_token=5), "pad_token"),
        ("tokenizer_config.json", lambda c: c.update(tokenizer_class={}), "unhashable|no attribute 'replace'"),
        ("tokenizer_config.json", lambda c: c.update(model_max_length="x"), "model_max_length is 'x'"),
        ("tokenizer_config.json", lambda c: c.update(model_max_length=-1), "model_max_length is -1"),
        ("tokenizer_config.json", lambda c: c.update(model_max_length=60.5), "model_max_length is 60.5"),
    ],
)
def test_damage_is_told(folder: Path, file: str, edit: Callable, why: str) -> None:
    change(folder, file, edit)
    with pytest.raises(FolderError, match=why):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fast_tokenizer_files", ["../elsewhere/tokenizer.4.0.json"]),
        ("fast_tokenizer_files", "tokenizer.4.0.json"),
        ("init_inputs", [__file__]),
        ("vocab", __file__),
        ("merges", __file__),
        ("vocab_file", __file__),
    ],
)
def test_settings_that_name_files_of_the_machine(folder: Path, name: str, value: Any) -> None:
    change(folder, "tokenizer_config.json", lambda content: content.update({name: value}))
    with pytest.raises(UnsafeFileError, match="tokenizer_config.json' is refused"):
        load_tokenizer(folder)


def test_a_file_for_another_version_is_no_way_around(folder: Path) -> None:
    change(folder, "tokenizer_config.json", lambda content: content.update(fast_tokenizer_files=["tokenizer.4.0.json"]))
    shutil.copyfile(folder / "tokenizer.json", folder / "tokenizer.4.0.json")
    change(folder, "tokenizer.4.0.json", lambda content: content.update(normalizer=replace("a" * 1000, String="a")))
    with pytest.raises(UnsafeFileError, match="has 1,000 letters"):
        load_tokenizer(folder)


def test_paths_that_are_left_of_another_machine_are_passed_over(folder: Path) -> None:
    left = {"special_tokens_map_file": "/somewhere/else/special_tokens_map.json", "vocab_file": None}
    change(folder, "tokenizer_config.json", lambda content: content.update(left))
    assert load_tokenizer(folder)("card")["input_ids"]


def test_further_chat_templates_are_files_too(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    os.mkfifo(folder / "additional_chat_templates" / "a.jinja")
    with pytest.raises(UnsafeFileError, match="a.jinja' is refused: it is a pipe"):
        load_tokenizer(folder)


def test_a_vocabulary_of_nothing_but_lines(folder: Path) -> None:
    (folder / "vocab.txt").write_bytes(b"\n" * (2**22 + 1))
    with pytest.raises(UnsafeFileError, match="more than 4,194,304 lines"):
        load_tokenizer(folder)


def test_one_on_the_hub_is_read_at_the_commit_that_was_checked(
    hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    load = AutoTokenizer.from_pretrained
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda place, **kwargs: given.update(kwargs) or load(folder))
    hub.add("someone/encoder", folder)
    load_tokenizer("someone/encoder")
    asked = [request for request in hub.requests if request["file"].startswith("tokenizer")]
    assert {given["revision"], *(request["revision"] for request in asked)} == {COMMIT}


def test_a_whole_one_loads(folder: Path) -> None:
    assert load_tokenizer(folder)("where is my card")["input_ids"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("GPT2Tokenizer", "makes a tokenizer of the kind BPE"),
        ("LlamaTokenizer", "makes a tokenizer of the kind BPE"),
        ("ByT5Tokenizer", "does not read it"),
    ],
)
def test_a_class_of_another_kind_of_tokenizer_is_refused(folder: Path, name: str, says: str) -> None:
    tokens = load_tokenizer(folder)("where is my card")["input_ids"]
    change(folder, "tokenizer_config.json", lambda content: content.update(tokenizer_class=name))
    if Version(transformers.__version__) < Version("5.1"):  # it reads the file, whatever class is named
        assert load_tokenizer(folder)("where is my card")["input_ids"] == tokens
        return
    with pytest.raises(FolderError, match=f"tokenizer_class {name} .* of the kind WordPiece, .* the class {says}"):
        load_tokenizer(folder)


def test_the_class_of_a_model_type_does_not_come_before_the_file(folder: Path) -> None:
    """Of this type transformers takes another class than the one that is named, and gives all texts the same tokens."""
    tokens = load_tokenizer(folder)("where is my card")["input_ids"]
    change(folder, "config.json", lambda content: content.update(model_type="qwen2"))
    assert load_tokenizer(folder)("where is my card")["input_ids"] == tokens


@pytest.mark.parametrize("name", ["BertTokenizerFast", "DistilBertTokenizer", "PreTrainedTokenizerFast", "Unknown"])
def test_a_class_of_the_same_kind_is_taken(folder: Path, name: str) -> None:
    tokens = load_tokenizer(folder)("where is my card")["input_ids"]
    change(folder, "tokenizer_config.json", lambda content: content.update(tokenizer_class=name))
    assert load_tokenizer(folder)("where is my card")["input_ids"] == tokens


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "BertTokenizer"])
def test_one_without_its_words_is_refused(folder: Path, name: str) -> None:
    for file in ("tokenizer.json", "vocab.txt"):
        (folder / file).unlink(missing_ok=True)
    change(folder, "tokenizer_config.json", lambda content: content.update(tokenizer_class=name))
    with pytest.raises(FolderError, match="has no tokenizer.json or vocab.txt.*, so its tokenizer knows no words"):
        load_tokenizer(folder)
    change(folder, "tokenizer_config.json", lambda content: content.update(tokenizer_class="ByT5Tokenizer"))
    assert load_tokenizer(folder)("card")["input_ids"]  # of one that has no such files


def test_weights_alone_have_no_tokenizer(folder: Path) -> None:
    for file in folder.iterdir():
        if "token" in file.name or file.name == "vocab.txt":
            file.unlink()
    with pytest.raises(FolderError, match="has no tokenizer.json or vocab.txt.* save the tokenizer there"):
        load_tokenizer(folder)
    model = MANNForSequenceClassification.from_encoder_pretrained(folder)
    with pytest.raises(InvalidInputError, match="no tokenizer was found .*knows no words.* pass one"):
        FewShotTextClassificationPipeline(model=model)


def test_sampling_of_sentencepiece_is_refused(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    texts = ["where is my card please", "send my money back now", "cancel the order please"] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=50, hard_vocab_limit=False, minloglevel=2
    )
    (tmp_path / "spiece.model").write_bytes(model.getvalue())
    settings = {"tokenizer_class": "BertGenerationTokenizer", "sp_model_kwargs": {}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_tokenizer(tmp_path)("where is my card")["input_ids"]
    settings["sp_model_kwargs"] = {"enable_sampling": True, "nbest_size": -1, "alpha": 0.1}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(UnsafeFileError, match="enable_sampling, by which a text has other tokens"):
        load_tokenizer(tmp_path)


SLOW_TO_JUDGE = "".join(f"{chr(0x4E00 + 2 * number)}*" for number in range(150)) + "x"


def test_many_patterns_are_judged_in_seconds(folder: Path) -> None:
    """Each is fine, and takes a second or so."""
    steps = [replace("", Regex=SLOW_TO_JUDGE) for _ in range(120)]
    change(
        folder, "tokenizer.json", lambda content: content.update(normalizer={"normalizers": steps, "type": "Sequence"})
    )
    names = [f"tokenizer.{number}.0.0.json" for number in range(1, 9)]
    for name in names:
        shutil.copyfile(folder / "tokenizer.json", folder / name)
    change(folder, "tokenizer_config.json", lambda content: content.update(fast_tokenizer_files=names))
    started = time.process_time()
    with pytest.raises(UnsafeFileError, match="pattern of its normalizer may take for ever, as there are too many"):
        load_tokenizer(folder)
    assert time.process_time() - started < 10


def test_many_files_of_one_tokenizer_are_refused(folder: Path) -> None:
    names = [f"tokenizer.{number}.0.0.json" for number in range(100)]
    change(folder, "tokenizer_config.json", lambda content: content.update(fast_tokenizer_files=names))
    with pytest.raises(UnsafeFileError, match="it names 100 files of tokenizers"):
        load_tokenizer(folder)


@pytest.mark.parametrize("pattern", ["(a|a)*b", "(a*)*b"])
def test_the_pattern_of_a_tekken_file(folder: Path, pattern: str) -> None:
    """Which transformers reads where there is no tokenizer.json."""
    (folder / "tokenizer.json").unlink()
    content = {"config": {"pattern": pattern, "default_num_special_tokens": 0}, "vocab": [], "special_tokens": []}
    (folder / "tekken.json").write_text(json.dumps(content))
    with pytest.raises(UnsafeFileError, match="tekken.json' is refused: a pattern of its config may take for ever"):
        load_tokenizer(folder)


@pytest.mark.parametrize("name", ["tekken.json", "tokenizer.model...", "vocab_file"])
def test_other_names_under_which_a_vocabulary_is_read(folder: Path, name: str) -> None:
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(UnsafeFileError, match="link to a file outside"):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("added_tokens.json", {f"a{number}": 100 + number for number in range(80_000)}),
        ("special_tokens_map.json", {"additional_special_tokens": [f"a{number}" for number in range(40_000)]}),
        ("tokenizer_config.json", {"added_tokens_decoder": {str(number): "a" for number in range(80_000)}}),
    ],
)
def test_settings_that_add_many_tokens_are_refused(folder: Path, name: str, content: dict) -> None:
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(UnsafeFileError, match=f"{name}' is refused: it adds [48]0,000 tokens"):
        load_tokenizer(folder)


def test_other_settings_add_no_tokens(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "words": ["a"] * 80_000}))
    assert len(load_tokenizer(folder)) < 80_000
