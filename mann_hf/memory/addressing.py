"""Addressing as pure functions: tensors in, weights out, one equation each."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .stores.exact import nearest

UNIT_EPSILON = 1e-12
"""Below this length a vector counts as zero when it is brought to unit length."""


def unit(vectors: Tensor) -> Tensor:
    """Vectors brought to unit length along the last dimension; a zero vector stays zero.

    Shapes: [..., K] -> [..., K]
    """
    return F.normalize(vectors, dim=-1, eps=max(UNIT_EPSILON, torch.finfo(vectors.dtype).tiny))


def cosine_similarity(keys: Tensor, queries: Tensor) -> Tensor:
    r"""$s_i = \frac{k_i \cdot q}{\lVert k_i \rVert \lVert q \rVert}$.

    Source: Graves et al. 2014, [Neural Turing Machines](https://arxiv.org/abs/1410.5401), equation 6.

    Shapes: keys [B, S, K], queries [B, Q, K] -> [B, Q, S]
    """
    return unit(queries) @ unit(keys).mT


def dot_similarity(keys: Tensor, queries: Tensor) -> Tensor:
    r"""$s_i = k_i \cdot q$. Shapes: keys [B, S, K], queries [B, Q, K] -> [B, Q, S]"""
    return queries @ keys.mT


def euclidean_similarity(keys: Tensor, queries: Tensor) -> Tensor:
    r"""$s_i = -\lVert k_i - q \rVert^2$.

    Source: Snell et al. 2017, [Prototypical Networks for Few-shot Learning](https://arxiv.org/abs/1703.05175), section
    2.3.

    Shapes: keys [B, S, K], queries [B, Q, K] -> [B, Q, S]
    """
    squares = queries.square().sum(-1)[..., :, None] + keys.square().sum(-1)[..., None, :]
    return 2 * (queries @ keys.mT) - squares


def bilinear_similarity(keys: Tensor, queries: Tensor, weight: Tensor) -> Tensor:
    r"""$s_i = q^\top M k_i$ with a learned $M$.

    Source: Luong et al. 2015, [Effective Approaches to Attention-based Neural Machine
    Translation](https://arxiv.org/abs/1508.04025), section 3.1, "general".

    Shapes: keys [B, S, K], queries [B, Q, K], weight [K, K] -> [B, Q, S]
    """
    return (queries @ weight.to(queries.dtype)) @ keys.mT


def content_weights(
    scores: Tensor, sharpness: Tensor | float = 1.0, mask: Tensor | None = None, counts: Tensor | None = None
) -> Tensor:
    r"""$w_i = \frac{n_i \exp(\beta s_i)}{\sum_j n_j \exp(\beta s_j)}$.

    Source: Graves et al. 2014, [Neural Turing Machines](https://arxiv.org/abs/1410.5401), equation 5, where all $n_i =
    1$.

    Args:
        scores: [B, Q, S] similarities.
        sharpness: β, a number or a tensor that broadcasts to `scores`.
        mask: [B, S], whether a slot may be read. A query without a slot to read gets zero weights.
        counts: [B, S], how many examples a slot stands for.

    Returns:
        [B, Q, S] weights that sum to 1.
    """
    scores = sharpened(scores, sharpness)
    if counts is not None:
        scores = scores + counts.clamp_min(1).to(scores.dtype).log()[..., None, :]
    if mask is not None:
        scores = scores.masked_fill(~mask[..., None, :], float("-inf"))
    return nan_free_softmax(scores)


def sharpened(scores: Tensor, sharpness: Tensor | float) -> Tensor:
    """Scores times β. Minus infinity, the score of what is closed, stays itself and gives β no gradient (0 · ∞)."""
    if isinstance(sharpness, Tensor) and not (torch.is_grad_enabled() and sharpness.requires_grad):
        return scores * sharpness.clamp_min(torch.finfo(sharpness.dtype).tiny)
    closed = torch.isneginf(scores)
    return (scores.masked_fill(closed, 0) * sharpness).masked_fill(closed, float("-inf"))


def nan_free_softmax(scores: Tensor) -> Tensor:
    """Softmax along the last dimension that gives zeros where every score is minus infinity."""
    closed = torch.isneginf(scores).all(dim=-1, keepdim=True)
    return scores.masked_fill(closed, 0.0).softmax(dim=-1).masked_fill(closed, 0.0)


def nearest_slots(keys: Tensor, queries: Tensor, k: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """For each query the k slots of its episode with the largest inner products.

    Args:
        keys: [B, S, K].
        queries: [B, Q, K].
        k: how many; all of them where there are fewer.
        mask: [B, S], the slots that may be read.

    Returns:
        Inner products and slots, [B, Q, k], best first. In an episode of fewer slots than others have, the rest are
        slot 0 with minus infinity.
    """
    found = [
        nearest(keys[b], queries[b], k, None if mask is None else mask[b]) for b in range(keys.shape[0])
    ]  # a loop over episodes: each searches its own slots
    widest = max((scores.shape[-1] for scores, _ in found), default=0)
    scores = torch.stack([F.pad(s, (0, widest - s.shape[-1]), value=float("-inf")) for s, _ in found])
    return scores, torch.stack([F.pad(i, (0, widest - i.shape[-1])) for _, i in found])


def sparse_content_weights(
    keys: Tensor, queries: Tensor, k: int, sharpness: Tensor | float = 1.0, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Content weights over the k slots of the largest inner product, zero elsewhere.

    Source: Rae et al. 2016, [Scaling Memory-Augmented Neural Networks with Sparse Reads and
    Writes](https://arxiv.org/abs/1610.09027), section 3.1.

    Only the slots read receive gradients. With unit keys and queries the inner product is the cosine.

    Args:
        keys: [B, S, K].
        queries: [B, Q, K].
        k: how many slots a query reads; all of them when there are fewer.
        sharpness: β.
        mask: [B, S], whether a slot may be read.

    Returns:
        Weights [B, Q, k] that sum to 1 and the slots [B, Q, k] they belong to, best first. In an episode with fewer
        than k readable slots the rest are weight zero at slot 0.
    """
    scores, slots = nearest_slots(keys, queries, k, mask)
    return nan_free_softmax(sharpened(scores, sharpness)), slots
