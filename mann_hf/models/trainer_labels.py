"""Says which arguments of a model's `forward` are labels to a `Trainer`."""

import functools
import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any


class _Forward:
    """A `forward` whose signature is that of the function on a model, and one with fewer labels on its class."""

    def __init__(self, forward: Callable[..., Any], labels: tuple[str, ...]) -> None:
        @functools.wraps(forward)
        def of_class(*args: Any, **kwargs: Any) -> Any:
            return forward(*args, **kwargs)

        signature = inspect.signature(forward)
        named = [part for name, part in signature.parameters.items() if "label" not in name or name in labels]
        of_class.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
        self._forward, self._of_class = forward, of_class

    def __get__(self, model: Any, owner: type | None = None) -> Callable[..., Any]:
        return self._of_class if model is None else MethodType(self._forward, model)


def labels_for_trainers(*labels: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorates a `forward` so that a `Trainer` looks for these labels alone, whatever other arguments are named.

    For a `Trainer`, the labels of a model are all arguments of `type(model).forward` with "label" in their name; unless
    data have all of them, `evaluate` computes neither loss nor metrics. The columns that it keeps are the arguments of
    `model.forward`, which stay as they are.

    Args:
        labels: names of arguments.
    """
    return lambda forward: _Forward(forward, labels)
