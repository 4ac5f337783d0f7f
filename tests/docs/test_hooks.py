"""What the site adds to the files of docs/."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_of_copied_files_become_words(hooks: ModuleType) -> None:
    page = (
        "see [results](results), [here](#data), [there](https://example.org/a), ![picture](a.png)\n[two\nlines](x.md)"
    )
    kept = "see results, [here](#data), [there](https://example.org/a), ![picture](a.png)\ntwo\nlines"
    assert hooks.without_links(page) == kept
    assert all((ROOT / source).exists() for source in hooks.COPIED.values())


def test_links_lead_to_the_copy_that_is_part_of_the_site(hooks: ModuleType) -> None:
    page = "[all](../tasks/few_shot_text/README.md#data) ![map](../examples/space/screenshot.png) [other](../README.md)"
    kept = "[all](measurements.md#data) ![map](pictures/live_page.png) [other](../README.md)"
    assert hooks.on_page_markdown(page) == kept


def test_formulas_need_no_script(hooks: ModuleType) -> None:
    inline = hooks.on_page_content(r'<p>a <span class="arithmatex">\(x &lt; y_i\)</span> b</p>')
    assert "<math" in inline and "arithmatex" not in inline and "&#x0003C;" in inline
    block = hooks.on_page_content('<div class="arithmatex">\\[\nx\n\\]</div>')
    assert 'display="block"' in block and "arithmatex" not in block


def test_notebooks_ask_no_other_machine_for_a_script(hooks: ModuleType) -> None:
    page = '<script type="module">import("https://cdn/mermaid.mjs")</script><p>kept</p><script type="module">1</script>'
    assert hooks.on_page_content(page) == '<p>kept</p><script type="module">1</script>'
