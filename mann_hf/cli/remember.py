"""`mann-hf remember`: teaches a classifier, which is created first if it does not exist."""

from itertools import chain
from typing import Annotated, Any

import typer

from ..errors import InvalidInputError
from ..wording import counted, with_article
from . import options as opt
from .classifier import (
    find_config,
    is_new,
    is_same_encoder,
    make_classifier,
    only_writer,
    open_classifier,
    problem_type_of,
)
from .generator import remember_pairs, teaches_pairs
from .interrupts import FolderChange
from .modalities import TEXT, USUAL_ENCODERS, all_modalities, modality_of
from .output import print_json, print_lines, progress_bar, say, working
from .tables import checked, examples_of, read_table
from .tables.hints import say_alike_stored, say_contradictions


@opt.reads_table("train", columns=(*opt.COLUMNS, *opt.PAIR_COLUMNS))
def remember(
    folder: opt.Folder,
    table: opt.Table,
    *,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For a new folder: the encoder of texts or of images, a folder or a name on the Hub.",
            show_default=USUAL_ENCODERS,
        ),
    ] = None,
    reading: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For a new folder: how answers are computed: logistic, least_squares, attention or prototype.",
            show_default=False,
        ),
    ] = None,
    problem_type: opt.ProblemType = None,
    multi_label: Annotated[
        bool,
        typer.Option(
            "--multi-label",
            help="For a new folder: an input may have several labels or none, in a list or separated by | in a cell.",
        ),
    ] = False,
    descriptions: Annotated[
        bool,
        typer.Option("--descriptions", help="The texts are descriptions of their labels, not examples."),
    ] = False,
    store_inputs: Annotated[
        bool,
        typer.Option("--store-inputs", help="For a new folder of images: keep small copies of them in the memory."),
    ] = False,
    seq2seq: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For a new folder: an encoder-decoder (T5, BART, Marian, ...), a folder or a name on the Hub. It is "
            "taught pairs of a source and a target, and generates texts.",
            show_default=False,
        ),
    ] = None,
    interpolation: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="For a new folder with --seq2seq: the memory's share in each next token.",
            show_default="0.5",
        ),
    ] = None,
    options: opt.TableOptions,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Teach a classifier the labelled texts or images of a table, or a model that generates its pairs.

    If FOLDER does not exist, it is created with the encoder you choose; otherwise the examples are added to it. A new
    classifier is one of images if the table has a column of images and none of texts, or is a folder with a folder of
    images for each class. A folder that was made with --seq2seq is taught the columns of sources and of targets.
    """
    if multi_label:
        if problem_type is not None and not opt.schema_of(problem_type).several:
            raise typer.BadParameter(f"it contradicts --problem-type {problem_type}.", param_hint="--multi-label")
        problem_type = opt.MULTI_LABEL
    with only_writer(folder):
        if teaches_pairs(folder, seq2seq):
            _check_of_pairs(
                {
                    "--encoder": encoder,
                    "--reading": reading,
                    "--problem-type": problem_type,
                    "--descriptions": descriptions or None,
                    "--store-inputs": store_inputs or None,
                }
            )
            remember_pairs(folder, table, options, seq2seq=seq2seq, interpolation=interpolation, as_json=as_json)
            return
        if interpolation is not None:
            raise typer.BadParameter("it is of models that generate (--seq2seq).", param_hint="--interpolation")
        new = is_new(folder)
        state = "holds no classifier" if new else "is as it was"
        change = FolderChange(folder, f"nothing of {table} was kept, and {folder} {state}.")
        if new:
            inputs = all_modalities()
            problem_type = problem_type or opt.SINGLE_LABEL
        else:
            config = find_config(folder, on_hub=False)
            _check_same(folder, config, encoder, reading, problem_type, store_inputs)
            problem_type, inputs = problem_type_of(config), (modality_of(config, folder),)
        found = read_table(table, options, "train", inputs=inputs)
        schema = opt.schema_of(problem_type)
        examples = examples_of(found, problem_type, options.skip_bad_rows)
        if descriptions and found.kind != TEXT:
            raise typer.BadParameter(
                f"descriptions are texts, and {table} holds {found.kind}s.", param_hint="--descriptions"
            )
        if store_inputs and found.kind == TEXT:
            raise typer.BadParameter("a memory keeps texts as they are.", param_hint="--store-inputs")
        if schema.named and found.kind == TEXT:
            say_contradictions(found, examples.inputs, examples.labels)
        with working():
            if new:
                outputs = None if schema.named else len(examples.labels[0])
                classifier = make_classifier(
                    encoder,
                    found,
                    reading=reading,
                    problem_type=problem_type,
                    num_labels=outputs,
                    store_inputs=store_inputs or None,
                )
            else:
                classifier = open_classifier(folder, found.kind)
                if schema.named:
                    names = chain.from_iterable(examples.labels) if schema.several else examples.labels
                    say_alike_stored(found, names, classifier.model.memory.labels)
            examples, given = checked(found, examples, classifier.input_processor.check, options.skip_bad_rows)
            with progress_bar("Remembering", len(given)) as progress:
                described: dict[str, Any] = {"descriptions": given} if descriptions else {}
                taught: Any = None if descriptions else given
                ids = classifier.remember(taught, examples.labels, progress=progress, **described)
            if schema.named and found.kind != TEXT:  # by now each was decoded once
                contents = classifier.input_processor.contents(given)
                say_contradictions(found, examples.inputs, examples.labels, contents)
            with change:
                if new:
                    classifier.save_pretrained(folder)
                else:
                    classifier.save_memory(folder)
    memory = classifier.model.memory
    if repeated := len(ids) - len(set(ids)):
        rows = counted(repeated, "row repeats", "rows repeat")
        say(f"{table}: {rows} {with_article(found.kind)} with its label; each is stored once.")
    if as_json:
        print_json(
            {
                "folder": folder,
                "encoder": classifier.model.config.encoder_name,
                "ids": ids,
                "entries": len(memory),
                "labels": list(memory.labels),
            }
        )
    else:
        of_labels = f" of {counted(len(memory.labels), 'label')}" if schema.named else ""
        print_lines(
            f"Remembered {counted(len(given), found.kind)}; {folder} now holds "
            f"{counted(len(memory), found.kind)}{of_labels}."
        )


def _check_of_pairs(given: dict[str, Any]) -> None:
    """Refuses options of classifiers for a model that is taught pairs."""
    for option, value in given.items():
        if value is not None:
            raise typer.BadParameter("it is of classifiers, and this model generates texts.", param_hint=option)


def _check_same(
    folder: str,
    config: dict[str, Any],
    encoder: str | None,
    reading: str | None,
    problem_type: str | None,
    store_inputs: bool,
) -> None:
    """Raises if options for a new folder contradict those of the folder that exists."""
    if encoder is not None and not is_same_encoder(encoder, config.get("encoder_name")):
        raise InvalidInputError(
            f"the classifier in {folder!r} has the encoder {config.get('encoder_name')!r}, and {encoder!r} was asked "
            "for: leave out --encoder, or teach a new folder."
        )
    for option, asked, there in (
        ("--reading", reading, config.get("reading")),
        ("--problem-type", problem_type, problem_type_of(config)),
        ("--store-inputs", store_inputs or None, config.get("store_inputs", False)),
    ):
        if asked is not None and asked != there:
            raise InvalidInputError(
                f"the classifier in {folder!r} has {option} {there}, and {asked} was asked for: leave out {option}, or "
                "teach a new folder."
            )
