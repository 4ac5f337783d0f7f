"""The card of a memory that lies in a repository or folder of its own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import cards
from ..cards import MANNModelCardData
from ..hub.files import CARD
from ..targets.kinds import targets_of
from .adapter_switches import has_adapter
from .card_files import is_local

ENCODING = (
    *("pooling", "projection", "normalize", "max_seq_length", "prompts", "prompt_name", "pool_prompt", "lower_case"),
    *("reading", "similarity", "reading_options", "problem_type"),
)
"""Fields of the configuration without which another model would not read a memory as this one does."""


def write_memory_card(model: Any, folder: Path, place: str, before: str | None) -> None:
    """Writes the card of a memory that lies in a place of its own; a card of the user's own in `before` is kept."""
    facts, card_data = model.card_facts(place), model.model_card_data
    if _is_fitted(model):  # the encoder of that name is not the one that wrote it
        public = model.name_or_path if _is_published(model) else None
        facts = replace(facts, encoder=public, base=None)
    of_memory = MANNModelCardData(language=card_data.language, license=card_data.license, limits=list(card_data.limits))
    card = cards.merged(cards.memory_card(facts, model.loaded_by(), of_memory), before)
    if card is not None:
        (folder / CARD).write_text(card, encoding="utf-8")


def loading(model: Any) -> str | None:
    """The expression that gives a model of labelled examples with a model's encoder; None where no one can have it."""
    name, config, usual = f"mann_hf.{type(model).__name__}", model.config, model.config.usual()
    if (published := published_as(model)) is not None:
        return published
    if _is_fitted(model) or not config.encoder_name or is_local(config.encoder_name):
        return None
    options = {field: getattr(config, field) for field in ENCODING if getattr(config, field) != getattr(usual, field)}
    if type(model).modality is None:  # a class of any modality
        options["modality"] = config.modality
    if not targets_of(config.problem_type).named:
        options["num_labels"] = config.num_labels
    arguments = "".join(f", {field}={value!r}" for field, value in options.items())
    return f"{name}.from_encoder_pretrained({json.dumps(config.encoder_name, ensure_ascii=False)}{arguments})"


def published_as(model: Any) -> str | None:
    """The expression that loads a model from the Hub; None where it, as it is, has no name there."""
    if not _is_published(model):
        return None
    place = json.dumps(model.name_or_path, ensure_ascii=False)
    return f"mann_hf.{type(model).__name__}.from_pretrained({place})"


def _is_published(model: Any) -> bool:
    """Whether the model, as it is, has a name on the Hub: it was loaded from there and not trained since."""
    trained = model.model_card_data.training is not model.loaded_training
    name = model.name_or_path
    return bool(name and not is_local(name)) and not trained


def _is_fitted(model: Any) -> bool:
    """Whether the encoder is no longer the one of its name: trained further, or with an adapter."""
    return model.model_card_data.training is not None or has_adapter(model)
