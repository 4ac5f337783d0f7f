"""One writer at a time in a folder, by a lock that lies in the folder itself.

Whoever may write to the folder finds the lock there: other users, containers and machines that share it. It ends with
the process that holds it, however that ends.
"""

import errno
import importlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ..errors import FolderChangedError, NotAFolderError, UnsafeFileError
from .folder_writing import DENIED, not_writable

logger = logging.getLogger(f"transformers.{__name__}")

LOCK = ".mann-lock"
PATIENCE = 0.5
"""Seconds to wait for another writer before `waiting` is called."""
STEP, LATER_STEP = 0.01, 0.05
"""Seconds between two looks at the lock, before that and after."""
TAKEN = {errno.EAGAIN, errno.EACCES, errno.EDEADLOCK}
STRANGE = {errno.ELOOP, errno.EISDIR, errno.ENXIO}
"""What opening a link, a folder or a socket answers."""
NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL}
"""What file systems answer that have no locks."""

locks: Any = importlib.import_module("fcntl" if os.name == "posix" else "msvcrt")
FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


class FolderLock:
    """The right to write to a folder, as held by this process by an open lock file.

    Attributes:
        excludes: whether others are kept out; not on a file system without locks.
    """

    def __init__(self, folder: Path, handle: int) -> None:
        self.folder, self.handle, self.excludes = folder, handle, True
        self.process, self.turns = os.getpid(), threading.RLock()
        status = folder.stat()
        self.identity = status.st_dev, status.st_ino

    def check(self, names: Iterable[str] = ()) -> None:
        """Raises a `FolderChangedError` where the folder was removed or replaced meanwhile, or lacks a file."""
        try:
            status = self.folder.stat()
        except OSError:
            status = None
        same = status is not None and (status.st_dev, status.st_ino) == self.identity and self._is_in_place()
        if not same or not all((self.folder / name).exists() for name in names):
            raise FolderChangedError(
                f"{self.folder} was removed or replaced by another process while this one saved into it, so what was "
                "saved is lost: see what is there now, and save again.",
                str(self.folder),
            )

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Lets another thread write under this lock while the block runs; threads that do take turns."""
        token = _held.set((*_held.get(), self))
        try:
            yield
        finally:
            _held.reset(token)

    def _is_in_place(self) -> bool:
        """Whether the lock file is still the one that others would open."""
        try:
            return os.path.samestat(os.stat(self.folder / LOCK, follow_symlinks=False), os.fstat(self.handle))
        except OSError:
            return False

    def _take(self) -> bool:
        """Locks the file; False if another has it."""
        taken = _lock(self.handle)
        if taken is None:
            self.excludes = False
            logger.warning(f"the file system of {self.folder} has no locks: let one process at a time write to it.")
        return taken is not False

    def _let_go(self) -> None:
        if self._is_in_place():
            with suppress(OSError):  # of another user in a folder where only owners remove files; open, on Windows
                os.unlink(self.folder / LOCK)
        with suppress(OSError):
            if os.name == "posix":
                locks.flock(self.handle, locks.LOCK_UN)  # a child that is being forked may have the handle, too
        os.close(self.handle)


def hold(handle: int) -> bool:
    """Marks an open file as being written until it is closed, for `is_held`; False if the file has gone already."""
    while _lock(handle) is False:  # by one who looks whether it is held
        time.sleep(STEP)
    return os.fstat(handle).st_nlink > 0 or os.name != "posix"


def is_held(file: Path) -> bool:
    """Whether a file is being written by a living process, or may be."""
    try:
        handle = os.open(file, os.O_RDWR | FLAGS)
    except OSError as error:
        return error.errno not in STRANGE
    try:
        return _lock(handle) is not True
    finally:
        os.close(handle)


def _lock(handle: int) -> bool | None:
    """Locks an open file until it is closed; False if another has it, None where the file system has no locks."""
    try:
        if os.name == "posix":
            locks.flock(handle, locks.LOCK_EX | locks.LOCK_NB)
        else:
            locks.locking(handle, locks.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


_open_here: set[int] = set()
"""The lock files that this process has open."""
_held: ContextVar[tuple[FolderLock, ...]] = ContextVar("_held", default=())


@contextmanager
def only_writer(folder: str | os.PathLike, waiting: Callable[[], None] | None = None) -> Iterator[FolderLock]:
    """Waits until nobody else writes to a folder, and keeps others waiting until the block ends.

    The folder is made if it is not there, and removed again if nothing was put into it. Within the block the thread
    may ask for it again. Reading needs no lock.

    Args:
        folder: the folder, by whatever path.
        waiting: called once if others are waited for longer than `PATIENCE`; by default that is logged.

    Raises:
        FolderChangedError: the thread holds the lock already, and the folder is no longer the same.
        NotAFolderError: it is a file, or below one.
        UnsafeFileError: the lock file is a link or no file.
        FolderNotWritableError: this user may not write there.
    """
    folder = Path(folder)
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), folder.parent)
    if not nearest.is_dir() and nearest.exists():
        raise NotAFolderError(f"{str(nearest)!r} is a file; give a folder to save into.", nearest.name)
    again = _held_by_this_thread(folder)
    if again is not None:
        with again.turns:
            again.check()
            yield again
        return
    made: list[Path] = []
    try:
        lock = _acquire(folder, made, waiting or (lambda: _log_waiting(folder)))
    except OSError as error:
        _remove_empty(made)
        if error.errno in DENIED:
            raise not_writable(folder, os.strerror(error.errno)) from error
        raise
    try:
        with lock.joined():
            yield lock
    finally:
        _release(lock, made)


@contextmanager
def only_writer_now(folder: Path) -> Iterator[FolderLock | None]:
    """As `only_writer` without waiting, for a folder that is there; None where somebody else writes to it."""
    again = _held_by_this_thread(folder)
    if again is not None:
        yield again
        return
    lock = _attempt(folder)
    if lock is None:
        yield None
        return
    try:
        with lock.joined():
            yield lock
    finally:
        _release(lock, [])


def _held_by_this_thread(folder: Path) -> FolderLock | None:
    try:
        status = folder.stat()
        identity = status.st_dev, status.st_ino
    except OSError:
        identity = None
    path = os.path.realpath(folder)
    for lock in _held.get():
        if lock.process == os.getpid() and (lock.identity == identity or os.path.realpath(lock.folder) == path):
            return lock
    return None


def _acquire(folder: Path, made: list[Path], waiting: Callable[[], None]) -> FolderLock:
    """Makes the folder and takes its lock; `made` gets the folders that had to be made, the innermost first."""
    notice_at, step = time.monotonic() + PATIENCE, STEP
    while True:
        _make(folder, made)
        lock = _attempt(folder)
        if lock is not None:
            return lock
        if time.monotonic() > notice_at:
            waiting()
            notice_at, step = float("inf"), LATER_STEP
        time.sleep(step)


def _attempt(folder: Path) -> FolderLock | None:
    """Takes the lock; None if another has it, or the folder or the lock file has gone meanwhile."""
    try:
        handle = _open(folder)
        lock = FolderLock(folder, handle)
    except FileNotFoundError:
        return None
    try:
        if lock._take() and lock._is_in_place():
            _open_here.add(handle)
            return lock
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _open(folder: Path) -> int:
    """Opens the lock file, which all who may write to the folder may write."""
    path = folder / LOCK
    while True:
        try:
            handle = os.open(path, os.O_RDWR | FLAGS)
        except FileNotFoundError:
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | FLAGS, 0o666)
            except FileExistsError:
                continue
            with suppress(OSError):
                os.fchmod(handle, stat.S_IMODE(folder.stat().st_mode) & 0o666)
        except PermissionError:
            handle = os.open(path, os.O_RDONLY | FLAGS)  # enough for a lock on a disk of this machine
        except OSError as error:
            if error.errno in STRANGE:
                raise _strange(path) from None
            raise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise _strange(path)
        return handle


def _strange(path: Path) -> UnsafeFileError:
    return UnsafeFileError(f"{path} is no file of ours, but a link, a folder or a device: remove it.", LOCK)


def _make(folder: Path, made: list[Path]) -> None:
    """Makes a folder and those above it."""
    missing = []
    place = folder
    while not place.exists():
        missing.append(place)
        place = place.parent
    for place in reversed(missing):
        try:
            place.mkdir()
            made.insert(0, place)
        except FileExistsError:  # another makes it, too
            if not place.is_dir():
                raise


def _release(lock: FolderLock, made: list[Path]) -> None:
    if lock.process != os.getpid():  # a child of a fork within the block
        return
    _open_here.discard(lock.handle)
    lock._let_go()
    _remove_empty(made)


def _remove_empty(made: list[Path]) -> None:
    """Removes folders that were made, the innermost first, as long as nothing was put into them."""
    for place in made:
        try:
            place.rmdir()
        except OSError:  # something was put into it
            return


def _log_waiting(folder: Path) -> None:
    logger.warning(f"waiting for another process or thread that writes to {folder} ...")


def _close_in_child() -> None:
    """Keeps a child that outlives this process from keeping its folders locked."""
    for handle in _open_here:
        os.close(handle)
    _open_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
