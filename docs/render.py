"""Writes the tables that the pages take from the library into docs/**/*.md: python -m docs.render.

Each stands between ``<!-- generated: NAME -->`` and ``<!-- end of generated -->``.
"""

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

DOCS = Path(__file__).parent
PLACE = re.compile(r"<!-- generated: (\w+) -->\n(?:(?!<!-- generated).)*?<!-- end of generated -->", re.DOTALL)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in line) + " |" for line in lines
    )


def first_sentences(part: Any) -> str:
    """The first paragraph of a docstring, and the source that it names."""
    paragraphs = (inspect.getdoc(part) or "").split("\n\n")
    return " ".join([paragraphs[0], *(each for each in paragraphs[1:] if each.startswith("Source: "))])


def names() -> str:
    """Every public name of the package, with a link to its page in the reference."""
    import mann_hf

    module_of = {name: module for module, found in mann_hf._NAMES.items() for name in found}
    rows = []
    for name in mann_hf.__all__:
        part = getattr(mann_hf, name)
        if callable(part):
            link = f"mann_hf.{module_of[name]}.{name}"
            rows.append([f"[`{name}`][{link}]", first_sentences(part).replace("\n", " ")])
        elif name in module_of:
            rows.append([f"`{name}`", f"the task `{part!r}` of `transformers.pipeline`"])
    return table(["name", "what it is"], rows)


def readings() -> str:
    """Every way of reading, what it computes, and the problems it is for."""
    from mann_hf.memory.reading import READINGS
    from mann_hf.targets.kinds import targets_of

    def labels_of(problem_type: str) -> str:
        targets = targets_of(problem_type)
        return "several labels" if targets.several else "one label" if targets.named else "numbers"

    rows = [
        [f"`{name}`", first_sentences(reading), ", ".join(dict.fromkeys(map(labels_of, reading.problem_types)))]
        for name, reading in READINGS.items()
    ]
    return table(["`reading`", "what an answer is", "for"], rows)


def named(kind: str, registry: Any) -> str:
    """The parts of one kind with the first sentences about each."""
    return table(
        [f"`{kind}`", "what it does"], [[f"`{name}`", first_sentences(part)] for name, part in registry.items()]
    )


def memories() -> str:
    """Every memory."""
    from mann_hf.memory import MEMORIES

    return named("memory", MEMORIES)


def generation_memories() -> str:
    """Every memory of pairs."""
    from mann_hf.models.generation_memories import GENERATION_MEMORIES

    return named("memory", GENERATION_MEMORIES)


def interpolations() -> str:
    """Every way to interpolate between a model and its memory."""
    from mann_hf.memory.interpolation import INTERPOLATIONS

    return named("interpolation", INTERPOLATIONS)


def pair_objectives() -> str:
    """Every objective of training over pairs."""
    from mann_hf.training.pair_objectives import PAIR_OBJECTIVES

    return named("objective", PAIR_OBJECTIVES)


def evictions() -> str:
    """Every rule for a full memory."""
    from mann_hf.memory import EVICTIONS

    return named("eviction", EVICTIONS)


def similarities() -> str:
    """Every similarity."""
    from mann_hf.memory import SIMILARITIES

    return named("similarity", SIMILARITIES)


def stores() -> str:
    """Every store."""
    from mann_hf.memory import STORES

    return named("store", STORES)


def targets() -> str:
    """Every kind of targets."""
    from mann_hf.targets import TARGETS

    return named("problem_type", TARGETS)


def controllers() -> str:
    """Every controller."""
    from mann_hf.controllers import CONTROLLERS

    return named("modality", CONTROLLERS)


def poolings() -> str:
    """Every pooling."""
    from mann_hf.controllers.pooling import POOLINGS

    return named("pooling", POOLINGS)


def objectives() -> str:
    """Every objective of training."""
    from mann_hf.training import OBJECTIVES

    return named("objective", OBJECTIVES)


def regularizers() -> str:
    """Every regularizer."""
    from mann_hf.training import REGULARIZERS

    return named("regularizers", REGULARIZERS)


def arguments() -> str:
    """The arguments of training that are not those of transformers, or have another default."""
    from mann_hf import EpisodicTrainingArguments

    fields = {field.name: field for field in dataclasses.fields(EpisodicTrainingArguments)}
    rows = []
    for name in inspect.get_annotations(EpisodicTrainingArguments):
        default = fields[name].default
        shown = "depends on the machine" if default is dataclasses.MISSING else f"`{default!r}`"
        rows.append([f"`{name}`", fields[name].metadata["help"], shown])
    return table(["argument", "what it is", "default"], rows)


def commands() -> str:
    """Every command of the shell with its options."""
    import typer

    from mann_hf.cli import PROGRAM, app

    group: Any = typer.main.get_command(app)
    parts = []
    for name, command in group.commands.items():
        takes = " ".join(one.metavar for one in command.params if one.param_type_name == "argument")
        kinds = get_type_hints(command.callback, include_extras=True)
        rows = [_option(one, kinds.get(one.name)) for one in command.params]
        parts.append(
            f"### {PROGRAM} {name}\n\n{inspect.cleandoc(command.help)}\n\n    {PROGRAM} {name} [OPTIONS] {takes}\n"
        )
        parts.append(table(["argument or option", "what it is", "default"], rows) + "\n")
    return "\n".join(parts)


def _choices(kind: Any) -> str:
    """The names that an option of an enumeration takes."""
    kind = kind.__origin__ if get_origin(kind) is Annotated else kind
    kinds = [one for one in (get_args(kind) or (kind,)) if isinstance(one, type) and issubclass(one, Enum)]
    return ", ".join(f"`{choice.value}`" for one in kinds for choice in one)


def _option(parameter: Any, kind: Any) -> list[str]:
    """A row about an argument or option with this annotation."""
    if parameter.param_type_name == "argument":
        info = next((one for one in get_args(kind) if hasattr(one, "help")), parameter)  # older typer forgets the help
        return [f"`{parameter.metavar}`", info.help or "", ""]
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    shown = parameter.show_default
    default = shown if isinstance(shown, str) else parameter.default
    plain = default is None or default is False or default == () or callable(default) or shown is False
    value = "" if parameter.is_flag else f" `{parameter.metavar}`" if parameter.metavar else f" {_choices(kind)}"
    return [names + value, parameter.help or "", "" if plain else f"{default}"]


TABLES: dict[str, Callable[[], str]] = {
    one.__name__: one
    for one in (
        names,
        readings,
        memories,
        generation_memories,
        interpolations,
        evictions,
        similarities,
        stores,
        targets,
        controllers,
        poolings,
        objectives,
        pair_objectives,
        regularizers,
        arguments,
        commands,
    )
}
"""What can stand in a page, by its name there."""


def rendered(page: str) -> str:
    """A page with the present tables in their places."""
    return PLACE.sub(
        lambda place: f"<!-- generated: {place[1]} -->\n\n{TABLES[place[1]]().strip()}\n\n<!-- end of generated -->",
        page,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a page has other tables")
    chosen = parser.parse_args(arguments)
    for page in sorted(DOCS.rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = rendered(before)
        if chosen.check and after != before:
            sys.exit(f"docs/{page.name} differs from the library: run python -m docs.render")
        if after != before:
            page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
