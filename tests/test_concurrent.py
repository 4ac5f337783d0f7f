"""Many writers of one folder, and many that are killed: nothing is lost, and what is forgotten is gone."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import transformers

from mann_hf import MANNForSequenceClassification
from mann_hf.cli import app
from mann_hf.hub.folder_lock import LOCK
from mann_hf.hub.saving import COMMITTED, recover
from mann_hf.pipelines import FewShotTextClassificationPipeline as Classifier

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children of this process")]

ROOT = Path(__file__).parents[1]
SECRET, LABEL = "my quartz zebra is lost", "oncology_patient"
NAME = "intents"
"""Of every folder, as it is in the card."""
KilledAt = Callable[[int, Callable[[], object], Path], bool]
KILLS = 1000
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


def kill_in_time(seconds: float, action: Callable[[], object]) -> bool:
    """Runs an action in a child that is killed after a time, wherever it is; False if it got through."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            action()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def content(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_told(files: dict[str, bytes]) -> bool:
    """Whether a file holds what was forgotten."""
    return any(word.encode() in content for word in (SECRET, LABEL) for content in files.values())


def test_killed_at_any_moment_a_folder_is_old_or_new_and_what_is_forgotten_is_gone(
    classifier: Classifier, tmp_path: Path, killed_at: KilledAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # processes are killed, not the machine
    # A bar's lock is shared with forked children, and stays held where one is killed that has it.
    monkeypatch.setattr(transformers.utils.logging, "_tqdm_active", False)
    old, half = tmp_path / "old" / NAME, tmp_path / "half" / NAME
    classifier.remember([SECRET], [LABEL])
    classifier.save_pretrained(old)
    forgetful = classifier.with_own_memory()
    forgetful.forget(label=LABEL)
    shutil.copytree(old, half)
    moments = (number for number in count(1) if killed_at(number, lambda: forgetful.save_pretrained(half), half))
    while not (half / COMMITTED).exists():  # a save that was stopped once it was whole
        next(moments)

    def shell(folder: Path) -> None:
        with pytest.raises(SystemExit):
            app(["forget", str(folder), "--label", LABEL])

    actions: dict[str, tuple[Path, int, Callable[[Path], object]]] = {
        "shell": (old, 40, shell),
        "memory": (old, 340, lambda folder: forgetful.save_memory(folder)),
        "model": (old, 300, lambda folder: forgetful.save_pretrained(folder)),
        "model without card": (old, 220, lambda folder: forgetful.save_pretrained(folder, create_model_card=False)),
        "load": (half, 100, lambda folder: recover(folder)),
    }
    assert sum(kills for _, kills, _ in actions.values()) == KILLS
    found: Counter[str] = Counter()
    for name, (before, kills, action) in actions.items():
        whole = tmp_path / name / NAME
        shutil.copytree(before, whole)
        action(whole)
        new = content(whole)
        assert is_told(content(old)) and not is_told(new)
        for number, folder in enumerate(killed_folders(before, action, kills, tmp_path / f"{name}, killed", killed_at)):
            if number % 20:
                recover(folder)  # as every load does first
            else:
                MANNForSequenceClassification.from_pretrained(folder)
            (folder / LOCK).unlink(missing_ok=True)
            is_old = content(folder) == content(old)
            assert is_old or content(folder) == new, (name, folder)
            if is_old:
                forgetful.save_memory(folder)
                assert not is_told(content(folder)), (name, folder)
            assert not list(folder.glob(".mann-*"))
            found[f"{name}, {'old' if is_old else 'new'}"] += 1
            shutil.rmtree(folder)
    print(f"{found.total()} kills: {dict(found)}")
    assert found.total() == KILLS
    assert all(found[f"{name}, new"] for name in actions) and not found["load, old"]
    assert all(found[f"{name}, old"] for name in actions if name != "load")


def killed_folders(
    before: Path, action: Callable[[Path], object], wanted: int, place: Path, killed_at: KilledAt
) -> Iterator[Path]:
    """Folders in which an action was killed: before each of its changes in turn, and as often at a random time."""
    chance, longest, moment, done = random.Random(0), 0.0, 0, 0
    for number in count():
        folder = place / str(number) / NAME
        shutil.copytree(before, folder)

        def act(folder: Path = folder) -> None:
            action(folder)

        if done % 2 and longest:
            killed = kill_in_time(chance.uniform(0, longest), act)
        else:
            moment, start = moment + 1, time.perf_counter()
            killed = killed_at(moment, act, folder)
            if not killed:  # it got through, so that its length is known now
                moment, longest = 0, time.perf_counter() - start
        if killed:
            done += 1
            yield folder
        if done == wanted:
            return
