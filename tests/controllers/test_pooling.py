"""Each pooling against a loop over single texts in float64, then what must stay true of any input."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mann_hf.controllers.pooling import POOLINGS, pooled_size, pooling_named
from mann_hf.errors import InvalidInputError, UnknownNameError

B, L, H = 4, 6, 3
LENGTHS = [6, 1, 3, 4]

REFERENCES = {
    "mean": lambda tokens: sum(tokens) / len(tokens),
    "cls": lambda tokens: tokens[0],
    "max": lambda tokens: np.max(np.stack(tokens), axis=0),
    "last_token": lambda tokens: tokens[-1],
    "mean_sqrt_len": lambda tokens: sum(tokens) / len(tokens) ** 0.5,
    "weighted_mean": lambda tokens: (
        sum((n + 1) * token for n, token in enumerate(tokens)) / sum(range(1, len(tokens) + 1))
    ),
}

every_pooling = pytest.mark.parametrize("name", POOLINGS.names())


def mask_of(lengths: list[int], side: str, width: int = L) -> Tensor:
    rows = [[1] * length + [0] * (width - length) for length in lengths]
    return torch.tensor([row if side == "right" else row[::-1] for row in rows])


def test_every_pooling_has_a_reference():
    assert sorted(POOLINGS.names()) == sorted(REFERENCES)


@every_pooling
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("mask_type", [torch.long, torch.bool, torch.float32])
def test_pools_as_a_loop_over_the_tokens_does(name, side, mask_type):
    hidden = torch.randn(B, L, H, dtype=torch.float64)
    mask = mask_of(LENGTHS, side)
    expected = [
        REFERENCES[name]([hidden[row, column].numpy() for column in range(L) if mask[row, column]]) for row in range(B)
    ]
    pooled = POOLINGS[name](hidden, mask.to(mask_type))
    assert pooled.dtype == torch.float64
    np.testing.assert_allclose(pooled.numpy(), np.stack(expected), rtol=1e-14, atol=1e-14)


def test_vectors_of_several_stand_one_behind_the_other():
    hidden, mask = torch.randn(B, L, H), mask_of(LENGTHS, "right")
    joint = pooling_named("max+cls+mean")(hidden, mask)
    assert torch.equal(joint, torch.cat([POOLINGS[name](hidden, mask) for name in ("max", "cls", "mean")], dim=-1))
    assert joint.shape[-1] == pooled_size("max+cls+mean", H)
    assert pooling_named("mean") is POOLINGS["mean"]
    with pytest.raises(UnknownNameError, match="median"):
        pooling_named("mean+median")


@every_pooling
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("filler", [7.0, torch.nan, torch.inf])
def test_padding_changes_nothing_whatever_it_holds(name, side, filler):
    hidden = torch.randn(B, L, H, dtype=torch.float64, requires_grad=True)
    padding = torch.full((B, 2, H), filler, dtype=torch.float64)
    parts, masks = [hidden, padding], [torch.ones(B, L), torch.zeros(B, 2)]
    if side == "left":
        parts, masks = parts[::-1], masks[::-1]
    plain = POOLINGS[name](hidden, torch.ones(B, L))
    padded = POOLINGS[name](torch.cat(parts, 1), torch.cat(masks, 1))
    torch.testing.assert_close(padded, plain, rtol=0, atol=1e-15)
    weights = torch.randn(B, H, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad((padded * weights).sum(), hidden),
        torch.autograd.grad((plain * weights).sum(), hidden),
        rtol=0,
        atol=1e-15,
    )


@every_pooling
@pytest.mark.parametrize("side", ["right", "left"])
def test_gradients(name, side):
    hidden = torch.randn(B, L, H, dtype=torch.float64, requires_grad=True)
    mask = mask_of([6, 1, 3, 0], side)
    assert torch.autograd.gradcheck(lambda hidden: POOLINGS[name](hidden, mask), hidden)


@every_pooling
def test_a_text_without_tokens_gives_zeros_and_leaves_the_others_alone(name):
    hidden = torch.randn(2, L, H)
    mask = mask_of([0, 4], "right")
    pooled = POOLINGS[name](hidden, mask)
    assert pooled[0].tolist() == [0.0] * H
    assert torch.equal(pooled[1:], POOLINGS[name](hidden[1:], mask[1:]))


@every_pooling
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_accumulated_and_returned_in_float32(name, dtype):
    hidden = (1 + torch.rand(2, 4096, H)).to(dtype)  # a half-precision sum would stop growing, or overflow
    mask = torch.ones(2, 4096)
    pooled = POOLINGS[name](hidden, mask)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled.double(), POOLINGS[name](hidden.double(), mask), rtol=1e-6, atol=0)


@every_pooling
def test_texts_of_a_batch_do_not_touch(name):
    hidden, mask = torch.randn(B, L, H), mask_of(LENGTHS, "right")
    alone = [POOLINGS[name](hidden[row : row + 1], mask[row : row + 1]) for row in range(B)]
    torch.testing.assert_close(POOLINGS[name](hidden, mask), torch.cat(alone))


@every_pooling
@pytest.mark.parametrize("shape", [(B,), (B, L + 1), (1, L), (B, 1, 1, L)])
def test_a_mask_of_another_shape_is_refused(name, shape):
    with pytest.raises(InvalidInputError, match=r"\[4, 6, 3\]"):
        POOLINGS[name](torch.randn(B, L, H), torch.ones(shape))
