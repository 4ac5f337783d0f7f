"""`mann-hf evaluate`: compares a classifier's answers with the labels of a table."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidInputError
from ..targets import known_as
from ..wording import counted, listed
from . import options as opt
from .classifier import find_config, only_writer, open_classifier, problem_type_of
from .modalities import modality_of
from .output import print_json, print_lines, printable, progress_bar, say, working
from .scores import calibration_error, label_scores, regression_scores, score_interval
from .tables import Table as TableOfInputs
from .tables import checked, examples_of, read_table
from .tables.hints import in_one_case, say_alike_stored

NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "expected_calibration_error": "expected calibration error",
    "mean_absolute_error": "mean absolute error",
    "mean_squared_error": "mean squared error",
    "r2": "R²",
}
"""The keys of the figures in the JSON document, as they are printed for people."""
MEASURED_BY = "mann-hf evaluate"
WIDE = 10_000
"""Width of a table that is not printed on a terminal: no label is cut."""


@opt.reads_table("test")
def evaluate(
    folder: opt.FolderOrHub,
    table: opt.Table,
    *,
    per_label: Annotated[
        bool, typer.Option("--per-label", help="Also show precision, recall and F1 of each label.")
    ] = False,
    to_card: Annotated[
        bool, typer.Option("--to-card", help="Also write the figures into the folder's model card.")
    ] = False,
    options: opt.TableOptions,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Evaluate a classifier on a table of labelled texts or images.

    Shows accuracy, macro F1 over all labels of the table and the answers, and the expected calibration error in 15
    bins. Where an input may have several labels, an answer is right if all its labels are right, and the calibration
    error is over the scores of all labels. For a regression: mean absolute error, mean squared error and R².

    A note says how many of the inputs were taught: figures on those do not tell how new ones are answered.
    """
    with ExitStack() as stack:
        if to_card:
            find_config(folder, on_hub=False)  # before the lock makes the folder
            stack.enter_context(only_writer(folder))  # the card describes the memory that was evaluated
        config = find_config(folder, on_hub=not to_card)
        problem_type, kind = problem_type_of(config), modality_of(config, folder)
        schema = opt.schema_of(problem_type)
        if per_label and not schema.named:
            raise typer.BadParameter("a regression has numbers and no labels.", param_hint="--per-label")
        found = read_table(table, options, "test", inputs=(kind,))
        examples = examples_of(found, problem_type, options.skip_bad_rows)
        with working():
            classifier = open_classifier(folder, kind, taught=True)
            memory, processor = classifier.model.memory, classifier.input_processor
            examples, given = checked(found, examples, processor.check, options.skip_bad_rows)
            truth = examples.labels
            taught = _count_taught(processor.contents(given), memory)
            _say_taught(found, taught, len(given))
            with progress_bar("Answering", len(given)) as progress:
                answers = classifier(given, progress=progress, evidence=0, top_k=1 if schema.exclusive else None)
        chosen = [schema.chosen(ranked, classifier.model.config.label2id) for ranked in answers]
        report: dict[str, Any] = {f"{kind}s": len(given)}
        if schema.named:
            names = [[label] for label in truth] if schema.exclusive else truth
            report |= _label_report(found, names, answers, chosen, memory.labels, per_label)
        else:
            report |= _number_report(found, truth, chosen, folder)
        report[f"{kind}s_in_memory"] = taught
        if to_card:
            _add_to_card(classifier, folder, found, report)
    if as_json:
        print_json(report)
        return
    _print(report, kind)


def _count_taught(contents: Sequence[str | None], memory: Any) -> int | None:
    """Number of inputs that the memory holds, texts in upper or lower case; None if it stores none."""
    stored = {in_one_case(entry.text) for entry in memory.entries if entry.text is not None}
    return sum(in_one_case(content or "") in stored for content in contents) if stored else None


def _say_taught(table: TableOfInputs, taught: int | None, count: int) -> None:
    if taught:
        say(
            f"{table.source}: {taught:,} of {counted(count, table.kind)} {'is' if taught == 1 else 'are'} in the "
            f"memory, where answers are mostly right; for figures that hold for new {table.kind}s, evaluate on "
            f"{table.kind}s that were not taught."
        )


def _add_to_card(classifier: Any, folder: str, table: TableOfInputs, report: dict[str, Any]) -> None:
    """Adds the figures to the facts of the card, and writes the folder's card again."""
    from ..cards import EvaluationResult
    from ..cards.render import MODEL_MARK
    from ..hub.files import CARD, card_in
    from ..models.folder_saves import save_cards

    kind, count, taught = table.kind, report[f"{table.kind}s"], report[f"{table.kind}s_in_memory"]
    task = f"answers from {counted(len(classifier.model.memory), f'stored {kind}')}"
    if taught:
        task += f", {taught:,} of the {counted(count, kind)} asked about among them"
    results = [
        EvaluationResult(
            metric=name,
            value=report[name],
            dataset=table.name,
            task=task,
            ends=list(score_interval(report[name], count)) if name == "accuracy" else None,
            count=count,
            dataset_id=table.dataset_id,
            dataset_split=table.split,
            date=date.today().isoformat(),
            measured_by=MEASURED_BY,
        )
        for name in NAMES
        if report.get(name) is not None
    ]
    classifier.model.model_card_data.replace_results(MEASURED_BY, results, table.name, table.split)
    save_cards(classifier.model, folder)
    if MODEL_MARK in (card_in(folder) or ""):
        say(f"The figures are in the card, {Path(folder, CARD)}.")
    else:
        say(f"{folder} has a card of your own, which stays as it is; the figures are in model_card.json.")


def _label_report(
    table: TableOfInputs,
    truth: list[Any],
    answers: list[Any],
    given: list[list[Any]],
    labels: Sequence[str],
    per_label: bool,
) -> dict[str, Any]:
    """The figures of a classifier, from the labels of each input, all outputs for it, and those that answer for it."""
    as_stored = known_as(chain.from_iterable(truth), labels)
    say_alike_stored(table, as_stored.values(), labels)
    truth = [[as_stored[label] for label in each] for each in truth]
    named = [[answer["label"] for answer in each] for each in given]
    ranked = [(answer, right) for right, outputs in zip(truth, answers, strict=True) for answer in outputs]
    confidences = [answer["score"] for answer, _ in ranked]
    scores, known = label_scores(truth, named), set(labels)
    return {
        "accuracy": sum(set(t) == set(g) for t, g in zip(truth, named, strict=True)) / len(truth),
        "macro_f1": sum(score.f1 for score in scores.values()) / len(scores),
        "expected_calibration_error": calibration_error(
            confidences, [answer["label"] in right for answer, right in ranked]
        ),
        **({"per_label": {label: score.shown(table.kind) for label, score in scores.items()}} if per_label else {}),
        "unknown_labels": [label for label in dict.fromkeys(chain.from_iterable(truth)) if label not in known],
    }


def _number_report(table: TableOfInputs, truth: list[Any], given: list[list[Any]], folder: str) -> dict[str, Any]:
    """The figures of a regression, from the numbers of each input and the outputs that answer for it."""
    numbers = [[answer["score"] for answer in each] for each in given]
    if len(truth[0]) != len(numbers[0]):
        raise InvalidInputError(
            f"{table.source}: has {counted(len(truth[0]), 'number')} for each {table.kind}, and the classifier in "
            f"{folder!r} answers with {len(numbers[0])}."
        )
    return regression_scores(truth, numbers)


def _print(report: dict[str, Any], kind: str) -> None:
    names = {f"{kind}s": f"{kind}s", **NAMES}
    width = max(len(name) for key, name in names.items() if key in report)
    for key, name in names.items():
        if key in report:
            value = report[key]
            shown = "undefined" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
            print_lines(f"{name:<{width}}  {shown}")
    if report.get("per_label"):
        _print_labels(report["per_label"], kind)
    if unknown := report.get("unknown_labels"):
        say(
            f"{counted(len(unknown), 'label')} of the table not in the memory, whose {kind}s count as wrong: "
            f"{listed(map(repr, unknown))}."
        )


def _print_labels(scores: dict[str, dict[str, float]], kind: str) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable("label", box=None)
    for name in (f"{kind}s", "precision", "recall", "F1"):
        shown.add_column(name, justify="right")
    for label, score in scores.items():
        figures = (f"{score[name]:.4f}" for name in ("precision", "recall", "f1"))
        shown.add_row(Text(printable(label, sys.stdout)), f"{score[f'{kind}s']:,}", *figures)
    Console(width=None if sys.stdout.isatty() else WIDE).print(shown)
