"""Where files are read from: folders, single files and repositories, with the Hub there, out of reach or busy."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from mann_hf.errors import UnsafeFileError
from mann_hf.hub.probe import NOT_ASKED
from mann_hf.hub.source import Source
from tests.local_hub import COMMIT

NAME = "me/model"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "config.json").write_text('{"a": 1}')
    (tmp_path / "folder" / "inner" / "config.json").write_text('{"a": 2}')
    return tmp_path / "folder"


@pytest.fixture
def repository(hub: Any, folder: Path) -> Any:
    """A Hub with a repository like the folder."""
    hub.add(NAME, folder)
    return hub


def asked(hub: Any) -> list[str]:
    """The files that a Hub was asked for since the last look."""
    files = [request["file"] for request in hub.requests]
    hub.requests.clear()
    return files


def test_arguments_of_loading_say_where_and_what_is_left_out_stays_out(tmp_path: Path) -> None:
    given = {"revision": "v1", "token": False, "cache_dir": tmp_path, "subfolder": None, "dtype": "auto"}
    source = Source.of(NAME, given)
    assert source == Source(NAME, revision="v1", token=False, cache_dir=str(tmp_path))
    assert source.arguments == {"revision": "v1", "token": False, "cache_dir": str(tmp_path)}
    assert Source.of(NAME, source.arguments) == source and Source.of(Path(NAME)) == Source(NAME)
    assert "hf_secret" not in repr(Source(NAME, token="hf_secret"))


def test_a_folder_gives_its_files_and_those_of_its_subfolder(folder: Path) -> None:
    source = Source.of(folder)
    assert source.folder == folder and source.file is source.repository is None
    assert source.path("config.json") == folder / "config.json" and source.json("inner/config.json") == {"a": 2}
    assert source.has("config.json") and not source.has("inner") and not source.is_unknown("other.json")
    assert source.fetch("other.json") is source.path("other.json") is source.json("other.json") is None
    assert source.at_one_commit() is source
    assert Source.of(folder, {"subfolder": "inner"}).json("config.json") == {"a": 2}


def test_a_link_out_of_the_folder_is_not_read(folder: Path) -> None:
    (folder / "inner" / "theirs.json").symlink_to(__file__)
    with pytest.raises(UnsafeFileError, match="outside of its folder"):
        Source.of(folder).json("inner/theirs.json")


def test_a_single_file_and_nothing_at_all_have_no_files(folder: Path) -> None:
    source = Source.of(folder / "config.json")
    assert source.file == folder / "config.json" and source.folder is source.repository is None
    for empty in (source, Source.of(None)):
        assert not empty.has("config.json") and empty.path("config.json") is None and empty.at_one_commit() is empty


def test_a_repository_is_read_at_one_commit(repository: Any) -> None:
    source = Source(NAME).at_one_commit()
    assert source.revision == COMMIT
    assert source.json("config.json") == {"a": 1}
    repository.repositories[NAME]["config.json"] = b"{}"
    asked(repository)
    assert source.at_one_commit() is source and source.json("config.json") == {"a": 1}
    assert asked(repository) == []


def test_of_a_commit_it_is_remembered_which_files_there_are(repository: Any) -> None:
    source = Source(NAME, revision=COMMIT)
    assert source.fetch("other.json") is None and asked(repository) == ["other.json"]
    assert source.fetch("other.json") is None and not source.is_unknown("other.json")
    assert asked(repository) == []
    assert source.path("config.json") == Source(NAME, revision=COMMIT).path("config.json")


def test_a_file_of_a_branch_is_fetched_once_by_a_source(repository: Any) -> None:
    source = Source(NAME, force_download=True)
    first = source.path("config.json")
    asked(repository)
    assert source.path("config.json") == first and asked(repository) == []


def test_a_subfolder_of_a_repository(repository: Any) -> None:
    source = Source(NAME, subfolder="inner").at_one_commit()
    assert source.revision == COMMIT and source.json("config.json") == {"a": 2}
    assert source.has("config.json") and not source.has("other.json")


def test_whether_there_is_a_file_downloads_nothing(repository: Any, own_hub_cache: Path) -> None:
    assert Source(NAME).has("config.json") and not Source(NAME).has("other.json")
    assert not Source(NAME).on_this_machine.has("config.json") and Source(NAME).is_unknown("config.json")
    assert not own_hub_cache.exists() or not list(own_hub_cache.iterdir())


def test_out_of_reach_what_the_cache_has_is_taken(repository: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Source(NAME).path("config.json")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits between its tries
    repository.stop()
    source = Source(NAME)
    assert source.path("config.json") == held and source.on_this_machine.has("config.json")
    assert source.path("other.json") is None and source.is_unknown("other.json") and not source.has("other.json")
    with pytest.raises(OSError, match="cannot find the requested files|could not be downloaded"):
        source.fetch("other.json")


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_offline_nothing_is_asked(repository: Any, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", by == "environment")
    source = Source(NAME, local_files_only=by == "argument")
    assert source.path("config.json") is None and not source.has("config.json")
    assert source.why_not_to_be_had("config.json") == NOT_ASKED
    assert asked(repository) == []


def test_whether_the_hub_gives_a_repository_is_asked_once(repository: Any) -> None:
    source = Source(NAME)
    assert source.refusal is None and source.why_not_to_be_had("config.json") is None
    repository.refusals[NAME] = (401, "RepoNotFound")
    assert source.refusal is None and asked(repository) == ["config.json"]
    refused = Source(NAME)
    assert refused.refusal is not None and refused.why_not_to_be_had("config.json") == refused.refusal
    assert asked(repository) == ["config.json"]


@pytest.mark.parametrize("code", ["GatedRepo", "RepoNotFound", "RevisionNotFound"])
def test_what_the_hub_does_not_give(repository: Any, code: str) -> None:
    repository.refusals[NAME] = (404 if code == "RevisionNotFound" else 403, code)
    with pytest.raises(OSError, match=NAME):
        Source(NAME).fetch("config.json")
    if code == "GatedRepo":
        assert Source(NAME).path("config.json") is None
    else:
        with pytest.raises(OSError, match=NAME):
            Source(NAME).path("config.json")


def test_what_is_no_name_is_told(hub: Any) -> None:
    with pytest.raises(OSError, match="Repo id must"):
        Source("a/b/c").path("config.json")
    assert not hub.requests and Source("a/b/c").is_unknown("config.json")
