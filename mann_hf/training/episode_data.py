"""Turns the data sets of a run into episodes."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from transformers.utils import logging

from ..episodes import Episode, EpisodeSampler, SeededEpisodes
from ..errors import InvalidInputError
from ..persistent.entries import label_words
from ..wording import listed
from .arguments import EpisodicTrainingArguments

logger = logging.get_logger(f"transformers.{__name__}")


class DrawnEpisodes(torch.utils.data.Dataset):
    """The episodes of a run as a data set that is read in order.

    Args:
        sampler: draws the episodes.
        count: number of episodes.
    """

    def __init__(self, sampler: SeededEpisodes, count: int) -> None:
        self.sampler, self.count = sampler, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Episode:
        return self.sampler[number]


class EpisodeData:
    """Training and evaluation data, and how episodes are drawn from them.

    Args:
        train: a `datasets.Dataset`, several by name, a sampler such as `EpisodeSampler`, or None.
        evaluation: likewise; several by name are evaluated one after the other.
        columns: the columns of the data sets by name, and what an input is called in messages, `noun`.
        sampler_class: draws the episodes.
        settings: the arguments that it takes, of those that there are.
    """

    def __init__(
        self,
        train: Any,
        evaluation: Any,
        columns: dict[str, Any],
        sampler_class: Any = EpisodeSampler,
        settings: Collection[str] | None = None,
    ) -> None:
        self.train, self.evaluation, self.columns = train, evaluation, columns
        self.sampler_class, self.settings = sampler_class, settings

    def evaluated(self, args: EpisodicTrainingArguments, data: Any = None) -> dict[str, SeededEpisodes]:
        """The samplers of what is evaluated on, by name; that of a single data set has an empty name.

        Raises:
            InvalidInputError: episodes may have nothing to ask.
        """
        data = self.evaluation if data is None else data
        if data is None:
            return {}
        several = isinstance(data, Mapping) and not hasattr(data, "column_names")
        parts = data if several else {"": data}
        samplers = {name: self._sampler(part, args, training=False) for name, part in parts.items()}
        for sampler in samplers.values():
            _check_names(sampler, args)
        if any(sampler.n_query[0] < 1 for sampler in samplers.values()):
            raise InvalidInputError(
                "evaluation needs queries, and its episodes have none: set eval_n_query (or n_query, its default) to "
                "1 or more. A sampler of your own has its own n_query."
            )
        return samplers

    def asked(
        self,
        args: EpisodicTrainingArguments,
        own: dict[str, SeededEpisodes],
        trained: SeededEpisodes | None,
        data: Any,
    ) -> dict[str, SeededEpisodes]:
        """The samplers of one evaluation, with a warning if its classes were trained on.

        Args:
            data: in place of the run's own, or the name of one of them; None for all of them.

        Raises:
            InvalidInputError: there is no such data, or none at all.
        """
        if isinstance(data, str):
            if data not in own:
                raise InvalidInputError(
                    f"there is no evaluation data {data!r}; known are "
                    f"{', '.join(repr(name) for name in own if name) or 'none with a name'}."
                )
            return {"": own[data]}
        samplers = own if data is None else self.evaluated(args, data)
        if not samplers:
            raise InvalidInputError("there is nothing to evaluate on: give eval_dataset.")
        if data is not None and trained is not None and args.shared_labels != "allow":
            warn_of_shared(trained, samplers)
        return samplers

    def trained(
        self, args: EpisodicTrainingArguments, evaluated: Mapping[str, SeededEpisodes], objective: Any
    ) -> SeededEpisodes | None:
        """The sampler of what is trained on, without the classes that are evaluated on.

        Raises:
            InvalidInputError: there are such classes and they are not to be dropped, or the episodes are not of a kind
                that the objective learns from.
        """
        if self.train is None:
            return None
        sampler = self._sampler(self.train, args, training=True)
        shared = shared_classes(sampler, evaluated)
        if shared and args.shared_labels != "allow":
            if isinstance(self.train, SeededEpisodes):
                raise InvalidInputError(
                    f"{_overlap(shared)}. They are in an EpisodeSampler of your own: give it the classes to draw from "
                    '(classes=), or set shared_labels="allow" to train with them.'
                )
            if args.shared_labels == "refuse":
                raise InvalidInputError(
                    f"{_overlap(shared)}. Split the data by class (mann_hf.split_classes), or set "
                    'shared_labels="drop" to train without them, or "allow" to train with them.'
                )
            logger.warning(f"{_overlap(shared)}. They are left out of the training data.")
            own = sampler.labels - set(shared)
            if not own:
                raise InvalidInputError("no class is left to train on: all are in the evaluation data, too.")
            sampler = self._sampler(self.train, args, training=True, classes=own)
        _check(sampler, args, objective)
        return sampler

    def _sampler(self, data: Any, args: EpisodicTrainingArguments, training: bool, **kwargs: Any) -> SeededEpisodes:
        if isinstance(data, SeededEpisodes):
            return data
        given: dict[str, Any] = {name: getattr(args, name) for name in ("n_way", "k_shot", "n_query")}
        if training:
            given |= {"unbalanced": args.unbalanced, "batch_size": args.episodes_per_step}
            given["weights"] = args.source_weights
            given["seed"] = args.seed if args.data_seed is None else args.data_seed
        else:
            other = {name: getattr(args, f"eval_{name}") for name in given}
            given |= {name: count for name, count in other.items() if count is not None}
            given |= {"n_unknown": args.eval_n_unknown, "seed": args.eval_seed}
        given |= self.columns
        taken = {name: value for name, value in given.items() if self.settings is None or name in self.settings}
        return self.sampler_class(data, **taken, **kwargs)


def shared_classes(sampler: SeededEpisodes, evaluated: Mapping[str, SeededEpisodes]) -> list[str]:
    """The classes that both are drawn from."""
    return sorted(sampler.labels & {label for each in evaluated.values() for label in each.labels})


def warn_of_shared(sampler: SeededEpisodes, evaluated: Mapping[str, SeededEpisodes]) -> None:
    """Says once if an evaluation is of classes that were trained on."""
    shared = shared_classes(sampler, evaluated)
    if shared:
        logger.warning_once(f"{_overlap(shared)}.")


def _overlap(shared: list[str]) -> str:
    return (
        f"{len(shared)} classes are in the training data and in the evaluation data, so that the evaluation is not of "
        f"new classes: {listed(map(repr, shared))}"
    )


def _check_names(sampler: SeededEpisodes, args: EpisodicTrainingArguments) -> None:
    if args.label_names and not any(map(label_words, sampler.labels)):
        raise InvalidInputError(
            f"label_names=True, but no label name has a word ({listed(map(repr, sorted(sampler.labels)))}): "
            "give labels as names, or leave label_names out."
        )


def _check(sampler: SeededEpisodes, args: EpisodicTrainingArguments, objective: Any) -> None:
    _check_names(sampler, args)
    if objective.needs_queries and not sampler.n_query[0]:
        raise InvalidInputError(
            f"the objective {args.objective!r} needs queries, and n_query is {sampler.n_query[0]}; set it to 1 or "
            "more, or take a leave-one-out or contrastive objective."
        )
    if not objective.needs_queries and not args.label_names and sampler.k_shot[1] + sampler.n_query[1] < 2:
        raise InvalidInputError(
            f"an episode has only one input of each class (k_shot and n_query together), and the objective "
            f"{args.objective!r} compares inputs of one class; set k_shot=5."
        )
    if sampler.n_way[0] != sampler.n_way[1] and args.auto_find_batch_size:
        raise InvalidInputError(
            "auto_find_batch_size cannot be used where n_way is a range, as it changes how many episodes a step has; "
            "leave it out, or give n_way as one number."
        )
    if sampler.n_way[0] != sampler.n_way[1] and sampler.batch_size % args.per_device_train_batch_size:
        raise InvalidInputError(
            "the episodes of a step must all have the same number of classes: give the EpisodeSampler a batch_size "
            f"that is a multiple of episodes_per_step ({args.per_device_train_batch_size}), not {sampler.batch_size}."
        )
