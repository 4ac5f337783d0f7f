"""Saves a model and its memory atomically, and refuses to overwrite changes by other processes."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

from .. import cards
from ..errors import FolderChangedError, MemoryFileError
from ..hub.files import CARD, CONFIG, MEMORY_FILE, read_object
from ..hub.saving import whole_save
from ..memory.reading import SINGLE_LABEL
from . import adapters, card_files, memory_files, publishing
from .configuration_mann import MANNConfig
from .plain_modules import check_loadable, plain_modules, plain_names

if TYPE_CHECKING:
    from .modeling_mann import MANNPreTrainedModel

SEEN = "_seen_memories"
"""The attribute of a model that holds the digest of the memory in each folder it was loaded from or saved to."""
CHANGED = "changed"
"""In place of a digest: another memory was put there while one was read."""
BLOCK = 2**20


@contextmanager
def saving_model(
    model: "MANNPreTrainedModel", folder: str | os.PathLike, create_model_card: bool, overwrite: bool
) -> Iterator[Path]:
    """Gives a folder to write a model's files to, and puts them in place with its card when the block ends.

    Args:
        model: as it is now.
        folder: where it is saved.
        create_model_card: whether a card is written where there is none; one that was written for an earlier model is
            written anew in any case.
        overwrite: whether a memory may be lost that others saved there.

    Raises:
        FolderChangedError: others have changed the memory there since this model was loaded from the folder or saved
            to it, and `overwrite` is off; or the folder was removed or replaced meanwhile.
    """
    folder = Path(folder)
    with_card = create_model_card or card_files.is_ours(folder)
    with whole_save(folder, card_files.CARD_FILES if with_card else ()) as staging:
        _check_unchanged(model, folder, overwrite)
        yield staging
        if with_card:
            card_files.write_local_cards(model, staging, folder)
        _warn_of_own_card(model, folder)
        digest = _digest(staging)
    _note(model, folder, digest)


def write_model(model: "MANNPreTrainedModel", folder: Path, *args: Any, **kwargs: Any) -> None:
    """Writes weights, configuration and memory into a folder that nobody reads yet.

    Args:
        model: as it is now.
        folder: where to.
        args: of `PreTrainedModel.save_pretrained`, after `is_main_process`.
        kwargs: of `PreTrainedModel.save_pretrained`.

    Raises:
        InvalidInputError: the model is not what its configuration stands for, so that nobody could load it.
    """
    if kwargs.get("state_dict") is not None:
        kwargs["state_dict"] = plain_names(model, kwargs["state_dict"])
    plain = plain_modules(model)
    if adapters.has_adapter(model):
        adapters.save(plain, folder, kwargs.get("state_dict"))
    else:
        check_loadable(plain, kwargs.get("state_dict"))
        PreTrainedModel.save_pretrained(plain, folder, True, *args, **kwargs)
    if len(model.memory):
        memory_files.write_memory(model.memory, folder)


def save_memory(model: "MANNPreTrainedModel", folder: str | os.PathLike, overwrite: bool) -> None:
    """Saves a memory, with what the configuration and the card tell of it where they lie in the folder.

    Args:
        model: whose memory it is; the folder may hold another model with the same encoder.
        folder: where it is saved.
        overwrite: whether a memory may be lost that others saved there.

    Raises:
        MemoryFileError: `folder` is a file.
        FolderChangedError: as for `saving_model`.
    """
    folder = Path(folder)
    if folder.is_file():
        raise MemoryFileError(f"{str(folder)!r} is a file; give a folder to save the memory into.")
    with whole_save(folder) as staging:
        _check_unchanged(model, folder, overwrite)
        own = model.with_own_memory()  # which does not change meanwhile
        memory_files.write_memory(own.memory, staging)
        _write_beside(own, folder, staging)
        _warn_of_own_card(own, folder)
        digest = _digest(staging)
    _note(model, folder, digest)


def save_cards(model: "MANNPreTrainedModel", folder: str | os.PathLike) -> None:
    """Writes the card of a saved model anew."""
    with whole_save(folder, card_files.CARD_FILES) as staging:
        card_files.write_local_cards(model, staging, folder)


@contextmanager
def reading_memory(model: Any, folder: Path | None) -> Iterator[None]:
    """Remembers which memory lies in a folder that the block reads; nothing of what is no folder."""
    before = None if folder is None else _version(folder)
    yield
    if folder is not None:
        digest = _digest(folder)
        _note(model, folder, digest if _version(folder) == before else CHANGED)


def _note(model: Any, folder: Path, digest: str | None) -> None:
    seen = model.__dict__.get(SEEN, {})
    model.__dict__[SEEN] = seen | {os.path.realpath(folder): digest}  # a new one: copies of the model share the old


def _version(folder: Path) -> tuple[int, ...] | None:
    """Tells files that have been put in each other's place, at no cost."""
    try:
        status = (folder / MEMORY_FILE).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _check_unchanged(model: Any, folder: Path, overwrite: bool) -> None:
    seen, place = model.__dict__.get(SEEN, {}), os.path.realpath(folder)
    now = None if overwrite or place not in seen else _digest(folder)
    if now is not None and now != seen[place]:
        raise FolderChangedError(
            f"the memory in {folder} has been changed by another process or model since this one loaded or saved it "
            "there, and would be lost: nothing was saved. load_memory(folder) takes that memory over, and what you "
            "taught since is taught again (an example that is there already keeps its id); overwrite=True puts this "
            "model's memory in its place.",
            str(folder),
        )


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
    card, place = card_files.card_in(folder), folder.resolve().name
    if not (folder / CONFIG).exists():
        if card is not None and card_files.is_ours(folder):
            publishing.write_memory_card(own, staging, place, card)
        return
    told = read_object(folder / CONFIG)
    same = (told.get("problem_type") or SINGLE_LABEL) == own.memory.problem_type
    if told.get("model_type") == MANNConfig.model_type and same:
        card_files.write_labels(own, told, staging)
        if card is not None:
            card_files.write_cards(own, staging, place, card, card_files.read_card_data(folder))


def _warn_of_own_card(model: Any, folder: Path) -> None:
    card = card_files.card_in(folder)
    if cards.is_own(card):
        card_files.warn_of_own_card(card, folder / CARD, folder / MEMORY_FILE, model.memory)
