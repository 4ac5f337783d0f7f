import re

import pytest
import typer
from typer.testing import CliRunner, Result

from mann_hf.cli.errors import OneLineErrors, describe
from mann_hf.cli.options import Debug
from mann_hf.errors import EmptyMemoryError, NotInMemoryError


def run(error: BaseException, *arguments: str) -> Result:
    app = typer.Typer(cls=OneLineErrors, pretty_exceptions_enable=False)

    @app.command()
    def fail(debug: Debug = False) -> None:
        raise error

    @app.command()
    def work() -> None:
        print("done")

    return CliRunner().invoke(app, ["fail", *arguments], prog_name="prog")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (EmptyMemoryError("the memory\n  is empty."), "prog: the memory is empty."),
        (NotInMemoryError("no label 'x'.", ["x"]), "prog: no label 'x'."),
        (FileNotFoundError(2, "No such file", "a b"), "prog: [Errno 2] No such file: 'a b'"),
        (ValueError("a\x1b[31m colour"), "prog: a [31m colour"),
        (ValueError(), "prog: ValueError: no further words (--debug shows where it comes from)"),
        (KeyError("x"), "prog: KeyError: 'x' (--debug shows where it comes from)"),
        (RuntimeError("out of memory"), "prog: RuntimeError: out of memory (--debug shows where it comes from)"),
    ],
)
def test_an_error_is_one_line_and_status_1(error: Exception, line: str) -> None:
    result = run(error)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", line + "\n")
    assert describe(error) in line or "\n" in str(error) or "\x1b" in str(error)


def test_debug_lets_the_error_through() -> None:
    error = RuntimeError("here")
    result = run(error, "--debug")
    assert result.exception is error
    assert (result.exit_code, result.stderr) == (1, "")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (typer.Exit(3), 3),
        (typer.Exit(0), 0),
        (typer.Abort(), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(32, ""), 1),
    ],
)
def test_ends_that_are_no_errors_say_nothing(error: BaseException, status: int) -> None:
    result = run(error)
    assert (result.exit_code, result.stderr.strip()) == (status, "")


def test_wrong_usage_is_one_line_and_status_2() -> None:
    result = run(RuntimeError("not reached"), "--nonsense")
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"prog fail: No such option\W+--nonsense\W+See: prog fail --help\n", result.stderr)
    assert result.stderr.count("\n") == 1


def test_a_caller_may_handle_usage_itself() -> None:
    group = typer.main.get_command(_app())
    with pytest.raises(type(typer.BadParameter("x")).__bases__[0]):
        group.main(["--nonsense"], standalone_mode=False)
    with pytest.raises(typer.Abort):
        group.main(["stop"], standalone_mode=False)
    assert group.main(["leave"], standalone_mode=False) == 3


def _app() -> typer.Typer:
    app = typer.Typer(cls=OneLineErrors)

    @app.command()
    def stop() -> None:
        raise typer.Abort

    @app.command()
    def leave() -> None:
        raise typer.Exit(3)

    return app


def test_success_is_status_0() -> None:
    app = typer.Typer(cls=OneLineErrors)

    @app.command()
    def work() -> None:
        print("done")

    @app.command()
    def rest() -> None:
        pass

    result = CliRunner().invoke(app, ["work"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "done\n", "")
