"""A whole run, from labelled inputs to a folder: what `mann-hf train` and the recipes of the tasks do."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
from datasets import Dataset
from transformers import EarlyStoppingCallback, PreTrainedConfig, PrinterCallback
from transformers.utils import logging

from ..controllers import DEFAULT_ENCODER
from ..controllers.kinds import TEXT
from ..episodes import select_classes
from ..episodes.table import LabelledTable
from ..errors import InvalidInputError, import_extra
from ..hub.resolve import resolve_encoder
from ..hub.saving import write_whole
from ..models import MANNConfig, MANNForClassification, model_class_of
from ..wording import as_count, listed
from .arguments import COLUMNS, EpisodicTrainingArguments
from .callbacks import CURVES_FILE, draw_curves
from .run_folder import CHECKPOINTS, RESULTS_FILE, begin, checkpoint_to_resume
from .trainer import EpisodicTrainer

logger = logging.get_logger(f"transformers.{__name__}")

NOT_OF_A_RUN = {
    "output_dir": "output names the folder",
    "resume_from_checkpoint": "resume=True (in a yaml file resume: true) goes on from the newest checkpoint",
    "overwrite_output_dir": "overwrite=True (in a yaml file overwrite: true) starts anew where another run has been",
}
"""Fields of `EpisodicTrainingArguments` that a run has no use for, and what does their work."""
SWITCHES = {"eval_strategy": "no", "save_strategy": "no", "logging_strategy": "no", "report_to": "none"}
"""Values of fields that stand for `no`, which yaml reads as False."""


@dataclass
class TrainingRun:
    """The settings of a run.

    Args:
        encoder: the pretrained encoder: a folder or a name on the Hub. A model of this library is trained further
            and keeps its memory.
        output: the folder of the trained model.
        model_options: fields of `MANNConfig`, such as `reading`, or the `modality` of the encoder's inputs.
        arguments: of `EpisodicTrainingArguments`.
        valid_share: without validation data, the share of the classes kept from training to choose the best checkpoint;
            0 for none.
        eval_every: steps between two evaluations.
        patience: evaluations without an improvement after which the run stops; None to run to the end.
        lora_rank: rank of a LoRA adapter to train instead of all weights; None for all weights.
        lora_targets: the modules with an adapter; by default PEFT's choice for this type of encoder.
    """

    encoder: str = DEFAULT_ENCODER
    output: str = "trained"
    model_options: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    valid_share: float = 0.2
    eval_every: int = 50
    patience: int | None = 3
    lora_rank: int | None = None
    lora_targets: list[str] | None = None

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "TrainingRun":
        """Makes a run from fields of `TrainingRun` and `EpisodicTrainingArguments` in one mapping, as in a yaml file.

        Raises:
            InvalidInputError: a name that neither has.
        """
        own = {one.name for one in fields(cls)}
        theirs = {one.name for one in fields(EpisodicTrainingArguments) if one.init} - NOT_OF_A_RUN.keys()
        given = settings.get("arguments", {})
        if not isinstance(given, Mapping):
            raise InvalidInputError(f"arguments are {given!r}; give names and values.")
        arguments = {**given, **{name: value for name, value in settings.items() if name not in own}}
        unknown = [name for name in arguments if name not in theirs]
        if unknown:
            instead = "".join(f" ({NOT_OF_A_RUN[name]})" for name in unknown if name in NOT_OF_A_RUN)
            raise InvalidInputError(
                f"a run has no setting {listed(map(repr, unknown))}{instead}; there are {', '.join(sorted(own))}, and "
                f"all of EpisodicTrainingArguments but {' and '.join(NOT_OF_A_RUN)}."
            )
        return cls(
            **{name: value for name, value in settings.items() if name in own and name != "arguments"},
            arguments={name: _from_yaml(name, value) for name, value in arguments.items()},
        )

    def __post_init__(self) -> None:
        for name, none in (
            ("patience", ", or None to go on to the end"),
            ("eval_every", ""),
            ("lora_rank", ", or None"),
        ):
            count = getattr(self, name)
            if not (count is None and none) and (type(count) is not int or count < 1):
                raise InvalidInputError(f"{name} is {count!r}; it must be a whole number of 1 or more{none}.")
        if not isinstance(self.valid_share, (int, float)) or not 0 <= self.valid_share < 1:
            raise InvalidInputError(
                f"valid_share is {self.valid_share!r}; it must be a share of the classes, at least 0 and below 1."
            )
        if self.lora_targets is not None and self.lora_rank is None:
            raise InvalidInputError("lora_targets needs lora_rank, as there is no adapter without it.")
        if not isinstance(self.model_options, dict):
            raise InvalidInputError(f"model_options are {self.model_options!r}; give names and values.")

    def trainer(
        self, train: Dataset | Mapping[str, Dataset], valid: Dataset | None = None, callbacks: Sequence[Any] = ()
    ) -> EpisodicTrainer:
        """Makes the trainer of this run.

        Raises:
            InvalidInputError: several data sets, and none to choose the best model by.
        """
        columns: dict[str, Any] = {name: self.arguments[name] for name in COLUMNS if name in self.arguments}
        if valid is None and self.valid_share:
            if not hasattr(train, "column_names"):
                raise InvalidInputError(
                    "with several data sets give valid, the data to choose the best model by, or valid_share=0 to do "
                    "without."
                )
            train, valid = self._held_out(train, columns)
        # two, for with one the Trainer removes the last checkpoint in the end unless it is the best
        given = {"save_strategy": "steps", "save_steps": self.eval_every, "save_total_limit": 2, **self.arguments}
        asked = valid is not None and given.get("eval_strategy") != "no"
        if asked:
            given = {
                "eval_strategy": "steps",
                "eval_steps": self.eval_every,
                "load_best_model_at_end": True,
                "restore_callback_states_from_checkpoint": True,  # the patience that is left is part of a run
                **given,
            }
        model = self._model()
        stop = [EarlyStoppingCallback(self.patience)] if asked and self.patience is not None else []
        return EpisodicTrainer(
            model=model,
            args=EpisodicTrainingArguments(str(Path(self.output, CHECKPOINTS)), **given),
            train_dataset=train,
            eval_dataset=valid,
            peft_config=self._lora(),
            callbacks=[*stop, *callbacks],
        )

    def train(
        self,
        train: Dataset | Mapping[str, Dataset],
        valid: Dataset | None = None,
        callbacks: Sequence[Any] = (),
        resume: bool = False,
        overwrite: bool = False,
    ) -> dict[str, Any]:
        """Trains, and saves the model, `train_results.json` and `curves.png` in the folder.

        Args:
            train: labelled inputs, or several data sets of them by name, to be mixed.
            valid: labelled inputs of other classes; some classes of `train` if left out.
            callbacks: further ones of the trainer.
            resume: goes on from the newest checkpoint in the folder, if there is one that was written to the end.
            overwrite: starts anew in a folder where another run has been, finished or not, or another model. Its
                checkpoints are removed once the new run starts, its model is replaced when the new one has ended.

        Returns:
            What `train_results.json` holds: the run's settings, the figures before and after, the seconds that this
            call took, and the log.

        Raises:
            InvalidInputError: what lies in the folder would be lost and `overwrite` is not set, or it cannot be resumed
                with these settings.
        """
        started = time.perf_counter()
        import_extra("matplotlib", "drawing curves", "train")  # now, rather than after the last step
        begun = checkpoint_to_resume(asdict(self), resume, overwrite)
        trainer = self.trainer(train, valid, callbacks)
        if trainer.is_world_process_zero():
            begin(asdict(self), begun is not None)
        if callbacks:  # they tell what the Trainer would print
            trainer.remove_callback(PrinterCallback)
        before = trainer.evaluate() if trainer.eval_samplers else {}
        trainer.train(resume_from_checkpoint=begun)
        after = _best(trainer) or (trainer.evaluate() if trainer.eval_samplers else {})
        if before and round(after["eval_accuracy"] - before["eval_accuracy"], 9) < 0:
            logger.warning(
                f"No step is as good as the encoder was before training ({100 * after['eval_accuracy']:.2f} % after, "
                f"{100 * before['eval_accuracy']:.2f} % before, on the same episodes): try a lower learning_rate."
            )
        trainer.save_model(self.output)
        history = [{**before, "step": 0}, *trainer.state.log_history] if before else trainer.state.log_history
        results = {
            "run": asdict(self),
            "before": _figures(before),
            "after": _figures(after),
            "best_step": trainer.state.best_global_step,
            "steps": trainer.state.global_step,
            "seconds": time.perf_counter() - started,
            "history": history,
        }
        if trainer.is_world_process_zero():
            draw_curves(history, Path(self.output, CURVES_FILE))
            write_whole(Path(self.output, RESULTS_FILE), (json.dumps(results, indent=1) + "\n").encode())
        return results

    def _model(self) -> MANNForClassification:
        config, _ = PreTrainedConfig.get_config_dict(resolve_encoder(self.encoder))
        if config.get("model_type") == MANNConfig.model_type:
            options = {name: value for name, value in self.model_options.items() if name != "modality"}
            return model_class_of(config.get("modality", TEXT)).from_pretrained(self.encoder, **options)
        kind = model_class_of(self.model_options.get("modality", TEXT))
        return kind.from_encoder_pretrained(self.encoder, **self.model_options)

    def _held_out(self, data: Dataset, columns: dict[str, Any]) -> tuple[Dataset, Dataset | None]:
        """Training and validation data without a class in common, if there are classes enough for both."""
        n_way = self.arguments.get("n_way", 5)
        asked = self.arguments.get("eval_n_way")
        least, least_asked = (_highest("n_way", ways) for ways in (n_way, n_way if asked is None else asked))
        names = LabelledTable(data, **columns).names
        count = len(names)
        valid = round(self.valid_share * count)
        if valid < least_asked or count - valid < least:
            logger.warning(
                f"there are too few classes to keep some for evaluation: of {count}, {valid} would be kept, and an "
                f"episode takes {least_asked} (in training {least}). The run has no evaluation, no best step and no "
                "early stop."
            )
            return data, None
        seed = self.arguments.get("seed", EpisodicTrainingArguments.seed)
        order = np.random.default_rng(seed).permutation(names)
        return select_classes(data, order[valid:], **columns), select_classes(data, order[:valid], **columns)

    def _lora(self) -> Any:
        if self.lora_rank is None:
            return None
        peft = import_extra("peft", "a LoRA adapter", "peft")
        return peft.LoraConfig(r=self.lora_rank, lora_alpha=2 * self.lora_rank, target_modules=self.lora_targets)


def _from_yaml(name: str, value: Any) -> Any:
    """The value that a field of a yaml file stands for: yaml takes 1e-5 for a text, and no for False."""
    if value is False and name in SWITCHES:
        return SWITCHES[name]
    kind = get_type_hints(EpisodicTrainingArguments)[name]
    kinds = set(get_args(kind) or (kind,))
    if isinstance(value, str) and kinds & {int, float} and str not in kinds:
        try:
            return float(value) if float in kinds else int(value)
        except ValueError:
            raise InvalidInputError(f"{name} is {value!r}; it must be a number.") from None
    return value


def _highest(name: str, value: Any) -> int:
    count = as_count(name, value)
    return max(count) if isinstance(count, (list, tuple)) else count


def _best(trainer: EpisodicTrainer) -> dict[str, float]:
    """What was measured of the model that training ends with, where that is one of those it evaluated."""
    if not trainer.args.load_best_model_at_end:
        return {}
    logged = [entry for entry in trainer.state.log_history if "eval_accuracy" in entry]
    return next((entry for entry in logged if entry["step"] == trainer.state.best_global_step), {})


def _figures(metrics: Mapping[str, float]) -> dict[str, float]:
    names = ("accuracy", "accuracy_ci95", "macro_f1", "loss", "unknown_auroc")
    return {name: metrics[f"eval_{name}"] for name in names if f"eval_{name}" in metrics}
