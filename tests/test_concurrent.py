"""Many writers of one folder at once: nothing is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mann_hf import MANNForSequenceClassification
from mann_hf.pipelines import FewShotTextClassificationPipeline as Classifier

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children of this process")]

ROOT = Path(__file__).parents[1]
LESSONS, PROCESSES = 200, 4
TEACHING = """
import sys
from mann_hf.cli import app
for table in sys.argv[2:]:
    try:
        app(["remember", sys.argv[1], table])
    except SystemExit as end:
        assert not end.code, table
"""


def another_pid_namespace() -> list[str]:
    """What starts a process that sees none of the others; empty where that is not allowed."""
    command = ["unshare", "--pid", "--fork"]
    try:
        allowed = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    return command if allowed else []


@pytest.fixture
def classifier(tiny_encoder: Path) -> Classifier:
    classifier = Classifier(model=MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder))
    classifier.remember(["where is my card", "please refund me"], ["card", "refund"])
    return classifier


def test_no_lesson_of_many_processes_is_lost(classifier: Classifier, tmp_path: Path) -> None:
    """With two homes, by two paths, and where it is allowed two of them in another namespace of processes."""
    folder, link = tmp_path / "folder", tmp_path / "link"
    classifier.save_pretrained(folder)
    link.symlink_to(folder)
    tables = []
    for number in range(LESSONS):
        tables.append(tmp_path / f"{number}.csv")
        tables[-1].write_text(f"text,label\nlesson number {number},label {number % 7}\n")
    apart = another_pid_namespace()
    running = [
        subprocess.Popen(
            [*(apart if number % 2 else []), sys.executable, "-c", TEACHING, str((folder, link)[number // 2])]
            + [str(table) for table in tables[number::PROCESSES]],
            env={**os.environ, "HF_HOME": str(tmp_path / f"home-{number % 2}"), "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    ended = [(process.communicate()[1], process.returncode) for process in running]
    assert [status for _, status in ended] == [0] * PROCESSES, ended
    texts = {entry.text for entry in MANNForSequenceClassification.from_pretrained(folder).memory.entries}
    kept = sum(f"lesson number {number}" in texts for number in range(LESSONS))
    where = "two namespaces of processes" if apart else "one namespace of processes, as unshare is not allowed here"
    print(f"{kept} of {LESSONS} lessons of {PROCESSES} processes in {where} are kept")
    assert kept == LESSONS
    assert not list(folder.glob(".mann-*"))
