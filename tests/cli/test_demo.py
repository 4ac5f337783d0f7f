"""`mann-hf demo` as its own process, which serves until it is told to end."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mann_hf.cli
import mann_hf.demo
from mann_hf.errors import InvalidInputError
from mann_hf.models import MANNForConditionalGeneration, MANNForSequenceClassification
from mann_hf.pipelines import MemoryAugmentedGenerationPipeline
from tests.tiny_seq2seq import save_tiny

from .conftest import Shell

ROOT = Path(mann_hf.cli.__file__).parents[2]
Open = Callable[..., tuple[subprocess.Popen, str]]

OPENING = "Opening the page; this can take half a minute.\n"


@pytest.fixture
def port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def open_page() -> Iterator[Open]:
    """Runs the command until it says where the page is: `open_page(folder, options)` gives process and address."""
    pytest.importorskip("gradio")
    running = []

    def opened(*arguments: object) -> tuple[subprocess.Popen, str]:
        call = [sys.executable, "-m", "mann_hf.cli", "demo", *map(str, arguments)]
        process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        running.append(process)
        address = process.stdout.readline().strip() if process.stdout else ""
        assert address, process.communicate()[1]
        return process, address

    yield opened
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def status(address: str) -> int:
    with urllib.request.urlopen(address) as page:
        return page.status


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_the_page_answers_where_it_says_and_ctrl_c_ends_it(open_page: Open, taught: Path, port: int) -> None:
    process, address = open_page(taught, "--port", port)
    assert address == f"http://127.0.0.1:{port}/" and status(address) == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert err.startswith("Opening the page") and "Traceback" not in err
    assert err.splitlines()[-1] == "The page is open; Ctrl-C ends it."


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_without_a_port_the_next_free_one_is_taken(open_page: Open, taught: Path) -> None:
    (_, first), (process, second) = open_page(taught), open_page(taught)
    ports = [int(re.findall(r":(\d+)/", address)[0]) for address in (first, second)]
    assert 7860 <= ports[0] < ports[1] and status(first) == status(second) == 200
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("save", [False, True])
def test_what_is_taught_is_saved_if_asked_for(open_page: Open, taught: Path, save: bool) -> None:
    client: Any = pytest.importorskip("gradio_client")
    before = (taught / "memory.safetensors").read_bytes()
    process, address = open_page(taught, *(["--save"] if save else []))
    page = client.Client(address, verbose=False)
    page.predict("say hello", "greeting", "an example", "", api_name="/teach")
    assert ((taught / "memory.safetensors").read_bytes() != before) == save
    model = MANNForSequenceClassification.from_pretrained(taught)
    assert ("greeting" in model.memory.labels) == save
    assert ("greeting" in (taught / "config.json").read_text()) == save
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_port_that_is_taken_is_refused_before_the_work(shell: Shell, taught: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        error = shell.fails("demo", taught, "--port", port)
    assert f"cannot be opened at 127.0.0.1, port {port}: Address already in use." in error
    assert "Choose another --port" in error
    assert "mann-hf demo --help" in shell.fails("demo", taught, "--port", 0, status=2)


def test_a_host_that_is_not_this_machine_s_is_refused(shell: Shell, taught: Path, port: int) -> None:
    assert "cannot be opened at 127.0.0.1.5" in shell.fails("demo", taught, "--port", port, "--host", "127.0.0.1.5")


def test_what_is_no_host_is_refused_before_the_work(shell: Shell, taught: Path) -> None:
    assert "'http://x' is not the name of a host" in shell.fails("demo", taught, "--allow-host", "http://x")


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_nothing_but_the_command_ends_it_while_the_page_closes(
    shell: Shell, taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[int] = []

    class Page:
        @property
        def local_url(self) -> str:
            os.kill(os.getpid(), signal.SIGINT)
            return "address"

        def close(self, verbose: bool) -> None:
            watched.append(signal.set_wakeup_fd(-1))

    monkeypatch.setattr(mann_hf.demo, "launch", lambda *_, **__: Page())
    receiver, teller = socket.socketpair()
    teller.setblocking(False)
    with receiver, teller:
        before = signal.set_wakeup_fd(teller.fileno())
        try:
            assert shell("demo", taught).split() == ["address"]
            assert (watched, signal.set_wakeup_fd(before)) == ([-1], teller.fileno())
        finally:
            signal.set_wakeup_fd(before)


@pytest.mark.parametrize("names", [[], ["demo.example.org", "192.0.2.7"]])
def test_hosts_are_handed_on(shell: Shell, taught: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    def launched(*_: Any, **kwargs: Any) -> None:
        raise InvalidInputError(f"hosts: {list(kwargs['allowed_hosts'])}")

    monkeypatch.setattr(mann_hf.demo, "launch", launched)
    options = [word for name in names for word in ("--allow-host", name)]
    assert f"hosts: {names}" in shell.fails("demo", taught, *options, after=OPENING)


def test_a_model_that_generates_is_served_too(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MANNForConditionalGeneration.from_seq2seq_pretrained(save_tiny("t5", tmp_path / "t5"))
    MemoryAugmentedGenerationPipeline(model=model).save_pretrained(tmp_path / "pairs")

    def launched(pipeline: Any, **kwargs: Any) -> None:
        kwargs["on_change"]()
        raise InvalidInputError(f"{kwargs['title']} with {type(pipeline).__name__}")

    monkeypatch.setattr(mann_hf.demo, "launch", launched)
    error = shell.fails("demo", tmp_path / "pairs", "--save", after=OPENING)
    assert "pairs with MemoryAugmentedGenerationPipeline" in error


def test_a_folder_without_a_classifier_is_refused(shell: Shell, tmp_path: Path) -> None:
    assert "there is no folder 'nowhere'" in shell.fails("demo", "nowhere")
    assert "holds no classifier" in shell.fails("demo", tmp_path)


def test_nothing_is_saved_to_the_hub(shell: Shell) -> None:
    assert "there is no folder 'owner/name'; a model from the Hub" in shell.fails("demo", "owner/name", "--save")


def test_without_gradio_the_extra_is_named(shell: Shell, taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert "needs the package 'gradio': pip install 'mann_hf[demo]'" in shell.fails("demo", taught, after=OPENING)


def test_a_regression_is_refused(shell: Shell, tiny_encoder: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, problem_type="regression")
    model.save_pretrained(tmp_path / "numbers")
    model.load_tokenizer().save_pretrained(tmp_path / "numbers")
    assert "which a regression does not have" in shell.fails("demo", tmp_path / "numbers", after=OPENING)
