"""A memory as a file: `memory.safetensors` is the memory, `memory.json` a copy for people to read and compare."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import MemoryFileError
from ..memory import EVICTIONS, KeyValueMemory, KeyValueState
from ..memory.reading import MULTI_LABEL, PROBLEM_TYPES, REGRESSION
from .labelled_memory import Entry, LabelledMemory, label_names
from .saving import write_whole

MEMORY_FILE = "memory.safetensors"
READABLE_FILE = "memory.json"
FORMAT = "mann_hf.memory"
VERSION = "1"


def save_memory(memory: LabelledMemory, folder: str | os.PathLike) -> None:
    """Writes both files. Each is replaced at one stroke; a save that is killed leaves the old memory or the new."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    described = describe(memory)
    tensors = {
        "keys": memory.state.keys[0],
        "usage": memory.state.usage[0],
        "age": memory.state.age[0],
        "write_count": memory.state.write_count[0],
        "ids": memory.state.ids[0],
        "contents": torch.frombuffer(bytearray(_compact(described).encode()), dtype=torch.uint8),
    }
    if memory.problem_type == REGRESSION:
        tensors["targets"] = memory.state.values[0]
    if memory.names:
        tensors["name_keys"] = torch.stack([memory.names[label] for label in _labels_with_names(memory)])
    if memory.probe is not None:
        tensors["encoder_probe"] = memory.probe
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_whole(folder / MEMORY_FILE, save(tensors, metadata={"format": FORMAT, "version": VERSION}))
    write_whole(folder / READABLE_FILE, (json.dumps(described, indent=1, ensure_ascii=False) + "\n").encode())


def describe(memory: LabelledMemory) -> dict[str, Any]:
    """What a memory holds, without keys: labels, entries, and the encoder that wrote it."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "problem_type": memory.problem_type,
        "encoder": {"name": memory.encoder_name, "key_size": memory.law.key_size, "fingerprint": fingerprint(memory)},
        "capacity": memory.law.capacity,
        "eviction": memory.law.eviction_name,
        "value_size": memory.law.value_size,
        "labels": list(memory.labels),
        "labels_with_names": _labels_with_names(memory),
        "entries": [
            {"id": entry.id, "label": entry.label, "text": entry.text, "kind": entry.kind} for entry in memory.entries
        ],
    }


def fingerprint(memory: LabelledMemory) -> str | None:
    """A short text that tells encoders apart at a glance; whether two are the same is decided by their probes."""
    if memory.probe is None:
        return None
    return " ".join(f"{number:+.2f}" for number in memory.probe.flatten()[:8].tolist())


def load_memory(path: str | os.PathLike) -> LabelledMemory:
    """Reads a memory from its file.

    Args:
        path: of `memory.safetensors`.

    Raises:
        MemoryFileError: the file is missing, damaged, or no memory. Sizes are checked before anything is allocated.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise MemoryFileError(f"{path} is a safetensors file but holds no memory (format {FORMAT!r} expected).")
            if metadata.get("version") != VERSION:
                raise MemoryFileError(
                    f"{path} has version {metadata.get('version')!r} of the memory format; this release reads "
                    f"{VERSION!r}. A newer release of mann_hf may read it."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 no mapping
    except MemoryFileError:
        raise
    except FileNotFoundError:
        raise MemoryFileError(f"there is no memory at {path}.") from None
    except (SafetensorError, OSError, ValueError, RuntimeError, UnicodeDecodeError) as error:
        raise MemoryFileError(f"{path} is damaged or no memory file: {error}") from error
    try:
        return _assemble(tensors)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise MemoryFileError(f"{path} is damaged: {error}") from error


def _assemble(tensors: dict[str, Tensor]) -> LabelledMemory:
    contents = json.loads(tensors["contents"].numpy().tobytes())
    problem_type = contents["problem_type"]
    _expect(problem_type in PROBLEM_TYPES, f"unknown problem type {problem_type!r}")
    _expect(contents["eviction"] in EVICTIONS, f"unknown eviction rule {contents['eviction']!r}")
    labels = tuple(map(str, contents["labels"]))
    _expect(len(set(labels)) == len(labels), "a label stands twice")
    entries = tuple(Entry(int(e["id"]), e["text"], _label(e["label"]), e["kind"]) for e in contents["entries"])
    key_size, count = int(contents["encoder"]["key_size"]), len(entries)
    shapes = {"keys": (count, key_size), "usage": (count,), "age": (count,), "write_count": (count,), "ids": (count,)}
    for name, shape in shapes.items():
        _expect(tuple(tensors[name].shape) == shape, f"{name} has shape {tuple(tensors[name].shape)}, not {shape}")
    for name in ("keys", "usage", "name_keys", "encoder_probe", "targets"):
        if name in tensors:
            _expect(tensors[name].is_floating_point(), f"{name} is no floating tensor")
            _expect(bool(torch.isfinite(tensors[name]).all()), f"{name} hold NaN or infinity")
    ids = tensors["ids"].tolist()
    _expect(ids == [entry.id for entry in entries], "the ids of slots and entries differ")
    _expect(len(set(ids)) == count, "an id stands twice")
    _expect(all(entry.kind in ("example", "description") for entry in entries), "unknown kind of entry")
    with_names = contents["labels_with_names"]
    names = {}
    if with_names:
        _expect(tuple(tensors["name_keys"].shape) == (len(with_names), key_size), "name_keys do not fit the labels")
        names = dict(zip(with_names, tensors["name_keys"].float(), strict=True))
    law = KeyValueMemory(key_size, int(contents["value_size"]), contents["capacity"], contents["eviction"])
    blank = LabelledMemory(law, problem_type, entries, law.initial_state(), labels)
    if problem_type == REGRESSION:
        values = tensors["targets"].float()
    else:
        used = {name for entry in entries for name in label_names(entry.label)}
        _expect(used == set(labels), "labels and entries do not fit")
        _expect(
            all(isinstance(e.label, tuple) == (problem_type == MULTI_LABEL) for e in entries),
            "labels do not fit the problem type",
        )
        values = blank.values_of([entry.label for entry in entries])
    _expect(tuple(values.shape) == (count, law.value_size), "values do not fit")
    state = KeyValueState(
        keys=tensors["keys"].float()[None],
        values=values[None],
        usage=tensors["usage"].float()[None],
        age=tensors["age"].long()[None],
        write_count=tensors["write_count"].long()[None],
        mask=torch.ones(1, count, dtype=torch.bool),
        ids=tensors["ids"].long()[None],
    )
    probe = tensors.get("encoder_probe")
    name = contents["encoder"]["name"]
    return LabelledMemory(law, problem_type, entries, state, labels, names, probe, None if name is None else str(name))


def _label(label: Any) -> Any:
    return tuple(label) if isinstance(label, list) else label


def _labels_with_names(memory: LabelledMemory) -> list[str]:
    return [label for label in memory.labels if label in memory.names]


def _compact(described: dict[str, Any]) -> str:
    return json.dumps(described, separators=(",", ":"), ensure_ascii=False)


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
