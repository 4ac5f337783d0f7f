"""`mann-hf forget`: removes examples from a classifier's memory, and pairs from that of a model that generates."""

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import NotInMemoryError
from ..wording import counted, did_you_mean, near, shown
from .classifier import find_config, is_generator, only_writer, open_classifier
from .generator import forget_pairs
from .interrupts import FolderChange
from .modalities import IMAGE, TEXT, modality_of
from .options import Debug, Folder, Json
from .output import print_json, print_lines, working

if TYPE_CHECKING:
    from ..pipelines import FewShotPipeline


def forget(
    folder: Folder,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="LABEL", help="Forget every example of this label; may be repeated."),
    ] = None,
    id_: Annotated[
        list[int] | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="Forget the example with this id (see the evidence of an answer); may be repeated.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text", metavar="TEXT", help="Forget this text, whatever its label, or this source; may be repeated."
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="FILE", help="Forget this image, whatever its label; may be repeated."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Forget examples, or pairs, as if they had never been taught."""
    if [bool(label), bool(id_), bool(text), bool(image)].count(True) != 1:
        raise typer.BadParameter("give exactly one of these options.", param_hint="--label / --id / --text / --image")
    config = find_config(folder, on_hub=False, generators=True)
    if is_generator(config):
        if label or image:
            raise typer.BadParameter(
                "the model generates texts, and its pairs have neither labels nor images: use --id, or --text for a "
                "source.",
                param_hint="--label" if label else "--image",
            )
        with only_writer(folder):
            forget_pairs(folder, id_ or [], text or [], as_json)
        return
    modality = modality_of(config, folder)
    inputs = {TEXT: text, IMAGE: image}
    if other := next((kind for kind in inputs if inputs[kind] and kind != modality), None):
        option = f"--{modality}" if modality in inputs else "--id"
        raise typer.BadParameter(f"the classifier takes {modality}s ({option}).", param_hint=f"--{other}")
    change = FolderChange(folder, f"nothing was forgotten, and {folder} is as it was.")
    with working(), only_writer(folder):
        from ..persistent.entries import label_names

        classifier = open_classifier(folder, modality)
        before = classifier.model.memory
        try:
            if id_ or not label:
                classifier.forget(ids=id_ or _ids_of(classifier, inputs.get(modality) or []))
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
    gone = [id_ for id_ in before.slot_by_id if id_ not in memory.slot_by_id]
    if as_json:
        print_json({"folder": folder, "ids": gone, "entries": len(memory), "labels": list(memory.labels)})
    else:
        print_lines(f"Forgot {counted(len(gone), modality)}; {folder} now holds {counted(len(memory), modality)}.")


def _ids_of(classifier: "FewShotPipeline", inputs: list[str]) -> list[int]:
    """The ids of all entries with one of these texts or images.

    Raises:
        NotInMemoryError: one of them is not in the memory.
        InvalidInputError: an image cannot be read.
    """
    processor, entries = classifier.input_processor, classifier.model.memory.entries
    noun, stored = processor.noun, {entry.text for entry in entries if entry.text is not None}
    contents = dict(zip(inputs, processor.contents(processor.check(inputs)), strict=True))
    for given, content in contents.items():
        if content not in stored:
            meant = near(given, sorted(stored)) if given == content else []
            hint = did_you_mean(meant) or f"the evidence of an answer shows {noun}s."
            if entries and not stored:
                hint = f"it keeps no {noun}s (store_texts=False); use --id or --label."
            raise NotInMemoryError(f"the memory holds no {noun} {shown(given)}; {hint}", [given])
    return [entry.id for entry in entries if entry.text in contents.values()]
