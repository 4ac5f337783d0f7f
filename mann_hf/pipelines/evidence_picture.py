"""A picture of the stored pairs behind each token of a generated text."""

import io
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInputError, InvalidTypeError, import_extra
from ..wording import at_least

ROWS = 12
"""Pairs in a picture: those with the most weight."""
LONGEST = 60
"""Letters of a pair's text beside its row."""
FEATURE = "drawing evidence"


def draw_evidence(answer: Any, *, rows: int = ROWS) -> Any:
    """A picture of which stored pairs stand behind each token of an answer.

    Each column is a token that was generated, each row a stored pair, and the darker a field the more of the token
    comes from that pair; the lowest row is what the wrapped model itself adds. Letters in a field are the token of the
    pair that was read.

    Args:
        answer: one answer of the pipeline that was called with `evidence`, or the list of one that it gives.
        rows: the most pairs to draw, those with the largest weights.

    Returns:
        An image of PIL: a notebook shows it, and `save` writes it.

    Raises:
        InvalidInputError: the answer has no evidence, or several answers came.
        InvalidTypeError: it is no answer.
        MissingExtraError: matplotlib is not installed.
    """
    rows = at_least("rows", rows)
    explained = _explained(answer)
    figures = import_extra("matplotlib.figure", FEATURE, "train")
    image = import_extra("PIL.Image", FEATURE, "train")
    pairs = _heaviest(explained, rows)
    places = {id_: place for place, id_ in enumerate(pairs)}
    figure = figures.Figure(figsize=(3.2 + 0.75 * max(len(explained), 4), 1.4 + 0.42 * (len(pairs) + 1)), dpi=120)
    axes = figure.add_subplot()
    shades = [[0.0] * len(explained) for _ in range(len(pairs) + 1)]
    letters: dict[tuple[int, int], str] = {}
    for column, token in enumerate(explained):
        for pair in token["pairs"]:
            if (place := places.get(pair["id"])) is not None:
                shades[place][column] += pair["weight"]
                letters.setdefault((place, column), pair["token"] or "")
        shades[-1][column] = max(0.0, 1.0 - sum(pair["weight"] for pair in token["pairs"]))
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (place, column), text in letters.items():
        dark = shades[place][column] > 0.6
        axes.text(column, place, _plain(text, 10), ha="center", va="center", color="white" if dark else "black", size=7)
    axes.set_xticks(range(len(explained)), [_plain(token["token"], 14) for token in explained], rotation=45, ha="right")
    axes.set_yticks(range(len(pairs) + 1), [*(_titled(pair) for pair in pairs.values()), "the rest"], size=8)
    axes.set_xlabel("generated token")
    figure.tight_layout()
    written = io.BytesIO()
    figure.savefig(written, format="png")
    made = image.open(written)
    made.load()
    return made


def _explained(answer: Any) -> list[dict[str, Any]]:
    """The tokens of an answer with what stands behind each."""
    if isinstance(answer, list | tuple):
        if len(answer) != 1:
            raise InvalidInputError(f"{len(answer)} answers came; give one of them.")
        answer = answer[0]
    if not isinstance(answer, Mapping):
        raise InvalidTypeError(f"something of type {type(answer).__name__} came; give an answer of the pipeline.")
    if "evidence" not in answer:
        raise InvalidInputError("the answer has no evidence; call the pipeline with evidence=True.")
    if not answer["evidence"]:
        raise InvalidInputError("the answer has no token, so there is nothing to draw.")
    return list(answer["evidence"])


def _heaviest(explained: list[dict[str, Any]], most: int) -> dict[int, dict[str, Any]]:
    """The pairs with the largest weights over all tokens, by their ids, in the order in which they were first read."""
    weights: dict[int, float] = {}
    pairs: dict[int, dict[str, Any]] = {}
    for token in explained:
        for pair in token["pairs"]:
            pairs.setdefault(pair["id"], pair)
            weights[pair["id"]] = weights.get(pair["id"], 0.0) + pair["weight"]
    kept = sorted(weights, key=lambda id_: -weights[id_])[:most]
    return {id_: pair for id_, pair in pairs.items() if id_ in kept}


def _titled(pair: Mapping[str, Any]) -> str:
    """A pair's texts, or its id where the memory keeps none."""
    if pair["source"] is None:
        return f"pair {pair['id']}"
    return f"{_plain(pair['source'], LONGEST // 2)} → {_plain(pair['target'] or '', LONGEST // 2)}"


def _plain(text: str, most: int) -> str:
    """A text on one line, cut where it is long, in which $ begins no formula."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return (text if len(text) <= most else f"{text[: most - 1]}…").replace("$", r"\$")
