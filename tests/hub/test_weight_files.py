"""Encoders of strangers: which of their files are opened."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertModel

from mann_hf import MANNForSequenceClassification
from mann_hf.errors import FolderError, InvalidInputError, UnsafeFileError
from mann_hf.hub.configs import without_attention
from mann_hf.hub.encoders import load_encoder
from mann_hf.hub.weight_files import ADAPTER, LARGEST_INDEX, PICKLES
from tests.local_hub import COMMIT

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A copy of the encoder, in a folder that has room beside it."""
    return Path(shutil.copytree(tiny_encoder, tmp_path / "a" / "encoder"))


@pytest.fixture
def payload(tmp_path: Path) -> bytes:
    """A pickle that makes the file `ran` when it is read."""
    return b"cposix\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is handed to torch to be unpickled, with the arguments."""
    calls: list[Any] = []
    load = torch.load  # noqa: TID251

    def spy(*args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs)
        return load(*args, **kwargs)

    monkeypatch.setattr("torch.load", spy)
    return calls


def as_index(folder: Path, names: object) -> None:
    content = names if isinstance(names, str) else json.dumps({"metadata": {}, "weight_map": names})
    (folder / INDEX).write_text(content)


def split(folder: Path, file: str) -> None:
    """The weights as one shard by that name."""
    weights = load_file(folder / WEIGHTS)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).rename(folder / file)
    as_index(folder, dict.fromkeys(weights, file))


def change(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


@pytest.mark.parametrize("file", PICKLES)
def test_a_pickle_is_not_opened(folder: Path, payload: bytes, opened: list, tmp_path: Path, file: str) -> None:
    (folder / WEIGHTS).unlink()
    shard = "pytorch_model-00001-of-00001.bin"
    (folder / shard).write_bytes(payload)
    (folder / file).write_bytes(
        payload if file.endswith(".bin") else json.dumps({"metadata": {}, "weight_map": {"a": shard}}).encode()
    )
    with pytest.raises(UnsafeFileError, match=f"^{file} in .*encoder' is refused.*can run code.*convert") as told:
        load_encoder(folder)
    assert told.value.file == file and "use_safetensors=False" in str(told.value)
    assert not opened and not (tmp_path / "ran").exists()


def test_pickles_that_lie_about_are_passed_over(folder: Path, payload: bytes, opened: list, tmp_path: Path) -> None:
    for name in (*PICKLES, "training_args.bin", "optimizer.pt", "model.pt", "adapter_model.bin"):
        (folder / name).write_bytes(payload)
    load_encoder(folder)
    assert not opened and not (tmp_path / "ran").exists()


def test_a_pickle_is_opened_where_the_user_says_so(folder: Path, payload: bytes, opened: list, tmp_path: Path) -> None:
    before = load_encoder(folder).state_dict()
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    torch.save(weights, folder / "pytorch_model.bin")  # noqa: TID251
    again = load_encoder(folder, use_safetensors=False).state_dict()
    assert all(torch.equal(before[name], again[name]) for name in before)
    assert opened and all(call["weights_only"] for call in opened)
    (folder / "pytorch_model.bin").write_bytes(payload)
    with pytest.raises(Exception, match="[Ww]eights.only"):
        load_encoder(folder, use_safetensors=False)
    assert not (tmp_path / "ran").exists()


def test_a_file_in_place_of_a_folder(folder: Path, payload: bytes, opened: list) -> None:
    config = load_encoder(folder).config
    (folder / "some.bin").write_bytes(payload)
    with pytest.raises(UnsafeFileError, match="^some.bin in .* is no safetensors file"):
        load_encoder(folder / "some.bin", config=config)
    assert not opened


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_in_shards_and_variants_are_read(tiny_encoder: Path, tmp_path: Path, variant: str | None) -> None:
    model = BertModel.from_pretrained(tiny_encoder)
    model.save_pretrained(tmp_path, variant=variant, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again = load_encoder(tmp_path, variant=variant).state_dict()
    assert torch.equal(again["embeddings.word_embeddings.weight"], model.embeddings.word_embeddings.weight)
    with pytest.raises(OSError, match="model"):
        load_encoder(tmp_path, variant="other")


def test_shards_in_a_folder_below(folder: Path) -> None:
    split(folder, "part/one.safetensors")
    load_encoder(folder)


@pytest.mark.parametrize("name", ["../outside.safetensors", "part/../../outside.safetensors", "{}/outside.safetensors"])
def test_a_list_of_weights_leads_nowhere_else(folder: Path, name: str) -> None:
    (folder / "part").mkdir()
    name = name.format(folder.parent)
    split(folder, name)
    with pytest.raises(
        UnsafeFileError, match=f"^{INDEX} in .*names '.*outside.safetensors' as weights, which lies out"
    ):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["..\\outside.safetensors", "C:\\outside.safetensors", "C:outside.safetensors"])
def test_nor_does_it_where_paths_are_written_otherwise(folder: Path, name: str) -> None:
    (folder / WEIGHTS).unlink()
    as_index(folder, {"a": name})
    with pytest.raises(UnsafeFileError, match="lies outside"):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["evil.bin", "/dev/zero", 5, None, ["a.safetensors"]])
def test_a_list_of_weights_names_no_pickle(folder: Path, payload: bytes, opened: list, name: Any) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "evil.bin").write_bytes(payload)
    as_index(folder, {"a": name} if not isinstance(name, list) else {"a": name[0], "b": 5})
    with pytest.raises(UnsafeFileError, match="no safetensors file"):
        load_encoder(folder)
    assert not opened


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"weight_map": 5}', '{"weight_map": {"a": {}}}', "[" * 100_000, " " * 2]
)
def test_a_damaged_list_of_weights(folder: Path, content: str) -> None:
    (folder / WEIGHTS).unlink()
    as_index(folder, content)
    with pytest.raises(UnsafeFileError, match=f"^{INDEX} in .*is no list of weights"):
        load_encoder(folder)


def test_a_list_of_weights_that_is_too_large_is_not_read(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with (folder / INDEX).open("wb") as file:
        file.truncate(LARGEST_INDEX + 1)
    with pytest.raises(UnsafeFileError, match=f"at most {LARGEST_INDEX:,}"):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["adapter_model.bin", "../adapter_model.safetensors"])
def test_the_configuration_names_no_other_weights(folder: Path, payload: bytes, opened: list, name: str) -> None:
    change(folder, transformers_weights=name)
    (folder / name).write_bytes(payload)
    with pytest.raises(UnsafeFileError, match="^config.json in .*names '.*adapter_model"):
        load_encoder(folder)
    assert not opened


@pytest.mark.parametrize("sharded", [False, True])
def test_the_configuration_may_name_safetensors(folder: Path, sharded: bool) -> None:
    if sharded:
        split(folder, "one.safetensors")
        (folder / INDEX).rename(folder / "own.safetensors.index.json")
        change(folder, transformers_weights="own.safetensors.index.json")
    else:
        (folder / WEIGHTS).rename(folder / "own.safetensors")
        change(folder, transformers_weights="own.safetensors")
    load_encoder(folder)


def test_an_adapter_beside_the_weights_is_refused(folder: Path, payload: bytes, opened: list, tmp_path: Path) -> None:
    """transformers would load it by itself, and PEFT import the module that it names."""
    peft = pytest.importorskip("peft")
    peft.LoraConfig(r=2, target_modules=["query"], megatron_config={"a": 1}, megatron_core="evil").save_pretrained(
        folder
    )
    (folder / "adapter_model.bin").write_bytes(payload)
    with pytest.raises(UnsafeFileError, match=f"^{ADAPTER} in .*adapter on the encoder unasked.*merge_and_unload"):
        load_encoder(folder)
    assert not opened


def test_attention_is_for_the_user_to_choose(folder: Path) -> None:
    """Its name may be that of a repository with code."""
    for field in ("attn_implementation", "_attn_implementation", "experts_implementation"):
        change(folder, **{field: "someone/kernel"})
    assert "/" not in str(load_encoder(folder).config._attn_implementation)
    assert load_encoder(folder, attn_implementation="eager").config._attn_implementation == "eager"
    inner = {"model_type": "bert", "_attn_implementation": "someone/kernel", "id2label": {"0": "a"}}
    assert without_attention({"attn_implementation": {"": "someone/kernel"}, "encoder_config": inner}) == {
        "encoder_config": {"model_type": "bert", "id2label": {"0": "a"}}
    }


def test_a_folder_without_weights_is_told(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(FolderError, match="has no model.safetensors: copy or download that file too") as caught:
        load_encoder(folder)
    assert caught.value.file == WEIGHTS


class TestOnTheHub:
    @pytest.fixture(autouse=True)
    def ask_about_commits(self, no_network: list[str]) -> Iterator[None]:
        """transformers may ask the real Hub for a commit, and takes the refusal for an answer."""
        yield
        no_network.clear()

    def test_a_pickle_is_not_fetched(self, hub: Any, folder: Path, payload: bytes, opened: list) -> None:
        (folder / WEIGHTS).unlink()
        (folder / "pytorch_model.bin").write_bytes(payload)
        hub.add("someone/encoder", folder)
        with pytest.raises(UnsafeFileError, match="^pytorch_model.bin in 'someone/encoder' is refused"):
            load_encoder("someone/encoder")
        assert not opened
        requests = [request["file"] for request in hub.requests]
        assert requests.count("pytorch_model.bin") == 1, "whether it is there, and no more"

    def test_all_files_are_of_one_commit(self, hub: Any, folder: Path) -> None:
        """What sentence-transformers writes beside the encoder, too."""
        hub.add("someone/encoder", folder)
        MANNForSequenceClassification.from_encoder_pretrained("someone/encoder")
        asked = [request for request in hub.requests if request["file"] != "config.json"]
        assert {"modules.json", WEIGHTS} <= {request["file"] for request in asked}
        assert {request["revision"] for request in asked} == {COMMIT}

    def test_a_list_of_weights_names_no_pickle(self, hub: Any, folder: Path, payload: bytes, opened: list) -> None:
        (folder / WEIGHTS).unlink()
        (folder / "evil.bin").write_bytes(payload)
        as_index(folder, {"a": "evil.bin"})
        hub.add("someone/encoder", folder)
        with pytest.raises(UnsafeFileError, match=f"^{INDEX} in 'someone/encoder' .* names 'evil.bin'"):
            load_encoder("someone/encoder")
        assert not opened and "evil.bin" not in [request["file"] for request in hub.requests]

    def test_shards_are_read(self, hub: Any, folder: Path) -> None:
        split(folder, "one.safetensors")
        hub.add("someone/encoder", folder)
        load_encoder("someone/encoder")

    def test_an_adapter_beside_the_weights_is_refused(self, hub: Any, folder: Path) -> None:
        (folder / ADAPTER).write_text("{}")
        hub.add("someone/encoder", folder)
        with pytest.raises(UnsafeFileError, match=ADAPTER):
            load_encoder("someone/encoder")


CODE: dict[str, Callable[[dict], dict]] = {
    "a model of its own": lambda code: {"model_type": "theirs", "auto_map": code},
    "in place of a known one": lambda code: {"auto_map": code},
}


@pytest.mark.parametrize("fields", CODE.values(), ids=CODE)
def test_code_of_the_repository_is_neither_run_nor_asked_about(
    folder: Path, fields: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    change(folder, **fields({"AutoConfig": "code.C", "AutoModel": "code.C", "AutoModelForTextEncoding": "code.C"}))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\n")
    if "model_type" in fields({}):
        with pytest.raises(ValueError, match="trust_remote_code"):
            load_encoder(folder)
    else:
        load_encoder(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("count", [10**12, 1e12])
@pytest.mark.parametrize("name", ["num_labels", "num_hidden_layers"])
def test_more_labels_or_layers_than_anybody_has_take_no_memory(folder: Path, name: str, count: float) -> None:
    change(folder, **{name: count})
    with pytest.raises(InvalidInputError, match=f"the configuration has {name} = 1,000,000,000,000.*; there may be"):
        load_encoder(folder)


def test_the_payload_is_one(payload: bytes, tmp_path: Path) -> None:
    """That the other tests prove something."""
    import pickle  # noqa: TID251

    pickle.loads(payload)
    assert (tmp_path / "ran").exists()
