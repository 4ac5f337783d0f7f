"""Training over episodes of pairs, from scratch: a model learns to take the meaning of words from its support."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, set_seed

import mann_hf
from mann_hf.errors import InvalidInputError
from mann_hf.training import EpisodicStep
from mann_hf.training.pair_objectives import PAIR_OBJECTIVES

WORDS, COLOURS = ("dax", "lug", "wif", "zup"), ("red", "green", "blue", "pink")
Pairs = list[tuple[str, str]]


def new_meanings(random: np.random.Generator) -> tuple[Pairs, Pairs]:
    """Each word means a colour of its own in this episode; asked are two of them in a row."""
    colours = [COLOURS[place] for place in random.permutation(len(COLOURS))]
    order = random.permutation(len(WORDS))[:2]
    asked = (" ".join(WORDS[place] for place in order), " ".join(colours[place] for place in order))
    return list(zip(WORDS, colours, strict=True)), [asked]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS, *COLOURS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def made(**fields: Any) -> mann_hf.MANNForConditionalGeneration:
    set_seed(0)
    given = {"vocab_size": 11, "hidden_size": 32, "num_layers": 1, "dropout": 0.0, "memory": "example", "gate": 1.0}
    return mann_hf.MANNForConditionalGeneration.from_seq2seq_config("mann_recurrent_seq2seq", **{**given, **fields})


def arguments(folder: Path, **options: Any) -> mann_hf.EpisodicTrainingArguments:
    usual = {"max_steps": 2, "eval_episodes": 30, "use_cpu": True, "report_to": "none", "disable_tqdm": True}
    return mann_hf.EpisodicTrainingArguments(str(folder), **{**usual, "save_strategy": "no", **options})


def task(**settings: Any) -> mann_hf.TaskSampler:
    return mann_hf.TaskSampler(new_meanings, name="colours", **settings)


def pairs() -> Dataset:
    rows = [(f"{one} {other}", f"{one} {other}") for one in WORDS for other in WORDS]
    return Dataset.from_dict({"en": [source for source, _ in rows], "de": [target for _, target in rows]})


@pytest.mark.slow
def test_a_model_learns_to_read_its_support_and_keeps_to_what_it_is_taught(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model: Any = made(hidden_size=64, key_scale=5.0)
    args = arguments(
        tmp_path,
        max_steps=400,
        episodes_per_step=16,
        learning_rate=0.01,
        per_device_eval_batch_size=30,
        logging_steps=100,
    )
    trainer = mann_hf.EpisodicTrainer(model, args, task(ask_support=True), task(seed=1), processing_class=tokenizer)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert before["eval_exact_match"] < 0.2 and after["eval_exact_match"] > 0.9
    assert after["eval_loss"] < before["eval_loss"] and after["eval_token_accuracy"] >= after["eval_exact_match"]
    for colours in (COLOURS, COLOURS[::-1]):
        ids = model.remember_texts(tokenizer, list(WORDS), list(colours))
        inputs = tokenizer(["wif dax"], return_tensors="pt", return_token_type_ids=False)
        said = tokenizer.batch_decode(model.generate(**inputs, max_new_tokens=5), skip_special_tokens=True)
        assert said == [f"{colours[2]} {colours[0]}"]
        model.forget(ids)


def test_a_step_teaches_all_that_reads_and_writes_the_memory(tokenizer: PreTrainedTokenizerFast) -> None:
    model = made()
    collator = mann_hf.PairCollator.for_model(model, tokenizer)
    step = EpisodicStep(model, PAIR_OBJECTIVES["episode"]())
    sampler = task()
    output = step(collator([sampler[number] for number in range(4)]))
    output.loss.backward()
    assert output.logits is not None and output.logits.shape == (4, 1, 3, 11)
    missing = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not missing


def test_data_sets_of_pairs_are_drawn_by_the_arguments(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    args = arguments(tmp_path, k_shot=3, n_query=2, episodes_per_step=2, source_column="en", target_column="de")
    trainer = mann_hf.EpisodicTrainer(made(), args, pairs(), {"one": pairs(), "other": pairs()}, tokenizer)
    assert isinstance(trainer.sampler, mann_hf.PairSampler)
    assert (trainer.sampler.k_shot, trainer.sampler.n_query) == ((3, 3), (2, 2))
    trainer.train()
    metrics = trainer.evaluate()
    assert {"eval_one_exact_match", "eval_other_loss", "eval_exact_match", "eval_exact_match_std"} <= set(metrics)
    predicted = trainer.predict(pairs())
    answers, expected = np.asarray(predicted.predictions), np.asarray(predicted.label_ids)
    assert answers.shape == expected.shape and len(expected) == 30 * 2
    record = trainer.model.model_card_data.training
    assert record is not None and record.data[0].texts == 16 and record.settings["k_shot"] == 3


def test_a_memory_of_tokens_learns_its_share(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    model = made(memory="token", interpolation="adaptive", gate=0.0)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    args = arguments(tmp_path, trainable="memory", learning_rate=0.01)
    mann_hf.EpisodicTrainer(model, args, task(), processing_class=tokenizer).train()
    changed = {name for name, weight in model.named_parameters() if not weight.equal(before[name])}
    assert changed and all(name.startswith("generation_memory.") for name in changed)


def test_a_run_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    losses = []
    for folder, steps in (("whole", [4]), ("parts", [2, 4])):
        for most in steps:
            args = arguments(
                tmp_path / folder, max_steps=most, save_strategy="steps", save_steps=2, logging_steps=1,
                lr_scheduler_type="constant",
            )  # fmt: skip
            trainer = mann_hf.EpisodicTrainer(made(), args, task(), processing_class=tokenizer)
            trainer.train(resume_from_checkpoint=most != steps[0])
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_what_does_not_fit_pairs_is_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, tiny_classifier: Any
) -> None:
    with pytest.raises(InvalidInputError, match="learns from episodes of labels, and these are of pairs"):
        mann_hf.EpisodicTrainer(
            None, arguments(tmp_path), task(), processing_class=tokenizer, model_init=lambda: tiny_classifier()
        ).train()
    silent = mann_hf.PairSampler(pairs(), 2, 0, source_column="en", target_column="de")
    with pytest.raises(InvalidInputError, match="evaluation needs queries"):
        mann_hf.EpisodicTrainer(made(), arguments(tmp_path), task(), silent, tokenizer)
