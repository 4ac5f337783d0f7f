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
"""The exit status of a program that SIGINT ended."""
GRACE = 1.0
"""Seconds the command gets to end by itself before it is ended."""
SHOW_CURSOR = b"\x1b[?25h"
"""Shows the cursor again, which a progress bar hides."""


_came = threading.Event()
_change: "FolderChange | None" = None


class FolderChange:
    """Says whether a folder was changed, if Ctrl-C ends the command that changes it.

    Use it as a context around the save: before the block nothing is saved, after it everything is.

    Args:
        folder: the folder that is changed.
        nothing_saved: the message as long as nothing is saved.
    """

    def __init__(self, folder: str, nothing_saved: str) -> None:
        global _change
        self.folder, self.message = folder, nothing_saved
        _change = self

    def __enter__(self) -> None:
        self.message = f"{self.folder} was being saved: it is as it was, or has the whole change."
        if was_interrupted():  # and a library went on
            raise KeyboardInterrupt

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.message = f"{self.folder} was already saved."


def _report_change() -> None:
    """Prints once what became of the change, unless standard error can take nothing now."""
    global _change
    change, _change = _change, None
    if change is not None:
        with suppress(OSError, ValueError):  # closed, or no real file
            place = sys.stderr.fileno()
            if select.select([], [place], [], 0)[1]:
                os.write(place, f"{one_line(f'mann-hf: interrupted: {change.message}', sys.stderr)}\n".encode())


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed since `ended_by_interrupt` began, even if a library caught the exception."""
    return _came.is_set()


@contextmanager
def ended_by_interrupt() -> Iterator[None]:
    """Within the block Ctrl-C ends this process: by `KeyboardInterrupt`, or without it if that takes too long.

    A library that catches every exception, a callback of the garbage collector or a long computation in C may hold the
    exception back; the process is ended after `GRACE` seconds. This is safe because no folder is ever half saved.
    """
    global _change
    _change = None
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # as `nohup` and a script's `&` ask for
        yield
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    threading.Thread(target=_watch, args=(receiver,), daemon=True, name="Ctrl-C").start()
    fd_before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)  # C code does not hold this back
    _came.clear()
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(STATUS)
    finally:
        if was_interrupted():
            _report_change()
        signal.set_wakeup_fd(fd_before)
        signal.signal(signal.SIGINT, before)
        sender.close()


@contextmanager
def ended_by_command() -> Iterator[None]:
    """Within the block the command handles Ctrl-C itself, and may take as long to end as it needs."""
    fd_before = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(fd_before, warn_on_full_buffer=False)


def _interrupt(number: int, frame: Any) -> None:
    _came.set()
    raise KeyboardInterrupt


def _watch(receiver: socket.socket) -> None:
    """Waits for SIGINT, gives the process `GRACE` seconds and ends it; returns when the other side is closed."""
    with receiver:
        while number := receiver.recv(1):
            if number[0] == signal.SIGINT:
                time.sleep(GRACE)
                if sys.stderr is not None and sys.stderr.isatty():
                    os.write(sys.stderr.fileno(), SHOW_CURSOR)
                _report_change()
                os._exit(STATUS)
