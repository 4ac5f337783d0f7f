"""Arguments of the episodic trainer."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainingArguments
from transformers.utils import logging

from ..errors import InvalidInputError, import_extra
from ..wording import as_count
from .objectives import OBJECTIVES
from .regularizers import REGULARIZERS

logger = logging.get_logger(f"transformers.{__name__}")

COUNTS = ("n_way", "k_shot", "n_query", "eval_n_way", "eval_k_shot", "eval_n_query", "eval_n_unknown")
"""Fields that are a number or a range."""
COLUMNS = ("text_column", "input_column", "label_column")
PAIR_COLUMNS = ("source_column", "target_column")
OF_THIS_MACHINE = ("output_dir", "run_name", "resume_from_checkpoint", "logging_dir", "local_rank", "hub_token")
"""Fields that are not published with a model."""
TRAINABLE = ("full", "adapter", "memory")
SHARED_LABELS = ("refuse", "drop", "allow")

if TYPE_CHECKING:
    Count = int | str | tuple[int, int]
else:

    class Count:
        """A number or a range, as `HfArgumentParser` reads it."""

        def __new__(cls, text: str) -> Any:
            return as_count("it", text)


@dataclass
class EpisodicTrainingArguments(TrainingArguments):
    """`TrainingArguments` for training over episodes, of labelled inputs or of pairs; some fields have other defaults.

    A step takes `episodes_per_step` episodes on each process, `gradient_accumulation_steps` times. `max_steps` sets the
    length of a run; `num_train_epochs` has no effect.

    Args:
        n_way: number of classes in an episode, or a range: a pair `(5, 10)` or the text "5-10". Pairs have no classes.
        k_shot: number of support inputs of each class, or a range; of an episode of pairs, all its support pairs.
        n_query: number of query inputs of each class, or a range; of an episode of pairs, all its queries.
        episodes_per_step: episodes in one forward pass of a process; another name for `per_device_train_batch_size`.
        eval_episodes: number of episodes in an evaluation; the same ones each time.
        eval_n_way: `n_way` in evaluation; by default as in training.
        eval_k_shot: `k_shot` in evaluation; by default as in training.
        eval_n_query: `n_query` in evaluation; by default as in training.
        eval_n_unknown: number of queries from other classes in each evaluation episode, or a range. They do not count
            for the accuracy; `eval_unknown_auroc` measures how well the scores separate them from the others.
        eval_seed: random seed of the evaluation episodes.
        objective: loss function, a name of `OBJECTIVES`.
        objective_options: arguments of the objective.
        regularizers: terms added to the loss, with their weights, by name of `REGULARIZERS`: `{"uniformity": 0.1}`, or
            with arguments `{"uniformity": {"weight": 0.1, "t": 1.0}}`.
        trainable: `"full"`: all weights; `"adapter"`: a PEFT adapter on the encoder (the default with a `peft_config`);
            `"memory"`: only the memory's own parameters.
        label_names: whether label names are written to the memory beside the support, in training and in evaluation.
            (In `TrainingArguments` this field lists a model's label inputs; here they are known.)
        unbalanced: whether each class of an episode draws its own number of shots from the range `k_shot`.
        source_weights: relative frequency of each of several training data sets, by name; by default the number of its
            classes.
        text_column: the column of the texts.
        input_column: the column of inputs of any kind, such as images, in place of `text_column`.
        label_column: the column of the labels.
        source_column: the column of the sources, in data sets of pairs.
        target_column: the column of the targets, likewise.
        shared_labels: what to do if training and evaluation data share classes (their accuracy would say nothing about
            new classes): `"refuse"`, `"drop"` them from the training data, or `"allow"`.

    Raises:
        InvalidInputError: values that make no sense.
        MissingExtraError: accelerate is not installed.
    """

    n_way: Count = field(default=5, metadata={"help": "Classes in an episode, or a range of two numbers."})
    k_shot: Count = field(default=1, metadata={"help": "Support examples of each class, or a range."})
    n_query: Count = field(default=5, metadata={"help": "Queries of each class, or a range."})
    episodes_per_step: int | None = field(
        default=None, metadata={"help": "Episodes in one forward pass of a process (default: 4)."}
    )
    per_device_train_batch_size: int = field(default=4, metadata={"help": "The Trainer's name for episodes_per_step."})
    eval_episodes: int = field(default=600, metadata={"help": "Number of episodes in an evaluation."})
    eval_n_way: Count | None = field(default=None, metadata={"help": "n_way in evaluation; by default as in training."})
    eval_k_shot: Count | None = field(
        default=None, metadata={"help": "k_shot in evaluation; by default as in training."}
    )
    eval_n_query: Count | None = field(
        default=None, metadata={"help": "n_query in evaluation; by default as in training."}
    )
    eval_n_unknown: Count = field(
        default=0, metadata={"help": "Queries from other classes in each evaluation episode, or a range."}
    )
    eval_seed: int = field(default=0, metadata={"help": "Random seed of the evaluation episodes."})
    objective: str = field(default="episode", metadata={"help": f"Loss function: one of {', '.join(OBJECTIVES)}."})
    objective_options: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Arguments of the objective."}
    )
    regularizers: dict[str, Any] | str | None = field(
        default=None, metadata={"help": f"Weights of terms added to the loss, by name: {', '.join(REGULARIZERS)}."}
    )
    trainable: str = field(
        default="full", metadata={"help": f"Which weights are trained: one of {', '.join(TRAINABLE)}."}
    )
    label_names: bool = field(  # type: ignore[assignment]  # of TrainingArguments: names of inputs, which are known here
        default=False, metadata={"help": "Whether label names are stored beside the support."}
    )
    unbalanced: bool = field(default=False, metadata={"help": "Whether each class draws its own number of shots."})
    source_weights: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Relative frequency of each of several training data sets, by name."}
    )
    text_column: str = field(default="text", metadata={"help": "The column of the texts."})
    input_column: str | None = field(
        default=None, metadata={"help": "The column of inputs of any kind, such as images, in place of text_column."}
    )
    label_column: str = field(default="label", metadata={"help": "The column of the labels."})
    source_column: str = field(default="source", metadata={"help": "The column of the sources, in data sets of pairs."})
    target_column: str = field(default="target", metadata={"help": "The column of the targets, likewise."})
    shared_labels: str = field(
        default="refuse",
        metadata={"help": f"For classes in both training and evaluation data: one of {', '.join(SHARED_LABELS)}."},
    )

    learning_rate: float = field(default=1e-5, metadata={"help": "The highest learning rate."})
    max_steps: int = field(default=300, metadata={"help": "Optimizer steps in the run."})
    dataloader_pin_memory: bool = field(
        default_factory=torch.cuda.is_available, metadata={"help": "Whether batches are placed in pinned memory."}
    )
    remove_unused_columns: bool = field(default=False, metadata={"help": "Has no effect: episodes have no columns."})
    metric_for_best_model: str | None = field(
        default="accuracy",
        metadata={"help": "Metric that selects the best checkpoint (default for pairs: exact_match)."},
    )

    @property
    def step_episodes(self) -> int:
        """Episodes in a step over all processes."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps * self.world_size

    @property
    def columns(self) -> dict[str, str | None]:
        """The columns of a data set by what samplers call them."""
        return {name: getattr(self, name) for name in (*COLUMNS, *PAIR_COLUMNS)}

    def __post_init__(self) -> None:
        import_extra("accelerate", "training", "train")
        for name, choices in {"trainable": TRAINABLE, "shared_labels": SHARED_LABELS}.items():
            if getattr(self, name) not in choices:
                raise InvalidInputError(
                    f"{name} is {getattr(self, name)!r}; choose one of {', '.join(map(repr, choices))}."
                )
        OBJECTIVES[self.objective]
        if not isinstance(self.label_names, bool):
            raise InvalidInputError(
                f"label_names is {self.label_names!r}; here it must be True or False: whether label names are stored "
                "beside the support."
            )
        if self.episodes_per_step is None:
            self.episodes_per_step = self.per_device_train_batch_size
        elif self.per_device_train_batch_size not in (4, self.episodes_per_step):
            raise InvalidInputError(
                f"episodes_per_step is {self.episodes_per_step} and per_device_train_batch_size "
                f"{self.per_device_train_batch_size}; they mean the same, so give only one of them."
            )
        for name in ("episodes_per_step", "eval_episodes", "max_steps"):
            if not isinstance(count := getattr(self, name), int) or count < 1:
                raise InvalidInputError(f"{name} is {count!r}; it must be a whole number of 1 or more.")
        if not isinstance(self.learning_rate, (int, float)) or not 0 <= self.learning_rate < math.inf:
            raise InvalidInputError(f"learning_rate is {self.learning_rate!r}; it must be a number of 0 or more.")
        self.per_device_train_batch_size = self.episodes_per_step
        self.read_counts()
        for name in ("objective_options", "regularizers", "source_weights"):
            setattr(self, name, _as_mapping(name, getattr(self, name)))
        super().__post_init__()
        if self.num_train_epochs != type(self).num_train_epochs:
            logger.warning(
                f"num_train_epochs={self.num_train_epochs} has no effect, as any number of episodes can be drawn: "
                f"max_steps ({self.max_steps}) sets the length of the run."
            )
        if self.include_num_input_tokens_seen not in (False, "no"):
            raise InvalidInputError("include_num_input_tokens_seen cannot count the tokens of episodes; leave it out.")
        if self.ignore_data_skip:
            raise InvalidInputError(
                "ignore_data_skip=True would train on the first episodes again after a resume; leave it out: skipping "
                "takes no time here, as any episode can be drawn by its number."
            )

    def read_counts(self) -> None:
        """Turns counts given as text, such as "5-10", into numbers and pairs."""
        for name in COUNTS:
            setattr(self, name, as_count(name, getattr(self, name)))

    def write(self, file: Path) -> None:
        """Writes the arguments as JSON, those of this machine alone left out."""
        arguments = {name: value for name, value in self.to_dict().items() if name not in OF_THIS_MACHINE}
        file.write_text(json.dumps(arguments, indent=2) + "\n", encoding="utf-8")


def _as_mapping(name: str, value: Any) -> dict[str, Any] | None:
    """The value of a field of names and values, which may be given as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InvalidInputError(f"{name} is {value!r}, which is not valid JSON: {error}.") from None
    if value is not None and not isinstance(value, dict):
        raise InvalidInputError(f'{name} is {value!r}; give names and values, as in {{"name": 0.1}}.')
    return value
