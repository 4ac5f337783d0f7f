"""Ctrl-C ends the command, whatever it is doing."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STATUS = 130
"""The exit status of what SIGINT ended, as shells have it."""
GRACE = 1.0
"""Seconds that the command has to end by itself."""
SHOW_CURSOR = b"\x1b[?25h"
"""Undoes what a bar did to the terminal."""


_came = threading.Event()


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed since `ended_by_interrupt`, whatever has become of it."""
    return _came.is_set()


@contextmanager
def ended_by_interrupt() -> Iterator[None]:
    """While Ctrl-C ends this process: by `KeyboardInterrupt`, and where that comes to nothing, at once.

    A library that catches everything, a callback of the garbage collector or a long computation in C may keep the
    exception back. To end at once is safe, as no folder is ever half saved.
    """
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
                os._exit(STATUS)
