"""Padding on either side, or both, and what of it an encoder sees: a text has one key."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig

from mann_hf.controllers.kinds import TEXT, controller_of
from mann_hf.controllers.padding import PADDING_READERS, padded_behind, without_padding
from mann_hf.controllers.pooling import POOLINGS
from mann_hf.controllers.text_encoder import embed

SIZES = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
READERS_SIZES = {"mobilebert": {"embedding_size": 8, "intra_bottleneck_size": 8}}
LENGTHS = (3, 7, 1, 5)


def encoder_of(family: str, **sizes: Any) -> nn.Module:
    config = AutoConfig.for_model(family, **SIZES, initializer_range=0.3, max_position_embeddings=40, **sizes)
    return controller_of(TEXT).build(config).eval()


def rows() -> list[Tensor]:
    return [torch.randint(5, 60, (length,)) for length in LENGTHS]


def padded(texts: list[Tensor], before: int, width: int = 9) -> tuple[Tensor, Tensor]:
    """Texts with `before` tokens of padding before them, or as many as there is room for."""
    ids, mask = torch.zeros(len(texts), width, dtype=torch.long), torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in enumerate(texts):
        start = min(before, width - len(text))
        ids[row, start : start + len(text)], mask[row, start : start + len(text)] = text, 1
    return ids, mask


def alone(encoder: nn.Module, texts: list[Tensor], pooling: str) -> Tensor:
    return torch.cat([embed(encoder, pooling, True, text[None]) for text in texts])


@pytest.mark.parametrize("before", [9, 0, 1])
@pytest.mark.parametrize("pooling", POOLINGS.names())
@pytest.mark.parametrize("family", ["bert", "gpt2", "nystromformer", "fnet"])
def test_padding_on_any_side_leaves_the_key_as_it_is(family: str, pooling: str, before: int) -> None:
    encoder, texts = encoder_of(family), rows()
    ids, mask = padded(texts, before)
    for given in (mask, mask.bool(), mask.float()):
        if family != "fnet" or given is mask:
            found = embed(encoder, pooling, True, ids, given.clone())
            torch.testing.assert_close(found, alone(encoder, texts, pooling), rtol=1e-4, atol=1e-5)


def test_what_is_given_for_each_token_moves_with_it() -> None:
    encoder, texts = encoder_of("bert"), rows()
    ids, mask = padded(texts, 9)
    types = mask * (ids % 2)
    vectors = encoder.get_input_embeddings()(ids)  # type: ignore[operator]
    expected = torch.cat([embed(encoder, "mean", True, text[None], token_type_ids=text[None] % 2) for text in texts])
    for text in ({"input_ids": ids}, {"inputs_embeds": vectors}):
        found = embed(encoder, "mean", True, attention_mask=mask, token_type_ids=types, **text)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    positions = (mask.cumsum(1) - 1).clamp_min(0) + 4
    found = embed(encoder, "mean", True, ids, mask, position_ids=positions)
    own = [embed(encoder, "mean", True, text[None], position_ids=torch.arange(len(text))[None] + 4) for text in texts]
    torch.testing.assert_close(found, torch.cat(own), rtol=1e-4, atol=1e-5)


def test_a_hole_in_a_text_stays_where_it_is() -> None:
    ids, mask = torch.tensor([[0, 7, 8, 9, 0], [1, 2, 3, 4, 5]]), torch.tensor([[0, 1, 0, 1, 0], [1, 1, 0, 1, 1]])
    moved, moved_mask = padded_behind({"input_ids": ids, "head_mask": torch.ones(2, 5)}, mask)
    assert moved["input_ids"].tolist() == [[7, 8, 9, 0, 0], [1, 2, 3, 4, 5]]
    assert moved_mask.tolist() == [[1, 0, 1, 0, 0], [1, 1, 0, 1, 1]]
    assert torch.equal(moved["head_mask"], torch.ones(2, 5))


def test_texts_without_a_token_and_no_texts_have_keys_too() -> None:
    for family in ("bert", "fnet"):
        encoder, (text, *_) = encoder_of(family), rows()
        ids, mask = padded([text, text[:0]], 9)
        found = embed(encoder, "mean", True, ids, mask)
        torch.testing.assert_close(found[:1], alone(encoder, [text], "mean"), rtol=1e-4, atol=1e-5)
        assert torch.equal(found[1], torch.zeros(16))


def test_groups_are_of_one_length_and_hold_every_row() -> None:
    ids, mask = padded([*rows(), *rows()], 0)
    seen = []
    for group, inputs, shown in without_padding(encoder_of("fnet"), {"input_ids": ids}, mask):
        assert shown.all() and inputs["input_ids"].shape == shown.shape
        assert torch.equal(inputs["input_ids"], ids[group][:, : shown.shape[1]])
        seen += group.tolist()
    assert sorted(seen) == list(range(8))


@pytest.mark.parametrize("family", ["convbert", "fnet", "mobilebert", "nystromformer", "yoso"])
def test_those_that_read_padding_would_have_other_keys_with_it(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert family in PADDING_READERS
    encoder: Any = encoder_of(family, **READERS_SIZES.get(family, {}))
    texts = rows()
    nn.init.normal_(encoder.get_input_embeddings().weight)  # that of padding too, as in converted weights
    ids, mask = padded(texts, 0, 30)
    with torch.no_grad():
        expected = alone(encoder, texts, "mean")
        torch.testing.assert_close(embed(encoder, "mean", True, ids, mask), expected, rtol=1e-4, atol=1e-5)
        monkeypatch.setattr("mann_hf.controllers.padding.PADDING_READERS", frozenset())
        assert (embed(encoder, "mean", True, ids, mask) - expected).norm(dim=-1).max() > 1e-3


def test_a_text_of_fewer_tokens_than_a_family_takes_is_made_wide_enough() -> None:
    sizes = {"block_sizes": [1, 1], "block_repeats": [1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32}
    funnel = AutoConfig.for_model("funnel", vocab_size=60, num_decoder_layers=1, initializer_std=0.3, **sizes)
    canine = AutoConfig.for_model("canine", **SIZES, num_hash_buckets=50, max_position_embeddings=40)
    for config in (funnel, canine):
        encoder, texts = controller_of(TEXT).build(config).eval(), rows()
        found = embed(encoder, "mean", True, *padded(texts, 9))
        torch.testing.assert_close(found, alone(encoder, texts, "mean"), rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_text_of_groups() -> None:
    encoder = encoder_of("nystromformer").train()
    ids, mask = padded(rows(), 9)
    vectors = encoder.get_input_embeddings()(ids).detach().requires_grad_()  # type: ignore[operator]
    keys = embed(encoder, "mean", True, inputs_embeds=vectors, attention_mask=mask)
    (keys * torch.randn_like(keys)).sum().backward()
    assert vectors.grad is not None
    assert torch.equal(vectors.grad.abs().sum(-1) > 0, mask.bool())
