"""Classifiers and generators behind a live page, and the page served from this process."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mann_hf.models import MANNForConditionalGeneration, MANNForSequenceClassification
from mann_hf.pipelines import FewShotTextClassificationPipeline, MemoryAugmentedGenerationPipeline, MemoryPipeline
from tests.tiny_seq2seq import SOURCES, TARGETS, save_tiny, word_tokenizer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIETLY = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TAUGHT = {
    "my card is lost": "lost_card",
    "my card was stolen": "lost_card",
    "where is my new card": "card_arrival",
    "card still on order": "card_arrival",
    "please refund my money": "refund",
}
NASTY = [
    "<img src=x onerror=alert(1)>",
    "<b>bold</b>",
    "</script><script>alert(2)</script>",
    "${alert(3)} {{alert(4)}} %{x}",
    "# title *stars* [link](javascript:alert(5))",
    '" onmouseover="alert(6)',
    "مرحبا بالعالم",
    "🎉🧠",
]
"""Labels and texts as strangers may write them."""

Make = Callable[..., FewShotTextClassificationPipeline]
MakeGenerator = Callable[..., MemoryAugmentedGenerationPipeline]
Serve = Callable[..., str]
Visit = Callable[..., "Page"]


@pytest.fixture
def make(tiny_classifier: Callable[..., MANNForSequenceClassification]) -> Make:
    """A classifier around the tiny encoder: `make({text: label}, **fields of its configuration)`."""

    def made(taught: dict[str, Any] | None = None, **config: Any) -> FewShotTextClassificationPipeline:
        classifier = FewShotTextClassificationPipeline(model=tiny_classifier(**config))
        if taught:
            classifier.remember(list(taught), list(taught.values()))
        return classifier

    return made


@pytest.fixture
def classifier(make: Make) -> FewShotTextClassificationPipeline:
    """One that knows TAUGHT."""
    return make(TAUGHT)


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random T5 and its tokenizer; to be read, not changed."""
    return Path(save_tiny("t5", tmp_path_factory.mktemp("t5")))


@pytest.fixture
def make_generator(tiny_t5: Path) -> MakeGenerator:
    """A generator around a tiny T5, which knows SOURCES and TARGETS if it is `taught`: `make_generator(**config)`."""

    def made(taught: bool = False, **config: Any) -> MemoryAugmentedGenerationPipeline:
        model = MANNForConditionalGeneration.from_seq2seq_pretrained(tiny_t5, **{"interpolation": 0.95, **config})
        generator = MemoryAugmentedGenerationPipeline(model=model, tokenizer=word_tokenizer())
        if taught:
            generator.remember(SOURCES, TARGETS)
        return generator

    return made


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serves a pipeline's page until the test ends and gives its address: `serve(pipeline, **of launch)`."""
    pytest.importorskip("gradio")
    from mann_hf.demo import launch

    pages = []

    def served(pipeline: MemoryPipeline, **kwargs: Any) -> str:
        pages.append(launch(pipeline, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **kwargs))
        return pages[-1].local_url

    yield served
    for page in pages:
        page.close(verbose=False)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIETLY)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Visit]:
    """Opens the page as a new visitor; in the end nothing may have gone wrong in the browser or been asked elsewhere.

    `visit(address, width=1200, scheme="light")`
    """
    contexts, wrong = [], []

    def on_dialog(dialog: "Dialog") -> None:
        wrong.append(f"a script said {dialog.message}")
        dialog.dismiss()

    def visited(address: str, width: int = 1200, height: int = 900, scheme: Any = "light") -> "Page":
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error.stack or error)))
        page.on("dialog", on_dialog)
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((address, "data:", "blob:")) else wrong.append(f"asked {request.url}")
            ),
        )
        page.goto(address)
        page.locator("#mh-answer p").first.wait_for()
        page.locator("#mh-map .main-svg, #mh-behind p").first.wait_for()
        return page

    yield visited
    for context in contexts:
        context.close()
    assert wrong == []


def picture(page: "Page", name: str) -> None:
    """Leaves a picture of a page in the folder MANN_SCREENSHOTS, if that is set."""
    folder = os.environ.get("MANN_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(700)
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)
