"""Saving so that a folder always holds the old content or the new, whole."""

import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from ..errors import FolderChangedError, FolderError, MemoryFileError, UnsafeFileError
from .files import LONGEST_PATH, MEMORY_FILE, MEMORY_INDEX, can_be_path, read_json
from .folder_lock import STEP, FolderLock, hold, is_held, only_writer, only_writer_now
from .folder_writing import DENIED, check_places, in_the_way, raise_in_words

STAGING = ".mann-staging-"
COMMITTED = ".mann-committed"
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 2**20
"""Bytes; a save has some tens of files."""
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
UPLOAD_ARGUMENTS = ("repo_id", "commit_message", "commit_description", "private", "revision", "create_pr", "tags")
SUPERSEDED = ("model.safetensors.index.json", MEMORY_FILE, "memory.json")

_unfinished: set[str] = set()  # what this process is writing now; a name in a folder that is not here was left behind


def write_whole(path: Path, content: bytes) -> None:
    """Puts a file in place at one stroke: a reader finds the old content or the new, never a part."""
    try:
        with _staged(path.parent) as temporary:
            with _held(temporary) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError as error:
        raise_in_words(error, path.parent)
        raise


def _held(path: Path) -> BinaryIO:
    """Makes a file that `sweep` leaves alone until it is closed."""
    while True:
        file = open(path, "xb")  # noqa: SIM115
        if hold(file.fileno()):
            return file
        file.close()


@contextmanager
def whole_save(folder: str | os.PathLike, owned: Collection[str] = ()) -> Iterator[Path]:
    """Gives a folder to save into, and puts its files in place of those of `folder` once all are written.

    Several files cannot be replaced at one stroke, so the finished folder first gets the name `COMMITTED` beside the
    old files, at one stroke; from then on the save has happened, and `recover` finishes it if this process does not.
    Others who save into the folder wait meanwhile.

    Args:
        folder: where to; it is made if need be.
        owned: names of files that the folder loses with this save where it does not write them.

    Raises:
        NotAFolderError: `folder` is a file, or below one.
        FolderError: what lies there is in the way of a file of the save; the folder stays as it was.
        FolderNotWritableError: this user may not write there.
        FolderChangedError: the folder was removed or replaced meanwhile.
    """
    folder = Path(folder)
    with only_writer(folder) as lock, _failing_in_words(lock):
        _settle(folder, lock)
        with _staged(folder) as staging:
            staging.mkdir()
            yield staging
            names = [str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file()]
            gone = [name for name in owned if name not in names and os.path.lexists(folder / name)]
            check_places(folder, names, [*gone, *_superseded(folder, names)])
            if os.path.lexists(folder / COMMITTED):  # what is not a save was not removed
                raise in_the_way(folder, COMMITTED, "a folder")
            manifest = json.dumps({"files": names, "removed": gone})
            (staging / MANIFEST).write_text(manifest, encoding="utf-8")
            readable = stat.S_IMODE((staging / MANIFEST).stat().st_mode)
            for name in names:  # safetensors keeps its files from everyone but their owner
                (staging / name).chmod(readable)
            lock.check()
            os.rename(staging, folder / COMMITTED)
            _finish(folder)
        lock.check(names)


@contextmanager
def _failing_in_words(lock: FolderLock) -> Iterator[None]:
    """Says of a failed save what is wrong with the folder, in place of files that the user has never heard of."""
    try:
        yield
    except Exception as error:
        try:
            lock.check()
        except FolderChangedError as changed:  # whatever failed for it
            raise changed from None
        raise_in_words(error, lock.folder)
        raise


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
    return any(kind.fullmatch(name) for kind in (WEIGHTS, MEMORY_INDEX)) or name in SUPERSEDED


def recover(folder: str | os.PathLike) -> bool:
    """Finishes a save that was stopped between being whole and being in place, and removes what others left half done.

    The folder may be a stranger's, with what looks like such a save: nothing is moved into or out of other folders.

    Returns:
        Whether there was a save to finish.

    Raises:
        MemoryFileError: what lies there is no save of ours, or its files are partly in place and this process may not
            write to the folder.
    """
    folder, found = Path(folder), False
    while _is_left(folder / COMMITTED) or any(folder.glob(f"{STAGING}*")):
        stopped = _is_left(folder / COMMITTED)
        try:
            with only_writer_now(folder) as lock:
                if lock is not None:
                    return _settle(folder, lock) or found
        except OSError as error:
            if error.errno not in DENIED:
                raise
            return stopped and _check_untouched(folder)
        if not stopped:  # somebody is writing there now
            break
        found = True
        time.sleep(STEP)  # whoever writes there finishes it first
    return found


def _is_left(committed: Path) -> bool:
    return committed.exists() or committed.is_symlink()


def _check_untouched(folder: Path) -> bool:
    """Passes over a stopped save that may not be finished by this process, as long as the files before it are whole."""
    files, _ = _manifest(folder / COMMITTED) or ([], [])
    if any(not (folder / COMMITTED / name).exists() for name in files):
        raise MemoryFileError(
            f"a save into {folder} was stopped halfway, and this user may not write there to finish it: load it once "
            "as a user who may."
        )
    return False


def _settle(folder: Path, lock: FolderLock) -> bool:
    """Finishes and removes what stopped processes left, for one who holds the lock; whether a save was finished."""
    finished = _finish(folder)
    sweep(folder, lock.excludes)
    return finished


def _finish(folder: Path) -> bool:
    """Puts the files of a finished save in their places; whether there was one."""
    committed = folder / COMMITTED
    found = _manifest(committed)
    if found is None:  # none, or stopped while it removed the emptied folder
        shutil.rmtree(committed, ignore_errors=True)
        return False
    names, gone = found
    try:
        _put_in_place(folder, committed, names, gone)
    except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:  # a folder where a file belongs
        raise _no_save(committed, error) from error
    shutil.rmtree(committed, ignore_errors=True)
    return True


def _put_in_place(folder: Path, committed: Path, names: list[str], gone: list[str]) -> None:
    """Moves the files of a finished save, and removes those that go with it and what it has superseded."""
    # The configuration first: whoever reads it then loads by our classes, which finish the rest before they read on.
    for name in sorted(names, key=lambda name: name != "config.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(committed / name, folder / name)
        except FileNotFoundError:  # in place already
            continue
    for name in [*gone, *_superseded(folder, names)]:
        if name not in names:
            (folder / name).unlink(missing_ok=True)


def _superseded(folder: Path, names: list[str]) -> list[str]:
    """What lies in a folder of an earlier save that goes with new weights, or with a new memory."""
    if any(map(WEIGHTS.fullmatch, names)):
        goes: Callable[[str], Any] = is_superseded
    elif MEMORY_FILE in names:
        goes = MEMORY_INDEX.fullmatch
    else:
        return []
    return [old.name for old in folder.iterdir() if goes(old.name) and old.name not in names]


def _no_save(committed: Path, why: object) -> MemoryFileError:
    return MemoryFileError(
        f"{committed} is not what a stopped save leaves behind ({str(why)[:200]}); remove it and load again."
    )


def sweep(folder: Path, alone: bool) -> None:
    """Removes what stopped processes left half written; folders only where no other process saves there now."""
    for left in folder.glob(f"{STAGING}*"):
        if left.name in _unfinished:
            continue
        if left.is_dir() and not left.is_symlink():
            if alone:
                shutil.rmtree(left, ignore_errors=True)
        elif not is_held(left):
            left.unlink(missing_ok=True)


def _manifest(committed: Path) -> tuple[list[str], list[str]] | None:
    """The names of the files of a finished save, and of those that go with it; None if there is none."""
    try:
        content = read_json(committed / MANIFEST, LARGEST_MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (FolderError, UnsafeFileError) as error:
        raise _no_save(committed, error) from error
    if isinstance(content, list):  # of an earlier release
        content = {"files": content, "removed": []}
    fields: dict[str, Any] = content if isinstance(content, dict) else {}
    lists = fields.get("files"), fields.get("removed")
    for names in lists:
        if not isinstance(names, list) or not all(_stays_inside(committed, name) for name in names):
            raise _no_save(committed, f"its {MANIFEST} is no list of its files")
    files, removed = lists
    assert isinstance(files, list) and isinstance(removed, list)
    return files, removed


def _stays_inside(committed: Path, name: Any) -> bool:
    """Whether a file goes from within a finished save to within its folder, also by the links that a stranger set."""
    if not isinstance(name, str) or not can_be_path(name) or not PurePath(name).parts:
        return False
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        return False
    if len(os.fsencode(committed / name)) > LONGEST_PATH:
        return False
    links = committed.is_symlink() or (committed / name).is_symlink()
    return not links and all(
        (folder / name).parent.resolve().is_relative_to(folder.resolve()) for folder in (committed, committed.parent)
    )


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A path to write to, which is gone or moved when the block ends."""
    name = f"{STAGING}{uuid.uuid4().hex}"
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
