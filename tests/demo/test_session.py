from pathlib import Path
from typing import Any

import pytest

from mann_hf.demo.bounds import MOST_LETTERS_SENT
from mann_hf.demo.session import EVIDENCE, RANKS, Session
from mann_hf.errors import InvalidInputError, NotInMemoryError
from mann_hf.pipelines import FewShotTextClassificationPipeline

from .conftest import Make

pytest.importorskip("plotly")


@pytest.fixture
def session(classifier: FewShotTextClassificationPipeline) -> Session:
    return Session(classifier)


def test_an_answer_follows_the_memory(session: Session) -> None:
    assert session.view().ranked == []
    session.ask("reset my password")
    assert session.view().ranked[0]["label"] in session.memory.labels
    session.teach("reset my password", " password ", is_description=False)
    _, ranked, figure = session.view()
    assert ranked[0]["label"] == "password" and ranked[0]["evidence"][0]["text"] == "reset my password"
    assert figure.data[-1].marker.symbol == "star"
    session.classifier.forget(label="password")
    assert session.view().ranked[0]["label"] != "password"


def test_the_map_shows_what_decided(session: Session) -> None:
    session.ask("where is my new card")
    _, ranked, figure = session.view()
    stored = [part["id"] for part in ranked[0]["evidence"] if part["id"] in session.memory.slot_by_id]
    assert len([trace for trace in figure.data if trace.mode == "lines"]) == len(stored) > 0


def test_the_answers_are_those_of_the_pipeline(session: Session) -> None:
    session.ask("where is my new card")
    assert session.view().ranked == session.classifier("where is my new card", top_k=RANKS, evidence=EVIDENCE)


def test_a_question_is_encoded_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    encoder: Any = session.classifier.model.encoder
    forward = encoder.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        return forward(*args, **kwargs)

    monkeypatch.setattr(encoder, "forward", counted)
    session.ask("where is my new card")
    session.view()
    assert len(calls) == 1


@pytest.mark.parametrize("label", ["lost_card", None])
def test_a_view_is_of_one_memory_though_another_visitor_writes(
    session: Session, monkeypatch: pytest.MonkeyPatch, label: str | None
) -> None:
    """Whatever is taken out while the text is encoded: a part of the memory or, with None, all of it."""
    model, whole, encode = session.classifier.model, session.memory, session.classifier.model.embed

    def embed(*args: Any, **kwargs: Any) -> Any:
        for gone in [label] if label else list(session.memory.labels):
            session.classifier.forget(label=gone)
        return encode(*args, **kwargs)

    monkeypatch.setattr(model, "embed", embed)
    session.ask("my card is lost")
    memory, ranked, figure = session.view()
    assert len(session.memory) < len(whole)
    assert memory is whole and {one["label"] for one in ranked} == set(whole.labels)
    assert sum(len(trace.x) for trace in figure.data if trace.mode == "markers") == len(whole) + 1


def test_a_memory_may_be_emptied_before_it_is_read(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def ready_memory() -> Any:
        for label in session.memory.labels:
            session.classifier.forget(label=label)
        return ready()

    ready = session.classifier.model.ready_memory
    monkeypatch.setattr(session.classifier.model, "ready_memory", ready_memory)
    session.ask("my card is lost")
    memory, ranked, figure = session.view()
    assert len(memory) == 0 and ranked == [] and not figure.data


def test_a_description_makes_a_label(session: Session) -> None:
    session.teach("pay the bill", "bill", is_description=True)
    assert session.memory.entries[-1].kind == "description" and "bill" in session.memory.labels


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        ("", "a", "Type a text first."),
        (" \n", "a", "Type a text first."),
        (None, "a", "Type a text first."),
        ("half \ud800", "a", "Half of a character is missing"),
        ("text", "", "Give the label a name."),
        ("text", "  ", "Give the label a name."),
        ("text", None, "Give the label a name."),
        ("text", "half \ud800", "Half of a character is missing"),
        (7, "a", "That is not a text"),
        (["text"], "a", "That is not a text"),
        ("text", 7, "That is not a text"),
        ("x" * 10_001, "a", "at most 10,000 letters"),
        (" " * 5_000_000, "a", "at most 10,000 letters"),
        ("text", "a" * 201, "at most 200 letters"),
        ("text", "a" * 1_000_000, "at most 200 letters"),
        ("text", "two\nlines", "a line break"),
        ("text", "a\x00b", "a line break"),
    ],
)
def test_what_cannot_be_taught_changes_nothing(session: Session, text: Any, label: Any, message: str) -> None:
    before = session.memory
    with pytest.raises(InvalidInputError, match=message):
        session.teach(text, label, is_description=False)
    assert session.memory is before


def test_an_empty_question_leaves_the_last_one(session: Session) -> None:
    session.ask("my card")
    with pytest.raises(InvalidInputError, match="Type a text first"):
        session.ask("")
    assert session.asked == "my card"


def test_it_is_known_whether_an_example_is_new(session: Session) -> None:
    assert session.teach("hello", "greeting", is_description=False)
    before = session.memory
    assert not session.teach("hello", "greeting", is_description=False)
    assert session.memory.entries == before.entries
    assert session.teach("hello", "greeting", is_description=True)
    assert session.teach("hello", "farewell", is_description=False)


def test_a_text_is_cut_where_the_encoder_ends(make: Make) -> None:
    session = Session(make(max_seq_length=8))
    assert session.cut("card " * 6) is None  # with the two special tokens 8
    assert session.cut("card " * 7) == (9, 8)
    config = session.classifier.model.config
    config.prompts, config.prompt_name = {"query": "card card "}, "query"
    assert session.cut("card " * 4) is None
    assert session.cut("card " * 6) == (10, 8)


def test_several_labels(make: Make) -> None:
    session = Session(make(problem_type="multi_label_classification"))
    session.teach("my card is lost", "card | lost", is_description=False)
    assert session.memory.labels == ("card", "lost")
    with pytest.raises(InvalidInputError, match="One of the labels has no name"):
        session.teach("my card", "card |", is_description=False)
    with pytest.raises(InvalidInputError, match=r"Give the label a name\."):
        session.teach("my card", " | ", is_description=False)
    with pytest.raises(InvalidInputError, match="at most 50"):
        session.teach("my card", "|".join(map(str, range(51))), is_description=False)
    with pytest.raises(InvalidInputError, match="at most 200 letters"):
        session.teach("my card", "card|" + "a" * 201, is_description=False)
    assert session.memory.labels == ("card", "lost")
    Session(make()).teach("my card", "|", is_description=False)  # a name as good as any, where a text has one label


def test_the_question_may_be_older_than_an_empty_memory(make: Make) -> None:
    session = Session(make({"my card": "card"}))
    session.ask("my card")
    session.classifier.forget(label="card")
    _, ranked, figure = session.view()
    assert ranked == [] and not figure.data


def test_the_map_is_made_once_for_each_memory(session: Session) -> None:
    session.view()
    first = session._map
    session.ask("my card")
    session.view()
    assert session._map is first
    session.teach("hello", "greeting", is_description=False)
    session.view()
    assert session._map is not first


def test_the_file_is_of_the_present_memory(session: Session, make: Make, tmp_path: Path) -> None:
    for label in session.memory.labels:
        (tmp_path / "memory.safetensors").write_bytes(session.file() or b"")
        other = make()
        other.load_memory(tmp_path)
        assert other.model.memory.entries == session.memory.entries
        session.forget_label(label)
    assert session.file() is None


def test_sessions_of_one_weight_and_two_memories(classifier: FewShotTextClassificationPipeline) -> None:
    one, other = Session(classifier.with_own_memory()), Session(classifier.with_own_memory())
    one.teach("hello", "greeting", is_description=False)
    assert "greeting" not in other.memory.labels
    with pytest.raises(NotInMemoryError):
        other.classifier.forget(label="greeting")


def test_what_is_gone_cannot_be_forgotten_again(session: Session) -> None:
    gone = session.memory.entries[0].id
    session.forget(gone)
    session.forget_label("refund")
    left = session.memory
    with pytest.raises(NotInMemoryError, match=r"^That example is no longer there\.$"):
        session.forget(gone)
    with pytest.raises(NotInMemoryError, match=r"^That label is no longer there\.$"):
        session.forget_label("refund")
    assert session.memory is left


def test_a_long_label_is_forgotten_by_its_beginning(make: Make) -> None:
    """As the page sends and takes no more of it."""
    long = "a" * MOST_LETTERS_SENT
    session = Session(make({"my card": f"{long} one", "refund": f"{long} two", "help": "short"}, label_names=False))
    with pytest.raises(InvalidInputError, match="Several long labels begin like that"):
        session.forget_label(long)
    assert len(session.memory.labels) == 3
    session.classifier.forget(label=f"{long} two")
    session.forget_label(long)
    assert session.memory.labels == ("short",)
