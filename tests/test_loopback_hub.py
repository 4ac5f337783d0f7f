"""The hub that other tests push to and pull from, driven by the real client."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    constants,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session

from tests.loopback_hub import LoopbackHub

ROOT = Path(__file__).parents[1]
ID = "me/model"
WEIGHTS = bytes(range(256)) * 200
MORE_WEIGHTS = WEIGHTS[::-1]


def status(error: HfHubHTTPError) -> int:
    return error.response.status_code


@pytest.fixture
def repo(hub: LoopbackHub, hub_api: HfApi) -> str:
    """A repository of two files; the name of its newest commit."""
    hub_api.create_repo(ID)
    files = {"config.json": b"{}", "model.safetensors": WEIGHTS}
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    return hub_api.create_commit(ID, operations, commit_message="First").oid


@pytest.fixture
def download(hub: LoopbackHub) -> Callable[..., bytes]:
    def read(path: str, revision: str | None = None, token: str | None = hub.token) -> bytes:
        found = hf_hub_download(ID, path, revision=revision, token=token or False, endpoint=hub.url)
        return Path(found).read_bytes()

    return read


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the client's waits before it tries again."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


def test_the_token_is_me(hub: LoopbackHub, hub_api: HfApi) -> None:
    assert hub_api.whoami()["name"] == "me"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        HfApi(endpoint=hub.url, token="hf_wrong").whoami()


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_a_repository_is_created_described_and_deleted(hub_api: HfApi, kind: str) -> None:
    sdk = "static" if kind == "space" else None
    made = hub_api.create_repo("thing", repo_type=kind, space_sdk=sdk)
    assert made.repo_id == "me/thing"
    assert hub_api.create_repo("me/thing", repo_type=kind, space_sdk=sdk, exist_ok=True).repo_id == "me/thing"
    with pytest.raises(HfHubHTTPError, match="already created"):
        hub_api.create_repo("me/thing", repo_type=kind, space_sdk=sdk)
    hub_api.upload_file(path_or_fileobj=b"text", path_in_repo="a/b.txt", repo_id="me/thing", repo_type=kind)
    assert hub_api.list_repo_files("me/thing", repo_type=kind) == [".gitattributes", "a/b.txt"]
    info = hub_api.repo_info("me/thing", repo_type=kind)
    assert info.id == "me/thing" and info.private is False
    hub_api.delete_repo("me/thing", repo_type=kind)
    assert not hub_api.repo_exists("me/thing", repo_type=kind)
    hub_api.delete_repo("me/thing", repo_type=kind, missing_ok=True)


def test_what_is_uploaded_comes_down_again(
    hub: LoopbackHub, hub_api: HfApi, repo: str, download: Callable[..., bytes]
) -> None:
    assert download("model.safetensors") == WEIGHTS
    assert download("config.json", token=None) == b"{}"
    folder = Path(snapshot_download(ID, endpoint=hub.url, token=hub.token))
    assert folder.name == repo
    assert {path.name for path in folder.iterdir()} == {".gitattributes", "config.json", "model.safetensors"}
    assert not [request for request in hub.requests if request.status == 501]


def test_a_folder_is_uploaded_in_one_commit(hub_api: HfApi, repo: str, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "one two#é.txt").write_text("text")
    (tmp_path / "memory.safetensors").write_bytes(MORE_WEIGHTS)
    hub_api.upload_folder(repo_id=ID, folder_path=tmp_path, delete_patterns="*.json")
    assert hub_api.list_repo_files(ID) == [
        ".gitattributes",
        "deep/er/one two#é.txt",
        "memory.safetensors",
        "model.safetensors",
    ]
    assert [commit.title for commit in hub_api.list_repo_commits(ID)][1:] == ["First", "initial commit"]
    assert [entry.path for entry in hub_api.list_repo_tree(ID, "deep", expand=True)] == ["deep/er"]
    found = hub_api.get_paths_info(ID, ["deep", "memory.safetensors", "absent"], expand=True)
    assert [entry.path for entry in found] == ["deep", "memory.safetensors"]
    assert hub_api.file_exists(ID, "deep/er/one two#é.txt")


def test_an_older_revision_is_read_by_commit_branch_and_tag(
    hub_api: HfApi, repo: str, download: Callable[..., bytes]
) -> None:
    hub_api.create_tag(ID, tag="v1")
    hub_api.create_branch(ID, branch="try/out", revision=repo)
    newest = hub_api.upload_file(path_or_fileobj=b"[]", path_in_repo="config.json", repo_id=ID).oid
    assert download("config.json") == download("config.json", revision=newest) == b"[]"
    for revision in (repo, "v1", "try/out"):
        assert download("config.json", revision=revision) == b"{}"
    hub_api.upload_file(path_or_fileobj=b"0", path_in_repo="config.json", repo_id=ID, revision="try/out")
    assert download("config.json", revision="try/out") == b"0" and download("config.json") == b"[]"
    refs = hub_api.list_repo_refs(ID)
    assert {branch.name for branch in refs.branches} == {"main", "try/out"}
    assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("v1", repo)]
    with pytest.raises(HfHubHTTPError, match="already exists"):
        hub_api.create_tag(ID, tag="v1")
    hub_api.create_branch(ID, branch="try/out", exist_ok=True)
    hub_api.delete_tag(ID, tag="v1")
    hub_api.delete_branch(ID, branch="try/out")
    with pytest.raises(RevisionNotFoundError):
        hub_api.model_info(ID, revision="v1")


def test_what_is_not_there_is_told_apart(hub_api: HfApi, repo: str, download: Callable[..., bytes]) -> None:
    with pytest.raises(EntryNotFoundError):
        download("absent.json")
    with pytest.raises(EntryNotFoundError):
        download("нет.json")
    assert list(Path(constants.HF_HUB_CACHE).rglob(f".no_exist/{repo}/absent.json"))
    with pytest.raises(RevisionNotFoundError):
        download("config.json", revision="absent")
    with pytest.raises(RevisionNotFoundError):
        hub_api.upload_file(path_or_fileobj=b"", path_in_repo="a", repo_id=ID, revision="absent")
    with pytest.raises(EntryNotFoundError):
        list(hub_api.list_repo_tree(ID, "absent"))
    for absent in ("me/absent", "absent"):
        with pytest.raises(RepositoryNotFoundError):
            hub_api.model_info(absent)
        with pytest.raises(RepositoryNotFoundError):
            hub_api.hf_hub_download(absent, "config.json")


def test_an_unchanged_file_is_not_uploaded_again(hub: LoopbackHub, hub_api: HfApi, repo: str) -> None:
    assert [(upload.repo, upload.bytes) for upload in hub.uploaded] == [(ID, len(WEIGHTS))]

    def push(weights: bytes, config: bytes) -> str:
        files = {"config.json": config, "model.safetensors": weights}
        operations = [CommitOperationAdd(path, data) for path, data in files.items()]
        return hub_api.create_commit(ID, operations, commit_message="Push").oid

    assert push(WEIGHTS, b"{}") == repo
    assert push(WEIGHTS, b"[]") != repo
    assert len(hub.uploaded) == 1
    push(MORE_WEIGHTS, b"[]")
    push(WEIGHTS, b"[]")  # here since the first commit
    assert len(hub.uploaded) == 2
    assert len(hub_api.list_repo_commits(ID)) == 5


def reading(api: HfApi) -> list[Callable[[], object]]:
    return [
        lambda: api.model_info(ID),
        lambda: api.list_repo_files(ID),
        lambda: api.hf_hub_download(ID, "config.json"),
        lambda: api.auth_check(ID),
    ]


def writing(api: HfApi, owner: str) -> list[Callable[[], object]]:
    return [
        lambda: api.create_repo(f"{owner}/other"),
        lambda: api.upload_file(path_or_fileobj=b"", path_in_repo="a", repo_id=f"{owner}/model"),
        lambda: api.create_tag(f"{owner}/model", tag="v1"),
        lambda: api.update_repo_settings(f"{owner}/model", private=True),
        lambda: api.delete_repo(f"{owner}/model"),
    ]


@pytest.mark.parametrize("token", [False, "hf_wrong"])
def test_a_private_repository_is_absent_for_strangers(
    hub: LoopbackHub, hub_api: HfApi, repo: str, token: str | bool
) -> None:
    hub_api.update_repo_settings(ID, private=True)
    assert hub_api.model_info(ID).private is True
    stranger = HfApi(endpoint=hub.url, token=token)
    for action in [*reading(stranger), *writing(stranger, "me")[1:4]]:
        with pytest.raises(RepositoryNotFoundError):
            action()
    for action in reading(hub_api):
        action()
    hub_api.update_repo_settings(ID, private=False)
    assert stranger.model_info(ID).private is False


@pytest.mark.parametrize("token", [False, "hf_wrong"])
def test_a_stranger_writes_nothing(hub: LoopbackHub, hub_api: HfApi, repo: str, token: str | bool) -> None:
    for action in writing(HfApi(endpoint=hub.url, token=token), "me"):
        with pytest.raises(HfHubHTTPError) as refused:
            action()
        assert status(refused.value) == 401
    assert hub_api.model_info(ID).sha == repo


def test_nobody_writes_under_another_name(hub: LoopbackHub, hub_api: HfApi) -> None:
    hub.add_repo("you/model", {"config.json": b"{}"})
    hub.add_repo("you/secret", {}, private=True)
    assert hub_api.file_exists("you/model", "config.json")
    with pytest.raises(RepositoryNotFoundError):
        hub_api.model_info("you/secret")
    for action in writing(hub_api, "you"):
        with pytest.raises(HfHubHTTPError, match="Forbidden") as refused:
            action()
        assert status(refused.value) == 403


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("path", ["model.safetensors", "notes.txt"])
def test_an_upload_cut_off_in_the_middle_leaves_what_was_there(
    hub: LoopbackHub, hub_api: HfApi, repo: str, download: Callable[..., bytes], path: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 3_000_000)
    operations = [CommitOperationAdd(path, file), CommitOperationAdd("config.json", b"[]")]
    hub.cut_uploads_after(1_000_000)
    with pytest.raises(Exception, match=r"uploading|disconnected|reset|[Bb]roken"):
        hub_api.create_commit(ID, operations, commit_message="Cut off")
    assert hub.requests[-1].status == 0
    assert len(hub.uploaded) == 1
    assert hub_api.model_info(ID).sha == repo
    assert download("config.json") == b"{}" and download("model.safetensors") == WEIGHTS
    hub.cut_uploads_after(None)
    hub_api.create_commit(ID, operations, commit_message="Whole")
    assert download(path) == b"x" * 3_000_000


def test_files_are_deleted_and_copied(hub: LoopbackHub, hub_api: HfApi, repo: str) -> None:
    operations = [CommitOperationAdd(f"folder/{name}", b"text") for name in "ab"]
    hub_api.create_commit(ID, operations, commit_message="Add")
    hub_api.delete_file("folder/a", ID)
    copies = [CommitOperationCopy(name, f"copy/{name}") for name in ("config.json", "model.safetensors")]
    hub_api.create_commit(ID, [CommitOperationDelete("folder/"), *copies], commit_message="Move")
    assert hub_api.list_repo_files(ID) == [
        ".gitattributes",
        "config.json",
        "copy/config.json",
        "copy/model.safetensors",
        "model.safetensors",
    ]
    assert len(hub.uploaded) == 1
    with pytest.raises(EntryNotFoundError):
        hub_api.delete_file("folder/a", ID)


def test_a_commit_upon_an_older_one_is_refused(hub_api: HfApi, repo: str) -> None:
    def push(text: bytes, parent: str) -> None:
        hub_api.upload_file(path_or_fileobj=text, path_in_repo="a.txt", repo_id=ID, parent_commit=parent)

    refusals: list[int] = []

    def race(number: int) -> None:
        try:
            push(str(number).encode(), repo)
        except HfHubHTTPError as error:
            refusals.append(status(error))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals == [412] * 3
    assert len(hub_api.list_repo_commits(ID)) == 3


def test_commits_at_one_time_all_count(hub_api: HfApi, repo: str) -> None:
    def push(number: int) -> None:
        hub_api.upload_file(path_or_fileobj=b"text", path_in_repo=f"{number}.txt", repo_id=ID)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"{number}.txt" for number in range(4)} < set(hub_api.list_repo_files(ID))


def test_a_pull_request_to_a_repository_of_others(hub: LoopbackHub, hub_api: HfApi) -> None:
    first = hub.add_repo("you/model", {"config.json": b"{}"})
    add = partial(CommitOperationAdd, "model.safetensors", WEIGHTS)  # which is good for one commit
    made = hub_api.create_commit("you/model", [add()], commit_message="Add weights", create_pr=True)
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    hub_api.upload_file(path_or_fileobj=b"more", path_in_repo="a.txt", repo_id="you/model", revision="refs/pr/1")
    proposed = hub_api.list_repo_files("you/model", revision="refs/pr/1")
    assert {"config.json", "model.safetensors", "a.txt"} < set(proposed)
    assert hub_api.model_info("you/model").sha == first
    refs = hub_api.list_repo_refs("you/model", include_pull_requests=True)
    assert [ref.name for ref in refs.branches] == ["main"] and [ref.ref for ref in refs.pull_requests or []] == [
        "refs/pr/1"
    ]
    with pytest.raises(HfHubHTTPError, match="Forbidden"):
        hub_api.upload_file(path_or_fileobj=b"", path_in_repo="a", repo_id="you/model")
    with pytest.raises(HfHubHTTPError, match="Invalid username"):
        HfApi(endpoint=hub.url, token=False).create_commit("you/model", [add()], commit_message="Add", create_pr=True)


def test_a_discussion_is_refused_in_words(hub_api: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError, match="with a commit alone"):
        hub_api.create_discussion(ID, title="What is this?")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=0-3", WEIGHTS[:4]), ("bytes=50000-", WEIGHTS[50000:]), ("bytes=-7", WEIGHTS[-7:])],
)
def test_a_part_of_a_file_is_given(hub: LoopbackHub, hub_api: HfApi, repo: str, asked: str, expected: bytes) -> None:
    response = get_session().get(f"{hub.url}/{ID}/resolve/main/model.safetensors", headers={"Range": asked})
    assert response.status_code == 206
    assert response.content == expected
    assert response.headers["Content-Range"].endswith(f"/{len(WEIGHTS)}")


def test_a_card_tells_the_task_and_the_tags(hub_api: HfApi, repo: str) -> None:
    card = b"---\nlicense: mit\ntags:\n- few-shot\n- memory\npipeline_tag: text-classification\n---\n# Title\n"
    hub_api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=ID)
    info = hub_api.model_info(ID, files_metadata=True)
    assert (info.pipeline_tag, info.tags) == ("text-classification", ["few-shot", "memory"])
    assert info.siblings is not None
    assert [file.size for file in info.siblings if file.lfs] == [len(WEIGHTS)]


@pytest.mark.parametrize(
    "metadata", ["tags: few-shot", "license: [mit]", "- a list", "a: [", "model-index:\n- name: a"]
)
def test_metadata_of_another_form_are_refused(hub_api: HfApi, repo: str, metadata: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid metadata in README.md[^$]*the form of"):
        hub_api.upload_file(path_or_fileobj=f"---\n{metadata}\n---\n".encode(), path_in_repo="README.md", repo_id=ID)
    assert "README.md" not in hub_api.list_repo_files(ID)


@pytest.mark.skipif(
    "ENDPOINT" not in ModelCard.validate.__code__.co_names,
    reason="older clients have a card checked by one fixed host, whatever their endpoint",
)
def test_a_card_is_pushed_and_loaded(hub: LoopbackHub, hub_api: HfApi, repo: str) -> None:
    ModelCard("---\nlicense: mit\n---\n# Title").push_to_hub(ID, token=hub.token)
    assert ModelCard.load(ID).data.license == "mit"


def test_a_commit_is_made_whole_or_not_at_all(hub: LoopbackHub, hub_api: HfApi, repo: str) -> None:
    lines = [
        {"key": "header", "value": {"summary": "Half"}},
        {"key": "file", "value": {"path": "a.txt", "content": "", "encoding": "base64"}},
        {"key": "lfsFile", "value": {"path": "b.safetensors", "oid": "0" * 64, "algo": "sha256", "size": 1}},
    ]
    response = get_session().post(
        f"{hub.url}/api/models/{ID}/commit/main",
        content="\n".join(map(json.dumps, lines)),
        headers={"Authorization": f"Bearer {hub.token}"},
    )
    assert response.status_code == 400
    assert "has not been uploaded" in response.text
    assert hub_api.model_info(ID).sha == repo


def test_what_the_hub_lacks_it_says(hub: LoopbackHub, hub_api: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError, match="does not answer GET /api/models"):
        list(hub_api.list_models(author="me"))
    assert hub.requests[-1].status == 501


@pytest.mark.usefixtures("hub_api")
def test_a_hub_that_has_stopped_answers_no_open_connection() -> None:
    with LoopbackHub("hf_loopback") as hub:
        session = get_session()
        url = f"{hub.url}/api/models/me/absent"
        assert session.get(url).status_code == 401
    with pytest.raises(Exception, match="refused"):
        session.get(url)


USED_BY_TRANSFORMERS = """
import sys
from huggingface_hub import HfApi
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, pipeline

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
config = BertConfig(vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                    intermediate_size=8, max_position_embeddings=64)
model = BertForSequenceClassification(config)
for part in (model, tokenizer):
    part.push_to_hub("me/tiny", private=True)
card = b"---\\npipeline_tag: text-classification\\nlibrary_name: transformers\\n---\\nTiny"
HfApi().upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id="me/tiny")
loaded = BertForSequenceClassification.from_pretrained("me/tiny")
assert all((loaded.state_dict()[name] == value).all() for name, value in model.state_dict().items())
assert pipeline(model="me/tiny")("my card is lost")[0]["label"].startswith("LABEL_")
"""


@pytest.mark.slow  # tests of publishing do it with models of ours
def test_transformers_pushes_and_pulls(hub: LoopbackHub, tiny_encoder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", USED_BY_TRANSFORMERS, str(tiny_encoder)],
        env=os.environ | hub.environment(),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert len(hub.uploaded) == 1
    assert not [request for request in hub.requests if request.status == 501]


@pytest.mark.usefixtures("hub_api")
def test_files_within_commits_for_clients_that_would_use_xet(tmp_path: Path, hub_api: HfApi) -> None:
    with LoopbackHub("hf_loopback", inline=True) as hub:
        hub.add_repo(ID, {"model.safetensors": WEIGHTS})
        file = tmp_path / "model.safetensors"
        file.write_bytes(MORE_WEIGHTS)
        push = f"import huggingface_hub as h; h.HfApi().upload_file(path_or_fileobj={str(file)!r}, "
        push += f"path_in_repo={file.name!r}, repo_id={ID!r})"
        environment = os.environ | hub.environment() | {"HF_HOME": str(tmp_path)}
        del environment["HF_HUB_DISABLE_XET"]
        for _ in range(2):
            subprocess.run([sys.executable, "-c", push], env=environment, check=True, capture_output=True)
        assert not hub.uploaded and all(request.status != 501 for request in hub.requests)
        read = HfApi(endpoint=hub.url).hf_hub_download(ID, "model.safetensors", cache_dir=tmp_path)
        assert Path(read).read_bytes() == MORE_WEIGHTS


def test_the_command_line_serves_until_it_is_told_to_end(hub_api: HfApi) -> None:
    command = [sys.executable, "-m", "tests.loopback_hub", "--token", "hf_own"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            url = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
            assert HfApi(endpoint=url, token="hf_own").whoami()["name"] == "me"
            process.send_signal(signal.SIGTERM)  # while the client keeps its connection open
            assert process.wait(timeout=10) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
