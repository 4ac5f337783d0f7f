"""Ctrl-C, as processes see it that are started as the command is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mann_hf.cli
from mann_hf.cli import interrupts

ROOT = Path(mann_hf.cli.__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")

Start = Callable[..., "subprocess.Popen[str]"]
COMMAND = """
import sys, time, typer
import mann_hf.cli

@mann_hf.cli.app.command()
def work() -> None:
    {work}

def started():
    print("started", flush=True)

mann_hf.cli.main()
"""
SWALLOWS = """
    while True:
        try:
            started()
            time.sleep(60)
        except BaseException:
            pass
"""
STOPS = """
    try:
        started()
        time.sleep(60)
    finally:
        print("left in order", flush=True)
"""
FAILS = """
    try:
        started()
        time.sleep(60)
    except KeyboardInterrupt:
        raise RuntimeError("a library that takes it for another error")
"""
HANDLES = """
    import signal, threading
    from mann_hf.cli.interrupts import ended_by_command
    stop = threading.Event()
    with ended_by_command():
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        started()
        stop.wait()
        time.sleep(1.5)
        print("left in order", flush=True)
"""


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Runs Python as if it were the script `mann-hf`, up to the line that says it has started."""

    def process(code: str, **options: object) -> "subprocess.Popen[str]":
        script = tmp_path / "mann-hf"
        script.write_text(code)
        call = [sys.executable, str(script), "work"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        begun: subprocess.Popen[str] = subprocess.Popen(call, env=environment, **pipes, **options)  # type: ignore[call-overload]
        assert begun.stdout is not None and begun.stdout.readline() == "started\n", begun.communicate()
        return begun

    return process


@pytest.mark.parametrize(
    ("work", "said"),
    [(STOPS, "left in order\n"), (SWALLOWS, "started\n"), (FAILS, "")],
    ids=["stops", "swallows", "fails"],
)
def test_an_interrupt_ends_the_command_at_once_and_in_silence(start: Start, work: str, said: str) -> None:
    process = start(COMMAND.format(work=work))
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    assert process.communicate(timeout=20) == (said, "")
    assert process.returncode == 130
    assert time.monotonic() - begin < 10


def test_a_command_with_a_handler_of_its_own_ends_when_it_is_done(start: Start) -> None:
    process = start(COMMAND.format(work=HANDLES))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("left in order\n", "")
    assert process.returncode == 0


def test_an_interrupt_while_the_command_is_imported_is_silent(start: Start) -> None:
    process = start("import mann_hf\nprint('started', flush=True)\nimport time\ntime.sleep(60)")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 130


def test_an_interrupt_that_is_ignored_stays_so(start: Start) -> None:
    work = "started(); time.sleep(1); print('done')"
    process = start(COMMAND.format(work=work), preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("done\n", "")
    assert process.returncode == 0


def test_a_call_of_main_leaves_signals_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "argv", ["mann-hf", "--version"])
    with pytest.raises(SystemExit):
        mann_hf.cli.main()
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1


CHANGES = """
import sys, time
import mann_hf.cli
from mann_hf.pipelines import FewShotTextClassificationPipeline as Pipeline

def stop(self, *given, **options):
    print("started", file=sys.__stdout__, flush=True)
    try:
        time.sleep(60)
    finally:
        if {swallow}:
            time.sleep(60)

sys.argv[1:] = {arguments}
Pipeline.{method} = stop
mann_hf.cli.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "method", "words", "swallow"),
    [
        ("new", "remember", "nothing of shots.csv was kept, and new holds no classifier.", True),
        ("old", "remember", "nothing of shots.csv was kept, and old is as it was.", False),
        ("old", "save_memory", "old was being saved: it is as it was, or has the whole change.", False),
        ("forget", "forget", "nothing was forgotten, and old is as it was.", False),
    ],
)
def test_an_interrupt_says_what_has_become_of_the_change(
    start: Start, taught: Path, tiny_encoder: Path, tmp_path: Path, command: str, method: str, words: str, swallow: bool
) -> None:
    taught.rename(tmp_path / "old")
    (tmp_path / "shots.csv").write_text("text,label\nmy card is lost,lost_card\n")
    arguments = ["forget", "old", "--label", "refund"] if command == "forget" else ["remember", command, "shots.csv"]
    if command == "new":
        arguments += ["--encoder", str(tiny_encoder)]
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    process = start(CHANGES.format(arguments=arguments, method=method, swallow=swallow), cwd=tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", f"mann-hf: interrupted: {words}\n")
    assert process.returncode == 130
    after = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    assert after.items() >= before.items()
    assert not (tmp_path / "new" / "config.json").exists()


def test_a_change_that_was_interrupted_is_not_saved_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    change = interrupts.FolderChange("folder", "nothing was kept.")
    interrupts._came.set()
    try:
        with pytest.raises(KeyboardInterrupt), change:
            raise AssertionError("saved")
    finally:
        interrupts._came.clear()


def test_what_an_interrupt_says_after_the_save() -> None:
    change = interrupts.FolderChange("folder", "nothing was kept.")
    with change:
        assert "was being saved" in change.message
    assert change.message == "folder was already saved."
