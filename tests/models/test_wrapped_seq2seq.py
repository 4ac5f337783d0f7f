"""Saved models of pairs under transformers' own classes: the Auto classes, and the trainer of sequences."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSeq2SeqLM,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)

from mann_hf import MANNForConditionalGeneration
from mann_hf.errors import EncoderMismatchError
from tests.tiny_seq2seq import SOURCES, TARGETS, batch_of, save_tiny, word_tokenizer


@pytest.fixture
def taught(tmp_path: Path) -> MANNForConditionalGeneration:
    model = MANNForConditionalGeneration.from_seq2seq_pretrained(save_tiny("t5", tmp_path / "t5"))
    model.remember_texts(word_tokenizer(), SOURCES, TARGETS)
    return model


def test_auto_classes_give_the_model_and_what_it_wraps(taught: MANNForConditionalGeneration, tmp_path: Path) -> None:
    taught.save_pretrained(tmp_path / "saved")
    whole = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved")
    assert isinstance(whole, MANNForConditionalGeneration) and len(whole.memory) == len(SOURCES)
    wrapped, plain = (
        AutoModel.from_pretrained(tmp_path / "saved"),
        AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "t5"),
    )
    assert type(wrapped) is type(plain)
    assert all(torch.equal(one, other) for one, other in zip(wrapped.parameters(), plain.parameters(), strict=True))
    batch = batch_of(SOURCES)
    said = [model.eval().generate(**batch, max_new_tokens=4) for model in (wrapped, plain)]
    assert torch.equal(*said)
    assert type(AutoModel.from_config(AutoConfig.from_pretrained(tmp_path / "saved"))) is type(plain)


class TestStockTrainer:
    @pytest.fixture
    def trainer(self, taught: MANNForConditionalGeneration, tmp_path: Path) -> Seq2SeqTrainer:
        tokenizer = word_tokenizer()

        def row(source: str, target: str) -> dict[str, Any]:
            read = tokenizer(source, return_token_type_ids=False)
            return {**read, "labels": tokenizer(text_target=target)["input_ids"]}

        rows = Dataset.from_list([row(*pair) for pair in zip(SOURCES, TARGETS, strict=True)])
        arguments = Seq2SeqTrainingArguments(
            output_dir=str(tmp_path / "out"),
            max_steps=2,
            learning_rate=0.05,
            eval_strategy="steps",
            eval_steps=1,
            predict_with_generate=True,
            generation_max_length=4,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        collator = DataCollatorForSeq2Seq(tokenizer, taught)
        return Seq2SeqTrainer(
            model=taught, args=arguments, train_dataset=rows, eval_dataset=rows, data_collator=collator
        )

    def test_a_memory_of_older_weights_is_refused_with_the_way_out(
        self, trainer: Seq2SeqTrainer, taught: MANNForConditionalGeneration
    ) -> None:
        with pytest.raises(EncoderMismatchError, match=r"reencode_memory\(\), or train within .*memory_set_aside"):
            trainer.train()
        taught.reencode_memory(word_tokenizer())
        assert trainer.evaluate()["eval_loss"] > 0

    def test_with_the_memory_set_aside_it_trains(
        self, trainer: Seq2SeqTrainer, taught: MANNForConditionalGeneration
    ) -> None:
        ids = taught.memory.ids
        with taught.memory_set_aside(word_tokenizer()):
            trainer.train()
        assert taught.memory.ids == ids
        taught.eval().generate(**batch_of(SOURCES), max_new_tokens=2)
