"""One step of episodic training: from a batch of episodes to the loss."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..errors import InvalidInputError
from ..memory import Reading
from ..models.episode_batch import EpisodeBatch
from ..models.episode_keys import EpisodeKeys
from .kinds import kind_of

EpisodeLoss = Callable[[Reading, EpisodeKeys], tuple[Tensor, Tensor | None]]
"""Loss function of an episode batch: from a reading and the episodes' keys to the loss and, if it answers queries,
their logits."""


class StepOutput(NamedTuple):
    """Output of an `EpisodicStep`.

    Attributes:
        loss: of the batch; a single number.
        logits: [B, Q, N] of the queries, of pairs [B, Q, T, V]; None if the objective does not answer them.
    """

    loss: Tensor
    logits: Tensor | None


class EpisodicStep(nn.Module):
    """A model and an objective as one module, so that DDP, FSDP and `torch.func.functional_call` take both at once.

    `step(batch).loss` writes each episode's support to a memory that lives for this call, reads it for the queries, and
    compares the answers with their labels. The gradient reaches all parameters of the model.

    Args:
        model: a memory-augmented model, such as `MANNForSequenceClassification`.
        objective: the loss function, such as `OBJECTIVES["episode"]()`, or a `Regularized` one; regularizers start from
            the weights that the model has now.
    """

    def __init__(self, model: Any, objective: EpisodeLoss) -> None:
        super().__init__()
        self.model, self.objective, self.kind = model, objective, kind_of(model)
        if hasattr(objective, "start"):
            objective.start(model)

    def forward(self, batch: EpisodeBatch) -> StepOutput:
        """The loss of a batch, and the logits of its queries.

        Args:
            batch: B episodes, as from `EpisodeCollator`.

        Raises:
            InvalidInputError: the batch has no labels, or names inputs or labels that there are not.
        """
        if batch.labels is None:
            raise InvalidInputError("a step takes the queries' labels [B, Q]; -100 marks those that are not asked.")
        return StepOutput(*self.kind.loss(self.model, self.objective, batch))


def run_wrapped(wrapped: nn.Module, step: EpisodicStep, batch: EpisodeBatch) -> StepOutput:
    """Runs a step through what wraps its model alone, such as DDP or FSDP.

    Wrappers prepare gradients and gather weights as their `forward` is called, and call the model's `forward` in turn;
    for this call it takes batches of episodes, too, and gives them to the step. So a `Trainer` can save, load and count
    the model as it knows it. (PyTorch Lightning runs `training_step` through its wrappers in the same way.) Other
    threads may call the model meanwhile.
    """
    with _taking_episodes(step.model, step.forward):
        return wrapped(batch)


@contextmanager
def _taking_episodes(model: nn.Module, step: Callable[[EpisodeBatch], StepOutput]) -> Iterator[None]:
    own = vars(model).get("forward")  # Accelerate puts one there for mixed precision
    usual = model.forward

    @functools.wraps(usual)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return step(*args) if args and isinstance(args[0], EpisodeBatch) else usual(*args, **kwargs)

    vars(model)["forward"] = forward
    try:
        yield
    finally:
        if own is None:
            del vars(model)["forward"]
        else:
            vars(model)["forward"] = own
