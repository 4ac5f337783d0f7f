"""Saves a model and its memory atomically, and refuses to overwrite changes by other processes."""

import hashlib
import inspect
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.utils import logging

from .. import cards
from ..cards import MANNModelCardData
from ..controllers.processor import InputProcessor
from ..errors import EncoderMismatchError, FolderChangedError, InvalidInputError, MemoryFileError
from ..hub.files import CARD, CONFIG, MEMORY_FILE, card_in, check_place, read_object
from ..hub.saving import whole_save
from ..hub.source import Source
from ..persistent import memory_files
from ..persistent.fitting import why_old
from ..persistent.values import MemoryValue
from ..wording import counted, listed, near
from . import adapters, base_weights, card_files
from .adapter_switches import check_none_beside, has_adapter
from .arguments import no_such_argument
from .memory_card import write_memory_card
from .plain_modules import check_loadable, plain_modules, plain_names

logger = logging.get_logger(f"transformers.{__name__}")

CHANGED = "changed"
"""In place of a digest: another memory was put there while one was read."""
BLOCK = 2**20
LOADED = "can be loaded with from_pretrained(folder, reencode=True)"
"""What helps where a memory with keys of an older encoder is saved."""
SAVING = {*inspect.signature(PreTrainedModel.save_pretrained).parameters, "safe_serialization", "save_function"}
"""Arguments of saving; the last two have been, and libraries go on giving them."""


def save_folder(
    model: Any,
    folder: str | os.PathLike,
    processor: InputProcessor | None = None,
    *args: Any,
    create_model_card: bool = True,
    overwrite: bool = False,
    beside: Callable[[Path], Any] | None = None,
    **options: Any,
) -> None:
    """Saves a model with its memory, its card and its tokenizer or image processor, as one whole.

    Args:
        model: the model.
        folder: the folder, which may hold an earlier save.
        processor: the processor whose tokenizer or image processor is saved; None to leave the files in the folder.
        create_model_card: whether a card is written where there is none; one that was written for an earlier model is
            written anew in any case.
        overwrite: whether a memory may be lost that others saved there.
        beside: writes further files into the folder that it is called with.
    """
    check_place(folder, "save_directory")
    folder = Path(folder)
    with_card = create_model_card or card_files.is_ours(folder)
    owned = (*(card_files.CARD_FILES if with_card else ()), *(() if processor is None else processor.files))
    saved = model.as_saved_with(processor)
    with whole_save(folder, owned) as staging:
        check_nothing_lost(model, folder, overwrite)
        write_model(saved, staging, *args, **options)
        if processor is not None:
            processor.save_pretrained(staging)
        if beside is not None:
            beside(staging)
        if with_card:
            # by the folder's name alone: a path of this machine would be published with it
            card_files.write_cards(saved, staging, folder.resolve().name, before=card_in(folder))
        _warn_of_own_card(model, folder)
        digest = _digest(staging)
    _note(model, folder, digest)
    loaded_from = model.name_or_path
    at_its_place = loaded_from and os.path.realpath(loaded_from) == os.path.realpath(folder)
    if at_its_place and not has_adapter(model):
        model.loaded_encoder = replace(model.loaded_encoder, weights=base_weights.sample(model.encoder), states=None)


def write_model(model: Any, folder: Path, *args: Any, **kwargs: Any) -> None:
    """Writes weights, configuration and memory into a folder that nobody reads yet, or refuses what nobody could load.

    Arguments are those of `PreTrainedModel.save_pretrained` after `is_main_process`.
    """
    if kwargs.get("state_dict") is not None:
        kwargs["state_dict"] = plain_names(model, kwargs["state_dict"])
    check_none_beside(model)
    plain = plain_modules(model)
    known = SAVING | {"create_model_card", "overwrite"}
    for name in sorted(kwargs.keys() - SAVING):
        # others transformers takes and has no use for, as those of its earlier versions
        if kwargs[name] is not None and near(name, known):
            raise no_such_argument("save_pretrained", name, known)
    if kwargs.get("variant") is not None:
        raise InvalidInputError(
            f"variant={kwargs['variant']!r}: the model was not saved, as a folder holds one set of weights, those that "
            "wrote its memory. Save other weights into a folder of their own, without variant."
        )
    if has_adapter(model):
        _check_adapters(model, weights=kwargs.get("state_dict") is None)
        adapters.save(plain, folder, kwargs.get("state_dict"))
    else:
        check_loadable(plain, kwargs.get("state_dict"))
        try:
            PreTrainedModel.save_pretrained(plain, folder, True, *args, **kwargs)
        except RuntimeError as error:
            raise _of_shared_weights(error) from error
        if kwargs.get("state_dict") is None:  # else the weights may be spread over processes
            _warn_of_old_keys(model)
    if len(model.memory):
        memory_files.write_memory(model.memory, folder)


def _warn_of_old_keys(model: Any) -> None:
    if len(model.memory) and not model.wrote(model.memory):
        lacking = model.lacks_inputs(model.memory)
        after = "will be refused when it is loaded" if lacking else LOADED
        logger.warning(
            f"{why_old(model.memory, model.memory.adapters, lacking, model.identity.noun)} What is saved now {after}."
        )


def _check_adapters(model: Any, weights: bool) -> None:
    """Refuses a memory of other adapters that keeps no texts to write it again from; of others it only warns."""
    try:
        model.check_memory(weights)
    except EncoderMismatchError as error:
        if model.lacks_inputs(model.memory):
            raise
        logger.warning(f"{error} What is saved now {LOADED}.")


def _of_shared_weights(error: RuntimeError) -> Exception:
    """The error for layers that share weights, of which transformers tells in its own terms; any other as it is."""
    if "shared tensors" not in str(error):
        return error
    names = sorted(set(re.findall(r"'([\w.]+)'", str(error))))
    return InvalidInputError(
        f"the model was not saved, as nobody could load it: modules of it share their weights ({listed(names, 4)}), "
        "and its configuration does not say so. Give each a copy of its own (copy.deepcopy)."
    )


def save_memory(model: Any, folder: str | os.PathLike, overwrite: bool) -> None:
    """Saves a memory, with what configuration and card tell of it where they lie in the folder.

    The folder may hold another model with the same encoder.
    """
    check_place(folder, "save_directory")
    folder = Path(folder)
    with whole_save(folder) as staging:
        check_nothing_lost(model, folder, overwrite)
        own = model.with_own_memory()  # which does not change meanwhile
        memory_files.write_memory(own.memory, staging)
        _write_beside(own, folder, staging)
        _warn_of_own_card(own, folder)
        digest = _digest(staging)
    _note(model, folder, digest)


def save_cards(
    model: Any,
    folder: str | os.PathLike,
    repository: str | None = None,
    card_data: MANNModelCardData | None = None,
) -> None:
    """Writes the card of a saved model anew.

    Args:
        repository: by which it will be loaded; by default it is the folder.
        card_data: in place of the model's `model_card_data`.
    """
    with whole_save(folder, card_files.CARD_FILES) as staging:
        before = card_in(folder)
        card_files.write_cards(model, staging, repository or Path(folder).resolve().name, before, card_data)


@contextmanager
def reading_memory(model: Any, folder: Path | None) -> Iterator[None]:
    """Remembers which memory lies in a folder that the block reads; nothing of what is no folder."""
    before = None if folder is None else _version(folder)
    yield
    if folder is not None:
        digest = _digest(folder)
        _note(model, folder, digest if _version(folder) == before else CHANGED)


def _note(model: Any, folder: Path, digest: str | None) -> None:
    # a new dict, for copies of the model share the old one
    model.seen_memories = model.seen_memories | {os.path.realpath(folder): digest}


def _version(folder: Path) -> tuple[int, ...] | None:
    """Tells files that have been put in each other's place, at no cost."""
    try:
        status = (folder / MEMORY_FILE).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def check_nothing_lost(model: Any, folder: Path, overwrite: bool = False) -> None:
    """Refuses to save a model over a memory that others taught.

    Raises:
        FolderChangedError: the memory was changed since the model was loaded from the folder or saved to it; or the
            model never held it, and it knows what the model does not.
    """
    seen, place = model.seen_memories, os.path.realpath(folder)
    now = None if overwrite else _digest(folder)
    if now is None or (now in seen.values() and (place not in seen or now == seen[place])):
        return
    if place in seen:
        raise FolderChangedError(
            f"the memory in {folder} has been changed by another process or model since this one loaded or saved it "
            "there, so nothing was saved. Call load_memory(folder) and teach your examples again (one that is there "
            "already keeps its id), or pass overwrite=True to replace that memory with this one.",
            str(folder),
        )
    lost = _not_held(model.memory, folder)
    if lost:
        count = counted(lost, model.identity.noun)
        raise FolderChangedError(
            f"{folder} holds a memory that this model was not loaded from, and {count} of it that this model does not "
            "know would be lost: nothing was saved. Save to another folder, or take that memory over first with "
            "load_memory(folder); overwrite=True puts this model's memory in its place.",
            str(folder),
        )


def _not_held(memory: MemoryValue, folder: Path) -> int:
    """How many entries of the memory in a folder another one lacks."""
    try:
        there = memory_files.load_memory(folder / MEMORY_FILE)
    except MemoryFileError:  # damaged: it has nothing to lose
        return 0
    return len(there.ids - memory.ids)


def _digest(folder: Path) -> str | None:
    """What tells memories in a folder apart; None where there is none."""
    path = folder / MEMORY_FILE
    if not path.is_file():  # a pipe would be read without end
        return None
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _write_beside(own: Any, folder: Path, staging: Path) -> None:
    """Writes what configuration and card in a folder tell of a memory, for the memory that `own` has."""
    card, place = card_in(folder), folder.resolve().name
    if not (folder / CONFIG).exists():
        if card is not None and card_files.is_ours(folder):
            write_memory_card(own, staging, place, card)
        return
    fields = read_object(folder / CONFIG)
    if own.why_not_beside(fields, str(folder)) is None:
        card_files.write_config(own, fields, staging)
        if card is not None:
            card_files.write_cards(own, staging, place, card, card_files.read_card_data(Source.of(folder)))


def _warn_of_own_card(model: Any, folder: Path) -> None:
    card = card_in(folder)
    if cards.is_own(card):
        card_files.warn_of_own_card(card, folder / CARD, folder / MEMORY_FILE, model.memory)
