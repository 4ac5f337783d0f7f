import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import ModelCard

from .conftest import EXAMPLES, Shell

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from tests.loopback_hub import LoopbackHub

ID, SKILL = "me/intents", "me/skill"


@pytest.fixture(autouse=True)
def logged_in(hub: "LoopbackHub", hub_api: "HfApi", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)


def test_a_classifier(shell: Shell, taught: Path, hub_api: "HfApi") -> None:
    said = shell("push", taught, ID, "--private", "--message", "First")
    commit = hub_api.list_repo_commits(ID)[0]
    assert said == f"The classifier is at {hub_api.endpoint}/{ID} (commit {commit.commit_id[:12]}).\n"
    assert commit.title == "First" and hub_api.repo_info(ID).private
    card = ModelCard.load(hub_api.hf_hub_download(ID, "README.md"))
    assert 'model="me/intents"' in card.text and "`lost_card` | 2" in card.text
    assert "model.safetensors" in hub_api.list_repo_files(ID)


def test_a_memory(shell: Shell, taught: Path, hub_api: "HfApi") -> None:
    assert shell("push", taught, SKILL, "--memory-only").startswith(f"The memory of {len(EXAMPLES)} texts is at ")
    assert {"memory.safetensors", "memory.json"} < set(hub_api.list_repo_files(SKILL))
    assert "model.safetensors" not in hub_api.list_repo_files(SKILL)
    assert not hub_api.repo_info(SKILL).private


def test_json_and_a_branch(shell: Shell, taught: Path, hub_api: "HfApi") -> None:
    report = shell.json("push", taught, ID, "--revision", "next")
    assert report["repository"] == ID and report["url"].endswith(ID)
    assert report["commit"] == hub_api.repo_info(ID, revision="next").sha


def test_a_pull_request(shell: Shell, taught: Path, hub: "LoopbackHub", hub_api: "HfApi") -> None:
    first = hub.add_repo("they/intents", {"notes.txt": b"theirs"})
    said = shell("push", taught, "they/intents", "--create-pr")
    assert said.startswith(f"The classifier is proposed at {hub.url}/they/intents/discussions/1 (commit ")
    assert shell.json("push", taught, "they/intents", "--create-pr", "--memory-only")["pull_request"].endswith("/2")
    assert hub_api.model_info("they/intents").sha == first
    shell("push", taught, ID)
    assert shell("push", taught, ID, "--create-pr").startswith(f"Nothing to propose: {hub.url}/{ID} holds the same")
    assert "model.safetensors" in hub_api.list_repo_files("they/intents", revision="refs/pr/1")


def test_what_cannot_be_pushed(shell: Shell, taught: Path, tmp_path: Path) -> None:
    assert "there is no folder 'me/none'" in shell.fails("push", "me/none", ID)
    assert "does not let this token write there" in shell.fails("push", taught, "they/intents")
    for name in ("no name", "./here", "a/b/c", "https://huggingface.co/me/intents"):
        assert (
            f"{name!r} is not a valid name of a repository on the Hub, such as me/my-intents: Repo id"
            in shell.fails("push", taught, name)
        )
    empty = Path(shutil.copytree(taught, tmp_path / "empty"))
    for label in dict.fromkeys(EXAMPLES.values()):
        shell("forget", empty, "--label", label)
    assert "is empty; teach it with" in shell.fails("push", empty, SKILL, "--memory-only")


def test_the_name_is_checked_before_the_login_and_both_before_the_weights(
    shell: Shell, taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (taught / "model.safetensors").write_bytes(b"not read")
    assert "is not a valid name of a repository" in shell.fails("push", taught, "no name")
    assert "log in with `hf auth login`" in shell.fails("push", taught, ID)


def test_the_token_is_wrong(shell: Shell, taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "does not know the token that was sent" in shell.fails("push", taught, ID)
