"""What events leave on the page, without a page."""

from typing import Any

import pytest

from mann_hf.demo.downloads import Downloads
from mann_hf.demo.events import EXAMPLE, Events, Parts
from mann_hf.demo.session import Session
from mann_hf.pipelines import FewShotTextClassificationPipeline

from .conftest import TAUGHT, Make

pytest.importorskip("plotly")


class Clicked:
    """A click on a button with these `data-*`."""

    def __init__(self, **data: str) -> None:
        self._data = data


@pytest.fixture
def events(classifier: FewShotTextClassificationPipeline) -> Events:
    return Events(Parts(*Parts._fields), lambda: Session(classifier), None, "A title", (), Downloads())


@pytest.fixture
def session(classifier: FewShotTextClassificationPipeline) -> Session:
    return Session(classifier)


def test_what_is_gone_is_said_so(events: Events, session: Session) -> None:
    gone = str(session.memory.entries[0].id)
    done = events.click(session, "", "", Clicked(forget=gone))["forgotten"]
    assert "Forgot 1 example, as if it had never been there." in done and 'role="status"' in done
    again = events.click(session, "", "", Clicked(forget=gone))["forgotten"]
    assert "That example is no longer there." in again and 'role="alert"' in again
    assert (
        "2 examples, as if they had" in events.click(session, "", "", Clicked(forgetLabel="card_arrival"))["forgotten"]
    )
    again = events.click(session, "", "", Clicked(forgetLabel="card_arrival"))["forgotten"]
    assert "That label is no longer there." in again


def test_the_last_answer_stays_when_nothing_is_asked(events: Events, session: Session) -> None:
    answer = events.ask(session, "my card is lost", "")["answer"]
    again = events.ask(session, " ", "")
    assert again["answer"].endswith(answer) and "Type a text first." in again["answer"]
    assert len(again["map"].layout.annotations) == 1  # the star of the text that is answered


def test_an_example_that_is_taught_again_is_said_to_count_once_more(events: Events, session: Session) -> None:
    assert "Taught. The memory holds 6 examples." in events.teach(session, "hello", "greeting", EXAMPLE, "")["taught"]
    again = events.teach(session, "hello", "greeting", EXAMPLE, "")
    assert "in the memory already; it counts once more" in again["taught"] and "Taught." not in again["taught"]
    assert again["lesson"] == ""


def test_what_is_cut_is_said_so(make: Make) -> None:
    classifier = make(TAUGHT, max_seq_length=8)
    session = Session(classifier)
    events = Events(Parts(*Parts._fields), lambda: session, None, "A title", (), Downloads())
    said = "only its beginning counts, 8 of its 12 tokens"
    assert said in events.ask(session, "card " * 10, "")["answer"]
    assert "only its beginning" not in events.ask(session, "my card", "")["answer"]
    assert said in events.teach(session, "card " * 10, "card", EXAMPLE, "")["taught"]
    assert "only its beginning" not in events.teach(session, "my card", "card", EXAMPLE, "")["taught"]


def test_a_lesson_that_fails_stays_in_its_box(events: Events, session: Session) -> None:
    assert "lesson" not in events.teach(session, "hello", "", EXAMPLE, "")
    assert events.teach(session, "hello", "greeting", EXAMPLE, "")["lesson"] == ""


def test_what_no_one_foresaw_is_kept_from_the_visitor(
    events: Events, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(session, "teach", fail)
    changes = events.teach(session, "hello", "greeting", EXAMPLE, "")
    assert "That did not work." in changes["taught"] and "secret" not in changes["taught"]


def test_no_folder_of_this_machine_is_shown(events: Events, session: Session) -> None:
    folder = session.classifier.model.config.encoder_name or ""
    head = events.load("")["head"]
    assert folder.startswith("/") and folder not in head and "encoder</bdi>" in head
