"""The protocol of kinds of episodes: what training differs in from one kind of model to another."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from ..episodes import SeededEpisodes
from ..errors import InvalidInputError, InvalidTypeError
from ..registry import Registry
from .arguments import EpisodicTrainingArguments
from .options import make

LABELS = "labels"
"""The kind of models that say no kind of their own."""


class EpisodeKind(ABC):
    """What episodes of one kind are drawn by, packed by, learned from and measured by.

    A model names its kind by its class attribute `episode_kind`; models without one have labelled inputs.

    Attributes:
        name: in `EPISODE_KINDS`.
        sampler_class: draws episodes from data sets.
        collator_class: makes batches of episodes, by its `for_model`.
        objectives: the loss functions by name.
        settings: arguments of the trainer that its samplers take.
        needs: attributes that a model needs.
        metric: by which the best model is chosen if nothing else is asked for.
        figures: the metrics of an evaluation, beside the loss.
        model_settings: fields of a model's configuration that a resumed run must share with its checkpoints.
    """

    name: ClassVar[str]
    sampler_class: ClassVar[Any]
    collator_class: ClassVar[Any]
    objectives: ClassVar[Registry]
    settings: ClassVar[frozenset[str]]
    needs: ClassVar[tuple[str, ...]]
    metric: ClassVar[str]
    figures: ClassVar[tuple[str, ...]]
    model_settings: ClassVar[tuple[str, ...]]

    def check_arguments(self, args: EpisodicTrainingArguments) -> None:  # noqa: B027  # nothing, in most kinds
        """Refuses arguments that such episodes have no use for."""

    def objective(self, args: EpisodicTrainingArguments) -> Any:
        """The loss function that the arguments ask for.

        Raises:
            UnknownNameError: there is no such one for episodes of this kind.
            InvalidInputError: options that it does not take.
        """
        return make(self.objectives, args.objective, args.objective_options)

    def check_model(self, model: Any) -> None:
        """Refuses a model that cannot be trained over episodes of this kind.

        Raises:
            InvalidTypeError: it lacks what such episodes need.
        """
        if not all(hasattr(model, part) for part in self.needs):
            raise InvalidTypeError(
                f"the model is of type {type(model).__name__}; give a MANNForSequenceClassification, or another model "
                f"with a memory that embeds episodes ({', '.join(self.needs)}). For a PEFT adapter give the plain "
                "model and a peft_config."
            )

    @abstractmethod
    def check_objective(self, model: Any, args: EpisodicTrainingArguments, objective: Any) -> None:
        """Refuses an objective that the model cannot be trained by.

        Raises:
            InvalidInputError: it cannot.
        """

    @abstractmethod
    def loss(self, model: Any, objective: Any, batch: Any) -> tuple[Tensor, Tensor | None]:
        """The loss of a batch of episodes, and the logits of its queries if the objective answers them."""

    @abstractmethod
    def answers(self, trainer: Any, sampler: SeededEpisodes) -> Any:
        """A trainer's model's answers to the queries of `eval_episodes` episodes, with `predictions` and `references`.

        In full precision, whatever training is in.
        """

    @abstractmethod
    def scores(self, answers: Any) -> dict[str, float]:
        """The metrics of answers by name, `loss` among them."""

    @abstractmethod
    def split_scores(self, answers: Mapping[str, Any]) -> dict[str, float]:
        """The metrics of the answers of several data sets together."""

    def named_scores(self, answers: Mapping[str, Any], prefix: str) -> dict[str, float]:
        """The scores of one or several data sets under the names that a `Trainer` logs.

        Args:
            answers: by the name of the data set; that of a single one has an empty name.
            prefix: of all names, such as `"eval"`; of several data sets it is followed by their names, and the means
                over them have it alone.
        """
        scores = {name: self.scores(each) for name, each in answers.items()}
        if "" not in scores:
            scores[""] = self.split_scores(answers)
        return {
            f"{prefix}_{name}_{figure}" if name else f"{prefix}_{figure}": value
            for name, figures in scores.items()
            for figure, value in figures.items()
        }

    def choices(self, samplers: Mapping[str, SeededEpisodes]) -> set[str]:
        """The figures of one evaluation by which the best model can be chosen."""
        return {*self.figures, "loss"}

    def check_best_metric(self, args: EpisodicTrainingArguments, samplers: Mapping[str, SeededEpisodes]) -> None:
        """Raises if the best model is to be chosen by a figure that evaluations do not have.

        A metric that is left at the arguments' default becomes the one of this kind.
        """
        if args.metric_for_best_model == EpisodicTrainingArguments.metric_for_best_model:
            args.metric_for_best_model = self.metric
        metric = args.metric_for_best_model
        chosen = args.load_best_model_at_end or args.save_strategy == "best"
        if not (chosen and metric and samplers):
            return
        choices = self.choices(samplers)
        if "" not in samplers:
            choices |= {f"{name}_{figure}" for name in samplers for figure in choices}
        if metric.removeprefix("eval_") not in choices:
            raise InvalidInputError(
                f"metric_for_best_model is {metric!r}; the best model can be chosen by {', '.join(sorted(choices))}."
            )


EPISODE_KINDS: Registry[type[EpisodeKind]] = Registry("kind of episodes")


def kind_of(*whose: Any) -> EpisodeKind:
    """The kind of the first of these that names one by its `episode_kind`, such as models and samplers.

    Raises:
        UnknownNameError: it names one that there is not.
    """
    named = (getattr(each, "episode_kind", None) for each in whose)
    return EPISODE_KINDS[next((name for name in named if name is not None), LABELS)]()
