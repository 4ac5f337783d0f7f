"""What the sequence tasks share: small models from scratch, their training over episodes, and generated answers."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from transformers import PrinterCallback, set_seed
from transformers.trainer_callback import TrainerCallback

import mann_hf
from mann_hf.episodes import SeededEpisodes
from mann_hf.training.callbacks import Progress

from .recipes import Seq2SeqRecipe


def new_model(recipe: Seq2SeqRecipe, tokenizer: Any, seed: int) -> Any:
    """The model of a recipe before training, with random weights for the tokens of a tokenizer."""
    set_seed(seed)
    special = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id,
    }
    return mann_hf.MANNForConditionalGeneration.from_seq2seq_config(
        recipe.seq2seq, **{**special, **recipe.encoder}, **recipe.model
    )


def train_over_episodes(
    model: Any, tokenizer: Any, recipe: Seq2SeqRecipe, sampler: SeededEpisodes, seed: int, say: Any = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Any]:  # fmt: skip
    """Trains a model over episodes of pairs.

    Args:
        model: it is changed.
        tokenizer: of the model.
        recipe: its `run` holds fields of `EpisodicTrainingArguments`.
        sampler: draws the episodes.
        seed: of what training draws.
        say: called with a line about what goes on; None for silence.
        callbacks: further ones of the trainer.

    Returns:
        `steps`, `loss`, the last that was logged, and `cpu_seconds` of all threads.
    """
    with TemporaryDirectory() as folder:
        arguments = mann_hf.EpisodicTrainingArguments(
            folder,
            **{
                "seed": seed, "use_cpu": model.device.type == "cpu",
                "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
                **recipe.run,
            },
        )  # fmt: skip
        trainer = mann_hf.EpisodicTrainer(
            model, arguments, train_dataset=sampler, processing_class=tokenizer, callbacks=list(callbacks)
        )
        trainer.remove_callback(PrinterCallback)
        if say is not None:
            trainer.add_callback(Progress(say))
        started = time.process_time()
        trainer.train()
        seconds = time.process_time() - started
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    return {"steps": trainer.state.global_step, "loss": losses[-1] if losses else None, "cpu_seconds": seconds}


@contextmanager
def remembered(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> Iterator[list[int]]:
    """While a model remembers these pairs; afterwards it has forgotten them."""
    ids = model.remember_texts(tokenizer, *map(list, zip(*pairs, strict=True))) if pairs else []
    try:
        yield ids
    finally:
        if ids:
            model.forget(sorted(set(ids)))


def generated(
    model: Any, tokenizer: Any, sources: Sequence[str], *, batch_size: int = 128, **settings: Any
) -> list[str]:
    """What a model generates for each source, in order.

    Args:
        model: it answers in evaluation mode.
        tokenizer: of the model.
        sources: n texts; those of like length go together.
        batch_size: sources at a time.
        settings: of `generate`, such as `max_new_tokens` and `num_beams`.
    """
    generator = mann_hf.MemoryAugmentedGenerationPipeline(
        model=model.eval(), tokenizer=tokenizer, device=model.device, batch_size=batch_size
    )
    order = sorted(range(len(sources)), key=lambda place: len(sources[place]))  # the pipeline sorts part by part
    answers = generator([sources[place] for place in order], **{"do_sample": False, **settings})
    texts = {place: answer["generated_text"] for place, answer in zip(order, answers, strict=True)}
    return [texts[place] for place in range(len(sources))]


def exact_match(predictions: Sequence[str], references: Sequence[str]) -> float:
    """The share of predictions that are their reference, in percent, white space aside."""
    right = sum(one.split() == other.split() for one, other in zip(predictions, references, strict=True))
    return 100 * right / len(references)
