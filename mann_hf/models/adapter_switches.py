"""Which PEFT adapters are on the encoder now."""

from collections.abc import Iterator
from typing import Any

from ..errors import InvalidInputError


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
