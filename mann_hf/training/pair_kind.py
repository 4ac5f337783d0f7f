"""Episodes of pairs: what training over them takes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..episodes import PairCollator, PairSampler, SeededEpisodes
from ..episodes.pairs import PAIRS
from ..errors import InvalidInputError
from ..models.embedding import evaluating
from ..targets.label_tensors import IGNORED
from ..wording import listed
from .arguments import PAIR_COLUMNS, EpisodicTrainingArguments
from .evaluation import evaluation_episodes
from .kind_base import EPISODE_KINDS, EpisodeKind
from .pair_objectives import PAIR_OBJECTIVES, token_losses
from .regularizers import REGULARIZERS
from .sharding import whole_weights


class PairAnswers(NamedTuple):
    """A model's answers to the queries of E episodes of pairs, one episode after the other.

    Attributes:
        predictions: [n, T], the likeliest token behind the true ones before it; -100 for padding.
        references: [n, T], the true tokens.
        episodes: [n], the number of each query's episode.
        losses: [E], the mean cross entropy of the tokens of each episode's queries.
    """

    predictions: np.ndarray
    references: np.ndarray
    episodes: np.ndarray
    losses: np.ndarray


@EPISODE_KINDS.register(PAIRS)
class PairEpisodesKind(EpisodeKind):
    """Pairs of texts: the support pairs are written to the model's memory, and the queries' targets are predicted."""

    name = PAIRS
    sampler_class = PairSampler
    collator_class = PairCollator
    objectives = PAIR_OBJECTIVES
    settings = frozenset({"k_shot", "n_query", "weights", "seed", *PAIR_COLUMNS})
    needs = ("encoder", "generation_memory", "memory", "embed_episodes")
    metric = "exact_match"
    figures = ("exact_match", "token_accuracy")
    model_settings = ("memory", "interpolation")

    def check_arguments(self, args: EpisodicTrainingArguments) -> None:
        """Refuses label names, and regularizers of the keys of labelled inputs."""
        if args.label_names:
            raise InvalidInputError("label_names=True: pairs have no labels with names; leave it out.")
        terms = args.regularizers or {}
        of_keys = [name for name in terms if REGULARIZERS[name].of_keys]
        if of_keys:
            able = [name for name, term in REGULARIZERS.items() if not term.of_keys]
            raise InvalidInputError(
                f"regularizers of the keys of labelled inputs have nothing to work on in episodes of pairs: leave out "
                f"{listed(map(repr, of_keys))}; there is {listed(map(repr, able))}."
            )

    def check_objective(self, model: Any, args: EpisodicTrainingArguments, objective: Any) -> None:
        """Every objective of pairs serves every model of pairs."""

    def loss(self, model: Any, objective: Any, batch: Any) -> tuple[Tensor, Tensor | None]:
        return objective(model.generation_memory, model.embed_episodes(batch))

    def answers(self, trainer: Any, sampler: SeededEpisodes) -> PairAnswers:
        model = trainer.accelerator.unwrap_model(trainer.model)
        episodes = evaluation_episodes(sampler, trainer.args.eval_episodes)
        collator = self.collator_class.for_model(
            model, trainer.processing_class, group_by_length=trainer.args.device.type == "cpu"
        )
        with whole_weights(trainer.model_wrapped):
            return answer_pairs(model, collator, episodes, trainer.args.per_device_eval_batch_size)

    def scores(self, answers: PairAnswers) -> dict[str, float]:
        return pair_scores(answers)

    def split_scores(self, answers: Mapping[str, PairAnswers]) -> dict[str, float]:
        parts = [pair_scores(each) for each in answers.values()]
        means = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
        return means | {"exact_match_std": float(np.std([part["exact_match"] for part in parts]))}


def answer_pairs(model: Any, collator: Any, episodes: Any, at_a_time: int = 8) -> PairAnswers:
    """Predicts the targets of each episode's queries from a memory of its support.

    A target whose tokens are all the likeliest behind the true ones before them is what greedy search generates.

    Args:
        model: a memory-augmented model of pairs; its own memory is not used or changed.
        collator: a `PairCollator` of the model.
        episodes: E tasks.
        at_a_time: episodes that are read together.
    """
    predictions: list[Tensor] = []
    references: list[Tensor] = []
    numbers: list[int] = []
    losses: list[Tensor] = []
    device = next(model.parameters()).device
    with evaluating(model), torch.no_grad():
        for first in range(0, len(episodes), at_a_time):
            read = model.embed_episodes(collator(episodes[first : first + at_a_time]).to(device))
            logits, labels = read.logits, read.labels
            each, there = token_losses(logits, labels)
            losses.append((each.masked_fill(~there, 0).sum(1) / there.sum(1)).cpu())
            best = logits.argmax(-1).masked_fill(labels == IGNORED, IGNORED)
            asked = (labels != IGNORED).any(-1)
            numbers += (first + asked.nonzero()[:, 0]).tolist()
            predictions.append(best[asked].cpu())
            references.append(labels[asked].cpu())
    width = max(part.shape[-1] for part in references)
    wide = lambda parts: torch.cat([F.pad(part, (0, width - part.shape[-1]), value=IGNORED) for part in parts])  # noqa: E731
    return PairAnswers(
        wide(predictions).numpy(), wide(references).numpy(), np.array(numbers), torch.cat(losses).float().numpy()
    )


def pair_scores(answers: PairAnswers) -> dict[str, float]:
    """`exact_match`, `exact_match_ci95`, `token_accuracy` and `loss` of answers, means over episodes.

    `exact_match` is the share of an episode's queries of which every token is right, and `exact_match_ci95` half the
    width of the 95 % interval of its mean.

    Raises:
        InvalidInputError: there are no queries.
    """
    if not len(answers.references):
        raise InvalidInputError("these episodes have no queries, so there is nothing to score.")
    there = answers.references != IGNORED
    right = answers.predictions == answers.references
    numbers, place = np.unique(answers.episodes, return_inverse=True)
    exact = np.bincount(place, weights=(right | ~there).all(1)) / np.bincount(place)
    tokens = np.bincount(place, weights=(right & there).sum(1)) / np.bincount(place, weights=there.sum(1))
    error = exact.std(ddof=1) / np.sqrt(len(numbers)) if len(numbers) > 1 else 0.0
    losses = answers.losses[~np.isnan(answers.losses)]
    return {
        "exact_match": float(exact.mean()),
        "exact_match_ci95": float(1.96 * error),
        "token_accuracy": float(tokens.mean()),
        "loss": float(losses.mean()),
    }
