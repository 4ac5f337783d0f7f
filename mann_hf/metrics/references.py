"""What the modules of `evaluate` for generated texts share: the right texts, one or several for each input."""

from itertools import zip_longest
from typing import Any

import datasets
import evaluate

NOTHING = "there is nothing to compare: no predictions and no references."


class SequenceMetric(evaluate.Metric):
    """A module whose predictions and references may come in several forms.

    A module names it as `references.SequenceMetric`: `evaluate` takes the first class of metrics that it finds.
    """

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Adds a batch, which `evaluate` could not tell the form of if it were empty.

        Raises:
            ValueError: there are no predictions and no references.
        """
        both = (predictions, references)
        if all(each is not None and len(each) == 0 for each in both):
            raise ValueError(NOTHING)
        super().add_batch(predictions=predictions, references=references, **kwargs)


def features_of_texts() -> list[datasets.Features]:
    """Features of predictions that are texts and references that are lists of texts, or texts."""
    text = datasets.Value("string")
    return [datasets.Features({"predictions": text, "references": kind}) for kind in (datasets.Sequence(text), text)]


def listed(references: Any) -> list[list[str]]:
    """The references of each input as a list.

    Raises:
        ValueError: there are no inputs, or one has no reference.
    """
    several = [[one] if isinstance(one, str) else list(one) for one in references]
    if not several:
        raise ValueError(NOTHING)
    if not all(several):
        raise ValueError(f"input {several.index([])} (counted from 0) has no reference; give each at least one.")
    return several


def in_columns(references: Any) -> list[list[str | None]]:
    """The first references of all inputs, then the second, and so on, None where an input has fewer, for sacrebleu."""
    return [list(column) for column in zip_longest(*listed(references))]
