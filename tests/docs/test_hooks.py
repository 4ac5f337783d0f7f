"""What the site makes of the library."""

import importlib.util
import re
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_place_of_a_page_is_filled_and_everything_made_has_a_place(hooks: ModuleType) -> None:
    places = {name for page in (ROOT / "docs").glob("*.md") for name in hooks.PLACE.findall(page.read_text())}
    assert places == hooks.MADE.keys()
    filled = hooks.on_page_markdown("before\n<!-- made: poolings -->\nafter", page=None)
    assert "| `mean` |" in filled and filled.startswith("before\n| `pooling` |") and filled.endswith("|\nafter")


def test_every_mechanism_has_a_row_that_says_something(hooks: ModuleType) -> None:
    from mann_hf.controllers.pooling import POOLINGS
    from mann_hf.memory import EVICTIONS, READINGS, SIMILARITIES
    from mann_hf.training import OBJECTIVES, REGULARIZERS

    kinds: dict[str, Any] = {
        "readings": READINGS,
        "evictions": EVICTIONS,
        "similarities": SIMILARITIES,
        "poolings": POOLINGS,
        "objectives": OBJECTIVES,
        "regularizers": REGULARIZERS,
    }
    for made, registry in kinds.items():
        rows = {row.split("|")[1].strip(" `"): row.split("|")[2].strip() for row in hooks.MADE[made]().splitlines()[2:]}
        assert list(rows) == registry.names()
        assert all(len(words) > 10 for words in rows.values())


def test_readings_say_what_they_are_for(hooks: ModuleType) -> None:
    rows = hooks.readings().splitlines()
    assert any(row.startswith("| `prototype`") and row.endswith("| one label |") for row in rows)
    assert any(
        row.startswith("| `least_squares`") and row.endswith("| one label, several labels, numbers |") for row in rows
    )


def test_arguments_have_their_defaults(hooks: ModuleType) -> None:
    rows = hooks.arguments().splitlines()
    assert any(row.startswith("| `n_way` |") and row.endswith("| `5` |") for row in rows)
    assert any(row.startswith("| `learning_rate` |") and row.endswith("| `1e-05` |") for row in rows)
    assert not any("MISSING" in row or "factory" in row for row in rows)


def test_every_command_and_option_is_listed(hooks: ModuleType) -> None:
    import typer

    from mann_hf.cli import app

    page = hooks.commands()
    hints = partial(get_type_hints, include_extras=True)
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        part = re.split(r"^### ", page, flags=re.MULTILINE)[1 + list(group.commands).index(name)]
        assert part.startswith(f"mann-hf {name}\n")
        for parameter in command.params:
            assert all(f"`{option}" in part for option in parameter.opts if option.startswith("-")), parameter.name
            (about,) = hints(command.callback)[parameter.name].__metadata__
            assert about.help, parameter.name
    assert "| `--problem-type` `single_label_classification`, `multi_label_classification`, `regression` |" in page


def test_the_shell_names_every_reading_and_objective(hooks: ModuleType) -> None:
    from mann_hf.memory import READINGS
    from mann_hf.training import OBJECTIVES

    rows = {row.split("`")[1]: row for row in hooks.commands().splitlines() if row.startswith("| `--")}
    registries: dict[str, Any] = {"--reading": READINGS, "--objective": OBJECTIVES}
    for option, registry in registries.items():
        named = re.findall(r"[a-z_]+", rows[option].partition(": ")[2].rpartition(":")[2])
        assert set(registry.names()) <= set(named), option


def test_links_of_copied_files_become_words(hooks: ModuleType) -> None:
    page = (
        "see [results](results), [here](#data), [there](https://example.org/a), ![picture](a.png)\n[two\nlines](x.md)"
    )
    kept = "see results, [here](#data), [there](https://example.org/a), ![picture](a.png)\ntwo\nlines"
    assert hooks.without_links(page) == kept
    assert all((ROOT / source).exists() for source in hooks.COPIED.values())


def test_formulas_need_no_script(hooks: ModuleType) -> None:
    inline = hooks.on_page_content(r'<p>a <span class="arithmatex">\(x &lt; y_i\)</span> b</p>')
    assert "<math" in inline and "arithmatex" not in inline and "&#x0003C;" in inline
    block = hooks.on_page_content('<div class="arithmatex">\\[\nx\n\\]</div>')
    assert 'display="block"' in block and "arithmatex" not in block


def test_notebooks_ask_no_other_machine_for_a_script(hooks: ModuleType) -> None:
    page = '<script type="module">import("https://cdn/mermaid.mjs")</script><p>kept</p><script type="module">1</script>'
    assert hooks.on_page_content(page) == '<p>kept</p><script type="module">1</script>'
