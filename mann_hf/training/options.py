"""Parts that are chosen by name, with arguments from a mapping."""

import inspect
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInputError, MannError
from ..registry import Registry
from ..wording import listed


def make(registry: Registry, name: str, options: Any) -> Any:
    """The part of that name, made with these arguments.

    Args:
        registry: of classes.
        name: of one of them.
        options: its arguments by name; None for none.

    Raises:
        UnknownNameError: there is no such part.
        InvalidInputError: the options are no mapping, or have a name or a value that the part does not take.
    """
    part, options = registry[name], {} if options is None else options
    if not isinstance(options, Mapping):
        raise InvalidInputError(f"the options of {name!r} are {options!r}; give a mapping from names to values.")
    known = _arguments(part)
    unknown = [option for option in options if option not in known]
    if unknown:
        raise InvalidInputError(
            f"the {registry.kind} {name!r} has no argument {listed(map(repr, unknown))}; it has {listed(known)}."
        )
    try:
        return part(**options)
    except MannError:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"the {registry.kind} {name!r} cannot be made with {dict(options)}: {error}") from error


def _arguments(part: Any) -> list[str]:
    """The arguments of a class, with those that it hands on to the class that it is derived from."""
    found = inspect.signature(part).parameters.values()
    own = [each.name for each in found if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
    hands_on = any(each.kind == each.VAR_KEYWORD for each in found) and part.__base__ is not object
    return list(dict.fromkeys([*own, *(_arguments(part.__base__) if hands_on else [])]))
