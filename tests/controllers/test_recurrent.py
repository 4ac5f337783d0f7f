"""The recurrent encoder-decoder against plain loops, and with all of `generate`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSeq2SeqLM, DynamicCache, EncoderDecoderCache, set_seed

import mann_hf  # noqa: F401  # the Auto classes know it from then on
from mann_hf.controllers.recurrent import RecurrentSeq2SeqConfig, RecurrentSeq2SeqModel
from mann_hf.controllers.recurrent_cache import RecurrentCache
from mann_hf.errors import InvalidInputError, InvalidTypeError

SOURCES = torch.tensor([[5, 6, 7, 1], [8, 9, 1, 0], [10, 1, 0, 0]])
MASK = (SOURCES != 0).long()
LABELS = torch.tensor([[11, 12, 1], [13, 1, -100], [14, 15, 16]])


def made(**fields: Any) -> RecurrentSeq2SeqModel:
    set_seed(0)
    return RecurrentSeq2SeqModel(RecurrentSeq2SeqConfig(vocab_size=20, hidden_size=12, **fields)).eval()


@pytest.fixture(params=[True, False], ids=["both directions", "one direction"])
def model(request: pytest.FixtureRequest) -> RecurrentSeq2SeqModel:
    return made(bidirectional=request.param)


def alone(model: RecurrentSeq2SeqModel, source: Tensor, **kwargs: Any) -> Any:
    """One source, or several of one length, without padding."""
    return model(input_ids=source if source.dim() == 2 else source[source != 0][None], **kwargs)


def test_the_decoder_is_the_published_equations(model: RecurrentSeq2SeqModel) -> None:
    found = alone(model, SOURCES[0], labels=LABELS[:1], output_hidden_states=True, output_attentions=True)
    source = found.encoder_last_hidden_state[0]
    hidden = found.decoder_hidden_states[1][0]
    for step, state in enumerate(hidden):
        weights = torch.exp(source @ state) / torch.exp(source @ state).sum()
        context = (weights[:, None] * source).sum(0)
        weight, bias = model.decoder.combine.weight, model.decoder.combine.bias
        expected = torch.tanh(weight @ torch.cat([context, state]) + bias)
        torch.testing.assert_close(found.cross_attentions[0][0, 0, step], weights)
        torch.testing.assert_close(found.decoder_hidden_states[-1][0, step], expected)
        torch.testing.assert_close(found.logits[0, step], model.lm_head(expected))


def test_the_loss_is_the_mean_over_the_tokens_that_are_there(model: RecurrentSeq2SeqModel) -> None:
    output = model(SOURCES, MASK, labels=LABELS)
    chosen = output.logits.log_softmax(-1).gather(-1, LABELS.clamp_min(0)[..., None])[..., 0]
    torch.testing.assert_close(output.loss, -chosen[LABELS != -100].mean())


def test_token_by_token_with_a_cache_is_all_at_once(model: RecurrentSeq2SeqModel) -> None:
    inputs = model.prepare_decoder_input_ids_from_labels(LABELS)
    whole = model(SOURCES, MASK, decoder_input_ids=inputs).logits
    encoded = model.get_encoder()(SOURCES, MASK)
    cache: Any = None
    steps = []
    for step in range(inputs.shape[1]):
        output = model(
            attention_mask=MASK,
            encoder_outputs=encoded,
            decoder_input_ids=inputs[:, step : step + 1],
            past_key_values=cache,
        )
        cache = output.past_key_values
        steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)
    assert cache.get_seq_length() == inputs.shape[1]


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_changes_nothing(model: RecurrentSeq2SeqModel, side: str) -> None:
    sources, mask = (SOURCES, MASK) if side == "right" else (SOURCES.flip(1), MASK.flip(1))
    padded = model(sources, mask, labels=LABELS, output_attentions=True)
    for row, source in enumerate(sources):
        single = alone(model, source, labels=LABELS[row : row + 1])
        torch.testing.assert_close(padded.logits[row], single.logits[0])
        torch.testing.assert_close(
            padded.encoder_last_hidden_state[row][mask[row] == 1], single.encoder_last_hidden_state[0]
        )
        assert not padded.encoder_last_hidden_state[row][mask[row] == 0].any()
        assert not padded.cross_attentions[0][row, ..., mask[row] == 0].any()


def test_target_tokens_that_are_masked_are_not_read(model: RecurrentSeq2SeqModel) -> None:
    inputs = torch.tensor([[0, 11, 12], [0, 0, 13]])
    mask = torch.tensor([[1, 1, 1], [0, 1, 1]])
    found = model(SOURCES[:2], MASK[:2], decoder_input_ids=inputs, decoder_attention_mask=mask).logits
    expected = alone(model, SOURCES[1], decoder_input_ids=inputs[1:, 1:]).logits
    torch.testing.assert_close(found[1, 1:], expected[0])


@pytest.mark.parametrize(
    "settings",
    [{}, {"num_beams": 3, "num_return_sequences": 2}, {"do_sample": True}, {"num_beams": 2, "do_sample": True}],
)
def test_generates_the_same_with_and_without_a_cache(model: Any, settings: dict[str, Any]) -> None:
    answers = []
    for use_cache in (True, False):
        set_seed(3)
        found = model.generate(
            input_ids=SOURCES, attention_mask=MASK, max_new_tokens=8, use_cache=use_cache, output_scores=True,
            return_dict_in_generate=True, **settings,
        )  # fmt: skip
        answers.append(found)
    assert torch.equal(answers[0].sequences, answers[1].sequences)
    for one, other in zip(answers[0].scores, answers[1].scores, strict=True):
        torch.testing.assert_close(one, other)


def test_greedy_is_the_best_token_of_every_step(model: Any) -> None:
    tokens = model.generate(input_ids=SOURCES[:1], max_new_tokens=6)
    logits = model(SOURCES[:1], decoder_input_ids=tokens[:, :-1]).logits
    assert torch.equal(logits.argmax(-1), tokens[:, 1:])


def test_as_many_beams_as_tokens_find_the_likeliest_of_all_sequences_of_two(model: Any) -> None:
    every = torch.cartesian_prod(torch.arange(20), torch.arange(20))
    starts = torch.zeros(len(every), 1, dtype=torch.long)
    found = model.generate(
        input_ids=SOURCES, attention_mask=MASK, num_beams=20, max_new_tokens=2, min_new_tokens=2, eos_token_id=None
    )
    for row, source in enumerate(SOURCES):
        inputs = torch.cat([starts, every[:, :1]], dim=1)
        logits = alone(model, source.expand(len(every), -1)[:, source != 0], decoder_input_ids=inputs).logits
        likelihood = logits.log_softmax(-1).gather(-1, every[..., None]).sum((1, 2))
        assert torch.equal(found[row, 1:], every[likelihood.argmax()])


def test_a_cache_of_another_kind_counts_as_none_while_it_is_empty(model: RecurrentSeq2SeqModel) -> None:
    inputs = torch.zeros(3, 1, dtype=torch.long)
    empty = EncoderDecoderCache(DynamicCache(), DynamicCache())
    output = model(SOURCES, MASK, decoder_input_ids=inputs, past_key_values=empty)
    assert isinstance(output.past_key_values, RecurrentCache)
    empty.self_attention_cache.update(torch.zeros(3, 1, 1, 1), torch.zeros(3, 1, 1, 1), 0)
    with pytest.raises(InvalidTypeError, match="EncoderDecoderCache"):
        model(SOURCES, MASK, decoder_input_ids=inputs, past_key_values=empty)


def test_is_saved_and_loaded_by_the_auto_classes(model: RecurrentSeq2SeqModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), RecurrentSeq2SeqConfig)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert isinstance(loaded, RecurrentSeq2SeqModel) and loaded.config.bidirectional == model.config.bidirectional
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    logits = [each(SOURCES, MASK, labels=LABELS).logits for each in (loaded, model)]
    torch.testing.assert_close(*logits)  # an LSTM rounds by where in memory its weights lie


def test_learns_to_turn_a_sequence_around() -> None:
    model = made(num_layers=1, dropout=0.0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(0)
    sources = torch.randint(2, 6, (64, 3), generator=generator)
    for _ in range(100):
        loss = model(sources, labels=torch.cat([sources.flip(1), torch.ones(64, 1, dtype=torch.long)], dim=1)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    assert (model.generate(input_ids=sources, max_new_tokens=5)[:, 1:4] == sources.flip(1)).float().mean() > 0.95


def test_what_cannot_be_meant_is_refused(model: RecurrentSeq2SeqModel) -> None:
    with pytest.raises(InvalidInputError, match="dropout is 1"):
        RecurrentSeq2SeqConfig(dropout=1)
    with pytest.raises(InvalidInputError, match="num_layers is 0"):
        RecurrentSeq2SeqConfig(num_layers=0)
    with pytest.raises(InvalidInputError, match="bidirectional is 'yes'"):
        RecurrentSeq2SeqConfig(bidirectional="yes")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="decoder_input_ids or labels"):
        model(SOURCES, MASK)
    with pytest.raises(InvalidInputError, match="either input_ids or inputs_embeds"):
        model(labels=LABELS)
