import re
from typing import Any

import pytest

from mann_hf.demo import answers
from mann_hf.demo.bounds import MOST_LETTERS_SENT
from mann_hf.demo.inputs import TextInputs
from mann_hf.demo.map import MOST_LETTERS_OF_LABEL
from mann_hf.models import LabelledMemory
from mann_hf.pipelines import FewShotTextClassificationPipeline

from .conftest import NASTY, TAUGHT, Make
from .reader import Reader


def answered(classifier: FewShotTextClassificationPipeline, text: str, **kwargs: Any) -> tuple[Reader, list[Any]]:
    model = classifier.model
    ranked = classifier(text, top_k=5, **kwargs)
    problem = model.config.problem_type or "single_label_classification"
    return Reader(answers.answer(ranked, model.memory, problem, model.config.reading, TextInputs())), ranked


def test_an_answer_shows_label_scores_and_evidence_with_its_sum(classifier: FewShotTextClassificationPipeline) -> None:
    read, ranked = answered(classifier, "where is my card", evidence=2)
    best = ranked[0]
    assert read.text.startswith(f"Label {best['label']}") and read.data["role"] == ["status"]  # a screen reader says it
    assert all(f"{one['label']}{one['score']:.1%}" in read.text for one in ranked)
    assert all(f"{part['weight']:+.2f}{part['text']}" in read.text for part in best["evidence"])
    total = sum(part["weight"] for part in best["evidence"]) + best["rest"]
    assert f"{best['rest']:+.2f}everything else" in read.text
    assert f"{total:+.2f}is the logit of {best['label']}" in read.text


def test_evidence_that_can_be_forgotten_has_a_button(classifier: FewShotTextClassificationPipeline) -> None:
    read, ranked = answered(classifier, "where is my card", evidence=None)
    stored = [str(part["id"]) for part in ranked[0]["evidence"] if part["id"] in classifier.model.memory.slot_by_id]
    assert read.data["data-forget"] == stored and len(stored) == len(ranked[0]["evidence"]) - 1
    assert "the label's own words" in read.text


def test_a_description_is_called_one(classifier: FewShotTextClassificationPipeline) -> None:
    classifier.remember(labels=["bill"], descriptions=["pay the bill"])
    assert "pay the bill a description" in answered(classifier, "pay the bill")[0].text
    assert "pay the bill a description" in Reader(answers.stored(classifier.model.memory, "", 9, TextInputs())).text


def test_attention_sums_to_the_score(make: Make) -> None:
    read, ranked = answered(make(TAUGHT, reading="attention"), "where is my card")
    assert f"{ranked[0]['score']:+.2f}is the score of" in read.text


def test_several_labels_are_all_named(make: Make) -> None:
    taught = {"my card is lost": ["card", "lost"], "my card": ["card"], "refund my money": ["money"], "help": ["help"]}
    classifier = make(taught, problem_type="multi_label_classification", label_names=False)
    read, ranked = answered(classifier, "my card is lost")
    above = [one["label"] for one in ranked if one["score"] > 0.5]
    assert above and read.text.startswith(f"Labels {', '.join(above)}")
    assert len(re.findall("is the logit of", read.text)) == len(above)
    for one in ranked:
        one["score"] = 0.1
    html = answers.answer(ranked, classifier.model.memory, "multi_label_classification", "logistic", TextInputs())
    assert "no label above 50 %" in Reader(html).text and "is the logit of" in html


def test_an_answer_is_shown_though_its_label_is_gone_by_now(classifier: FewShotTextClassificationPipeline) -> None:
    ranked = classifier("where is my card", top_k=5)
    memory = classifier.model.memory.forget(label=ranked[0]["label"])
    assert (
        ranked[0]["label"]
        in Reader(answers.answer(ranked, memory, "single_label_classification", "logistic", TextInputs())).text
    )


@pytest.mark.parametrize("nasty", NASTY)
def test_what_strangers_write_is_shown_literally(make: Make, nasty: str) -> None:
    classifier = make({nasty + " text": nasty})
    memory = classifier.model.memory
    read, _ = answered(classifier, "my card")
    assert nasty in read.text and f"{nasty} text" in read.text
    stored = Reader(answers.stored(memory, nasty, 9, TextInputs()))
    assert nasty in stored.text and f"{nasty} text" in stored.text
    assert stored.data["data-forget-label"] == [nasty]
    legend = Reader(answers.legend(memory, "text"))
    assert nasty in legend.text and nasty in legend.data["data-find"] and nasty in legend.data["value"]
    assert nasty in Reader(answers.part("header", nasty, memory, nasty, nasty, "text")).text
    tried = Reader(answers.part("invitation", memory, [nasty], "Choose"))
    assert nasty in tried.text and tried.data["data-ask"] == [nasty]
    assert Reader(answers.notice(nasty, is_problem=True)).text == nasty


def test_a_problem_interrupts_a_screen_reader_and_a_success_waits() -> None:
    assert Reader(answers.notice("Taught.")).data["role"] == ["status"]
    assert Reader(answers.notice("Type a text first.", is_problem=True)).data["role"] == ["alert"]


def test_a_long_text_is_cut_and_one_that_is_not_stored_said_so() -> None:
    assert len(Reader(answers.part("shown", "word " * 9999)).text) == answers.MOST_LETTERS
    assert "not stored" in answers.part("content", None, TextInputs())


LONG = "a very long label " * 30 + '"end"'


def test_a_long_label_is_shortened_and_can_be_read_whole(make: Make) -> None:
    classifier = make({"my card is lost": LONG, "refund my money": "refund"})
    memory = classifier.model.memory
    cut = LONG[: MOST_LETTERS_OF_LABEL - 1] + "…"
    answer = answered(classifier, "my card is lost")[0]
    found = Reader(answers.stored(memory, LONG, 9, TextInputs()))
    legend = Reader(answers.legend(memory, "text"))
    for read, times in ((answer, 5), (found, 2), (legend, 1)):  # in the answer once as the label's own words
        assert LONG not in read.text and read.text.count(cut) == times
        assert len(read.data["title"]) == times and LONG in read.data["title"]
    assert found.data["data-forget-label"] == [LONG]
    assert LONG in legend.data["data-find"] and LONG in legend.data["value"]
    assert "title" not in Reader(answers.stored(memory, "refund", 9, TextInputs())).data


def test_of_an_endless_label_and_of_endless_labels_a_beginning_is_sent(make: Make) -> None:
    label = "b" * 1_000_000
    one = make({"my card": label}, label_names=False)
    sent = [
        answers.legend(one.model.memory, "text"),
        answers.stored(one.model.memory, "b" * MOST_LETTERS_SENT, 9, TextInputs()),
    ]
    ranked = one("my card", top_k=5)
    sent.append(answers.answer(ranked, one.model.memory, "single_label_classification", "logistic", TextInputs()))
    assert max(map(len, sent)) < 5000
    assert Reader(sent[1]).data["data-forget-label"] == ["b" * MOST_LETTERS_SENT]

    names = [f"label {number}" for number in range(300)]
    many = make({"my card": names}, problem_type="multi_label_classification", label_names=False)
    read = Reader(answers.stored(many.model.memory, "card", 9, TextInputs()))
    assert f"label {answers.MOST_CHIPS - 1} " in read.text and f"label {answers.MOST_CHIPS} " not in read.text
    assert f"and {300 - answers.MOST_CHIPS} more labels" in read.text


def test_missing_texts(make: Make) -> None:
    classifier = make(TAUGHT, store_texts=False)
    read, _ = answered(classifier, "my card")
    assert "its text was not stored" in read.text
    stored = Reader(answers.stored(classifier.model.memory, "lost", 9, TextInputs()))
    assert len(stored.data["data-forget"]) == 2  # found by the label


class TestStored:
    @pytest.fixture
    def memory(self, classifier: FewShotTextClassificationPipeline) -> LabelledMemory:
        return classifier.model.memory

    def test_the_newest_come_first(self, memory: LabelledMemory) -> None:
        read = Reader(answers.stored(memory, " ", 2, TextInputs()))
        assert read.data["data-forget"] == [str(entry.id) for entry in (memory.entries[4], memory.entries[3])]
        assert "2 of 5 examples" in read.text

    def test_words_of_text_or_label_find_them(self, memory: LabelledMemory) -> None:
        assert len(Reader(answers.stored(memory, "STOLEN", 9, TextInputs())).data["data-forget"]) == 1
        assert len(Reader(answers.stored(memory, "arrival", 9, TextInputs())).data["data-forget"]) == 2
        assert "No stored example" in answers.stored(memory, "nowhere", 9, TextInputs())
        assert "Nothing is stored" in answers.stored(LabelledMemory.empty(4), "", 9, TextInputs())

    def test_a_label_can_be_forgotten_whole(self, memory: LabelledMemory) -> None:
        read = Reader(answers.stored(memory, "lost_card", 1, TextInputs()))
        assert read.data["data-forget-label"] == ["lost_card"]
        assert "Forget the label lost_card and its 2 examples" in read.text
        assert "data-forget-label" not in answers.stored(memory, "lost", 9, TextInputs())


def test_an_empty_memory_asks_to_be_taught(classifier: FewShotTextClassificationPipeline) -> None:
    assert "Teach a first example" in answers.part("invitation", LabelledMemory.empty(4), ["x"], "Choose an image")
    assert not Reader(answers.legend(LabelledMemory.empty(4), "text")).text
    assert "Choose an image." in answers.part("invitation", classifier.model.memory, [], "Choose an image")


def test_the_legend_counts_and_is_of_bounded_length(make: Make) -> None:
    assert "lost_card 2" in Reader(answers.legend(make(TAUGHT).model.memory, "text")).text
    many = {f"text {number}": f"label {number}" for number in range(answers.MOST_LABELS + 3)}
    read = Reader(answers.legend(make(many, label_names=False).model.memory, "text"))
    assert len(read.data["data-find"]) == answers.MOST_LABELS and "3 more labels" in read.text


def test_what_the_map_leaves_out_is_said(classifier: FewShotTextClassificationPipeline, monkeypatch: Any) -> None:
    monkeypatch.setattr(answers, "MOST_DRAWN", 3)
    assert "The map shows 3 of 5 examples" in answers.legend(classifier.model.memory, "text")
