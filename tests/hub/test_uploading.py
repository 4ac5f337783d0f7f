"""Uploads to a Hub, by the real client: what is made when, and what is said where it fails."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

from mann_hf.errors import HubError, InvalidInputError
from mann_hf.hub.uploading import Repository, upload
from tests.loopback_hub import LoopbackHub

ID = "me/folder"

pytestmark = pytest.mark.usefixtures("hub_api")


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """A Hub that takes uploads."""
    with LoopbackHub("hf_loopback") as hub:
        yield hub


def fill_with(content: str) -> Callable[[Repository, Path], None]:
    def fill(repository: Repository, folder: Path) -> None:
        (folder / "file.txt").write_text(content)

    return fill


def never(name: str) -> bool:
    return False


@pytest.fixture
def push(hub: LoopbackHub) -> Callable[..., Any]:
    def push(repo_id: str = ID, content: str = "content", **options: Any) -> Any:
        return upload(fill_with(content), repo_id, never, "folder", **{"token": hub.token, **options})

    return push


class TestWhatIsMade:
    def test_a_name_without_an_owner_is_ones_own(self, push: Any, hub_api: HfApi) -> None:
        assert push("folder").repo_url.repo_id == ID
        assert "file.txt" in hub_api.list_repo_files(ID)

    def test_nothing_where_the_folder_cannot_be_written(self, hub: LoopbackHub, hub_api: HfApi) -> None:
        def fail(repository: Repository, folder: Path) -> None:
            raise OSError("no space is left")

        with pytest.raises(OSError, match=r"\Ano space is left"):
            upload(fail, ID, never, "folder", token=hub.token, private=True)
        assert not hub_api.repo_exists(ID)

    def test_a_branch_of_a_new_repository(self, push: Any, hub_api: HfApi) -> None:
        commit = push(revision="next")
        assert hub_api.model_info(ID, revision="next").sha == commit.oid
        assert "file.txt" not in hub_api.list_repo_files(ID)

    def test_a_branch_begins_as_main_and_keeps_its_files(self, push: Any, hub: Any, hub_api: HfApi) -> None:
        hub.add_repo(ID, {"old.txt": b"old", "other.txt": b"other"})
        upload(fill_with("new"), ID, lambda name: name == "old.txt", "folder", token=hub.token, revision="next")
        assert set(hub_api.list_repo_files(ID, revision="next")) == {".gitattributes", "file.txt", "other.txt"}

    def test_private_is_for_what_is_made(self, push: Any, hub_api: HfApi) -> None:
        push(private=True)
        assert hub_api.model_info(ID).private
        push(private=True)
        push("me/open")
        for create_pr in (False, True):
            with pytest.raises(InvalidInputError, match="exists already and is public"):
                push("me/open", content="secret", private=True, create_pr=create_pr)

    def test_a_pull_request_to_what_is_not_there_makes_it(self, push: Any, hub_api: HfApi) -> None:
        assert push(create_pr=True).pr_revision == "refs/pr/1"
        assert "file.txt" in hub_api.list_repo_files(ID, revision="refs/pr/1")
        assert "file.txt" not in hub_api.list_repo_files(ID)

    def test_a_pull_request_that_is_not_there(self, push: Any) -> None:
        push()
        with pytest.raises(HubError, match="refs/pr/7"):
            push(revision="refs/pr/7")

    def test_others_at_the_same_time(self, push: Any, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each time somebody else is first: it is given up in the end, not gone on for ever."""
        push()
        real: Any = HfApi.upload_folder
        times: list[int] = []

        def meanwhile(self: HfApi, **options: Any) -> Any:
            times.append(1)
            hub.add_repo(ID, {"theirs.txt": str(len(times)).encode()})
            return real(self, **options)

        monkeypatch.setattr(HfApi, "upload_folder", meanwhile)
        with pytest.raises(HubError, match="412") as caught:
            push(content="other")
        assert len(times) == 3 and caught.value.status == 412


class TestWhatIsSaid:
    def test_without_a_token(self, push: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_TOKEN", raising=False)
        for token in (None, True, False):
            with pytest.raises(HubError, match="log in with `hf auth login`, set HF_TOKEN") as caught:
                push(token=token)
            assert caught.value.status == 401 and caught.value.repo_id == ID
        monkeypatch.setenv("HF_TOKEN", "hf_stored")
        for token in (None, True):
            with pytest.raises(HubError, match="does not know the token that was sent"):
                push(token=token)

    def test_with_a_wrong_one(self, push: Any, hub: LoopbackHub) -> None:
        for name in (ID, "folder"):
            with pytest.raises(HubError, match=f"{hub.url}.* does not know the token that was sent"):
                push(name, token="hf_wrong")

    def test_in_the_name_of_others(self, push: Any, hub: LoopbackHub) -> None:
        hub.add_repo("they/folder", {})
        for name in ("they/folder", "they/another"):
            with pytest.raises(HubError, match="right to write under the name.*create_pr=True") as caught:
                push(name)
            assert caught.value.status == 403 and isinstance(caught.value.__cause__, OSError)

    @pytest.mark.parametrize("name", ["no name at all", "a/b/c", "me/no name"])
    def test_what_is_no_name(self, push: Any, name: str) -> None:
        with pytest.raises(InvalidInputError, match="Repo id"):
            push(name)

    def test_no_hub(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(HubError, match=r"127\.0\.0\.1:9\) is out of reach: .*HF_ENDPOINT") as caught:
            upload(fill_with("content"), ID, never, "folder", token="hf_any")
        assert caught.value.status is None

    def test_kept_from_asking(self, push: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(HubError, match=r"out of reach: .*HF_HUB_OFFLINE"):
            push()

    @pytest.mark.parametrize("cause", [None, OSError("the wire broke")])
    def test_files_that_do_not_come_through(
        self, push: Any, monkeypatch: pytest.MonkeyPatch, cause: Exception | None
    ) -> None:
        def cut(self: HfApi, **options: Any) -> Any:
            raise RuntimeError("Error while uploading 'a'.") from cause

        monkeypatch.setattr(HfApi, "upload_folder", cut)
        with pytest.raises(HubError, match=r"is unchanged, as the upload was interrupted \(Error while") as caught:
            push()
        assert caught.value.status is None and (cause is None or str(cause) in str(caught.value))

    def test_files_that_are_refused(self, push: Any, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: HfApi, **options: Any) -> Any:
            try:
                HfApi(endpoint=hub.url, token=hub.token).create_repo("they/folder")
            except OSError as refused:
                raise RuntimeError("Error while uploading 'a'.") from refused

        monkeypatch.setattr(HfApi, "upload_folder", full)
        with pytest.raises(HubError, match="does not let this token write there") as caught:
            push()
        assert caught.value.status == 403

    def test_a_fault_of_ones_own_is_told_as_it_is(self, hub: LoopbackHub) -> None:
        def fail(repository: Repository, folder: Path) -> None:
            raise RuntimeError("a bug")

        with pytest.raises(RuntimeError, match=r"\Aa bug"):
            upload(fail, ID, never, "folder", token=hub.token)
