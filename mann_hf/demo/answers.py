"""What the page shows, as HTML. Texts and labels may come from strangers, so every one of them is escaped here."""

import html
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..errors import InvalidInputError
from ..models import Entry, LabelledMemory
from ..persistent.entries import label_names
from ..targets.kinds import targets_of
from ..wording import counted
from .bounds import MOST_LETTERS_SENT, called, short
from .map import MOST_DRAWN, MOST_LETTERS_OF_LABEL, NO_LABEL, mark_of

MOST_LETTERS = 300
"""Of a text that is shown."""
MOST_LABELS = 60
"""Labels that are listed."""
MOST_CHIPS = 12
"""Labels of one example that are shown."""

MOST_CHOICES = 500
"""Labels that are offered to choose from."""
KNOWN_LABELS = "mh-known-labels"
"""The id of the list that offers them."""

Answer = dict[str, Any]


def shown(text: str | None) -> str:
    """A text from outside in its own direction of writing, cut if it is long."""
    if text is None:
        return '<i class="mh-quiet">its text was not stored</i>'
    return f'<bdi dir="auto">{html.escape(short(text, MOST_LETTERS))}</bdi>'


def named(label: str) -> str:
    """A label in its own direction of writing, cut if it is long; then more of it stands under the pointer."""
    cut = short(label, MOST_LETTERS_OF_LABEL)
    whole = f' title="{_sent(label)}"' if cut != label else ""
    return f'<bdi dir="auto"{whole}>{html.escape(cut)}</bdi>'


def _sent(label: str) -> str:
    """What of a label is sent for the browser to send back; see `called`."""
    return html.escape(label[:MOST_LETTERS_SENT])


def header(title: str, memory: LabelledMemory, encoder: str | None, reading: str) -> str:
    """The page's title, what it is, and what the classifier is made of."""
    facts = {
        "encoder": shown(encoder or "without a name"),
        "reading": shown(reading),
        "holds": f"{counted(len(memory), 'example')} of {counted(len(memory.labels), 'label')}",
    }
    listed = "".join(f"<span><b>{name}</b> {value}</span>" for name, value in facts.items())
    return (
        f'<h1>{shown(title)}</h1><p class="mh-lead">Ask a text classifier, see which stored examples decided, and '
        f'change its mind: teach it or make it forget, without training.</p><p class="mh-facts">{listed}</p>'
    )


def invitation(memory: LabelledMemory, questions: Sequence[str]) -> str:
    """What stands where an answer will be."""
    if not len(memory):
        return '<p class="mh-quiet">The memory is empty. Teach a first example below, then ask.</p>'
    if not questions:
        return '<p class="mh-quiet">Type a text and press Enter.</p>'
    buttons = "".join(
        f'<button type="button" data-ask="{html.escape(text)}">{shown(text)}</button>' for text in questions
    )
    return (
        f'<p class="mh-quiet">Type a text and press Enter, or try one of these:</p><div class="mh-try">{buttons}</div>'
    )


def answer(
    ranked: list[Answer],
    memory: LabelledMemory,
    problem_type: str,
    reading: str,
    cut: tuple[int, int] | None = None,
) -> str:
    """An answer: the label, the scores of the best labels as bars, and the evidence for the first.

    Args:
        ranked: the answers of the pipeline, best first.
        memory: that was read.
        problem_type: what labels are.
        reading: its name.
        cut: how many tokens the text has, and how many of them were read, where that is not all.
    """
    targets = targets_of(problem_type)
    chosen = targets.chosen(ranked)
    names = ", ".join(named(one["label"]) for one in chosen) or '<span class="mh-quiet">no label above 50 %</span>'
    bars = "".join(_bar(one, memory) for one in ranked)
    caution = f'<p class="mh-notice mh-caution" role="status">{shortened(*cut)}</p>' if cut else ""
    heading = f'<span class="mh-quiet">{"Labels" if targets.several else "Label"}</span> <b>{names}</b>'
    return (
        f'{caution}<p class="mh-label" role="status">{heading}</p>'
        f'<ul class="mh-scores" aria-label="Scores of the best labels">{bars}</ul>'
        + "".join(_evidence(one, memory, reading) for one in chosen or ranked[:1])
    )


def _bar(one: Answer, memory: LabelledMemory) -> str:
    colour = mark_of(memory.labels.index(one["label"])).colour if one["label"] in memory.labels else "currentColor"
    return (
        f'<li><span class="mh-name">{named(one["label"])}</span><span class="mh-track" aria-hidden="true">'
        f'<span style="width:{100 * one["score"]:.2f}%;background:{colour}"></span></span>'
        f'<span class="mh-number">{one["score"]:.1%}</span></li>'
    )


def _evidence(one: Answer, memory: LabelledMemory, reading: str) -> str:
    """The stored texts behind a label with their weights, and their sum."""
    weights = [part["weight"] for part in one["evidence"]]
    most = max(map(abs, [*weights, one["rest"]]), default=0) or 1
    rows = "".join(_row(_weight(part["weight"], most), part, memory) for part in one["evidence"])
    what = "score" if reading == "attention" else "logit"
    return (
        f'<table class="mh-evidence"><caption>Why {named(one["label"])}: the stored examples that decided</caption>'
        '<thead><tr><th scope="col">adds</th><th scope="col">stored text</th>'
        '<th scope="col"><span class="mh-hidden">forget it</span></th></tr></thead>'
        f'<tbody>{rows}<tr class="mh-quiet">{_weight(one["rest"], most)}<td colspan="2">everything else</td></tr>'
        "</tbody>"
        f'<tfoot><tr><td class="mh-number">{sum(weights) + one["rest"]:+.2f}</td><td colspan="2">is the {what} of '
        f"{named(one['label'])}</td></tr></tfoot></table>"
    )


def _weight(weight: float, most: float) -> str:
    side = "mh-against" if weight < 0 else "mh-for"
    return (
        f'<td class="mh-number"><div class="mh-amount"><span aria-hidden="true"><span class="mh-weight {side}" '
        f'style="width:{100 * abs(weight) / most:.1f}%"></span></span><span>{weight:+.2f}</span></div></td>'
    )


def _row(weight: str, part: dict[str, Any], memory: LabelledMemory) -> str:
    slot = memory.ids.get(part["id"])
    if slot is None:
        return (
            f'<tr>{weight}<td colspan="2">{named(part["text"] or "")} <small>the label\'s own words</small></td></tr>'
        )
    entry = memory.entry(slot)
    kind = " <small>a description</small>" if entry.kind == "description" else ""
    return f"<tr>{weight}<td>{shown(entry.text)}{kind}</td><td>{_forget_button(entry)}</td></tr>"


def _forget_button(entry: Entry) -> str:
    what = html.escape((entry.text or "an example")[:60])
    return f'<button type="button" data-forget="{entry.id}" aria-label="Forget: {what}">Forget</button>'


def stored(memory: LabelledMemory, wanted: str, most: int) -> str:
    """The stored examples that hold some words, in their text or label, newest first.

    Args:
        memory: where they are stored.
        wanted: the words; all examples if empty.
        most: how many are shown.
    """
    words = wanted.strip().casefold()
    found, count = _found(memory, words, most)
    if not found:
        return (
            f'<p class="mh-quiet">{"Nothing is stored yet." if not len(memory) else "No stored example has that."}</p>'
        )
    labels = {label: column for column, label in enumerate(memory.labels)}
    rows = "".join(
        f"<li><span>{_chips(entry, labels) or NO_LABEL} {shown(entry.text)}"
        f"{' <small>a description</small>' if entry.kind == 'description' else ''}</span>{_forget_button(entry)}</li>"
        for entry in found
    )
    more = f'<p class="mh-quiet">{most} of {counted(count, "example")}; type to find others.</p>'
    return f'<ul class="mh-stored">{rows}</ul>{more if count > most else ""}{_forget_whole(wanted, memory)}'


def _found(memory: LabelledMemory, words: str, most: int) -> tuple[list[Entry], int]:
    """The newest entries that hold words, folded in case, and how many hold them."""
    if not words:
        return list(memory.entries[: -most - 1 : -1]), len(memory)
    labels = {label for label in memory.labels if words in label.casefold()}
    found, count = [], 0
    for entry in reversed(memory.entries):
        if words in (entry.text or "").casefold() or not labels.isdisjoint(label_names(entry.label)):
            count += 1
            if count <= most:
                found.append(entry)
    return found, count


def _forget_whole(wanted: str, memory: LabelledMemory) -> str:
    """A button to forget a label, if its name is what is looked for."""
    try:
        name = called(wanted, memory.labels) or called(wanted.strip(), memory.labels)
    except InvalidInputError:
        name = None
    if name is None:
        return ""
    count = sum(name in label_names(entry.label) for entry in memory.entries)
    return (
        f'<button type="button" class="mh-whole" data-forget-label="{_sent(name)}">Forget the label '
        f"{named(name)} and its {counted(count, 'example')}</button>"
    )


def _chips(entry: Entry, columns: dict[str, int]) -> str:
    names = label_names(entry.label)
    more = f" <small>and {len(names) - MOST_CHIPS:,} more labels</small>" if len(names) > MOST_CHIPS else ""
    return "".join(_chip(label, columns[label]) for label in names[:MOST_CHIPS]) + more


def _chip(label: str, column: int) -> str:
    mark = mark_of(column)
    return (
        f'<span class="mh-chip"><span style="color:{mark.colour}" aria-hidden="true">{mark.letter}</span> '
        f"{named(label)}</span>"
    )


def legend(memory: LabelledMemory) -> str:
    """The labels with their marks on the map and how often they are stored; a click finds their examples.

    With it comes the list from which the label of a new example can be chosen.
    """
    counts = Counter(label for entry in memory.entries for label in label_names(entry.label))
    chips = "".join(
        f'<button type="button" data-find="{_sent(label)}">{_chip(label, column)} {counts[label]:,}</button>'
        for column, label in enumerate(memory.labels[:MOST_LABELS])
    )
    notes = ["Each point is a stored example, and near ones are alike to the encoder; the star is your text."]
    if len(memory.labels) > MOST_LABELS:
        notes.append(f"{len(memory.labels) - MOST_LABELS:,} more labels are not listed.")
    if len(memory) > MOST_DRAWN:
        notes.append(f"The map shows {MOST_DRAWN:,} of {len(memory):,} examples, evenly chosen.")
    note = f'<p class="mh-quiet mh-map-note">{" ".join(notes)}</p>' if len(memory) else ""
    choices = "".join(f'<option value="{_sent(label)}"></option>' for label in memory.labels[:MOST_CHOICES])
    return (
        f'{note}<div class="mh-legend" role="group" aria-label="Labels on the map">{chips}</div>'
        f'<datalist id="{KNOWN_LABELS}">{choices}</datalist>'
    )


def shortened(tokens: int, read: int) -> str:
    """Says that of a text only the beginning counts."""
    return (
        f"The text is long: only its beginning counts, {read:,} of its {tokens:,} tokens (words and pieces of words)."
    )


def notice(message: str, is_problem: bool = False) -> str:
    """A message under what was tried; a screen reader says it, a problem at once."""
    kind, role = ("mh-problem", "alert") if is_problem else ("mh-done", "status")
    return f'<p class="mh-notice {kind}" role="{role}">{html.escape(message)}</p>' if message else ""
