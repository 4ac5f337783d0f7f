"""`mann-hf predict`: classifies a text or an image, or each of a table."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidInputError
from ..hub.near_paths import near_paths
from ..targets.schema import LEAST_SCORE, Answer, LabelSchema
from ..wording import counted, did_you_mean, is_url, with_article
from . import options as opt
from .answers import FLAT, OUTPUTS, check_output, write_answers
from .classifier import find_config, open_classifier, problem_type_of
from .modalities import MODALITIES, modality_of
from .output import print_json, print_lines, progress_bar, say, working
from .tables import Examples, checked, inputs_of, is_stream, is_table, read_table, rows_of


@opt.reads_table("test", columns=("text_column", "image_column"))
def predict(
    folder: opt.FolderOrHub,
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT-or-TABLE",
            help=f"A text, the file of an image, or a table: {opt.TABLE_HELP} Standard input may also be lines of "
            "text.",
            show_default=False,
        ),
    ],
    *,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Show the N best labels of each input, whatever their scores."),
    ] = None,
    evidence: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Show the N most important stored examples behind each answer.",
            show_default="5; 0 where a table of answers is printed",
        ),
    ] = None,
    table: Annotated[
        bool | None,
        typer.Option(
            "--table/--text",
            " /--image",
            help="Read the second argument as a table or as one text or image, whatever it looks like.",
            show_default=False,
        ),
    ] = None,
    options: opt.TableOptions,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Write a table ({', '.join(OUTPUTS)}) instead of printing: that of the inputs, then the answers.",
            show_default=False,
        ),
    ] = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Classify a text or an image, or each of a table.

    An input has the best label; where one may have several, all that have a score above one half, or none.
    """
    if not table and not text.strip():
        raise InvalidInputError("the text is empty; give a sentence, or a table of texts.")
    is_path = table or (table is None and (is_stream(text) or os.path.exists(text)))
    ending = check_output(output, folder, text if is_path else None, evidence) if output is not None else None
    config = find_config(folder, on_hub=True)
    kind, schema = modality_of(config, folder), opt.schema_of(problem_type_of(config))
    from_table = is_table(text, options, kind) if table is None else table
    if top_k is not None and not schema.named:
        raise typer.BadParameter("a regression answers with numbers, of which none is best.", param_hint="--top-k")
    if from_table:
        found = read_table(text, options, "test", labels=False, others=output is not None, inputs=(kind,))
        examples = inputs_of(found, options.skip_bad_rows)
    most = evidence
    if most is None and (ending in FLAT or (from_table and not as_json and output is None)):
        most = 0  # evidence is not shown
    wanted: dict[str, Any] = {} if most is None else {"evidence": most}
    if top_k is None and schema.several:
        wanted["threshold"] = LEAST_SCORE  # no evidence is computed for labels that are not shown
    with working():
        classifier = open_classifier(folder, kind, taught=True)
        processor = classifier.input_processor
        if from_table:
            examples, given = checked(found, examples, processor.check, options.skip_bad_rows)
        else:
            examples, given = Examples([text], [], [1]), _only(text, kind, processor.check)
        with progress_bar("Answering", len(given)) as progress:
            answers = classifier(given, progress=progress, top_k=top_k or (1 if schema.exclusive else None), **wanted)
    if top_k is None:
        answers = [schema.chosen(ranked, classifier.model.config.label2id) for ranked in answers]
    one_each = top_k is None and not schema.several and len(answers[0]) == 1
    if output is not None:
        lines = answers if top_k is not None else [[schema.as_taught(each)] for each in answers]
        column, rows, form = kind, [{kind: text}], None
        if from_table:
            column = found.columns[0] if not options.no_header or kind in found.columns else kind
            rows, form = rows_of(found, examples, column), found.form
        write_answers(output, rows, lines, column, examples.numbers if options.skip_bad_rows else None, form)
        say(f"Wrote the answers for {counted(len(given), kind)} to {output}.")
        if as_json:
            print_json({"output": str(output), f"{kind}s": len(given)})
    elif as_json:
        found_each = [each[0] for each in answers] if one_each else answers
        print_json(found_each if from_table else answers[0])
    elif from_table:
        together = top_k is None and not schema.exclusive
        print_lines(*_of_table(examples.inputs, answers, schema, together))
    else:
        print_lines(
            *(line for answer in answers[0] for line in ("\t".join(_cells(answer, schema)), *_evidence(answer)))
        )
        if not answers[0]:
            say("no label has a score above one half (--top-k N shows the best).")


def _only(given: str, kind: str, check: Callable[[Any], list[Any]]) -> list[Any]:
    """A single input as a list; where it is a file that is not there, the error names files that are."""
    if MODALITIES[kind].are_files and not os.path.exists(given) and not is_url(given):
        endings = MODALITIES[kind].endings
        meant = near_paths(given, lambda path: path.is_file() and path.suffix.lower() in endings)
        if not meant and any(sign in given for sign in "*?"):
            raise InvalidInputError(
                f"there is no file {given!r}, and patterns are not read; give the folder, or a table."
            )
        raise InvalidInputError(
            f"there is no file {given!r}; {did_you_mean(meant) or f'give {with_article(kind)}, or a table.'}"
        )
    return check(given)


def _of_table(inputs: list[str], answers: list[list[Answer]], schema: LabelSchema, together: bool) -> list[str]:
    """Lines of label, score and text or path with tabs between them, each with its evidence below.

    With `together`, all answers of an input share one line.
    """
    lines = []
    for given, ranked in zip(inputs, answers, strict=True):
        for each in [ranked] if together else [[answer] for answer in ranked]:
            cells = zip(*(_cells(answer, schema) for answer in each), strict=True) if each else ["", ""]
            lines.append("\t".join([*map("|".join, cells), " ".join(given.split())]))
            lines += (line for answer in each for line in _evidence(answer))
    return lines


def _cells(answer: Answer, schema: LabelSchema) -> list[str]:
    """Label and score of an answer, or the number of a regression."""
    number = f"{answer['score']:.4f}"
    return [answer["label"], number] if schema.named else [number]


def _evidence(answer: Answer) -> list[str]:
    """Indented lines of weight, label, text or digest, and id."""
    lines = []
    for behind in answer["evidence"]:
        noun = next(key for key in behind if key not in ("id", "label", "weight"))
        words = behind[noun] if behind[noun] is not None else f"(its {noun} was not stored)"
        label = behind["label"]  # several, or numbers, as they are written in a table
        label = "|".join(map(str, label)) if isinstance(label, (list, tuple)) else label
        lines.append(f"\t{behind['weight']:+.4f}\t{label}\t{' '.join(words.split())}\t[{behind['id']}]")
    return lines
