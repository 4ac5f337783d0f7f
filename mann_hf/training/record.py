"""Records data, settings, results, time and energy of a run for the model card."""

import logging as std_logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, fields, replace
from datetime import date
from enum import Enum
from importlib.util import find_spec
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.utils import logging

from ..cards import EvaluationResult, MANNModelCardData, TrainingData, TrainingRecord
from ..episodes import SeededEpisodes
from ..episodes.counts import span
from ..errors import import_extra
from ..models.adapter_switches import has_adapter
from ..models.card_files import versions
from .arguments import EpisodicTrainingArguments
from .episode_data import shared_classes

logger = logging.get_logger(f"transformers.{__name__}")

ALWAYS_SHOWN = ("objective", "trainable", "learning_rate", "episodes_per_step", "seed")
SHOWN_IF_CHANGED = (
    *("objective_options", "regularizers", "label_names", "unbalanced", "source_weights"),
    *("lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "gradient_accumulation_steps", "optim"),
    *("bf16", "fp16"),
)
"""Arguments that the card shows where they are not the default's."""
TRAINING = "training"
"""By what the figures of a run are measured."""


class Recorder(TrainerCallback):
    """Records a run, and writes the record into the model's `model_card_data` when the run has ended.

    Args:
        trainer: of the run; what is asked of it are its `args`, `kind`, `sampler`, `eval_samplers` and `trained_model`,
            and `asks_own_data`: whether the last evaluation was of the run's own data.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.metrics: dict[int, dict[str, float]] = {}
        self.running = False
        self.energy = EnergyMeter()
        self.started = 0.0
        self.first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.metrics = {step: figures for step, figures in self.metrics.items() if step == 0}
        self.running, self.started, self.first_step = True, time.perf_counter(), state.global_step
        if state.is_world_process_zero:  # it measures the whole machine
            self.energy.start()

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        if not self.trainer.asks_own_data:
            return
        step = state.global_step
        self.metrics.setdefault(step, {}).update(metrics or {})
        if step and not self.running:  # of what the run ended with
            self._write_results(self.metrics[step])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.running = False
        kwh = self.energy.stop()
        trainer, sampler = self.trainer, self.trainer.sampler
        if sampler is None:
            return
        whole = self.first_step == 0  # of a run that went on from a checkpoint only the rest was seen
        best = state.best_global_step if args.load_best_model_at_end else None
        card_data = trainer.trained_model.model_card_data
        if card_data.training is not None:
            card_data.earlier_training = [*card_data.earlier_training, card_data.training]
        settings = _settings(args, sampler)
        if has_adapter(trainer.trained_model):
            settings["trainable"] = "adapter"
        card_data.training = TrainingRecord(
            data=[TrainingData(**source) for source in sampler.sources],
            settings=settings,
            steps=state.global_step,
            episodes=state.global_step * args.step_episodes,
            best_step=best,
            seconds=round(time.perf_counter() - self.started, 2) if whole else None,
            energy_kwh=kwh if whole else None,
            hardware=_hardware(args),
            versions=versions(),
        )
        self._write_results(self.metrics.get(best or state.global_step, {}))

    def _write_results(self, metrics: Mapping[str, float]) -> None:
        before = self.metrics.get(0, {})
        trainer, results = self.trainer, []
        for name, sampler in trainer.eval_samplers.items():
            prefix = f"eval_{name}_" if name else "eval_"
            measured = [figure for figure in trainer.kind.figures if f"{prefix}{figure}" in metrics]
            for figure in measured:
                interval = metrics.get(f"{prefix}{figure}_ci95") if trainer.args.eval_episodes > 1 else None
                results.append(
                    EvaluationResult(
                        metric=figure,
                        value=float(metrics[f"{prefix}{figure}"]),
                        dataset=name or " and ".join(source["name"] for source in sampler.sources),
                        dataset_id=_dataset_id(sampler),
                        task=_task(sampler, trainer.sampler, trainer.args),
                        interval=_number(interval),
                        before=_number(before.get(f"{prefix}{figure}")),
                        count=trainer.args.eval_episodes,
                        date=date.today().isoformat(),
                        measured_by=TRAINING,
                    )
                )
        trainer.trained_model.model_card_data.replace_results(TRAINING, results)


def with_card_arguments(
    data: MANNModelCardData, tags: Any, dataset_tags: Any, **texts: str | None
) -> MANNModelCardData:
    """A card's data with the arguments of `Trainer.create_model_card`; None changes nothing, names are added."""
    given: dict[str, Any] = {name: text for name, text in texts.items() if text}
    for name, more in {"tags": tags, "datasets": dataset_tags}.items():
        names = [more] if isinstance(more, str) else more or []
        given[name] = list(dict.fromkeys([*getattr(data, name), *names]))
    return replace(data, **given)


class EnergyMeter:
    """Measures the energy a machine uses with codecarbon; measures nothing if that is not installed or fails."""

    def __init__(self) -> None:
        self._tracker: Any = None
        self._quiet = ExitStack()
        """Silences the log of codecarbon until the measurement stops, as its thread logs throughout."""

    def start(self) -> None:
        """Starts a measurement."""
        self.stop()
        if find_spec("codecarbon") is None:
            return
        try:
            codecarbon = import_extra("codecarbon", "measuring energy", "energy")
            self._quiet.enter_context(_silenced("codecarbon"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Offline, or it would look up where the machine is; the country is for emissions, which we leave out.
                tracker = codecarbon.OfflineEmissionsTracker(
                    country_iso_code="USA", save_to_file=False, log_level="critical", allow_multiple_runs=True
                )
                tracker.start()
            self._tracker = tracker
        except Exception as error:
            self._quiet.close()
            logger.warning(f"The energy of this run is not measured, as codecarbon failed: {error!r}")

    def stop(self) -> float | None:
        """The energy since the start in kWh; None without a measurement."""
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tracker.stop()
            return float(tracker.final_emissions_data.energy_consumed)
        except Exception as error:
            logger.warning(f"The energy of this run is not known, as codecarbon failed: {error!r}")
            return None
        finally:
            self._quiet.close()


@contextmanager
def _silenced(name: str) -> Iterator[None]:
    """While a library says nothing."""
    speaker = std_logging.getLogger(name)
    level = speaker.level
    speaker.setLevel(std_logging.CRITICAL)
    try:
        yield
    finally:
        speaker.setLevel(level)


def _dataset_id(sampler: SeededEpisodes) -> str | None:
    """The name on the Hub of all that is drawn from, where that is one data set."""
    names = {source.get("dataset_id") for source in sampler.sources}
    return names.pop() if len(names) == 1 else None


def _settings(args: EpisodicTrainingArguments, sampler: SeededEpisodes) -> dict[str, Any]:
    settings: dict[str, Any] = {
        name: span(getattr(sampler, name)) for name in (*(["n_way"] if sampler.labels else []), "k_shot", "n_query")
    }
    usual = {
        one.name: one.default_factory() if one.default_factory is not MISSING else one.default for one in fields(args)
    }
    for name in (*ALWAYS_SHOWN, *SHOWN_IF_CHANGED):
        value = getattr(args, name)
        if name in ALWAYS_SHOWN or value != usual[name]:
            settings[name] = value.value if isinstance(value, Enum) else value
    return settings


def _task(asked: SeededEpisodes, trained: SeededEpisodes | None, args: EpisodicTrainingArguments) -> str:
    task = asked.task
    if asked.labels and trained is not None and not shared_classes(trained, {"": asked}):
        task += " of classes that training never saw"
    return f"{task}, by which the best step was chosen" if args.load_best_model_at_end else task


def _hardware(args: EpisodicTrainingArguments) -> str:
    if args.device.type == "cuda":
        return f"{args.world_size} × {torch.cuda.get_device_name(args.device)}"
    return "CPU" if args.device.type == "cpu" else args.device.type


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
