"""`mann-hf forget`: takes texts out of a classifier's memory."""

from typing import Annotated

import typer

from ..errors import NotInMemoryError
from ..wording import counted
from .classifier import find_config, only_writer, open_classifier
from .options import Debug, Folder, Json
from .output import print_json, print_lines, working


def forget(
    folder: Folder,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="LABEL", help="Forget every text of this label; may be repeated."),
    ] = None,
    id_: Annotated[
        list[int] | None,
        typer.Option(
            "--id", metavar="ID", help="Forget the text with this id (see the evidence of an answer); may be repeated."
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Forget texts, as if they had never been taught."""
    if bool(label) == bool(id_):
        raise typer.BadParameter("give --label or --id, one of the two.", param_hint="--label / --id")
    find_config(folder, on_hub=False)
    with working(), only_writer(folder):
        from ..models.entries import label_names

        classifier = open_classifier(folder)
        before = classifier.model.memory
        try:
            if id_:
                classifier.forget(ids=id_)
            for name in label or []:
                if name not in before.labels:
                    classifier.forget(label=name)  # says so
            if label:
                classifier.forget(ids=[entry.id for entry in before.entries if {*label} & {*label_names(entry.label)}])
        except NotInMemoryError:
            classifier.save_memory(folder)  # where a release before was killed, the memory's copies still tell of it
            raise
        classifier.save_memory(folder)
    memory = classifier.model.memory
    gone = [id_ for id_ in before.ids if id_ not in memory.ids]
    if as_json:
        print_json({"folder": folder, "ids": gone, "entries": len(memory), "labels": list(memory.labels)})
    else:
        print_lines(f"Forgot {counted(len(gone), 'text')}; {folder} now holds {counted(len(memory), 'text')}.")
