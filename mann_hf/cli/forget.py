"""`mann-hf forget`: removes texts from a classifier's memory."""

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import NotInMemoryError
from ..wording import counted, did_you_mean, near, shown
from .classifier import find_config, only_writer, open_classifier
from .interrupts import FolderChange
from .options import Debug, Folder, Json
from .output import print_json, print_lines, working

if TYPE_CHECKING:
    from ..persistent.labelled_memory import LabelledMemory


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
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="TEXT", help="Forget this text, whatever its label; may be repeated."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Forget texts, as if they had never been taught."""
    if [bool(label), bool(id_), bool(text)].count(True) != 1:
        raise typer.BadParameter("give exactly one of these options.", param_hint="--label / --id / --text")
    find_config(folder, on_hub=False)
    change = FolderChange(folder, f"nothing was forgotten, and {folder} is as it was.")
    with working(), only_writer(folder):
        from ..persistent.entries import label_names

        classifier = open_classifier(folder)
        before = classifier.model.memory
        try:
            if id_ or text:
                classifier.forget(ids=id_ or _ids_of_texts(before, text or []))
            for name in label or []:
                if name not in before.labels:
                    classifier.forget(label=name)  # raises
            if label:
                classifier.forget(ids=[entry.id for entry in before.entries if {*label} & {*label_names(entry.label)}])
        except NotInMemoryError:
            classifier.save_memory(folder)  # an earlier command that was killed may have left the text in other files
            raise
        with change:
            classifier.save_memory(folder)
    memory = classifier.model.memory
    gone = [id_ for id_ in before.ids if id_ not in memory.ids]
    if as_json:
        print_json({"folder": folder, "ids": gone, "entries": len(memory), "labels": list(memory.labels)})
    else:
        print_lines(f"Forgot {counted(len(gone), 'text')}; {folder} now holds {counted(len(memory), 'text')}.")


def _ids_of_texts(memory: "LabelledMemory", texts: list[str]) -> list[int]:
    """The ids of all entries with one of these texts.

    Raises:
        NotInMemoryError: one of the texts is not in the memory.
    """
    stored = {entry.text for entry in memory.entries if entry.text is not None}
    for text in texts:
        if text not in stored:
            meant = near(text, sorted(stored))
            hint = did_you_mean(meant) or "the evidence of an answer shows texts."
            if memory.entries and not stored:
                hint = "it keeps no texts (store_texts=False); use --id or --label."
            raise NotInMemoryError(f"the memory holds no text {shown(text)}; {hint}", [text])
    return [entry.id for entry in memory.entries if entry.text in texts]
