"""What may be read of a folder that a stranger may have made: regular files of its own, of a bounded size."""

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import FolderError, InvalidInputError, InvalidTypeError, UnsafeFileError
from ..wording import shown

CONFIG, WEIGHTS = "config.json", "model.safetensors"
CARD = "README.md"
MEMORY_FILE = "memory.safetensors"
MEMORY_INDEX = re.compile(r"memory\.index-[a-z]+\.safetensors")
"""The names of files that hold an index of a memory; they hold its keys, too."""
SMALL, MEDIUM, LARGE = 2**24, 2**25, 2**27
"""Bytes of a file of settings, of a vocabulary in binary form, and of one in text or a list of weights."""
LARGE_FILES = re.compile(
    r"(tokenizer|tekken)\.json|vocab.*\.json|entity_vocab\.json|.*\.safetensors\.index.*\.json|merges\.json"
)
READ_BY_LOADING = re.compile(
    r"(audio_|video_|target_)?(config|tokenizer|vocab|generation|special_tokens|added_tokens|chat_template|processor"
    r"|preprocessor|adapter_config|modules|sentence_|model|feature_|entity|emoji|byte_maps|word_|merges|normalizer|tekken"
    r").*\.json"
    r"|(vocab|merges|dict).*\.txt|tokenizer\.model.*|\w+_file"
    r"|.*\.(model|spm|codes|tiktoken|bpe|jinja|safetensors|tokenizer)"
)
"""The files of a folder that transformers or this library may open, by name.

A list, as a folder also holds files that nobody opens and that are fine there, however large or wherever a link leads:
data, checkpoints, notes. A test compares it with what the installed release of transformers names.
"""
DEEPEST = 64
"""Levels of nesting in JSON; configurations have a handful."""
MOST_MEMORY = 2**29
"""Bytes that a JSON file may take in memory once it is read, as estimated from its signs."""
SIGNS = {b"[": 64, b"{": 232, b",": 64}
"""About how many bytes a list, an object and one more value take in memory."""
MOST_LINES = 2**22
"""Lines of a vocabulary in text; the largest have half a million."""
TEMPLATES = "additional_chat_templates"
SAFETENSORS = ".safetensors"
LONGEST_PATH, LONGEST_NAME = 4096, 255
"""Bytes of a path, and of each name in it; Linux takes no longer ones."""
ON_HUB: dict[str, tuple[tuple[type, ...], str]] = {
    "revision": ((str,), "a branch, tag or commit as a text"),
    "token": ((str, bool), "a text, True for the stored token, or False for none"),
    "cache_dir": ((str, os.PathLike), "the path of a folder"),
    "subfolder": ((str, os.PathLike), "the path of a folder in the folder or repository"),
}
"""Arguments that say where on the Hub a file is: their types, and what to give."""


def check_place(place: Any, name: str) -> None:
    """Refuses what is no path, nor a name on the Hub; a whole number would be taken for an open file.

    Raises:
        InvalidTypeError: it is neither text nor a path.
        InvalidInputError: it is a text that no file system takes.
    """
    if not isinstance(place, (str, os.PathLike)) or not isinstance(os.fspath(place), str):
        raise InvalidTypeError(
            f"{name} is {shown(place, 60)} (of type {type(place).__name__}); give a text or a pathlib.Path."
        )
    if not can_be_path(os.fspath(place)):
        raise InvalidInputError(f"{name} is {shown(os.fspath(place))}, which no file system takes.")


def can_be_path(path: str) -> bool:
    """Whether a file system takes a text as a path."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    longest = max(map(len, re.split(rb"[/\\]", encoded)))
    return b"\0" not in encoded and len(encoded) <= LONGEST_PATH and longest <= LONGEST_NAME


def check_hub_arguments(given: Mapping[str, Any]) -> None:
    """Refuses arguments, others among them, that say where on the Hub a file is and are of a type that none has.

    Raises:
        InvalidTypeError: it says what to give. A token is not shown.
        InvalidInputError: a token with letters that no request can hold, such as a line break at its end.
    """
    token = given.get("token")
    if isinstance(token, str) and not (token.isascii() and token.isprintable()):
        raise InvalidInputError(
            "token has a line break, or other letters that no token has; give it as the Hub gave it."
        )
    for name, (types, cure) in ON_HUB.items():
        value = given.get(name)
        if value is not None and not isinstance(value, types):
            came = "" if name == "token" else f"{shown(value, 60)}, "
            raise InvalidTypeError(f"{name} is {came}of type {type(value).__name__}; give {cure}, or None.")


def largest(name: str) -> int | None:
    """Bytes that a file of this name may have; None where its own content bounds it."""
    if name.endswith(SAFETENSORS):
        return None
    if name.endswith((".model", ".spm")):
        return MEDIUM
    return SMALL if name.endswith((".json", ".jinja", ".md")) and not LARGE_FILES.fullmatch(name) else LARGE


def escapes_folder(path: Path, root: Path | None = None) -> bool:
    """Whether a link points outside its folder (by default where it lies), for example to a private file of the user.

    Those of the Hub's cache, from a snapshot to its blobs, do not.
    """
    try:
        target, folder = path.resolve(), (root or path.parent).resolve()
    except (OSError, RuntimeError):  # links in a circle
        return True
    snapshots = [parent for parent in folder.parents if parent.name == "snapshots"]
    return not any(target.is_relative_to(place) for place in (folder, *(each.parent / "blobs" for each in snapshots)))


def check_file(path: str | os.PathLike, most: int | None = None, root: Path | None = None) -> None:
    """Refuses what is not a regular file of its own folder, or is larger than such a file gets.

    Args:
        path: what is there; if nothing is, nothing is refused.
        most: bytes; by default what `largest` says of its name.
        root: the folder that it belongs to; by default the one that it lies in.

    Raises:
        UnsafeFileError: it says what it is, and the cure.
    """
    path = Path(path)
    if (root is not None or path.is_symlink()) and escapes_folder(path, root):
        raise _refused(path, "it is a link to a file outside of its folder. Put the file itself there.")
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    _check_status(path, status, most)


def check_folder(folder: Path) -> None:
    """Refuses a folder where a file that loading may open is not a regular file of its own, of a bounded size.

    Raises:
        UnsafeFileError: as of `check_file`, or a vocabulary has more than `MOST_LINES`.
    """
    if (folder / TEMPLATES).is_dir():
        for path in (folder / TEMPLATES).iterdir():
            check_file(path, root=folder)
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if READ_BY_LOADING.fullmatch(entry.name)]
    for entry in found:
        if entry.is_symlink() or not entry.is_dir():  # which nothing takes for a file
            check_file(entry.path)
        long = entry.name.endswith(".txt") and entry.is_file() and entry.stat().st_size > MOST_LINES
        if long and read_bytes(entry.path).count(b"\n") > MOST_LINES:
            raise _refused(Path(entry.path), f"it has more than {MOST_LINES:,} lines.")


def read_bytes(path: str | os.PathLike, most: int | None = None, root: Path | None = None) -> bytes:
    """The content of a regular file of its own folder; arguments are those of `check_file`.

    Raises:
        UnsafeFileError: it is no such file, or too large.
        FileNotFoundError, PermissionError: of opening it.
    """
    path = Path(path)
    check_file(path, most, root)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        _check_status(path, status, most)
        return file.read(status.st_size)


def read_text(path: str | os.PathLike, most: int | None = None, errors: str = "strict") -> str:
    """The text of a file; see `read_bytes`. A `FolderError` is raised where it is not UTF-8."""
    try:
        return read_bytes(path, most).decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise damaged(path, f"it is not UTF-8 ({error})") from error


def card_in(folder: str | os.PathLike) -> str | None:
    """The card in a folder, if there is one, by `read_bytes`; of one in another encoding what can be read."""
    try:
        return read_text(Path(folder, CARD), errors="replace")
    except FileNotFoundError:
        return None


def read_json(path: str | os.PathLike, most: int | None = None, root: Path | None = None) -> Any:
    """The content of a JSON file; see `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, most, root), path)


def parse_json(content: bytes, path: str | os.PathLike) -> Any:
    """The content of a JSON file, or of a part of a file, that was read.

    Raises:
        FolderError: it is no JSON, nested deeper than `DEEPEST`, or would take more than `MOST_MEMORY`.
    """
    if len(content) + sum(content.count(sign) * size for sign, size in SIGNS.items()) > MOST_MEMORY:
        raise damaged(path, "it holds more values than such a file has")
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"it is no JSON ({' '.join(str(error).split())[:200]})") from error
    level = [found] if isinstance(found, dict | list) else []
    for _ in range(DEEPEST):
        inner = (node.values() if isinstance(node, dict) else node for node in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return found
    raise damaged(path, f"it is nested deeper than {DEEPEST} levels")


def read_object(path: str | os.PathLike, most: int | None = None) -> dict[str, Any]:
    """The object in a JSON file; see `read_json`. A `FolderError` is raised where it holds something else."""
    found = read_json(path, most)
    if not isinstance(found, dict):
        raise damaged(path, f"it holds no JSON object but a value of type {type(found).__name__}")
    return found


def damaged(path: str | os.PathLike, why: str) -> FolderError:
    """The error for a file that cannot be used as it is."""
    path = Path(path)
    return FolderError(f"{str(path)!r} is damaged: {why}. Download or save it again.", path.name)


def _check_status(path: Path, status: os.stat_result, most: int | None) -> None:
    mode = status.st_mode
    if not stat.S_ISREG(mode):
        if stat.S_ISDIR(mode):
            raise _refused(path, "it is a folder. Put a regular file there.")
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
        kind = kinds.get(stat.S_IFMT(mode), "no regular file")
        raise _refused(path, f"it is {kind}, which may have no end. Put a regular file there.")
    most = largest(path.name) if most is None else most
    if most is not None and status.st_size > most:
        raise _refused(path, f"it has {status.st_size:,} bytes, and such a file has at most {most:,}.")


def _refused(path: Path, why: str) -> UnsafeFileError:
    return UnsafeFileError(f"{str(path)!r} is refused: {why}", path.name)
