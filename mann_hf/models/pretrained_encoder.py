"""A pretrained encoder, and the configuration of a model around it."""

import inspect
import os
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ..hub.encoders import load_encoder
from ..hub.resolve import resolve_encoder
from ..hub.sentence_transformers import TextEncoderSettings, read_sentence_transformers
from ..hub.weight_files import HUB_ARGUMENTS
from ..memory.reading import REGRESSION
from .configuration_mann import MANNConfig

LEFT_OUT: Any = ...
"""The default of arguments that are left to the encoder's files, and then to `MANNConfig`."""


def read_encoder(
    encoder_name: str | os.PathLike, arguments: dict[str, Any]
) -> tuple[PreTrainedModel, MANNConfig, TextEncoderSettings | None]:
    """Loads an encoder, and says what a model around it is made of.

    Args:
        encoder_name: a folder, a Hub id, or a name that `resolve_encoder` knows.
        arguments: fields of `MANNConfig`, and arguments of the encoder's `from_pretrained`.

    Returns:
        The encoder, the configuration, and what sentence-transformers files beside the encoder say, if there are any.
    """
    places = {name: arguments[name] for name in HUB_ARGUMENTS if name in arguments}
    place = resolve_encoder(str(encoder_name), **places)
    fields = {name: value for name, value in arguments.items() if name in config_fields()}
    loading = {name: value for name, value in arguments.items() if name not in fields}
    folder = Path(encoder_name).expanduser()  # the encoder itself may lie in a folder of it
    settings = read_sentence_transformers(folder if folder.is_dir() else place, **places)
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
    encoder = load_encoder(place, **loading)
    encoder.config.name_or_path = ""  # a folder of this machine, maybe that of a package
    if fields.get("problem_type") == REGRESSION and not fields.keys() & {"num_labels", "id2label"}:
        fields["num_labels"] = 1
    config = MANNConfig(encoder_config=encoder.config.to_dict(), encoder_name=str(encoder_name), **fields)
    return encoder, config, settings


def config_fields() -> set[str]:
    """The names of a configuration's fields that can be set beside an encoder's name."""
    own = set(inspect.signature(MANNConfig.__init__).parameters) - {"self", "kwargs", "encoder_config", "encoder_name"}
    return own | {"num_labels", "id2label", "label2id"}
