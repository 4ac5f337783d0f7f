"""Encoder-decoders with a memory of pairs: they say what they were taught, and change in nothing until then."""

from functools import cache
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, set_seed

import mann_hf
from mann_hf.errors import EncoderMismatchError, InvalidInputError, NotInMemoryError, UnknownNameError
from tests.tiny_seq2seq import FAMILIES, SOURCES, TARGETS, batch_of, save_tiny, word_tokenizer

MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 4},
    "sampling": {"do_sample": True, "num_return_sequences": 2},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(family):
        if family not in made:
            made[family] = save_tiny(family, tmp_path_factory.mktemp(family))
        return made[family]

    return folder


@pytest.fixture(scope="module")
def bare(folders):
    """The model of a family without a memory, one for all tests, which leave it as it is."""
    return cache(lambda family: AutoModelForSeq2SeqLM.from_pretrained(folders(family)).eval())


def wrapped(folder, **kwargs):
    return mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained(folder, **kwargs)


def said(model, sources=SOURCES, **settings):
    ids = model.generate(**batch_of(sources), max_new_tokens=12, **settings)
    return word_tokenizer().batch_decode(ids, skip_special_tokens=True)


def taught(folder, sources=SOURCES, targets=TARGETS, **kwargs):
    model = wrapped(folder, **{"interpolation": 0.95, **kwargs})
    ids = model.remember_texts(word_tokenizer(), sources, targets)
    return model, ids


SILENT = {
    "empty, of tokens": lambda folder: wrapped(folder, memory="token"),
    "empty, of examples": lambda folder: wrapped(folder, memory="example"),
    "full, with a share of 0": lambda folder: taught(folder, interpolation=0.0)[0],
    "full, with a closed gate": lambda folder: taught(folder, memory="example")[0],
}
"""Models whose memory changes nothing."""


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    @pytest.mark.parametrize("memory", SILENT)
    def test_what_says_nothing_changes_no_bit(self, folders, bare, family, memory):
        model = SILENT[memory](folders(family))
        settings = {"max_new_tokens": 10, "return_dict_in_generate": True, "output_logits": True}
        for mode, options in MODES.items():
            outputs = []
            for one in (bare(family), model):
                set_seed(1)
                outputs.append(one.generate(**batch_of(SOURCES), **settings, **options))
            assert torch.equal(outputs[0].sequences, outputs[1].sequences), mode
            assert all(torch.equal(*pair) for pair in zip(outputs[0].logits, outputs[1].logits, strict=True)), mode
        inputs = {**batch_of(SOURCES), "labels": batch_of(TARGETS)["input_ids"]}
        with torch.no_grad():
            assert torch.equal(model(**inputs).logits, bare(family)(**inputs).logits)

    def test_it_says_what_it_was_taught_and_forgets_it(self, folders, family):
        model, ids = taught(folders(family))
        ways: list[dict[str, Any]] = [{}, {"num_beams": 3}, {"use_cache": False}]
        for settings in ways:
            assert said(model, **settings) == TARGETS, settings
        model.forget(ids=ids)
        assert len(model.memory) == 0
        untaught = wrapped(folders(family))
        for settings in ways:
            assert said(model, **settings) == said(untaught, **settings), settings

    def test_saved_it_says_it_still(self, folders, family, tmp_path):
        model, _ = taught(folders(family))
        model.save_pretrained(tmp_path)
        for loaded in (
            mann_hf.MANNForConditionalGeneration.from_pretrained(tmp_path),
            AutoModelForSeq2SeqLM.from_pretrained(tmp_path),
        ):
            assert type(loaded) is mann_hf.MANNForConditionalGeneration
            assert said(loaded) == TARGETS

    def test_the_whole_memory_in_chunks(self, folders, family):
        for chunk in (1, 3):
            model, _ = taught(folders(family), neighbours=None, chunk_size=chunk)
            assert said(model) == TARGETS and said(model, num_beams=2) == TARGETS

    @pytest.mark.parametrize("search", [{}, {"neighbours": None}, {"neighbours": None, "chunk_size": 3}], ids=str)
    def test_evidence_names_the_pair_behind_each_token(self, folders, family, search):
        model, _ = taught(folders(family), **search)
        inputs = batch_of(SOURCES)
        sequences = model.generate(**inputs, max_new_tokens=12)
        found = model.explain(sequences, **inputs)
        for row in range(len(SOURCES)):
            length = len(TARGETS[row].split()) + 1
            assert found.pairs[row, :length, 0].tolist() == [row] * length
            assert found.positions[row, :length, 0].tolist() == list(range(length))
        assert (found.weights[:, :5, 0] > 0.5).all() and (found.weights.sum(-1) <= 1 + 1e-5).all()


def test_loss_is_that_of_the_mixture(folders):
    model, _ = taught(folders("t5"))
    labels = batch_of(TARGETS)["input_ids"]
    labels = labels.masked_fill(labels == 0, -100)
    with torch.no_grad():
        outputs = model(**batch_of(SOURCES), labels=labels)
        bare = model.encoder(**batch_of(SOURCES), labels=labels).loss
    chosen = outputs.logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    expected = -(chosen * (labels != -100)).sum() / (labels != -100).sum()
    assert torch.allclose(outputs.loss, expected, atol=1e-6) and outputs.loss < 0.2 < bare


def test_order_of_teaching_does_not_matter(folders):
    one, _ = taught(folders("t5"))
    other, _ = taught(folders("t5"), SOURCES[::-1], TARGETS[::-1])
    inputs = {**batch_of(SOURCES), "labels": batch_of(TARGETS)["input_ids"]}
    with torch.no_grad():
        assert torch.allclose(one(**inputs).logits, other(**inputs).logits, atol=1e-5)


def test_padding_does_not_change_what_is_said(folders):
    model, _ = taught(folders("bart"))
    assert [said(model, [source])[0] for source in SOURCES] == said(model) == TARGETS


def test_a_pair_taught_twice_keeps_its_id(folders):
    model, ids = taught(folders("t5"))
    assert model.remember_texts(word_tokenizer(), SOURCES[:1], TARGETS[:1]) == ids[:1] and len(model.memory) == 3


def test_what_is_not_there_cannot_be_forgotten(folders):
    model, _ = taught(folders("t5"))
    with pytest.raises(NotInMemoryError):
        model.forget(ids=[12345])
    assert len(model.memory) == 3


def test_in_training_mode_the_memory_is_not_read(folders):
    model, _ = taught(folders("t5"))
    inputs = {**batch_of(SOURCES), "labels": batch_of(TARGETS)["input_ids"]}
    model.train()
    outputs = []
    for one in (model, model.encoder):
        set_seed(0)
        outputs.append(one(**inputs).logits)
    assert torch.equal(*outputs)


def test_other_weights_are_refused(folders):
    model, _ = taught(folders("t5"))
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
    with pytest.raises(EncoderMismatchError):
        said(model)


class TestInterpolation:
    """λ and β that are changed while a model is in use."""

    def logits(self, model):
        with torch.no_grad():
            return model(**batch_of(SOURCES), labels=batch_of(TARGETS)["input_ids"]).logits

    def test_it_answers_as_one_that_was_made_with_them(self, folders):
        model, _ = taught(folders("t5"), interpolation=0.9)
        for share, *others in ((0.4,), (0.2, 5.0), (0.2, None, 0.0), (0,)):
            model.set_interpolation(share, *others)
            config = model.config
            fields = {"interpolation": share, "sharpness": config.sharpness, "source_weight": config.source_weight}
            other, _ = taught(folders("t5"), **fields)
            assert torch.equal(self.logits(model), self.logits(other)), share
        assert (config.interpolation, config.sharpness, config.source_weight) == (0.0, 5.0, 0.0)

    def test_saved_it_keeps_them(self, folders, tmp_path):
        model, _ = taught(folders("t5"), interpolation=0.9)
        model.set_interpolation(0.3, sharpness=7.0, source_weight=0.5)
        model.save_pretrained(tmp_path)
        loaded = mann_hf.MANNForConditionalGeneration.from_pretrained(tmp_path)
        assert torch.allclose(self.logits(loaded), self.logits(model), atol=1e-6)

    def test_models_that_share_the_weights_keep_theirs(self, folders):
        model, _ = taught(folders("t5"), interpolation=0.9)
        before, own = self.logits(model), model.with_own_memory()
        own.set_interpolation(0.1)
        assert torch.equal(self.logits(model), before) and not torch.equal(self.logits(own), before)
        assert (model.config.interpolation, own.config.interpolation) == (0.9, 0.1)

    @pytest.mark.parametrize(
        ("fields", "given", "message"),
        [
            ({}, (1.5,), "interpolation is 1.5; give a number from 0 to 1\\."),
            ({}, (0.5, 0), "sharpness is 0"),
            ({}, (0.5, None, -1), "source_weight is -1"),
            ({}, ("adaptive",), "interpolation is 'adaptive'"),
            ({"interpolation": "adaptive"}, (0.5,), "predicted and learned"),
            ({"memory": "example"}, (0.5,), "'example'"),
        ],
        ids=str,
    )
    def test_what_cannot_be_set_is_refused(self, folders, fields, given, message):
        model = wrapped(folders("t5"), **fields)
        before = model.config.to_dict()
        with pytest.raises(InvalidInputError, match=message):
            model.set_interpolation(*given)
        assert model.config.to_dict() == before


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"memory": "no such memory"}, UnknownNameError),
        ({"interpolation": 1.5}, InvalidInputError),
        ({"interpolation": "often"}, InvalidInputError),
        ({"interpolation": True}, InvalidInputError),
        ({"nearest": 0}, InvalidInputError),
        ({"neighbours": 0}, InvalidInputError),
        ({"sharpness": 0}, InvalidInputError),
        ({"chunk_size": 1.5}, InvalidInputError),
        ({"key_dtype": "int8"}, InvalidInputError),
        ({"source_prefix": 3}, InvalidInputError),
        ({"store": "no such store"}, UnknownNameError),
    ],
    ids=str,
)
def test_fields_that_cannot_be_meant_are_refused(folders, fields, error):
    with pytest.raises(error, match=next(iter(fields))):
        wrapped(folders("t5"), **fields)


def test_an_encoder_alone_is_refused(tmp_path):
    from transformers import BertConfig, BertModel

    small = BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertModel(small).save_pretrained(tmp_path)
    with pytest.raises(InvalidInputError, match="AutoModelForSeq2SeqLM"):
        wrapped(tmp_path)


def test_made_from_a_type_it_has_random_weights():
    model = mann_hf.MANNForConditionalGeneration.from_seq2seq_config(
        "t5", d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=30, memory="example", gate=1.0
    )
    assert model.config.memory == "example" and not model.generation_memory.is_silent
    assert model.encoder.config.d_model == 16


def test_queries_and_keys_of_examples_begin_alike():
    model = mann_hf.MANNForConditionalGeneration.from_seq2seq_config(
        "t5", d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=30, memory="example", key_scale=5.0
    )
    reading: Any = model.generation_memory.reading
    assert torch.equal(reading.query.weight, reading.key.weight)
    states = torch.randn(200, 16)
    with torch.no_grad():
        longer = (reading.key(states).norm(dim=1) / states.norm(dim=1)).mean()
    assert 4 < float(longer) < 6


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), float("inf"), "5", True])
def test_a_key_scale_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InvalidInputError, match="key_scale is .*above 0"):
        mann_hf.MANNSeq2SeqConfig(memory="example", key_scale=wrong)
