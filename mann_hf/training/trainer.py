"""Training over episodes, as a transformers Trainer."""

import inspect
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Trainer, set_seed
from transformers.trainer_utils import speed_metrics
from transformers.utils import logging

from ..episodes import Episode, EpisodeCollator, EpisodeSampler
from ..errors import InvalidInputError, InvalidTypeError
from ..memory.reading import SINGLE_LABEL
from ..models import MANNForSequenceClassification, adapters
from .arguments import EpisodicTrainingArguments
from .evaluation import answer_episodes, evaluation_episodes
from .objectives import OBJECTIVES, Objective
from .regularizers import Regularized
from .scores import episodic_scores

logger = logging.get_logger(f"transformers.{__name__}")

SAMPLER_FILE = "episode_sampler.json"
ARGUMENTS_FILE = "training_args.json"


class DrawnEpisodes(torch.utils.data.Dataset):
    """The episodes of a run as a data set that is read from front to back.

    Args:
        sampler: that draws them.
        count: how many there are.
    """

    def __init__(self, sampler: EpisodeSampler, count: int) -> None:
        self.sampler, self.count = sampler, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Episode:
        return self.sampler[number]


class EpisodicTrainer(Trainer):
    """Trains the encoder and the memory's parameters over many small tasks.

    Each step draws episodes, writes their support to memories that live for the step, reads for their queries, and
    updates by the objective. All texts of the step's episodes go through the encoder in one call of the model, each
    text once. Everything else is a `Trainer`'s: devices and processes, precision, accumulation, checkpoints, callbacks,
    logging and hyperparameter search.

    Args:
        model: what is trained.
        args: how; `EpisodicTrainingArguments("trainer_output")` if left out.
        train_dataset: a `datasets.Dataset`, several by name to be mixed, or an `EpisodeSampler`, whose own settings
            then count in place of those in `args`.
        eval_dataset: likewise; several by name are evaluated one after the other.
        processing_class: the encoder's tokenizer; found from the model if left out.
        peft_config: of a PEFT adapter to be trained on the encoder, such as `LoraConfig`.
        text_column: in place of that in `args`.
        label_column: in place of that in `args`.
        kwargs: what `Trainer` takes.

    Raises:
        InvalidInputError: data that cannot make an episode, classes that are in both data sets, or settings that do not
            go together. All of it before training.
        InvalidTypeError: data of the wrong type, or another kind of model.
    """

    args: EpisodicTrainingArguments
    model: MANNForSequenceClassification
    collator: EpisodeCollator

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
            raise InvalidTypeError(f"args are a {type(args).__name__}; give EpisodicTrainingArguments.")
        self.columns: dict[str, Any] = {
            "text_column": text_column or args.text_column,
            "label_column": label_column or args.label_column,
        }
        self.objective: Objective = OBJECTIVES[args.objective](**(args.objective_options or {}))
        self.minimised = Regularized(self.objective, args.regularizers or {})
        sampler = None if train_dataset is None else self._sampler(train_dataset, args, training=True)
        self.eval_samplers = self._eval_samplers(eval_dataset, args)
        if sampler is not None:
            sampler = self._disjoint(sampler, train_dataset, args)
        prepare = _Preparation(args, peft_config, self.minimised)
        if self.objective.needs_names and not args.label_names:
            raise InvalidInputError(
                f"the objective {args.objective!r} needs the words of the labels: set label_names=True."
            )
        if sampler is not None and self.objective.needs_queries and not sampler.n_query[0]:
            raise InvalidInputError(
                f"n_query is {sampler.n_query[0]}, and the objective {args.objective!r} asks queries; leave-one-out "
                "and contrastive objectives go without."
            )
        set_seed(args.seed)  # the weights of an adapter are drawn before the Trainer does this
        if model_init is not None:
            model_init = prepare.after(model_init)
        elif model is not None:
            model = prepare(model)
        args._n_gpu = min(args.n_gpu, 1)  # several GPUs take several processes: packed episodes cannot be cut in pieces
        steps = args.max_steps * args.episodes_per_step * args.gradient_accumulation_steps * args.world_size
        super().__init__(
            model=model,
            args=args,
            train_dataset=None if sampler is None else DrawnEpisodes(sampler, steps),
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            model_init=model_init,
            **{"data_collator": lambda episodes: self.collator(episodes), **kwargs},
        )
        if self.processing_class is None:
            self.processing_class = self.callback_handler.processing_class = self.model.load_tokenizer()
        self.label_names = ["labels"]
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):  # or the Trainer would tell that it sets them
            setattr(self.model.config, name, getattr(self.processing_class, name, None))
        self.collator = EpisodeCollator.for_model(
            self.model,
            self.processing_class,
            label_names=args.label_names,
            group_by_length=args.device.type == "cpu",
        )

    def _sampler(self, data: Any, args: EpisodicTrainingArguments, training: bool) -> EpisodeSampler:
        if isinstance(data, EpisodeSampler):
            return data
        given = {
            name: getattr(args, name)
            if training or getattr(args, f"eval_{name}") is None
            else getattr(args, f"eval_{name}")
            for name in ("n_way", "k_shot", "n_query")
        }
        seed = (args.seed if args.data_seed is None else args.data_seed) if training else args.eval_seed
        given |= {"unbalanced": args.unbalanced, "batch_size": args.episodes_per_step} if training else {}
        return EpisodeSampler(data, **given, **self.columns, seed=seed)

    def _eval_samplers(self, data: Any, args: EpisodicTrainingArguments) -> dict[str, EpisodeSampler]:
        if data is None:
            return {}
        several = isinstance(data, Mapping) and not hasattr(data, "column_names")
        return {name: self._sampler(part, args, False) for name, part in (data if several else {"": data}).items()}

    def _disjoint(self, sampler: EpisodeSampler, data: Any, args: EpisodicTrainingArguments) -> EpisodeSampler:
        """The sampler of the training data, without the classes that are asked for in evaluation."""
        asked = {label for each in self.eval_samplers.values() for label in each.labels}
        shared = sorted(sampler.labels & asked)
        if not shared or args.shared_labels == "allow":
            return sampler
        named = ", ".join(map(repr, shared[:8])) + (f" and {len(shared) - 8} more" if len(shared) > 8 else "")
        if args.shared_labels == "refuse" or isinstance(data, EpisodeSampler):
            raise InvalidInputError(
                f"{len(shared)} classes are in the training data and in the evaluation data, so that the evaluation "
                f"would not be of new classes: {named}. Split the data by class (mann_hf.split_classes), or set "
                'shared_labels="drop" to train without them, or "allow" to train with them.'
            )
        logger.warning(f"{len(shared)} classes of the evaluation data are left out of the training data: {named}.")
        return EpisodeSampler(
            data,
            args.n_way,
            args.k_shot,
            args.n_query,
            **self.columns,
            classes=sampler.labels - asked,
            unbalanced=args.unbalanced,
            batch_size=args.episodes_per_step,
            seed=sampler.seed,
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]  # drawn at random already

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """`Trainer.train`; a memory that the model had is written again with the trained encoder."""
        model = self.model
        if model is not None and len(model.memory) and any(entry.text is None for entry in model.memory.entries):
            raise InvalidInputError(
                "the model's memory keeps no texts (store_texts=False): with the encoder trained it could not be read "
                "any more. Train a model with an empty memory and teach it afterwards."
            )
        result = super().train(*args, **kwargs)
        model = self.accelerator.unwrap_model(self.model)
        model.eval()
        model.reencode_memory(self.processing_class)
        return result

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The objective's loss over the episodes of a batch, regularizers included."""
        output = model(**inputs, objective=self.minimised)
        return (output.loss, output) if return_outputs else output.loss

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """About 6 operations a token and weight (Kaplan et al. 2020, section 2.1)."""
        tokens = sum(int(mask.sum()) for mask in inputs["attention_mask"])
        return 6 * tokens * self.model.num_parameters(exclude_embeddings=True)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Answers `eval_episodes` episodes, the same ones each time.

        Args:
            eval_dataset: in place of the trainer's own; several by name are answered one after the other.
            ignore_keys: of no effect.
            metric_key_prefix: put in front of each name.

        Returns:
            `eval_accuracy`, the mean over episodes; `eval_accuracy_ci95`, half the width of its 95 % interval;
            `eval_macro_f1`; `eval_loss`; and how long it took. With several data sets, such as class splits, their
            names follow the prefix, and the means over them come with the prefix alone.

        Raises:
            InvalidInputError: there is no evaluation data.
        """
        samplers = self.eval_samplers if eval_dataset is None else self._eval_samplers(eval_dataset, self.args)
        if not samplers:
            raise InvalidInputError("there is nothing to evaluate on: give eval_dataset.")
        metrics: dict[str, float] = {}
        start = time.time()
        for name, sampler in samplers.items():
            prefix = f"{metric_key_prefix}_{name}" if name else metric_key_prefix
            metrics |= {f"{prefix}_{key}": value for key, value in self._scores(sampler).items()}
        if "" not in samplers:
            for key in ("accuracy", "macro_f1", "loss"):
                parts = [metrics[f"{metric_key_prefix}_{name}_{key}"] for name in samplers]
                metrics[f"{metric_key_prefix}_{key}"] = sum(parts) / len(parts)
            halves = [metrics[f"{metric_key_prefix}_{name}_accuracy_ci95"] for name in samplers]
            metrics[f"{metric_key_prefix}_accuracy_ci95"] = math.hypot(*halves) / len(halves)
        count = self.args.eval_episodes * len(samplers)
        metrics |= speed_metrics(metric_key_prefix, start, num_samples=count)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _scores(self, sampler: EpisodeSampler) -> dict[str, float]:
        episodes = evaluation_episodes(sampler, self.args.eval_episodes)
        model = self.accelerator.unwrap_model(self.model)
        with self.compute_loss_context_manager():
            answers = answer_episodes(
                model, self.processing_class, episodes, self.args.label_names, embed_texts=self._embed
            )
        return episodic_scores(answers)

    def _embed(self, texts: list[str]) -> Tensor:
        """Keys for texts, each process encoding its share."""
        processes, model = self.accelerator.num_processes, self.accelerator.unwrap_model(self.model)
        share = -(-len(texts) // processes)
        first = share * self.accelerator.process_index
        own = texts[first : first + share]
        keys = model.embed_texts(self.processing_class, own) if own else torch.zeros(0, model.config.hidden_size)
        if processes == 1:
            return keys
        keys = torch.nn.functional.pad(keys, (0, 0, 0, share - len(keys))).to(self.accelerator.device)
        return self.accelerator.gather(keys)[: len(texts)]

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Model, memory, tokenizer and arguments; nothing of it a pickle."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        model.save_pretrained(folder, **({} if state_dict is None else {"state_dict": state_dict}))
        if self.processing_class is not None:
            self.processing_class.save_pretrained(folder)
        (folder / ARGUMENTS_FILE).write_text(self.args.to_json_string() + "\n", encoding="utf-8")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial), f"checkpoint-{self.state.global_step}")
            folder.mkdir(parents=True, exist_ok=True)
            steps = self.args.episodes_per_step * self.args.gradient_accumulation_steps
            drawn = {**self._train_sampler_state(), "drawn": self.state.global_step * steps}
            (folder / SAMPLER_FILE).write_text(json.dumps(drawn) + "\n", encoding="utf-8")
        super()._save_checkpoint(model, trial)

    def _train_sampler_state(self) -> dict[str, Any]:
        assert isinstance(self.train_dataset, DrawnEpisodes)
        return self.train_dataset.sampler.state_dict()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        file = Path(resume_from_checkpoint, SAMPLER_FILE)
        if file.is_file() and isinstance(self.train_dataset, DrawnEpisodes):
            before, now = json.loads(file.read_text(encoding="utf-8")), self._train_sampler_state()
            changed = [key for key in ("seed", "fingerprint") if before[key] != now[key]]
            if changed:
                raise InvalidInputError(
                    f"{resume_from_checkpoint} was written by a run with other training data, episode settings or seed "
                    f"({', '.join(changed)}): its episodes cannot be gone on with. Start a new run from its weights, "
                    "with from_pretrained."
                )
        if adapters.has_adapter(self.model):
            self._load_adapter(resume_from_checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if adapters.has_adapter(self.model):
            assert self.state.best_model_checkpoint is not None
            self._load_adapter(self.state.best_model_checkpoint)
        else:
            super()._load_best_model()

    def _load_adapter(self, folder: str) -> None:
        state = load_file(Path(folder, adapters.WEIGHTS))
        state.pop(adapters.BASE_PROBE)
        adapters.load_trained_state(self.model, state, folder)


class _Preparation:
    """Makes a model trainable in the parts that are asked for."""

    def __init__(self, args: EpisodicTrainingArguments, peft_config: Any, minimised: Regularized) -> None:
        self.args, self.peft_config, self.minimised = args, peft_config, minimised
        if peft_config is not None and args.trainable == "memory":
            raise InvalidInputError('a peft_config is for the encoder, and trainable="memory" leaves it as it is.')
        if peft_config is None and args.trainable == "adapter":
            raise InvalidInputError('trainable="adapter" needs a peft_config, such as peft.LoraConfig(...).')

    def after(self, model_init: Callable) -> Callable:
        """A function that makes a model and prepares it; like the given one it takes the trial or nothing."""
        if inspect.signature(model_init).parameters:
            return lambda trial: self(model_init(trial))
        return lambda: self(model_init())

    def __call__(self, model: Any) -> Any:
        if not isinstance(model, MANNForSequenceClassification):
            raise InvalidTypeError(
                f"the model is a {type(model).__name__}; episodes train a MANNForSequenceClassification. For a PEFT "
                "adapter give the plain model and a peft_config."
            )
        problem_type = model.config.problem_type or SINGLE_LABEL
        if problem_type != SINGLE_LABEL:
            raise InvalidInputError(
                f"the model is one of {problem_type}; episodes drawn from classes train single-label models. Call "
                "forward with support_* for others."
            )
        if self.peft_config is not None:
            model.add_adapter(self.peft_config)
        if self.args.trainable == "memory":
            model.encoder.requires_grad_(False)
            if self.args.objective != "episode":
                raise InvalidInputError(
                    f"the objective {self.args.objective!r} does not use the memory's own parameters, so trainable="
                    '"memory" leaves nothing to train; take objective="episode".'
                )
        self.minimised.start(model)
        return model
