"""Saving so that a folder always holds the old content or the new, whole."""

import importlib
import json
import os
import re
import shutil
import stat
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from ..errors import FolderError, MemoryFileError, UnsafeFileError
from ..forks import wait_at_forks
from ..hub.files import read_json

fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None

STAGING = ".mann-staging-"
COMMITTED = ".mann-committed"
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 2**20
"""Bytes; a save has some tens of files."""
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
UPLOAD_ARGUMENTS = ("repo_id", "commit_message", "commit_description", "private", "revision", "create_pr", "tags")
SUPERSEDED = ("model.safetensors.index.json", "memory.safetensors", "memory.json")

_unfinished: set[str] = set()  # what this process is writing now; a name in a folder that is not here was left behind
_moving = threading.RLock()
wait_at_forks(_moving)  # or a child would keep the folder locked, as it has what is open


def write_whole(path: Path, content: bytes) -> None:
    """Puts a file in place at one stroke: a reader finds the old content or the new, never a part."""
    with _staged(path.parent) as temporary:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


@contextmanager
def whole_save(folder: str | os.PathLike) -> Iterator[Path]:
    """Gives a folder to save into, and puts its files in place of those of `folder` once all are written.

    Several files cannot be replaced at one stroke, so the finished folder first gets the name `COMMITTED` beside the
    old files, at one stroke; from then on the save has happened, and `recover` finishes it if this process does not.

    Raises:
        NotADirectoryError: `folder` is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; give a folder to save into.")
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    with _staged(folder) as staging:
        staging.mkdir()
        yield staging
        names = [str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file()]
        (staging / MANIFEST).write_text(json.dumps(names), encoding="utf-8")
        readable = stat.S_IMODE((staging / MANIFEST).stat().st_mode)
        for name in names:  # safetensors keeps its files from everyone but their owner
            (staging / name).chmod(readable)
        with _alone_in(folder):
            _finish(folder)
            os.rename(staging, folder / COMMITTED)
            _finish(folder)


def take_upload(save_directory: str | os.PathLike, kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Takes the arguments for `push_to_hub` out of those of `save_pretrained`; None if nothing is to be pushed.

    The push comes after the save, of the folder that was asked for, not of the one that is staged.
    """
    upload = {name: kwargs.pop(name) for name in UPLOAD_ARGUMENTS if name in kwargs}
    if not kwargs.pop("push_to_hub", False):
        return None
    upload |= {name: kwargs[name] for name in ("token", "max_shard_size") if kwargs.get(name) is not None}
    return {"repo_id": Path(save_directory).name, **upload}


def is_superseded(name: str) -> bool:
    """Whether a file of an earlier save must not outlive it: other shards of the weights, a memory that is no more."""
    return WEIGHTS.fullmatch(name) is not None or name in SUPERSEDED


def recover(folder: str | os.PathLike) -> bool:
    """Finishes a save that was stopped between being whole and being in place.

    The folder may be a stranger's, with what looks like such a save: nothing is moved into or out of other folders.

    Returns:
        Whether there was one.

    Raises:
        MemoryFileError: what lies there is no save of ours.
    """
    folder = Path(folder)
    if not (folder / COMMITTED).exists():
        return False
    with _alone_in(folder):
        return _finish(folder)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keeps other threads, and where the system can lock a folder other processes, from moving files in it."""
    with _moving:
        if fcntl is None:
            yield
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # ends with the process, whatever becomes of it
            yield
        finally:
            os.close(handle)


def _finish(folder: Path) -> bool:
    """Puts the files of a finished save in their places; whether there was one."""
    committed = folder / COMMITTED
    names = _manifest(committed)
    if names is None:  # none, or stopped while it removed the emptied folder
        shutil.rmtree(committed, ignore_errors=True)
        return False
    try:
        _put_in_place(folder, committed, names)
    except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:  # a folder where a file belongs
        raise _no_save(committed, error) from error
    shutil.rmtree(committed, ignore_errors=True)
    return True


def _put_in_place(folder: Path, committed: Path, names: list[str]) -> None:
    """Moves the files of a finished save, and removes what it has superseded."""
    # The configuration first: whoever reads it then loads by our classes, which finish the rest before they read on.
    for name in sorted(names, key=lambda name: name != "config.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(committed / name, folder / name)
        except FileNotFoundError:  # in place already
            continue
    if any(map(WEIGHTS.fullmatch, names)):
        for old in folder.iterdir():
            if old.name not in names and is_superseded(old.name):
                old.unlink(missing_ok=True)


def _no_save(committed: Path, why: object) -> MemoryFileError:
    return MemoryFileError(
        f"{committed} is not what a stopped save leaves behind ({str(why)[:200]}); remove it and load again."
    )


def sweep(folder: Path) -> None:
    """Removes what stopped processes left half written."""
    for left in folder.glob(f"{STAGING}*"):
        process = left.name.removeprefix(STAGING).split("-")[0]
        if left.name in _unfinished or (process.isdecimal() and int(process) != os.getpid() and _alive(int(process))):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _manifest(committed: Path) -> list[str] | None:
    """The names of the files of a finished save; None if there is none."""
    try:
        names = read_json(committed / MANIFEST, LARGEST_MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (FolderError, UnsafeFileError) as error:
        raise _no_save(committed, error) from error
    if not isinstance(names, list) or not all(_stays_inside(committed, name) for name in names):
        raise _no_save(committed, f"its {MANIFEST} is no list of its files")
    return names


def _stays_inside(committed: Path, name: Any) -> bool:
    """Whether a file goes from within a finished save to within its folder, also by the links that a stranger set."""
    if not isinstance(name, str) or "\0" in name or not PurePath(name).parts:
        return False
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        return False
    links = committed.is_symlink() or (committed / name).is_symlink()
    return not links and all(
        (folder / name).parent.resolve().is_relative_to(folder.resolve()) for folder in (committed, committed.parent)
    )


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A path to write to, which is gone or moved when the block ends."""
    name = f"{STAGING}{os.getpid()}-{uuid.uuid4().hex}"
    _unfinished.add(name)
    try:
        yield folder / name
    except BaseException:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name, ignore_errors=True)
        else:
            (folder / name).unlink(missing_ok=True)
        raise
    finally:
        _unfinished.discard(name)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
