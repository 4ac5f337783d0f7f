"""Evidence as a picture: darker where more of a token comes from a pair, and refused in words without evidence."""

import sys
from typing import Any

import numpy as np
import pytest

from mann_hf.errors import InvalidInputError, InvalidTypeError, MissingExtraError
from mann_hf.pipelines import draw_evidence


def answer(weights: list[list[float]], source: str | None = "the dog") -> dict[str, Any]:
    """An answer of T tokens over N pairs, given the weights [T][N]."""
    return {
        "generated_text": "der hund",
        "evidence": [
            {
                "token": f"token{place}",
                "probability": 0.9,
                "share": 0.5,
                "pairs": [
                    {"id": n, "source": source, "target": source, "token": "x", "position": place, "weight": weight}
                    for n, weight in enumerate(row)
                    if weight
                ],
            }
            for place, row in enumerate(weights)
        ],
    }


def ink(image: Any) -> float:
    """How far the picture is from white."""
    return float((255 - np.asarray(image.convert("L"), dtype=float)).sum())


def test_it_is_a_picture_that_notebooks_show(tmp_path: Any) -> None:
    image = draw_evidence(answer([[0.9, 0.1], [0.2, 0.7]]))
    assert image.size[0] > 200 and hasattr(image, "_repr_png_")
    image.save(tmp_path / "evidence.png")
    assert draw_evidence([answer([[0.9]])]).size[0] > 200, "what the pipeline gives for one source"


def test_more_tokens_and_pairs_make_a_larger_picture() -> None:
    small, wide = draw_evidence(answer([[0.5]])), draw_evidence(answer([[0.5]] * 12))
    tall, cut = draw_evidence(answer([[0.1] * 9])), draw_evidence(answer([[0.1] * 9]), rows=2)
    assert wide.size[0] > small.size[0] and tall.size[1] > cut.size[1] > small.size[1]


def test_the_heaviest_pairs_are_kept() -> None:
    """Three pairs of a weight of 0.3, and one of 0.02: the light one changes nothing in a picture of three rows."""
    heavy = answer([[0.3, 0.3, 0.3, 0.0]])
    more = answer([[0.3, 0.3, 0.3, 0.02]])
    for one in (heavy, more):
        one["evidence"][0]["pairs"] = one["evidence"][0]["pairs"]
    assert draw_evidence(heavy, rows=3).size == draw_evidence(more, rows=3).size
    assert draw_evidence(more, rows=4).size[1] > draw_evidence(more, rows=3).size[1]


def test_weights_are_seen() -> None:
    faint, full = draw_evidence(answer([[0.05, 0.05]])), draw_evidence(answer([[0.5, 0.5]]))
    assert faint.size == full.size and ink(faint) != ink(full)


@pytest.mark.parametrize("text", [None, "$x_1 costs $5", "a\nb\tc", "𝕏 " * 60])
def test_texts_of_any_kind_are_written(text: str | None) -> None:
    assert draw_evidence(answer([[0.5]], text)).size[0] > 200


@pytest.mark.filterwarnings("error")
def test_tokens_of_no_pair_are_drawn_as_well() -> None:
    assert draw_evidence(answer([[0.0], [0.0]])).size[0] > 200


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"generated_text": "der hund"}, InvalidInputError, "evidence=True"),
        ({"generated_text": "", "evidence": []}, InvalidInputError, "no token"),
        ([{}, {}], InvalidInputError, "2 answers"),
        ("der hund", InvalidTypeError, "type str"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        draw_evidence(given)
    with pytest.raises(InvalidInputError, match="rows"):
        draw_evidence(answer([[0.5]]), rows=0)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"mann_hf\[train\]"):
        draw_evidence(answer([[0.5]]))
