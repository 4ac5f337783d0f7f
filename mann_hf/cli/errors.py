"""Errors of the shell: one line that says what is wrong and what helps, and no traceback without `--debug`."""

import sys
from contextlib import suppress
from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import MannError
from .interrupts import was_interrupted
from .output import one_line

DEBUG = "mann_hf.cli.debug"
"""The key of a context's `meta` under which `--debug` is kept."""

# The module that defines it depends on typer's version; only a subclass of it is public.
UsageError: Any = typer.BadParameter.__bases__[0]


class OneLineErrors(TyperGroup):
    """Ends a failed command with one line on standard error: exit status 1, or 2 for wrong usage."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            raise
        except OSError as error:  # help and the version are printed here
            _print_error(self.name, describe(error))
            raise typer.Exit(1) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (UsageError, typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if was_interrupted():  # and a library made another error of it
                raise KeyboardInterrupt from None
            if ctx.meta.get(DEBUG):
                raise
            _print_error(ctx.command_path, describe(error))
            raise typer.Exit(1) from None

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        try:
            status = super().main(*args, standalone_mode=False, **extra)  # type: ignore[misc]  # it comes by name
        except UsageError as error:
            if not standalone_mode:
                raise
            path = self.name if error.ctx is None else error.ctx.command_path
            message = error.format_message().rstrip(".")  # as of "Did you mean 'predict'?."
            _print_error(path, f"{message if message.endswith('?') else f'{message}.'} See: {path} --help")
            sys.exit(2)
        except typer.Abort:
            if not standalone_mode:
                raise
            sys.exit(1)
        if not standalone_mode:
            return status
        sys.exit(status if isinstance(status, int) else 0)


def describe(error: BaseException) -> str:
    """The message of an error; if it was not written for users, with the name of its class and a hint at `--debug`."""
    message = str(error).strip()
    if isinstance(error, MannError | OSError | ValueError) and message:
        return message
    return f"{type(error).__name__}: {message or 'no further words'} (--debug shows where it comes from)"


def _print_error(command: str | None, message: str) -> None:
    with suppress(OSError):  # a full disk: the exit status still says that the command failed
        print(f"{command}: {one_line(message, sys.stderr)}", file=sys.stderr, flush=True)
