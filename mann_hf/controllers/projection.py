"""Layers that turn pooled states into keys, as some sentence-transformers models have them (LaBSE, distiluse, ...)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InvalidInputError

ACTIVATIONS = {
    name: getattr(nn, name)
    for name in (
        *("CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU"),
        *("LogSigmoid", "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign"),
        *("Tanh", "Tanhshrink"),
    )
}
"""Activations of torch that need no argument, by the name of their class."""
KINDS = ("dense", "layer_norm", "normalize", "truncate")
MOST_STEPS, LARGEST_SIZE = 16, 2**14

Step = Mapping[str, Any]
"""`kind`, a name of `KINDS`; of a `"dense"` also `size`, `bias` and `activation`, of a `"truncate"` the `size`."""


def projected_size(steps: Sequence[Step], size: int) -> int:
    """The size of keys after steps, from the size of pooled states before them.

    Raises:
        InvalidInputError: they are none that there are.
    """
    if not isinstance(steps, list | tuple) or len(steps) > MOST_STEPS:
        raise InvalidInputError(
            f"projection is of type {type(steps).__name__}; give a list of at most {MOST_STEPS} steps."
        )
    for number, step in enumerate(steps):
        if not isinstance(step, Mapping) or step.get("kind") not in KINDS:
            raise InvalidInputError(f"step {number} of projection is {step!r:.80}; its kind is one of {KINDS}.")
        if step["kind"] not in ("dense", "truncate"):
            continue
        wide, bias, activation = (step.get(name) for name in ("size", "bias", "activation"))
        if not isinstance(wide, int) or isinstance(wide, bool) or not 0 < wide <= LARGEST_SIZE:
            raise InvalidInputError(
                f"step {number} of projection has size {wide!r:.80}; it is from 1 to {LARGEST_SIZE}."
            )
        if step["kind"] == "truncate":
            size = min(size, wide)
            continue
        if not isinstance(bias, bool) or not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise InvalidInputError(
                f"step {number} of projection has bias {bias!r:.80} and activation {activation!r:.80}; give True or "
                f"False, and one of {', '.join(ACTIVATIONS)}."
            )
        size = wide
    return size


class Dense(nn.Module):
    """f(W x + b), as the Dense module of sentence-transformers computes it. [B, K] -> [B, K']"""

    def __init__(self, size: int, new_size: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(new_size, size))
        self.bias = nn.Parameter(torch.empty(new_size)) if bias else None
        self.activation = ACTIVATIONS[activation]()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Starts from small random numbers."""
        nn.init.normal_(self.weight, std=0.02)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, keys: Tensor) -> Tensor:
        return self.activation(F.linear(keys, self.weight, self.bias))


class Truncate(nn.Module):
    """The first `size` numbers of each key, which hold the most in Matryoshka encoders. [B, K] -> [B, K']"""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, keys: Tensor) -> Tensor:
        return keys[..., : self.size]


class Projection(nn.Module):
    """The steps from pooled states to keys, [B, H] -> [B, K]; with none they are the same.

    Args:
        steps: as `projected_size` takes them.
        size: of the pooled states.
    """

    def __init__(self, steps: Sequence[Step], size: int) -> None:
        super().__init__()
        self.kinds = [step["kind"] for step in steps]
        self.steps = nn.ModuleList()
        for step in steps:
            if step["kind"] == "dense":
                self.steps.append(Dense(size, step["size"], step["bias"], step["activation"]))
                size = step["size"]
            elif step["kind"] == "truncate":
                self.steps.append(Truncate(step["size"]))
                size = min(size, step["size"])
            else:
                self.steps.append(nn.LayerNorm(size) if step["kind"] == "layer_norm" else nn.Identity())

    def forward(self, keys: Tensor) -> Tensor:
        """The keys, in the precision of the pooled states."""
        given = keys.dtype
        for kind, step in zip(self.kinds, self.steps, strict=True):
            if kind == "normalize":
                keys = F.normalize(keys, dim=-1)
            elif kind == "truncate":
                keys = step(keys)
            else:
                weight = next(step.parameters())
                keys = step(keys.to(weight.dtype)).to(given)
        return keys
