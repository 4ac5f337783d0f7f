"""Episodes of labelled inputs: what training over them takes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..episodes import EpisodeCollator, EpisodeSampler, SeededEpisodes
from ..errors import InvalidInputError
from ..persistent.holder import full_precision
from ..targets.kinds import TARGETS, targets_of
from ..wording import listed
from .arguments import COLUMNS, EpisodicTrainingArguments
from .evaluation import EpisodeAnswers, answer_episodes, evaluation_episodes
from .kind_base import EPISODE_KINDS, LABELS, EpisodeKind
from .objectives import OBJECTIVES, Objective
from .scores import episodic_scores, split_scores
from .sharding import embed_in_shares, whole_weights


@EPISODE_KINDS.register(LABELS)
class LabelledEpisodes(EpisodeKind):
    """Inputs with one label by name each: the support is written to a memory, and the queries' labels are read."""

    name = LABELS
    sampler_class = EpisodeSampler
    collator_class = EpisodeCollator
    objectives = OBJECTIVES
    settings = frozenset(
        {"n_way", "k_shot", "n_query", "unbalanced", "batch_size", "weights", "n_unknown", "seed", *COLUMNS, "noun"}
    )
    needs = ("encoder", "reading", "memory", "embed_episodes")
    metric = "accuracy"
    figures = ("accuracy", "macro_f1", "unknown_auroc")
    model_settings = ("reading", "reading_options", "pooling", "normalize")

    def check_objective(self, model: Any, args: EpisodicTrainingArguments, objective: Objective) -> None:
        targets = targets_of(model.config.problem_type)
        if not objective.serves(targets):
            able = [name for name, kind in TARGETS.items() if objective.serves(targets_of(name))]
            raise InvalidInputError(
                f"the model has problem_type={targets.name!r}, and the objective {args.objective!r} takes "
                f"{listed(map(repr, able))}. For others call forward with support_* in your own loop."
            )

    def loss(self, model: Any, objective: Any, batch: Any) -> tuple[Tensor, Tensor | None]:
        episodes = model.embed_episodes(batch)
        with full_precision(episodes.support):
            return objective(model.reading, episodes)

    def answers(self, trainer: Any, sampler: SeededEpisodes) -> EpisodeAnswers:
        episodes = evaluation_episodes(sampler, trainer.args.eval_episodes)
        accelerator = trainer.accelerator
        model = accelerator.unwrap_model(trainer.model)
        processor = model.processor(trainer.processing_class)
        embed = lambda inputs: embed_in_shares(accelerator, model, processor, inputs, trainer.is_sharded)  # noqa: E731
        with whole_weights(trainer.model_wrapped):
            return answer_episodes(model, processor, episodes, trainer.args.label_names, embed)

    def scores(self, answers: EpisodeAnswers) -> dict[str, float]:
        return episodic_scores(answers)

    def split_scores(self, answers: Mapping[str, EpisodeAnswers]) -> dict[str, float]:
        return split_scores(answers)

    def choices(self, samplers: Mapping[str, SeededEpisodes]) -> set[str]:
        asked = any(sampler.n_unknown[1] for sampler in samplers.values())
        return super().choices(samplers) - (set() if asked else {"unknown_auroc"})
