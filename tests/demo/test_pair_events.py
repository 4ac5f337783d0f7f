"""What events leave on the page of a model that generates, without a page."""

from pathlib import Path
from typing import Any

import pytest

from mann_hf.demo.bounds import short
from mann_hf.demo.downloads import Downloads
from mann_hf.demo.pair_answers import MOST_LETTERS_OF_TOKEN
from mann_hf.demo.pair_events import PairEvents, PairParts
from mann_hf.demo.pair_session import PairSession
from tests.tiny_seq2seq import SOURCES, TARGETS

from .conftest import NASTY, MakeGenerator
from .reader import Reader


class Clicked:
    """A click on a button with these `data-*`."""

    def __init__(self, **data: Any) -> None:
        self._data: Any = data


@pytest.fixture
def session(make_generator: MakeGenerator) -> PairSession:
    return PairSession(make_generator(taught=True))


@pytest.fixture
def events(session: PairSession) -> PairEvents:
    return events_of(session)


def events_of(session: PairSession, **kwargs: Any) -> PairEvents:
    given: dict[str, Any] = {"on_change": None, "title": "A title", "examples": (), "downloads": Downloads(), **kwargs}
    return PairEvents(PairParts(*PairParts._fields), lambda: session, **given)


def test_a_source_is_answered_with_its_tokens(events: PairEvents, session: PairSession) -> None:
    changes = events.ask(session, SOURCES[0], "")
    read = Reader(changes["answer"])
    assert read.text.startswith(f"Text {TARGETS[0]}") and read.data["role"] == ["status", "group"]
    assert len(read.data["data-token"]) == len(TARGETS[0].split()) + 1  # and its end
    assert read.data["aria-pressed"].count("true") == 1
    assert "holds 3 pairs" in Reader(changes["head"]).text


def test_a_token_shows_the_pairs_behind_it(events: PairEvents, session: PairSession) -> None:
    events.ask(session, SOURCES[0], "")
    (answer,) = session.pipeline(SOURCES[0], evidence=5)
    place = answer["generated_text"].split().index("katze")
    changes = events.click(session, "", "", Clicked(token=str(place)))
    assert set(changes) == {"behind"}  # nothing is generated again
    read = Reader(changes["behind"])
    first = answer["evidence"][place]["pairs"][0]
    assert read.text.startswith("Behind katze") and SOURCES[0] in read.text and f"→ {TARGETS[0]}" in read.text
    assert f"its token {first['position'] + 1}, katze" in read.text and f"{first['weight']:.0%}" in read.text
    assert read.data["data-forget"][0] == str(first["id"])


@pytest.mark.parametrize("value", ["99", "-1", "x", "", "9" * 5000, "²"])
def test_what_is_no_token_is_refused(events: PairEvents, session: PairSession, value: str) -> None:
    events.ask(session, SOURCES[0], "")
    assert "not a button of this page" in events.click(session, "", "", Clicked(token=value))["behind"]


@pytest.mark.parametrize("data", [{"forget": "x"}, {"forget": "9" * 5000}, {"find": "dog"}, {"token": 1}, {}, None])
def test_what_is_no_button_is_refused(events: PairEvents, session: PairSession, data: Any) -> None:
    clicked = Clicked()
    clicked._data = data
    assert "not a button of this page" in events.click(session, "", "", clicked)["forgotten"]
    assert len(session.memory) == 3


def test_the_text_changes_with_what_is_taught_and_forgotten(events: PairEvents, session: PairSession) -> None:
    source, target = "a green dog sees the bird", "der vogel sieht die grüne katze"
    before = session.pipeline(source)[0]["generated_text"]
    events.ask(session, source, "")
    taught = events.teach(session, source, target, "")
    assert "Taught. The memory holds 4 pairs." in taught["taught"]
    assert taught["source"] == taught["target"] == ""
    read = Reader(taught["answer"])
    assert read.text.startswith(f"Text {target}") and before != target and f"before: {before}" in read.text
    again = events.teach(session, source, target, "")
    assert "it counts once more now" in again["taught"] and "before:" not in again["answer"]
    id_ = session.pipeline(source, evidence=1)[0]["evidence"][0]["pairs"][0]["id"]
    gone = events.click(session, "", "", Clicked(forget=str(id_)))
    assert "Forgot 1 pair, as if it had never been there." in gone["forgotten"]
    assert Reader(gone["answer"]).text.startswith(f"Text {before}before: {target}")
    assert "That pair is no longer there." in events.click(session, "", "", Clicked(forget=str(id_)))["forgotten"]


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("", "der", "Type a text first."),
        ("the", " ", "Type the text that it should answer."),
        ("the", None, "Type the text that it should answer."),
        (7, "der", "That is not a text."),
        ("the", ["der"], "That is not a text."),
        ("x" * 10_001, "der", "at most 10,000 letters"),
        ("the", "half \ud800", "Half of a character is missing"),
    ],
)
def test_what_cannot_be_taught_changes_nothing(
    events: PairEvents, session: PairSession, source: Any, target: Any, message: str
) -> None:
    before = session.memory
    changes = events.teach(session, source, target, "")
    assert message in changes["taught"] and 'role="alert"' in changes["taught"] and "source" not in changes
    assert session.memory is before


def test_the_last_answer_stays_when_nothing_is_asked(events: PairEvents, session: PairSession) -> None:
    answer = events.ask(session, SOURCES[0], "")["answer"]
    again = events.ask(session, " ", "")["answer"]
    assert again.endswith(answer) and "Type a text first." in again


def test_pairs_are_found_by_words_of_source_or_target(events: PairEvents, session: PairSession) -> None:
    newest = [str(entry.id) for entry in reversed(session.memory.entries)]
    assert Reader(events.find(session, "")).data["data-forget"] == newest
    assert Reader(events.find(session, "ROTE")).data["data-forget"] == newest[1:2]
    assert Reader(events.find(session, "dog")).data["data-forget"] == newest[1:]
    assert "No stored pair has that." in events.find(session, "nowhere")


def test_only_the_newest_of_many_pairs_are_searched(
    events: PairEvents, session: PairSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mann_hf.demo.pair_answers.MOST_SEARCHED", 2)
    read = Reader(events.find(session, "cat"))
    assert len(read.data["data-forget"]) == 1 and "Only the newest 2 pairs were searched." in read.text


def test_before_a_question_there_is_something_to_try(session: PairSession) -> None:
    offered = Reader(events_of(session).load("")["answer"]).data["data-ask"]
    assert offered == SOURCES[::-1]
    asked = events_of(session).click(session, "", "", Clicked(ask=offered[0]))
    assert asked["question"] == offered[0] and Reader(asked["answer"]).text.startswith(f"Text {TARGETS[2]}")
    new = events_of(PairSession(session.pipeline), examples=("mine",))
    assert Reader(new.load("")["answer"]).data["data-ask"] == ["mine"]


def test_an_empty_memory_leaves_the_model_alone(make_generator: MakeGenerator) -> None:
    session = PairSession(make_generator())
    events = events_of(session)
    assert "The memory is empty" in events.load("")["answer"]
    assert "No stored pair is behind it" in events.ask(session, SOURCES[0], "")["behind"]
    assert "nothing to download" in events.download(session)["taught"] and session.file() is None


def test_an_example_memory_names_whole_pairs(make_generator: MakeGenerator) -> None:
    session = PairSession(make_generator(taught=True, memory="example", gate=1.0))
    changes = events_of(session).ask(session, SOURCES[0], "")
    assert "memory of examples" in Reader(changes["head"]).text and "mh-track" not in changes["answer"]
    behind = Reader(changes["behind"]).text
    assert "stored pair" in behind and "its token" not in behind and "λ" not in behind


def test_texts_that_are_not_stored_are_said_so(make_generator: MakeGenerator) -> None:
    session = PairSession(make_generator(taught=True, store_texts=False))
    events = events_of(session)
    assert "its source was not stored" in events.find(session, "")
    assert "its target was not stored" in events.ask(session, SOURCES[0], "")["behind"]
    assert "data-ask" not in events_of(PairSession(session.pipeline)).load("")["answer"]


def test_what_is_cut_is_said_so(make_generator: MakeGenerator) -> None:
    session = PairSession(make_generator(max_source_length=6, max_target_length=4))
    events = events_of(session)
    said = "only its beginning counts, {} of its {} tokens"
    assert said.format(6, 11) in events.ask(session, "dog " * 10, "")["answer"]
    assert "only its beginning" not in events.ask(session, "the dog", "")["answer"]
    taught = events.teach(session, "dog " * 10, "der hund sieht die katze", "")["taught"]
    assert said.format(6, 11) in taught and said.format(4, 6) in taught


@pytest.mark.parametrize("nasty", NASTY)
def test_what_strangers_write_is_shown_literally(make_generator: MakeGenerator, nasty: str) -> None:
    session = PairSession(make_generator())
    session.pipeline.remember(f"{nasty} dog", f"{nasty} hund")
    events = events_of(session, title=nasty, examples=(nasty,))
    first = events.load("")
    assert nasty in Reader(first["head"]).text and Reader(first["answer"]).data["data-ask"] == [nasty]
    changes = events.ask(session, f"{nasty} dog", nasty)
    for part in ("behind", "stored"):
        read = Reader(changes[part])
        assert f"{nasty} dog" in read.text and f"{nasty} hund" in read.text, part
    answer = session.view().answer or {}
    answer["generated_text"] = answer["evidence"][session.chosen]["token"] = nasty  # which a tokenizer may give
    read, cut = Reader(events.ask(None, " ", "")["answer"]), short(nasty, MOST_LETTERS_OF_TOKEN)
    assert nasty in read.text and read.text.count(cut) == 2 - (cut != nasty)
    behind = events.click(session, "", "", Clicked(token=str(session.chosen)))["behind"]
    assert f"Behind {cut}" in Reader(behind).text


def test_the_file_is_of_the_present_memory(session: PairSession, make_generator: MakeGenerator, tmp_path: Path) -> None:
    for id_ in session.memory.ids_in_order.tolist():
        (tmp_path / "memory.safetensors").write_bytes(session.file() or b"")
        other = make_generator()
        other.load_memory(tmp_path)
        assert list(other.model.memory.entries) == list(session.memory.entries)
        session.forget(id_)
    assert session.file() is None


def test_each_visitor_may_have_a_memory(session: PairSession) -> None:
    one, other = (PairSession(session.pipeline.with_own_memory()) for _ in range(2))
    one.teach("the bird", "der vogel")
    assert (len(one.memory), len(other.memory), len(session.memory)) == (4, 3, 3)


def test_a_view_is_of_one_memory_though_another_visitor_writes(
    session: PairSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, encode = session.memory, type(session.pipeline.model).encode_sources

    def encode_sources(*args: Any, **kwargs: Any) -> Any:
        if len(session.memory):
            session.pipeline.forget(session.memory.ids_in_order.tolist())
        return encode(*args, **kwargs)

    monkeypatch.setattr(type(session.pipeline.model), "encode_sources", encode_sources)
    session.ask(SOURCES[0])
    view = session.view()
    assert len(session.memory) == 0 and view.memory is whole
    assert view.answer is not None and view.answer["generated_text"] == TARGETS[0]


def test_no_folder_of_this_machine_is_shown(events: PairEvents, session: PairSession) -> None:
    folder = session.pipeline.model.config.encoder_name or ""
    assert folder.startswith("/") and folder not in events.load("")["head"]


def test_the_memory_of_a_visitor_has_an_end(make_generator: MakeGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mann_hf.demo.page_session.MOST_TAUGHT", 1)
    base = make_generator(taught=True)
    session: Any = PairSession.of_visitor(base)
    events = events_of(session)
    assert "holds 4 pairs" in Reader(events.teach(session, "the bird", "der vogel", "")["taught"]).text
    full = Reader(events.teach(session, "the cat", "die katze", "")["taught"]).text
    assert "full" in full and "room for 4" in full and len(session.memory) == 4
    session.forget(min(session.memory.ids))
    assert session.teach("the cat", "die katze")
    assert len(base.model.memory) == 3 and PairSession(base).teach("the cat", "die katze")
