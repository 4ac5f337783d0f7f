"""A Trainer that evaluates on episodes."""

import time
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer
from transformers.trainer_utils import PredictionOutput, speed_metrics

from ..episodes import EpisodeSampler
from ..errors import InvalidInputError
from ..models import MANNForSequenceClassification
from .arguments import EpisodicTrainingArguments
from .episode_data import EpisodeData, warn_of_shared
from .evaluation import EpisodeAnswers, answer_episodes, evaluation_episodes
from .scores import episodic_scores, split_scores
from .sharding import whole_weights


class EvaluatingTrainer(Trainer):
    """Evaluates on seeded episodes instead of batches.

    Attributes:
        data: the training and evaluation data.
        sampler: draws the training episodes; None without training data.
        eval_samplers: draw the evaluation episodes, by the name of the data set.
    """

    args: EpisodicTrainingArguments
    model: MANNForSequenceClassification
    data: EpisodeData
    sampler: EpisodeSampler | None
    eval_samplers: dict[str, EpisodeSampler]

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
            `eval_macro_f1`; `eval_loss`; and run times. With several data sets, such as class splits, their names
            follow the prefix; the means over them have the prefix alone, with `eval_accuracy_std` over the data sets.

        Raises:
            InvalidInputError: there is no evaluation data.
        """
        samplers = self._asked(eval_dataset)
        self.asks_own_data = eval_dataset is None and metric_key_prefix == "eval"
        metrics: dict[str, float] = {}
        start = time.time()
        answers = {name: self._answers(sampler) for name, sampler in samplers.items()}
        scores = {name: episodic_scores(each) for name, each in answers.items()}
        if "" not in scores:
            scores[""] = split_scores(answers)
        for name, values in scores.items():
            prefix = f"{metric_key_prefix}_{name}" if name else metric_key_prefix
            metrics |= {f"{prefix}_{key}": value for key, value in values.items()}
        count = self.args.eval_episodes * len(samplers)
        metrics |= speed_metrics(metric_key_prefix, start, num_samples=count)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Predicts the queries of `eval_episodes` episodes of a data set.

        Returns:
            `predictions` and `label_ids` [n], the numbers of the labels within each query's episode, and `metrics` as
            from `evaluate`.
        """
        samplers = self._asked(test_dataset)
        if len(samplers) > 1:
            raise InvalidInputError(f"predict answers one data set, not {', '.join(samplers)}.")
        start = time.time()
        answers = self._answers(next(iter(samplers.values())))
        metrics = {f"{metric_key_prefix}_{key}": value for key, value in episodic_scores(answers).items()}
        metrics |= speed_metrics(metric_key_prefix, start, num_samples=self.args.eval_episodes)
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, metrics)
        return PredictionOutput(answers.predictions, answers.references, metrics)

    def _check_best(self) -> None:
        """Raises if the best model is to be chosen by a figure that evaluations do not have."""
        metric, choices = self.args.metric_for_best_model, {"accuracy", "macro_f1", "loss"}
        chosen = self.args.load_best_model_at_end or self.args.save_strategy == "best"
        if not (chosen and metric and self.eval_samplers):
            return
        if any(sampler.n_unknown[1] for sampler in self.eval_samplers.values()):
            choices.add("unknown_auroc")
        if "" not in self.eval_samplers:
            choices |= {f"{name}_{figure}" for name in self.eval_samplers for figure in choices}
        if metric.removeprefix("eval_") not in choices:
            raise InvalidInputError(
                f"metric_for_best_model is {metric!r}; the best model can be chosen by {', '.join(sorted(choices))}."
            )

    def _asked(self, data: Any) -> dict[str, EpisodeSampler]:
        """The samplers of what is evaluated on, with a warning if it is no new classes."""
        if isinstance(data, str):
            if data not in self.eval_samplers:
                raise InvalidInputError(
                    f"there is no evaluation data {data!r}; known are "
                    f"{', '.join(repr(name) for name in self.eval_samplers if name) or 'none with a name'}."
                )
            return {"": self.eval_samplers[data]}
        samplers = self.eval_samplers if data is None else self.data.evaluated(self.args, data)
        if not samplers:
            raise InvalidInputError("there is nothing to evaluate on: give eval_dataset.")
        if data is not None and self.sampler is not None and self.args.shared_labels != "allow":
            warn_of_shared(self.sampler, samplers)
        return samplers

    def _answers(self, sampler: EpisodeSampler) -> EpisodeAnswers:
        """In full precision, whatever training is in."""
        episodes = evaluation_episodes(sampler, self.args.eval_episodes)
        model = self.accelerator.unwrap_model(self.model)
        with whole_weights(self.model_wrapped):
            return answer_episodes(
                model, self.processing_class, episodes, self.args.label_names, embed_texts=self._embed
            )

    def _embed(self, texts: list[str]) -> Tensor:
        """Keys for texts, each process encoding its share."""
        processes, model = self.accelerator.num_processes, self.accelerator.unwrap_model(self.model)
        if self._is_sharded:
            return model.embed_texts(self.processing_class, texts)
        share = -(-len(texts) // processes)
        first = share * self.accelerator.process_index
        own = texts[first : first + share]
        keys = model.embed_texts(self.processing_class, own) if own else torch.zeros(0, model.config.key_size)
        if processes == 1:
            return keys
        keys = torch.nn.functional.pad(keys, (0, 0, 0, share - len(keys))).to(self.accelerator.device)
        return self.accelerator.gather(keys)[: len(texts)]

    @property
    def _is_sharded(self) -> bool:
        """Whether no process has all weights, so that all must encode the same texts at once."""
        return self.is_fsdp_enabled or self.is_deepspeed_enabled
