import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from mann_hf.errors import FolderChangedError, FolderError, MemoryFileError
from mann_hf.hub import folder_lock, saving
from mann_hf.hub.files import escapes_folder
from mann_hf.hub.saving import recover, whole_save, write_whole

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a child of this process")

Elsewhere = Callable[[Path], AbstractContextManager[None]]
KilledAt = Callable[[int, Callable[[], object], Path], bool]
OLD = {
    "config.json": "old",
    "model-00001-of-00002.safetensors": "old",
    "model-00002-of-00002.safetensors": "old",
    "model.safetensors.index.json": "old",
    "memory.safetensors": "old",
    "memory.json": "old",
    "tokenizer.json": "old",
    "notes.txt": "mine",
    "sub/mine.txt": "mine",
}
NEW = {
    "config.json": "new",
    "model.safetensors": "new",
    "memory.safetensors": "new",
    "memory.json": "new",
    "tokenizer.json": "new",
    "chat_templates/greeting.jinja": "new",
}
AFTER = NEW | {"notes.txt": "mine", "sub/mine.txt": "mine"}


def put(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def content(folder: Path) -> dict[str, str]:
    """The files of a folder, without what a save puts aside."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not str(path.relative_to(folder)).startswith(".mann-")
    }


def save(folder: Path, files: dict[str, str]) -> None:
    with whole_save(folder) as staging:
        put(staging, files)


def kills(
    killed_at: KilledAt, action: Callable[[Path], object], before: dict[str, str], tmp_path: Path
) -> Iterator[tuple[int, Path]]:
    """A folder for each moment at which the action can be killed, and the number of the moment."""
    for number in range(1, 200):
        folder = tmp_path / f"kill-{number}"
        put(folder, before)
        if not killed_at(number, lambda folder=folder: action(folder), folder):  # type: ignore[misc]
            return
        yield number, folder
    pytest.fail("the action does not end")


def test_a_save_replaces_what_it_writes_and_what_it_supersedes(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    save(tmp_path, NEW)
    assert content(tmp_path) == AFTER
    assert not list(tmp_path.glob(".mann-*"))


def test_a_save_makes_the_folder(tmp_path: Path) -> None:
    save(tmp_path / "a" / "b", NEW)
    assert content(tmp_path / "a" / "b") == NEW


def test_a_save_without_weights_leaves_the_weights(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    save(tmp_path, {"memory.json": "new"})
    assert content(tmp_path) == OLD | {"memory.json": "new"}


def put_odd(place: Path, kind: str) -> None:
    """Puts into a folder what is not what a save expects there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        place.mkdir()
        (place / "mine.txt").write_text("mine")
    elif kind == "file":
        place.write_text("mine")
    elif kind == "link":
        elsewhere = place.parent.parent / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        place.symlink_to(elsewhere, target_is_directory=True)
    else:
        place.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("config.json", "folder", "config.json in it is a folder, and a file"),
        ("memory.json", "folder", "memory.json in it is a folder, and a file"),
        ("model.safetensors.index.json", "folder", "model.safetensors.index.json in it is a folder"),
        ("owned.json", "folder", "owned.json in it is a folder"),
        ("chat_templates", "file", "chat_templates in it is a file, and a folder"),
        ("chat_templates", "dead link", "chat_templates in it is a link, and a folder"),
        ("chat_templates", "link", "chat_templates in it is a link, and a folder"),
        ("chat_templates/greeting.jinja", "folder", "chat_templates/greeting.jinja in it is a folder"),
        (".mann-committed", "file", ".mann-committed in it is a file"),
        (".mann-committed", "link", ".mann-committed in it is a link"),
    ],
)
def test_what_is_in_the_way_of_a_save_is_named_and_the_folder_stays_as_it_was(
    tmp_path: Path, name: str, kind: str, found: str
) -> None:
    folder = tmp_path / "folder"
    put(folder, {each: text for each, text in OLD.items() if each != name})
    put_odd(folder / name, kind)
    before = content(folder)
    with pytest.raises(FolderError, match=found) as caught, whole_save(folder, owned=["owned.json"]) as staging:
        put(staging, NEW)
    assert caught.value.file == name and str(folder) in str(caught.value)
    assert not recover(folder)
    assert content(folder) == before
    assert [path.name for path in folder.glob(".mann-*")] == ([name] if name.startswith(".mann-") else [])


@pytest.mark.parametrize("kind", ["file", "dead link", "link"])
def test_a_place_from_which_nothing_is_removed_may_be_odd(tmp_path: Path, kind: str) -> None:
    put_odd(tmp_path / "folder" / ".eval_results", kind)
    with whole_save(tmp_path / "folder", owned=[".eval_results/mann_hf.yaml"]) as staging:
        put(staging, NEW)
    assert (tmp_path / "folder" / "config.json").read_text() == "new"


def test_links_in_place_of_files_are_replaced_and_not_followed(tmp_path: Path) -> None:
    put(tmp_path, {"mine.txt": "mine", "folder/notes.txt": "mine"})
    for name in NEW:
        (tmp_path / "folder" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "folder" / name).symlink_to(tmp_path / "mine.txt")
    save(tmp_path / "folder", NEW)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert content(tmp_path / "folder") == NEW | {"notes.txt": "mine"}


def test_a_save_that_fails_changes_nothing(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    with pytest.raises(RuntimeError, match="disk"), whole_save(tmp_path) as staging:  # noqa: PT012
        put(staging, NEW)
        raise RuntimeError("the disk is full")
    assert content(tmp_path) == OLD
    assert not list(tmp_path.glob(".mann-*"))


@pytest.mark.parametrize("before", [OLD, {}], ids=["over-an-old-save", "first-save"])
def test_killed_at_any_moment_the_old_or_the_new_is_there_whole(
    tmp_path: Path, before: dict[str, str], killed_at: KilledAt
) -> None:
    seen = []
    for number, folder in kills(killed_at, lambda folder: save(folder, NEW), before, tmp_path):
        recover(folder)
        found = content(folder)
        assert found in (before, before | AFTER if before == {} else AFTER, NEW), f"a mixture after kill {number}"
        seen.append(found == before)
        save(folder, NEW | {"config.json": "newer"})
        assert content(folder) == (AFTER if before else NEW) | {"config.json": "newer"}, f"after kill {number}"
        assert not list(folder.glob(".mann-*")), f"left behind after kill {number}"
    assert True in seen and False in seen, "no kill came before, or none after, the save took hold"
    assert seen == sorted(seen, reverse=True), "an older save came back after a newer one"


def test_killed_at_any_moment_of_recovering_it_is_recovered_later(tmp_path: Path, killed_at: KilledAt) -> None:
    half = tmp_path / "half"
    put(half, OLD)
    number = next(
        number
        for number, folder in kills(killed_at, lambda folder: save(folder, NEW), OLD, tmp_path)
        if recover(folder)
    )
    assert killed_at(number, lambda: save(half, NEW), half)
    assert (half / saving.COMMITTED).is_dir()
    for number in range(1, 100):
        folder = tmp_path / f"recover-{number}"
        shutil.copytree(half, folder)
        through = not killed_at(number, lambda folder=folder: recover(folder), folder)  # type: ignore[misc]
        recover(folder)
        assert content(folder) == AFTER, f"after kill {number}"
        save(folder, OLD)
        if through:
            return
    pytest.fail("recovering does not end")


def test_a_commit_that_lost_its_manifest_is_no_obstacle(tmp_path: Path) -> None:
    """What is left when a process is killed while it removes the emptied folder of a commit."""
    put(tmp_path, AFTER)
    (tmp_path / saving.COMMITTED / "chat_templates").mkdir(parents=True)
    assert not recover(tmp_path)
    save(tmp_path, NEW)
    assert content(tmp_path) == AFTER
    assert not list(tmp_path.glob(".mann-*"))


@pytest.mark.parametrize("manifest", ["", "{", "[1]", '{"a": 1}', "null", '["../../outside.txt"]', '["/tmp/outside"]'])
def test_a_damaged_manifest_moves_nothing_out_of_the_folder(tmp_path: Path, manifest: str) -> None:
    """A folder may come from a stranger; what it holds must not be moved over other files."""
    folder = tmp_path / "a" / "folder"
    put(folder, OLD)
    put(tmp_path, {"outside.txt": "mine"})
    put(folder / saving.COMMITTED, {saving.MANIFEST: manifest})
    put(folder / saving.COMMITTED / "x", {"y": "theirs"})
    put(tmp_path / "a", {"outside.txt": "theirs"})
    with pytest.raises(MemoryFileError, match=f"{saving.COMMITTED} is not what.*remove it"):
        recover(folder)
    assert content(folder) == OLD
    assert (tmp_path / "outside.txt").read_text() == "mine"


NO_NAMES = ['["\\u0000"]', '["\\ud800"]', '[""]', '["."]', json.dumps(["x" * 5000]), json.dumps(["x/" * 2500])]


@pytest.mark.parametrize("manifest", ["[" * 100_000, *NO_NAMES], ids=lambda text: text[:12])
def test_a_manifest_of_nonsense(tmp_path: Path, manifest: str) -> None:
    put(tmp_path, OLD)
    put(tmp_path / saving.COMMITTED, {saving.MANIFEST: manifest, "x": "theirs"})
    with pytest.raises(MemoryFileError, match="is not what"):
        recover(tmp_path)
    assert content(tmp_path) == OLD


@pytest.mark.parametrize("action", [recover, lambda folder: save(folder, NEW)])
def test_links_of_a_stranger_lead_files_nowhere(action: Callable[[Path], object], tmp_path: Path) -> None:
    """Into a folder of the user's, out of it, or the whole of it."""
    mine = {"authorized_keys": "mine", saving.MANIFEST: '["authorized_keys"]'}
    for number, name in enumerate(("into", "out-of", "whole", "one")):
        folder, home = tmp_path / str(number) / "folder", tmp_path / str(number) / "home"
        put(folder, OLD)
        put(home, mine)
        committed, listed = folder / saving.COMMITTED, ["keys/authorized_keys"]
        if name == "into":
            (folder / "keys").symlink_to(home)
            put(committed / "keys", {"authorized_keys": "theirs"})
        elif name == "out-of":
            committed.mkdir()
            (committed / "keys").symlink_to(home)
        elif name == "whole":
            committed.symlink_to(home)
        else:
            committed.mkdir()
            (committed / "key").symlink_to(home / "authorized_keys")
            listed = ["key"]
        if name != "whole":
            put(committed, {saving.MANIFEST: json.dumps(listed)})
        with pytest.raises(MemoryFileError, match=f"{saving.COMMITTED} is not what"):
            action(folder)
        assert {path.name: path.read_text() for path in home.iterdir()} == mine, name
        assert content(folder)["config.json"] == "old", name


def test_a_folder_that_is_reached_by_a_link_is_saved_into(tmp_path: Path) -> None:
    put(tmp_path / "there", OLD)
    (tmp_path / "link").symlink_to(tmp_path / "there")
    save(tmp_path / "link", NEW | {"sub/new.txt": "new"})
    assert content(tmp_path / "there") == AFTER | {"sub/new.txt": "new"}


def test_what_dead_processes_left_is_swept(tmp_path: Path) -> None:
    put(tmp_path / f"{saving.STAGING}1-abc", {"model.safetensors": "half"})  # number 1 is alive in every namespace
    (tmp_path / f"{saving.STAGING}def").write_text("half")
    (tmp_path / "mine").mkdir()
    (tmp_path / f"{saving.STAGING}link").symlink_to(tmp_path / "mine")
    save(tmp_path, NEW)
    assert not list(tmp_path.glob(".mann-*"))
    assert (tmp_path / "mine").is_dir()


def test_a_file_that_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    living = tmp_path / f"{saving.STAGING}abc"
    with living.open("xb") as file:
        assert folder_lock.hold(file.fileno())
        save(tmp_path, NEW)
        assert living.exists()
    save(tmp_path, NEW)
    assert not living.exists()


def test_loading_clears_what_a_killed_save_left(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    put(tmp_path / f"{saving.STAGING}abc", {"memory.json": "forgotten"})
    assert not recover(tmp_path)
    assert content(tmp_path) == OLD and not list(tmp_path.glob(".mann-*"))


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path, elsewhere: Elsewhere) -> None:
    """Told by its lock: the process may be in another container, or on another machine."""
    put(tmp_path, OLD)
    with elsewhere(tmp_path):
        put(tmp_path / f"{saving.STAGING}abc", {"memory.json": "half"})
        assert not recover(tmp_path)
        assert (tmp_path / f"{saving.STAGING}abc").exists()


def test_what_an_earlier_process_of_our_number_left_is_swept(tmp_path: Path) -> None:
    """In a container the only process has the same number each time."""
    left = tmp_path / f"{saving.STAGING}{os.getpid()}-abc"
    put(left, {"model.safetensors": "half"})
    save(tmp_path, NEW)
    assert not left.exists()


def test_saves_of_one_process_side_by_side(tmp_path: Path) -> None:
    with whole_save(tmp_path) as outer:
        put(outer, NEW)
        save(tmp_path, OLD)
        assert content(tmp_path) == OLD
    assert content(tmp_path) == AFTER | {"sub/mine.txt": "mine"}


@pytest.mark.parametrize("action", [recover, lambda folder: save(folder, NEW)])
def test_who_reads_or_saves_waits_for_others_who_move_files(
    action: Callable[[Path], object], tmp_path: Path, elsewhere: Elsewhere
) -> None:
    committed = tmp_path / saving.COMMITTED
    put(committed, OLD | {saving.MANIFEST: json.dumps(list(OLD))})
    with elsewhere(tmp_path):
        thread = threading.Thread(target=action, args=(tmp_path,))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and committed.exists()
        assert not (tmp_path / "config.json").exists()
    thread.join(10)
    assert not thread.is_alive()
    assert content(tmp_path)["config.json"] == ("old" if action is recover else "new")


def test_a_folder_that_is_removed_or_replaced_while_it_is_saved_into(tmp_path: Path) -> None:
    for number, moment in enumerate(("before", "during")):
        folder = tmp_path / str(number)
        put(folder, OLD)
        with pytest.raises(FolderChangedError, match="removed or replaced"), whole_save(folder) as staging:  # noqa: PT012
            if moment == "during":
                put(staging, NEW)
            shutil.rmtree(folder)
            folder.mkdir()
            if moment == "before":
                put(staging, NEW)
        assert not (folder / "config.json").exists()


def test_of_a_folder_that_is_removed_one_error_is_told(tmp_path: Path) -> None:
    """Not first that of a library that could not write there."""
    folder = tmp_path / "folder"
    with pytest.raises(FolderChangedError, match="removed or replaced") as caught, whole_save(folder) as staging:  # noqa: PT012
        shutil.rmtree(folder)
        save_file({"a": torch.zeros(1)}, staging / "model.safetensors")
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_files_that_are_removed_while_they_are_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = saving._finish

    def finish_and_lose(folder: Path) -> bool:
        found = finish(folder)
        (folder / "model.safetensors").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(saving, "_finish", finish_and_lose)
    with pytest.raises(FolderChangedError):
        save(tmp_path, NEW)


def test_files_that_a_save_owns_go_with_it(tmp_path: Path, killed_at: KilledAt) -> None:
    """At the same stroke as the others come."""

    def without_tokenizer(folder: Path) -> None:
        with whole_save(folder, owned=["tokenizer.json", "config.json", "not-there"]) as staging:
            put(staging, {"config.json": "new"})

    after = {name: content for name, content in OLD.items() if name != "tokenizer.json"} | {"config.json": "new"}
    for number, folder in kills(killed_at, without_tokenizer, OLD, tmp_path):
        recover(folder)
        assert content(folder) in (OLD, after), f"a mixture after kill {number}"
    without_tokenizer(folder)
    assert content(folder) == after


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(NotADirectoryError, match="is a file; give a folder"), whole_save(file):
        pytest.fail("there is nowhere to save to")
    assert file.read_text() == "mine"


def test_files_can_be_read_by_whom_files_made_here_can_be_read_by(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with whole_save(tmp_path / "folder") as staging:
        put(staging, NEW)
        (staging / "model.safetensors").chmod(0o600)
    modes = {path.stat().st_mode for path in (tmp_path / "folder").rglob("*") if path.is_file()}
    assert modes == {(tmp_path / "mine").stat().st_mode}


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A folder that its reader may not change; see `as_reader`."""
    top = Path(tempfile.mkdtemp(prefix="mann_hf-locked-"))
    folder = top / "folder"
    put(folder, OLD)
    for path in (top, folder, folder / "sub"):
        path.chmod(0o555)
    yield folder
    for path in (top, folder, folder / "sub"):
        path.chmod(0o755)
    shutil.rmtree(top)


def as_reader(action: Callable[[], object]) -> str:
    """What an action raises in a child that has no rights of its own, as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = "nothing"
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            action()
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode()


def test_saving_into_a_folder_that_may_not_be_written(locked_folder: Path) -> None:
    told = as_reader(lambda: save(locked_folder, NEW))
    assert told.startswith(f"FolderNotWritableError: {locked_folder} may not be written to (Permission denied)")
    assert "save to another folder" in told and ".mann-" not in told
    below = as_reader(lambda: save(locked_folder / "new", NEW))
    assert below.startswith(f"FolderNotWritableError: {locked_folder / 'new'} may not be written to")
    assert content(locked_folder) == OLD
    assert not list(locked_folder.glob(".mann-*"))


def test_a_part_of_a_folder_that_may_not_be_written(locked_folder: Path) -> None:
    locked_folder.chmod(0o777)
    told = as_reader(lambda: save(locked_folder, NEW | {"sub/mine.txt": "new"}))
    assert told.startswith(f"FolderNotWritableError: {locked_folder} may not be written to (sub/mine.txt there")
    locked_folder.chmod(0o1777)  # where only owners remove files
    told = as_reader(lambda: save(locked_folder, NEW))
    if os.geteuid() == 0:  # else the files are this user's own
        assert told.startswith("FolderNotWritableError") and "another user's" in told
        assert content(locked_folder) == OLD
    assert not list(locked_folder.glob(".mann-*"))


def test_a_full_disk(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    full = SafetensorError('Error while serializing: I/O error: No space left on device (os error 28) at path "x"')
    for error in (full, OSError(28, "No space left on device", str(tmp_path / ".mann-staging-1" / "memory.json"))):
        with pytest.raises(OSError, match="No space left.*nothing was saved") as caught, whole_save(tmp_path):
            raise error
        assert caught.value.filename == str(tmp_path)
    assert content(tmp_path) == OLD


def test_loading_from_a_folder_that_may_not_be_written(locked_folder: Path) -> None:
    assert as_reader(lambda: recover(locked_folder)) == "nothing"
    locked_folder.chmod(0o755)
    put(locked_folder / f"{saving.STAGING}abc", {"memory.json": "half"})
    put(locked_folder / saving.COMMITTED, NEW | {saving.MANIFEST: json.dumps(list(NEW))})
    locked_folder.chmod(0o555)
    assert as_reader(lambda: recover(locked_folder)) == "nothing"
    (locked_folder / saving.COMMITTED / "config.json").unlink()  # as if it were in place
    assert "stopped halfway" in as_reader(lambda: recover(locked_folder))


def test_one_file_at_one_stroke(tmp_path: Path, killed_at: KilledAt) -> None:
    file = tmp_path / "memory.safetensors"
    seen = set()
    for number in range(1, 20):
        file.write_bytes(b"old")
        if not killed_at(number, lambda: write_whole(file, b"new" * 1000), tmp_path):
            break
        seen.add(file.read_bytes())
    assert seen <= {b"old", b"new" * 1000} and b"old" in seen
    assert file.read_bytes() == b"new" * 1000


def test_one_file_that_cannot_be_put_in_place(tmp_path: Path) -> None:
    (tmp_path / "memory.json").mkdir()
    with pytest.raises(OSError, match="memory.json"):
        write_whole(tmp_path / "memory.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["memory.json"]


def test_the_manifest_is_no_part_of_what_is_saved(tmp_path: Path) -> None:
    with whole_save(tmp_path) as staging:
        put(staging, NEW)
    assert saving.MANIFEST not in json.dumps(content(tmp_path))


def test_links_that_lead_out_of_their_folder(tmp_path: Path) -> None:
    (tmp_path / "private").write_text("mine")
    folder = tmp_path / "models--me--x" / "snapshots" / "0123" / "sub"
    blobs = tmp_path / "models--me--x" / "blobs"
    for place in (folder, blobs):
        place.mkdir(parents=True)
        (place / "file").touch()
    for name, target in {"out": tmp_path / "private", "within": folder / "file", "cached": blobs / "file"}.items():
        (folder / name).symlink_to(target)
    (folder / "chain").symlink_to(folder / "out")
    (tmp_path / "linked").symlink_to(folder)
    told = {name: escapes_folder(folder / name) for name in ("file", "out", "within", "cached", "chain", "absent")}
    assert [name for name, out in told.items() if out] == ["out", "chain"]
    assert not escapes_folder(tmp_path / "linked" / "file") and escapes_folder(tmp_path / "linked" / "out")
