"""The shell command `mann-hf`: each command has a file of its own and calls the pipelines.

What takes long to import (torch, transformers, datasets) is imported inside the commands, so that help, completion and
usage errors come at once.
"""

import gc
from typing import Annotated

import typer

from .demo import demo
from .errors import OneLineErrors
from .evaluate import evaluate
from .forget import forget
from .generate import generate
from .interrupts import ended_by_interrupt
from .output import open_closed_streams
from .predict import predict
from .push import push
from .remember import remember
from .tokenizer import tokenizer
from .train import train

PROGRAM = "mann-hf"

app = typer.Typer(
    name=PROGRAM,
    cls=OneLineErrors,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (remember, predict, generate, forget, evaluate, train, push, tokenizer, demo):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"{PROGRAM} {version('mann_hf')}")
        except PackageNotFoundError:  # run from a source tree that is not installed
            typer.echo(f"{PROGRAM} 0+unknown")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Teach, ask and evaluate a classifier of texts or images, or a model that generates texts, which learns from a
    handful of examples and forgets them again.

    A classifier, or model, is a folder. Answers go to standard output, everything else to standard error.
    """


def main() -> None:
    """Runs the shell command with the arguments of this process."""
    open_closed_streams()
    try:
        with ended_by_interrupt():
            app(prog_name=PROGRAM)
    finally:
        gc.freeze()  # or the last garbage collection looks at all that was imported, which takes a second
