"""Ctrl-C ends the command, whatever it is doing."""

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .output import one_line

STATUS = 130
"""The exit status of what SIGINT ended, as shells have it."""
GRACE = 1.0
"""Seconds that the command has to end by itself."""
SHOW_CURSOR = b"\x1b[?25h"
"""Undoes what a bar did to the terminal."""


_came = threading.Event()
_change: "FolderChange | None" = None


class FolderChange:
    """A change of a folder by the command; if Ctrl-C ends it, a line says what has become of the change.

    Used as a context while the folder is saved: before that block nothing is in the folder, after it all is.

    Args:
        nothing: what is said of the folder while nothing is saved.
        folder: that is changed.
    """

    def __init__(self, folder: str, nothing: str) -> None:
        global _change
        self.folder, self.words = folder, nothing
        _change = self

    def __enter__(self) -> None:
        self.words = f"{self.folder} was being saved: it is as it was, or has the whole change."
        if was_interrupted():  # and a library went on
            raise KeyboardInterrupt

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.words = f"{self.folder} was already saved."


def _tell_change() -> None:
    """Says once what has become of the change, unless standard error can take nothing now."""
    global _change
    change, _change = _change, None
    if change is not None:
        with suppress(OSError, ValueError):  # closed, or no real file
            place = sys.stderr.fileno()
            if select.select([], [place], [], 0)[1]:
                os.write(place, f"{one_line(f'mann-hf: interrupted: {change.words}', sys.stderr)}\n".encode())


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed since `ended_by_interrupt`, whatever has become of it."""
    return _came.is_set()


@contextmanager
def ended_by_interrupt() -> Iterator[None]:
    """While Ctrl-C ends this process: by `KeyboardInterrupt`, and where that comes to nothing, at once.

    A library that catches everything, a callback of the garbage collector or a long computation in C may keep the
    exception back. To end at once is safe, as no folder is ever half saved.
    """
    global _change
    _change = None
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # as `nohup` and a script's `&` ask for
        yield
        return
    receiver, teller = socket.socketpair()
    teller.setblocking(False)
    threading.Thread(target=_watch, args=(receiver,), daemon=True, name="Ctrl-C").start()
    fd_before = signal.set_wakeup_fd(teller.fileno(), warn_on_full_buffer=False)  # which C code does not keep back
    _came.clear()
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(STATUS)
    finally:
        if was_interrupted():
            _tell_change()
        signal.set_wakeup_fd(fd_before)
        signal.signal(signal.SIGINT, before)
        teller.close()


@contextmanager
def ended_by_command() -> Iterator[None]:
    """While the command has a handler of its own for Ctrl-C, and as long to end as it needs."""
    fd_before = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(fd_before, warn_on_full_buffer=False)


def _interrupt(number: int, frame: Any) -> None:
    _came.set()
    raise KeyboardInterrupt


def _watch(receiver: socket.socket) -> None:
    """Waits for SIGINT, then for the process to end, and ends it; returns if the other side is closed before."""
    with receiver:
        while number := receiver.recv(1):
            if number[0] == signal.SIGINT:
                time.sleep(GRACE)
                if sys.stderr is not None and sys.stderr.isatty():
                    os.write(sys.stderr.fileno(), SHOW_CURSOR)
                _tell_change()
                os._exit(STATUS)
