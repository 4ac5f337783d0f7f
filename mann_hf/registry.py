"""Registries: the names of interchangeable parts, one registry for each kind."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from .errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """All parts of one kind, by the names that configurations use.

    Tables in the documentation, choices of the command line and contract tests are made from it.

    Args:
        kind: the kind of the parts in error messages, for example `"reading"`.
        or_else: what else helps where there is no part of a name, as it follows the choices in an error.
    """

    def __init__(self, kind: str, or_else: str = "") -> None:
        self.kind, self._or_else = kind, or_else
        self._parts: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that registers a part under `name`.

        Raises:
            ValueError: the name is taken.
        """

        def add(part: T) -> T:
            if name in self._parts:
                raise ValueError(f"the {self.kind} {name!r} is registered already")
            self._parts[name] = part
            return part

        return add

    def __getitem__(self, name: str) -> T:
        """The part called `name`; raises an `UnknownNameError` with the choices if there is none."""
        try:
            return self._parts[name]
        except (KeyError, TypeError):
            raise UnknownNameError(self.kind, name, self.names(), self._or_else) from None

    def get(self, name: str, default: T) -> T:
        """The part called `name`, or `default` if there is none."""
        return self._parts.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def names(self) -> list[str]:
        """The names, in the order in which they were registered."""
        return list(self._parts)

    def items(self) -> list[tuple[str, T]]:
        """Names and parts, in the order in which they were registered."""
        return list(self._parts.items())


def arguments_of(part: Any) -> dict[str, inspect.Parameter]:
    """The arguments of a class by name, with those that it hands on to the classes that it is derived from."""
    found: dict[str, inspect.Parameter] = {}
    for kind in part.__mro__:
        if "__init__" not in vars(kind) or kind is object:
            continue
        own = inspect.signature(kind.__init__).parameters.values()
        named = {each.name: each for each in own if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}
        found |= {name: each for name, each in named.items() if name not in found}
        if not any(each.kind == each.VAR_KEYWORD for each in own):
            break
    return {name: each for name, each in found.items() if name != "self"}
