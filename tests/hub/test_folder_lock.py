import errno
import os
import shutil
import signal
import stat
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mann_hf.errors import FolderChangedError, UnsafeFileError
from mann_hf.hub import folder_lock
from mann_hf.hub.folder_lock import LOCK, is_held, only_writer, only_writer_now

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="has another process hold the lock")

Elsewhere = Callable[[Path], AbstractContextManager[None]]


def is_free(folder: Path) -> bool:
    """Whether another thread could write now."""
    found = []

    def look() -> None:
        with only_writer_now(folder) as lock:
            found.append(lock is not None)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found == [True]


def test_one_process_at_a_time_by_whatever_path(tmp_path: Path, elsewhere: Elsewhere) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    for place in (folder, link, tmp_path / "other" / ".." / "folder"):
        (tmp_path / "other").mkdir(exist_ok=True)
        with elsewhere(folder), only_writer_now(place) as lock:
            assert lock is None, place
        assert is_free(folder)
        with only_writer(place):
            assert not is_free(link)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    new = tmp_path / "a" / "b"
    with only_writer(new):
        assert [path.name for path in new.iterdir()] == [LOCK]
    assert not list(tmp_path.iterdir())
    with only_writer(new):
        (new / "file").touch()
    assert [path.name for path in new.iterdir()] == ["file"]


def test_the_same_thread_may_ask_again_and_others_may_join(tmp_path: Path) -> None:
    seen = []

    def write(lock: folder_lock.FolderLock) -> None:
        with lock.joined(), only_writer(tmp_path) as again:
            seen.append(again is lock)

    with only_writer(tmp_path) as lock:
        with only_writer(tmp_path) as again, only_writer_now(tmp_path) as once_more:
            assert again is lock and once_more is lock
        thread = threading.Thread(target=write, args=(lock,))
        thread.start()
        thread.join(10)
        assert seen == [True]
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


def test_a_wait_is_told_once(tmp_path: Path, elsewhere: Elsewhere, told: Callable[[], list[str]]) -> None:
    said: list[str] = []
    for waiting, expected in ((None, ["in"]), (lambda: said.append("asked"), ["asked", "in"])):
        said.clear()
        waiter = threading.Thread(target=lambda waiting=waiting: said.append(enter(tmp_path, waiting)))
        with elsewhere(tmp_path):
            waiter.start()
            waiter.join(folder_lock.PATIENCE + 0.3)
            assert waiter.is_alive()
        waiter.join(10)
        assert said == expected
    assert len(told()) == 1 and str(tmp_path) in told()[0] and "waiting" in told()[0]


def enter(folder: Path, waiting: Callable[[], None] | None) -> str:
    with only_writer(folder, waiting):
        return "in"


def test_it_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    """Also where a child that was forked meanwhile lives on."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with only_writer(tmp_path):
            grandchild = os.fork()
            if grandchild == 0:
                signal.alarm(20)
                signal.pause()
            os.write(writing, str(grandchild).encode())
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    grandchild = int(os.read(reading, 100))
    try:
        assert (tmp_path / LOCK).exists()
        assert is_free(tmp_path)
        assert not (tmp_path / LOCK).exists()
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_a_child_that_is_forked_within_does_not_write_under_it(tmp_path: Path) -> None:
    with only_writer(tmp_path):
        child = os.fork()
        if child == 0:
            with only_writer_now(tmp_path) as lock:
                os._exit(lock is not None)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not is_free(tmp_path)


def test_a_folder_that_is_removed_or_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with only_writer(folder) as lock:
        shutil.rmtree(folder)
        with pytest.raises(FolderChangedError, match="removed or replaced") as caught:
            lock.check()
        assert caught.value.folder == str(folder)
        folder.mkdir()
        with pytest.raises(FolderChangedError):
            lock.check()
        with pytest.raises(FolderChangedError), only_writer(folder):
            pytest.fail("another folder than the one that was locked")
        assert is_free(folder)
    with only_writer(folder) as lock:
        (folder / "file").touch()
        lock.check(["file"])
        with pytest.raises(FolderChangedError):
            lock.check(["file", "gone"])


@pytest.mark.parametrize("mode", [0o755, 0o775, 0o777, 0o700])
def test_all_who_may_write_to_the_folder_may_lock_it(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with only_writer(tmp_path):
        assert stat.S_IMODE((tmp_path / LOCK).stat().st_mode) == mode & 0o666
    tmp_path.chmod(0o755)


def test_a_lock_of_another_user_that_may_only_be_read(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    (tmp_path / LOCK).chmod(0o444)
    with only_writer(tmp_path):
        assert not is_free(tmp_path)


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_a_stranger_put_in_its_place_is_not_touched(tmp_path: Path, kind: str) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    {"link": lambda: (folder / LOCK).symlink_to(mine), "folder": (folder / LOCK).mkdir}.get(
        kind, lambda: os.mkfifo(folder / LOCK)
    )()
    with pytest.raises(UnsafeFileError, match="remove it"), only_writer(folder):
        pytest.fail("that is no lock")
    assert mine.read_text() == "mine"


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="give a folder"), only_writer(tmp_path / "file"):
        pytest.fail("that is no folder")
    with pytest.raises(NotADirectoryError), only_writer(tmp_path / "file" / "below"):
        pytest.fail("nor is that")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises(FileExistsError), only_writer(tmp_path / "nowhere"):
        pytest.fail("nor that")


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock.locks, "flock", refuse)
    with only_writer(tmp_path) as lock:
        assert not lock.excludes
    (tmp_path / "file").touch()
    assert is_held(tmp_path / "file")
    assert len(told()) == 1 and "has no locks" in told()[0]
