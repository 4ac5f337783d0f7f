"""Makes the chosen parts of a model trainable."""

from typing import Any

from transformers.utils import logging

from ..errors import InvalidInputError, InvalidTypeError
from ..memory.reading import SINGLE_LABEL
from ..models import MANNForSequenceClassification, adapters
from ..models.adapter_switches import has_adapter
from ..models.peft_package import check_none_beside
from ..persistent.entries import lack_texts
from .arguments import EpisodicTrainingArguments
from .objectives import Objective

logger = logging.get_logger(f"transformers.{__name__}")


def prepare_model(
    model: Any, args: EpisodicTrainingArguments, peft_config: Any, objective: Objective
) -> MANNForSequenceClassification:
    """The model with its adapter, if one is wanted, and with gradients for the chosen parts.

    Weights that are frozen already, such as layers frozen by hand, stay so.

    Raises:
        InvalidTypeError: another kind of model.
        InvalidInputError: what is asked for does not go together, or leaves nothing to train; or the memory keeps no
            texts.
    """
    if not isinstance(model, MANNForSequenceClassification):
        raise InvalidTypeError(
            f"the model is of type {type(model).__name__}; give a MANNForSequenceClassification. For a PEFT adapter "
            "give the plain model and a peft_config."
        )
    problem_type = model.config.problem_type or SINGLE_LABEL
    if problem_type != SINGLE_LABEL:
        raise InvalidInputError(
            f"the model has problem_type={problem_type!r}; the trainer takes single-label models. For others call "
            "forward with support_* in your own loop."
        )
    check_texts_kept(model)
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


def check_texts_kept(model: MANNForSequenceClassification) -> None:
    """Refuses to train a model whose memory could not follow the encoder.

    Raises:
        InvalidInputError: it keeps no texts.
    """
    if lack_texts(model.memory.entries):
        raise InvalidInputError(
            "the model's memory keeps no texts (store_texts=False), so its keys could not be computed again with "
            "the trained encoder. Train a model with an empty memory and teach it afterwards."
        )
