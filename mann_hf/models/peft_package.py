"""PEFT, an optional package."""

from typing import Any

import transformers
from transformers.integrations import peft as integration
from transformers.utils.peft_utils import check_peft_version

from ..errors import InvalidInputError, import_extra


def import_peft() -> Any:
    """The package, in a version that transformers works with.

    Raises:
        MissingExtraError: it is not installed.
        InvalidInputError: it is older than transformers asks for.
    """
    peft = import_extra("peft", "an adapter on the encoder", "peft")
    least = getattr(integration, "MIN_PEFT_VERSION", "0")
    try:
        check_peft_version(min_version=least)
    except ValueError as error:
        raise InvalidInputError(
            f"transformers {transformers.__version__} needs peft {least} or newer, and peft {peft.__version__} is "
            "installed: pip install --upgrade peft, or, if there is no newer one yet, "
            f"pip install 'transformers<{transformers.__version__}'."
        ) from error
    return peft


def check_none_beside(model: Any) -> None:
    """Refuses an adapter that the encoder was given by itself, so that the model knows nothing of it."""
    if getattr(model.encoder, "_hf_peft_config_loaded", False):
        raise InvalidInputError(
            "an adapter was put on with model.encoder.add_adapter(...), which the model neither saves nor loads: call "
            "model.add_adapter(...) in its place, on the model as it was loaded."
        )
