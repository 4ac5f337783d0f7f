"""Facts of a model that its card shows."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

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


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """Facts for the card of any model with a memory.

    A kind of memory is a subclass with the names of its templates.

    Args:
        place: the repository or folder to load it from.
        model_class: the name of its class.
        encoder: the name of the wrapped model; None for one without a name, which began with random weights.
        controller: of its modality: what an input is called, the Hub's task, and inputs for the examples.
        settings: other settings of its configuration that differ from the defaults, by name.
        entries: number of entries in its memory.
        can_reencode: whether the keys of all entries can be computed again from what is stored.
        adapter: a short description of the adapter, if the weights are only those of an adapter.
        base: the model under the adapter, if it is one of this library.
        extra: the extras of the package that loading needs, with commas between them.
        versions: package versions.

    Attributes:
        model_template: the file in `templates` of the card of a model.
        memory_template: that of a memory alone.
    """

    model_template: ClassVar[str]
    memory_template: ClassVar[str]

    place: str
    model_class: str
    encoder: str | None
    controller: Controller
    settings: dict[str, Any] = field(default_factory=dict)
    entries: int = 0
    can_reencode: bool = True
    adapter: str | None = None
    base: str | None = None
    extra: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def task_type(self) -> str:
        """What its results are of, in the metadata of the Hub."""
        return self.task or f"{self.noun}-classification"

    @property
    def widgets(self) -> tuple[tuple[str, str], ...]:
        """Inputs for the Hub's widget, each with its title."""
        return ()

    @property
    def noun(self) -> str:
        """What an input is called, such as `"text"`."""
        return self.controller.noun

    @property
    def task(self) -> str | None:
        """The task of the Hub; None for a modality that has none."""
        return self.controller.task

    @property
    def is_foreign(self) -> bool:
        """Whether the modality comes from another package, which has to be imported first."""
        return self.controller.is_foreign

    @property
    def base_on_hub(self) -> str | None:
        """The model that the weights were made from; None if it cannot be a name on the Hub."""
        base = self.base or self.encoder
        return base if base and is_owned_name(base) else None

    @property
    def encoder_on_hub(self) -> str | None:
        """The encoder's name; None if it cannot be a name on the Hub."""
        return self.encoder if self.encoder and is_owned_name(self.encoder) else None


@dataclass(frozen=True, kw_only=True)
class ModelFacts(CardFacts):
    """Facts of a model of labelled examples for its card.

    Args:
        problem_type: the problem type of its configuration.
        reading: how the memory is read.
        few_shot_task: the name by which `transformers.pipeline` makes its pipeline; None where it makes none.
        max_tokens: number of tokens after which a text is cut; None for no limit.
        labels: the labels it knows.
        descriptions: how many of its entries, which are examples and descriptions of labels, are descriptions.
        unlabelled: number of stored inputs without a label.
        questions: a few inputs to ask about, with their labels, for the examples.
        inputs_kept: number of examples whose input is in the memory's files.
        descriptions_kept: number of descriptions whose text is.
    """

    model_template: ClassVar[str] = "model_card.md.jinja"
    memory_template: ClassVar[str] = "memory_card.md.jinja"

    problem_type: str
    reading: str
    few_shot_task: str | None = None
    max_tokens: int | None = None
    labels: tuple[LabelFacts, ...] = ()
    descriptions: int = 0
    unlabelled: int = 0
    questions: tuple[tuple[str, str], ...] = ()
    inputs_kept: int = 0
    descriptions_kept: int = 0

    @property
    def widgets(self) -> tuple[tuple[str, str], ...]:
        """Inputs for the Hub's widget, each with its title."""
        return self.questions

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


@dataclass(frozen=True, kw_only=True)
class PairFacts(CardFacts):
    """Facts of a model that generates from a memory of pairs, for its card.

    Args:
        kind: of the memory: `"token"` or `"example"`.
        interpolation: λ, the share of the memory in each token; `"adaptive"` where a part of the model predicts it;
            None for a memory of examples.
        pipeline_task: the name by which `transformers.pipeline` makes its pipeline; None where it makes none.
        tokens: number of target tokens that are stored.
        pairs: a few pairs of source and target.
        max_source: number of tokens after which a source is cut; None for no limit.
        max_target: number of tokens after which a target is cut; None for no limit.
    """

    model_template: ClassVar[str] = "pair_model_card.md.jinja"
    memory_template: ClassVar[str] = "pair_memory_card.md.jinja"

    kind: str
    interpolation: float | str | None = None
    pipeline_task: str | None = None
    tokens: int = 0
    pairs: tuple[tuple[str, str], ...] = ()
    max_source: int | None = None
    max_target: int | None = None

    @property
    def task_type(self) -> str:
        """What its results are of, in the metadata of the Hub."""
        return self.task or "text-generation"

    @property
    def widgets(self) -> tuple[tuple[str, str], ...]:
        """Sources for the Hub's widget, each with its target as title."""
        return self.pairs

    @property
    def question(self) -> str:
        """A source to generate from."""
        return self.pairs[0][0] if self.pairs else "a source"

    @property
    def held(self) -> str:
        """What the memory holds, in words: `"2 pairs (17 target tokens)"`."""
        return counted(self.entries, "pair") + (f" ({counted(self.tokens, 'target token')})" if self.tokens else "")
