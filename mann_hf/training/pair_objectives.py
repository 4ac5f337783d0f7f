"""Loss functions over a batch of episodes of pairs, by name."""

from typing import Any

from torch import Tensor

from ..errors import InvalidInputError
from ..registry import Registry
from ..targets.label_tensors import cross_entropies, mean_over_episodes

PAIR_OBJECTIVES: Registry[type["PairCrossEntropy"]] = Registry("objective of episodes of pairs")


@PAIR_OBJECTIVES.register("episode")
class PairCrossEntropy:
    """Cross entropy of the query targets' tokens, given the support: the mean in each episode, then over B episodes.

    Source: Lake 2019, [Compositional generalization through meta sequence-to-sequence
    learning](https://arxiv.org/abs/1906.05381), section 3. An episode without queries counts as 0.

    Args:
        label_smoothing: the share of each token's probability that is spread evenly over the vocabulary in training.
    """

    needs_queries = True
    needs_names = False

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not isinstance(label_smoothing, int | float) or not 0 <= label_smoothing < 1:
            raise InvalidInputError(f"label_smoothing is {label_smoothing!r}; give a share from 0 to below 1.")
        self.label_smoothing = label_smoothing

    def __call__(self, reading: Any, episodes: Any) -> tuple[Tensor, Tensor]:
        """The loss, and logits [B, Q, T, V].

        Args:
            reading: the model's `GenerationMemory`; it has no part here, as the episodes are read already.
            episodes: with `logits` [B, Q, T, V] and `labels` [B, Q, T], as a model of pairs gives them.
        """
        losses = token_losses(episodes.logits, episodes.labels, self.label_smoothing)
        return mean_over_episodes(*losses), episodes.logits


def token_losses(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """The cross entropy of each token, and which tokens there are.

    Args:
        logits: [B, Q, T, V].
        labels: [B, Q, T]; -100 is no token.
        label_smoothing: see `PairCrossEntropy`.

    Returns:
        [B, Q · T] each.
    """
    return cross_entropies(logits.flatten(1, 2).float(), labels.flatten(1), label_smoothing)
