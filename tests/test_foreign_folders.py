"""Folders that strangers wrote, by every way to load a classifier: nothing of them runs, and nothing is asked."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers import pipeline as overloaded_pipeline
from typer.testing import CliRunner

from mann_hf import FewShotTextClassificationPipeline, MANNConfig, MANNForSequenceClassification
from mann_hf.cli import app
from mann_hf.errors import FolderError, InvalidInputError, MannError, MemoryFileError, UnsafeFileError
from mann_hf.hub.saving import COMMITTED, MANIFEST
from mann_hf.models import adapter_base, adapters

ROOT = Path(__file__).parents[1]
WEIGHTS = "model.safetensors"
TASK = "few-shot-text-classification"
pipeline: Any = overloaded_pipeline  # it knows no tasks that are registered


def by_command(folder: str) -> str:
    result = CliRunner().invoke(app, ["predict", folder, "where is my card", "--text"])
    if result.exit_code:
        raise OSError(result.stderr)
    return result.stdout


WAYS: dict[str, Callable[[str], Any]] = {
    "from_pretrained": MANNForSequenceClassification.from_pretrained,
    "AutoModelForSequenceClassification": AutoModelForSequenceClassification.from_pretrained,
    "few-shot pipeline": lambda folder: pipeline(TASK, model=folder)("where is my card"),
    "stock pipeline": lambda folder: pipeline("text-classification", model=folder)("where is my card"),
    "command": by_command,
    "from_encoder_pretrained": MANNForSequenceClassification.from_encoder_pretrained,
}
EVERY_WAY = pytest.mark.parametrize("load", WAYS.values(), ids=WAYS)


@pytest.fixture(scope="module")
def _taught(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught") / "folder"
    classifier = FewShotTextClassificationPipeline(
        model=MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
    )
    classifier.remember(["where is my card", "send my money back"], ["card", "refund"])
    classifier.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(_taught: Path, tmp_path: Path) -> Path:
    """A classifier's folder, a copy for each test."""
    return Path(shutil.copytree(_taught, tmp_path / "folder"))


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """The file that code of a stranger would make."""
    return tmp_path / "ran"


@pytest.fixture(autouse=True)
def unasked(monkeypatch: pytest.MonkeyPatch, ran: Path) -> Any:
    """No test asks the user, unpickles anything, or runs the code of a folder."""

    def refuse(what: str) -> Callable:
        return lambda *_, **__: pytest.fail(what)

    monkeypatch.setattr("torch.load", refuse("something is unpickled"))
    monkeypatch.setattr("builtins.input", refuse("it asks"))
    yield
    assert not ran.exists(), "code of the folder ran"


def change(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def plant_pickle(folder: Path, name: str, ran: Path) -> None:
    (folder / name).write_bytes(b"cposix\nsystem\n(S'touch " + str(ran).encode() + b"'\ntR.")


class TestPickles:
    @EVERY_WAY
    def test_weights(self, folder: Path, ran: Path, load: Callable) -> None:
        if load is WAYS["from_encoder_pretrained"]:
            change(folder, **json.loads((folder / "config.json").read_text())["encoder_config"])
        (folder / WEIGHTS).unlink()
        plant_pickle(folder, "pytorch_model.bin", ran)
        with pytest.raises((OSError, ValueError), match="pytorch_model.bin in .* is refused: it is a pickle"):
            load(str(folder))

    @EVERY_WAY
    def test_that_lie_about_are_passed_over(self, folder: Path, ran: Path, load: Callable, tiny_encoder: Path) -> None:
        if load is WAYS["from_encoder_pretrained"]:
            folder = Path(shutil.copytree(tiny_encoder, folder / "encoder"))
        for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "adapter_model.bin"):
            plant_pickle(folder, name, ran)
        load(str(folder))

    def test_of_an_adapters_encoder(self, folder: Path, ran: Path, tiny_encoder: Path, tmp_path: Path) -> None:
        peft = pytest.importorskip("peft")
        encoder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
        for name, base in (
            ("encoder", MANNForSequenceClassification.from_encoder_pretrained(encoder)),
            ("model", MANNForSequenceClassification.from_pretrained(folder)),
        ):
            adapters.add(base, peft.LoraConfig(r=2, target_modules=["query"]))
            base.save_pretrained(tmp_path / name / "adapter")
        for place, name in ((encoder, "encoder"), (folder, "model")):
            MANNForSequenceClassification.from_pretrained(tmp_path / name / "adapter")
            (place / WEIGHTS).unlink()
            plant_pickle(place, "pytorch_model.bin", ran)
            with pytest.raises(UnsafeFileError, match=f"pytorch_model.bin in '{place}' is refused"):
                MANNForSequenceClassification.from_pretrained(tmp_path / name / "adapter")

    @EVERY_WAY
    def test_that_the_configuration_names(self, folder: Path, ran: Path, load: Callable) -> None:
        if load is WAYS["from_encoder_pretrained"]:
            change(folder, **json.loads((folder / "config.json").read_text())["encoder_config"])
        change(folder, transformers_weights="adapter_model.bin")
        plant_pickle(folder, "adapter_model.bin", ran)
        with pytest.raises((OSError, ValueError), match="config.json in .* is refused: it names 'adapter_model.bin'"):
            load(str(folder))


@EVERY_WAY
def test_an_adapter_of_peft_beside_the_weights(folder: Path, ran: Path, load: Callable) -> None:
    peft = pytest.importorskip("peft")
    if load is WAYS["from_encoder_pretrained"]:
        change(folder, **json.loads((folder / "config.json").read_text())["encoder_config"])
    peft.LoraConfig(r=2, target_modules=["query"]).save_pretrained(folder)
    plant_pickle(folder, "adapter_model.bin", ran)
    # Auto classes of older releases look for the adapter's base first, which is nowhere
    with pytest.raises((OSError, ValueError), match="adapter_config.json in .* is refused|couldn't connect"):
        load(str(folder))


def test_an_adapter_of_peft_around_a_folder(folder: Path, tmp_path: Path) -> None:
    """transformers follows it to the folder, and would then put it on the encoder there."""
    peft = pytest.importorskip("peft")
    outer = tmp_path / "outer"
    peft.LoraConfig(r=2, target_modules=["query"], base_model_name_or_path=str(folder)).save_pretrained(outer)
    with pytest.raises(UnsafeFileError, match="adapter_config.json"):
        AutoModelForSequenceClassification.from_pretrained(outer)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("megatron_config", {"a": 1}, "its megatron_config leads to code or weights that lie elsewhere"),
        ("adapters", {"0": "/elsewhere"}, "its adapters leads to code or weights that lie elsewhere"),
        (None, 5, "damaged"),
        (None, ["LORA"], "damaged"),
        (None, {}, "damaged"),
        (None, {"peft_type": "LORA"}, "damaged"),
    ],
)
def test_the_adapter_of_a_configuration(folder: Path, field: str | None, value: Any, says: str) -> None:
    pytest.importorskip("peft")
    model = MANNForSequenceClassification.from_pretrained(folder)
    adapter = {"peft_type": "LORA", "r": 2, "target_modules": ["query"], adapter_base.BASE: None}
    change(folder, adapter={**adapter, field: value} if field else value, encoder_name=model.config.encoder_name)
    with pytest.raises(InvalidInputError, match=says):
        MANNForSequenceClassification.from_pretrained(folder)


class TestCode:
    @pytest.fixture
    def foreign(self, folder: Path, ran: Path) -> Path:
        """A classifier whose every file points to code beside it."""
        names = ("AutoConfig", "AutoModel", "AutoModelForTextEncoding", "AutoModelForSequenceClassification")
        theirs = dict.fromkeys(names, "theirs.C")
        inner = json.loads((folder / "config.json").read_text())["encoder_config"]
        change(folder, auto_map=theirs, encoder_config={**inner, "auto_map": theirs})
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
        tokenizer |= {"auto_map": {"AutoTokenizer": ["theirs.C", "theirs.C"]}, "tokenizer_class": "Theirs"}
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        code = f"open({str(ran)!r}, 'w')\nclass C: pass\n"
        for name in ("theirs", "modeling_mann", "configuration_mann", "modeling_bert", "handler", "__init__"):
            (folder / f"{name}.py").write_text(code)
        return folder

    @pytest.mark.parametrize("way", ["from_pretrained", "AutoModelForSequenceClassification", "command"])
    def test_is_passed_over(self, foreign: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(foreign)  # where Python would find it
        WAYS[way](str(foreign))

    def test_of_a_tokenizer_is_not_asked_about(self, foreign: Path) -> None:
        model = MANNForSequenceClassification.from_pretrained(foreign)
        assert model.load_tokenizer()("where is my card")["input_ids"]
        FewShotTextClassificationPipeline(model=model)("where is my card")

    def test_of_a_pipeline_is_refused(self, foreign: Path) -> None:
        change(foreign, custom_pipelines={TASK: {"impl": "theirs.C", "pt": []}})
        with pytest.raises(ValueError, match="trust_remote_code=True"):
            pipeline(TASK, model=str(foreign))
        by_command(str(foreign))
        classifier = FewShotTextClassificationPipeline(
            model=MANNForSequenceClassification.from_pretrained(str(foreign))
        )
        classifier("where is my card")

    def test_of_a_model_of_another_type_is_refused_by_the_command(self, foreign: Path) -> None:
        change(foreign, model_type="theirs")
        with pytest.raises(OSError, match="holds a model of type 'theirs'"):
            by_command(str(foreign))

    @pytest.mark.slow
    def test_where_no_one_can_be_asked_it_fails_at_once(self, foreign: Path, ran: Path) -> None:
        change(foreign, model_type="theirs")
        program = f"""
import sys, mann_hf
from transformers import AutoModelForSequenceClassification, pipeline
for load in (
    lambda folder: pipeline({TASK!r}, model=folder),
    lambda folder: pipeline("text-classification", model=folder),
    AutoModelForSequenceClassification.from_pretrained,
    mann_hf.MANNForSequenceClassification.from_encoder_pretrained,
):
    try:
        load(sys.argv[1])
    except ValueError as error:
        print("trust_remote_code=True" in str(error))
"""
        run = subprocess.run(
            [sys.executable, "-c", program, str(foreign)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
            check=True,
        )
        assert [line for line in run.stdout.split() if line in ("True", "False")] == ["True"] * 4, run.stdout
        assert not ran.exists()

    @pytest.mark.parametrize("inner", [False, True])
    @pytest.mark.parametrize("field", ["attn_implementation", "_attn_implementation"])
    def test_of_attention_is_not_fetched(self, folder: Path, inner: bool, field: str) -> None:
        """Its name may be that of a repository with code."""
        config = json.loads((folder / "config.json").read_text())
        (config["encoder_config"] if inner else config)[field] = "someone/kernel"
        change(folder, **config)
        for loaded in (MANNConfig.from_pretrained(folder), AutoConfig.from_pretrained(folder)):
            assert "/" not in f"{loaded._attn_implementation}{loaded.encoder_config._attn_implementation}"
        MANNForSequenceClassification.from_pretrained(folder)
        model = MANNForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
        assert model.encoder.config._attn_implementation == "eager", "the user's choice holds"


class TestPlaces:
    @pytest.mark.parametrize("name", ["../outside.safetensors", "{}"])
    def test_a_list_of_weights_leads_nowhere_else(self, folder: Path, tmp_path: Path, name: str) -> None:
        names = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).rename(tmp_path / "outside.safetensors")
        name = name.format(tmp_path / "outside.safetensors")
        content = {"metadata": {}, "weight_map": dict.fromkeys(names, name)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))
        with pytest.raises(UnsafeFileError, match="names '.*outside.safetensors' as weights, which lies outside"):
            MANNForSequenceClassification.from_pretrained(folder)

    def test_a_snapshot_of_links_is_loaded(self, folder: Path, tmp_path: Path) -> None:
        """As the Hub's client lays files down."""
        snapshot = tmp_path / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (folder).rename(tmp_path / "blobs")
        for file in (tmp_path / "blobs").iterdir():
            (snapshot / file.name).symlink_to(os.path.relpath(file, snapshot))
        assert "card" in by_command(str(snapshot))

    def test_what_looks_like_a_stopped_save_in_a_snapshot_moves_nothing(self, folder: Path, tmp_path: Path) -> None:
        """Moved, its links would lead nowhere, and the client's cache would be broken."""
        blob = tmp_path / "blob"
        blob.write_text(json.dumps(["config.json"]))
        committed = folder / COMMITTED
        committed.mkdir()
        for name in (MANIFEST, "config.json"):
            (committed / name).symlink_to(os.path.relpath(blob, committed))
        before = (folder / "config.json").read_text()
        with pytest.raises(MemoryFileError, match=f"{COMMITTED} is not what a stopped save leaves"):
            MANNForSequenceClassification.from_pretrained(folder)
        assert (folder / "config.json").read_text() == before and (committed / "config.json").is_symlink()


def test_the_labels_are_those_of_the_memory_whatever_the_configuration_says(folder: Path) -> None:
    for names in ({"0": "refund", "1": "card"}, {"0": "other"}, {str(n): f"l{n}" for n in range(9)}):
        change(folder, id2label=names, label2id={name: int(n) for n, name in names.items()})
        config = MANNForSequenceClassification.from_pretrained(folder).config
        assert config.id2label == {0: "card", 1: "refund"} and config.label2id == {"card": 0, "refund": 1}


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "regression"])
def test_a_memory_of_another_problem_is_refused(folder: Path, problem_type: str) -> None:
    change(folder, problem_type=problem_type, reading="attention")
    with pytest.raises(
        InvalidInputError,
        match=f"is for problem_type='single_label_classification', and this model for '{problem_type}'",
    ):
        MANNForSequenceClassification.from_pretrained(folder)


def test_the_readable_copy_is_not_trusted(folder: Path) -> None:
    content = (folder / "memory.json").read_text()
    (folder / "memory.json").write_text(content.replace("refund", "stolen"))
    assert MANNForSequenceClassification.from_pretrained(folder).memory.labels == ("card", "refund")


CARD_DATA: dict[str, bytes] = {
    "no json": b"{",
    "no text": b"\xff\xfe\xff",
    "NaN": b'{"results": [{"metric": "f1", "value": NaN, "dataset": "d"}]}',
    "infinity": b'{"results": [{"metric": "f1", "value": 1e999, "dataset": "d"}]}',
    "a huge number": b'{"results": [{"metric": "f1", "value": ' + b"9" * 400 + b', "dataset": "d"}]}',
    "a longer one": b'{"results": [{"metric": "f1", "value": ' + b"9" * 9000 + b', "dataset": "d"}]}',
    "deeply nested": b"[" * 300_000,
    "nested settings": b'{"training": {"settings": {"a": ' + b"[" * 400 + b"]" * 400 + b"}}}",
    "another type": b'{"license": {"a": 1}}',
    "no object": b"[1]",
    "too large": b'{"description": "' + b"a" * 2**20 + b'"}',
}


@pytest.mark.parametrize("content", CARD_DATA.values(), ids=CARD_DATA)
def test_damaged_card_data_are_passed_over(folder: Path, told: Callable, content: bytes, tmp_path: Path) -> None:
    (folder / "model_card.json").write_bytes(content)
    model = MANNForSequenceClassification.from_pretrained(folder)
    assert model.memory.labels == ("card", "refund")
    warned = [line for line in told() if "model_card.json" in line]
    assert len(warned) == 1 and "is passed over" in warned[0] and len(warned[0]) < 600
    model.save_pretrained(tmp_path / "again")


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_no_file_is_followed_out_of_the_folder(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copyfile(folder / name, tmp_path / name)
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(UnsafeFileError, match=f"{name}' is refused: it is a link to a file outside") as caught:
        MANNForSequenceClassification.from_pretrained(folder)
    assert caught.value.file == name


def test_shards_and_links_of_ones_own_are_fine(folder: Path, tmp_path: Path) -> None:
    model = MANNForSequenceClassification.from_pretrained(folder)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="30KB")
    shards = sorted((tmp_path / "sharded").glob("model-*.safetensors"))
    assert len(shards) > 1
    (tmp_path / "sharded" / "weights").mkdir()
    shards[0].rename(tmp_path / "sharded" / "weights" / "first")
    shards[0].symlink_to(tmp_path / "sharded" / "weights" / "first")
    (tmp_path / "linked").symlink_to(tmp_path / "sharded")
    MANNForSequenceClassification.from_pretrained(tmp_path / "linked")
    shards[1].unlink()
    shards[1].symlink_to(folder / WEIGHTS)
    with pytest.raises(UnsafeFileError, match="outside of its folder"):
        MANNForSequenceClassification.from_pretrained(tmp_path / "linked")


def test_a_file_that_was_not_copied_is_missed(folder: Path) -> None:
    (folder / "memory.safetensors").rename(folder / "elsewhere")
    with pytest.raises(MemoryFileError, match="memory.json, which only shows .* without the memory itself"):
        MANNForSequenceClassification.from_pretrained(folder)
    (folder / "memory.json").unlink()
    assert not len(MANNForSequenceClassification.from_pretrained(folder).memory)
    (folder / "tokenizer.json").unlink()
    for task in (TASK, "text-classification"):
        with pytest.raises(FolderError, match="its tokenizer knows no words"):
            pipeline(task, model=str(folder))


@pytest.mark.parametrize("task", [TASK, "text-classification", "feature-extraction"])
@pytest.mark.parametrize("file", ["config.json", WEIGHTS, "memory.safetensors"])
def test_in_a_pipeline_our_words_stand_first(folder: Path, task: str, file: str) -> None:
    if file == "config.json":
        change(folder, encoder_config=[])
    else:
        (folder / file).write_bytes((folder / file).read_bytes()[:900])
    with pytest.raises(MannError) as by_pipeline:
        pipeline(task, model=str(folder))
    with pytest.raises(MannError) as by_model:
        MANNForSequenceClassification.from_pretrained(str(folder))
    assert str(by_pipeline.value) == str(by_model.value) and type(by_pipeline.value) is type(by_model.value)


TOKENIZERS: dict[str, Callable[[dict], Any]] = {
    "a blow-up": lambda content: content.update(
        normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "a" * 10**6}]}
    ),
    "a panic": lambda content: content.update(normalizer={"type": "Precompiled", "precompiled_charsmap": ""}),
    "a part that lacks": lambda content: content.pop("added_tokens"),
    "nothing in it": lambda content: content.clear(),
}


@pytest.mark.parametrize("task", [TASK, "text-classification"])
@pytest.mark.parametrize("edit", TOKENIZERS.values(), ids=TOKENIZERS)
def test_a_pipeline_refuses_the_tokenizers_that_a_model_refuses(folder: Path, task: str, edit: Callable) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises((FolderError, UnsafeFileError)) as by_model:
        MANNForSequenceClassification.from_pretrained(str(folder)).load_tokenizer()
    with pytest.raises(type(by_model.value)) as by_pipeline:
        pipeline(task, model=str(folder))
    assert str(by_pipeline.value) == str(by_model.value)


def test_a_pipeline_of_a_model_without_a_tokenizer_takes_the_encoders(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert pipeline(TASK, model=str(folder))("where is my card")


def test_the_refusal_of_an_encoders_tokenizer_is_told_itself(folder: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = Path(shutil.copytree(tiny_encoder, tmp_path / "hostile"))
    content = json.loads((encoder / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Prepend", "prepend": "a" * 10**6}
    (encoder / "tokenizer.json").write_text(json.dumps(content))
    for file in folder.glob("tokenizer*"):
        file.unlink()
    change(folder, encoder_name=str(encoder))
    with pytest.raises(UnsafeFileError, match="the prepend of a step"):
        MANNForSequenceClassification.from_pretrained(folder).load_tokenizer()


def test_without_a_configuration_there_is_no_model(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").unlink()
    (folder / WEIGHTS).unlink()
    with pytest.raises(MemoryFileError, match="holds only a memory, no model"):
        MANNForSequenceClassification.from_pretrained(folder)
    (folder / "memory.safetensors").unlink()
    with pytest.raises(FolderError, match="holds no model, as it has no config.json"):
        MANNForSequenceClassification.from_pretrained(folder)


def test_an_encoders_folder_is_no_model(tiny_encoder: Path) -> None:
    with pytest.raises(InvalidInputError, match="of type 'bert' .* from_encoder_pretrained"):
        MANNForSequenceClassification.from_pretrained(tiny_encoder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reading_options", [1]),
        ("reading_options", {"evil": 1}),
        ("reading_options", {"key_size": 9}),
        ("reading_options", {"constant": "x"}),
        ("reading_options", {"tolerance": float("nan")}),
        ("prompts", [1]),
        ("prompts", {"a": 1}),
        ("prompt_name", {}),
        ("prompt_name", "absent"),
        ("max_seq_length", "abc"),
        ("max_seq_length", 2.5),
        ("max_seq_length", 0),
        ("normalize", "yes"),
        ("label_names", 1),
        ("capacity", "9"),
        ("encoder_name", 5),
        ("pooling", "evil"),
        ("pooling", ["mean"]),
        ("similarity", {}),
        ("eviction", 7),
        ("reading", "evil"),
        ("problem_type", "evil"),
        ("id2label", [1]),
        ("label2id", 5),
        ("architectures", 5),
        ("architectures", [5]),
        ("dtype", "os.system"),
        ("dtype", "load"),
        ("quantization_config", 5),
        ("encoder_config", []),
        ("encoder_config", {}),
        ("encoder_config", {"model_type": "mann"}),
        ("encoder_config", None),
    ],
)
def test_a_field_that_cannot_be_meant_is_named(folder: Path, field: str, value: Any) -> None:
    change(folder, **{field: value})
    with pytest.raises(MannError) as caught:
        MANNForSequenceClassification.from_pretrained(folder)
    named = [field, field.replace("_", " "), repr(value), *(value if isinstance(value, dict) else ())]
    assert any(name in str(caught.value) for name in named)


def test_ones_own_wrong_argument_is_told_in_the_same_words(folder: Path) -> None:
    change(folder, prompts=[1])
    with pytest.raises(InvalidInputError) as by_folder:
        MANNForSequenceClassification.from_pretrained(folder)
    with pytest.raises(InvalidInputError) as by_argument:
        MANNConfig(prompts=[1])  # type: ignore[arg-type]
    assert str(by_folder.value) == f"config.json in {str(folder)!r}: {by_argument.value}"
    change(folder, prompts={})
    with pytest.raises(TypeError, match="colour"):
        MANNForSequenceClassification.from_pretrained(folder, colour="red")


def test_tokens_that_the_encoder_does_not_have_are_refused(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["card"] = 99_999
    path.write_text(json.dumps(content))
    classifier = FewShotTextClassificationPipeline(model=MANNForSequenceClassification.from_pretrained(folder))
    with pytest.raises(
        InvalidInputError, match="gives the token 99999, and the encoder has .* resize_token_embeddings"
    ):
        classifier("where is my card")


def test_a_damaged_tokenizer_is_not_replaced_by_the_encoders(folder: Path) -> None:
    model = MANNForSequenceClassification.from_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(b"{")
    with pytest.raises(FolderError, match="tokenizer.json' is damaged"):
        model.load_tokenizer()
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert model.load_tokenizer()("card")["input_ids"]  # of the encoder by its name


@pytest.mark.parametrize("way", ["from_pretrained", "AutoModelForSequenceClassification", "stock pipeline", "command"])
@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("prompts", ["a"], r"prompts is \['a'\]; give a dict from names to texts"),
        ("prompt_name", "other", "prompt_name is 'other'; the prompts are"),
        ("reading", "x", "unknown reading 'x'; choose one of"),
        ("id2label", {"1": "a"}, "id2label is .*; give a dict that names each output from 0 on"),
        ("num_labels", 10**9, "num_labels = 1,000,000,000; there may be"),
        ("encoder_config", {"model_type": "nope"}, "model_type 'nope', which is no encoder of transformers 5"),
    ],
)
def test_what_is_said_of_a_field_names_its_file(folder: Path, way: str, field: str, value: Any, says: str) -> None:
    change(folder, **{field: value})
    with pytest.raises((MannError, OSError), match=f"config.json in '.*folder': .*{says}"):
        WAYS[way](str(folder))


@pytest.mark.parametrize("load", [WAYS["from_pretrained"], WAYS["command"]])
def test_a_lost_file_is_named(folder: Path, load: Callable) -> None:
    (folder / "config.json").rename(folder / "elsewhere")
    with pytest.raises(OSError, match="folder' has model.safetensors but no config.json: copy or download that file"):
        load(str(folder))
    (folder / "elsewhere").rename(folder / "config.json")
    (folder / WEIGHTS).unlink()
    with pytest.raises(OSError, match="folder' has no model.safetensors: copy or download that file"):
        load(str(folder))


def test_an_adapter_without_its_weights_is_told(folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = MANNForSequenceClassification.from_pretrained(folder)
    adapters.add(model, peft.LoraConfig(r=2, target_modules=["query"]))
    model.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / WEIGHTS).unlink()
    with pytest.raises(FolderError, match="adapter' has no model.safetensors: copy or download that file too"):
        MANNForSequenceClassification.from_pretrained(tmp_path / "adapter")
