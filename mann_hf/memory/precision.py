"""The precision of what is solved."""

import torch
from torch import Tensor

LARGEST = 1e12
"""The largest number in a key: the square of a distance, times any sharpness, must be one of single precision."""

WITHOUT_DOUBLE = {"mps"}
"""The devices that have no numbers of double precision."""


def solving_precision(device: torch.device) -> torch.dtype:
    """Double precision; single precision on devices that have nothing better, where answers agree to fewer digits."""
    return torch.float32 if device.type in WITHOUT_DOUBLE else torch.float64


def precise(tensor: Tensor) -> Tensor:
    """A tensor in the precision that its device solves in."""
    return tensor.to(solving_precision(tensor.device))


def strange(keys: Tensor) -> Tensor:
    """Which keys [..., K] nothing can be compared with: those with NaN, infinity or a number above `LARGEST`; [...]."""
    return ~(keys.abs() <= min(LARGEST, torch.finfo(keys.dtype).max)).all(dim=-1)
