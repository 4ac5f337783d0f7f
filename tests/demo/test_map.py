import json
from typing import Any

import numpy as np
import pytest
import torch

from mann_hf.demo.map import COLOURS, MOST_DRAWN, MOST_LETTERS_OF_LABEL, SYMBOLS, MemoryMap, mark_of, principal_axes
from mann_hf.memory.reading import MULTI_LABEL
from mann_hf.models import LabelledMemory
from mann_hf.persistent.entries import Example

from .conftest import NASTY

pytest.importorskip("plotly")

K = 6


def remembered(labels: list[Any], keys: torch.Tensor | None = None, texts: list | None = None) -> LabelledMemory:
    keys = torch.randn(len(labels), K) if keys is None else keys
    texts = [f"text {number}" for number in range(len(labels))] if texts is None else texts
    return LabelledMemory.empty(keys.shape[1]).remember(keys, list(map(Example, labels, texts)))[0]


def points(figure: Any) -> int:
    return sum(len(trace.x) for trace in figure.data if trace.mode == "markers" and trace.marker.symbol != "star")


@pytest.mark.parametrize("count", [3, 5, 40])  # fewer keys than their size, and more
def test_axes_are_the_principal_components(count: int) -> None:
    keys = torch.randn(count, 8, dtype=torch.float64) * torch.tensor([1, 9, 1, 1, 4, 1, 1, 1])
    centred = keys - keys.mean(0)
    axes = principal_axes(centred)
    _, _, expected = np.linalg.svd(centred.numpy(), full_matrices=False)
    assert np.allclose(np.abs((expected[:2] * axes.T.numpy()).sum(1)), 1)
    assert torch.allclose(axes.T @ axes, torch.eye(2, dtype=torch.float64))
    spread = (centred @ axes).var(0)
    assert spread[0] >= spread[1]
    assert all(axes[axes[:, column].abs().argmax(), column] > 0 for column in range(2))


def test_the_signs_do_not_follow_the_order_of_the_examples() -> None:
    centred = torch.randn(9, 5, dtype=torch.float64)
    centred -= centred.mean(0)
    assert torch.allclose(principal_axes(centred), principal_axes(centred.flip(0)))


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "b"], ["a", "a", "a"]])
def test_small_memories_have_a_map(labels: list[str]) -> None:
    chart = MemoryMap.of(remembered(labels))
    assert torch.allclose(chart.axes.T @ chart.axes, torch.eye(2, dtype=torch.float64), atol=1e-9)
    figure = chart.figure("text", "asked", torch.randn(K), range(len(labels)))
    assert points(figure) == len(labels)
    assert "NaN" not in figure.to_json()


@pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"]])
def test_keys_without_spread_have_a_map(labels: list[str]) -> None:
    keys = torch.randn(1, K).expand(len(labels), K)
    chart = MemoryMap.of(remembered(labels, keys))
    assert torch.isfinite(chart.place(keys)).all()
    assert points(chart.figure("text")) == points(chart.figure("text", "asked", keys[0], [0])) == len(labels)


def test_the_map_of_an_empty_memory_says_so() -> None:
    figure = MemoryMap.of(remembered([])).figure("text")
    assert [said.text for said in figure.layout.annotations] == ["Nothing is stored yet"]
    assert not MemoryMap.of(remembered(["a"])).figure("text").layout.annotations


def test_the_question_lies_where_its_key_would_be_stored() -> None:
    memory = remembered(["a", "b", "b", "c"])
    chart = MemoryMap.of(memory)
    figure = chart.figure("text", "asked", memory.state.keys[0, 2])
    star = figure.data[-1]
    assert star.marker.symbol == "star"
    points = figure.data[0]
    (place,) = [place for place, hover in enumerate(points.hovertext) if "text 2" in hover]
    assert (star.x[0], star.y[0]) == pytest.approx((points.x[place], points.y[place]))


def test_points_of_one_label_look_alike_and_those_that_decided_lie_on_top() -> None:
    points = MemoryMap.of(remembered(["a", "b", "b", "c"])).figure("text", "asked", torch.randn(K), [1]).data[1]
    marks = {
        hover.split("</b>")[0].removeprefix("<b>"): (colour, symbol)
        for hover, colour, symbol in zip(points.hovertext, points.marker.color, points.marker.symbol, strict=True)
    }
    assert marks == {name: mark_of(column)[:2] for column, name in enumerate("abc")}
    assert "text 1" in points.hovertext[-1] and points.marker.size == (9, 9, 9, 13)


def test_a_line_leads_to_each_entry_that_decided() -> None:
    figure = MemoryMap.of(remembered(["a", "b", "b", "c"])).figure("text", "asked", torch.randn(K), [2, 0])
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert len(lines) == 2 and lines[0].line.width > lines[1].line.width
    assert not [trace for trace in MemoryMap.of(remembered(["a"])).figure("text").data if trace.mode == "lines"]


def test_of_a_large_memory_some_points_are_drawn_and_those_that_decided() -> None:
    count = MOST_DRAWN + 500
    memory = remembered([f"label {number % 30}" for number in range(count)])
    chart = MemoryMap.of(memory)
    missing = next(slot for slot in range(count) if slot not in chart.drawn)
    assert len(chart.drawn) == MOST_DRAWN and chart.drawn[0] == 0 and chart.drawn[-1] == count - 1
    assert points(chart.figure("text", "asked", torch.randn(K), [missing])) == MOST_DRAWN + 1


def test_what_plotly_would_read_as_html_is_escaped() -> None:
    memory = remembered(NASTY, texts=[text + " in a text" for text in NASTY])
    figure = MemoryMap.of(memory).figure("text", NASTY[0], torch.randn(K))
    hovers = [hover for trace in figure.data for hover in trace.hovertext]
    for hover in hovers:
        assert "<" not in hover.replace("<b>", "").replace("</b>", "").replace("<br>", "")
    assert any("&lt;img src=x onerror=alert(1)&gt;" in hover for hover in hovers)
    assert all(trace.hovertemplate is None for trace in figure.data)  # where %{x} would mean something
    assert not figure.layout.showlegend


def test_what_is_shown_of_a_text_is_short() -> None:
    memory = remembered(["long"], texts=["many words " * 5000])
    (trace,) = MemoryMap.of(memory).figure("text").data
    assert len(trace.hovertext[0]) < 400 and trace.hovertext[0].endswith("…")


def test_what_is_shown_of_a_label_is_short() -> None:
    memory = remembered(["long" * 99], texts=["a text"])
    (trace,) = MemoryMap.of(memory).figure("text").data
    label, text = trace.hovertext[0].split("</b><br>")
    assert len(label.removeprefix("<b>").replace("<br>", "")) == MOST_LETTERS_OF_LABEL and text == "a text"


def test_a_text_that_is_not_stored_is_said_so() -> None:
    (trace,) = MemoryMap.of(remembered(["a"], texts=[None])).figure("text").data
    assert "not stored" in trace.hovertext[0]


def test_the_figure_is_json_without_the_rest_of_the_memory() -> None:
    document = json.loads(MemoryMap.of(remembered(["a", "b"])).figure("text", "x", torch.randn(K)).to_json())
    assert set(document) == {"data", "layout"}


def test_marks_tell_many_labels_apart() -> None:
    marks = [mark_of(column) for column in range(len(COLOURS) * len(SYMBOLS))]
    assert len(set(marks)) == len(marks)
    assert mark_of(len(marks)) == marks[0]


def test_texts_of_no_label_have_a_mark_of_their_own() -> None:
    keys = torch.randn(3, 8)
    memory, _ = LabelledMemory.empty(8, MULTI_LABEL).remember(
        keys, list(map(Example, [("card",), (), ("card",)], ["a", "b", "c"]))
    )
    (points,) = MemoryMap.of(memory).figure("text").data
    first, none, again = points.marker.color
    assert first == again != none and "no label" in points.hovertext[1]


def test_a_thousand_labels_are_drawn_as_fast_as_one() -> None:
    (points,) = MemoryMap.of(remembered([f"label {number}" for number in range(1000)])).figure("text").data
    assert len(set(points.hovertext)) == 1000
