"""The memory as a map: stored keys in two dimensions, and the question among them."""

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import import_extra
from ..models import Entry, LabelledMemory
from ..persistent.entries import label_names
from .bounds import short

MOST_DRAWN = 1000
"""Points on a map; of a larger memory this many evenly spaced entries are drawn, and give the axes."""
COLOURS = ("#4c78dd", "#e08a00", "#e4572e", "#2a9d8f", "#8f5bd6", "#d6619f", "#6f9a2b", "#1f9fcf", "#a0714f", "#8a8f98")
SYMBOLS = (("circle", "●"), ("diamond", "◆"), ("square", "■"), ("triangle-up", "▲"), ("cross", "✚"))
LINE, LINES = 48, 5
"""Letters in a line, and lines, of the text that is shown under the pointer."""
MOST_LETTERS_OF_LABEL = 60
"""Letters of a label that are shown."""
MOST_LABELS_OF_POINT = 6
EMPTY = "Nothing is stored yet"
"""Shown in place of the map of an empty memory."""


class Mark(NamedTuple):
    """The look of a label's points: the colour, plotly's name of the symbol, and the symbol as a character."""

    colour: str
    symbol: str
    letter: str


UNLABELLED = Mark("#8a8f98", "circle-open", "○")
"""The mark of texts without a label."""
NO_LABEL = "(no label)"


def mark_of(column: int) -> Mark:
    """The mark of a label by its column in the memory; after the last colour they repeat with another symbol."""
    return Mark(COLOURS[column % len(COLOURS)], *SYMBOLS[column // len(COLOURS) % len(SYMBOLS)])


@dataclass(frozen=True)
class MemoryMap:
    """Two axes through a memory's keys: their first two principal components (PCA), in double precision.

    The axes depend only on the keys, and the largest coordinate of each is positive, so that the map of a memory is
    always the same.

    Attributes:
        memory: the memory.
        center: [K], the mean key.
        axes: [K, 2].
        drawn: the slots of the entries that are drawn.
    """

    memory: LabelledMemory
    center: Tensor
    axes: Tensor
    drawn: tuple[int, ...]

    @classmethod
    def of(cls, memory: LabelledMemory) -> "MemoryMap":
        """The map of a memory, which may be empty."""
        count = len(memory)
        places = torch.arange(count)
        if count > MOST_DRAWN:
            places = torch.linspace(0, count - 1, MOST_DRAWN).long()
        drawn = memory.slots.cpu()[places].tolist()
        keys = memory.state.keys[0, drawn].double().cpu()
        center = keys.mean(0) if count else keys.new_zeros(keys.shape[1])
        return cls(memory, center, principal_axes(keys - center), tuple(drawn))

    def place(self, keys: Tensor) -> Tensor:
        """The places of keys [N, K] on the map, [N, 2]."""
        return (keys.double().cpu() - self.center) @ self.axes

    def figure(
        self, noun: str, question: str | None = None, key: Tensor | None = None, behind: Sequence[int] = ()
    ) -> Any:
        """The map as a plotly figure.

        Texts and labels are escaped: they may come from strangers, and plotly reads some HTML.

        Args:
            noun: what an input is called.
            question: the text that was asked about; empty for other inputs.
            key: its key [K].
            behind: slots of the entries behind its answer, the most important first; a line leads to each.
        """
        go = import_extra("plotly.graph_objects", "the live page", "demo")
        slots = sorted({*self.drawn, *behind})
        places = self.place(self.memory.state.keys[0, slots]).tolist()
        where = dict(zip(slots, places, strict=True))
        figure = go.Figure(layout=_layout(go))
        if not slots:
            figure.add_annotation(
                x=0.5, y=0.5, xref="paper", yref="paper", text=EMPTY, showarrow=False, font={"size": 15}
            )
        asked = self.place(key[None])[0].tolist() if key is not None else None
        if asked is not None:
            for rank, slot in enumerate(behind):
                (x, y), (to_x, to_y) = asked, where[slot]
                line = {"color": "#8a8f98", "width": max(1.0, 3.5 - rank * 0.7)}
                figure.add_scatter(x=[x, to_x], y=[y, to_y], mode="lines", line=line, hoverinfo="skip")
        if slots:  # in one trace, as each takes plotly milliseconds; those behind the answer on top
            slots.sort(key=lambda slot: slot in behind)
            marks = _marks(self.memory, slots)
            figure.add_scatter(
                x=[where[slot][0] for slot in slots],
                y=[where[slot][1] for slot in slots],
                mode="markers",
                marker={
                    "color": [mark.colour for mark in marks],
                    "symbol": [mark.symbol for mark in marks],
                    "size": [13 if slot in behind else 9 for slot in slots],
                    "opacity": [1.0 if slot in behind or asked is None else 0.6 for slot in slots],
                    "line": {"width": 1, "color": "rgba(255, 255, 255, 0.7)"},
                },
                hovertext=[_hover_text(self.memory.entry(slot), noun) for slot in slots],
                hoverinfo="text",
            )
        if asked is not None:
            figure.add_scatter(
                x=[asked[0]],
                y=[asked[1]],
                mode="markers",
                marker={"symbol": "star", "size": 20, "color": "#facc15", "line": {"width": 1.5, "color": "#713f12"}},
                hovertext=[f"<b>your {noun}</b><br>{_lines(question or '')}"],
                hoverinfo="text",
            )
            figure.add_annotation(
                x=asked[0],
                y=asked[1],
                yshift=24,
                text=f"your {noun}",
                showarrow=False,
                bgcolor="rgba(39, 39, 42, 0.85)",
                borderpad=3,
                font={"color": "#fafafa", "size": 12},
            )
        return figure


def principal_axes(centred: Tensor) -> Tensor:
    """The first two principal directions [K, 2] of centred keys [N, K].

    If the keys vary in fewer than two directions, any others follow. The largest coordinate of each is positive.
    """
    centred = F.pad(centred, (0, 0, 0, max(0, 2 - len(centred))))
    if len(centred) < centred.shape[1]:  # the smaller of the two products
        _, vectors = torch.linalg.eigh(centred @ centred.T)
        directions = centred.T @ vectors[:, -2:].flip(1)
    else:
        _, vectors = torch.linalg.eigh(centred.T @ centred)
        directions = vectors[:, -2:].flip(1)
    axes = torch.linalg.qr(directions).Q
    return axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()


def _marks(memory: LabelledMemory, slots: list[int]) -> list[Mark]:
    """The marks of entries: those of their first labels."""
    columns = {label: column for column, label in enumerate(memory.labels)}
    names = [label_names(memory.entry(slot).label) for slot in slots]
    return [mark_of(columns[one[0]]) if one else UNLABELLED for one in names]


def _layout(go: Any) -> Any:
    axis = {"visible": False, "showgrid": False, "zeroline": False}
    return go.Layout(
        height=430,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        showlegend=False,
        dragmode=False,  # or a finger that scrolls the page over the map would move the map
        hovermode="closest",
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        font={"family": "system-ui, sans-serif", "color": "#7c828d"},
        hoverlabel={"bgcolor": "#27272a", "bordercolor": "#52525b", "font": {"color": "#fafafa", "size": 13}},
        xaxis=axis,
        yaxis={**axis, "scaleanchor": "x"},
    )


def _hover_text(entry: Entry, noun: str) -> str:
    text = entry.text if entry.text is not None else f"(its {noun} was not stored)"
    names = label_names(entry.label)[:MOST_LABELS_OF_POINT]
    labels = ", ".join(short(label, MOST_LETTERS_OF_LABEL) for label in names) or NO_LABEL
    return f"<b>{_lines(labels)}</b><br>{_lines(text)}"


def _lines(text: str) -> str:
    """A text in a few short lines, escaped for plotly."""
    lines = textwrap.wrap(text[: LINE * (LINES + 1)], LINE, max_lines=LINES, placeholder=" …")
    return "<br>".join(html.escape(line, quote=False) for line in lines)
