"""Finding the memory of a folder or repository."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from transformers.utils import logging

from ..errors import MemoryFileError
from ..hub.files import CONFIG, MEMORY_FILE, WEIGHTS, escapes_folder
from ..hub.source import IN_CACHE, Source, is_of_connection
from ..hub_names import is_hub_name
from .file_entries import READABLE_FILE
from .memory_files import load_memory

logger = logging.get_logger(f"transformers.{__name__}")


def folder_of_memory(source: Source) -> Path | None:
    """The local folder whose memory a source names: the folder itself, or that of the memory file."""
    path = Path(source.place or "")
    if source.folder is None and path.name == MEMORY_FILE and path.parent.is_dir():
        return path.parent
    return source.folder


def find_memory(source: Source, optional: bool) -> Path | None:
    """The local path of a source's memory; None if it has none and need not.

    A memory that the Hub may have and that cannot be fetched is warned of: without it the model knows nothing.

    Args:
        source: of the memory; where it is not optional, the file itself does, too.
        optional: whether there may be none.

    Raises:
        MemoryFileError: there is none and it is not optional, or it cannot be had.
    """
    if not optional and source.file is not None:
        return source.file
    place, folder = source.place, source.folder
    if folder is not None and (path := folder / MEMORY_FILE).exists() and (not path.is_file() or escapes_folder(path)):
        raise MemoryFileError(f"{str(path)!r} is refused: it is a folder, or a link out of its folder.")
    if not optional and folder is None:
        _check_on_hub(source)
    try:
        found = source.fetch(MEMORY_FILE)
    except OSError as error:
        if not (optional and is_of_connection(error)):
            raise MemoryFileError(f"no memory could be loaded from {place}: {error}") from error
        found = None
    if found is None and folder is not None and (folder / READABLE_FILE).is_file():
        raise MemoryFileError(
            f"{place} has {READABLE_FILE}, which only shows what a memory holds, without the memory itself, "
            f"{MEMORY_FILE}: copy or download that, too, or remove {READABLE_FILE} to begin with an empty memory."
        )
    if found is None and not optional:
        raise MemoryFileError(f"{place} has no {MEMORY_FILE}; save one with save_memory(folder).")
    if found is None and source.is_unknown(MEMORY_FILE):
        logger.warning(
            f"whether {place} has a {MEMORY_FILE} is unknown, as the Hub cannot be reached: the model starts with "
            "an empty memory. Connect to the Hub once if it has one."
        )
    return found


def fetch_beside(source: Source, memory: Path, names: Iterable[str]) -> None:
    """Downloads files that lie beside a memory on the Hub, of the same commit, where it has them.

    What is not to be had is made anew when it is needed.

    Args:
        source: of the memory.
        memory: where its file is on this machine.
        names: of the files.
    """
    found = IN_CACHE.search(memory.as_posix())
    if source.repository is None or found is None:
        return
    commit = replace(source, revision=found[1])
    for name in names:
        try:
            commit.path(name)
        except OSError as error:
            logger.info(f"{name} of {source.place} could not be had: {error}")


def check_with_model(source: Source) -> None:
    """Says of a source that is no model whether it is a memory alone.

    Raises:
        MemoryFileError: it is, and into which model it is to be loaded.
    """
    if source.file is not None or (source.folder is not None and (source.folder / WEIGHTS).exists()):
        return
    if source.path(CONFIG) is None and (path := source.path(MEMORY_FILE)) is not None:
        encoder = load_memory(path).encoder_name
        raise MemoryFileError(
            f"{source.place} holds only a memory, no model; load it into a model with its encoder ({encoder}), by "
            f"model.load_memory({source.place!r})."
        )


def _check_on_hub(source: Source) -> None:
    """Raises where a source is neither held nor on the Hub, before the Hub's client tries for half a minute."""
    if source.place is None or not is_hub_name(source.place):
        raise MemoryFileError(f"there is no folder {source.place!r} to load a memory from.")
    if (why := source.why_not_to_be_had(MEMORY_FILE)) is not None:
        raise MemoryFileError(
            f"there is no folder {source.place!r} to load a memory from, and as a name on the Hub: {why.words} "
            f"({why.cure})."
        )
