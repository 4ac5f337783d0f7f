"""The page of a model that generates as a person sees it; see test_browser.py."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tiny_seq2seq import SOURCES, TARGETS

from .conftest import NASTY, MakeGenerator, Serve, Visit, picture

if TYPE_CHECKING:
    from playwright.sync_api import Page

SOURCE, TARGET = "a green dog sees the bird", "der vogel sieht die grüne katze"


def ask(page: "Page", text: str) -> str:
    """Asks by the Enter key and gives the text."""
    box = page.locator("#mh-question").locator("input, textarea")
    box.fill(text)
    box.press("Enter")
    page.locator("#mh-answer .mh-tokens").wait_for()
    page.wait_for_timeout(500)
    return page.locator(".mh-label b").first.inner_text()


def teach(page: "Page", source: str, target: str) -> None:
    page.locator("#mh-source").locator("input, textarea").fill(source)
    page.locator("#mh-target").locator("input, textarea").fill(target)
    page.get_by_role("button", name="Teach", exact=True).click()
    page.locator("#mh-taught .mh-notice").wait_for()


@pytest.mark.slow
def test_a_pair_is_taught_seen_behind_a_token_and_forgotten(
    serve: Serve, visit: Visit, make_generator: MakeGenerator, tmp_path: Path
) -> None:
    generator = make_generator(taught=True)
    page = visit(serve(generator, title="A small translator"))
    page.locator("[data-ask]", has_text=SOURCES[0]).click()
    page.locator(".mh-label", has_text=TARGETS[0]).wait_for()
    before = ask(page, SOURCE)
    assert before == generator(SOURCE)[0]["generated_text"] != TARGET

    teach(page, SOURCE, TARGET)
    page.locator(".mh-label", has_text=TARGET).wait_for()  # the question is asked again
    assert before in page.locator(".mh-before").inner_text()
    assert "4 pairs" in page.locator(".mh-facts").inner_text()
    assert page.locator("#mh-source").locator("input, textarea").input_value() == ""

    page.locator(".mh-tokens button", has_text="grüne").click()
    page.locator("#mh-behind h2", has_text="grüne").wait_for()
    assert page.locator(".mh-tokens [aria-pressed=true]").all_inner_texts() == ["grüne"]
    first = page.locator("#mh-behind tbody tr").first
    assert SOURCE in first.inner_text() and "its token 5, grüne" in first.inner_text()
    picture(page, "pairs")

    with page.expect_download() as found:
        page.get_by_role("button", name="Download the memory").click()
    found.value.save_as(tmp_path / "memory.safetensors")
    other = make_generator()
    other.load_memory(tmp_path)
    assert list(other.model.memory.entries) == list(generator.model.memory.entries)

    first.locator("[data-forget]").click()
    page.locator("#mh-forgotten .mh-done").wait_for()
    page.locator(".mh-facts", has_text="3 pairs").wait_for()
    assert page.locator(".mh-label bdi").inner_text() == before and len(generator.model.memory) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1200, "dark"), (400, "light")])
def test_what_strangers_write_is_shown_and_never_run(
    serve: Serve, visit: Visit, make_generator: MakeGenerator, width: int, scheme: str
) -> None:
    generator = make_generator()
    page = visit(serve(generator, title=NASTY[0], examples=NASTY), width=width, scheme=scheme)
    for nasty in NASTY[:3]:
        teach(page, f"{nasty} dog", f"{nasty} hund " * 20)
        page.locator("#mh-stored bdi", has_text=f"{nasty} dog").wait_for()
    ask(page, f"{NASTY[0]} dog")
    assert f"{NASTY[0]} hund" in page.locator("#mh-behind").inner_text()
    assert page.locator("h1").inner_text() == NASTY[0]
    assert page.locator(".gradio-container img[src=x], #mh-stored b, #mh-behind b").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture(page, f"pairs_{width}_{scheme}")
