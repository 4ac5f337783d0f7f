"""Errors of readers, raised as errors of this library with the place, the file and the cure."""

import inspect
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from transformers import pipelines

from ..controllers.inputs import is_of_device
from ..errors import FolderError, InvalidInputError, MannError, UnknownNameError
from ..wording import listed

PASSED_ON = (MemoryError, ConnectionError, TimeoutError)
PANIC = "pyo3_runtime"
"""The module of the error that tokenizers raise where they panic, which is no `Exception`."""
LONGEST = 300
OF_PLACES = (
    *("cache_dir", "config", "force_download", "local_files_only", "output_loading_info", "revision", "subfolder"),
    *("token", "use_safetensors", "name_or_path", "ignore_mismatched_sizes", "trust_remote_code", "code_revision"),
    *("adapter_kwargs", "return_unused_kwargs"),
)
"""Arguments that say what is loaded from where, and change nothing of the model."""
CODE = "trust_remote_code"
"""What an error names where a place brings code of its own."""


@contextmanager
def as_folder_error(place: Any, file: str, given: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Converts reader errors to `FolderError`, with the place, the file and the cure.

    What is not about the file passes: errors of this library, of memory, of a device and of the network, and errors
    about an argument that the caller gave.

    Args:
        place: a folder or repository.
        file: the file that is read, or the one that most probably is to blame.
        given: the caller's own arguments.

    Raises:
        FolderError: in place of the error.
    """
    try:
        yield
    except MannError:
        raise
    except BaseException as error:
        if not _is_of_the_file(error, place, given or {}):
            raise
        raise FolderError(_message(place, file, error, given or {}), file) from error


@contextmanager
def naming_file(place: Any, file: str) -> Iterator[None]:
    """Puts the file in front of what an error says of one of its fields; the error stays the same.

    Args:
        place: a folder or repository; without one the error stays as it is.
        file: the file in it that is read.
    """
    try:
        yield
    except (InvalidInputError, UnknownNameError) as error:
        where = f"{file} in {os.fspath(place)!r}: " if place else ""
        if not str(error).startswith(where):  # a block within has named it
            error.args = (f"{where}{error}",)
        raise


def _is_of_the_file(error: BaseException, place: Any, given: Mapping[str, Any]) -> bool:
    if not isinstance(error, Exception):
        return type(error).__module__.startswith(PANIC)
    if isinstance(error, PASSED_ON) or is_of_device(error):
        return False
    if isinstance(error, OSError) and not (place is not None and os.path.exists(place)):
        return False  # of the Hub, in its client's words
    if isinstance(error, TypeError | ValueError | ImportError | AttributeError):
        return not any(re.search(rf"\b{re.escape(name)}\b", str(error)) for name in given)
    return True


def _message(place: Any, file: str, error: BaseException, given: Mapping[str, Any]) -> str:
    said = " ".join(str(error).split())
    what = f"{os.fspath(place) if place is not None else 'the model'!r} could not be loaded ({file}):"
    if isinstance(error, ImportError | PermissionError) or CODE in said:  # nothing is damaged; it says what helps
        return f"{what} {said}"
    short = f"{said.rstrip('.')}." if len(said) <= LONGEST else f"{said[:LONGEST]} ..."
    plain = said and (isinstance(error, OSError | ValueError) or type(error) is Exception)
    kind = "" if plain else f"{type(error).__name__}: "
    chosen = [name for name, value in given.items() if not (value is None or name in OF_PLACES or name.startswith("_"))]
    cause = f"Try without {listed(chosen)}; if that fails, too, the" if chosen else "The"
    return (
        f"{what} {kind}{short} {cause} file is damaged, or it does not belong to the others beside it: download or "
        "save the folder again."
    )


def called_by_pipeline() -> bool:
    """Whether it is `pipeline` of transformers that loads a model just now; it gives no other sign of it."""
    # The Auto classes, by which every task loads, take the argument `_from_pipeline` for themselves; a class of our own
    # in their place would serve our task alone, not "text-classification".
    loading = getattr(getattr(pipelines.base, "load_model", None), "__code__", None)
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not loading:
        frame = frame.f_back
    return frame is not None


class UnloadedModel:
    """Stands for a model that could not be loaded, and raises why as soon as it is looked at.

    `pipeline` of transformers takes an error in loading for the first of several tries, and in the end hides it behind
    a list of classes. What it gets in place of the error raises it where nothing is tried any more: at once where it is
    asked whether it is a name still, before a tokenizer is read.
    """

    def __init__(self, error: MannError) -> None:
        object.__setattr__(self, "error", error)

    def __getattribute__(self, name: str) -> Any:
        raise object.__getattribute__(self, "error")

    def __setattr__(self, name: str, value: Any) -> None:
        raise object.__getattribute__(self, "error")
