"""Parts that are chosen by name, with arguments from a mapping."""

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInputError, MannError
from ..registry import Registry, arguments_of
from ..wording import listed


def make(registry: Registry, name: str, options: Any) -> Any:
    """The part of that name, made with these arguments.

    Raises:
        UnknownNameError: there is no such part.
        InvalidInputError: the options are no mapping, or have a name or a value that the part does not take.
    """
    part, options = registry[name], {} if options is None else options
    if not isinstance(options, Mapping):
        raise InvalidInputError(f"the options of {name!r} are {options!r}; give a mapping from names to values.")
    known = arguments_of(part)
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
