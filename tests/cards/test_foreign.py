"""Cards of what strangers wrote: labels, texts, names and card data mean nothing but themselves."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mann_hf.cards import (
    EvaluationResult,
    LabelFacts,
    MANNModelCardData,
    ModelFacts,
    TrainingData,
    TrainingRecord,
    memory_card,
    merged,
    model_card,
)
from mann_hf.cards.data import DEEPEST
from mann_hf.controllers.kinds import TEXT, controller_of

HOSTILE = [
    "x\n---\nlicense: evil",
    "---\nlicense: evil\n---",
    "\r\n---\r\nlicense: evil",
    "<script>alert(1)</script>",
    "<!-- ",
    "-->",
    "a | b | c",
    "a \\| b",
    "\\",
    "`",
    "a`b``c",
    "```\nimport os\n```",
    "](javascript:alert(1))",
    "[a]( javascript:alert(1) )",
    "![a](https://example.com/b.png)",
    '"); import os; ("',
    "'''\"\"\"\\",
    "{{ 7 * 7 }}{% raw %}",
    "\u202e\x1b[2J\x00\x7f\x9b",
    "\u2028\u2029\x85\v\f",
    "$a$ *b* _c_ ~~d~~ # e",
    "null",
    "&lt;b&gt;",
    ": [",
    " ",
]
TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=40) | st.text("`|\\<>\n-[]()\"'{}#", max_size=12)
NAMED = (st.sampled_from(HOSTILE) | TEXTS).filter(lambda text: bool("".join(filter(str.isprintable, text)).strip()))


def one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def facts(label: str, text: str, place: str) -> ModelFacts:
    return ModelFacts(
        place=place,
        model_class="MANNForSequenceClassification",
        problem_type="single_label_classification",
        encoder=text,
        reading="logistic",
        controller=controller_of(TEXT),
        settings={"prompt_name": text, text: label},
        max_tokens=9,
        labels=(LabelFacts(label, 1, text, label), LabelFacts(f"{label}2", 0, None, text)),
        entries=2,
        questions=((one_line(text), label),),
        versions={"torch": "2.13.0"},
    )


def said(text: str) -> MANNModelCardData:
    return MANNModelCardData(
        language=text,
        license=text,
        tags=[text],
        datasets=[text],
        description=text,
        limits=[text],
        training=TrainingRecord(
            data=[TrainingData(text, 2, 3, text)], settings={text: text}, hardware=text, versions={text: text}
        ),
        results=[EvaluationResult(text, 0.5, text, text, 0.1, 0.4, 3, text, text, text, text)],
    )


def check(card: str, rows: dict[str, int]) -> Any:
    """Asserts that a card is whole: its metadata, its only HTML the mark, its tables and its fences."""
    read = ModelCard(card)
    tokens = MarkdownIt("commonmark").enable("table").parse(read.text)
    assert next(token for token in tokens if token.type == "html_block").content.startswith("<!-- mann_hf writes this")
    assert sum(token.type == "html_block" for token in tokens) == 1
    inner = [child for token in tokens for child in token.children or ()]
    assert not [token for token in inner if token.type in ("html_inline", "image")]
    links = [str(token.attrs["href"]) for token in inner if token.type == "link_open"]
    assert all(link.startswith(("https://pypi.org/", "https://huggingface.co/datasets/")) for link in links), links
    lines = read.text.splitlines()
    for heading, count in rows.items():
        start = lines.index(heading)
        table = []
        for line in lines[start + 2 :]:
            if not line.startswith("|"):
                break
            table.append(line)
        assert len(table) == count + 2, "\n".join(table)
        assert len({cells(line) for line in table}) == 1, "\n".join(table)
    return read


def cells(line: str) -> int:
    """The cells of a row as the strictest reader counts them: a sign after an even number of backslashes divides."""
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) - 1


def literals(card: str) -> list[Any]:
    """Every text in the Python of a card, which must compile."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    return [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]


@settings(max_examples=25)
@given(label=NAMED, text=NAMED, place=NAMED)
@example(HOSTILE[0], HOSTILE[3], HOSTILE[11])
@example(HOSTILE[7], HOSTILE[7], HOSTILE[7])
def test_a_models_card(label: str, text: str, place: str) -> None:
    card = model_card(facts(label, text, place), MANNModelCardData(model_name=place))
    read = check(card, {"## Labels": 2, "## Made of": 7})
    assert read.data.library_name == "mann_hf" and read.data.license is None
    assert read.data.to_dict()["widget"] == [{"text": one_line(text), "example_title": one_line(label)}]
    assert {one_line(text), one_line(place)} <= set(literals(card))
    assert merged(card, card) is not None


@settings(max_examples=25)
@given(label=NAMED, text=NAMED, place=NAMED)
def test_a_memorys_card(label: str, text: str, place: str) -> None:
    card = memory_card(facts(label, text, place), f"mann_hf.M.from_pretrained({place!r})")
    read = check(card, {"## Labels": 2})
    assert read.data.license is None
    assert {one_line(text), one_line(place), place} <= set(literals(card))


@settings(max_examples=25)
@given(text=NAMED)
@example(HOSTILE[0])
@example(HOSTILE[1])
@example(HOSTILE[3])
def test_card_data(text: str) -> None:
    plain = MANNModelCardData(**{**vars(said(text)), "description": None})
    read = check(model_card(facts("a", "b", "c"), plain), {"## Labels": 2, "## Evaluation": 1, "## Made of": 7})
    data = read.data.to_dict()
    fields = (data["license"], data["language"], data["tags"][-1], *data["datasets"])
    assert {one_line(each) for each in fields} == {one_line(text)} and len(fields) == 4
    assert data.keys() <= {
        *vars(plain),
        "base_model",
        "library_name",
        "pipeline_tag",
        "metrics",
        "model-index",
        "widget",
    }
    assert [result.metric_value for result in read.data.eval_results or ()] == [0.5]
    again = model_card(facts("a", "b", "c"), MANNModelCardData.from_json(plain.to_json()))
    assert ModelCard(again).data.to_dict() == data


@pytest.mark.parametrize("text", HOSTILE)
def test_a_description_is_markdown_without_html(text: str) -> None:
    card: Any = ModelCard(model_card(facts("a", "b", "c"), MANNModelCardData(description=f"*this* {text}")))
    assert card.data.license is None
    assert card.text.count("<") == 1 and "*this*" in card.text
    assert all(letter.isprintable() or letter == "\n" for letter in card.text)


def read(content: Any) -> MANNModelCardData:
    return MANNModelCardData.from_json(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"results": [{"metric": "f1", "value": NaN, "dataset": "d"}]}', "NaN is no number"),
        ('{"results": [{"metric": "f1", "value": -Infinity, "dataset": "d"}]}', "-Infinity is no number"),
        ('{"results": [{"metric": "f1", "value": 1e999, "dataset": "d"}]}', "too large"),
        ('{"training": {"steps": 1' + "0" * 400 + "}}", "too large"),
        ('{"training": {"settings": {"a": ' + "[" * 20 + "]" * 20 + "}}}", f"deeper than {DEEPEST} levels"),
        ("[" * 100_000, "recursion"),
        ("[1]", "is no MANNModelCardData"),
        ('{"results": [5]}', "is no EvaluationResult"),
        ('{"results": 5}', "."),
        ('{"training": 5}', "is no TrainingRecord"),
        ('{"training": {"data": ["a"]}}', "is no TrainingData"),
        ('{"training": {"versions": {"torch": 5}}}', "."),
        ('{"tags": "a"}', "."),
        ('{"license": ["a"]}', "."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_card_data(content: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(content)


@given(
    st.dictionaries(
        st.sampled_from(sorted(vars(MANNModelCardData()))) | st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["metric", "value", "dataset", "data", "settings", "name"]), inner)
            ),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_whatever_is_read_can_be_shown_and_written(content: dict) -> None:
    try:
        data = read(content)
    except ValueError:
        return
    ModelCard(model_card(facts("a", "b", "c"), data))
    assert read(data.to_json()).to_json() == data.to_json()


def test_numbers_are_read_as_they_were_written(tmp_path: Path) -> None:
    data = MANNModelCardData(
        training=TrainingRecord(settings={"seed": 2**64 - 1, "rate": 1e-5, "on": True}, steps=300, seconds=12.5),
        results=[EvaluationResult("f1", 1, "d"), EvaluationResult("mse", 0.25, "d")],
    )
    assert read(data.to_json()) == data
