"""The model card as files: facts of the model, and the card data kept beside the weights."""

import json
import os
import platform
from collections import Counter
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from transformers.utils import logging

from .. import cards
from ..cards import LabelFacts, MANNModelCardData, ModelFacts
from ..errors import MemoryFileError
from ..hub.files import CARD, CONFIG, card_in, read_text
from ..hub.saving import write_whole
from ..hub.source import Source
from ..hub_names import is_hub_name
from ..persistent.entries import label_names
from ..persistent.labelled_memory import LabelledMemory
from ..persistent.memory_files import load_memory
from ..persistent.values import MemoryValue
from ..wording import counted, holds_words
from . import adapter_base, adapters
from .few_shot_tasks import registered_task
from .memory_keys import lack_inputs

logger = logging.get_logger(f"transformers.{__name__}")

CARD_DATA = "model_card.json"
"""The file of `MANNModelCardData`, which weights and memory do not hold; it is read as the model is loaded."""
LARGEST_CARD_DATA = 2**20
"""Bytes; one that is larger is passed over."""
RESULTS = ".eval_results/mann_hf.yaml"
CARD_FILES = (CARD_DATA, RESULTS)
"""Files that are written beside a card, or removed where there is nothing to write."""
PACKAGES = ("mann_hf", "torch", "transformers", "huggingface_hub")
SHOWN_SETTINGS = ("similarity", "pooling", "reading_options", "capacity", "eviction", "label_names", "prompt_name")
"""Fields of the configuration that a card tells where they are not the default's."""
QUESTIONS, LONGEST_QUESTION = 5, 200


def model_facts(model: Any, place: str) -> ModelFacts:
    """Facts of a model of labelled examples for its card; `place` is the repository or folder to load it from."""
    config, memory = model.config, model.memory
    controller, usual = config.controller, config.usual()
    different = {name: getattr(config, name) for name in SHOWN_SETTINGS}
    adapter = adapters.summary(model)
    examples = [entry for entry in memory.entries if entry.kind == "example"]
    descriptions = [entry for entry in memory.entries if entry.kind == "description"]
    return ModelFacts(
        place=place,
        model_class=type(model).__name__.removeprefix("FSDP"),
        problem_type=memory.targets.name,
        encoder=public_name(config.encoder_name),
        reading=config.reading,
        controller=controller,
        few_shot_task=registered_task(config.modality),
        settings={name: value for name, value in different.items() if value != getattr(usual, name)},
        max_tokens=controller.max_length(config, model.encoder),
        labels=_labels(memory, controller.readable),
        entries=len(memory),
        descriptions=len(descriptions),
        unlabelled=len(memory.unlabelled),
        questions=_questions(memory) if controller.readable else (),
        inputs_kept=sum(map(controller.keeps, examples)),
        descriptions_kept=sum(entry.text is not None for entry in descriptions),
        can_reencode=not lack_inputs(model, memory),
        adapter=adapter,
        base=public_name(adapter_base.base_of(model)),
        extra=",".join(filter(None, [controller.extra, "peft" if adapter is not None else None])) or None,
        versions=versions(),
    )


def public_name(encoder: str | None) -> str | None:
    """An encoder's name as others may read it: of a folder its last part alone."""
    return Path(encoder).resolve().name if encoder and is_local(encoder) else encoder


def is_local(place: str) -> bool:
    """Whether a name is that of a folder: one that is there, or one that no repository can have."""
    return os.path.isdir(place) or not is_hub_name(place)


@cache
def versions() -> dict[str, str]:
    """Python and the packages that a model is made with."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            continue
    return found


def _labels(memory: LabelledMemory, readable: bool) -> tuple[LabelFacts, ...]:
    """The labels, with an example of each where what identifies an input is the input itself."""
    if not memory.targets.named:
        return ()
    counts: Counter[str] = Counter()
    example: dict[str, str | None] = {}
    description: dict[str, str | None] = {}
    for entry in memory.entries:
        for name in label_names(entry.label):
            if entry.kind == "example":
                counts[name] += 1
                example.setdefault(name, entry.text if readable else None)
            else:
                description.setdefault(name, entry.text)
    return tuple(LabelFacts(name, counts[name], example.get(name), description.get(name)) for name in memory.labels)


def _questions(memory: LabelledMemory) -> tuple[tuple[str, str], ...]:
    """A few stored texts with their labels, each of another label where there are as many."""
    first: dict[Any, tuple[str, str]] = {}
    for entry in memory.entries:
        if entry.text is not None and entry.kind == "example" and entry.label and entry.label not in first:
            label = entry.label if isinstance(entry.label, str) else ", ".join(map(str, entry.label))
            first[entry.label] = (" ".join(entry.text.split())[:LONGEST_QUESTION], label)
            if len(first) == QUESTIONS:
                break
    return tuple(first.values())


def write_cards(
    model: Any,
    folder: Path,
    place: str,
    before: str | None,
    card_data: MANNModelCardData | None = None,
) -> None:
    """Writes the card, what it says, and the results for the Hub; a card of the user's own in `before` is kept."""
    card_data = model.model_card_data if card_data is None else card_data
    files = {
        CARD: cards.merged(cards.model_card(model.card_facts(place), card_data), before),
        CARD_DATA: card_data.to_json() if card_data != MANNModelCardData() else None,
        RESULTS: cards.results_file(card_data, place, model.config.controller.noun),
    }
    for name, content in files.items():
        if content is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            write_whole(folder / name, content.encode())
        elif name != CARD:
            (folder / name).unlink(missing_ok=True)


def write_config(own: Any, fields: dict[str, Any], folder: Path) -> None:
    """Writes a saved configuration with what it tells of another model's memory, and has that model take it."""
    fields = fields | own.memory_fields()
    (folder / CONFIG).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    own.config = type(own.config).from_dict(fields)


def warn_of_own_card(card: str | None, name: str | os.PathLike, saved: str | os.PathLike, memory: MemoryValue) -> None:
    """Warns if a model card that the user wrote still holds texts or labels that the memory has forgotten.

    Args:
        name: the path of the card, for the warning.
        saved: the memory file that was saved beside it so far; it may be missing.
    """
    if not os.path.exists(saved):
        return
    try:
        before = load_memory(saved)
    except MemoryFileError:
        return
    written = " ".join((card or "").split())
    texts = {text for text in before.texts - memory.texts if " ".join(text.split()) in written}
    labels = {*getattr(before, "labels", ())} - {*getattr(memory, "labels", ())}  # not every kind of memory has some
    labels = {label for label in labels if holds_words(written, label)}
    if texts or labels:
        found = [counted(len(some), what) for some, what in ((texts, "text"), (labels, "label")) if some]
        logger.warning(
            f"{os.fspath(name)} is a model card you wrote yourself, so it is not changed; it still holds "
            f"{' and '.join(found)} that the memory has forgotten. Remove them by hand."
        )


def is_ours(folder: Path) -> bool:
    """Whether a folder has a card that was written here, not one of the user's own."""
    card = card_in(folder)
    return card is not None and not cards.is_own(card)


def read_card_data(source: Source) -> MANNModelCardData:
    """What the card of a saved model said; nothing where there is none.

    It may be a stranger's: one that is damaged or too large is passed over with a warning, and the model loads.
    """
    try:
        path = source.path(CARD_DATA)
        return MANNModelCardData() if path is None else MANNModelCardData.from_json(read_text(path, LARGEST_CARD_DATA))
    except (OSError, ValueError) as error:
        logger.warning(f"{CARD_DATA} of {source.place} is passed over: {' '.join(str(error).split())[:300]}")
        return MANNModelCardData()
