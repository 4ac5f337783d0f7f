"""Makes the chosen parts of a model trainable, and refuses settings that do not go together."""

from collections.abc import Mapping
from typing import Any

from transformers.utils import logging

from ..errors import InvalidInputError
from ..models import MANNPreTrainedModel, adapters
from ..models.adapter_switches import check_none_beside, has_adapter
from ..models.memory_keys import why_lacking
from .arguments import EpisodicTrainingArguments
from .kinds import EpisodeKind, kind_of

logger = logging.get_logger(f"transformers.{__name__}")

NO_EFFECT = ("compute_metrics", "compute_loss_func", "preprocess_logits_for_metrics")
"""Arguments of `Trainer` that episodes have no use for."""
NO_EFFECT_ARGUMENTS = ("label_smoothing_factor", "bf16_full_eval", "fp16_full_eval")


def check_options(args: EpisodicTrainingArguments, options: Mapping[str, Any]) -> None:
    """Refuses arguments of `Trainer` that would do nothing for episodes, or cut a batch of them in pieces."""
    ignored = [name for name in NO_EFFECT if options.get(name) is not None]
    ignored += [name for name in NO_EFFECT_ARGUMENTS if getattr(args, name)]
    if ignored:
        raise InvalidInputError(
            f"{', '.join(ignored)} would have no effect: episodes have their own metrics (answer_episodes returns all "
            "answers), and the objective is the loss function."
        )
    cuts = [name for name in ("dispatch_batches", "split_batches") if getattr(args.accelerator_config, name)]
    if cuts:
        raise InvalidInputError(
            f"leave {' and '.join(cuts)} of accelerator_config out: they split batches, and a batch of episodes cannot "
            "be split. Each process draws its own episodes."
        )


def check_sharding(trainer: Any, needs_whole_weights: list[str]) -> None:
    """Refuses ways of sharding weights over processes that an episodic trainer cannot work with."""
    if trainer.is_fsdp_enabled and getattr(trainer.accelerator.state.fsdp_plugin, "fsdp_version", 1) != 2:
        raise InvalidInputError(
            "FSDP of version 1 gathers weights only for forward, and evaluating and saving need them, too: set "
            'fsdp_config={"version": 2}.'
        )
    if trainer.is_sharded and needs_whole_weights:
        raise InvalidInputError(
            f"{', '.join(needs_whole_weights)} needs whole weights, and here each process has only a part of them: "
            "train without FSDP and DeepSpeed."
        )


def prepare_model(
    model: Any,
    args: EpisodicTrainingArguments,
    peft_config: Any,
    objective: Any,
    kind: EpisodeKind | None = None,
) -> MANNPreTrainedModel:
    """The model with its adapter, if one is wanted, and with gradients for the chosen parts.

    Weights that are frozen already, such as layers frozen by hand, stay so.

    Args:
        model: what is trained.
        args: of the run.
        peft_config: of an adapter that is wanted; None for none.
        objective: the loss function.
        kind: of the episodes; by default that of the model.

    Raises:
        InvalidTypeError: another kind of model.
        InvalidInputError: what is asked for does not go together, or leaves nothing to train; or the memory keeps no
            texts.
    """
    own = kind_of(model)
    if kind is not None and kind.name != own.name:
        raise InvalidInputError(
            f"the model learns from episodes of {own.name}, and these are of {kind.name}: give the model itself in "
            "place of model_init, or a sampler of such episodes."
        )
    own.check_model(model)
    own.check_objective(model, args, objective)
    check_inputs_kept(model)
    check_none_beside(model)
    adapted = has_adapter(model)
    if peft_config is not None and adapted:
        raise InvalidInputError(
            "the model has an adapter already: to train it further, give no peft_config; for a new one start from the "
            "plain model."
        )
    if args.trainable == "adapter" and peft_config is None and not adapted:
        raise InvalidInputError('trainable="adapter" needs a peft_config, such as peft.LoraConfig(...).')
    if peft_config is not None:
        if args.trainable == "memory":
            raise InvalidInputError('a peft_config is for the encoder, which trainable="memory" does not train.')
        adapters.add(model, peft_config)
    if args.trainable == "memory":
        model.encoder.requires_grad_(False)
        if args.objective != "episode" and getattr(objective, "own", True) is not None:
            raise InvalidInputError(
                f'the objective {args.objective!r} does not use the reading of the model, so with trainable="memory" '
                'there is nothing to train; take objective="episode".'
            )
    elif not any(parameter.requires_grad for parameter in model.encoder.parameters()):
        logger.warning(
            f"no weight of the encoder is trainable (trainable={args.trainable!r}), as after a run with "
            'trainable="memory": call model.encoder.requires_grad_(True) to train it.'
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InvalidInputError(f"no weight of the model is trainable (trainable={args.trainable!r}).")
    return model


def check_inputs_kept(model: MANNPreTrainedModel) -> None:
    """Refuses to train a model whose memory could not follow the encoder."""
    if model.lacks_inputs(model.memory):
        raise InvalidInputError(
            f"the model's {why_lacking(model)}, so its keys could not be computed again with the trained encoder. "
            "Train a model with an empty memory and teach it afterwards."
        )
