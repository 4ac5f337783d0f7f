"""`mann-hf predict`: asks a classifier about a text or a table of texts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..wording import counted
from . import options as opt
from .answers import FLAT, OUTPUTS, check_output, ranked_answers, write_answers
from .classifier import check_taught, find_config, open_classifier
from .output import print_json, print_lines, progress_bar, say, working
from .tables import cells_by_number, is_table, read_table, texts_of


def predict(
    folder: opt.FolderOrHub,
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT-or-TABLE",
            help=f"A text, or a table: {opt.TABLE_HELP} Standard input may also be lines of text.",
            show_default=False,
        ),
    ],
    top_k: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Show the N best labels of each text instead of only the best."),
    ] = None,
    evidence: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Show the N most important stored texts behind each answer.",
            show_default="5; 0 where a table of answers is printed",
        ),
    ] = None,
    table: Annotated[
        bool | None,
        typer.Option(
            "--table/--text",
            help="Read the second argument as a table or as a text, whatever it looks like.",
            show_default=False,
        ),
    ] = None,
    text_column: opt.TextColumn = None,
    split: Annotated[str | None, opt.split_option("test")] = None,
    table_format: opt.TableFormat = None,
    delimiter: opt.Delimiter = None,
    encoding: opt.Encoding = None,
    no_header: opt.NoHeader = False,
    skip_bad_rows: opt.SkipBadRows = False,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Write a table ({', '.join(OUTPUTS)}) instead of printing: that of the texts, with label and score.",
            show_default=False,
        ),
    ] = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Classify a text, or each text of a table."""
    reading = opt.TableOptions(
        text_column=text_column,
        label_column=None,
        split=split,
        format=table_format,
        delimiter=delimiter,
        encoding=encoding,
        header=not no_header,
        skip_bad_rows=skip_bad_rows,
    )
    from_table = is_table(text, reading) if table is None else table
    ending = check_output(output, folder, text if from_table else None, evidence) if output is not None else None
    find_config(folder, on_hub=True)
    texts, numbers, column = [text], [1], "text"
    others: list[dict[str, Any]] = [{}]
    if from_table:
        found = read_table(text, reading, "test", labels=False, others=output is not None)
        texts, _, numbers = texts_of(found, skip_bad_rows)
        column = found.columns[0] if reading.header or column in found.columns else column
        cells = cells_by_number(found)
        others = [dict(zip(found.columns[1:], cells[number][1:], strict=False)) for number in numbers]
    most = evidence
    if most is None and (ending in FLAT or (from_table and not as_json and output is None)):
        most = 0  # it would not be shown
    options: dict[str, Any] = {} if most is None else {"evidence": most}
    if top_k is not None:
        options["top_k"] = top_k
    with working():
        classifier = open_classifier(folder)
        check_taught(classifier, folder)
        with progress_bar("Answering", len(texts)) as progress:
            answers = classifier(texts, progress=progress, **options)
    if output is not None:
        write_answers(output, column, texts, answers, numbers, others)
        say(f"Wrote the answers for {counted(len(texts), 'text')} to {output}.")
        if as_json:
            print_json({"output": str(output), "texts": len(texts)})
    elif as_json:
        print_json(answers if from_table or top_k is None else answers[0])
    else:
        print_lines(*_for_people(texts, answers, from_table))


def _for_people(texts: list[str], answers: list[Any], from_table: bool) -> list[str]:
    """Lines of label, score and, for a table, the text, with tabs between them.

    The evidence is indented below: weight, label, text and id.
    """
    lines = []
    for text, ranked in zip(texts, answers, strict=True):
        for answer in ranked_answers(ranked):
            said = [answer["label"], f"{answer['score']:.4f}"]
            lines.append("\t".join([*said, " ".join(text.split())] if from_table else said))
            for behind in answer["evidence"]:
                words = behind["text"] if behind["text"] is not None else "(its text was not stored)"
                label = behind["label"]  # several, or numbers, are said as they are written in a table
                label = "|".join(map(str, label)) if isinstance(label, (list, tuple)) else label
                lines.append(f"\t{behind['weight']:+.4f}\t{label}\t{' '.join(words.split())}\t[{behind['id']}]")
    return lines
