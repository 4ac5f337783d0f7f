"""What the command says: data on standard output, talk on standard error."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from logging import LogRecord, getLogger
from typing import Any, TextIO

OF_PAIRS = "transformers.mann_hf.targets.given"
"""The logger that speaks of texts and labels side by side, of which the tables have spoken in words of the shell."""
NEWS_EVERY = 30.0
"""Seconds until a long run says how far it is where no bar is shown, and from one such line to the next."""


def open_closed_streams() -> None:
    """Lets what is said go nowhere where the caller has closed a stream, as `>&-` does.

    Otherwise the next file to be opened would take its place.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def print_json(document: Any) -> None:
    """Writes one JSON document and a line break to standard output, with nothing in it that steers a terminal."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:  # a terminal without these letters, or half a surrogate pair
        text = json.dumps(document, allow_nan=False)
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)
    with _to_standard_output():
        print(text, flush=True)


def _escaped(letter: str) -> str:
    return json.dumps(letter)[1:-1] if letter != "\x7f" else "\\u007f"  # the one that JSON leaves as it is in ASCII


def print_lines(*lines: str) -> None:
    """Writes lines for people to standard output."""
    with _to_standard_output():
        for line in lines:
            print(printable(line, sys.stdout))
        sys.stdout.flush()


@contextmanager
def _to_standard_output() -> Iterator[None]:
    """Names what cannot be written to, as the error of a full disk does not."""
    try:
        yield
    except BrokenPipeError:  # of a reader such as `head`, which has enough
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def say(message: str) -> None:
    """Writes a line to standard error, for people only."""
    print(one_line(message, sys.stderr), file=sys.stderr, flush=True)


def printable(text: str, stream: TextIO) -> str:
    """A text without what would steer the terminal (texts may come from strangers), in letters that `stream` has."""
    shown = "".join(letter if letter.isprintable() or letter == "\t" else " " for letter in text)
    encoding = stream.encoding or "ascii"
    return shown.encode(encoding, "replace").decode(encoding)


def one_line(text: str, stream: TextIO) -> str:
    """`printable` on one line, each run of white space as one space."""
    return " ".join(printable(text, stream).split())


@contextmanager
def working() -> Iterator[None]:
    """While the libraries work: what they print goes to standard error, and of their bars only those of downloads.

    What they log may hold the words of strangers, and is shown without what would steer the terminal.
    """
    from huggingface_hub.utils import enable_progress_bars
    from transformers.utils import logging

    had_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    if sys.stderr.isatty():
        enable_progress_bars()
    handlers = [handler for name in ("transformers", "huggingface_hub") for handler in getLogger(name).handlers]
    for handler in handlers:
        handler.addFilter(_make_printable)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_make_printable)
        if had_bars:
            logging.enable_progress_bar()


def _make_printable(record: LogRecord) -> bool:
    if record.name == OF_PAIRS:
        return False
    record.msg = "\n".join(printable(line, sys.stderr) for line in record.getMessage().splitlines())
    record.args = None
    return True


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """A bar on standard error where that is a terminal; elsewhere a line now and then.

    Args:
        what: is being done.
        total: how many steps it takes.

    Yields:
        To be called with the number of steps done since the last call; None for a single one.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if total < 2:
        yield None
        return
    if not console.is_interactive:
        yield _lines_of_progress(what, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)


def _lines_of_progress(what: str, total: int) -> Callable[[int], None]:
    """To be called with the number of steps done since the last call; every `NEWS_EVERY` seconds it says how many."""
    started = said = time.monotonic()
    done = 0

    def advance(steps: int) -> None:
        nonlocal done, said
        done += steps
        now = time.monotonic()
        if now - said >= NEWS_EVERY and 0 < done < total:
            said = now
            left = math.ceil((now - started) * (total - done) / done / 60)
            say(f"{what}: {done:,} of {total:,} ({done / total:.0%}), about {left:,} min left.")

    return advance


@contextmanager
def training_bar(total: int) -> Iterator[Callable[[int, str], None] | None]:
    """A bar of a run's steps with how it goes and the time left, on standard error where that is a terminal.

    Yields:
        To be called with the number of steps done since the last call and a line; None where no bar is shown.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_interactive:
        yield None
        return
    columns = (TextColumn("Training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, TextColumn("{task.description}"), console=console, transient=True)
    task = bar.add_task("", total=total)

    def advance(steps: int, line: str) -> None:
        bar.start()  # not before: of several processes the one that is told of steps has the terminal
        bar.update(task, advance=steps, description=line)

    try:
        yield advance
    finally:
        bar.stop()
