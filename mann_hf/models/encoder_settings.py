"""Finds an encoder, its pooling and its prompts, from which `from_encoder_pretrained` makes a model."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ..controllers.kinds import TEXT, controller_of
from ..hub.encoders import load_encoder
from ..hub.loading_arguments import check_loading_arguments
from ..hub.resolve import resolve_encoder
from ..hub.sentence_transformers import TextEncoderSettings, read_settings
from ..hub.source import HUB_ARGUMENTS, Source
from .arguments import SETTABLE, settable
from .config_fields import targets_named
from .configuration_base import MANNBaseConfig
from .configuration_mann import MANNConfig


def read_encoder(
    encoder_name: str | os.PathLike, arguments: dict[str, Any]
) -> tuple[PreTrainedModel, MANNConfig, TextEncoderSettings | None]:
    """Loads an encoder, and says what a model around it is made of.

    Returns:
        The encoder, the configuration, and what sentence-transformers files beside the encoder say, if there are any.
    """
    check_loading_arguments(arguments)
    places = {name: arguments[name] for name in HUB_ARGUMENTS if name in arguments}
    place = resolve_encoder(encoder_name, **places)
    fields = {name: value for name, value in arguments.items() if name in SETTABLE}
    loading = {name: value for name, value in arguments.items() if name not in fields}
    modality = fields.get("modality", TEXT)
    folder = Path(os.path.expanduser(encoder_name))  # the encoder itself may lie in a folder of it
    source = Source.of(place, loading).at_one_commit()
    settings = None
    if controller_of(modality).uses_sentence_transformers:
        settings = read_settings(Source.of(folder) if folder.is_dir() else replace(source, subfolder=""))
    if settings is not None:
        known = {
            "pooling": settings.pooling,
            "normalize": settings.normalize,
            "max_seq_length": settings.max_length,
            "prompts": settings.prompts,
            "prompt_name": settings.default_prompt_name,
            "lower_case": settings.lower_case,
            "projection": list(settings.projection),
            "pool_prompt": settings.pool_prompt,
        }
        fields = {**{name: value for name, value in known.items() if value is not None}, **fields}
    encoder = load_encoder(
        place, **{"modality": modality, "pooling": fields.get("pooling"), **loading, **source.arguments}
    )
    encoder.config.name_or_path = ""  # a folder of this machine, maybe that of a package
    outputs = {"num_labels", "id2label"}
    if not targets_named(fields.get("problem_type")).named and not fields.keys() & outputs:
        fields["num_labels"] = 1
    config = MANNConfig(encoder_config=encoder.config.to_dict(), encoder_name=str(encoder_name), **fields)
    return encoder, config, settings


def read_wrapped(
    name: str | os.PathLike, kind: type[MANNBaseConfig], modality: str, arguments: dict[str, Any]
) -> tuple[PreTrainedModel, Any]:
    """Loads a pretrained model that is wrapped as it is, and the configuration of a model around it.

    Args:
        name: a folder, a Hub id, or a name that `resolve_encoder` knows.
        kind: the class of the configuration.
        modality: of the inputs.
        arguments: fields of the configuration, and arguments of loading.
    """
    check_loading_arguments(arguments)
    place = resolve_encoder(name, **{one: arguments[one] for one in HUB_ARGUMENTS if one in arguments})
    known = settable(kind)
    fields = {one: value for one, value in arguments.items() if one in known}
    loading = {one: value for one, value in arguments.items() if one not in known}
    source = Source.of(place, loading).at_one_commit()
    kind(**fields)  # refuses a field before a large model is loaded
    wrapped = load_encoder(place, **{"modality": modality, **loading, **source.arguments})
    wrapped.config.name_or_path = ""  # a folder of this machine
    config = kind(encoder_config=wrapped.config.to_dict(), encoder_name=str(name), **fields)
    return wrapped, config
