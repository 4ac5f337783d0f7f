"""The file of a memory of labelled examples, and its copy for people to read and compare."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import MemoryFileError
from ..hub.files import MEMORY_FILE
from ..hub.saving import write_whole
from ..memory import EVICTIONS, KeyValueMemory, KeyValueState
from ..targets.kinds import problem_types
from ..targets.schema import names_from_json
from .entries import label_names
from .file_entries import READABLE_FILE, entries_from, expect, nothing_collected
from .labelled_memory import LabelledMemory
from .merging import merged
from .refusals import check_size
from .values import MEMORY_FORMATS, CheckEncoder, MemoryFormat

FORMAT = "mann_hf.memory"
VERSION, VERSION_WITH_INPUTS = "1", "2"
"""Versions of the format; the second has the inputs themselves beside the keys."""
DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
SHORTEST_ENTRY = len('{"id":0,"label":"","text":"","kind":""}')
NO_SIGNS = bytes(set(range(256)) - set(b'"[{'))


def write_memory(memory: LabelledMemory, folder: Path) -> None:
    """Writes both files into a folder that nobody reads yet."""
    described = describe(memory)
    write_whole(folder / MEMORY_FILE, _packed(memory, described))
    write_whole(folder / READABLE_FILE, (json.dumps(described, indent=1, ensure_ascii=False) + "\n").encode())


def memory_bytes(memory: LabelledMemory) -> bytes:
    """What `save_memory` writes to `memory.safetensors`."""
    return _packed(memory, describe(memory))


def _packed(memory: LabelledMemory, described: dict[str, Any]) -> bytes:
    memory, contents = memory.together(), json.dumps(described, separators=(",", ":"), ensure_ascii=False)
    tensors = {
        "keys": memory.state.keys[0],
        "usage": memory.state.usage[0],
        "age": memory.state.age[0],
        "write_count": memory.state.write_count[0],
        "ids": memory.state.ids[0],
        "contents": torch.frombuffer(bytearray(contents.encode()), dtype=torch.uint8),
    }
    if memory.names:
        tensors["name_keys"] = torch.stack([memory.names[label] for label in described["labels_with_names"]])
    if memory.probe is not None:
        tensors["encoder_probe"] = memory.probe.float()
    stored = [entry.stored or b"" for entry in memory.entries]
    if any(stored):
        tensors["inputs"] = torch.frombuffer(bytearray(b"".join(stored)), dtype=torch.uint8)
        tensors["input_sizes"] = torch.tensor(list(map(len, stored)))
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one entry alone: safetensors writes several in an order that changes from save to save
    return save(tensors, metadata={"format": f"{FORMAT}/{described['version']}"})


def describe(memory: LabelledMemory) -> dict[str, Any]:
    """What a memory holds, without keys: labels, entries, and the encoder that wrote it."""
    return {
        "format": FORMAT,
        "version": VERSION_WITH_INPUTS if any(entry.stored for entry in memory.entries) else VERSION,
        "problem_type": memory.problem_type,
        "encoder": {"name": memory.encoder_name, "key_size": memory.rules.key_size, "fingerprint": fingerprint(memory)},
        "capacity": memory.rules.capacity,
        "eviction": memory.rules.eviction_name,
        "value_size": memory.rules.value_size,
        "labels": list(memory.labels),
        "labels_with_names": [label for label in memory.labels if label in memory.names],
        "entries": [
            {"id": entry.id, "label": entry.label, "text": entry.text, "kind": entry.kind} for entry in memory.entries
        ],
    }


def fingerprint(memory: LabelledMemory) -> str | None:
    """A short text that tells encoders apart at a glance; whether two are the same is decided by their probes."""
    if memory.probe is None:
        return None
    return " ".join(f"{number:+.2f}" for number in memory.probe.flatten()[:8].tolist())


def read_memory(path: Path, version: str, check_encoder: CheckEncoder | None = None) -> LabelledMemory:
    """The memory of a file of this format; see `MemoryFormat.read`.

    Raises:
        MemoryFileError: the version is none that this release reads.
    """
    _check_size(path)
    if version not in (VERSION, VERSION_WITH_INPUTS):
        raise MemoryFileError(
            f"{path} has version {version!r} of the memory format; this release reads {VERSION!r} and "
            f"{VERSION_WITH_INPUTS!r}. A newer release of mann_hf may read it."
        )
    with safe_open(path, framework="pt") as file, nothing_collected():
        return _assemble(file, check_encoder)


def _check_size(path: Path) -> None:
    """Refuses holes that claim to be more than this machine holds."""
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        size, held = path.stat().st_size, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        expect(size <= held, f"it has {size:,} bytes, and this machine a memory of {held:,}")


def _contents(file: Any) -> dict[str, Any]:
    """The description in a file.

    Empty objects and lists take thirty times their letters in memory, so they are counted before they are made.
    """
    written = _tensor(file, "contents", torch.uint8, None).flatten().numpy().tobytes()
    signs = written.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, NO_SIGNS).replace(b'""', b"")
    objects, lists = (
        signs.count(sign) - sum(string[0].count(sign) for string in re.finditer(rb'"[^"]*"', signs))
        for sign in (b"{", b"[")
    )
    expect(objects * SHORTEST_ENTRY <= len(written) and lists <= objects + 1, "too many objects or lists")
    return json.loads(written, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    expect(len(fields) == len(pairs), "a field stands twice")
    return fields


def _assemble(file: Any, check_encoder: CheckEncoder | None) -> LabelledMemory:
    """The memory that a file holds; one of `BUILT_IN` is raised where a stranger has written something else."""
    contents = _contents(file)
    problem_type, name = contents["problem_type"], contents["encoder"]["name"]
    expect(problem_type in problem_types(), f"unknown problem type {problem_type!r}")
    expect(contents["eviction"] in EVICTIONS, f"unknown eviction rule {contents['eviction']!r}")
    expect(name is None or isinstance(name, str), "the encoder's name is no string")
    key_size = _whole(contents["encoder"]["key_size"], 1)
    if check_encoder is not None:
        check_encoder(name, key_size)
    entries = entries_from(contents["entries"], problem_type)
    labels, with_names = names_from_json(contents["labels"]), names_from_json(contents["labels_with_names"])
    "".join([*labels, *(entry.text or "" for entry in entries)]).encode()  # half a surrogate pair could not be saved
    count = len(entries)
    if contents["capacity"] is not None:
        _whole(contents["capacity"], max(1, count))

    vector = (count,)
    ids, age, write_count = (_tensor(file, field, torch.int64, vector) for field in ("ids", "age", "write_count"))
    expect(ids.tolist() == [entry.id for entry in entries], "the ids of slots and entries differ")
    expect(len(set(ids.tolist())) == count, "an id stands twice")
    usage = _tensor(file, "usage", torch.float32, vector)
    possible = (usage >= 0).all() and (age >= 0).all() and (write_count >= 1).all()
    expect(bool(possible), "a count is below what it can be")
    keys = _tensor(file, "keys", torch.float32, (count, key_size))
    if "inputs" in file.keys():  # noqa: SIM118 no mapping
        inputs = zip(entries, _inputs(file, count), strict=True)
        entries = tuple(entry._replace(stored=stored or None) for entry, stored in inputs)

    rules = KeyValueMemory(key_size, _whole(contents["value_size"], 0), contents["capacity"], contents["eviction"])
    memory = LabelledMemory(rules, problem_type, entries, rules.initial_state(), labels)
    expect({name for entry in entries for name in label_names(entry.label)} == set(labels), "a label without an entry")
    expect(not memory.targets.named or rules.value_size == len(labels), "value_size does not fit")
    check_size(count, len(labels))
    values = memory.values_of([entry.label for entry in entries])
    expect(memory.targets.named or bool(torch.isfinite(values).all()), "labels hold NaN or infinity")

    names, probe = {}, None
    if with_names:
        name_keys = _tensor(file, "name_keys", torch.float32, (len(with_names), key_size))
        names = dict(zip(with_names, name_keys, strict=True))
    if count or "encoder_probe" in file.keys():  # noqa: SIM118 no mapping
        probes = file.get_slice("encoder_probe").get_shape()[0]
        probe = _tensor(file, "encoder_probe", torch.float32, (probes or 1, key_size))
    state = KeyValueState(
        *(field[None] for field in (keys, values, usage, age, write_count, torch.ones_like(ids).bool(), ids))
    )
    memory = LabelledMemory(rules, problem_type, entries, state, labels, names, probe, name)
    expect(set(memory.labels_with_words) == set(names), "the words of a label without an example")
    return memory


def _inputs(file: Any, count: int) -> Iterator[bytes]:
    """The stored input of each entry; empty for one that has none."""
    sizes = _tensor(file, "input_sizes", torch.int64, (count,))
    held = _tensor(file, "inputs", torch.uint8, None).flatten().numpy()
    whole = bool(((sizes >= 0) & (sizes <= len(held))).all())  # or their sum could pass the largest number
    expect(whole and int(sizes.sum()) == len(held), "the sizes of inputs do not fit")
    ends = sizes.cumsum(0).tolist()
    return (held[start:end].tobytes() for start, end in zip([0, *ends], ends, strict=False))


def _whole(value: Any, least: int) -> int:
    expect(type(value) is int and value >= least, "a number is out of range")
    return value


def _tensor(file: Any, name: str, dtype: torch.dtype, shape: tuple[int, ...] | None) -> Tensor:
    """A tensor of the file, looked at before it is read."""
    claimed = file.get_slice(name)
    kind, size = claimed.get_dtype(), tuple(claimed.get_shape())
    expect(kind == DTYPES[dtype], f"{name} are of {kind}, not {DTYPES[dtype]}")
    expect(shape is None or size == shape, f"{name} have the shape {size}, not {shape}")
    tensor = file.get_tensor(name)
    if dtype.is_floating_point and tensor.numel():
        finite = torch.stack(tensor.aminmax()).isfinite().all()  # of large tables much faster than to look at each
        expect(bool(finite), f"{name} hold NaN or infinity")
    return tensor


MEMORY_FORMATS.register(FORMAT)(MemoryFormat(LabelledMemory, "labelled examples", write_memory, read_memory, merged))
