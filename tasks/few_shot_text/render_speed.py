"""The tables of what was measured of time: speed, steps of training, and large memories."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.pages import NOT_MEASURED, table

SPEED_TITLES = {
    "predict_over_encoder": "a whole prediction (tokenise, encode, read, evidence) over the bare encoder",
    "teach_one_over_encode": "one more example taught and the next question answered, over encoding one text",
    "throughput_over_sentence_transformers": "texts a second over sentence-transformers with scikit-learn, in float32",
    "throughput_bf16_over_sentence_transformers": "the same with `dtype=torch.bfloat16` on our side",
}

TRAINING_TITLES = {
    "step_over_encoder": "forward and backward of a packed step, over those of the bare encoder on the same texts",
    "naive_loop_over_step": "a loop of one forward an episode, over the step; all texts of the data set",
    "naive_loop_over_step_few_texts": "the same, ten texts of each of 25 classes: episodes have texts in common",
    "naive_loop_over_resampled_step": "a loop over 4 episodes of the same 100 texts of 20 classes, over a step "
    "of `resampled` that draws 4 supports from them; both read by prototypes",
}

WRITE_TITLES = {
    "remember_one_ms": "one more example, ms",
    "forget_one_ms": "one forgotten, ms",
    "answer_after_write_ms": "the answer after one more example, ms",
    "answer_after_forget_ms": "the answer after one was forgotten, ms",
    "load_s": "loading, s",
    "first_answer_s": "the first answer, s",
}


def _speed(ratios: Mapping[str, Any]) -> str:
    rows = [[title, f"{ratios[name]:.2f}"] for name, title in SPEED_TITLES.items() if name in ratios]
    rows += [
        [f"exact top-k reads a second over faiss `IndexFlatIP`, {int(slots):,} slots", f"{ratio:.2f}"]
        for slots, ratio in ratios["read_over_faiss"].items()
    ]
    change = ratios.get("accuracy_bf16_minus_float32")
    half = "" if change is None else f" Accuracy in bfloat16: {change:+.2f} points."
    return (
        table([f"{ratios['slots']:,} examples stored", "ratio"], rows)
        + f"\n\nOn {ratios['material']}, {_made_with(ratios)}.{half} "
        f"Most memory in use: {ratios['peak_memory_mib']:,.0f} MiB."
    )


def _scale(measured: Mapping[str, Any]) -> str:
    cells = list(measured["cells"].values())
    stores = {"exact": "", "faiss": ", store `faiss`"}
    header = [f"{cell['entries']:,} entries of {cell['labels']:,} labels{stores[cell['store']]}" for cell in cells]
    rows = [[title, *(f"{cell[name]:.3g}" for cell in cells)] for name, title in WRITE_TITLES.items()]
    return table(["beside the encoding", *header], rows) + f"\n\nMeasured {_made_with(measured)}."


def _training_speed(ratios: Mapping[str, Any]) -> str:
    rows = [[title, f"{ratios[name]:.2f}"] for name, title in TRAINING_TITLES.items() if name in ratios]
    return table(["8 episodes a step, 5-way 1-shot, 5 queries a class", "ratio"], rows)


def _made_with(measured: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in measured["versions"].items())
    return f"with {measured['threads']} threads of {measured['processor']}; {versions}"


SPEED_TABLES = {"speed": _speed, "scale": _scale, "training_speed": _training_speed}


def speed_tables(folder: Path) -> dict[str, str]:
    """The tables by name, from the result files in a folder."""
    return {
        name: make(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else NOT_MEASURED
        for name, make in SPEED_TABLES.items()
        for path in [folder / f"{name}.json"]
    }
