"""Checks of the fields of configurations, which refuse a wrong value by the name of its field."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..controllers.kinds import CONTROLLERS, Controller
from ..controllers.projection import projected_size
from ..errors import InvalidInputError
from ..hub.files import can_be_path
from ..memory.reading import READINGS
from ..memory.stores import STORES
from ..registry import arguments_of
from ..targets.kinds import Targets, problem_types, targets_of
from ..wording import shown, whole_number

MOST_TOKENS = 2**31 - 1
LONGEST_PROMPT = 2**16
"""Letters; a prompt stands before every text."""
LARGEST_OPTION = 2**31
GIVEN_ELSEWHERE = ("key_size", "problem_type", "similarity", "outputs")
"""Arguments of a reading that come from other fields of the configuration, and not from `reading_options`."""
OF_NEAREST = "least_squares"
"""The reading with a store where the usual one of the targets reads every slot."""
NEAREST = 128
"""Slots that attention reads where a store finds them."""
FLAGS = ("normalize", "lower_case", "store_texts", "store_inputs", "pool_prompt")


def _is_name(value: Any) -> bool:
    return isinstance(value, str)


RULES: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (("label_names",), lambda flag: isinstance(flag, bool), "give True or False, or None for what suits the encoder"),
    (("encoder_name", "prompt_name"), _is_name, "give a name, or None"),
    (("encoder_name",), can_be_path, "give a path that a file system takes, or a name on the Hub"),
    (("capacity",), lambda size: _is_whole(size, 1), "give a whole number from 1 on, or None for no limit"),
    (
        ("max_seq_length",),
        lambda limit: _is_whole(limit, 1) and limit <= MOST_TOKENS,
        "give a whole number of tokens from 1 on, or None for the encoder's limit",
    ),
    (("pooling",), _is_name, "give a name, or None for what suits the encoder"),
)
"""Checks of fields that may be None: their names, what else they may be, and what an error says of others."""


def check_fields(fields: Mapping[str, Any]) -> None:
    """Refuses fields of a type or range that cannot be meant; those that are not there are not looked at."""
    for names, is_right, cure in RULES:
        for name in names:
            if fields.get(name) is not None and not is_right(fields[name]):
                raise _wrong(name, fields[name], cure)
    for name in FLAGS:
        if not isinstance(fields.get(name, True), bool):
            raise _wrong(name, fields[name], "give True or False")
    if fields.get("projection") is not None:
        projected_size(fields["projection"], 1)
    _check_prompts(fields.get("prompts"), fields.get("prompt_name"))
    if "reading" in fields:
        _check_options(fields["reading"], fields["reading_options"])


def check_names(**fields: Any) -> None:
    """Refuses what is neither a name nor None, before it is compared with names: an array is no truth value."""
    for name, value in fields.items():
        if value is not None and not isinstance(value, str):
            raise _wrong(name, value, "give a name, or None")


def check_of_modality(fields: Mapping[str, Any], defaults: Mapping[str, Any], modality: str) -> None:
    """Refuses fields of a configuration that only inputs of other modalities have, unless they say nothing.

    Args:
        fields: by name; those that are not there are not looked at.
        defaults: what each of them is if nothing is said; None stands for an empty one, too.
        modality: of the configuration.
    """
    own = CONTROLLERS[modality]
    for name in sorted({name for _, kind in CONTROLLERS.items() for name in _own_fields(kind)} - _own_fields(own)):
        value = fields.get(name, defaults.get(name))
        if value == defaults.get(name) or (defaults.get(name) is None and value == {}):
            continue
        stores = any(kind.stored_by == name for _, kind in CONTROLLERS.items())
        cure = f"it is {own.stored_by} that has a memory keep its inputs." if stores else "leave it out."
        raise InvalidInputError(
            f"{name} is {shown(value)}, and a model of modality {modality!r} has no such setting: {cure}"
        )


def _own_fields(kind: type[Controller]) -> frozenset[str]:
    """The fields of a configuration that not every modality has, and this one has."""
    return kind.own_fields | {kind.stored_by}


def targets_named(problem_type: Any) -> Targets:
    """The targets that a configuration names; None stands for one label.

    Raises:
        InvalidInputError: there are none of that name that a memory could be read with.
    """
    check_names(problem_type=problem_type)
    known = problem_types()
    if problem_type is not None and problem_type not in known:
        raise _wrong("problem_type", problem_type, f"choose one of {', '.join(map(repr, known))}")
    return targets_of(problem_type)


def reading_with(store: str, reading: str | None, options: Any, targets: Targets) -> tuple[str, Any]:
    """The reading that a configuration asks for and its options, which with a store read the nearest slots."""
    usual = targets.default_reading
    if STORES[store].compares_all:  # so that any reading goes with it
        chosen = reading or usual
        return chosen, _with_present_names(chosen, options)
    chosen = reading or (usual if READINGS[usual].takes_nearest else OF_NEAREST)
    if not READINGS[chosen].takes_nearest:
        able = " or ".join(repr(name) for name, kind in READINGS.items() if kind.takes_nearest)
        raise InvalidInputError(
            f"store is {store!r}, which finds the nearest slots, and the reading {chosen!r} reads every slot; choose "
            f"the reading {able}, or leave store out."
        )
    if _options_of(chosen).get("nearest") == 0 and isinstance(options, Mapping | None):  # all, if nothing is said
        options = {"nearest": NEAREST, **(options or {})}
    return chosen, _with_present_names(chosen, options)


def _with_present_names(reading: str, options: Any) -> Any:
    """Options of a reading under their present names; what is no mapping as it is, to be refused later."""
    return READINGS[reading].with_present_names(options) if isinstance(options, Mapping) else options


def check_outputs(fields: Mapping[str, Any], targets: Targets) -> None:
    """Refuses numbers and names of outputs that transformers would trip over, or that no memory could have."""
    count = fields.get("num_labels")
    if count is not None and not _is_whole(count, 0):
        raise _wrong("num_labels", count, "give a whole number")
    for name in ("id2label", "label2id"):
        if not isinstance(fields.get(name), Mapping | None):
            raise _wrong(name, fields[name], "give a dict")
    names = fields.get("id2label")
    least = int(not targets.named)  # of labels, a memory has none once all are forgotten
    if names is not None and {*map(str, names)} != {*map(str, range(max(len(names), least)))}:
        raise _wrong("id2label", names, "give a dict that names each output from 0 on")


def _check_prompts(prompts: Any, chosen: str | None) -> None:
    if prompts is not None and not (
        isinstance(prompts, Mapping)
        and all(isinstance(name, str) and isinstance(prompt, str) for name, prompt in prompts.items())
    ):
        raise _wrong("prompts", prompts, "give a dict from names to texts")
    longest = max(map(len, (prompts or {}).values()), default=0)
    if longest > LONGEST_PROMPT:
        raise InvalidInputError(f"one of the prompts has {longest:,} letters; there may be {LONGEST_PROMPT:,}.")
    if chosen is not None and chosen not in (prompts or {}):
        raise _wrong("prompt_name", chosen, f"the prompts are {sorted(prompts or {}) or 'none'}")


def _check_options(reading: Any, options: Any) -> None:
    known = _options_of(reading)
    if options is not None and not (isinstance(options, Mapping) and all(isinstance(name, str) for name in options)):
        raise _wrong("reading_options", options, "give a dict from names to values")
    for name, value in (options or {}).items():
        if name not in known:
            raise InvalidInputError(
                f"reading_options has {name!r}, which the reading {reading!r} does not know; there are "
                f"{', '.join(map(repr, sorted(known)))}."
            )
        kind = float if known[name] is None else type(known[name])
        if value is None and known[name] is None:
            continue
        if kind is bool and not isinstance(value, bool):
            raise _wrong(f"{name} in reading_options", value, "give True or False")
        if kind is int and not (_is_whole(value, 0) and value <= LARGEST_OPTION):
            raise _wrong(f"{name} in reading_options", value, "give a whole number from 0 on")
        if kind is float and not _is_number(value):
            raise _wrong(f"{name} in reading_options", value, "give a finite number")
    READINGS[reading].check_options(options or {})


def _options_of(reading: Any) -> dict[str, Any]:
    """The arguments of a reading with their defaults; None stands for a number that is the reading's own."""
    return {name: one.default for name, one in arguments_of(READINGS[reading]).items() if name not in GIVEN_ELSEWHERE}


def _is_whole(value: Any, least: int) -> bool:
    number = whole_number(value)
    return number is not None and number >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _wrong(name: str, value: Any, cure: str) -> InvalidInputError:
    return InvalidInputError(f"{name} is {shown(value)}; {cure}.")
