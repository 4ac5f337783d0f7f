import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from mann_hf.errors import InvalidInputError, MemoryFileError
from mann_hf.hub.files import MEMORY_FILE
from mann_hf.hub.source import Source
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from mann_hf.models import LabelledMemory
from mann_hf.persistent.entries import Example
from mann_hf.persistent.file_entries import READABLE_FILE
from mann_hf.persistent.labelled_files import FORMAT, VERSION, memory_bytes
from mann_hf.persistent.memory_files import load_memory, save_memory
from mann_hf.persistent.memory_sources import find_memory

K = 4
LABELS: dict[str, list] = {
    SINGLE_LABEL: ["red", "Blå\u2028", "red", "3"],
    MULTI_LABEL: [("red", "blue"), ("blue",), ("3", "red"), ("blue", "red")],
    REGRESSION: [(0.1, -1e300 * 1e-280), (3.0, 0.0), (-0.5, 1e-30), (7.0, 2.5)],
}


def empty(problem_type: str = SINGLE_LABEL, **kwargs: Any) -> LabelledMemory:
    return LabelledMemory.empty(K, problem_type, 2 if problem_type == REGRESSION else 0, **kwargs)


def marked(memory: LabelledMemory) -> LabelledMemory:
    """With the mark that an encoder leaves."""
    return replace(memory, probe=torch.randn(3, K), encoder_name="someone/encoder")


def taught(problem_type: str = SINGLE_LABEL, **kwargs: Any) -> LabelledMemory:
    """A memory with every field set to something that is not its default."""
    memory = empty(problem_type, **kwargs)
    labels = LABELS[problem_type]
    keys = torch.randn(4, K, generator=torch.Generator().manual_seed(1))
    names = {"red": torch.randn(K), "blue": torch.randn(K)} if problem_type != REGRESSION else {}
    texts = ["a\ttext", 'with "quotes" and \u0000', "日本語 🎉", ""]
    kinds: list = ["example", "example", "description", "example"]
    memory, _ = memory.remember(keys, list(map(Example, labels, texts, kinds)), names)
    return marked(memory.used(torch.rand(2, len(memory))))


def damaged(tmp_path: Path, problem_type: str = SINGLE_LABEL, **changes: Any) -> Path:
    """A memory file with tensors replaced, and with the contents as `described(dict)` leaves them."""
    save_memory(taught(problem_type), tmp_path)
    path = tmp_path / MEMORY_FILE
    tensors = load_file(path)
    change = changes.pop("described", None)
    metadata = changes.pop("metadata", {"format": f"{FORMAT}/{VERSION}"})
    if change is not None:
        contents = json.loads(tensors["contents"].numpy().tobytes())
        changed = change(contents)
        text = changed if isinstance(changed, str) else json.dumps(contents if changed is None else changed)
        tensors["contents"] = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor(tensors.get(name)) if callable(tensor) else tensor
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata)
    return path


@pytest.mark.parametrize("problem_type", LABELS)
@pytest.mark.parametrize("limits", [{}, {"capacity": 3, "eviction": "kaiser"}])
def test_a_memory_comes_back_bit_for_bit(
    problem_type: str, limits: dict, tmp_path: Path, assert_same_memory: Callable
) -> None:
    memory = taught(problem_type, **limits)
    save_memory(memory, tmp_path)
    again = load_memory(tmp_path / MEMORY_FILE)
    assert_same_memory(memory, again)
    assert again.rules.capacity == memory.rules.capacity
    assert again.rules.eviction_name == memory.rules.eviction_name
    assert again.encoder_name == "someone/encoder"
    assert memory.probe is not None and again.probe is not None
    assert torch.equal(memory.probe, again.probe)
    save_memory(again, tmp_path / "again")
    for name in (MEMORY_FILE, READABLE_FILE):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("problem_type", LABELS)
def test_an_empty_memory_comes_back(problem_type: str, tmp_path: Path, assert_same_memory: Callable) -> None:
    memory = empty(problem_type)
    save_memory(memory, tmp_path)
    again = load_memory(tmp_path / MEMORY_FILE)
    assert_same_memory(memory, again)
    assert again.probe is None and again.encoder_name is None


def test_the_same_memory_gives_the_same_file_whatever_it_went_through(tmp_path: Path) -> None:
    plain, _ = marked(empty()).remember(torch.eye(K)[:1], [Example("x", "a")], {"x": torch.ones(K)})
    other, ids = plain.remember(torch.eye(K)[1:3], list(map(Example, ["y", "x"], ["b", "c"])), {"y": torch.ones(K)})
    save_memory(plain, tmp_path / "plain")
    save_memory(other.forget(ids), tmp_path / "other")
    for name in (MEMORY_FILE, READABLE_FILE):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_what_has_forgotten_everything_is_as_new(tmp_path: Path) -> None:
    for problem_type in LABELS:
        memory = taught(problem_type, capacity=9)
        save_memory(memory.forget([entry.id for entry in memory.entries]), tmp_path / "other")
        save_memory(empty(problem_type, capacity=9), tmp_path / "plain")
        assert (tmp_path / "plain" / MEMORY_FILE).read_bytes() == (tmp_path / "other" / MEMORY_FILE).read_bytes()


def test_saves_give_the_same_bytes(tmp_path: Path) -> None:
    memory = taught()
    written = set()
    for _ in range(8):
        save_memory(memory, tmp_path)
        written.add((tmp_path / MEMORY_FILE).read_bytes())
    assert len(written) == 1


def test_the_bytes_of_the_file_can_be_had_without_one(tmp_path: Path) -> None:
    memory = taught()
    save_memory(memory, tmp_path)
    assert memory_bytes(memory) == (tmp_path / MEMORY_FILE).read_bytes()


def test_the_readable_copy_says_what_the_memory_holds(tmp_path: Path) -> None:
    memory = taught()
    save_memory(memory, tmp_path)
    told = json.loads((tmp_path / READABLE_FILE).read_text(encoding="utf-8"))
    assert told == json.loads(load_file(tmp_path / MEMORY_FILE)["contents"].numpy().tobytes())
    assert told["labels"] == ["red", "Blå\u2028", "3"]
    assert told["labels_with_names"] == ["red"]
    assert told["encoder"]["name"] == "someone/encoder" and told["encoder"]["key_size"] == K
    assert told["encoder"]["fingerprint"]
    assert [entry["text"] for entry in told["entries"]] == [entry.text for entry in memory.entries]
    assert [entry["id"] for entry in told["entries"]] == memory.state.ids[0].tolist()
    assert [entry["kind"] for entry in told["entries"]] == ["example", "example", "description", "example"]
    assert "日本語" in (tmp_path / READABLE_FILE).read_text(encoding="utf-8"), "written for people to read"


def test_the_readable_copy_is_never_read(tmp_path: Path, assert_same_memory: Callable) -> None:
    memory = taught()
    save_memory(memory, tmp_path)
    (tmp_path / READABLE_FILE).write_text("nonsense")
    assert_same_memory(memory, load_memory(tmp_path / MEMORY_FILE))
    (tmp_path / READABLE_FILE).unlink()
    assert_same_memory(memory, load_memory(tmp_path / MEMORY_FILE))


def test_fingerprints_differ_between_encoders(tmp_path: Path) -> None:
    told = []
    for folder in ("one", "two"):
        save_memory(taught(), tmp_path / folder)  # another random probe each time
        told.append(json.loads((tmp_path / folder / READABLE_FILE).read_text())["encoder"]["fingerprint"])
    assert told[0] != told[1]


def test_texts_that_are_not_stored_are_in_neither_file(tmp_path: Path) -> None:
    memory, _ = marked(empty()).remember(torch.eye(K)[:1], [Example("x", "a secret text")], store_texts=False)
    save_memory(memory, tmp_path)
    for name in (MEMORY_FILE, READABLE_FILE):
        assert b"secret" not in (tmp_path / name).read_bytes()
    assert load_memory(tmp_path / MEMORY_FILE).entries[0].text is None


def test_saving_finishes_what_a_stopped_save_left(tmp_path: Path, assert_same_memory: Callable) -> None:
    """Else loading would put the older memory over the newer one."""
    committed = tmp_path / ".mann-committed"
    save_memory(empty(), committed)
    (committed / "manifest.json").write_text(json.dumps([MEMORY_FILE, READABLE_FILE]))
    save_memory(taught(), tmp_path)
    assert len(load_memory(tmp_path / MEMORY_FILE)) == 4
    assert not committed.exists()


def test_saving_sweeps_what_a_killed_save_left(tmp_path: Path) -> None:
    left = tmp_path / ".mann-staging-999999999-abc"
    left.write_bytes(b"half")
    save_memory(taught(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [READABLE_FILE, MEMORY_FILE]


def test_saving_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        save_memory(taught(), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def whole(tmp_path: Path) -> bytes:
    save_memory(taught(), tmp_path)
    return (tmp_path / MEMORY_FILE).read_bytes()


@pytest.mark.parametrize(
    "hurt",
    [
        lambda whole: b"",
        lambda whole: whole[:4],
        lambda whole: whole[:8],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole + b"more",
        lambda whole: random.Random(2).randbytes(4096),
        lambda whole: bytes(4096),
        lambda whole: struct.pack("<Q", 2**60) + whole[8:],
        lambda whole: struct.pack("<Q", 2**40) + whole[8:],
        lambda whole: struct.pack("<Q", 50_000_000) + b"{" * 100,
        lambda whole: struct.pack("<Q", 2) + b"{}",
        lambda whole: struct.pack("<Q", 4) + b"null",
        lambda whole: b'{"keys": [[1, 2, 3, 4]]}',
        lambda whole: b"PK\x03\x04" + whole,
        lambda whole: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        lambda whole: whole.replace(FORMAT.encode(), FORMAT.encode()[::-1], 1),
        lambda whole: whole.replace(b'"F32"', b'"F16"', 1),
        lambda whole: whole.replace(b'"I64"', b'"U16"', 1),
    ],
    ids=lambda hurt: "",
)
def test_a_damaged_file_is_refused(hurt: Callable[[bytes], bytes], tmp_path: Path) -> None:
    content = whole(tmp_path)
    assert hurt(content) != content
    (tmp_path / MEMORY_FILE).write_bytes(hurt(content))
    with pytest.raises(MemoryFileError, match=MEMORY_FILE) as told:
        load_memory(tmp_path / MEMORY_FILE)
    assert len(str(told.value)) < 1000


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("memory.json", b'{\n "format": "mann_hf.memory"}', "its copy for people to read"),
        ("config.json", b'{\n "model_type": "mann"}', "not the file of a memory"),
        ("README.md", b"# A card of a model", "not the file of a memory"),
        ("model.safetensors", save({"weight": torch.zeros(2)}), "holds no memory"),
    ],
)
def test_another_file_is_not_called_damaged(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MemoryFileError, match=f"{said}.*Give the folder of a memory, or the file memory.safetensors"):
        load_memory(tmp_path / name)


def test_no_single_damaged_byte_gives_another_error(tmp_path: Path) -> None:
    content = whole(tmp_path)
    path = tmp_path / MEMORY_FILE
    generator = random.Random(3)
    for _ in range(300):
        place = generator.randrange(len(content))
        hurt = bytearray(content)
        hurt[place] ^= 1 << generator.randrange(8)
        path.write_bytes(hurt)
        try:
            load_memory(path)
        except MemoryFileError:
            continue


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MemoryFileError, match="no memory at .*memory.safetensors"):
        load_memory(tmp_path / MEMORY_FILE)
    (tmp_path / MEMORY_FILE).mkdir()
    with pytest.raises(MemoryFileError, match=MEMORY_FILE):
        load_memory(tmp_path / MEMORY_FILE)


def test_what_is_no_file_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs" / MEMORY_FILE).mkdir(parents=True)
    for optional in (True, False):
        with pytest.raises(MemoryFileError, match="is refused: it is a folder, or a link"):
            find_memory(Source.of(tmp_path / "theirs"), optional=optional)
    (tmp_path / "private").write_text("mine")
    (tmp_path / "theirs" / MEMORY_FILE).rmdir()
    (tmp_path / "theirs" / MEMORY_FILE).symlink_to(tmp_path / "private")
    for optional in (True, False):
        with pytest.raises(MemoryFileError, match="or a link out of its folder"):
            find_memory(Source.of(tmp_path / "theirs"), optional=optional)
    assert find_memory(Source.of(tmp_path / "theirs" / MEMORY_FILE), optional=False)  # a file that the user names


def test_weights_are_no_memory(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / MEMORY_FILE, metadata={"format": "pt"})
    with pytest.raises(MemoryFileError, match=f"holds no memory.*{FORMAT}"):
        load_memory(tmp_path / MEMORY_FILE)
    save_file({"weight": torch.ones(2)}, tmp_path / MEMORY_FILE)
    with pytest.raises(MemoryFileError, match="holds no memory"):
        load_memory(tmp_path / MEMORY_FILE)


def test_a_later_version_is_named(tmp_path: Path) -> None:
    path = damaged(tmp_path, metadata={"format": f"{FORMAT}/7"})
    with pytest.raises(MemoryFileError, match="version '7'.*reads '1'.*newer release"):
        load_memory(path)


def _set(*path: Any, to: Any) -> Callable[[dict], None]:
    def change(contents: Any) -> None:
        for step in path[:-1]:
            contents = contents[step]
        contents[path[-1]] = to

    return change


def _drop(*path: Any) -> Callable[[dict], None]:
    def change(contents: Any) -> None:
        for step in path[:-1]:
            contents = contents[step]
        del contents[path[-1]]

    return change


MALICIOUS: dict[str, Any] = {
    "not json": lambda c: "{",
    "not utf-8": lambda c: "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
    "empty": lambda c: " ",
    "a list": lambda c: [1],
    "null": lambda c: "null",
    "a number": lambda c: "7",
    "deeply nested": lambda c: "[" * 200_000,
    "deeply nested label": lambda c: json.dumps(c).replace('"red"', "[" * 900 + "]" * 900, 1),
    "a huge number": lambda c: json.dumps(c).replace('"value_size": 3', '"value_size": ' + "9" * 6000),
    "no problem type": _drop("problem_type"),
    "unknown problem type": _set("problem_type", to="ranking"),
    "problem type of another type": _set("problem_type", to=["regression"]),
    "other problem type": _set("problem_type", to=MULTI_LABEL),
    "regression with names": _set("problem_type", to=REGRESSION),
    "unknown eviction": _set("eviction", to="random"),
    "eviction of another type": _set("eviction", to={"a": 1}),
    "capacity 0": _set("capacity", to=0),
    "capacity below what is stored": _set("capacity", to=2),
    "negative capacity": _set("capacity", to=-3),
    "capacity as text": _set("capacity", to="5"),
    "capacity with a fraction": _set("capacity", to=5.5),
    "capacity true": _set("capacity", to=True),
    "negative key size": _set("encoder", "key_size", to=-4),
    "other key size": _set("encoder", "key_size", to=5),
    "huge key size": _set("encoder", "key_size", to=10**18),
    "key size as a list": _set("encoder", "key_size", to=[4]),
    "encoder as text": _set("encoder", to="someone/encoder"),
    "encoder name as a dict": _set("encoder", "name", to={"a": 1}),
    "huge value size": _set("value_size", to=10**12),
    "negative value size": _set("value_size", to=-1),
    "value size too large": _set("value_size", to=4),
    "labels as text": _set("labels", to="red"),
    "labels with a number": _set("labels", 2, to=3),
    "labels with a list": _set("labels", 0, to=["red"]),
    "label twice": _set("labels", 1, to="red"),
    "label too many": lambda c: c["labels"].append("green"),
    "label missing": lambda c: c["labels"].pop(),
    "no labels": _set("labels", to=None),
    "entries as a dict": _set("entries", to={"id": 1}),
    "entry missing": lambda c: c["entries"].pop(),
    "entry too many": lambda c: c["entries"].append(c["entries"][0]),
    "entry as a list": _set("entries", 0, to=[1, 2]),
    "entry without text": _drop("entries", 0, "text"),
    "text as a number": _set("entries", 0, "text", to=5),
    "text as a list": _set("entries", 0, "text", to=["a"]),
    "half a surrogate pair": _set("entries", 0, "text", to="\ud800"),
    "id as text": lambda c: c["entries"][0].update(id=str(c["entries"][0]["id"])),
    "id with a fraction": lambda c: c["entries"][0].update(id=c["entries"][0]["id"] + 0.5),
    "id true": _set("entries", 0, "id", to=True),
    "id twice": lambda c: c["entries"][1].update(id=c["entries"][0]["id"]),
    "huge id": _set("entries", 0, "id", to=2**70),
    "entry's label unknown": _set("entries", 0, "label", to="green"),
    "entry's label a number": _set("entries", 0, "label", to=3),
    "entry's label a dict": _set("entries", 0, "label", to={"red": 1}),
    "entry's label a list": _set("entries", 0, "label", to=["red"]),
    "entry's label null": _set("entries", 0, "label", to=None),
    "entry's label true": _set("entries", 0, "label", to=True),
    "a name among the entries": _set("entries", 0, "kind", to="name"),
    "kind as a list": _set("entries", 0, "kind", to=["example"]),
    "no kind": _drop("entries", 0, "kind"),
    "names of nothing": _set("labels_with_names", to=["red", "3"]),
    "names of unknown labels": _set("labels_with_names", to=["green"]),
    "names as text": _set("labels_with_names", to="r"),
    "names as a list in a list": _set("labels_with_names", to=[["red"]]),
    "names as a number": _set("labels_with_names", to=7),
}


@pytest.mark.parametrize("change", MALICIOUS.values(), ids=MALICIOUS)
def test_contents_that_no_memory_has_are_refused(change: Callable, tmp_path: Path) -> None:
    path = damaged(tmp_path, described=change)
    with pytest.raises(MemoryFileError, match=MEMORY_FILE) as told:
        load_memory(path)
    assert len(str(told.value)) < 1000


BAD_TENSORS: dict[str, dict[str, Any]] = {
    "NaN keys": {"keys": lambda t: t.index_fill(1, torch.tensor([1]), float("nan"))},
    "infinite keys": {"keys": lambda t: t * float("inf")},
    "keys beyond float32": {"keys": lambda t: t.double() * 1e300},
    "whole-number keys": {"keys": lambda t: t.long()},
    "too few keys": {"keys": lambda t: t[:2]},
    "keys in one row": {"keys": lambda t: t.flatten()},
    "no keys": {"keys": None},
    "no contents": {"contents": None},
    "contents of another type": {"contents": lambda t: t.float()},
    "NaN usage": {"usage": lambda t: t * float("nan")},
    "negative usage": {"usage": lambda t: t - 100},
    "no usage": {"usage": None},
    "negative ages": {"age": lambda t: t - 100},
    "ages as floats": {"age": lambda t: t.float()},
    "write count 0": {"write_count": lambda t: t * 0},
    "write counts as floats": {"write_count": lambda t: t.float() + 0.5},
    "ids of another order": {"ids": lambda t: t.flip(0)},
    "ids as floats": {"ids": lambda t: t.double()},
    "ids twice": {"ids": lambda t: t * 0 + t[0]},
    "no ids": {"ids": None},
    "NaN names": {"name_keys": lambda t: t * float("nan")},
    "names of another size": {"name_keys": lambda t: torch.cat([t, t], dim=1)},
    "no names": {"name_keys": None},
    "a NaN probe": {"encoder_probe": lambda t: t * float("nan")},
    "a probe of another size": {"encoder_probe": lambda t: torch.cat([t, t], dim=1)},
    "a probe of one number": {"encoder_probe": lambda t: t[0, 0]},
    "an empty probe": {"encoder_probe": lambda t: t[:0]},
    "no probe": {"encoder_probe": None},
}


@pytest.mark.parametrize("tensors", BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_tensors_that_no_memory_has_are_refused(tensors: dict, tmp_path: Path) -> None:
    path = damaged(tmp_path, **tensors)
    with pytest.raises(MemoryFileError, match=MEMORY_FILE):
        load_memory(path)


@pytest.mark.parametrize("label", [["red", "red"], ["red", 3], "red", [["red"]], {"red": 1}])
def test_lists_of_labels_that_no_memory_has_are_refused(label: object, tmp_path: Path) -> None:
    path = damaged(tmp_path, MULTI_LABEL, described=_set("entries", 3, "label", to=label))
    with pytest.raises(MemoryFileError, match=MEMORY_FILE):
        load_memory(path)


def test_a_description_of_no_label_is_refused(tmp_path: Path) -> None:
    def change(described: dict) -> None:
        described["entries"][3] |= {"label": [], "kind": "description"}

    path = damaged(tmp_path, MULTI_LABEL, described=change)
    with pytest.raises(MemoryFileError, match="description"):
        load_memory(path)


@pytest.mark.parametrize(
    "label",
    [[1.0], [1.0] * 3, [], "re", None, ["a", "b"], [True, False], 7.0, [float("nan"), 1], [1e300, 1], [10**400, 1]],
    ids=lambda label: str(label)[:20],
)
def test_numbers_that_no_memory_has_are_refused(label: object, tmp_path: Path) -> None:
    path = damaged(tmp_path, REGRESSION, described=_set("entries", 3, "label", to=label))
    with pytest.raises(MemoryFileError, match=MEMORY_FILE):
        load_memory(path)


def planted(path: Path, contents: bytes, entries: int = 0, **tensors: torch.Tensor) -> Path:
    """A memory file with these contents, and keys of one number."""
    numbers = torch.arange(entries)
    every = {
        "keys": torch.zeros(entries, 1),
        "usage": torch.zeros(entries),
        "age": torch.zeros_like(numbers),
        "write_count": torch.ones_like(numbers),
        "ids": numbers,
        "encoder_probe": torch.zeros(1, 1),
        "contents": torch.frombuffer(bytearray(contents), dtype=torch.uint8),
    }
    save_file(every | tensors, path, metadata={"format": f"{FORMAT}/{VERSION}"})
    return path


def described(count: int, labels: list[str], **fields: Any) -> bytes:
    """Contents of a file whose entries have the labels in turn."""
    told = {
        "problem_type": SINGLE_LABEL,
        "encoder": {"name": None, "key_size": 1},
        "capacity": None,
        "eviction": "least_recently_used",
        "value_size": len(labels),
        "labels": labels,
        "labels_with_names": [],
        "entries": [
            {"id": number, "label": labels[number % len(labels)], "text": None, "kind": "example"}
            for number in range(count)
        ],
    }
    return json.dumps(told | fields, separators=(",", ":")).encode()


def in_a_list(value: str, count: int) -> bytes:
    """Contents of a file with a value many times in place of the entries."""
    return described(1, ["a"], entries="X").replace(b'"X"', f"[{','.join([value] * count)}]".encode())


SIZE = 4_000_000
FEW = [f"l{number}" for number in range(30_000)]
HOSTILE: dict[str, Callable[[Path], Path]] = {
    "a label for each entry": lambda path: planted(path, described(34_000, [str(n) for n in range(34_000)]), 34_000),
    "a label for each entry, as few as may be": lambda path: planted(path, described(30_000, FEW), 30_000),
    "empty lists": lambda path: planted(path, in_a_list("[]", SIZE // 3)),
    "empty objects": lambda path: planted(path, in_a_list("{}", SIZE // 3)),
    "small objects": lambda path: planted(path, in_a_list('{"":0}', SIZE // 7)),
    "signs in strings": lambda path: planted(path, in_a_list('"["', SIZE // 4)),
    "short strings": lambda path: planted(path, in_a_list('"ab"', SIZE // 5)),
    "numbers": lambda path: planted(path, in_a_list("999", SIZE // 4)),
    "one letter of four bytes": lambda path: planted(path, in_a_list('"' + "a" * SIZE + '🎉"', 1)),
    "escapes": lambda path: planted(path, b'{"a":"' + b'\\"' * (SIZE // 2)),
    "strings without an end": lambda path: planted(path, b'"\\"' * (SIZE // 3)),
    "depth": lambda path: planted(path, b"[" * SIZE),
    "many labels": lambda path: planted(
        path, described(200, FEW[:3000], problem_type=MULTI_LABEL, entries=[
            {"id": number, "label": FEW[:3000], "text": None, "kind": "example"} for number in range(200)
        ]), 200,
    ),
    "many tensors": lambda path: planted(path, b"{}", 0, **{str(number): torch.zeros(0) for number in range(50_000)}),
    "holes for keys": lambda path: with_holes(path, 2**33),
    "holes beyond this machine": lambda path: with_holes(path, 2**43),
}  # fmt: skip


def with_holes(path: Path, size: int) -> Path:
    """A file of a few KB that claims a key of `size` bytes, all of them a hole."""
    whole = planted(path, described(1, ["a"], encoder={"name": None, "key_size": size // 4}), 1, keys=torch.zeros(0))
    (length,) = struct.unpack("<Q", whole.read_bytes()[:8])
    header, data = json.loads(whole.read_bytes()[8 : 8 + length]), whole.read_bytes()[8 + length :]
    header["keys"] = {"dtype": "F32", "shape": [1, size // 4], "data_offsets": [len(data), len(data) + size]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    os.truncate(path, 8 + len(text) + len(data) + size)
    return path


MEASURE = """
import os, resource, sys
import torch
from mann_hf.errors import EncoderMismatchError, MemoryFileError
from mann_hf.models import MANNConfig, MANNForSequenceClassification
from transformers import BertConfig

sizes = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, vocab_size=99)
model = MANNForSequenceClassification(MANNConfig(encoder_config=BertConfig(**sizes)))
torch.set_num_threads(1)

def load(place):
    try:
        model.load_memory(place)
    except (EncoderMismatchError, MemoryFileError) as error:
        return type(error).__name__
    return "loaded"

for place in sys.argv[2:]:
    if os.fork():
        os.wait()
        continue
    load(sys.argv[1])  # the first time also brings in code
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = load(place)
    print("peak", said, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what a process took at most is told in other units")
@pytest.mark.slow
def test_a_file_of_a_few_megabytes_takes_no_more_than_ten_times_its_size(tmp_path: Path) -> None:
    folders, sizes = [damaged(tmp_path).parent], []
    for number, make in enumerate(HOSTILE.values()):
        (tmp_path / str(number)).mkdir()
        path = make(tmp_path / str(number) / MEMORY_FILE)
        folders.append(path.parent)
        sizes.append(512 * path.stat().st_blocks)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, folders)], capture_output=True, text=True, timeout=300, check=True
    )
    told = [line.split()[1:] for line in run.stdout.splitlines() if line.startswith("peak")]
    assert len(told) == len(HOSTILE), run.stderr
    for (said, kilobytes), name, size in zip(told, HOSTILE, sizes, strict=True):
        assert said != "loaded", name
        assert 1024 * int(kilobytes) < 10 * size + 50_000_000, f"{name}: {kilobytes} KB for {size} bytes"


def test_too_many_entries_and_labels_are_refused_before_their_values_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = planted(tmp_path / MEMORY_FILE, described(12, list("abcd")), 12)
    assert len(load_memory(path)) == 12
    monkeypatch.setattr("mann_hf.persistent.refusals.MOST_VALUES", 47)
    monkeypatch.setattr(LabelledMemory, "values_of", lambda *_: pytest.fail("they are made"))
    with pytest.raises(MemoryFileError, match=f"{MEMORY_FILE} .*12 examples of 4 labels is too large.*at most 47"):
        load_memory(path)


def test_what_can_be_taught_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of loading is that of teaching."""
    monkeypatch.setattr("mann_hf.persistent.refusals.MOST_VALUES", 9)
    memory, _ = marked(empty()).remember(torch.eye(K)[:3], list(map(Example, list("abc"), list("abc"))))
    save_memory(memory, tmp_path)
    assert len(load_memory(tmp_path / MEMORY_FILE)) == 3
    for label in ("a", "d"):
        with pytest.raises(InvalidInputError, match="4 examples of [34] labels is too large"):
            memory.remember(torch.eye(K)[3:], [Example(label, "d")])


def test_a_shape_is_compared_before_the_tensor_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    class Watched:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.file = safe_open(*args, **kwargs)

        def __enter__(self) -> Any:
            self.file = self.file.__enter__()
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def get_tensor(self, name: str) -> torch.Tensor:
            read.append(name)
            return self.file.get_tensor(name)

    monkeypatch.setattr("mann_hf.persistent.labelled_files.safe_open", Watched)
    path = damaged(tmp_path, keys=lambda keys: torch.cat([keys, keys]), more=torch.zeros(9))
    with pytest.raises(MemoryFileError, match=r"keys have the shape \(8, 4\), not \(4, 4\)"):
        load_memory(path)
    assert "keys" not in read and "contents" in read
    path = damaged(tmp_path, more=torch.zeros(9))
    read.clear()
    load_memory(path)
    assert "keys" in read and "more" not in read


def test_a_field_that_stands_twice(tmp_path: Path) -> None:
    path = damaged(tmp_path, described=lambda c: json.dumps(c).replace('"capacity"', '"labels": [], "capacity"'))
    with pytest.raises(MemoryFileError, match="a field stands twice"):
        load_memory(path)


@pytest.mark.parametrize(
    "text", ["[" * 4000, '{"' * 4000, '\\"[\\\\' * 999, "]}\x00\x1b[2J\u202e", '"[', '"'], ids=ascii
)
def test_texts_may_hold_any_signs(tmp_path: Path, text: str) -> None:
    """What is counted outside of strings is not within them."""
    memory, _ = marked(empty()).remember(torch.eye(K)[:2], list(map(Example, [text, "b"], ["", text])))
    save_memory(memory, tmp_path)
    again = load_memory(tmp_path / MEMORY_FILE)
    assert again.entries == memory.entries and again.labels == memory.labels


@given(texts=st.lists(st.text(alphabet='"[]{}\\,:a', max_size=9), min_size=1, max_size=4, unique=True))
def test_texts_of_signs_come_back(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("signs")
    memory, _ = marked(empty()).remember(torch.eye(K)[: len(texts)], list(map(Example, texts, texts)))
    save_memory(memory, folder)
    assert load_memory(folder / MEMORY_FILE).entries == memory.entries


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes by name")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / MEMORY_FILE)
    with pytest.raises(MemoryFileError, match="it is no file"):
        load_memory(tmp_path / MEMORY_FILE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(path=st.integers(0, 2**16), value=json_values)
def test_no_content_at_any_place_gives_another_error(
    path: int, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands in place of any part of the contents, the file loads whole or is refused as a memory file."""
    places: list[tuple] = []

    def collect(part: Any, way: tuple) -> None:
        steps = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for step, inner in steps:
            places.append((*way, step))
            collect(inner, (*way, step))

    def change(contents: dict) -> None:
        collect(contents, ())
        _set(*places[path % len(places)], to=value)(contents)

    folder = tmp_path_factory.mktemp("any")
    file = damaged(folder, described=change)
    try:
        memory = load_memory(file)
    except MemoryFileError:
        return
    save_memory(memory, folder / "again")
    assert load_memory(folder / "again" / MEMORY_FILE).entries == memory.entries
    memory.reading_state, memory.examples  # noqa: B018
    memory.forget(ids=[memory.entries[0].id])
