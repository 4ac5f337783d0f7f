"""A model without what wraps its modules: what is saved has the names that loading asks for."""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import InvalidInputError
from ..wording import listed

Module = TypeVar("Module", bound=nn.Module)

WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
"""Classes of torch that hold another module, and under which name: of `torch.compile`, and of data parallelism."""


def plain_modules(module: Module) -> Module:
    """The same module, of the same tensors, with no wrapper and no parametrization in it; itself if it has none."""
    inner = _wrapped(module)
    if inner is not None:
        return plain_modules(module._modules[inner])  # type: ignore[type-var, return-value]
    children = {name: None if one is None else plain_modules(one) for name, one in module._modules.items()}
    computed = parametrize.is_parametrized(module)
    if not computed and all(one is module._modules[name] for name, one in children.items()):
        return module
    plain = module.__class__.__new__(module.__class__)
    plain.__dict__ = {**module.__dict__, "_modules": children}
    if computed:
        plain.__class__ = type(module).__bases__[0]  # type: ignore[assignment]
        computing: Any = children.pop("parametrizations")
        values = {name: nn.Parameter(getattr(module, name).detach()) for name in computing}
        plain._parameters = {**module._parameters, **values}
    return plain


def plain_names(model: nn.Module, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state under the names that it would have without the wrappers in the model."""
    places = [(f"{name}.{inner}.", name) for name, one in model.named_modules() if (inner := _wrapped(one))]
    places.sort(key=lambda place: -len(place[0]))  # the innermost first
    plain = {}
    for name, tensor in state_dict.items():
        for wrapped, own in places:
            if name.startswith(wrapped):
                name = f"{own}.{name.removeprefix(wrapped)}"
        plain[name] = tensor
    return plain


def check_loadable(model: Any, state_dict: dict[str, Tensor] | None = None) -> None:
    """Refuses a model that is not what its configuration stands for: loaded, it would fail or answer otherwise.

    Raises:
        InvalidInputError: it names the weights that would be left over, would be missing or have another shape, or what
            of what reads the memory was set by hand.
    """
    if getattr(model.encoder, "hf_quantizer", None) is not None or getattr(model, "hf_quantizer", None) is not None:
        return  # of which loading knows other names
    try:
        with torch.device("meta"):
            bare: Any = type(model)(type(model.config).from_dict(model.config.to_dict()))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"the model was not saved, as it could not be loaded again: its configuration makes no model ({error})."
        ) from error
    expected, given = bare.state_dict(), model.state_dict() if state_dict is None else state_dict
    unexpected, missing = sorted(given.keys() - expected.keys()), sorted(expected.keys() - given.keys())
    other = [
        f"{name} {list(given[name].shape)}, not {list(expected[name].shape)}"
        for name in sorted(given.keys() & expected.keys())
        if given[name].shape != expected[name].shape
    ]
    parts = {"weights beyond it": unexpected, "weights it lacks": missing, "shapes": other}
    for part in model.reading_parts:
        made, usual = _settings(model.get_submodule(part)), _settings(bare.get_submodule(part))
        parts[part] = [f"{at} {made.get(at)!r}, not {usual[at]!r}" for at in usual if made.get(at) != usual[at]]
    reasons = [f"{part}: {listed(names)}" for part, names in parts.items() if names]
    if reasons:
        raise InvalidInputError(
            "the model was not saved, as it could not be loaded again: its modules do not match its configuration "
            f"({'; '.join(reasons)}). Change modules and configuration together, and merge or remove what was added to "
            "the encoder; only an adapter of add_adapter can be saved."
        )


def _wrapped(module: nn.Module) -> str | None:
    """The name of the module that a wrapper holds; None of any other module."""
    kinds = (kind for kind in type(module).__mro__ if kind.__module__.startswith("torch."))
    return next((WRAPPERS[kind.__name__] for kind in kinds if kind.__name__ in WRAPPERS), None)


def _settings(part: nn.Module) -> dict[str, Any]:
    """What a part of a model was made with."""
    plain = {name: value for name, value in vars(part).items() if isinstance(value, (bool, int, float, str))}
    return {"class": type(part).__name__, **plain, "training": None}


def unwrap_hint(model: Any) -> str:
    """What helps where a model came that `torch.compile` or PEFT has wrapped; nothing of others."""
    if hasattr(model, "_orig_mod"):
        return " Compile the encoder in place: model.encoder.compile()."
    if hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
        return (
            " PEFT has wrapped it. Put the adapter on the encoder in place, by model.add_adapter(config); or, if it is "
            "trained already, merge it (model = wrapped.merge_and_unload()) and call model.reencode_memory()."
        )
    return ""
