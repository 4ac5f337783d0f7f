"""`mann-hf predict`: asks a classifier about a text or a table of texts."""

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidInputError
from ..wording import counted
from .classifier import check_taught, find_config, open_classifier
from .options import (
    TABLE_HELP,
    Debug,
    Delimiter,
    Encoding,
    FolderOrHub,
    Json,
    NoHeader,
    SkipBadRows,
    TableFormat,
    TableOptions,
    TextColumn,
    split_option,
)
from .output import print_json, print_lines, progress_bar, say, working
from .tables import DELIMITERS, is_table, read_table, texts_of

OUTPUTS = (*DELIMITERS, ".json", ".jsonl")


def predict(
    folder: FolderOrHub,
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT-or-TABLE",
            help=f"A text, or a table: {TABLE_HELP} Standard input may also be lines of text.",
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
    text_column: TextColumn = None,
    split: Annotated[str | None, split_option("test")] = None,
    table_format: TableFormat = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    no_header: NoHeader = False,
    skip_bad_rows: SkipBadRows = False,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Write the answers to a table ({', '.join(OUTPUTS)}) instead of printing them; texts count from 1.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Classify a text, or each text of a table."""
    ending = _check_output(output, evidence) if output is not None else None
    find_config(folder, on_hub=True)
    reading = TableOptions(
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
    texts, numbers = [text], [1]
    if from_table:
        texts, _, numbers = texts_of(read_table(text, reading, "test", labels=False), skip_bad_rows)
    most = evidence
    if most is None and (ending in DELIMITERS or (from_table and not as_json and output is None)):
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
        _write(output, texts, answers, numbers)
        say(f"Wrote the answers for {counted(len(texts), 'text')} to {output}.")
        if as_json:
            print_json({"output": str(output), "texts": len(texts)})
    elif as_json:
        print_json(answers if from_table or top_k is None else answers[0])
    else:
        print_lines(*_for_people(texts, answers, from_table))


def _check_output(output: Path, evidence: int | None) -> str:
    """The ending of the file to write, checked before the work and not after."""
    ending = output.suffix.lower()
    if ending not in OUTPUTS:
        raise typer.BadParameter(f"{str(output)!r} should end in {', '.join(OUTPUTS)}.", param_hint="--output")
    if evidence and ending in DELIMITERS:
        raise typer.BadParameter("evidence is written to .json and .jsonl alone.", param_hint="--output")
    if not output.parent.is_dir():
        raise InvalidInputError(
            f"there is no folder {str(output.parent)!r} to write {output.name!r} to; make it first."
        )
    if output.is_dir():
        raise InvalidInputError(f"{str(output)!r} is a folder; give the name of a file to write.")
    return ending


def _ranked(answer: Any) -> list[dict[str, Any]]:
    """The answers for one text, best first, whether or not `top_k` was given."""
    return answer if isinstance(answer, list) else [answer]


def _write(output: Path, texts: list[str], answers: list[Any], numbers: list[int]) -> None:
    """Writes one row for each answer, whole or not at all."""
    from ..hub.saving import write_whole

    rows = [
        {"row": number, "text": text, **answer}
        for number, text, ranked in zip(numbers, texts, answers, strict=True)
        for answer in _ranked(ranked)
    ]
    ending = output.suffix.lower()
    if ending in DELIMITERS:
        written = io.StringIO(newline="")
        writer = csv.DictWriter(
            written, ["row", "text", "label", "score"], extrasaction="ignore", delimiter=DELIMITERS[ending]
        )
        writer.writeheader()
        writer.writerows(rows)
        content = written.getvalue()
    elif ending == ".json":
        content = json.dumps(rows, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    else:
        content = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    write_whole(output, content.encode())


def _for_people(texts: list[str], answers: list[Any], from_table: bool) -> list[str]:
    """Lines of label, score and, for a table, the text, with tabs between them; evidence is indented below."""
    lines = []
    for text, ranked in zip(texts, answers, strict=True):
        for answer in _ranked(ranked):
            said = [answer["label"], f"{answer['score']:.4f}"]
            lines.append("\t".join([*said, " ".join(text.split())] if from_table else said))
            for behind in answer["evidence"]:
                words = behind["text"] if behind["text"] is not None else "(its text was not stored)"
                lines.append(f"\t{behind['weight']:+.4f}\t{' '.join(words.split())}\t[{behind['id']}]")
    return lines
