"""The episodic trainer, a transformers Trainer."""

import contextlib
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer, set_seed
from transformers.trainer_utils import PredictionOutput, speed_metrics

from ..episodes import EpisodeBatch, SeededEpisodes
from ..errors import InvalidInputError, InvalidTypeError, import_extra
from ..models import MANNPreTrainedModel
from ..models.adapter_switches import has_adapter
from ..models.folder_saves import check_nothing_lost, save_cards, save_folder
from . import checkpoints, search
from .arguments import EpisodicTrainingArguments
from .checkpoints import steps_done
from .episode_data import DrawnEpisodes, EpisodeData
from .kinds import EpisodeKind, kind_of
from .preparation import check_inputs_kept, check_options, check_sharding, prepare_model
from .record import Recorder, with_card_arguments
from .regularizers import Regularized
from .sharding import adapter_known, whole_weights
from .step import EpisodicStep, run_wrapped

ARGUMENTS_FILE = "training_args.json"
PRIVATE_METHODS = {
    "_get_train_sampler": "episodes are drawn at random already, and are read in order",
    "_hp_search_setup": "a trial's settings reach samplers and objective",
    "_load_best_model": "a checkpoint of an adapter holds that alone",
    "_load_from_checkpoint": "likewise; and a checkpoint of another run is refused",
    "_save": "model, processing class and arguments go into one whole save",
}
"""The private methods of `Trainer` that are overridden, as nothing public does their work, and what for."""


class EpisodicTrainer(Trainer):
    """Trains the encoder and the memory's parameters over many small tasks, of labelled inputs or of pairs of texts.

    Each step draws episodes, writes their support to a memory for that step, reads it for their queries, and updates
    the weights by the objective. All inputs of a step go through the encoder in one call of the model, each once.
    Devices, processes, precision, accumulation, checkpoints, callbacks, logging and hyperparameter search are those of
    `Trainer`. Evaluations are of seeded episodes in place of batches.

    Args:
        model: the model to train.
        args: the training arguments; by default `EpisodicTrainingArguments("trainer_output")`.
        train_dataset: a `datasets.Dataset`; a dict of several by name, which are mixed; or a sampler (`EpisodeSampler`,
            of pairs `PairSampler` or `TaskSampler`), whose settings then replace those in `args`; its episodes are used
            from the first one on.
        eval_dataset: likewise; several by name are evaluated one after the other.
        processing_class: the encoder's tokenizer or image processor, or an `InputProcessor`; by default that of the
            model.
        peft_config: configuration of a PEFT adapter to train on the encoder, such as `LoraConfig`.
        text_column: replaces the one in `args`.
        label_column: replaces the one in `args`.
        input_column: replaces the one in `args`.
        source_column: replaces the one in `args`.
        target_column: replaces the one in `args`.
        kwargs: further arguments of `Trainer`.

    Attributes:
        kind: what the episodes of this kind of model take.
        data: the training and evaluation data.
        sampler: draws the training episodes; None without training data.
        eval_samplers: draw the evaluation episodes, by the name of the data set.
        step: the model and the loss function as one module.
        training_args_class: class of `args`.
        sampler_class: draws episodes from data sets; None for that of the model's kind.
        data_collator_class: makes batches of episodes, by its `for_model`; None for that of the model's kind.
        model_card_callback_class: records a run for the model's card; called with the trainer.

    Raises:
        InvalidInputError: the data cannot make an episode, classes are in both data sets, or settings do not go
            together (FSDP version 1 is one). Raised before training.
        InvalidTypeError: data of the wrong type, or another kind of model.
        MissingExtraError: a package for training or evaluation is not installed.
    """

    training_args_class: type[EpisodicTrainingArguments] = EpisodicTrainingArguments
    sampler_class: type[SeededEpisodes] | None = None
    data_collator_class: type[Any] | None = None
    model_card_callback_class: type[Recorder] = Recorder

    args: EpisodicTrainingArguments
    model: MANNPreTrainedModel
    kind: EpisodeKind
    sampler: SeededEpisodes | None
    eval_samplers: dict[str, SeededEpisodes]

    def __init__(
        self,
        model: MANNPreTrainedModel | None = None,
        args: EpisodicTrainingArguments | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        peft_config: Any = None,
        *,
        text_column: str | None = None,
        label_column: str | None = None,
        input_column: str | None = None,
        source_column: str | None = None,
        target_column: str | None = None,
        model_init: Any = None,
        **kwargs: Any,
    ) -> None:
        args = self.training_args_class("trainer_output") if args is None else args
        if not isinstance(args, self.training_args_class):
            raise InvalidTypeError(f"args are of type {type(args).__name__}; give {self.training_args_class.__name__}.")
        if eval_dataset is not None:  # now, rather than after the first steps
            import_extra("evaluate", "evaluating episodes", "train")
        check_options(args, kwargs)
        self.kind = kind_of(model, train_dataset, eval_dataset)
        self.kind.check_arguments(args)
        given = {
            "text_column": text_column,
            "label_column": label_column,
            "input_column": input_column,
            "source_column": source_column,
            "target_column": target_column,
        }
        columns = args.columns | {name: column for name, column in given.items() if column is not None}
        columns["noun"] = model.config.controller.noun if isinstance(model, MANNPreTrainedModel) else None
        self.args, self.peft_config = args, peft_config
        sampler_class = self.sampler_class or self.kind.sampler_class
        self.data = EpisodeData(train_dataset, eval_dataset, columns, sampler_class, self.kind.settings)
        sampler = self._draw_by(args)
        self.kind.check_best_metric(args, self.eval_samplers)
        set_seed(args.seed)  # the weights of an adapter are drawn before the Trainer does this
        self._ready = None if model is None else self._prepared(model, args)
        args._n_gpu = min(args.n_gpu, 1)  # several GPUs take several processes: packed episodes cannot be cut in pieces
        super().__init__(
            model=self._ready,
            args=args,
            train_dataset=self._drawn(sampler),
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            model_init=model_init,
            **kwargs,
        )
        check_sharding(self, self.loss_fn.needs_whole_weights)
        if self.processing_class is None:
            self.processing_class = self.callback_handler.processing_class = self.model.load_processing_class()
        self.label_names = ["labels"]
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):  # or the Trainer would tell that it sets them
            setattr(self.model.config, name, getattr(self.processing_class, name, None))
        self._recorder = self.model_card_callback_class(self)
        self.add_callback(self._recorder)
        self._owns_collator = kwargs.get("data_collator") is None
        self._set_collator()

    def _draw_by(self, args: EpisodicTrainingArguments) -> SeededEpisodes | None:
        """Objective and samplers as the arguments have them; returns the training data's."""
        # the Trainer has an `objective` of its own, in searches
        self.episode_objective: Any = self.kind.objective(args)
        assert not isinstance(args.regularizers, str)  # the arguments have read it
        self.loss_fn = Regularized(self.episode_objective, args.regularizers or {})
        if self.episode_objective.needs_names and not args.label_names:
            raise InvalidInputError(f"the objective {args.objective!r} needs label names: set label_names=True.")
        self.eval_samplers = self.data.evaluated(args)
        self.sampler = self.data.trained(args, self.eval_samplers, self.episode_objective)
        return self.sampler

    def _prepared(self, model: Any, args: EpisodicTrainingArguments) -> MANNPreTrainedModel:
        model = prepare_model(model, args, self.peft_config, self.episode_objective, self.kind)
        self.step = EpisodicStep(model, self.loss_fn)
        return model

    def _drawn(self, sampler: SeededEpisodes | None) -> DrawnEpisodes | None:
        return None if sampler is None else DrawnEpisodes(sampler, self.args.max_steps * self.args.step_episodes)

    def _set_collator(self) -> None:
        if self._owns_collator:
            self.data_collator = (self.data_collator_class or self.kind.collator_class).for_model(
                self.model,
                self.processing_class,
                label_names=self.args.label_names,
                group_by_length=self.args.device.type == "cpu",
            )

    def _prepare_fresh(self) -> None:
        """Prepares a model that `model_init` has just made, by the settings of its trial."""
        model = self.accelerator.unwrap_model(self.model)
        if self.model_init is not None and model is not self._ready:
            self._ready = self._prepared(model, self.args)
            self._set_collator()

    @property
    def trained_model(self) -> MANNPreTrainedModel:
        """The model without the wrappers for devices and processes."""
        return self.accelerator.unwrap_model(self.model, keep_torch_compile=False)

    @property
    def is_sharded(self) -> bool:
        """Whether no process has all weights, so that all must encode the same inputs at once."""
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Trains; the keys of a memory that the model already has are computed again with the trained encoder.

        Until then the memory is empty, also to other threads. They may call the model with a support of their own, and
        are answered by the weights of that moment, with dropout: questions are better asked of a copy.

        Args:
            resume_from_checkpoint: a checkpoint's folder, or True for the newest complete one in `output_dir`.
            args: further arguments of `Trainer.train`.
            kwargs: further arguments of `Trainer.train`.

        Raises:
            InvalidInputError: there is no complete checkpoint, or the model's memory keeps no inputs.
            FolderChangedError: `output_dir` holds a memory that was taught elsewhere, and saving would lose it.
        """
        resume_from_checkpoint = checkpoints.to_resume(resume_from_checkpoint, str(self.args.output_dir))
        model = self.model
        if model is not None:
            check_inputs_kept(model)  # it may have been taught since it was prepared
            check_nothing_lost(model, Path(str(self.args.output_dir)))  # now, rather than when it is saved
        whole = lambda: whole_weights(self.model_wrapped)  # noqa: E731
        aside = contextlib.nullcontext() if model is None else model.memory_set_aside(self.processing_class, whole)
        try:
            with aside:
                result = super().train(resume_from_checkpoint, *args, **kwargs)
        finally:
            self._recorder.energy.stop()  # of a run that was interrupted
        trained = self.accelerator.unwrap_model(self.model).eval()
        if trained is not model:  # but one of model_init
            with whole():
                trained.reencode_memory(self.processing_class)
        return result

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        """Batches of training episodes, one after the other as they are drawn."""
        self._prepare_fresh()  # of a trial its settings are known by now
        return super().get_train_dataloader()

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    def compute_loss(  # type: ignore[override]  # of a batch of episodes
        self, model: nn.Module, inputs: EpisodeBatch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The objective's loss over the episodes of a batch, regularizers included."""
        if self.args.trainable == "memory":  # the keys that it is fitted to are those that it will read
            self.step.model.encoder.eval()
        with self.accelerator.autocast():
            output = run_wrapped(model, self.step, inputs)
        return (output.loss, output) if return_outputs else output.loss

    def floating_point_ops(self, inputs: EpisodeBatch) -> int:  # type: ignore[override]
        """An estimate: 6 operations for each token and weight, padding included; 0 for inputs that are no tokens.

        Source: Kaplan et al. 2020, [Scaling Laws for Neural Language Models](https://arxiv.org/abs/2001.08361), section
        2.1.
        """
        return 6 * sum(map(self.model.config.controller.num_tokens, inputs.inputs)) * self._weights

    @cached_property
    def _weights(self) -> int:
        return self.model.num_parameters(exclude_embeddings=True)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Evaluates on `eval_episodes` episodes, the same ones each time.

        Args:
            eval_dataset: data to use instead of the trainer's own, or the name of one of the trainer's; several by name
                are evaluated one after the other.
            ignore_keys: has no effect.
            metric_key_prefix: put in front of each name.

        Returns:
            `eval_accuracy`, the mean over episodes; `eval_accuracy_ci95`, half the width of its 95 % interval;
            `eval_macro_f1`; `eval_loss`; and run times. Of pairs `eval_exact_match` and `eval_token_accuracy` in place
            of accuracy and F1. With several data sets, such as class splits, their names follow the prefix; the means
            over them have the prefix alone, with `eval_accuracy_std` over the data sets.

        Raises:
            InvalidInputError: there is no evaluation data.
        """
        samplers = self.data.asked(self.args, self.eval_samplers, self.sampler, eval_dataset)
        self.asks_own_data = eval_dataset is None and metric_key_prefix == "eval"
        start = time.time()
        answers = {name: self.kind.answers(self, sampler) for name, sampler in samplers.items()}
        metrics = self.kind.named_scores(answers, metric_key_prefix)
        metrics |= speed_metrics(metric_key_prefix, start, num_samples=self.args.eval_episodes * len(samplers))
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Predicts the queries of `eval_episodes` episodes of a data set.

        Returns:
            `predictions` and `label_ids` [n], the numbers of the labels within each query's episode, of pairs the
            tokens [n, T] of the targets, and `metrics` as from `evaluate`.
        """
        samplers = self.data.asked(self.args, self.eval_samplers, self.sampler, test_dataset)
        if len(samplers) > 1:
            raise InvalidInputError(f"predict answers one data set, not {', '.join(samplers)}.")
        start = time.time()
        answers = self.kind.answers(self, next(iter(samplers.values())))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.kind.scores(answers).items()}
        metrics |= speed_metrics(metric_key_prefix, start, num_samples=self.args.eval_episodes)
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, metrics)
        return PredictionOutput(answers.predictions, answers.references, metrics)

    def hyperparameter_search(  # type: ignore[override]
        self,
        hp_space: Any = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """As `Trainer.hyperparameter_search`; the default objective is `metric_for_best_model`."""
        if compute_objective is None:
            compute_objective, best = search.default_objective(self.args)
            direction = best if direction is None else direction
        return super().hyperparameter_search(hp_space, compute_objective, n_trials, direction or "minimize", **kwargs)

    def _hp_search_setup(self, trial: Any) -> None:
        if trial is None:
            super()._hp_search_setup(trial)
            return
        with search.setting_trial(self.args):
            super()._hp_search_setup(trial)
        self._train_batch_size = self.args.train_batch_size
        self.train_dataset = self._drawn(self._draw_by(self.args))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Saves the model, its memory, the tokenizer and the training arguments."""
        if _internal_call and output_dir is not None and self.args.should_save:  # the beginning of a checkpoint
            checkpoints.begin(Path(output_dir), self._run_state(self.state.global_step))
        known = adapter_known(self.trained_model, self.model_wrapped) if self.is_sharded else contextlib.nullcontext()
        with known:
            super().save_model(output_dir, _internal_call)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Model, memory, tokenizer and arguments; nothing of it a pickle."""
        if not self.args.should_save:
            return
        folder, model = Path(output_dir or str(self.args.output_dir)), self.trained_model
        processor = None if self.processing_class is None else model.processor(self.processing_class)
        options: dict[str, Any] = {} if state_dict is None else {"state_dict": state_dict}
        save_folder(
            model, folder, processor, beside=lambda staging: self.args.write(staging / ARGUMENTS_FILE), **options
        )

    def create_model_card(
        self, language: Any = None, license: str | None = None, tags: Any = None, model_name: str | None = None,
        finetuned_from: Any = None, tasks: Any = None, dataset_tags: Any = None, dataset: Any = None,
        dataset_args: Any = None,
    ) -> None:  # fmt: skip
        """Writes the model's card into `output_dir`, as `push_to_hub` does before it uploads that folder.

        Args:
            language: language of the texts.
            license: a license identifier of the Hub.
            tags: further tags.
            model_name: the title; by default the name of the repository.
            dataset_tags: names of data sets on the Hub, in addition to those of the training data.
            finetuned_from: has no effect, as `tasks`, `dataset` and `dataset_args`: they are known from the model.
        """
        if not self.is_world_process_zero():
            return
        kept, texts = self.trained_model.model_card_data, {"license": license, "model_name": model_name}
        card_data = with_card_arguments(kept, tags, dataset_tags, language=language, **texts)
        save_cards(self.trained_model, str(self.args.output_dir), getattr(self, "hub_model_id", None), card_data)

    def _run_state(self, steps: int) -> dict[str, Any]:
        """What identifies a run in its checkpoints, after a number of steps."""
        assert isinstance(self.train_dataset, DrawnEpisodes)
        model = self.accelerator.unwrap_model(self.model)
        settings = checkpoints.run_settings(self.args, model, self.kind.model_settings)
        return self.train_dataset.sampler.state_dict() | settings | {"drawn": steps * self.args.step_episodes}

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._prepare_fresh()  # the checkpoint is one of a model with its adapter on
        if isinstance(self.train_dataset, DrawnEpisodes):
            checkpoints.check_same_run(resume_from_checkpoint, self._run_state(steps_done(resume_from_checkpoint)))
        if has_adapter(self.model) and not self.is_sharded:
            checkpoints.load_adapter(self.model, resume_from_checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if has_adapter(self.model) and not self.is_sharded:
            assert self.state.best_model_checkpoint is not None
            checkpoints.load_adapter(self.model, self.state.best_model_checkpoint)
        else:
            super()._load_best_model()
