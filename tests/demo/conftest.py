"""Classifiers behind a live page, and the page served from this process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mann_hf.models import MANNForSequenceClassification
from mann_hf.pipelines import FewShotTextClassificationPipeline

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


@pytest.fixture
def make(tiny_encoder: Path) -> Make:
    """A classifier around the tiny encoder: `make({text: label}, **fields of its configuration)`."""

    def made(taught: dict[str, Any] | None = None, **config: Any) -> FewShotTextClassificationPipeline:
        model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, **config)
        classifier = FewShotTextClassificationPipeline(model=model)
        if taught:
            classifier.remember(list(taught), list(taught.values()))
        return classifier

    return made


@pytest.fixture
def classifier(make: Make) -> FewShotTextClassificationPipeline:
    """One that knows TAUGHT."""
    return make(TAUGHT)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serves a classifier's page until the test ends and gives its address: `serve(classifier, **of launch)`."""
    pytest.importorskip("gradio")
    from mann_hf.demo import launch

    pages = []

    def served(classifier: FewShotTextClassificationPipeline, **kwargs: Any) -> str:
        pages.append(launch(classifier, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **kwargs))
        return pages[-1].local_url

    yield served
    for page in pages:
        page.close(verbose=False)
