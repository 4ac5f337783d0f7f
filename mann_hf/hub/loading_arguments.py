"""Arguments of loading, judged before anything is read, so that no file is blamed for them."""

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import InvalidInputError, InvalidTypeError
from ..wording import shown
from .files import check_hub_arguments


def check_loading_arguments(given: Mapping[str, Any]) -> None:
    """Refuses arguments of `from_pretrained` by which nothing can be loaded.

    Raises:
        InvalidTypeError: one is of a type that it does not have.
        InvalidInputError: a `dtype` in which encoders cannot compute.
    """
    check_hub_arguments(given)
    for name in ("dtype", "torch_dtype"):
        dtype = given.get(name)
        for one in dtype.values() if isinstance(dtype, Mapping) else [dtype]:
            _check_dtype(name, one)
    quantization = given.get("quantization_config")
    if not (quantization is None or isinstance(quantization, Mapping) or hasattr(quantization, "quant_method")):
        raise InvalidTypeError(
            f"quantization_config is {shown(quantization)}, of type {type(quantization).__name__}; give one of "
            "transformers, such as TorchAoConfig(...), or None."
        )


def _check_dtype(name: str, dtype: Any) -> None:
    if dtype is None:
        return
    if not isinstance(dtype, str | torch.dtype):
        raise InvalidTypeError(
            f"{name} is {shown(dtype)}, of type {type(dtype).__name__}; give a dtype, such as torch.float32, or 'auto'."
        )
    if dtype == "auto":
        return
    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point or kind.itemsize < 2:
        raise InvalidInputError(
            f"{name} is {shown(dtype)}, in which no encoder computes; give torch.float32, torch.bfloat16, "
            "torch.float16 or 'auto'."
        )
