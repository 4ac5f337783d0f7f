"""From an empty virtual environment to a published model and back, by the commands that are printed."""

import csv
import faulthandler
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.loopback_hub import LoopbackHub

ROOT = Path(__file__).parents[1]
MESSAGES = ROOT / "examples" / "customer_messages" / "messages.csv"
ID = "me/my-intents"
PUSH = f"""
import json, mann_hf
from transformers import pipeline
clf = pipeline("few-shot-text-classification", model="my-intents")
clf.push_to_hub("{ID}", private=True)
print(json.dumps(clf(json.load(open("asked.json")), top_k=None)))
"""
LOAD = f"""
import json, mann_hf
from transformers import pipeline
clf = pipeline("few-shot-text-classification", model="{ID}")
print(json.dumps(clf(json.load(open("asked.json")), top_k=None)))
"""


@pytest.mark.slow
@pytest.mark.end_to_end
def test_installed_trained_pushed_and_loaded(hub: "LoopbackHub", tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # an installation takes minutes
    wheels = tmp_path / "wheels"
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "-w", wheels, ROOT], check=True)
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    installing = kept | {
        "PATH": f"{binaries}{os.pathsep}{kept['PATH']}",
        "PIP_FIND_LINKS": " ".join([*kept.get("PIP_FIND_LINKS", "").split(), str(wheels)]),
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_QUIET": "2",  # errors alone
    }
    online = installing | hub.environment()

    def run(command: str, environment: dict[str, str] = online, home: str = "home") -> str:
        environment = environment | {"HF_HOME": str(tmp_path / home), "HF_HUB_CACHE": str(tmp_path / home / "hub")}
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode == 0, f"{command}: {done.stdout[-500:]} {done.stderr[-1500:]}"
        return done.stdout

    run("python -m pip install --upgrade pip", installing)
    run("pip install 'mann_hf[train,demo]'", installing)
    assert run("python -c 'import mann_hf; print(mann_hf.__file__)'", installing).startswith(str(binaries.parent))

    rows = list(csv.DictReader(MESSAGES.open(encoding="utf-8", newline="")))
    shots = [row for number, row in enumerate(rows) if number % 18 < 3]
    with (tmp_path / "shots.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows({"text": row["text"], "label": row["label"]} for row in shots)
    (tmp_path / "asked.json").write_text(json.dumps([row["text"] for row in rows[5::18]]))

    size = "--n-way 3 --max-steps 4 --eval-every 2 --eval-episodes 20"
    run(f"mann-hf train {MESSAGES} --output my-intents {size}")
    run("mann-hf remember my-intents shots.csv")
    (tmp_path / "push.py").write_text(PUSH)
    (tmp_path / "load.py").write_text(LOAD)
    before = run("python push.py")
    (tmp_path / "my-intents").rename(tmp_path / "moved")  # so that its name means the hub's
    after = run("python load.py", home="other")
    assert json.loads(before.splitlines()[-1]) == json.loads(after.splitlines()[-1])  # to the last bit

    card = run(f"hf download {ID} README.md --quiet", home="other").strip()
    text = Path(card.removeprefix("path=").strip().splitlines()[-1].removeprefix("path: ")).read_text(encoding="utf-8")
    assert "## Training" in text and "## Evaluation" in text
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["", "python", ""]
    for language, block in blocks:
        (tmp_path / "block.py").write_text(block)
        run("python block.py" if language == "python" else block, home="other")
