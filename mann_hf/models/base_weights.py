"""Whether an encoder still has the weights that it had: when it was loaded, or when its memory was last looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

SAMPLED = 16
"""Numbers of each parameter that are compared: training changes all of a matrix."""
ROUNDING, SMALLEST = 0.01, 1e-7
"""What half precision changes of a number, as a share of it and at least."""
WRAPPED = (".base_layer", ".original_module")
"""What PEFT puts into the names of weights that it leaves as they are."""

COMPARED = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""Types of numbers of which a mark has some."""

Sample = dict[str, Tensor]


@dataclass(frozen=True)
class LoadedEncoder:
    """What is known of an encoder as it was loaded, before an adapter was put on it.

    Attributes:
        weights: a sample of its weights as they were loaded, or last saved to the place they were loaded from; None of
            an encoder that was not loaded.
        states: `probe_states` of these weights, once an adapter was added.
        changed: by the name of an adapter, a sample of the weights that adding it changed.
        probe: the keys without an adapter, while the weights are spread over processes.
    """

    weights: Sample | None = None
    states: Tensor | None = None
    changed: Mapping[str, Sample] = field(default_factory=dict)
    probe: Tensor | None = None


class Mark(NamedTuple):
    """What tells cheaply whether weights may have been changed: a question takes one.

    Attributes:
        places: where each parameter and buffer lies, and how often torch has counted a change of it; how many hooks
            modules have; and by how much PEFT scales an adapter.
        numbers: one number of each module, for fused optimizers and changes of `.data` are not counted.
    """

    places: list[float]
    numbers: list[Tensor]

    def same(self, other: "Mark") -> bool:
        """Whether both are of the same weights."""
        return self.places == other.places and all(map(_equal, self.numbers, other.numbers))


@torch.no_grad()
def mark(*modules: nn.Module) -> Mark:
    """The mark of the weights of modules as they are now."""
    places: list[float] = []
    numbers: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    waiting: list[nn.Module | None] = [*modules]  # a few times faster than `nn.Module.modules`
    while waiting:
        if (module := waiting.pop()) is None:
            continue
        waiting.extend(module._modules.values())
        if isinstance(scaling := vars(module).get("scaling"), dict):
            places.extend(scaling.values())
        if module._forward_hooks or module._forward_pre_hooks:
            places += len(module._forward_hooks), len(module._forward_pre_hooks), id(module)
        for buffer in module._buffers.values():  # such as the running statistics of batch normalization
            if buffer is not None:
                places += _place(buffer)
        looked_at = None
        for parameter in module._parameters.values():
            if parameter is None:
                continue
            places += _place(parameter)
            if looked_at is None or (parameter.requires_grad and not looked_at.requires_grad):
                looked_at = parameter
        if looked_at is not None and _is_plain(looked_at):
            steps = sum(size // 2 * step for size, step in zip(looked_at.shape, looked_at.stride(), strict=True))
            middle = looked_at.as_strided((), (), looked_at.storage_offset() + steps)
            numbers.setdefault((middle.dtype, middle.device), []).append(middle)
    return Mark(places, [torch.stack(each) for each in numbers.values()])


def _place(tensor: Tensor) -> tuple[int, ...]:
    try:
        return tensor.data_ptr(), tensor._version
    except RuntimeError:  # what was made in inference mode has no version
        return (id(tensor),)


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether numbers are the same, NaN included."""
    alike = one.shape == other.shape and one.dtype == other.dtype
    return alike and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _is_plain(parameter: nn.Parameter) -> bool:
    """Whether its numbers can be looked at: it is not quantised, spread over processes or elsewhere."""
    here = type(parameter) is nn.Parameter and not parameter.is_meta
    return here and parameter.dtype in COMPARED and parameter.numel() > 0


@torch.no_grad()
def sample(encoder: nn.Module) -> Sample:
    """A few numbers of each parameter, in float32 on the CPU."""
    found = {unwrapped(name): _some(parameter) for name, parameter in encoder.named_parameters()}
    return {name: numbers for name, numbers in found.items() if numbers is not None}


def trainable(encoder: nn.Module) -> list[str]:
    """The names of the parameters that a training would change."""
    return [unwrapped(name) for name, parameter in encoder.named_parameters() if parameter.requires_grad]


def changed(before: Sample, encoder: nn.Module) -> list[str]:
    """The names of parameters that are no longer what they were, in whichever precision.

    Those into which an adapter is merged are left out.
    """
    now, merged = sample(encoder), _merged(encoder)
    names = [name for name in before if name in now and name not in merged]
    return [name for name in names if not _same(before[name], now[name])]


def _merged(encoder: nn.Module) -> set[str]:
    """The names of parameters into which PEFT has added an adapter, for as long as it keeps the adapter."""
    names = set()
    for path, layer in encoder.named_modules():
        if getattr(layer, "merged", False) is True:
            with_bias = any(getattr(layer, "lora_bias", {}).values())
            names |= {
                f"{path}.{name}" for name, _ in layer.named_parameters() if with_bias or not name.endswith("bias")
            }
    return {unwrapped(name) for name in names}


def _same(before: Tensor, now: Tensor) -> bool:
    return before.shape == now.shape and torch.allclose(now, before, rtol=ROUNDING, atol=SMALLEST, equal_nan=True)


def _some(parameter: Tensor) -> Tensor | None:
    """None of one that is quantised, or lies elsewhere."""
    if parameter.device.type == "meta" or not parameter.is_floating_point() or not parameter.numel():
        return None
    flat = parameter.detach().flatten()
    return flat[:: max(1, len(flat) // SAMPLED)][:SAMPLED].to("cpu", torch.float32, copy=True)


def unwrapped(name: str) -> str:
    """The name that a parameter had before an adapter was put on its module."""
    for part in WRAPPED:
        name = name.replace(part, "")
    return name
