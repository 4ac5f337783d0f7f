"""The command as its own process: what a shell or a script sees of it."""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mann_hf.cli
from mann_hf.errors import FolderError

from .conftest import Shell

ROOT = Path(mann_hf.cli.__file__).parents[2]
COMMAND = [sys.executable, "-m", "mann_hf.cli"]


def test_help_names_every_command(shell: Shell) -> None:
    output = shell("--help")
    assert all(
        re.search(rf"^\W*{name}  ", output, re.MULTILINE) for name in ("remember", "predict", "forget", "evaluate")
    )
    assert "--install-completion" in output


@pytest.mark.parametrize("command", ["remember", "predict", "forget", "evaluate"])
def test_help_of_a_command(shell: Shell, command: str) -> None:
    output = shell(command, "-h")
    assert f"mann-hf {command} [OPTIONS]" in output
    assert "FOLDER" in output and "--json" in output and "--debug" in output
    if command == "remember":
        assert "sentence-transformers" in output


def test_the_version(shell: Shell) -> None:
    try:
        expected = version("mann_hf")
    except PackageNotFoundError:
        expected = "0+unknown"
    assert shell("--version") == f"mann-hf {expected}\n"


def test_no_command_is_wrong_usage(shell: Shell) -> None:
    assert shell.fails(status=2) == "mann-hf: Missing command. See: mann-hf --help"
    assert "Did you mean 'predict'?" in shell.fails("predic", status=2)
    assert shell.fails("pridict", status=2).endswith(" Did you mean 'predict'? See: mann-hf --help")
    assert shell.fails("predict", status=2) == "mann-hf predict: Missing argument 'FOLDER'. See: mann-hf predict --help"


def test_the_script_is_this_command() -> None:
    found = [entry for entry in entry_points(group="console_scripts") if entry.name == "mann-hf"]
    assert all(entry.load() is mann_hf.cli.main for entry in found)


@pytest.mark.parametrize("command", ["remember", "predict", "forget", "evaluate"])
def test_debug_shows_where_an_error_comes_from(shots: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "config.json").touch()
    arguments = [command, str(tmp_path), *{"forget": ["--label", "a"]}.get(command, [str(shots)])]
    result = CliRunner().invoke(mann_hf.cli.app, [*arguments, "--debug"])
    assert isinstance(result.exception, FolderError)
    assert result.stderr == ""


def test_a_failure_is_one_line_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["mann-hf", "predict", str(tmp_path / "nothing-here"), "hello"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("mann_hf.cli", run_name="__main__")
    out, notes = capfd.readouterr()
    assert (end.value.code, out) == (1, "")
    assert notes.startswith("mann-hf: there is no folder") and notes.count("\n") == 1


SLOW_TO_IMPORT = {"torch", "transformers", "datasets"}
HEAVY = {*SLOW_TO_IMPORT, "huggingface_hub", "pandas", "numpy", "jinja2", "yaml"}


def imported_by(folder: Path, start: list[str], arguments: list[str], status: int) -> set[str]:
    """The packages that a call of the command in a folder imports; it must end with that status."""
    call = [sys.executable, "-X", "importtime", *start, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(call, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert run.returncode == status, run.stderr
    imported = [line.split("|") for line in run.stderr.splitlines() if line.startswith("import time:")]
    found = {name.strip().partition(".")[0] for _, _, name in imported}
    assert "mann_hf" in found
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["remember", "--help"], 0),
        (["--version"], 0),
        (["predic"], 2),
        (["train", "t", "--n-way", "x"], 2),
    ],
    ids=str,
)
@pytest.mark.parametrize("start", [["-m", "mann_hf.cli"], ["mann-hf"]], ids=["module", "script"])
def test_help_and_wrong_usage_come_at_once(tmp_path: Path, start: list, arguments: list, status: int) -> None:
    if start == ["mann-hf"]:
        (tmp_path / "mann-hf").write_text("from mann_hf.cli import main\nmain()\n")
        start = [str(tmp_path / "mann-hf")]
    assert not imported_by(tmp_path, start, arguments, status) & HEAVY


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        "predict nothing-here hello",
        "predict empty hello",
        "predict intents missing.csv",
        "remember new missing.csv",
        "remember intents missing.csv",
        "remember intents shots.csv --encoder other",
        "evaluate intents missing.csv --to-card",
        "forget nothing-here --label refund",
        "train missing.csv",
        "push intents no/such/name",
        "demo intents --host no.such.host.invalid --port 7860",
    ],
)
def test_wrong_arguments_are_told_at_once(tmp_path: Path, taught: Path, shots: Path, arguments: str) -> None:
    (tmp_path / "empty").mkdir()
    assert not imported_by(tmp_path, ["-m", "mann_hf.cli"], arguments.split(), 1) & SLOW_TO_IMPORT


@pytest.mark.slow
def test_a_process_that_fails_says_nothing_more(tmp_path: Path) -> None:
    call = [*COMMAND, "predict", str(tmp_path / "nothing-here"), "hello"]
    run = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("mann-hf: there is no folder") and run.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no pseudo-terminal")
def test_on_a_terminal_a_bar_and_on_standard_output_the_document(taught: Path, shots: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    call = [*COMMAND, "predict", str(taught), str(shots), "--json"]
    environment = {**os.environ, "TERM": "xterm"}
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=theirs, cwd=ROOT, env=environment)
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # the other side is closed
            while chunk := terminal.read(4096):
                seen += chunk
        out, _ = process.communicate()
    notes = seen.decode()
    assert process.returncode == 0, notes
    assert json.loads(out)[0]["label"] == "lost_card"
    assert "Answering" in notes and "6/6" in notes
    assert "Loading weights" not in notes


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    """The call of a script that starts the command, as fast as the installed one."""
    path = tmp_path / "mann-hf"
    path.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom mann_hf.cli import main\nmain()\n")
    return [sys.executable, str(path)]


@pytest.mark.skipif(os.name == "nt", reason="it has no limits of files")
@pytest.mark.parametrize("arguments", ["--version", "--help", "predict --help"])
def test_output_that_cannot_be_written_is_one_line(script: list[str], tmp_path: Path, arguments: str) -> None:
    import resource

    def no_room() -> None:  # as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    with open(tmp_path / "output", "w") as full:
        call = [*script, *arguments.split()]
        run = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, check=False, preexec_fn=no_room)
    assert (run.returncode, run.stderr) == (1, "mann-hf: [Errno 27] File too large\n")


@pytest.mark.skipif(os.name == "nt", reason="its streams are others")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_a_closed_stream_is_no_error(script: list[str], closed: str) -> None:
    call = f"{shlex.join(script)} --version {closed}"
    run = subprocess.run(call, shell=True, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("columns", ["20", "40", "500"])
def test_help_fits_any_width(shell: Shell, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert "Usage" in shell("--help")
