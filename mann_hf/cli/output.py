"""What the command prints: data on standard output, messages on standard error."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from logging import LogRecord, getLogger
from typing import Any, TextIO

LOGGER_OF_LABELS = "transformers.mann_hf.targets.given"
"""The logger of warnings about texts and labels; `tables.hints` has given them already, in terms of the shell."""
SECONDS_BETWEEN_LINES = 30.0
"""From one line of progress to the next, where no bar is shown."""


def open_closed_streams() -> None:
    """Opens the null device in place of a standard stream that the caller has closed, as `>&-` does.

    Otherwise the next file to be opened would take its place.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def print_json(document: Any) -> None:
    """Prints one JSON document and a line break on standard output; what would steer a terminal is escaped."""
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
    return json.dumps(letter)[1:-1] if letter != "\x7f" else "\\u007f"  # json.dumps leaves this one as it is


def print_lines(*lines: str) -> None:
    """Prints lines on standard output."""
    with _to_standard_output():
        for line in lines:
            print(printable(line, sys.stdout))
        sys.stdout.flush()


@contextmanager
def _to_standard_output() -> Iterator[None]:
    """Adds to an error of writing, such as that of a full disk, that it was standard output."""
    try:
        yield
    except BrokenPipeError:  # the reader has enough, as `head` has
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def say(message: str) -> None:
    """Prints a message on standard error, on one line."""
    print(one_line(message, sys.stderr), file=sys.stderr, flush=True)


def printable(text: str, stream: TextIO) -> str:
    """A text that cannot steer the terminal, though a stranger may have written it, in characters that `stream` has."""
    shown = "".join(letter if letter.isprintable() or letter == "\t" else " " for letter in text)
    encoding = stream.encoding or "ascii"
    return shown.encode(encoding, "replace").decode(encoding)


def one_line(text: str, stream: TextIO) -> str:
    """A `printable` text on one line, with one space in place of each run of white space."""
    return " ".join(printable(text, stream).split())


@contextmanager
def working() -> Iterator[None]:
    """Within the block what libraries print goes to standard error, and only downloads have a progress bar.

    What they log may hold texts of strangers, so it is made `printable`.
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
    if record.name == LOGGER_OF_LABELS:
        return False
    record.msg = "\n".join(printable(line, sys.stderr) for line in record.getMessage().splitlines())
    record.args = None
    return True


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on standard error if that is a terminal, and a line now and then otherwise.

    Args:
        what: what is done, such as `"Answering"`.
        total: number of steps.

    Yields:
        A function to call with the number of steps done since the last call; None if there is only one step.
    """
    if total < 2:
        yield None
    elif (bar := _bar("{task.description}")) is None:
        yield _lines_of_progress(what, total)
    else:
        with bar:
            task = bar.add_task(what, total=total)
            yield lambda steps: bar.advance(task, steps)


def _lines_of_progress(what: str, total: int) -> Callable[[int], None]:
    """A function to call with the number of steps done since the last call; now and then it prints how many were."""
    started = last_line = time.monotonic()
    done = 0

    def advance(steps: int) -> None:
        nonlocal done, last_line
        done += steps
        now = time.monotonic()
        if now - last_line >= SECONDS_BETWEEN_LINES and 0 < done < total:
            last_line = now
            left = math.ceil((now - started) * (total - done) / done / 60)
            say(f"{what}: {done:,} of {total:,} ({done / total:.0%}), about {left:,} min left.")

    return advance


@contextmanager
def training_bar(total: int) -> Iterator[Callable[[int, str], None] | None]:
    """A progress bar of a training run, with the time left, if standard error is a terminal.

    Args:
        total: number of steps.

    Yields:
        A function to call with the number of steps done since the last call and a line about how the run goes; None
        if no bar is shown.
    """
    bar = _bar("Training", "{task.description}")
    if bar is None:
        yield None
        return
    task = bar.add_task("", total=total)

    def advance(steps: int, line: str) -> None:
        bar.start()  # only now: of several processes one alone reports steps, and may use the terminal
        bar.update(task, advance=steps, description=line)

    try:
        yield advance
    finally:
        bar.stop()


def _bar(title: str, *more: str) -> Any:
    """A progress bar on standard error, with a text before it and some behind it; None if that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_interactive:
        return None
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), *map(TextColumn, more))
    return Progress(*columns, console=console, transient=True)
