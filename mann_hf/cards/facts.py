"""Facts of a model that its card shows."""

from dataclasses import dataclass, field
from typing import Any

from ..controllers.base import Controller
from ..hub_names import is_owned_name
from ..targets.kinds import Targets, targets_of
from ..wording import counted

LIBRARY = __name__.partition(".")[0]


@dataclass(frozen=True)
class LabelFacts:
    """One label of a memory.

    Args:
        name: the label.
        examples: number of examples.
        example: one example; None if inputs are not stored or the label has only a description.
        description: what the label means, if it has a description.
    """

    name: str
    examples: int
    example: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class ModelFacts:
    """Facts of a model for its card.

    Args:
        place: the repository or folder to load it from.
        model_class: the name of its class.
        problem_type: the problem type of its configuration.
        encoder: the name of the encoder; None for one without a name, which began with random weights.
        reading: how the memory is read.
        controller: of its modality: what an input is called, the Hub's task, and inputs for the examples.
        few_shot_task: the name by which `transformers.pipeline` makes its pipeline; None where it makes none.
        settings: other settings of its configuration that differ from the defaults, by name.
        max_tokens: number of tokens after which a text is cut; None for no limit.
        labels: the labels it knows.
        entries: number of entries: examples, and descriptions of labels.
        descriptions: how many of them are descriptions.
        unlabelled: number of stored inputs without a label.
        questions: a few inputs to ask about, with their labels, for the examples.
        inputs_kept: number of examples whose input is in the memory's files.
        descriptions_kept: number of descriptions whose text is.
        can_reencode: whether the keys of all entries can be computed again from what is stored.
        adapter: a short description of the adapter, if the weights are only those of an adapter.
        base: the model under the adapter, if it is one of this library.
        extra: the extras of the package that loading needs, with commas between them.
        versions: package versions.
    """

    place: str
    model_class: str
    problem_type: str
    encoder: str | None
    reading: str
    controller: Controller
    few_shot_task: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    labels: tuple[LabelFacts, ...] = ()
    entries: int = 0
    descriptions: int = 0
    unlabelled: int = 0
    questions: tuple[tuple[str, str], ...] = ()
    inputs_kept: int = 0
    descriptions_kept: int = 0
    can_reencode: bool = True
    adapter: str | None = None
    base: str | None = None
    extra: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def noun(self) -> str:
        """What an input is called, such as `"text"`."""
        return self.controller.noun

    @property
    def task(self) -> str | None:
        """The task of the Hub; None for a modality that has none."""
        return self.controller.task

    @property
    def examples(self) -> int:
        """Number of examples in the memory."""
        return self.entries - self.descriptions

    @property
    def held(self) -> str:
        """What the memory holds, in words: `"2 labelled images and 1 description"`."""
        parts = {self.noun if not self.targets.named else f"labelled {self.noun}": self.examples}
        parts["description"] = self.descriptions
        return " and ".join(counted(count, one) for one, count in parts.items() if count)

    @property
    def is_foreign(self) -> bool:
        """Whether the modality comes from another package, which has to be imported first."""
        return self.controller.is_foreign

    @property
    def stock_task(self) -> str | None:
        """The task whose stock pipeline gives the same scores; None where there is none, or it is not known."""
        return self.task if self.few_shot_task and not self.is_foreign else None

    @property
    def targets(self) -> Targets:
        """What a label is: a name, several names, or numbers."""
        return targets_of(self.problem_type)

    @property
    def question(self) -> str | None:
        """An input to ask about: one of the memory, else a sample of the modality; None where there is neither."""
        samples = self.controller.samples
        if self.questions or samples is None:
            return self.questions[0][0] if self.questions else None
        return (None if self.targets.named else samples.measured_question) or samples.question

    @property
    def taught(self) -> dict[str, Any]:
        """Sample inputs to teach, with a label of each as `remember` takes it; empty where the modality has none."""
        samples = self.controller.samples
        if samples is None:
            return {}
        if not self.targets.named:
            return dict(samples.measured)
        return {one: [label] if self.targets.several else label for one, label in samples.labelled.items()}

    @property
    def base_on_hub(self) -> str | None:
        """The model that the weights were made from; None if it cannot be a name on the Hub."""
        base = self.base or self.encoder
        return base if base and is_owned_name(base) else None

    @property
    def encoder_on_hub(self) -> str | None:
        """The encoder's name; None if it cannot be a name on the Hub."""
        return self.encoder if self.encoder and is_owned_name(self.encoder) else None
