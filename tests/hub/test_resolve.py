"""Where an encoder is found: each place before the next, and plain words when it is nowhere."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from mann_hf import MANNForSequenceClassification
from mann_hf.controllers import KNOWN_ENCODERS, SHORT_NAMES
from mann_hf.errors import EncoderNotFoundError, FolderError
from mann_hf.hub import probe, resolve, source
from mann_hf.hub.resolve import EncoderPackage, check_reachable, near_encoders, resolve_encoder
from mann_hf.hub.source import Source

NAME = "someone/encoder"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_encoder: Path) -> Path:
    """An installed package that carries the encoder `NAME`; gives the encoder's folder in it."""
    folder = tmp_path / "site" / "carried_encoder" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise AssertionError('imported')\n")
    for file in tiny_encoder.iterdir():
        os.link(file, folder / file.name)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setitem(resolve.ENCODER_PACKAGES, NAME, EncoderPackage("carried-encoder", "carried_encoder", "model"))
    return folder


@pytest.fixture
def absent_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that would carry `NAME` but is not installed."""
    monkeypatch.setitem(resolve.ENCODER_PACKAGES, NAME, EncoderPackage("absent-encoder", "absent_encoder", "model"))


@pytest.fixture
def cached(own_hub_cache: Path, tiny_encoder: Path) -> Path:
    """`NAME` in the Hub cache, whole; gives its folder there."""
    return put_in_cache(own_hub_cache, tiny_encoder)


def put_in_cache(cache: Path, folder: Path, without: tuple[str, ...] = ()) -> Path:
    repository = cache / f"models--{NAME.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for file in folder.iterdir():
        if file.name not in without:
            os.link(file, snapshot / file.name)
    return snapshot


# A local folder


def test_a_local_folder_comes_first(hub: Any, cached: Path, package: Path, tiny_encoder, tmp_path, monkeypatch, said):
    (tmp_path / "someone").mkdir()
    (tmp_path / NAME).symlink_to(tiny_encoder)
    monkeypatch.chdir(tmp_path)
    assert resolve_encoder(NAME) == NAME
    assert not hub.requests
    assert any("local folder" in line and NAME in line for line in said)


def test_a_folder_is_found_by_path_and_from_home(tiny_encoder: Path, monkeypatch):
    assert resolve_encoder(tiny_encoder) == str(tiny_encoder)
    monkeypatch.setenv("HOME", str(tiny_encoder.parent))
    assert resolve_encoder(f"~/{tiny_encoder.name}") == str(tiny_encoder)


def test_a_folder_without_an_encoder_is_refused(tmp_path: Path):
    with pytest.raises(EncoderNotFoundError, match=r"no config\.json"):
        resolve_encoder(tmp_path)


def test_a_folder_with_an_adapter_alone_says_how_to_load_it(tmp_path: Path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(EncoderNotFoundError, match=r"holds an adapter and no encoder.*model\.load_adapter\("):
        resolve_encoder(tmp_path)


def test_a_new_folder_is_seen_and_a_removed_one_forgotten(package: Path, tmp_path, tiny_encoder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_encoder(NAME) == str(package)
    (tmp_path / "someone").mkdir()
    (tmp_path / NAME).symlink_to(tiny_encoder)
    assert resolve_encoder(NAME) == NAME
    (tmp_path / NAME).unlink()
    assert resolve_encoder(NAME) == str(package)


# The Hub and its cache


def test_the_hub_gives_its_id(hub: Any, package: Path, tiny_encoder: Path, said):
    hub.add(NAME, tiny_encoder)
    assert resolve_encoder(NAME) == NAME
    assert any("from the Hub." in line for line in said)


def test_the_hub_cache_with_the_hub_within_reach_gives_the_id(hub: Any, cached: Path, tiny_encoder: Path, said):
    hub.add(NAME, tiny_encoder)
    assert resolve_encoder(NAME) == NAME
    assert any("the Hub cache" in line for line in said)


def test_the_hub_cache_without_the_hub_gives_a_folder_that_loads_without_it(hub: Any, cached: Path, said):
    hub.stop()
    assert resolve_encoder(NAME) == str(cached)
    assert any("the Hub cache" in line and "out of reach" in line for line in said)


@pytest.mark.parametrize("how", ["environment", "argument"])
def test_offline_the_hub_cache_gives_the_id_and_the_hub_is_not_asked(hub: Any, cached: Path, how, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", how == "environment")
    assert resolve_encoder(NAME, local_files_only=how == "argument") == NAME
    assert not hub.requests


@pytest.mark.parametrize("lacking", ["model.safetensors", "tokenizer.json"])
def test_a_part_of_an_encoder_in_the_cache_is_not_taken_without_the_hub(hub: Any, lacking, own_hub_cache, tiny_encoder):
    put_in_cache(own_hub_cache, tiny_encoder, without=(lacking,))
    hub.stop()
    with pytest.raises(EncoderNotFoundError, match=r"without (a tokenizer|model\.safetensors)"):
        resolve_encoder(NAME)
    with pytest.raises(EncoderNotFoundError, match=r"without (a tokenizer|model\.safetensors)"):
        resolve_encoder(NAME, local_files_only=True)


def test_weights_in_shards_must_all_be_in_the_cache(hub: Any, own_hub_cache, tiny_encoder):
    snapshot = put_in_cache(own_hub_cache, tiny_encoder, without=("model.safetensors",))
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (snapshot / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict(zip("ab", shards, strict=True))})
    )
    (snapshot / shards[0]).touch()
    hub.stop()
    with pytest.raises(EncoderNotFoundError, match=f"without {shards[1]}"):
        resolve_encoder(NAME)
    (snapshot / shards[1]).touch()
    assert resolve_encoder(NAME) == str(snapshot)


def test_cache_dir_revision_and_token_reach_the_hub_and_its_cache(hub: Any, tmp_path: Path, tiny_encoder: Path):
    hub.add(NAME, tiny_encoder)
    assert resolve_encoder(NAME, revision="v1", token="hf_secret") == NAME
    assert hub.requests == [{"repo": NAME, "revision": "v1", "file": "config.json", "token": "Bearer hf_secret"}]
    snapshot = put_in_cache(tmp_path / "cache", tiny_encoder)
    hub.stop()
    assert resolve_encoder(NAME, cache_dir=tmp_path / "cache") == str(snapshot)
    assert resolve_encoder(NAME, cache_dir=tmp_path / "cache", revision=COMMIT) == str(snapshot)
    with pytest.raises(EncoderNotFoundError, match="nothing of it there"):
        resolve_encoder(NAME, cache_dir=tmp_path / "cache", revision="v2")


def test_a_repository_without_a_config_is_left_to_loading(hub: Any):
    hub.repositories[NAME] = {"adapter_config.json": b"{}"}
    assert resolve_encoder(NAME) == NAME


# The Hub says no


@pytest.mark.parametrize(
    "status, code, words, cure",
    [
        (401, "RepoNotFound", "no such repository", "spelling"),
        (404, "RepoNotFound", "no such repository", "spelling"),
        (403, "GatedRepo", "gated", "hf auth login"),
        (403, "", "refused", "hf auth login"),
        (404, "RevisionNotFound", "no revision 'v1'", "check the revision"),
    ],
)
def test_a_no_of_the_hub_is_told_with_its_cure(hub: Any, status, code, words, cure):
    hub.refusals[NAME] = (status, code)
    with pytest.raises(EncoderNotFoundError, match=words) as raised:
        resolve_encoder(NAME, revision="v1")
    assert cure in str(raised.value)
    assert "out of reach" not in str(raised.value)


@pytest.mark.parametrize("code", ["RepoNotFound", "GatedRepo"])
def test_a_no_of_the_hub_leaves_the_cache_and_the_package(hub: Any, package: Path, own_hub_cache, tiny_encoder, code):
    hub.refusals[NAME] = (401, code)
    assert resolve_encoder(NAME) == str(package)
    snapshot = put_in_cache(own_hub_cache, tiny_encoder)
    assert resolve_encoder(NAME, revision="main") == str(snapshot)


def test_a_token_that_is_asked_for_but_not_stored_is_told(hub: Any, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with pytest.raises(EncoderNotFoundError, match="no token is stored"):
        resolve_encoder(NAME, token=True)


# The Hub is out of reach


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_in_trouble_is_out_of_reach(hub: Any, package: Path, status: int):
    hub.refusals[NAME] = (status, "")
    assert resolve_encoder(NAME) == str(package)
    assert len(hub.requests) == 1  # no second try


@pytest.mark.parametrize("status", [429, 503, None])
def test_what_is_nowhere_else_is_left_to_the_client_of_a_slow_or_busy_hub(
    hub: Any, status: int | None, monkeypatch, own_hub_cache: Path
):
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.2)
    if status is None:
        hub.delay = 0.5
    else:
        hub.refusals["me/model"] = (status, "")
    assert resolve_encoder("me/model") == "me/model"
    check_reachable(Source("me/model"))


def test_something_else_that_answers_in_the_hubs_place_is_no_hub(hub: Any, package: Path, tiny_encoder: Path):
    hub.add(NAME, tiny_encoder)
    hub.is_hub = False
    assert resolve_encoder(NAME) == str(package)


def test_a_hub_that_does_not_answer_is_not_waited_for(hub: Any, package: Path, monkeypatch):
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.2)
    hub.delay = 2.0
    start = time.monotonic()
    assert resolve_encoder(NAME) == str(package)
    assert time.monotonic() - start < 1.5


def test_a_look_up_of_the_hubs_name_that_hangs_is_not_waited_for(hub: Any, package: Path, monkeypatch):
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(probe, "get_hf_file_metadata", lambda *args, **kwargs: time.sleep(2.0))
    start = time.monotonic()
    assert resolve_encoder(NAME) == str(package)
    assert time.monotonic() - start < 1.5


def test_an_error_of_our_own_is_not_taken_for_a_bad_network(hub: Any, package: Path, monkeypatch):
    def broken(*args: Any, **kwargs: Any) -> None:
        raise AttributeError("a bug")

    monkeypatch.setattr(probe, "get_hf_file_metadata", broken)
    with pytest.raises(AttributeError, match="a bug"):
        resolve_encoder(NAME)


# The package


def test_the_package_comes_last_and_is_not_imported(hub: Any, package: Path, said):
    hub.stop()
    assert resolve_encoder(NAME) == str(package)
    assert any("carried-encoder" in line for line in said)


def test_offline_the_package_is_taken(package: Path):
    assert resolve_encoder(NAME) == str(package)


def test_a_package_is_not_taken_for_a_revision(package: Path):
    assert resolve_encoder(NAME, revision="main") == str(package)
    with pytest.raises(EncoderNotFoundError, match="cannot give the revision 'v1'"):
        resolve_encoder(NAME, revision="v1")


def test_a_short_name_stands_for_the_long_one(package: Path, monkeypatch):
    monkeypatch.setitem(SHORT_NAMES, "encoder", NAME)
    assert resolve_encoder("encoder") == str(package)


def test_short_names_and_packages_agree():
    assert set(SHORT_NAMES.values()) <= set(resolve.ENCODER_PACKAGES)


# Nowhere


def test_every_place_and_every_cure_is_named(hub: Any, absent_package, own_hub_cache: Path):
    hub.stop()
    with pytest.raises(EncoderNotFoundError) as raised:
        resolve_encoder(NAME)
    assert isinstance(raised.value, OSError)
    for words in (f"local folder '{NAME}'", str(own_hub_cache), "out of reach", "'absent-encoder': not installed"):
        assert words in str(raised.value)
    for cure in ("pip install absent-encoder", "connect to the Hub", "the path of a folder"):
        assert cure in str(raised.value)


def test_offline_the_cure_is_to_go_online():
    with pytest.raises(EncoderNotFoundError, match="without HF_HUB_OFFLINE"):
        resolve_encoder(NAME)


@pytest.mark.parametrize("name", ["./encoder", "/no/such/folder", "a/b/c", "with space", "~/nowhere"])
def test_what_cannot_be_a_hub_id_is_not_asked_for(hub: Any, name: str):
    with pytest.raises(EncoderNotFoundError, match="no such folder"):
        resolve_encoder(name)
    assert not hub.requests


# A saved model


@pytest.mark.parametrize("name", ["./model", "/no/such/folder", "a/b/c", "with space", "~/nowhere"])
def test_a_model_whose_name_is_a_path_is_not_asked_for(hub: Any, name: str):
    with pytest.raises(FolderError, match=re.escape(f"there is no folder {name!r}. Give the path")):
        MANNForSequenceClassification.from_pretrained(name)
    assert not hub.requests


@pytest.mark.parametrize("local_files_only", [True, False])
def test_a_model_that_is_nowhere_is_told_at_once(no_network: list[str], monkeypatch, local_files_only: bool):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    start = time.monotonic()
    with pytest.raises(FolderError, match="no folder 'nofolder' and no such model in the Hub cache; the Hub: .* helps"):
        MANNForSequenceClassification.from_pretrained("nofolder", local_files_only=local_files_only)
    assert time.monotonic() - start < 2 * probe.PROBE_SECONDS and len(no_network) <= (not local_files_only)
    no_network.clear()


def test_an_encoder_taken_for_a_model_is_told():
    with pytest.raises(FolderError, match=r"given to a new model by from_encoder_pretrained\('all-MiniLM-L6-v2'\)"):
        MANNForSequenceClassification.from_pretrained("all-MiniLM-L6-v2")


# Asked twice


def test_the_second_time_costs_nothing(hub: Any, tiny_encoder: Path, monkeypatch):
    hub.add(NAME, tiny_encoder)
    assert resolve_encoder(NAME) == NAME
    hub.requests.clear()
    monkeypatch.setattr(source, "try_to_load_from_cache", lambda *a, **k: pytest.fail("looked again"))
    assert resolve_encoder(NAME) == NAME
    assert not hub.requests


def test_an_encoder_not_found_is_looked_for_again(hub: Any, tiny_encoder: Path):
    with pytest.raises(EncoderNotFoundError):
        resolve_encoder(NAME)
    hub.add(NAME, tiny_encoder)
    assert resolve_encoder(NAME) == NAME


def test_other_arguments_are_another_question(hub: Any, tiny_encoder: Path):
    hub.add(NAME, tiny_encoder)
    assert resolve_encoder(NAME) == NAME
    with pytest.raises(EncoderNotFoundError):
        resolve_encoder(NAME, local_files_only=True)


def test_a_removed_package_is_not_remembered(package: Path):
    assert resolve_encoder(NAME) == str(package)
    package.rename(package.with_name("elsewhere"))
    with pytest.raises(EncoderNotFoundError):
        resolve_encoder(NAME)


def test_the_probe_is_one_request_that_downloads_nothing(hub: Any, tiny_encoder: Path, own_hub_cache: Path):
    hub.add(NAME, tiny_encoder)
    resolve_encoder(NAME)
    assert [request["file"] for request in hub.requests] == ["config.json"]
    assert not own_hub_cache.exists() or not list(own_hub_cache.iterdir())
    assert huggingface_hub.try_to_load_from_cache(NAME, "config.json") is None


@pytest.mark.parametrize("name", ["all-MiniLM", "all-minilm-l6-v2", "MiniLM", "sentence-transformer/all-MiniLM-L6-v2"])
def test_an_encoder_that_was_probably_meant_is_named(name: str) -> None:
    question = f"The encoder {name!r} was not found: did you mean 'sentence-transformers/all-MiniLM-L6-v2'"
    with pytest.raises(EncoderNotFoundError, match=re.escape(question)):
        MANNForSequenceClassification.from_encoder_pretrained(name, local_files_only=True)


def test_the_encoders_of_the_readme_are_known() -> None:
    table = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
    assert {*re.findall(r"^\| `([\w.-]+/[\w.-]+)` \|", table, re.MULTILINE)} <= {*KNOWN_ENCODERS}
    assert near_encoders("bge-small")[0] == "BAAI/bge-small-en-v1.5"
    assert near_encoders("intfloat/e5-small")[0] == "intfloat/e5-small-v2"
    assert near_encoders("my-own-encoder") == []


def test_a_home_of_nobody_is_a_folder_that_is_not_there() -> None:
    with pytest.raises(EncoderNotFoundError, match="'~nobody-of-this-name/encoder' was not found"):
        MANNForSequenceClassification.from_encoder_pretrained("~nobody-of-this-name/encoder")


def test_a_model_folder_that_was_probably_meant_is_named(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-intents").symlink_to(tiny_encoder)
    (tmp_path / "Team-A").symlink_to(tiny_encoder)
    (tmp_path / "my-intent").mkdir()  # no model
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source, "hub_refusal", None)  # which is not to be called
    with pytest.raises(FolderError, match="there is no folder 'my-intens'. Did you mean 'my-intents'?"):
        MANNForSequenceClassification.from_pretrained("my-intens")
    with pytest.raises(FolderError, match="Did you mean 'Team-A'?"):
        MANNForSequenceClassification.from_pretrained("team-a")
    with pytest.raises(EncoderNotFoundError, match="'my-intens' was not found: did you mean 'my-intents'?"):
        resolve_encoder("my-intens", local_files_only=True)
