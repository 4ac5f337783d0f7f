"""The protocol of targets: what the values of a memory mean."""

import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from ..registry import Registry
from .label_tensors import IGNORED, mean_over_episodes, with_dimensions_of
from .schema import LabelSchema

SINGLE_LABEL = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
REGRESSION = "regression"
TOKEN_IDS = "token_ids"


class Targets(LabelSchema):
    """What the values of a memory mean: how labels become values, and how what is read of them becomes an answer.

    A kind of targets has no state; `targets_of(name)` gives the one value of each. A new kind is a class in a file of
    its own, registered in `TARGETS`. Labels of queries are tensors that `loss` takes; -100 leaves a query out, except
    of numbers, where NaN does.

    Shapes: B episodes, S slots, Q queries, V outputs. Values are [B, S, V], or [B, S] where integers stand for outputs.
    Without episodes there is no B.

    Attributes:
        dense: whether values are rows of V numbers. If not, they are integers, each of which is one of the outputs.
        calibrated: whether logits are turned into probabilities by a sharpness that can be fitted. If not, scores are
            the answer.
        centred: whether a reading that is fitted to values takes them around their mean.
        default_reading: the name of the way of reading that a configuration takes if none is asked for.
    """

    dense: ClassVar[bool] = True
    calibrated: ClassVar[bool] = True
    centred: ClassVar[bool] = False
    default_reading: ClassVar[str] = "logistic"

    def __reduce__(self) -> Any:
        return targets_of, (self.name,)  # a copy is the same value

    def is_of(self, problem_type: Any) -> bool:
        """Whether these are the targets that a configuration's `problem_type` names; None stands for one label."""
        return bool((problem_type or SINGLE_LABEL) == self.name)

    def value_size(self, num_labels: int | None) -> int:
        """V of an empty memory, for a configuration's number of outputs; 0 where examples will bring their names."""
        return 0 if self.named else num_labels or 1

    @abstractmethod
    def encode(self, labels: Sequence[Any], names: Sequence[str], size: int) -> Tensor:
        """The values that stand for N spelled labels: [N, V], or [N] where integers stand for outputs.

        Args:
            labels: N labels, spelled.
            names: the names of the outputs, where they have names.
            size: V.

        Raises:
            InvalidInputError: a label that does not fit the outputs.
        """

    @abstractmethod
    def decode(self, values: Tensor, names: Sequence[str]) -> list[Any]:
        """The spelled labels that N values stand for.

        Args:
            values: from `encode`.
            names: the names of the outputs, where they have names.
        """

    @abstractmethod
    def support_values(self, labels: Tensor, n_way: int | None = None) -> tuple[Tensor, Tensor]:
        """The values that labels write, and the mask [B, S] of those that are examples; -100 marks padding.

        Args:
            labels: [B, S], or rows [B, S, V].
            n_way: N, the labels in an episode, where labels are whole numbers; one more than the largest if left out.

        Raises:
            InvalidInputError: labels of another shape or type, or outside of the N.
        """

    @abstractmethod
    def check_query_labels(self, labels: Tensor, queries: Sequence[int], count: int) -> None:
        """Raises an error that says what is wrong with queries' labels, if anything is.

        Args:
            labels: as `loss` takes them.
            queries: the shape of what is asked, [...].
            count: V.

        Raises:
            InvalidInputError: labels of another shape, or that the memory does not have.
        """

    @abstractmethod
    def has_label(self, labels: Tensor, dimensions: int) -> Tensor:
        """Which queries [...] have a label.

        Args:
            labels: as `loss` takes them.
            dimensions: of the logits.
        """

    def without_queries(self, labels: Tensor, absent: Tensor) -> Tensor:
        """Labels of queries in which absent queries are marked, so that a loss leaves them out.

        Args:
            labels: as `loss` takes them.
            absent: [...], the queries that are not there.
        """
        return labels.masked_fill(with_dimensions_of(absent, labels), IGNORED)

    def values_of(self, labels: Tensor, count: int) -> Tensor:
        """The values that queries' labels would write, zero where there is none: [B, Q, V], or [B, Q] of integers.

        Args:
            labels: as `loss` takes them.
            count: V.
        """
        raise NotImplementedError

    def labels_of(self, values: Tensor, mask: Tensor) -> Tensor:
        """The labels of stored examples as `loss` takes them, for losses that read a memory by its own examples.

        Args:
            values: of the slots.
            mask: [B, S], the slots that serve as queries; the others are marked as without a label.
        """
        return self.without_queries(values, ~mask)

    @abstractmethod
    def losses(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each query, [...], and which of them have a label; `labels` are checked."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean loss over an episode's queries that have a label, 0 where none has, then the mean over the episodes.

        See `mean_over_episodes`. All parameters are in the graph: each process of a run can then take its part in the
        step. Without episodes it is the mean over queries.

        Args:
            logits: [B, Q, V] or [Q, V].
            labels: [B, Q], or rows [B, Q, V]; without B where logits are. A mark leaves a query out.

        Raises:
            InvalidInputError: labels of another shape, or that the logits do not have.
        """
        labels = labels.to(logits.device)
        self.check_query_labels(labels, logits.shape[:-1], logits.shape[-1])
        return mean_over_episodes(*self.losses(logits, labels))

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """The scores [Q, V] of logits, as people see them."""

    def calibration_loss(self, logits: Tensor, values: Tensor) -> Tensor:
        """The sum of the losses of N answers, to which a sharpness is fitted; of kinds that are `calibrated`.

        Args:
            logits: [N, V].
            values: what is true, [N, V].
        """
        raise NotImplementedError

    def fit_values(self, values: Tensor) -> Tensor:
        """The targets of least squares for given values, of the same shape."""
        return values

    def read(self, weights: Tensor, values: Tensor, outputs: int | None = None) -> Tensor:
        r"""The weighted sum $\sum_i w_i v_i$ of values, [B, Q, V].

        Args:
            weights: read weights [B, Q, S].
            values: of the slots.
            outputs: V, where values do not say it.
        """
        return weights @ values.to(weights.dtype)

    def of_output(self, values: Tensor, output: int) -> Tensor:
        """The share of one output in the value of each slot.

        Args:
            values: [..., V], or whole numbers [...].
            output: which of the V.
        """
        return values[..., output]

    def read_logits(self, weights: Tensor, values: Tensor, floor: float, outputs: int | None = None) -> Tensor:
        """The logits [B, Q, V] of what is read by weights that add up to 1.

        Args:
            weights: read weights [B, Q, S]; all 0 where the memory is empty.
            values: of the slots.
            floor: the smallest probability that logits stand for.
            outputs: V, where values do not say it.
        """
        return self.read(weights, values, outputs)

    def read_of_logits(self, logits: Tensor) -> Tensor:
        """The inverse of `read_logits`: the weighted sum of values, from its logits."""
        return logits


TARGETS: Registry[type[Targets]] = Registry("problem type")


def targets_of(problem_type: str | None) -> Targets:
    """The targets of a configuration's `problem_type`; None stands for one label.

    Raises:
        UnknownNameError: there are no such targets.
    """
    return _value_of(TARGETS[problem_type or SINGLE_LABEL])


def problem_types() -> tuple[str, ...]:
    """The names of targets that ways of reading can serve: those whose values are rows of numbers."""
    return tuple(name for name, kind in TARGETS.items() if kind.dense)


@functools.cache
def _value_of(kind: type[Targets]) -> Targets:
    return kind()
