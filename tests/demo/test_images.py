"""The page of a classifier of images."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from mann_hf import FewShotImageClassificationPipeline, FewShotPipeline, MANNForImageClassification
from mann_hf.demo import answers, build_page
from mann_hf.demo.bounds import FORMATS, LARGE_IMAGE, MOST_BYTES_OF_FILE, NO_IMAGE, NOT_IMAGE, sent_image
from mann_hf.demo.inputs import ImageInputs
from mann_hf.demo.session import EVIDENCE, RANKS, Session
from mann_hf.errors import InvalidInputError, InvalidTypeError
from tests.pictures import save_image_encoder, shape

from .conftest import Serve, Visit

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("plotly")
CLASSES = ("disc", "square")


def file(picture: Any, form: str = "PNG") -> bytes:
    written = io.BytesIO()
    picture.save(written, form)
    return written.getvalue()


def sent(picture: Any, form: str = "PNG") -> str:
    """What a browser sends of a picture."""
    return f"data:image/{form.lower()};base64,{base64.b64encode(file(picture, form)).decode()}"


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_image_encoder("vit", tmp_path_factory.mktemp("pictures") / "encoder")


@pytest.fixture
def make(encoder: Path) -> Callable[..., FewShotImageClassificationPipeline]:
    """A classifier of discs and squares, three of each."""

    def made(**config: Any) -> FewShotImageClassificationPipeline:
        model = MANNForImageClassification.from_encoder_pretrained(encoder, **config)
        classifier = FewShotImageClassificationPipeline(model=model)
        pictures = [shape(kind, number) for kind in CLASSES for number in range(3)]
        classifier.remember(pictures, [kind for kind in CLASSES for _ in range(3)])
        return classifier

    return made


@pytest.fixture
def session(make: Callable[..., Any]) -> Session:
    return Session(make())


class TestWhatIsSent:
    @pytest.mark.parametrize("form", FORMATS)
    def test_images_of_browsers(self, form: str) -> None:
        assert sent_image(sent(shape("disc", 1), form)).size == (32, 32)

    @pytest.mark.parametrize(
        "given, message",
        [
            (None, NO_IMAGE),
            ("", NO_IMAGE),
            (7, NOT_IMAGE),
            ("disc.png", NOT_IMAGE),
            ("/etc/passwd", NOT_IMAGE),
            ("http://example.org/disc.png", NOT_IMAGE),
            ("data:text/html;base64,PGI+", NOT_IMAGE),
            ("data:image/png;base64,a", NOT_IMAGE),
            ("data:image/png;base64,!!!!", NOT_IMAGE),
            ("data:image/png;base64,aGVsbG8=", NOT_IMAGE),
            ("data:image/svg+xml;base64,PHN2Zy8+", NOT_IMAGE),
            (sent(shape("disc", 1), "TIFF"), NOT_IMAGE),
            ("data:image/png;base64," + "A" * (MOST_BYTES_OF_FILE * 4 // 3 + 8), LARGE_IMAGE),
            (sent(Image.new("1", (5000, 5000))), LARGE_IMAGE),
        ],
    )
    def test_anything_else(self, given: Any, message: str) -> None:
        with pytest.raises(InvalidInputError, match=re.escape(message)):
            sent_image(given)

    def test_a_damaged_one(self, session: Session) -> None:
        cut = base64.b64encode(file(shape("disc", 1))[:-40]).decode()
        with pytest.raises(InvalidInputError, match="a damaged picture"):
            session.ask(f"data:image/png;base64,{cut}")
        assert session.asked is None


class TestSession:
    def test_the_answers_are_those_of_the_pipeline(self, session: Session) -> None:
        session.ask(sent(shape("disc", 9)))
        memory, ranked, figure = session.view()
        assert ranked == session.classifier(shape("disc", 9), top_k=RANKS, evidence=EVIDENCE)
        assert figure.layout.annotations[0].text == "your image" and "your image" in figure.data[-1].hovertext[0]
        html = answers.answer(ranked, memory, memory.problem_type, "logistic", ImageInputs())
        assert "stored image" in html and ranked[0]["evidence"][0]["image"][:20] in html and "text" not in html
        assert session.cut(session.asked) is None

    def test_a_lesson(self, session: Session) -> None:
        assert session.teach(sent(shape("cross", 1)), "cross", is_description=False)
        assert not session.teach(sent(shape("cross", 1)), "cross", is_description=True)  # there are none of images
        assert len(session.memory) == 7 and session.memory.labels[-1] == "cross"
        with pytest.raises(InvalidInputError, match="Choose an image first"):
            session.teach("", "cross", is_description=False)

    @pytest.mark.parametrize("kept", [False, True])
    def test_stored_images_are_shown_where_they_are_kept(self, make: Callable[..., Any], kept: bool) -> None:
        memory = make(store_inputs=kept).model.memory
        html = answers.stored(memory, "disc", 9, ImageInputs())
        assert html.count('src="data:image/png;base64,') == (3 if kept else 0) and html.count("blake2b:") >= 3
        images = [answers._image_of(entry._replace(stored=bad)) for entry in memory.entries for bad in NO_PNGS]
        assert images == [None] * len(images)


NO_PNGS = [b"<svg onload=alert(1)>", answers.PNG + bytes(answers.MOST_BYTES_SHOWN)]


def test_inputs_of_somebody_else_are_refused(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio")
    classifier = make()
    monkeypatch.setattr(type(classifier.model.config), "modality", "rows", raising=False)
    del classifier.model.config.__dict__["modality"]
    assert isinstance(classifier, FewShotPipeline)
    with pytest.raises(InvalidTypeError, match="few-shot-image-classification, not .* of the modality 'rows'"):
        build_page(classifier)


def test_examples_to_try_are_of_texts(make: Callable[..., Any]) -> None:
    pytest.importorskip("gradio")
    with pytest.raises(InvalidInputError, match="That is not an image"):
        build_page(make(), examples=["a disc"])


def test_a_program_asks_and_teaches(make: Callable[..., Any], serve: Callable[..., str]) -> None:
    page: Any = pytest.importorskip("gradio_client").Client(serve(make()), verbose=False)
    asked = page.predict(sent(shape("disc", 9)), "", api_name="/ask")[1]
    assert "stored image" in asked and "everything else" in asked
    assert "holds 7 examples" in page.predict(sent(shape("cross", 1)), "cross", "an example", "", api_name="/teach")[5]
    assert "Choose an image first" in page.predict("", "", api_name="/ask")[1]
    large = sent(Image.fromarray(np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)))
    assert len(large) > 900_000 and "too large" in page.predict(large, "", api_name="/ask")[1]


class TestInABrowser:
    @pytest.fixture
    def open_page(self, visit: Visit, serve: Serve, make: Callable[..., Any]) -> Callable[..., "Page"]:
        return lambda width=1200: visit(serve(make(store_inputs=True)), width=width)

    @staticmethod
    def choose(page: "Page", where: str, picture: Any, name: str = "one.png") -> None:
        page.locator(f"{where} input[type=file]").set_input_files(
            {"name": name, "mimeType": "image/png", "buffer": picture if isinstance(picture, bytes) else file(picture)}
        )

    @pytest.mark.slow
    @pytest.mark.parametrize("width", [1200, 400])
    def test_asked_taught_and_forgotten(self, open_page: Callable[..., "Page"], width: int) -> None:
        page = open_page(width)
        self.choose(page, "#mh-question", shape("disc", 9))
        page.locator("#mh-answer .mh-scores").wait_for()
        assert page.locator("#mh-question img").count() == 1 and page.locator("#mh-answer .mh-thumb").count() >= 1
        self.choose(page, "#mh-lesson", shape("cross", 1))
        page.locator("#mh-lesson img").wait_for()
        page.locator("#mh-label input").fill("cross")
        page.locator("#mh-teach").click()
        page.locator("#mh-taught", has_text="holds 7 examples").wait_for()
        page.locator("#mh-lesson", has_text="Choose an image, or drop one here").wait_for()
        page.locator("#mh-stored button", has_text="Forget").first.click()
        page.locator("#mh-forgotten", has_text="Forgot 1 example").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    @pytest.mark.slow
    def test_large_files_are_made_smaller(self, open_page: Callable[..., "Page"]) -> None:
        page = open_page()
        noise = np.random.default_rng(0).integers(0, 256, (900, 800, 3), np.uint8)
        self.choose(page, "#mh-question", Image.fromarray(noise))
        page.locator("#mh-answer .mh-scores").wait_for()
        assert page.locator("#mh-question img").get_attribute("src").startswith("data:image/jpeg")  # type: ignore[union-attr]

    @pytest.mark.slow
    def test_a_file_that_is_no_image(self, open_page: Callable[..., "Page"]) -> None:
        page = open_page()
        self.choose(page, "#mh-question", b"hello", "note.png")
        page.locator("#mh-answer", has_text="That is not an image").wait_for()
