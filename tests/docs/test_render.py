"""The tables that the pages take from the library."""

import importlib
import re
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from docs import render


def test_the_pages_in_this_checkout_are_up_to_date() -> None:
    render.main(["--check"])


def test_every_table_has_one_place() -> None:
    places = [name for page in render.DOCS.rglob("*.md") for name in render.PLACE.findall(page.read_text("utf-8"))]
    assert sorted(places) == sorted(render.TABLES)


def test_a_page_is_written_and_drift_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "DOCS", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: poolings -->\nold\n<!-- end of generated -->\nafter\n")
    with pytest.raises(SystemExit, match=r"page\.md differs"):
        render.main(["--check"])
    assert "old" in page.read_text()
    render.main([])
    render.main(["--check"])
    written = page.read_text()
    assert "old" not in written and "| `mean` |" in written
    assert written.startswith("before\n<!--") and written.endswith("-->\nafter\n")


NO_MECHANISMS = {"classifier of the modality", "pipeline of the modality", "processing class"} | {
    "format of a memory's file",
    "kind of episodes",
    "kind of page",
    "modality of the shell",
    "modality of the page",
}
"""Kinds of registries whose parts are classes that a modality of one's own brings along, described in prose."""


def registries() -> dict[str, Any]:
    """Every registry of the package, by its kind."""
    found = {}
    for file in sorted((render.DOCS.parent / "mann_hf").rglob("*.py")):
        for name in re.findall(r"^(\w+): Registry\[.*\] = Registry\(", file.read_text("utf-8"), re.MULTILINE):
            module = ".".join(file.relative_to(render.DOCS.parent).with_suffix("").parts)
            registry = getattr(importlib.import_module(module), name)
            found[registry.kind] = registry
    return found


def test_every_mechanism_has_a_row_that_says_something() -> None:
    tables = [
        {row.split("|")[1].strip(" `"): row.split("|")[2].strip() for row in made().splitlines()[2:]}
        for name, made in render.TABLES.items()
        if name not in ("names", "arguments", "commands")
    ]
    found = registries()
    assert len(found) > 12 and found.keys() > NO_MECHANISMS
    for kind, registry in found.items():
        if kind not in NO_MECHANISMS:
            (rows,) = [table for table in tables if list(table) == registry.names()]
            assert all(len(words) > 10 for words in rows.values()), kind


def test_readings_say_what_they_are_for() -> None:
    rows = render.readings().splitlines()
    assert any(row.startswith("| `prototype`") and row.endswith("| one label |") for row in rows)
    assert any(
        row.startswith("| `least_squares`") and row.endswith("| one label, several labels, numbers |") for row in rows
    )


def test_arguments_have_their_defaults() -> None:
    rows = render.arguments().splitlines()
    assert any(row.startswith("| `n_way` |") and row.endswith("| `5` |") for row in rows)
    assert any(row.startswith("| `learning_rate` |") and row.endswith("| `1e-05` |") for row in rows)
    assert not any("MISSING" in row or "factory" in row for row in rows)


def test_every_command_and_option_is_listed() -> None:
    import typer

    from mann_hf.cli import app
    from mann_hf.targets.kinds import PROBLEM_TYPES

    page = render.commands()
    hints = partial(get_type_hints, include_extras=True)
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        part = re.split(r"^### ", page, flags=re.MULTILINE)[1 + list(group.commands).index(name)]
        assert part.startswith(f"mann-hf {name}\n")
        for parameter in command.params:
            assert all(f"`{option}" in part for option in parameter.opts if option.startswith("-")), parameter.name
            (about,) = hints(command.callback)[parameter.name].__metadata__
            assert about.help, parameter.name
    assert "| `--format` `csv`, `tsv`, `json`, `jsonl`, `parquet`, `xlsx`, `lines` |" in page
    assert all(name in page for name in PROBLEM_TYPES)


def test_the_shell_names_every_reading_and_objective() -> None:
    from mann_hf.memory import READINGS
    from mann_hf.training import OBJECTIVES

    rows = {row.split("`")[1]: row for row in render.commands().splitlines() if row.startswith("| `--")}
    registries: dict[str, Any] = {"--reading": READINGS, "--objective": OBJECTIVES}
    for option, registry in registries.items():
        named = re.findall(r"[a-z_]+", rows[option].partition(": ")[2].rpartition(":")[2])
        assert set(registry.names()) <= set(named), option


def test_every_public_name_has_a_row_and_a_page() -> None:
    import mann_hf

    rows = {row.split("`")[1]: row for row in render.names().splitlines()[2:]}
    assert sorted({*mann_hf.__all__} - {*rows}) == ["__version__"]
    pages = {
        f"{module}.{member}"
        for page in (render.DOCS / "reference").glob("*.md")
        for module, members in re.findall(
            r"^::: ([\w.]+)\n(?:    (?!.*members).*\n)*(?:      members: \[(.*)\])?",
            page.read_text("utf-8"),
            re.MULTILINE,
        )
        for member in (members or "*").split(", ")
    }
    for name, row in rows.items():
        for link in re.findall(r"\]\[([\w.]+)\]", row):
            assert link in pages or f"{link.rpartition('.')[0]}.*" in pages, name


def test_members_that_reference_pages_list_by_hand_are_there() -> None:
    from mann_hf import models

    page = (render.DOCS / "reference" / "models.md").read_text("utf-8")
    (listed,) = re.findall(r"inherited_members: \[(.*)\]", page)
    members = {
        name
        for one in ("MANNForSequenceClassification", "MANNForImageClassification", "LabelledMemory")
        for name in dir(getattr(models, one))
    }
    assert not {*listed.split(", ")} - members
