"""The encoder under an adapter, which is saved without it: what it was when it was loaded, and whether it still is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..errors import InvalidInputError
from ..wording import listed
from . import base_weights
from .adapter_switches import active_adapters_on, check_none_beside, enable_all, has_adapter, import_peft

BASE = "base_model_name_or_path"
REPEATABLE = ("pissa", "olora")
"""Values of `init_lora_weights` that change the encoder's weights, and do it again in the same way at loading."""
UNLOADABLE = ("SHIRA",)
"""Kinds of adapters whose files PEFT uses to address memory unchecked, so that none is loaded."""


def base_of(model: Any) -> str | None:
    """The model that an adapter is put on; None without an adapter, or where it is on the encoder of that name."""
    if not has_adapter(model):
        return None
    before = model.config.adapter
    return before[BASE] if before is not None else model.name_or_path or None


@contextmanager
def noting_base(model: Any, name: str, config: Any) -> Iterator[None]:
    """Notes what the encoder was before the block adds an adapter, and which of its weights that changes.

    Raises:
        InvalidInputError: it changes some, and loading cannot do the same again; it trains some that PEFT would not
            save; it is of a kind that is not loaded; or the encoder has one that the model does not know.
    """
    peft = import_peft()
    check_none_beside(model)
    if getattr(config, "peft_type", None) in UNLOADABLE:
        raise InvalidInputError(
            f"adapters of the kind {config.peft_type.value} are not taken, as they could not be loaded again safely. "
            "Take another kind, such as peft.LoraConfig."
        )
    if model.device.type == "meta":
        yield
        return
    loaded = model.loaded_encoder
    if not has_adapter(model) and (loaded.states is None or loaded.weights is None):
        model.loaded_encoder = loaded = replace(loaded, states=model.probe_states())
    before = base_weights.sample(model.encoder)
    trained = set(base_weights.changed(loaded.weights or before, model.encoder))
    yield
    changed, now = base_weights.changed(before, model.encoder), base_weights.sample(model.encoder)
    initialised = getattr(config, "init_lora_weights", None)
    if changed and str(initialised).lower() not in REPEATABLE:  # PEFT takes either case
        raise InvalidInputError(
            f"the adapter was put on with init_lora_weights={initialised!r}, which changes weights of the encoder "
            f"({listed(changed, 3)}) in a way that loading could not repeat, so it could not be saved. Load the model "
            f"again, and take True, 'gaussian' or {' or '.join(map(repr, REPEATABLE))}."
        )
    saved = {_of_encoder(parameter) for parameter in model.get_adapter_state_dict(name)}
    if lost := [one for one in base_weights.trainable(model.encoder) if one in before and one not in saved]:
        raise InvalidInputError(
            f"the adapter trains weights of the encoder ({listed(lost, 3)}) that PEFT {peft.__version__} does not "
            "save. Load the model again, and take bias='none', or a newer PEFT: pip install --upgrade peft"
        )
    noted = {parameter: now[parameter] for parameter in changed if parameter not in trained}
    model.loaded_encoder = replace(loaded, changed={**loaded.changed, name: noted})


def base_probe(model: Any) -> Tensor:
    """[P, K]: `encoder_probe` of the encoder before an adapter was put on it."""
    if model.loaded_encoder.states is not None:
        return model.probe_keys(model.loaded_encoder.states)
    learn = {parameter: parameter.requires_grad for parameter in model.parameters()}
    were_on = active_adapters_on(model)
    model.disable_adapters()
    try:
        return model.encoder_probe()
    finally:
        if were_on:
            enable_all(model)
        for parameter, learns in learn.items():  # PEFT lets all of an adapter learn that it switches
            parameter.requires_grad_(learns)


@contextmanager
def saved_with(model: Any, probe: Tensor) -> Iterator[None]:
    """Has saves within write this `base_probe`: with weights spread over processes, one alone cannot take it."""
    model.loaded_encoder = replace(model.loaded_encoder, probe=probe)
    try:
        yield
    finally:
        model.loaded_encoder = replace(model.loaded_encoder, probe=None)


def check_base(model: Any, saved: dict[str, Tensor]) -> None:
    """Refuses an encoder that is not the one that loading would put the adapter on, apart from what is saved of it."""
    base = base_of(model) or model.config.encoder_name
    if base is None:
        raise InvalidInputError(
            "the model was not saved: of an adapter the folder holds its own weights alone, and the encoder under it "
            "has no name by which it could be loaded. Save the model without the adapter, load it from there, and put "
            "the adapter on that one."
        )
    loaded = model.loaded_encoder
    if loaded.weights is None:
        return
    expected = {**loaded.weights, **loaded.changed.get(model.active_adapters()[0], {})}
    written = {_of_encoder(name) for name in saved}
    changed = [name for name in base_weights.changed(expected, model.encoder) if name not in written]
    if changed:
        raise InvalidInputError(
            f"the model was not saved: of an adapter the folder holds its own weights alone, and the encoder under it "
            f"has been changed since it was loaded from {base!r} ({listed(changed, 3)}). Train the adapter "
            "alone. An encoder that was trained is saved first, without an adapter, and the adapter put on the model "
            "that is loaded from there."
        )


def _of_encoder(name: str) -> str:
    """The name that a weight of the model had in its encoder before an adapter was put on."""
    return base_weights.unwrapped(name.removeprefix("encoder."))
