"""Poolings by name: pure functions from one vector for each token to one vector for each text.

Every pooling takes the hidden states `[B, L, H]` and the attention mask `[B, L]` (nonzero: a token of the text; zero:
padding) and gives `[B, H]`. Padding may be on either side and hold anything, NaN included. A text without a token
gives zeros. Half-precision input is accumulated and returned in float32; other input keeps its dtype.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InvalidInputError
from ..registry import Registry

Pooling = Callable[[Tensor, Tensor], Tensor]

POOLINGS: Registry[Pooling] = Registry("pooling")

JOINT = "+"
"""What stands between the names of poolings whose vectors are put one behind the other."""


def pooling_named(name: str) -> Pooling:
    """A pooling by its name in `POOLINGS`, or several, as in `"mean+max"`: [B, L, H] and [B, L] -> [B, n H].

    Raises:
        UnknownNameError: there is none of a name.
    """
    pools = [POOLINGS[one] for one in name.split(JOINT)]
    if len(pools) == 1:
        return pools[0]
    return lambda hidden, attention_mask: torch.cat([pool(hidden, attention_mask) for pool in pools], dim=-1)


def pooled_size(name: str, size: int) -> int:
    """The size of pooled states, from that of a token's."""
    return size * len(name.split(JOINT))


def _prepared(hidden: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The hidden states in at least float32 and the mask as booleans `[B, L]`, after a check of their shapes."""
    if hidden.dim() != 3 or attention_mask.shape != hidden.shape[:2]:
        raise InvalidInputError(
            f"pooling takes hidden states [B, L, H] and an attention mask [B, L], not {list(hidden.shape)} and "
            f"{list(attention_mask.shape)}; the mask must be the one that the encoder was called with."
        )
    if hidden.dtype in (torch.float16, torch.bfloat16):
        hidden = hidden.float()
    return hidden, attention_mask != 0


def _token_at(hidden: Tensor, present: Tensor, index: Tensor) -> Tensor:
    """The vectors at one position a text, `index` `[B]`; zeros for a text without a token."""
    vectors = hidden.gather(1, index[:, None, None].expand(-1, 1, hidden.shape[-1])).squeeze(1)
    return vectors.masked_fill(~present.any(1, keepdim=True), 0.0)


@POOLINGS.register("mean")
def mean(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The average over the text's tokens.

    Source: Reimers & Gurevych 2019, [Sentence-BERT](https://arxiv.org/abs/1908.10084), section 3, MEAN.
    """
    hidden, present = _prepared(hidden, attention_mask)
    total = hidden.masked_fill(~present[..., None], 0.0).sum(1)
    return total / present.sum(1, keepdim=True).clamp(min=1)


@POOLINGS.register("mean_sqrt_len")
def mean_sqrt_len(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The sum over the text's tokens by the root of their number.

    Source: Cer et al. 2018, [Universal Sentence Encoder](https://arxiv.org/abs/1803.11175), section 3.2.
    """
    hidden, present = _prepared(hidden, attention_mask)
    total = hidden.masked_fill(~present[..., None], 0.0).sum(1)
    return total / present.sum(1, keepdim=True).clamp(min=1).to(hidden.dtype).sqrt()


@POOLINGS.register("weighted_mean")
def weighted_mean(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    r"""$\sum_i \frac{i h_i}{\sum_j j}$ over the text's tokens: later ones have seen more.

    Source: Muennighoff 2022, [SGPT: GPT Sentence Embeddings for Semantic Search](https://arxiv.org/abs/2202.08904),
    equation 3.
    """
    hidden, present = _prepared(hidden, attention_mask)
    place = torch.arange(1, hidden.shape[1] + 1, device=hidden.device) - present.int().argmax(1, keepdim=True)
    weights = (place * present).to(hidden.dtype)
    total = (hidden.masked_fill(~present[..., None], 0.0) * weights[..., None]).sum(1)
    return total / weights.sum(1, keepdim=True).clamp(min=1)


@POOLINGS.register("cls")
def cls(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The text's first token, which is the class token of BERT-like tokenizers.

    Source: Devlin et al. 2019, [BERT: Pre-training of Deep Bidirectional
    Transformers](https://arxiv.org/abs/1810.04805), section 3.
    """
    hidden, present = _prepared(hidden, attention_mask)
    return _token_at(hidden, present, present.int().argmax(1))


@POOLINGS.register("max")
def maximum(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The largest value of each feature over the text's tokens.

    Source: Reimers & Gurevych 2019, [Sentence-BERT](https://arxiv.org/abs/1908.10084), section 3, MAX.
    """
    hidden, present = _prepared(hidden, attention_mask)
    largest = hidden.masked_fill(~present[..., None], -torch.inf).amax(1)
    return largest.masked_fill(~present.any(1, keepdim=True), 0.0)


@POOLINGS.register("last_token")
def last_token(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The text's last token, which in a causal model has seen the whole text.

    Source: Neelakantan et al. 2022, [Text and Code Embeddings by Contrastive
    Pre-Training](https://arxiv.org/abs/2201.10005), section 2.
    """
    hidden, present = _prepared(hidden, attention_mask)
    return _token_at(hidden, present, hidden.shape[1] - 1 - present.int().flip(1).argmax(1))
