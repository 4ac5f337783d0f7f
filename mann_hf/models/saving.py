"""Saving so that a folder always holds the old content or the new, whole."""

import fnmatch
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAGING = ".mann-staging-"
COMMITTED = ".mann-committed"
MANIFEST = "manifest.json"
WEIGHTS = "model*.safetensors"
SUPERSEDED = (WEIGHTS, "model.safetensors.index.json", "memory.safetensors", "memory.json")
"""Files of an earlier save that must not outlive it: other shards of the weights, a memory where there is none now."""


def write_whole(path: Path, content: bytes) -> None:
    """Puts a file in place at one stroke: a reader finds the old content or the new, never a part."""
    temporary = path.with_name(_staging_name())
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
    recover(folder)
    _sweep(folder)
    staging = folder / _staging_name()
    staging.mkdir()
    try:
        yield staging
        names = [str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file()]
        (staging / MANIFEST).write_text(json.dumps(names), encoding="utf-8")
        os.rename(staging, folder / COMMITTED)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    recover(folder)


def recover(folder: str | os.PathLike) -> bool:
    """Finishes a save that was stopped between being whole and being in place.

    Returns:
        Whether there was one.
    """
    folder = Path(folder)
    committed = folder / COMMITTED
    try:
        names = json.loads((committed / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    if any(fnmatch.fnmatch(name, WEIGHTS) for name in names):
        for old in folder.iterdir():
            if old.name not in names and any(fnmatch.fnmatch(old.name, pattern) for pattern in SUPERSEDED):
                old.unlink(missing_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(committed / name, folder / name)
        except FileNotFoundError:  # in place already
            continue
    shutil.rmtree(committed, ignore_errors=True)
    return True


def _staging_name() -> str:
    return f"{STAGING}{os.getpid()}-{uuid.uuid4().hex}"


def _sweep(folder: Path) -> None:
    """Removes what processes that are no more left half written."""
    for left in folder.glob(f"{STAGING}*"):
        process = left.name.removeprefix(STAGING).split("-")[0]
        if process.isdecimal() and _alive(int(process)):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
