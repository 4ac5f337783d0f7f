"""`mann-hf generate`: generates a text for a source, or for each of a table."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidInputError
from ..wording import counted
from . import options as opt
from .answers import FLAT, GENERATED, OUTPUTS, check_output, write_answers
from .classifier import find_config, is_generator
from .generator import open_generator
from .modalities import SOURCE
from .output import print_json, print_lines, progress_bar, say, working
from .tables import Examples, inputs_of, is_stream, is_table, read_table, rows_of


@opt.reads_table("test", columns=("source_column",))
def generate(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="The model's folder, or its name on the Hub.", show_default=False)
    ],
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT-or-TABLE",
            help=f"A source, or a table: {opt.TABLE_HELP} Standard input may also be lines of text.",
            show_default=False,
        ),
    ],
    *,
    num_beams: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Search with N beams.", show_default="the model's own")
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The most tokens of an answer.", show_default="the model's own, or 128"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Sources in a batch.", show_default="what is fast")
    ] = None,
    evidence: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show the N most important stored pairs behind each token.")
    ] = 0,
    table: Annotated[
        bool | None,
        typer.Option(
            "--table/--text",
            help="Read the second argument as a table or as one text, whatever it looks like.",
            show_default=False,
        ),
    ] = None,
    options: opt.TableOptions,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Write a table ({', '.join(OUTPUTS)}) instead of printing: that of the sources, then the answers.",
            show_default=False,
        ),
    ] = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Generate a text for a source, or for each of a table, from a model that was taught pairs."""
    if not table and not text.strip():
        raise InvalidInputError("the text is empty; give a sentence, or a table of sources.")
    is_path = table or (table is None and (is_stream(text) or os.path.exists(text)))
    ending = check_output(output, folder, text if is_path else None, evidence) if output is not None else None
    if not is_generator(find_config(folder, on_hub=True, generators=True)):
        raise InvalidInputError(f"{folder!r} holds a classifier; `mann-hf predict` asks it.")
    from_table = is_table(text, options) if table is None else table
    if from_table:
        found = read_table(text, options, "test", labels=False, others=output is not None, inputs=(SOURCE,))
        examples = inputs_of(found, options.skip_bad_rows)
    else:
        examples = Examples([text], [], [1])
    asked: dict[str, Any] = {"num_beams": num_beams, "max_new_tokens": max_new_tokens}
    asked = {name: number for name, number in asked.items() if number is not None}
    if evidence:
        asked["evidence"] = evidence
    with working():
        generator = open_generator(folder)
        with progress_bar("Generating", len(examples.inputs)) as progress:
            answers = generator(examples.inputs, batch_size=batch_size, progress=progress, **asked)
    if output is not None:
        column, rows, form = SOURCE, [{SOURCE: text}], None
        if from_table:
            column = found.columns[0] if not options.no_header or SOURCE in found.columns else SOURCE
            rows, form = rows_of(found, examples, column), found.form
        lines = [[{"text": answer["generated_text"], **_kept(answer, ending in FLAT)}] for answer in answers]
        numbers = examples.numbers if options.skip_bad_rows else None
        write_answers(output, rows, lines, column, numbers, form, added=GENERATED)
        say(f"Wrote the answers for {counted(len(answers), SOURCE)} to {output}.")
        if as_json:
            print_json({"output": str(output), "sources": len(answers)})
    elif as_json:
        print_json(answers if from_table else answers[0])
    else:
        print_lines(*(line for answer in answers for line in (answer["generated_text"], *_evidence(answer))))


def _kept(answer: dict[str, Any], flat: bool) -> dict[str, Any]:
    return {} if flat or "evidence" not in answer else {"evidence": answer["evidence"]}


def _evidence(answer: dict[str, Any]) -> list[str]:
    """Indented lines for each token: its letters, then weight, source and target of each pair, and its id."""
    lines = []
    for token in answer.get("evidence", []):
        lines.append(f"  {token['token']}")
        for pair in token["pairs"]:
            texts = "\t".join(" ".join(str(pair[name]).split()) for name in ("source", "target") if pair[name])
            lines.append(f"    {pair['weight']:.4f}\t{texts}\t({pair['id']})")
    return lines
