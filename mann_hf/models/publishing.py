"""Models and memories as repositories on the Hub: what is uploaded."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo
from transformers.utils import logging

from .. import cards
from ..controllers.processor import InputProcessor
from ..errors import InvalidInputError
from ..hub.files import CARD, CONFIG, MEMORY_FILE, MEMORY_INDEX, card_in, escapes_folder, read_object
from ..hub.saving import is_superseded
from ..hub.source import Source
from ..hub.uploading import Repository, upload
from ..persistent.memory_files import load_memory, save_memory
from . import adapter_base, card_files
from .adapter_switches import has_adapter
from .folder_saves import save_folder
from .memory_card import write_memory_card

logger = logging.get_logger(f"transformers.{__name__}")


def push_model(
    model: Any,
    repo_id: str,
    processor: InputProcessor,
    saving: dict[str, Any],
    tags: str | list[str] | None,
    **options: Any,
) -> CommitInfo:
    """Uploads a model with all that belongs to it as one commit; see `MANNPreTrainedModel.push_to_hub`."""
    more = [tags] if isinstance(tags, str) else tags or []
    card_data = replace(model.model_card_data, tags=list(dict.fromkeys([*model.model_card_data.tags, *more])))
    if has_local_base(model):
        logger.warning(
            f"{repo_id} gets only an adapter, and its encoder is a folder on this machine: nobody else can load it. "
            "Push the encoder first and name it by its repository, or merge the adapter into the weights."
        )
        own = model
    else:
        own = _with_public_names(model)

    def fill(repository: Repository, folder: Path) -> None:
        save_folder(own, folder, processor, create_model_card=False, **saving)
        before = repository.card()
        card_files.write_cards(own, folder, repository.id, before, card_data)
        origin = model.name_or_path or ""
        here = card_in(origin) if os.path.isdir(origin) and not escapes_folder(Path(origin, CARD)) else None
        if here is not None and cards.is_own(here) and not cards.is_own(before):
            (folder / CARD).write_text(here, encoding="utf-8")
        _warn_of_own_card(own, repository, before)

    owned = {*card_files.CARD_FILES, *processor.files}
    return upload(fill, repo_id, lambda name: is_superseded(name) or name in owned, "model", **options)


def push_memory(model: Any, repo_id: str, **options: Any) -> CommitInfo:
    """Uploads a memory as one commit; see `MANNPreTrainedModel.push_memory_to_hub`."""
    model = model.with_own_memory()  # which does not change meanwhile
    own = _with_public_names(model)

    def fill(repository: Repository, folder: Path) -> None:
        save_memory(own.memory, folder)
        before = repository.card()
        if repository.has(CONFIG):
            _beside_model(own, repository, folder, before)
        else:
            write_memory_card(model, folder, repository.id, before)
        _warn_of_own_card(own, repository, before)

    return upload(fill, repo_id, lambda name: MEMORY_INDEX.fullmatch(name) is not None, "memory", **options)


def _warn_of_own_card(model: Any, repository: Repository, card: str | None) -> None:
    if cards.is_own(card) and (saved := repository.read(MEMORY_FILE)) is not None:
        card_files.warn_of_own_card(card, f"{CARD} of {repository.id}", saved, model.memory)


def has_local_base(model: Any) -> bool:
    """Whether the model is an adapter on an encoder that lies in a folder of this machine."""
    return has_adapter(model) and card_files.is_local(adapter_base.base_of(model) or model.config.encoder_name or "")


def _with_public_names(model: Any) -> Any:
    """The model as it is now, its memory included, under a name of its encoder that tells no folder of this machine."""
    own: Any = model.with_own_memory()
    own.config.encoder_name = card_files.public_name(model.config.encoder_name)
    own.update_memory(lambda memory: (own.named(memory, card_files.public_name(memory.encoder_name)), None))
    return own


def _beside_model(own: Any, repository: Repository, folder: Path, before: str | None) -> None:
    """Brings what a model's repository tells of its memory up to the memory that is pushed to it.

    Raises:
        InvalidInputError: the model there is none of ours, or its memory is of another kind.
        EncoderMismatchError: the model there has another encoder.
    """
    path = Path(repository.read(CONFIG) or "")
    fields = read_object(path)
    if (why := own.why_not_beside(fields, repository.id)) is not None:
        raise InvalidInputError(why)
    type(own.config).from_dict(fields)  # which refuses what is none
    there = repository.read(MEMORY_FILE)
    if there is not None:
        own.check_wrote(load_memory(there, kind=type(own.memory)), f"in {repository.id}")
    else:
        _check_model(own, repository, path.parent)
    card_files.write_config(own, fields, folder)  # the card is that of the model there
    repository.read(card_files.CARD_DATA)  # where there is one, it comes to lie beside the configuration
    card_files.write_cards(own, folder, repository.id, before, card_files.read_card_data(Source.of(path.parent)))


def _check_model(own: Any, repository: Repository, folder: Path) -> None:
    """Loads the model of a repository, and refuses a memory that it could not read."""
    for name in repository.files:
        if is_superseded(name):
            repository.read(name)
    there = type(own).from_pretrained(folder)
    there.check_wrote(own.memory, f"that is pushed to {repository.id}")
