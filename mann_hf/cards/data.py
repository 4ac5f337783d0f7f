"""Facts for a model card that the model itself does not have: how it was trained and evaluated."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError

Number = int | float
LARGEST_NUMBER = 1e20
DEEPEST = 16
"""Largest number of nested objects and lists in a file; five are written."""


@strict
@dataclass
class EvaluationResult:
    """One measured figure.

    Args:
        metric: the name of the metric in `evaluate`: `"accuracy"`, `"f1"`, `"mse"`, ...
        value: the figure; accuracies and similar metrics as a share from 0 to 1.
        dataset: the data set's name for readers.
        task: the test, such as `"5-way 1-shot, classes that training never saw"`.
        interval: half the width of the 95 % interval, in the same unit.
        ends: the two ends of the interval, if the value is not in its middle.
        measured_by: the command that measured the figure, which replaces it when it runs again; empty for your own
            figures.
        before: the figure of the same encoder before training.
        count: number of inputs or episodes in the mean.
        dataset_id: the data set's name on the Hub. Results with one are also written to `.eval_results`.
        dataset_split: the split of the data set.
        dataset_revision: the version of the data set.
        date: the date of the measurement, `YYYY-MM-DD`.
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
        """What identifies the figure: a new one with the same identity replaces it."""
        return self.metric, self.dataset, self.task, self.dataset_split


@strict
@dataclass
class TrainingData:
    """A data set that a model was trained on.

    Args:
        name: the name for readers.
        classes: number of classes.
        texts: number of texts, or of other inputs.
        dataset_id: the name on the Hub.
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
        data: the training data.
        settings: hyperparameters by name.
        steps: number of optimizer steps.
        episodes: number of training episodes.
        best_step: the step of these weights, if the best checkpoint was kept.
        seconds: training time.
        energy_kwh: energy used by the machine in kWh, if codecarbon was installed.
        hardware: the hardware used.
        versions: package versions.
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
        self.data = [_read(TrainingData, each) for each in self.data]


@strict
@dataclass
class MANNModelCardData:
    """Facts for a model's card that the model itself does not show; a model keeps them as `model_card_data`.

    Args:
        model_name: the card's title; by default the name of the repository or folder.
        language: language of the texts, as ISO codes: `"en"` or `["de", "fr"]`.
        license: a license identifier of the Hub, such as `"apache-2.0"`.
        tags: further tags for the Hub's search.
        datasets: names on the Hub of data sets the model was taught or trained with, besides those of `training`.
        description: a paragraph about this model.
        limits: what the model should not be used for, a sentence each, in addition to what every card says.
        training: how the model was trained.
        earlier_training: how it was trained before that, the oldest first.
        results: measured figures.
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
        self.earlier_training = [_read(TrainingRecord, each) for each in self.earlier_training]
        self.results = [_read(EvaluationResult, each) for each in self.results]

    @classmethod
    def from_json(cls, text: str) -> "MANNModelCardData":
        """Reads JSON that `to_json` wrote. All fields are checked, because the file may come from a stranger.

        Raises:
            ValueError: it is no JSON of this form.
        """
        try:
            facts = json.loads(text, parse_constant=_refuse, parse_float=_number, parse_int=_number)
            _check_depth(facts)
            if isinstance(facts, dict) and facts.get("training") is not None:
                facts["training"] = _read(TrainingRecord, facts["training"])
            return _read(cls, facts)
        except (TypeError, RecursionError, StrictDataclassError) as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> str:
        """The facts as JSON, without empty fields."""
        return json.dumps(_without_empty(asdict(self)), indent=1, ensure_ascii=False) + "\n"

    def replace_results(
        self,
        measured_by: str,
        results: list[EvaluationResult],
        dataset: str | None = None,
        split: str | None = None,
    ) -> None:
        """Replaces the figures that a command measured before, of all data sets or of one.

        Args:
            measured_by: the command.
            results: the new figures.
            dataset: the data set whose figures are replaced; None for all.
            split: the split of that data set.
        """
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


def _without_empty(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _without_empty(value) for name, value in data.items() if value not in (None, [], {}, "")}
    return [_without_empty(value) for value in data] if isinstance(data, list) else data


def _number(text: str) -> int | float:
    """Reads a number, if it is small enough for every JSON reader."""
    number = float(text)
    if abs(number) > LARGEST_NUMBER:
        raise ValueError(f"{text[:20]}... is too large")
    return number if "." in text or "e" in text.lower() else int(text)


def _check_depth(data: Any, left: int = DEEPEST) -> None:
    """Refuses data that are nested too deep to be copied and shown."""
    if isinstance(data, dict | list):
        if not left:
            raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        for value in data.values() if isinstance(data, dict) else data:
            _check_depth(value, left - 1)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _read(kind: Any, data: Any) -> Any:
    """An object, made of its fields if it is none yet; unknown ones, which a later version may add, are left out."""
    if isinstance(data, kind):
        return data
    if not isinstance(data, Mapping):
        raise ValueError(f"{str(data)[:80]!r} is no {kind.__name__}")
    known = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in data.items() if name in known})
