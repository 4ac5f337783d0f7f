"""Memory files: `memory.safetensors` is the memory, of whichever kind, `memory.json` a copy for people to read."""

import os
import stat
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..errors import EncoderMismatchError, FolderError, InvalidInputError, MemoryFileError
from ..hub.files import MEMORY_FILE
from ..hub.saving import whole_save
from ..hub.weight_sizes import headers, metadata_of
from .file_entries import READABLE_FILE, expect
from .kinds import MEMORY_FORMATS, MemoryFormat, MemoryValue, format_of
from .values import CheckEncoder

WHICH_FILE = f"Give the folder of a memory, or the file {MEMORY_FILE} in it."
BUILT_IN = (OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError)


def save_memory(memory: MemoryValue, folder: str | os.PathLike) -> None:
    """Puts both files into a folder at one stroke; a save that is killed leaves the old memory or the new."""
    with whole_save(folder) as staging:
        write_memory(memory, staging)


def write_memory(memory: MemoryValue, folder: Path) -> None:
    """Writes the files of a memory into a folder that nobody reads yet."""
    format_of(memory).write(memory, folder)


def load_memory(path: str | os.PathLike, check_encoder: CheckEncoder | None = None, kind: type | None = None) -> Any:
    """Reads a memory from its file.

    A stranger may have written it. It is read by safetensors and as JSON, which run no code; what it claims is compared
    with what is there before memory is taken for it, and what `save_memory` wrote is read again.

    Args:
        path: of `memory.safetensors`.
        check_encoder: called with the name and the key size of the encoder that wrote it, before the most is read.
        kind: the class that the memory is to have; None for any in `MEMORY_FORMATS`.

    Raises:
        MemoryFileError: the file is missing, damaged, no memory, or larger than this machine holds.
        InvalidInputError: it is a memory of another kind.
    """
    path, wanted = Path(path), None
    try:
        expect(stat.S_ISREG(path.stat().st_mode), "it is no file")
        _check_first_letters(path)
        headers([path])  # of a file that is larger than its header says nothing is mapped
        name, _, version = str(metadata_of(path).get("format", "")).partition("/")
        found = _format_named(name, path)
        if kind is None or issubclass(found.kind, kind):
            return found.read(path, version, check_encoder)
        wanted = next(one for _, one in MEMORY_FORMATS.items() if issubclass(one.kind, kind))
    except (MemoryFileError, EncoderMismatchError):
        raise
    except FileNotFoundError:
        raise MemoryFileError(f"there is no memory at {path}.") from None
    except FolderError as error:
        raise MemoryFileError(str(error)) from error
    except (SafetensorError, *BUILT_IN) as error:
        named = "" if isinstance(error, InvalidInputError) else f"{type(error).__name__} "
        raise MemoryFileError(f"{path} is damaged, or not a memory file: {named}{str(error)[:300]}") from error
    raise InvalidInputError(f"the memory {path} holds {found.noun}, and this model's memory {wanted.noun}.")


def _format_named(name: str, path: Path) -> MemoryFormat:
    if name not in MEMORY_FORMATS:
        known = " or ".join(map(repr, MEMORY_FORMATS))
        raise MemoryFileError(
            f"{path} is a safetensors file but holds no memory (format {known} expected). {WHICH_FILE}"
        )
    return MEMORY_FORMATS[name]


def _check_first_letters(path: Path) -> None:
    """Refuses a file of another kind by its first letters, which would be taken for the sizes of a damaged one."""
    with open(path, "rb") as file:
        begins = file.read(9)  # of safetensors the length of the header, and its first letter
    if path.name == MEMORY_FILE or len(begins) < 9 or begins.endswith(b"{"):
        return
    copied = f", but its copy for people to read ({READABLE_FILE})" if path.name == READABLE_FILE else ""
    raise MemoryFileError(f"{path} is not the file of a memory{copied}. {WHICH_FILE}")
