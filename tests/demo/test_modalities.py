"""The page of a classifier whose inputs another package registers."""

from typing import Any

import pytest

from mann_hf.demo import PAGE_INPUTS, PageInputs, answers, build_page
from mann_hf.demo.bounds import typed_text
from mann_hf.demo.session import Session
from mann_hf.errors import InvalidInputError, InvalidTypeError
from mann_hf.pipelines import FewShotPipeline
from tests.tones import TONES, register, tone_model

pytest.importorskip("plotly")


class ToneInputs(PageInputs):
    """Tones, which are typed."""

    noun = "tone"
    invite = "Type four numbers"

    def box(self, gr: Any, label: str, placeholder: str, elem_id: str, max_length: int, **options: Any) -> Any:
        return gr.Textbox(label=label, placeholder=placeholder, elem_id=elem_id, max_length=max_length, **options)

    def read(self, given: object) -> Any:
        return typed_text(given)

    def first(self) -> Any:
        return "0 0 0 0"


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> FewShotPipeline:
    register(monkeypatch)
    monkeypatch.setitem(PAGE_INPUTS._parts, "tone", ToneInputs)
    classifier = FewShotPipeline(model=tone_model())
    classifier.remember(list(TONES), list(TONES.values()))
    return classifier


def test_it_is_asked_and_taught(classifier: FewShotPipeline) -> None:
    session = Session(classifier)
    session.ask("0.8 0 0.1 0")
    memory, ranked, figure = session.view()
    assert ranked[0]["label"] == "low" and figure.layout.annotations[0].text == "your tone"
    html = answers.answer(ranked, memory, memory.problem_type, "logistic", session.inputs)
    assert "stored tone" in html and "mh-chip" in html  # labels, as digests say nothing
    assert session.teach("0 1 0 0", "middle", is_description=False)
    assert session.memory.labels[-1] == "middle"
    with pytest.raises(InvalidInputError, match="a tone has 4 numbers"):
        session.ask("0 1")


def test_the_page_is_built(classifier: FewShotPipeline) -> None:
    pytest.importorskip("gradio")
    page = str(build_page(classifier).get_config_file())
    assert "'label': 'Tone'" in page and "beginning of a digest" in page


def test_one_that_is_not_registered_is_refused(classifier: FewShotPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(PAGE_INPUTS._parts, "tone")
    with pytest.raises(InvalidTypeError, match=r"modality 'tone', whose inputs are not registered in .*PAGE_INPUTS"):
        Session(classifier)
