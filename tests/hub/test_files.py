"""Files of a folder that a stranger made: what is read, what is refused, and how it is told."""

import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers

from mann_hf.errors import FolderError, InvalidInputError, UnsafeFileError
from mann_hf.hub.files import (
    DEEPEST,
    READ_BY_LOADING,
    SMALL,
    check_folder,
    check_hub_arguments,
    largest,
    read_bytes,
    read_json,
    read_object,
    read_text,
)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a pipe, which may have no end"),
    "socket": (listening, "it is a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a link to a file outside of its folder"),
    "folder": (Path.mkdir, "it is a folder"),
    "link out": (lambda path: path.symlink_to(__file__), "it is a link to a file outside of its folder"),
    "link to itself": (lambda path: path.symlink_to(path), "it is a link to a file outside of its folder"),
    "holes": (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40), "it has 1,099,511,627,776"),
}


@pytest.mark.parametrize(("make", "why"), ODD.values(), ids=ODD)
@pytest.mark.parametrize("read", [read_bytes, read_text, read_json])
def test_only_regular_files_of_the_folder_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable, why: str, read: Callable
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    path = tmp_path / "config.json"
    make(path)
    with pytest.raises(UnsafeFileError, match=f"'{path}' is refused: {why}") as caught:
        read(path)
    assert caught.value.file == "config.json"
    if why != "it is a folder":
        with pytest.raises(UnsafeFileError, match=why):
            check_folder(tmp_path)
    (tmp_path / "config.json").rename(tmp_path / "notes")  # which nothing reads
    check_folder(tmp_path)


def test_links_within_the_folder_and_to_the_folder_are_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "here.json").write_text("[1]")
    (folder / "config.json").symlink_to("here.json")
    (tmp_path / "linked").symlink_to(folder)
    assert read_json(tmp_path / "linked" / "config.json") == [1]
    check_folder(tmp_path / "linked")


def test_a_folder_by_link_within_a_folder_leads_out_of_that(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "config.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "1_Pooling").symlink_to(tmp_path / "private")
    path = tmp_path / "folder" / "1_Pooling" / "config.json"
    assert read_json(path) == {}
    with pytest.raises(UnsafeFileError, match="outside"):
        read_json(path, root=tmp_path / "folder")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "it is no JSON"),
        (b"", "it is no JSON"),
        (b"\xff\xfe{", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"[" * (DEEPEST + 2) + b"]" * (DEEPEST + 2), f"nested deeper than {DEEPEST} levels"),
        (b"[" + b"[]," * 5_000_000 + b"[]]", "more values than such a file has"),
        (b"9" * 5000, "it is no JSON"),
    ],
    ids=["open", "empty", "no text", "deep and open", "deep", "wide", "a long number"],
)
def test_damaged_json_is_told(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(FolderError, match=f"'{path}' is damaged: .*{why}.* Download or save it again"):
        read_json(path)


def test_what_is_deep_enough_for_anybody_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("[" * DEEPEST + "]" * DEEPEST)
    read_json(path)
    path.write_text(json.dumps({"a": [1, {"b": "[[["}]}))
    assert read_object(path) == {"a": [1, {"b": "[[["}]}
    path.write_text("[]")
    with pytest.raises(FolderError, match="it holds no JSON object but a value of type list"):
        read_object(path)


@pytest.mark.parametrize("token", ["hf_secret\n", "hf_s\u00e9cret"])
def test_a_token_that_no_request_can_hold_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidInputError, match="^token has a line break, or other letters") as caught:
        check_hub_arguments({"token": token})
    assert "cret" not in str(caught.value)


def test_every_file_that_transformers_opens_is_checked() -> None:
    """Of the installed release: a newer one may open others."""
    package = Path(transformers.__file__).parent
    tokenizers = package.joinpath("models").rglob("tokenization_*.py")
    opened: set[str] = set()
    for path in (
        *package.glob("[!t]*.py"),
        *package.glob("token*.py"),
        *package.joinpath("utils").glob("*.py"),
        *tokenizers,
    ):
        source = path.read_text(encoding="utf-8")
        for files in re.findall(r"^VOCAB_FILES_NAMES\b[^=]*= \{(.*?)\}", source, re.MULTILINE | re.DOTALL):
            opened.update(re.findall(r":\s*\"([^\"]+)\"", files))
        opened.update(re.findall(r"^[A-Z0-9_]+_(?:NAME|FILE) = \"([^\"]+\.\w+)\"", source, re.MULTILINE))
    assert {"vocab.txt", "tokenizer_config.json", "model.safetensors", "chat_template.jinja"} <= opened
    unread = re.compile(r".*\.bin(\.index\.json)?")  # pickles are refused
    left_out = {name for name in opened if not READ_BY_LOADING.fullmatch(name) and not unread.fullmatch(name)}
    assert not left_out, "Add these to READ_BY_LOADING."


def test_each_kind_of_file_has_its_size() -> None:
    assert largest("config.json") == SMALL
    assert (largest("tokenizer.json") or 0) > SMALL and (largest("vocab.txt") or 0) > SMALL
    assert largest("model.safetensors") is None
