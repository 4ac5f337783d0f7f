"""The page as a program sees it: built, served, asked through its API."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

import mann_hf.demo
from mann_hf.errors import InvalidInputError, InvalidTypeError, MissingExtraError
from mann_hf.pipelines import FewShotTextClassificationPipeline

from .conftest import Make


@pytest.fixture(autouse=True)
def gradio() -> Any:
    """Imported by the worker that has these tests alone, as it takes seconds."""
    return pytest.importorskip("gradio")


def ask(page: Any, text: str) -> str:
    """The answer as HTML."""
    return page.predict(text, "", api_name="/ask")[1]


def teach(page: Any, text: str, label: str, what: str = "an example") -> str:
    """What the page says to it, as HTML."""
    return page.predict(text, label, what, "", api_name="/teach")[5]


@pytest.fixture
def visit(serve: Callable[..., str]) -> Callable[..., Any]:
    """Serves a classifier and gives one of its visitors; another of the same page by its address."""

    def visited(classifier: FewShotTextClassificationPipeline | None = None, address: str = "", **kwargs: Any) -> Any:
        return pytest.importorskip("gradio_client").Client(address or serve(classifier, **kwargs), verbose=False)

    return visited


def test_a_regression_is_refused(make: Make) -> None:
    with pytest.raises(InvalidInputError, match="which a regression does not have"):
        mann_hf.demo.build_page(make(problem_type="regression"))


def test_something_else_is_refused() -> None:
    with pytest.raises(InvalidTypeError, match="not str"):
        mann_hf.demo.build_page("my-intents")  # type: ignore[arg-type]


@pytest.mark.parametrize("examples", ["a text", [7], [None]])
def test_examples_are_a_list_of_texts(classifier: FewShotTextClassificationPipeline, examples: Any) -> None:
    with pytest.raises(InvalidTypeError, match="examples must be a list of texts"):
        mann_hf.demo.build_page(classifier, examples=examples)
    with pytest.raises(InvalidInputError, match="at most 10,000 letters"):
        mann_hf.demo.build_page(classifier, examples=["x" * 10_001])


@pytest.mark.parametrize("package", ["gradio", "plotly"])
def test_a_missing_package_is_named_with_the_extra(
    classifier: FewShotTextClassificationPipeline, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*mann_hf\[demo\]"):
        mann_hf.demo.launch(classifier)


def test_it_is_taught_and_asked(classifier: FewShotTextClassificationPipeline, visit: Callable[..., Any]) -> None:
    changes: list[int] = []
    page = visit(classifier, on_change=lambda: changes.append(len(classifier.model.memory)))
    assert "everything else" in ask(page, "reset my password")
    assert "holds 6 examples" in teach(page, "reset my password", "password")
    assert "password" in ask(page, "reset my password").split("mh-scores")[0]
    assert "password" in classifier.model.memory.labels and changes == [6]
    assert classifier("reset my password")[0]["label"] == "password"


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [("", "a", "Type a text first."), ("text", "", "Give the label a name.")],
)
def test_what_cannot_be_taught_is_said_in_words(
    classifier: FewShotTextClassificationPipeline, visit: Callable[..., Any], text: str, label: str, message: str
) -> None:
    page = visit(classifier)
    changes = teach(page, text, label)
    assert message in changes and "mh-problem" in changes
    assert "Type a text first." in ask(page, "")
    assert "everything else" in ask(page, "my card")  # it goes on


def test_a_change_that_cannot_be_saved_is_said_in_words(
    classifier: FewShotTextClassificationPipeline, visit: Callable[..., Any]
) -> None:
    def fail() -> None:
        raise OSError("no space left <on> device")

    changes = teach(visit(classifier, on_change=fail), "hello", "greeting")
    assert "Taught." in changes and "could not be saved" in changes and "mh-problem" in changes
    assert "no space left" not in changes and "can find the reason in its log" in changes


def test_an_empty_memory_is_taught_its_first_example(make: Make, visit: Callable[..., Any]) -> None:
    classifier = make()
    page = visit(classifier)
    assert "Teach a first example" in ask(page, "my card")
    assert "holds 1 example." in teach(page, "my card", "card", "a description of the label")
    assert "100.0%" in ask(page, "my card")


def test_several_labels_are_taught(make: Make, visit: Callable[..., Any]) -> None:
    classifier = make({"my card is lost": ["card", "lost"]}, problem_type="multi_label_classification")
    page = visit(classifier)
    assert "holds 2 examples" in teach(page, "refund", "money | card")
    assert classifier.model.memory.entries[1].label == ("money", "card")
    assert "Scores of the best labels" in ask(page, "my card")


def test_all_visitors_share_a_memory_unless_told_otherwise(
    classifier: FewShotTextClassificationPipeline, visit: Callable[..., Any]
) -> None:
    page = visit(classifier)
    teach(page, "hello", "greeting")
    assert "greeting" in ask(visit(address=page.src), "hello")


def test_each_visitor_may_have_a_memory(
    classifier: FewShotTextClassificationPipeline, visit: Callable[..., Any]
) -> None:
    changes: list[None] = []
    page = visit(classifier, shared=False, on_change=lambda: changes.append(None))
    assert "holds 6 examples" in teach(page, "hello", "greeting")
    assert "greeting" in ask(page, "hello")
    assert "greeting" not in ask(visit(address=page.src), "hello")
    assert "greeting" not in classifier.model.memory.labels and changes == []


def test_a_visitor_s_memory_is_dropped_in_time(classifier: FewShotTextClassificationPipeline, gradio: Any) -> None:
    page = mann_hf.demo.build_page(classifier, shared=False)
    (state,) = [block for block in page.blocks.values() if isinstance(block, gradio.State)]
    assert 0 < state.time_to_live <= 3600
    assert page.delete_cache is not None


@pytest.mark.slow
def test_a_large_memory_is_not_sent_whole(make: Make, visit: Callable[..., Any]) -> None:
    classifier = make({"my card": "card"}, label_names=False, reading="attention")
    count = 100_000
    texts = [f"text number {number} of many " + "words & <b>signs</b> " * 20 for number in range(count)]
    labels = [f"{'a long label ' * 8}{number % 1500}" for number in range(count)]
    classifier.model.remember(torch.randn(count, classifier.model.config.hidden_size), labels, texts)
    page = visit(classifier)
    for words in ("", "99999"):
        sent = page.predict("my card", words, api_name="/ask")
        assert len(str(sent)) < 1_000_000
    assert "The map shows 1,000 of 100,001 examples" in sent[3] and "text number 99999" in sent[4]
