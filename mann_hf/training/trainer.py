"""The episodic trainer, a transformers Trainer."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import set_seed
from transformers.utils import logging

from ..episodes import EpisodeBatch, EpisodeCollator, EpisodeSampler
from ..errors import InvalidInputError, InvalidTypeError, import_extra
from ..hub.saving import write_whole
from ..models import MANNForSequenceClassification, adapter_base, adapters
from ..models.adapter_switches import has_adapter
from ..models.folder_saves import check_nothing_lost, save_cards, saving_model, write_model
from ..models.publishing import save_tokenizer
from .arguments import COUNTS, EpisodicTrainingArguments
from .checkpoints import SAMPLER_FILE, STATE_FILE, is_whole, newest_checkpoint, steps_done
from .episode_data import DrawnEpisodes, EpisodeData
from .evaluating_trainer import EvaluatingTrainer
from .objectives import OBJECTIVES, Objective
from .options import make
from .preparation import check_texts_kept, prepare_model
from .record import Recorder
from .regularizers import Regularized
from .sharding import whole_weights
from .step import EpisodicStep, run_wrapped

logger = logging.get_logger(f"transformers.{__name__}")

ARGUMENTS_FILE = "training_args.json"
OF_THIS_MACHINE = ("output_dir", "run_name", "resume_from_checkpoint", "logging_dir", "local_rank", "hub_token")
"""Arguments that are not published with a model."""
NO_EFFECT = ("compute_metrics", "compute_loss_func", "preprocess_logits_for_metrics")
"""Arguments of `Trainer` that episodes have no use for."""
NO_EFFECT_ARGUMENTS = ("label_smoothing_factor", "bf16_full_eval", "fp16_full_eval")
RUN_SETTINGS = ("objective", "objective_options", "regularizers", "trainable", "label_names")
"""Arguments that checkpoints are told apart by."""
MODEL_SETTINGS = ("reading", "reading_options", "pooling", "normalize")
"""Fields of the model's configuration likewise."""


class EpisodicTrainer(EvaluatingTrainer):
    """Trains the encoder and the memory's parameters over many small tasks.

    Each step draws episodes, writes their support to a memory for that step, reads it for their queries, and updates
    the weights by the objective. All texts of a step go through the encoder in one call of the model, each text once.
    Devices, processes, precision, accumulation, checkpoints, callbacks, logging and hyperparameter search are those of
    `Trainer`.

    Args:
        model: the model to train.
        args: the training arguments; by default `EpisodicTrainingArguments("trainer_output")`.
        train_dataset: a `datasets.Dataset`; a dict of several by name, which are mixed; or an `EpisodeSampler`, whose
            settings then replace those in `args`; its episodes are used from the first one on.
        eval_dataset: likewise; several by name are evaluated one after the other.
        processing_class: the encoder's tokenizer; by default that of the model.
        peft_config: configuration of a PEFT adapter to train on the encoder, such as `LoraConfig`.
        text_column: replaces the one in `args`.
        label_column: replaces the one in `args`.
        kwargs: further arguments of `Trainer`.

    Raises:
        InvalidInputError: the data cannot make an episode, classes are in both data sets, or settings do not go
            together (FSDP version 1 is one). Raised before training.
        InvalidTypeError: data of the wrong type, or another kind of model.
        MissingExtraError: a package for training or evaluation is not installed.
    """

    def __init__(
        self,
        model: MANNForSequenceClassification | None = None,
        args: EpisodicTrainingArguments | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        peft_config: Any = None,
        *,
        text_column: str | None = None,
        label_column: str | None = None,
        model_init: Any = None,
        **kwargs: Any,
    ) -> None:
        args = EpisodicTrainingArguments("trainer_output") if args is None else args
        if not isinstance(args, EpisodicTrainingArguments):
            raise InvalidTypeError(f"args are of type {type(args).__name__}; give EpisodicTrainingArguments.")
        if eval_dataset is not None:  # now, rather than after the first steps
            import_extra("evaluate", "evaluating episodes", "train")
        ignored = [name for name in NO_EFFECT if kwargs.get(name) is not None]
        ignored += [name for name in NO_EFFECT_ARGUMENTS if getattr(args, name)]
        if ignored:
            raise InvalidInputError(
                f"{', '.join(ignored)} would have no effect: episodes have their own metrics (answer_episodes returns "
                "all answers), and the objective is the loss function."
            )
        cuts = [name for name in ("dispatch_batches", "split_batches") if getattr(args.accelerator_config, name)]
        if cuts:
            raise InvalidInputError(
                f"leave {' and '.join(cuts)} of accelerator_config out: they split batches, and a batch of episodes "
                "cannot be split. Each process draws its own episodes."
            )
        columns = {"text_column": text_column or args.text_column, "label_column": label_column or args.label_column}
        self.args = args
        self.data = EpisodeData(train_dataset, eval_dataset, columns)
        self.peft_config = peft_config
        sampler = self._set_up(args)
        self._check_best()
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
        if self.is_fsdp_enabled and getattr(self.accelerator.state.fsdp_plugin, "fsdp_version", 1) != 2:
            raise InvalidInputError(
                "FSDP of version 1 gathers weights only for forward, and evaluating and saving need them, too: set "
                'fsdp_config={"version": 2}.'
            )
        if self._is_sharded and self.loss_fn.needs_whole_weights:
            raise InvalidInputError(
                f"{', '.join(self.loss_fn.needs_whole_weights)} needs whole weights, and here each process has only "
                "a part of them: train without FSDP and DeepSpeed."
            )
        if self.processing_class is None:
            self.processing_class = self.callback_handler.processing_class = self.model.load_tokenizer()
        self.label_names = ["labels"]
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):  # or the Trainer would tell that it sets them
            setattr(self.model.config, name, getattr(self.processing_class, name, None))
        self._recorder = Recorder(self)
        self.add_callback(self._recorder)
        self._owns_collator = kwargs.get("data_collator") is None
        self._set_collator()

    def _set_up(self, args: EpisodicTrainingArguments) -> EpisodeSampler | None:
        """Objective and samplers as the arguments have them; returns the training data's."""
        # the Trainer has an `objective` of its own, in searches
        self.episode_objective: Objective = make(OBJECTIVES, args.objective, args.objective_options)
        assert not isinstance(args.regularizers, str)  # the arguments have read it
        self.loss_fn = Regularized(self.episode_objective, args.regularizers or {})
        if self.episode_objective.needs_names and not args.label_names:
            raise InvalidInputError(f"the objective {args.objective!r} needs label names: set label_names=True.")
        self.eval_samplers = self.data.evaluated(args)
        self.sampler = self.data.trained(args, self.eval_samplers, self.episode_objective)
        return self.sampler

    def _prepared(self, model: Any, args: EpisodicTrainingArguments) -> MANNForSequenceClassification:
        model = prepare_model(model, args, self.peft_config, self.episode_objective)
        self.step = EpisodicStep(model, self.loss_fn)
        return model

    def _drawn(self, sampler: EpisodeSampler | None) -> DrawnEpisodes | None:
        return None if sampler is None else DrawnEpisodes(sampler, self.args.max_steps * self.args.step_episodes)

    def _set_collator(self) -> None:
        if self._owns_collator:
            self.data_collator = EpisodeCollator.for_model(
                self.model,
                self.processing_class,
                label_names=self.args.label_names,
                group_by_length=self.args.device.type == "cpu",
            )

    def _hp_search_setup(self, trial: Any) -> None:
        """Settings of a trial reach the episodes and the objective, too."""
        if trial is None:
            super()._hp_search_setup(trial)
            return
        before, counts = self.args.episodes_per_step, {name: getattr(self.args, name) for name in COUNTS}
        for name in COUNTS:  # or the Trainer would turn a range into the type that the setting had
            setattr(self.args, name, None)
        super()._hp_search_setup(trial)
        for name in COUNTS:
            if getattr(self.args, name) is None:
                setattr(self.args, name, counts[name])
        if self.args.episodes_per_step not in (None, before):
            self.args.per_device_train_batch_size = self.args.episodes_per_step
        else:
            self.args.episodes_per_step = self.args.per_device_train_batch_size
        self._train_batch_size = self.args.train_batch_size
        self.args.read_counts()
        self.train_dataset = self._drawn(self._set_up(self.args))

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        self._prepare_fresh()
        return super()._inner_training_loop(*args, **kwargs)

    def _prepare_fresh(self) -> None:
        """Prepares a model that `model_init` has just made, by the settings of its trial."""
        model = self.accelerator.unwrap_model(self.model)
        if self.model_init is not None and model is not self._ready:
            self._ready = self._prepared(model, self.args)
            self._set_collator()

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
            name = f"eval_{(self.args.metric_for_best_model or 'accuracy').removeprefix('eval_')}"
            compute_objective = lambda metrics: metrics[name]  # noqa: E731
            if direction is None:
                direction = "minimize" if name.endswith("loss") else "maximize"
        return super().hyperparameter_search(
            hp_space, compute_objective, n_trials, "minimize" if direction is None else direction, **kwargs
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]  # drawn at random already

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Trains; the keys of a memory that the model already has are computed again with the trained encoder.

        Args:
            resume_from_checkpoint: a checkpoint's folder, or True for the newest complete one in `output_dir`.
            args: further arguments of `Trainer.train`.
            kwargs: further arguments of `Trainer.train`.

        Raises:
            InvalidInputError: there is no complete checkpoint, or the model's memory keeps no texts.
            FolderChangedError: `output_dir` holds a memory that was taught elsewhere, and saving would lose it.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = newest_checkpoint(str(self.args.output_dir))
            if resume_from_checkpoint is None:
                raise InvalidInputError(
                    f"{self.args.output_dir} holds no complete checkpoint, so there is nothing to resume: call train() "
                    "without resume_from_checkpoint."
                )
        elif resume_from_checkpoint and not is_whole(Path(resume_from_checkpoint)):
            raise InvalidInputError(f"{resume_from_checkpoint} is not a complete checkpoint.")
        model = self.model
        if model is not None:
            check_texts_kept(model)  # it may have been taught since it was prepared
            check_nothing_lost(model, Path(str(self.args.output_dir)))  # now, rather than when it is saved
        whole = lambda: whole_weights(self.model_wrapped)  # noqa: E731
        aside = contextlib.nullcontext() if model is None else model.memory_set_aside(self._find_tokenizer, whole)
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

    def _find_tokenizer(self) -> Any:
        return self.processing_class

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
        """An estimate: 6 operations for each token (padding included) and weight (Kaplan et al. 2020, section 2.1)."""
        tokens = sum(group["attention_mask"].numel() for group in inputs.inputs)
        return 6 * tokens * self._weights

    @cached_property
    def _weights(self) -> int:
        return self.model.num_parameters(exclude_embeddings=True)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Saves the model, its memory, the tokenizer and the training arguments."""
        if not (self._is_sharded and has_adapter(self.model)):
            super().save_model(output_dir, _internal_call)
            return
        model = self.accelerator.unwrap_model(self.model)
        with whole_weights(self.model_wrapped):
            probe = adapter_base.base_probe(model)
        with adapter_base.saved_with(model, probe):
            super().save_model(output_dir, _internal_call)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Model, memory, tokenizer and arguments; nothing of it a pickle."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or str(self.args.output_dir))
        arguments = {name: value for name, value in self.args.to_dict().items() if name not in OF_THIS_MACHINE}
        with saving_model(self.trained_model, folder, create_model_card=True, overwrite=False) as staging:
            write_model(self.trained_model, staging, **({} if state_dict is None else {"state_dict": state_dict}))
            if self.processing_class is not None:
                save_tokenizer(self.trained_model, self.processing_class, staging)
            (staging / ARGUMENTS_FILE).write_text(json.dumps(arguments, indent=2) + "\n", encoding="utf-8")

    @property
    def trained_model(self) -> MANNForSequenceClassification:
        """The model without the wrappers for devices and processes."""
        return self.accelerator.unwrap_model(self.model, keep_torch_compile=False)

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
        kept = self.trained_model.model_card_data
        said = replace(
            kept,
            language=language or kept.language,
            license=license or kept.license,
            model_name=model_name or kept.model_name,
            tags=list(dict.fromkeys([*kept.tags, *_listed(tags)])),
            datasets=list(dict.fromkeys([*kept.datasets, *_listed(dataset_tags)])),
        )
        save_cards(self.trained_model, str(self.args.output_dir), getattr(self, "hub_model_id", None), said)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial), f"checkpoint-{self.state.global_step}")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / STATE_FILE).unlink(missing_ok=True)  # of an earlier run: whole is what is written to the end
            drawn = self._train_sampler_state() | self._run_settings()
            drawn["drawn"] = self.state.global_step * self.args.step_episodes
            write_whole(folder / SAMPLER_FILE, (json.dumps(drawn) + "\n").encode())
        super()._save_checkpoint(model, trial)

    def _run_settings(self) -> dict[str, Any]:
        """What a run cannot change when it is resumed."""
        model = self.accelerator.unwrap_model(self.model)
        settings = {name: getattr(self.args, name) for name in RUN_SETTINGS}
        settings |= {name: getattr(model.config, name) for name in MODEL_SETTINGS}
        settings["adapter"] = adapters.described(model) if has_adapter(model) else None
        return json.loads(json.dumps(settings, default=str))

    def _train_sampler_state(self) -> dict[str, Any]:
        assert isinstance(self.train_dataset, DrawnEpisodes)
        return self.train_dataset.sampler.state_dict()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._prepare_fresh()  # the checkpoint is one of a model with its adapter on
        file = Path(resume_from_checkpoint, SAMPLER_FILE)
        if file.is_file() and isinstance(self.train_dataset, DrawnEpisodes):
            before = json.loads(file.read_text(encoding="utf-8"))
            now = self._train_sampler_state() | self._run_settings()
            now["drawn"] = steps_done(resume_from_checkpoint) * self.args.step_episodes
            changed = [key for key in now if key != "num_processes" and before.get(key) != now[key]]
            if changed:
                raise InvalidInputError(
                    f"{resume_from_checkpoint} was written by a run with other training data, episode settings, "
                    f"number of processes, seed, objective or model ({', '.join(changed)}): it cannot be resumed. "
                    "Start a new run from its weights, with from_pretrained."
                )
        if has_adapter(self.model) and not self._is_sharded:
            self._load_adapter(resume_from_checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if has_adapter(self.model) and not self._is_sharded:
            assert self.state.best_model_checkpoint is not None
            self._load_adapter(self.state.best_model_checkpoint)
        else:
            super()._load_best_model()

    def _load_adapter(self, folder: str) -> None:
        state = load_file(Path(folder, adapters.WEIGHTS))
        state.pop(adapters.BASE_PROBE)
        adapters.load_trained_state(self.model, state, folder)


def _listed(names: str | list[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or [])
