"""Which adapters of PEFT, an optional package, are on the encoder now."""

from collections.abc import Iterator
from typing import Any

import transformers
from transformers.integrations import peft as integration
from transformers.utils.peft_utils import check_peft_version

from ..errors import InvalidInputError, import_extra


def has_adapter(model: Any) -> bool:
    """Whether `add_adapter` has been called, by a user or in loading."""
    return getattr(model, "_hf_peft_config_loaded", False)


def active_adapters_on(model: Any) -> tuple[str, ...]:
    """The names of the adapters that are on the encoder now; none where they are switched off."""
    if not has_adapter(model):
        return ()
    first = next(switched(model), None)  # of all, for they are switched together: each question asks
    return () if first is None or first.disable_adapters else tuple(first.active_adapters)


def enable_all(model: Any) -> None:
    """Switches on what `disable_adapters` of transformers switched off, of which its `enable_adapters` leaves some."""
    for layer in switched(model):
        layer.enable_adapters(enabled=True)


def switched(model: Any) -> Iterator[Any]:
    """The modules of PEFT in the encoder that can be switched off."""
    for module in model.encoder.modules():
        if type(module).__module__.startswith("peft.") and hasattr(module, "disable_adapters"):
            yield module


def check_on(model: Any) -> None:
    """Refuses an adapter that loading would switch on."""
    if not active_adapters_on(model) or any(layer.disable_adapters for layer in switched(model)):
        raise InvalidInputError(
            "the model was not saved: its adapter is switched off, and would be on when it is loaded. Call "
            "enable_adapters() before, and reencode_memory() after it if the model was taught meanwhile."
        )


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
