"""Small encoder-decoders trained from scratch on pairs, as anyone trains them, and their memory after that."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

import mann_hf
from mann_hf.episodes import Pair
from mann_hf.training import load_metric
from mann_hf.training.callbacks import Progress

from .clock import Clock
from .recipes import Seq2SeqRecipe
from .seq2seq import generated

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
SHARPNESSES = (10.0, 30.0)
"""The λ and β among which validation chooses."""
CHECKPOINTS = "checkpoints"


def _known(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the names that this version of transformers has: it had `group_by_length` first."""
    if hasattr(Seq2SeqTrainingArguments, "train_sampling_strategy"):
        return given
    by_length = given.get("train_sampling_strategy") == "group_by_length"
    others = {name: value for name, value in given.items() if name != "train_sampling_strategy"}
    return others | ({"group_by_length": True} if by_length else {})


def train_from_scratch(
    recipe: Seq2SeqRecipe, pairs: Sequence[Pair], folder: Path, seed: int, say: Callable[[str], None] | None = None,
    save_steps: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains a tokenizer and a model on pairs, and saves both in a folder.

    Args:
        recipe: `tokenizer` for `mann_hf.train_tokenizer`, `seq2seq` and `encoder` for the model, and `run`, fields of
            `Seq2SeqTrainingArguments`.
        pairs: what is learned.
        folder: the trained model, as any of transformers.
        seed: of weights, order and dropout.
        say: called with a line about what goes on.
        save_steps: steps from one checkpoint in the folder to the next; a training that was stopped goes on from the
            last one. None for no checkpoints.

    Returns:
        `steps`, `loss`, the last that was logged, `seconds`, `cpu_seconds` of all threads, and `device`.
    """
    checkpoints = folder / CHECKPOINTS
    last = get_last_checkpoint(str(checkpoints)) if save_steps and checkpoints.is_dir() else None
    if last is None:
        mann_hf.train_tokenizer([text for pair in pairs for text in pair], **recipe.tokenizer).save_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    set_seed(seed)
    config = AutoConfig.for_model(
        recipe.seq2seq, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.pad_token_id, **recipe.encoder,
    )  # fmt: skip
    model = AutoModelForSeq2SeqLM.from_config(config)
    sources, targets = map(list, zip(*pairs, strict=True))
    rows = Dataset.from_dict(
        {"input_ids": tokenizer(sources)["input_ids"], "labels": tokenizer(text_target=targets)["input_ids"]}
    )
    saving = {"save_strategy": "steps", "save_steps": save_steps, "save_total_limit": 1} if save_steps else {}
    given = {"seed": seed, "save_strategy": "no", "report_to": "none", "disable_tqdm": True, **recipe.run, **saving}
    clock = Clock()
    with nullcontext(checkpoints) if save_steps else TemporaryDirectory() as output:
        trainer = Seq2SeqTrainer(
            model=model,
            args=Seq2SeqTrainingArguments(str(output), **_known(given)),
            train_dataset=rows,
            data_collator=DataCollatorForSeq2Seq(tokenizer, model),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        if say is not None:
            trainer.add_callback(Progress(say))
        trainer.train(resume_from_checkpoint=last)
        taken = clock.taken
    model.save_pretrained(folder)
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    return {
        "steps": trainer.state.global_step,
        "loss": losses[-1] if losses else None,
        **taken,
        "device": trainer.args.device.type,
    }


def with_memory(folder: Path, recipe: Seq2SeqRecipe) -> tuple[Any, Any]:
    """The trained model of a folder with an empty memory, and its tokenizer.

    Args:
        folder: of `train_from_scratch`.
        recipe: its `model` holds fields of `MANNSeq2SeqConfig`.
    """
    model = mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained(folder, **recipe.model).eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), AutoTokenizer.from_pretrained(folder)


def choose_mixture(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], say: Callable[[str], None], **settings: Any
) -> dict[str, float]:
    """Sets λ and β to what gives the best BLEU on pairs for validation, by greedy search.

    Args:
        model: with what it is to remember in its memory.
        tokenizer: of the model.
        pairs: for validation.
        say: called with a line about what goes on.
        settings: of `generate`.

    Returns:
        `interpolation`, `sharpness`, the `bleu` that they give, and `bleu_alone`, without the memory.
    """
    sources, targets = map(list, zip(*pairs, strict=True))

    def bleu() -> float:
        bleu = text_scores(generated(model, tokenizer, sources, **settings), targets, ("sacrebleu",))["bleu"]
        say(f"λ {model.config.interpolation}, β {model.config.sharpness}: BLEU {bleu:.2f}")
        return bleu

    model.set_interpolation(0)
    alone, found = bleu(), []
    for share, sharpness in itertools.product(SHARES, SHARPNESSES):
        model.set_interpolation(share, sharpness)
        found.append({"bleu": bleu(), "bleu_alone": alone, "interpolation": share, "sharpness": sharpness})
    best = max(found, key=lambda each: each["bleu"])
    model.set_interpolation(best["interpolation"], best["sharpness"])
    return best


def text_scores(
    predictions: Sequence[str], references: Sequence[str] | Sequence[Sequence[str]], metrics: Sequence[str]
) -> dict[str, float]:
    """Figures of generated texts by the library's `evaluate` modules, from 0 to 100; what is no number is left out.

    Args:
        predictions: n texts.
        references: for each the right text, or several.
        metrics: names for `load_metric`.
    """
    found: dict[str, Any] = {}
    for name in metrics:
        found |= load_metric(name).compute(predictions=list(predictions), references=list(references))
    numbers = {name: float(value) for name, value in found.items() if isinstance(value, int | float | np.number)}
    return {name: 100 * value if name.startswith("rouge") else value for name, value in numbers.items()}


def peak_memory_mib() -> float:
    """The most memory that this process has had, in MiB, as Linux counts it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
