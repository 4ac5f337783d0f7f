"""PEFT adapters on the encoder: saved by themselves, and put on the encoder again when they are loaded."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedConfig

from ..errors import EncoderMismatchError, InvalidInputError
from ..hub import files
from ..hub.configs import check_readable
from ..hub.encoders import load_encoder
from ..hub.files import CONFIG
from ..hub.guard import as_folder_error, naming_file
from ..hub.resolve import resolve_encoder
from ..hub.source import ARGUMENTS, Source
from ..hub.weight_files import no_weights
from ..hub.weight_sizes import headers
from ..persistent.fitting import same_keys
from . import adapter_base
from .adapter_switches import check_on, has_adapter, import_peft
from .configuration_base import MANNBaseConfig

WEIGHTS = files.WEIGHTS
BASE_PROBE = "encoder_probe"
"""The encoder's keys for fixed inputs without the adapter, which distinguish it from others."""
ELSEWHERE = ("megatron_config", "adapters")
"""Fields by which PEFT imports a module or reads further adapters; a stranger may have filled them in."""
NEEDS_VALUES = ("BOFT",)
"""Kinds that PEFT cannot make of shapes alone; they take no more than a few times what the encoder does."""


def config_of(cls: Any, source: Source, kwargs: dict[str, Any]) -> MANNBaseConfig | None:
    """The configuration of a source, for models of a class: `kwargs["config"]` or its own.

    With an adapter the source holds that alone.

    Raises:
        InvalidInputError: its adapter is none that this library writes.
    """
    place, config, hub = source.place, kwargs.get("config"), source.arguments
    if place is None:
        return None
    if not isinstance(config, MANNBaseConfig):
        given = place if config is None else config
        from_file = not isinstance(given, PreTrainedConfig)
        if from_file:
            check_readable(Source.of(given, hub))
        with naming_file(given if from_file else None, CONFIG), as_folder_error(given, CONFIG, hub):
            config = cls.config_class.from_pretrained(given, **hub)
    adapter: Any = config.adapter
    if adapter is not None:
        named = isinstance(adapter, dict) and {"peft_type", adapter_base.BASE} <= adapter.keys()
        if not named or not isinstance(adapter[adapter_base.BASE], str | None):
            raise InvalidInputError(f"the config.json of {place} is damaged: its adapter field does not describe one.")
        for name in ELSEWHERE:
            if adapter.get(name):
                raise InvalidInputError(
                    f"the adapter {place} is refused: its {name} leads to code or weights that lie elsewhere."
                )
    return config


def load(cls: Any, source: Source, config: Any = None, **kwargs: Any) -> Any:
    """A model whose encoder is loaded by its name, and the adapter from `source`.

    Raises:
        EncoderMismatchError: the encoder of that name is not the one that the adapter was trained on.
        FolderError: there are no weights.
        InvalidInputError: its weights are none of such an adapter.
    """
    place, hub = source.place, source.arguments
    kwargs = {name: value for name, value in kwargs.items() if name not in ARGUMENTS}
    with_info = kwargs.pop("output_loading_info", False)
    kwargs.pop("adapter_kwargs", None)  # of the Auto classes: the commit of this place, which the base does not have
    own = cls.config_class.own_fields()
    fields = {name: kwargs.pop(name) for name in list(kwargs) if name in own}
    if not isinstance(config, MANNBaseConfig):
        config = cls.config_class.from_pretrained(str(place) if config is None else config, **hub, **fields)
    reach = {name: hub[name] for name in ("cache_dir", "local_files_only", "token") if name in hub}
    if config.dtype is not None and not kwargs.keys() & {"dtype", "torch_dtype"}:
        kwargs["dtype"] = config.dtype
    base, plain = config.adapter[adapter_base.BASE], copy.deepcopy(config)
    plain.adapter = plain._commit_hash = None
    if base is None:
        found = resolve_encoder(str(config.encoder_name), **reach)
        encoder = load_encoder(found, modality=config.modality, pooling=config.pooling, **reach, **kwargs)
        plain.encoder_config = encoder.config  # the one beside the adapter may be of any size
        model = cls.from_encoder(encoder, plain)
    else:
        model = cls.from_pretrained(base, config=plain, **reach, **kwargs)
        model.update_memory(lambda memory: (model.empty_memory(), None))
    path = source.path(WEIGHTS)
    if path is None:
        raise no_weights(source)
    headers([path])  # before any of it is taken into memory
    state = load_file(path)
    probe = state.pop(BASE_PROBE, None)
    if probe is None:
        raise InvalidInputError(f"the adapter {place} is damaged: its weights have no {BASE_PROBE}.")
    _load_parts(model, model.key_parts, state, place)
    states = model.probe_states()
    model.loaded_encoder = replace(model.loaded_encoder, states=states)
    if not same_keys(probe, model.probe_keys(states)):
        raise EncoderMismatchError(
            f"the adapter {place} was trained on other weights than {base or config.encoder_name!r} has now, so it "
            "does not fit them.",
            str(config.encoder_name),
            str(config.encoder_name),
        )
    _check_fits(model, config.adapter, state, place)
    add(model, import_peft().PeftConfig.from_peft_type(**config.adapter))
    load_trained_state(model, state, str(place))
    model.config.adapter = config.adapter
    model.name_or_path = str(place)
    model.eval()
    return (model, {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}) if with_info else model


def add(model: Any, config: Any) -> None:
    """Puts a fresh adapter on the encoder; what reads the memory goes on learning, and is saved with it.

    Where its configuration names no `target_modules`, they are those that PEFT knows for the encoder's family; of kinds
    that have `feedforward_modules`, too (IA3), PEFT asks for both.
    """
    parts = map(model.get_submodule, model.reading_parts)
    learned = [one for part in parts for one in part.parameters() if one.requires_grad]
    model.add_adapter(_with_targets(config, model.config.encoder_config.model_type))
    for parameter in learned:
        parameter.requires_grad_(True)


def _with_targets(config: Any, encoder_type: str) -> Any:
    """The configuration with the modules that it would have for the encoder alone: PEFT asks for that of the model."""
    if getattr(config, "target_modules", ()) is not None or hasattr(config, "feedforward_modules"):
        return config
    kind = config.peft_type.value
    usual = getattr(import_peft().utils, f"TRANSFORMERS_MODELS_TO_{kind}_TARGET_MODULES_MAPPING", {})
    targets = usual.get(encoder_type, "all-linear" if kind == "LORA" else None)
    config = copy.copy(config)
    config.target_modules = set(targets) if isinstance(targets, list) else targets
    return config


def _check_fits(model: Any, adapter: dict[str, Any], state: dict[str, Tensor], place: Any) -> None:
    """Refuses an adapter whose weights are not those of its configuration, before memory is taken for them."""
    peft = import_peft()
    try:
        with torch.device("cpu" if adapter["peft_type"] in NEEDS_VALUES else "meta"):
            bare = type(model)(model.config)
            add(bare, peft.PeftConfig.from_peft_type(**adapter))
            wanted = trained_state(bare)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"the adapter {place} is damaged: PEFT does not take the adapter field of its {CONFIG} "
            f"({type(error).__name__}: {error}). Download or save it again."
        ) from error
    _check_shapes(wanted, state, place)


def _check_shapes(wanted: dict[str, Tensor], state: dict[str, Tensor], source: Any) -> None:
    if {name: tensor.shape for name, tensor in wanted.items()} != {
        name: tensor.shape for name, tensor in state.items()
    }:
        raise InvalidInputError(f"{source} holds the weights of a different adapter than the model's.")


def save(model: Any, folder: Path, state_dict: dict[str, Tensor] | None = None) -> None:
    """Writes the configuration, and the weights of the adapter and of the model's own parts.

    Raises:
        InvalidInputError: there are several adapters, or nobody could load this one: it is switched off, or the encoder
            under it has no name or is no longer what it was when it was loaded.
    """
    check_on(model)
    described_now, state = described(model), trained_state(model, state_dict)
    probe = model.loaded_encoder.probe
    if probe is None:  # else its weights are spread over processes
        adapter_base.check_base(model, state)
        probe = adapter_base.base_probe(model)
    state[BASE_PROBE] = probe
    model.config.adapter, model.config.dtype = described_now, model.dtype
    folder.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__.removeprefix("FSDP")]  # of a class that spreads weights
    model.config.save_pretrained(folder)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def described(model: Any) -> dict[str, Any]:
    """The active adapter's configuration, in plain JSON.

    Raises:
        InvalidInputError: there are several.
    """
    names = model.active_adapters()
    if len(names) != 1:
        raise InvalidInputError(f"the adapters {', '.join(names)} are active; a model can be saved with only one.")
    active: Any = model.peft_config[names[0]]
    plain = {**active.to_dict(), adapter_base.BASE: adapter_base.base_of(model), "inference_mode": True}
    return json.loads(json.dumps(plain, default=sorted))  # sets of module names


def summary(model: Any) -> str | None:
    """An adapter in a few words, such as "LORA of rank 8, alpha 16, on key, query"; None where there is none."""
    if has_adapter(model) and len(model.active_adapters()) != 1:
        return f"{len(model.active_adapters())} at a time"
    adapter = described(model) if has_adapter(model) else model.config.adapter
    if adapter is None:
        return None
    named = (("rank", adapter.get("r")), ("alpha", adapter.get("lora_alpha")))
    sizes = ", ".join(f"{name} {value}" for name, value in named if value is not None)
    targets = adapter.get("target_modules")
    on = targets if isinstance(targets, str) else ", ".join(sorted(map(str, targets or ())))
    return str(adapter["peft_type"]) + (f" of {sizes}" if sizes else "") + (f", on {on}" if on else "")


def trained_state(model: Any, state_dict: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The weights of the adapter and of the model's own parts; of a `state_dict` where that had to be gathered."""
    state = dict(model.get_adapter_state_dict(model.active_adapters()[0], state_dict=state_dict))
    every = model.state_dict() if state_dict is None else state_dict
    return state | {name: tensor for name, tensor in every.items() if name.startswith(_own(model))}


def load_trained_state(model: Any, state: dict[str, Tensor], source: str) -> None:
    """What `trained_state` gave, into a model with the same adapter."""
    adapter = {name: tensor for name, tensor in state.items() if not name.startswith(_own(model))}
    _check_shapes(trained_state(model), state, source)
    import_peft().set_peft_model_state_dict(model, adapter, adapter_name=model.active_adapters()[0])
    _load_parts(model, tuple(dict.fromkeys((*model.key_parts, *model.reading_parts))), state, source)


def _own(model: Any) -> tuple[str, ...]:
    """What the names of the weights of a model's own parts begin with; they are saved beside the adapter."""
    return tuple(f"{name}." for name in (*model.key_parts, *model.reading_parts))


def _load_parts(model: Any, names: tuple[str, ...], state: dict[str, Tensor], source: Any) -> None:
    """Loads some parts of a model from the state of an adapter."""
    for name in names:
        part, saved = model.get_submodule(name), _part(state, f"{name}.")
        _check_shapes(part.state_dict(), saved, source)
        part.load_state_dict(saved)


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The part of a state whose names have a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
