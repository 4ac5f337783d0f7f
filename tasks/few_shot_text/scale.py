"""What writes and answers cost as a memory grows: `python -m tasks.few_shot_text.scale`.

Keys are random unit vectors around the centre of their label, and the encoder is a small random one, so that what is
measured is the memory's part. Run it alone.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import BertConfig
from transformers.utils import logging

import mann_hf
from mann_hf.memory import READINGS, STORES

from ..common.machine import made_on

ENTRIES = (10_000, 100_000, 1_000_000)
LABELS = 150
MANY_LABELS = (3_000, 1_500)
"""Entries and labels of a memory that has few of each."""
KEY_SIZE = 384
SPREAD = 1.0
"""The length of what is added to a label's centre, which is of length 1, to make a key."""
STORE_FROM = 1_000_000
"""Entries from which the model has the store of faiss, and a reading of the nearest entries."""
TURNS = 9
WRITTEN_AT_ONCE = 50_000
HEADS = 4
PACKAGES = ("torch", "transformers", "faiss-cpu")


class Material(NamedTuple):
    """Keys and labels of entries.

    Attributes:
        keys: [S, K] of unit length.
        labels: the label of each.
        names: the key [K] of each label's words.
    """

    keys: Tensor
    labels: list[str]
    names: dict[str, Tensor]


def make_material(entries: int, labels: int = LABELS, key_size: int = KEY_SIZE, seed: int = 0) -> Material:
    """Entries of labels that take turns."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.nn.functional.normalize(torch.randn(labels, key_size, generator=draw))
    keys = torch.randn(entries, key_size, generator=draw).mul_(SPREAD / key_size**0.5)
    numbers = torch.arange(entries) % labels
    for start in range(0, entries, WRITTEN_AT_ONCE):
        some = slice(start, start + WRITTEN_AT_ONCE)
        keys[some] = torch.nn.functional.normalize(keys[some] + centres[numbers[some]])
    names = [f"label {number}" for number in range(labels)]
    return Material(keys, [names[number] for number in numbers.tolist()], dict(zip(names, centres, strict=True)))


def empty_model(key_size: int, **kwargs: Any) -> Any:
    """A classifier with an empty memory and a small random encoder."""
    encoder = BertConfig(
        vocab_size=64, hidden_size=key_size, num_hidden_layers=1, num_attention_heads=HEADS, intermediate_size=key_size
    )
    torch.manual_seed(0)
    return mann_hf.MANNForSequenceClassification(mann_hf.MANNConfig(encoder, **kwargs)).eval()


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def answer(model: Any, key: Tensor) -> None:
    """One answer with its evidence."""
    ready = model.ready_memory()
    logits = model.read(ready, key)
    model.evidence(ready, key, logits, logits.argmax(-1, keepdim=True), 5)


def measure(
    entries: int, labels: int = LABELS, key_size: int = KEY_SIZE, turns: int = TURNS, **kwargs: Any
) -> dict[str, Any]:
    """What writes, answers and loading cost with so many entries.

    Args:
        entries: S, how many are stored.
        labels: C, of how many labels they are.
        key_size: K.
        turns: how many of each are timed; of writes and the answers after them the median counts.
        kwargs: further fields of the model's configuration.
    """
    model = empty_model(key_size, **kwargs)
    material = make_material(entries + 3 * turns + 1, labels, key_size)
    for start in range(0, entries, WRITTEN_AT_ONCE):
        some = slice(start, min(start + WRITTEN_AT_ONCE, entries))
        texts = [f"text {number}" for number in range(some.start, some.stop)]
        model.remember(material.keys[some], material.labels[some], texts, names=material.names)
    with tempfile.TemporaryDirectory() as folder:
        model.save_memory(folder)
        model = empty_model(key_size, **kwargs)
        load_s = seconds_of(lambda: model.load_memory(Path(folder)))
    first_answer_s = seconds_of(lambda: answer(model, material.keys[-1:]))
    rows = iter(range(entries, len(material.keys)))

    def write_one() -> int:
        row = next(rows)
        return model.remember(material.keys[row : row + 1], [material.labels[row]], [f"text {row}"])[0]

    ask = lambda: answer(model, material.keys[-1:])  # noqa: E731
    answer_after_write = list(_after(turns, write_one, ask))
    remember_one = [seconds_of(write_one) for _ in range(turns)]
    gone = iter(_ids_from_all_over(model.memory, 2 * turns))
    forget_one = lambda: model.forget(ids=[next(gone)])  # noqa: E731
    forgetting = [seconds_of(forget_one) for _ in range(turns)]
    return {
        "entries": entries,
        "labels": labels,
        "reading": model.config.reading,
        "store": model.config.store,
        "threads": torch.get_num_threads(),
        "remember_one_ms": 1000 * statistics.median(remember_one),
        "forget_one_ms": 1000 * statistics.median(forgetting),
        "answer_after_write_ms": 1000 * statistics.median(answer_after_write),
        "answer_after_forget_ms": 1000 * statistics.median(_after(turns, forget_one, ask)),
        "load_s": load_s,
        "first_answer_s": first_answer_s,
    }


def _after(turns: int, before: Callable[[], object], call: Callable[[], object]) -> Iterator[float]:
    """The seconds of calls that each follow another, which is not timed."""
    for _ in range(turns):
        before()
        yield seconds_of(call)


def _ids_from_all_over(memory: Any, count: int) -> list[int]:
    places = torch.linspace(0, len(memory) - 1, count + 2).long()[1:-1].tolist()
    return [memory.entries[place].id for place in places]


def main(arguments: list[str] | None = None) -> None:
    """Prints a table, or one JSON object by the number of entries with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", help="how many entries are stored")
    parser.add_argument("--labels", type=int, help=f"of how many labels, by default {LABELS}")
    parser.add_argument("--key-size", type=int, default=KEY_SIZE, help=f"a multiple of {HEADS}")
    parser.add_argument("--reading", default=None, help="how the memory is read; by default the model's default")
    parser.add_argument(
        "--store",
        choices=STORES,
        help=f"what finds the nearest entries; by default faiss from {STORE_FROM:,} entries on, and exact below",
    )
    parser.add_argument("--turns", type=int, default=TURNS, help="how often each write and answer is timed")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--output", type=Path, help="write the figures to a file, too, with what they were measured on")
    chosen = parser.parse_args(arguments)
    cases = [(entries, chosen.labels or LABELS) for entries in chosen.entries or ENTRIES]
    cases += [] if chosen.entries or chosen.labels else [MANY_LABELS]
    able = chosen.reading is None or READINGS[chosen.reading].takes_nearest
    measured = {}
    for entries, labels in cases:
        store = chosen.store or ("faiss" if able and entries >= STORE_FROM else "exact")
        figures = measure(entries, labels, chosen.key_size, chosen.turns, reading=chosen.reading, store=store)
        measured[str(entries)] = figures
        if not chosen.json:
            print(*(f"{name} {_shown(figure)}" for name, figure in figures.items()), sep=" · ", flush=True)
    if chosen.output:
        content = {**made_on(PACKAGES), "cells": measured}
        chosen.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if chosen.json:
        json.dump(measured, sys.stdout)
        print()


def _shown(figure: Any) -> str:
    return f"{figure:.4g}" if isinstance(figure, float) else f"{figure:,}" if isinstance(figure, int) else str(figure)


if __name__ == "__main__":
    logging.set_verbosity_error()
    main()
