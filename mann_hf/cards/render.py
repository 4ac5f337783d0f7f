"""Renders the card of a model or a memory as Markdown with metadata."""

import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.utils import yaml_dump

from ..hub_names import is_hub_name, is_owned_name
from ..wording import counted, with_article
from .data import EvaluationResult, MANNModelCardData, TrainingData
from .facts import LIBRARY, CardFacts

TEMPLATES = Path(__file__).with_name("templates")
MODEL_MARK = (
    "<!-- mann_hf writes this model card anew at each save and push: remove this line to keep your own text. -->"
)
MEMORY_MARK = "<!-- mann_hf writes this memory card anew at each push: remove this line to keep your own text. -->"
TAGS = ("few-shot-learning", "memory-augmented-neural-network")
MOST_LABELS = 500
"""Largest number of rows in the table of labels."""
WIDGETS = 5
"""Largest number of examples in the Hub's widget."""
LONGEST = 200
"""Largest number of letters of an example in the card."""
SHARES = {"accuracy", "f1", "macro_f1", "precision", "recall", "expected_calibration_error"}
"""Metrics that are shown in percent."""
TITLES = {"f1": "F1", "macro_f1": "macro F1", "unknown_auroc": "AUROC of unknown {noun}s"}
"""Names of metrics for readers, where they differ; `{noun}` is what an input is called."""
ON_HUB = {"macro_f1": "f1", "unknown_auroc": "roc_auc", "mean_squared_error": "mse", "mean_absolute_error": "mae"}
"""The Hub's names of metrics, where they differ."""


def model_card(facts: CardFacts, card_data: MANNModelCardData | None = None) -> str:
    """Renders the card of a model, its `README.md`.

    Args:
        facts: facts of the model.
        card_data: further facts, which the model does not show.
    """
    card_data = card_data or MANNModelCardData()
    return _card(facts.model_template, MODEL_MARK, _metadata(facts, card_data), facts, card_data)


def memory_card(facts: CardFacts, loaded_by: str | None, card_data: MANNModelCardData | None = None) -> str:
    """Renders the card of a memory that is published alone.

    Args:
        facts: facts of the model whose memory it is; `place` is that of the memory.
        loaded_by: the Python expression for a model with the encoder of this memory; None if others cannot load it.
        card_data: further facts; training and results belong to the model and are left out.
    """
    card_data = card_data or MANNModelCardData()
    data = ModelCardData(
        language=card_data.language,
        license=card_data.license,
        library_name=LIBRARY,
        tags=[*TAGS, "memory", *card_data.tags],
        datasets=card_data.datasets or None,
        base_model=facts.encoder_on_hub,
    )
    return _card(facts.memory_template, MEMORY_MARK, data, facts, card_data, loaded_by=loaded_by)


def results_file(card_data: MANNModelCardData, place: str, noun: str) -> str | None:
    """The results in the format of `.eval_results/*.yaml`; None if no data set has a name on the Hub.

    Args:
        card_data: the card data with the results.
        place: the name of the repository, which becomes the source of the results.
        noun: what an input is called.
    """
    entries = []
    for result in card_data.results:
        if result.dataset_id is None:
            continue
        dataset = {"id": result.dataset_id, "task_id": _slug(f"{result.task} {result.metric}".strip())}
        if result.dataset_revision is not None:
            dataset["revision"] = result.dataset_revision
        entry: dict[str, Any] = {"dataset": dataset, "value": _rounded(result.value)}
        if result.date is not None:
            entry["date"] = result.date
        if is_owned_name(place):
            entry["source"] = {"url": f"https://huggingface.co/{place}", "name": "Model card"}
        interval = ""
        if result.interval is not None:
            interval = f"95 % interval ± {_rounded(result.interval)}"
        elif result.ends is not None:
            interval = f"95 % interval {' to '.join(str(_rounded(end)) for end in result.ends)}"
        entry["notes"] = "; ".join(filter(None, [_metric(result, noun), result.task, interval]))
        entries.append(entry)
    return yaml_dump(entries, sort_keys=False) if entries else None


def merged(card: str, before: str | None) -> str | None:
    """Merges a new card with one that exists.

    Metadata that only the old card has, such as the license, are kept.

    Args:
        card: the new card.
        before: the card that exists; None if there is none.

    Returns:
        The card to write; None if the old one stays, because a user wrote it, or because it is the card of a model and
        the new one of a memory.
    """
    if before is None:
        return card
    if is_own(before) or (MEMORY_MARK in card and MODEL_MARK in before):
        return None
    old_data, _ = _split(before)
    data, text = _split(card)
    rendered = {"model-index", "widget", "metrics", "datasets", "base_model", "base_model_relation", "pipeline_tag"}
    kept = {name: value for name, value in old_data.items() if name not in rendered and name not in data}
    if isinstance(old_data.get("tags"), list):
        data["tags"] = list(dict.fromkeys([*data["tags"], *map(str, old_data["tags"])]))
    return f"---\n{yaml_dump({**kept, **data}, sort_keys=False)}---\n{text}"


def is_own(card: str | None) -> bool:
    """Whether a user wrote the text of a card."""
    text = _split(card or "")[1]
    return bool(text.strip()) and MODEL_MARK not in text and MEMORY_MARK not in text


def _split(card: str) -> tuple[dict[str, Any], str]:
    """Metadata and text of a card; the metadata are empty if they cannot be read."""
    found = re.match(r"\A\s*---\r?\n(.*?)^---[ \t]*\r?\n?", card, re.DOTALL | re.MULTILINE)
    if found is None:
        return {}, card
    try:
        data = yaml.safe_load(found[1])
    except yaml.YAMLError:
        data = None
    return (data if isinstance(data, dict) else {}), card[found.end() :]


def _card(
    template: str, mark: str, data: ModelCardData, facts: CardFacts, card_data: MANNModelCardData, **more: Any
) -> str:
    more |= {"mark": mark, "facts": facts, "card_data": card_data, "name": _name(facts, card_data)}
    text = _templates().get_template(template).render(most_labels=MOST_LABELS, **more)
    text = re.sub(r"\n{3,}", "\n\n", text.strip())  # where parts are left out
    return f"---\n{data.to_yaml()}\n---\n\n{text}\n"


def _name(facts: CardFacts, card_data: MANNModelCardData) -> str:
    return card_data.model_name or Path(facts.place).name


def _metadata(facts: CardFacts, card_data: MANNModelCardData) -> ModelCardData:
    task = facts.task_type
    task_name = task.replace("-", " ").capitalize()  # one for all figures of a data set; what was asked names them
    training = card_data.training.data if card_data.training is not None else []
    datasets = dict.fromkeys([*card_data.datasets, *(each.dataset_id for each in training if each.dataset_id)])
    results = [
        EvalResult(
            task_type=task,
            task_name=task_name,
            dataset_type=result.dataset_id or _slug(result.dataset),
            dataset_name=result.dataset,
            dataset_split=result.dataset_split,
            dataset_revision=result.dataset_revision,
            metric_type=ON_HUB.get(result.metric, result.metric),
            metric_name=", ".join(filter(None, [_metric(result, facts.noun), result.task])),
            metric_value=_rounded(result.value),
            metric_args=_interval(result),
        )
        for result in card_data.results
    ]
    asked = [(_one_line(text), _short(_one_line(label))) for text, label in facts.widgets[:WIDGETS]]
    further: dict[str, Any] = {}
    if asked:
        further["widget"] = [{"text": text, "example_title": label} for text, label in asked]
    if facts.adapter is not None:
        further["base_model_relation"] = "adapter"
    return ModelCardData(
        language=card_data.language,
        license=card_data.license,
        library_name=LIBRARY,
        pipeline_tag=facts.task,
        tags=[*TAGS, *card_data.tags],
        base_model=facts.base_on_hub,
        datasets=list(datasets) or None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=_name(facts, card_data) if results else None,
        eval_results=results or None,
        **further,
    )


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # this is Markdown, whose signs the filters below escape
    )
    environment.filters |= {
        "code": code,
        "plain": plain,
        "counted": counted,
        "with_article": with_article,
        "markdown": markdown,
        "python": lambda text: json.dumps(_one_line(text), ensure_ascii=False),  # a Python string as well
        "shell": _shell,
        "figure": _figure,
        "metric": _metric,
        "minutes": _minutes,
        "dataset": _dataset,
    }
    return environment


def code(text: str) -> str:
    """Any text as a code span that can be in a table."""
    text = _short(_one_line(text)) or " "
    if "\\|" in text:  # readers differ on which of the two signs is escaped
        return plain(text)
    text = text.replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def plain(text: Any) -> str:
    """Any text as plain text in a paragraph or a table: Markdown and HTML in it are escaped."""
    text = _short(_one_line(str(text))).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~!$])", r"\\\1", text)


def markdown(text: str) -> str:
    """A text in Markdown, without HTML and invisible characters."""
    lines = ("".join(letter if letter.isprintable() else " " for letter in line) for line in text.splitlines())
    return "\n".join(lines).replace("<", "&lt;")


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "default"


def _rounded(value: int | float) -> int | float:
    return round(value, 4)


def _interval(result: EvaluationResult) -> dict[str, Any] | None:
    if result.ends is not None:
        return {"ci95": [_rounded(end) for end in result.ends]}
    return None if result.interval is None else {"ci95": _rounded(result.interval)}


def _metric(result: EvaluationResult, noun: str) -> str:
    title = TITLES.get(result.metric)
    return result.metric.replace("_", " ") if title is None else title.format(noun=noun)


def _figure(
    value: int | float | None,
    metric: str,
    interval: int | float | None = None,
    ends: list[int | float] | None = None,
) -> str:
    """A figure with its interval, for readers; shares in percent."""
    if value is None:
        return ""
    scale, digits, unit = (100, ".1f", " %") if metric in SHARES else (1, ".3g", "")
    around = "" if interval is None else f" ± {scale * interval:{digits}}"
    if ends is not None:
        around = f" ({' to '.join(f'{scale * end:{digits}}' for end in ends)})"
    return f"{scale * value:{digits}}{around}{unit}"


def _shell(text: str) -> str:
    quoted = shlex.quote(_one_line(text))
    return f"-- {quoted}" if text.lstrip().startswith("-") else quoted


def _dataset(data: TrainingData) -> str:
    if data.dataset_id is None or not is_hub_name(data.dataset_id):
        return plain(data.name)
    return f"[{plain(data.name)}](https://huggingface.co/datasets/{data.dataset_id})"


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
