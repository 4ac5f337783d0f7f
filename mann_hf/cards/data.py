"""What a model card says that neither weights nor memory tell: how a model was trained, and what was measured of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError

Number = int | float
LARGEST_NUMBER = 1e20
DEEPEST = 16
"""Levels of objects and lists in what is read; what is written has five."""


@strict
@dataclass
class EvaluationResult:
    """One measured figure.

    Args:
        metric: its name, as `evaluate` has it: `"accuracy"`, `"f1"`, `"mse"`, ...
        value: of it; accuracies and the like as a share from 0 to 1.
        dataset: the data set's name, for people.
        task: what was asked, such as `"5-way 1-shot, classes that training never saw"`.
        interval: half of its 95 % interval, in the same unit.
        ends: the interval's two ends, where the value is not in its middle.
        measured_by: what wrote the figure, which replaces it where it measures anew; empty for one of your own.
        before: the figure of the same encoder before it was trained.
        count: how many texts or episodes it is the mean of.
        dataset_id: the data set's name on the Hub. Results that have one go into `.eval_results`, too.
        dataset_split: which part of it.
        dataset_revision: which version of it.
        date: when it was measured, `YYYY-MM-DD`.
    """

    metric: str
    value: Number
    dataset: str
    task: str = ""
    interval: Number | None = None
    before: Number | None = None
    count: int | None = None
    dataset_id: str | None = None
    dataset_split: str | None = None
    dataset_revision: str | None = None
    date: str | None = None
    ends: list[Number] | None = None
    measured_by: str = ""

    def measures(self) -> tuple[str | None, ...]:
        """What it is a figure of: another of the same takes its place."""
        return self.metric, self.dataset, self.task, self.dataset_split


@strict
@dataclass
class TrainingData:
    """A data set that a model was trained on.

    Args:
        name: for people.
        classes: how many.
        texts: how many.
        dataset_id: its name on the Hub.
    """

    name: str
    classes: int | None = None
    texts: int | None = None
    dataset_id: str | None = None


@strict
@dataclass
class TrainingRecord:
    """How a model was trained.

    Args:
        data: what on.
        settings: hyperparameters by name.
        steps: of the optimizer.
        episodes: that were drawn in them.
        best_step: the step whose weights these are, where the best were kept.
        seconds: that it took.
        energy_kwh: that the machine used for it, in kWh, where codecarbon was installed.
        hardware: on what.
        versions: of the packages it was done with.
    """

    data: list = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int | None = None
    episodes: int | None = None
    best_step: int | None = None
    seconds: Number | None = None
    energy_kwh: Number | None = None
    hardware: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = [each if isinstance(each, TrainingData) else _read(TrainingData, each) for each in self.data]


@strict
@dataclass
class MANNModelCardData:
    """What the card of a model says beside what the model shows by itself. A model keeps it as `model_card_data`.

    Args:
        model_name: the card's title; by default the name of the repository or folder.
        language: of the texts, as ISO codes: `"en"` or `["de", "fr"]`.
        license: an identifier that the Hub knows, such as `"apache-2.0"`.
        tags: further ones for the Hub's search.
        datasets: names on the Hub of what the model was taught or trained with, beside those of `training`.
        description: a paragraph about this model.
        limits: what it should not be used for, a sentence each, beside what every card says.
        training: how it was trained.
        earlier_training: how it had been trained before that, the first time first.
        results: what was measured of it.
    """

    model_name: str | None = None
    language: str | list[str] | None = None
    license: str | None = None
    tags: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    description: str | None = None
    limits: list[str] = field(default_factory=list)
    training: TrainingRecord | None = None
    earlier_training: list = field(default_factory=list)
    results: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self.earlier_training = [
            each if isinstance(each, TrainingRecord) else _read(TrainingRecord, each) for each in self.earlier_training
        ]
        self.results = [
            each if isinstance(each, EvaluationResult) else _read(EvaluationResult, each) for each in self.results
        ]

    @classmethod
    def from_json(cls, text: str) -> "MANNModelCardData":
        """What `to_json` wrote. A stranger may have written it, so every field is checked.

        Raises:
            ValueError: it is something else.
        """
        try:
            told = json.loads(text, parse_constant=_refuse, parse_float=_number, parse_int=_number)
            _check_depth(told)
            if isinstance(told, dict) and told.get("training") is not None:
                told["training"] = _read(TrainingRecord, told["training"])
            return _read(cls, told)
        except (TypeError, RecursionError, StrictDataclassError) as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> str:
        """As JSON, without what is not said."""
        return json.dumps(_said(asdict(self)), indent=1, ensure_ascii=False) + "\n"

    def replace_results(
        self,
        measured_by: str,
        results: list[EvaluationResult],
        dataset: str | None = None,
        split: str | None = None,
    ) -> None:
        """Puts figures in place of the earlier ones of what measured them, of one part of a data set if it is named."""
        self.results = [
            other
            for other in self.results
            if other.measured_by != measured_by
            or (dataset is not None and (other.dataset, other.dataset_split) != (dataset, split))
        ]
        for result in results:
            self.add_result(result)

    def add_result(self, result: EvaluationResult) -> None:
        """Adds a figure, in place of an earlier one of the same metric, data and task."""
        self.results = [other for other in self.results if other.measures() != result.measures()] + [result]


def _said(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _said(value) for name, value in told.items() if value not in (None, [], {}, "")}
    return [_said(value) for value in told] if isinstance(told, list) else told


def _number(text: str) -> int | float:
    """A number that every JSON reader keeps, and that can be shown."""
    number = float(text)
    if abs(number) > LARGEST_NUMBER:
        raise ValueError(f"{text[:20]}... is too large")
    return number if "." in text or "e" in text.lower() else int(text)


def _check_depth(told: Any, left: int = DEEPEST) -> None:
    """Refuses lists in lists in lists, which would later be too deep to be copied and shown."""
    if isinstance(told, dict | list):
        if not left:
            raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        for value in told.values() if isinstance(told, dict) else told:
            _check_depth(value, left - 1)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _read(kind: Any, told: Any) -> Any:
    """An object of its fields; what a later release may have added is left out."""
    if not isinstance(told, Mapping):
        raise ValueError(f"{str(told)[:80]!r} is no {kind.__name__}")
    known = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in told.items() if name in known})
