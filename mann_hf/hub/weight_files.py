"""What transformers may read of a stranger's folder or repository: safetensors that lie in it, and no code."""

import os
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.utils import cached_file, has_file
from transformers.utils.hub import extract_commit_hash

from ..errors import FolderError, UnsafeFileError
from .files import SAFETENSORS, WEIGHTS, check_file, check_folder, read_json

INDEX = ".safetensors.index.json"
LARGEST_INDEX = 2**26
"""Bytes of a list of weights; those of the largest models have some millions."""
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
ADAPTER = "adapter_config.json"
CURE = (
    "Ask its author for safetensors, or convert it where nothing else runs; use_safetensors=False reads it all the "
    "same, by the weights_only loading of transformers."
)
HUB_ARGUMENTS = ("cache_dir", "local_files_only", "revision", "token")


def where_on_hub(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those arguments of `from_pretrained` that say where on the Hub a file is."""
    return {name: kwargs[name] for name in (*HUB_ARGUMENTS, "subfolder") if kwargs.get(name) is not None}


def at_one_commit(place: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments for a `from_pretrained` that reads all of a repository as it is now.

    What is looked at is then what is loaded, and a push meanwhile does not mix two versions.

    Args:
        place: a folder, which is read as it lies there, or a Hub repository.
        kwargs: of `from_pretrained`.
    """
    if place is None or os.path.exists(place):
        return kwargs
    commit = extract_commit_hash(_Source(place, kwargs).path("config.json"), None)
    return kwargs if commit is None else {**kwargs, "revision": commit}


def safetensors_alone(place: Any, config: PreTrainedConfig | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments for a `from_pretrained` that reads safetensors of the place itself.

    `use_safetensors=True` is not all: transformers also opens what a list of weights names, wherever that is, what the
    configuration names, and the files of an adapter beside the weights.

    Args:
        place: a folder or Hub repository; with None there is nothing to read.
        config: of the model there.
        kwargs: of `from_pretrained`. With `use_safetensors=False` or a `gguf_file` the user has chosen other weights.

    Raises:
        UnsafeFileError: it names the file, why it is refused, and what helps.
    """
    if place is None:
        return kwargs
    source = _Source(place, kwargs)
    if (folder := source.folder) is not None:
        check_folder(folder)
    if source.path(ADAPTER) is not None or (kwargs.get("adapter_kwargs") or {}).get("_adapter_model_path") is not None:
        raise source.refused(
            ADAPTER,
            "transformers would put an adapter on the encoder unasked, and read further files for it. Merge it into "
            "the weights (merge_and_unload of PEFT) and save them, or remove the file.",
        )
    if kwargs.get("use_safetensors") is False or kwargs.get("gguf_file") is not None:
        return kwargs
    _names(source, config, kwargs)
    return {**kwargs, "use_safetensors": True}


def weights_of(place: Any, config: PreTrainedConfig | None, kwargs: dict[str, Any]) -> list[Path]:
    """The files of weights that `safetensors_alone` has found good, on this machine; none of other kinds of weights.

    Raises:
        UnsafeFileError: one is a link out of the folder.
        FolderError: a folder holds none.
    """
    if place is None or kwargs.get("use_safetensors") is False or kwargs.get("gguf_file") is not None:
        return []
    source = _Source(place, kwargs)
    if os.path.isfile(place):
        return [Path(place)]
    found = [Path(path) for name in _names(source, config, kwargs) if (path := source.path(name)) is not None]
    for file in found:
        check_file(file, root=source.folder)
    if not found and source.folder is not None and kwargs.get("state_dict") is None and not kwargs.get("variant"):
        raise FolderError(
            f"{source.place!r} has no {WEIGHTS}: copy or download that file too, or save the model again.", WEIGHTS
        )
    return found


def _names(source: "_Source", config: PreTrainedConfig | None, kwargs: dict[str, Any]) -> list[str]:
    """The names of the weights of a place.

    Raises:
        UnsafeFileError: they are no safetensors of the place.
    """
    place = source.place
    if os.path.isfile(place) and not str(place).endswith(SAFETENSORS):
        raise source.refused(os.path.basename(place), f"it is no safetensors file, and a pickle can run code. {CURE}")
    variant = f".{kwargs['variant']}" if kwargs.get("variant") else ""
    weights, index = f"model{variant}{SAFETENSORS}", f"model.safetensors.index{variant}.json"
    named = getattr(config, "transformers_weights", None)
    if named is not None:
        source.check("config.json", [named], (SAFETENSORS, INDEX))
        weights, index = (named, "") if named.endswith(SAFETENSORS) else ("", named)
    if weights and source.path(weights) is not None:
        return [weights]
    if index and (path := source.path(index)) is not None:
        listed = source.listed_in(index, path)
        source.check(index, listed, (SAFETENSORS,))
        return listed
    if pickle := next(filter(source.has, PICKLES), None):
        raise source.refused(pickle, f"it is a pickle, which can run code, and there is no {weights or index}. {CURE}")
    return []


class _Source:
    """A folder or Hub repository, with the arguments by which its files are asked for."""

    def __init__(self, place: Any, kwargs: dict[str, Any]) -> None:
        self.place, self.subfolder = os.fspath(place), kwargs.get("subfolder") or ""
        self.hub = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}

    @property
    def folder(self) -> Path | None:
        """The folder of a place on this machine; None for a Hub repository or a single file."""
        return Path(self.place, self.subfolder) if os.path.isdir(self.place) else None

    def path(self, name: str) -> str | None:
        """Where a file is on this machine, fetched if need be; None where it is not to be had."""
        if os.path.isfile(self.place):
            return None
        return cached_file(
            self.place,
            name,
            subfolder=self.subfolder,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            **self.hub,
        )

    def has(self, name: str) -> bool:
        """Whether there is a file, which may be too large to fetch."""
        name = f"{self.subfolder}/{name}" if self.subfolder else name
        if os.path.exists(self.place):
            return os.path.isfile(os.path.join(self.place, name))
        try:
            return has_file(self.place, name, **self.hub)
        except (OSError, ValueError):  # loading says why the place cannot be read
            return False

    def listed_in(self, index: str, path: str) -> list[Any]:
        """The files that a list of weights names."""
        try:
            return list(dict.fromkeys(read_json(path, LARGEST_INDEX)["weight_map"].values()))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self.refused(index, f"it is no list of weights ({type(error).__name__}: {error}).") from error

    def check(self, file: str, names: list[Any], endings: tuple[str, ...]) -> None:
        """Refuses a file that names others than safetensors of this place."""
        for name in names:
            if not isinstance(name, str) or not name.endswith(endings):
                raise self.refused(file, f"it names {name!r} as weights, which is no safetensors file. {CURE}")
            if name.startswith("/") or ":" in name or ".." in name.replace("\\", "/").split("/"):
                raise self.refused(file, f"it names {name!r} as weights, which lies outside.")

    def refused(self, file: str, why: str) -> UnsafeFileError:
        """The error for one of its files."""
        return UnsafeFileError(f"{file} in {self.place!r} is refused: {why}", file)
