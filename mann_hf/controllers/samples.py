"""Inputs for the example code of model cards."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SampleInputs:
    """Inputs of a modality as code writes them, for the card of a model whose memory has none to show.

    Args:
        question: an input to classify.
        labelled: inputs to teach, with the label of each.
        measured: inputs to teach, with the number of each.
        measured_question: an input whose number is asked for; None for `question`.
    """

    question: str
    labelled: Mapping[str, str] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    measured_question: str | None = None
