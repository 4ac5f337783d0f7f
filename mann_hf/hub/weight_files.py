"""What transformers may read of a stranger's folder or repository: safetensors that lie in it, and no code."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from ..errors import FolderError
from .files import CONFIG, SAFETENSORS, WEIGHTS, check_file, check_folder
from .source import Source

INDEX = ".safetensors.index.json"
LARGEST_INDEX = 2**26
"""Bytes of a list of weights; those of the largest models have some millions."""
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
ADAPTER = "adapter_config.json"
CURE = (
    "Ask its author for safetensors, or convert it where nothing else runs; use_safetensors=False reads it all the "
    "same, by the weights_only loading of transformers."
)


def safetensors_alone(source: Source, config: PreTrainedConfig | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments for a `from_pretrained` that reads safetensors of the source itself.

    `use_safetensors=True` is not all: transformers also opens what a list of weights names, wherever that is, what the
    configuration names, and the files of an adapter beside the weights.

    Args:
        source: of the weights.
        config: of the model there.
        kwargs: of `from_pretrained`. With `use_safetensors=False` or a `gguf_file` the user has chosen other weights.

    Raises:
        UnsafeFileError: it names the file, why it is refused, and what helps.
    """
    if source.place is None:
        return kwargs
    if (folder := source.folder) is not None:
        check_folder(folder)
    if source.path(ADAPTER) is not None or (kwargs.get("adapter_kwargs") or {}).get("_adapter_model_path") is not None:
        raise source.refused(
            ADAPTER,
            "transformers would put an adapter on the encoder unasked, and read further files for it. Merge it into "
            "the weights (merge_and_unload of PEFT) and save them, or remove the file.",
        )
    if _has_chosen(kwargs):
        return kwargs
    _names(source, config, kwargs)
    return {**kwargs, "use_safetensors": True}


def weights_of(source: Source, config: PreTrainedConfig | None, kwargs: dict[str, Any]) -> list[Path]:
    """The files of weights that `safetensors_alone` has found good, on this machine; none of other kinds of weights.

    Raises:
        UnsafeFileError: one is a link out of the folder.
        FolderError: a folder holds none.
    """
    if source.place is None or _has_chosen(kwargs):
        return []
    if source.file is not None:
        return [source.file]
    found = [path for name in _names(source, config, kwargs) if (path := source.path(name)) is not None]
    for file in found:
        check_file(file, root=source.folder)
    if not found and source.folder is not None and kwargs.get("state_dict") is None and not kwargs.get("variant"):
        raise no_weights(source)
    return found


def no_weights(source: Source) -> FolderError:
    """The error for a source without weights."""
    return FolderError(
        f"{source.place!r} has no {WEIGHTS}: copy or download that file too, or save the model again.", WEIGHTS
    )


def _has_chosen(kwargs: dict[str, Any]) -> bool:
    """Whether the user has chosen weights other than safetensors."""
    return kwargs.get("use_safetensors") is False or kwargs.get("gguf_file") is not None


def _names(source: Source, config: PreTrainedConfig | None, kwargs: dict[str, Any]) -> list[str]:
    """The names of the weights of a source.

    Raises:
        UnsafeFileError: they are no safetensors of the source.
    """
    if source.file is not None and source.file.suffix != SAFETENSORS:
        raise source.refused(source.file.name, f"it is no safetensors file, and a pickle can run code. {CURE}")
    variant = f".{kwargs['variant']}" if kwargs.get("variant") else ""
    weights, index = f"model{variant}{SAFETENSORS}", f"model.safetensors.index{variant}.json"
    named = getattr(config, "transformers_weights", None)
    if named is not None:
        _check(source, CONFIG, [named], (SAFETENSORS, INDEX))
        weights, index = (named, "") if named.endswith(SAFETENSORS) else ("", named)
    if weights and source.path(weights) is not None:
        return [weights]
    if index and source.path(index) is not None:
        listed = _listed_in(source, index)
        _check(source, index, listed, (SAFETENSORS,))
        return listed
    if pickle := next(filter(source.has, PICKLES), None):
        raise source.refused(pickle, f"it is a pickle, which can run code, and there is no {weights or index}. {CURE}")
    return []


def _listed_in(source: Source, index: str) -> list[Any]:
    """The files that a list of weights names."""
    try:
        return list(dict.fromkeys(source.json(index, LARGEST_INDEX)["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise source.refused(index, f"it is no list of weights ({type(error).__name__}: {error}).") from error


def _check(source: Source, file: str, names: list[Any], endings: tuple[str, ...]) -> None:
    """Refuses a file that names others than safetensors of its source."""
    for name in names:
        if not isinstance(name, str) or not name.endswith(endings):
            raise source.refused(file, f"it names {name!r} as weights, which is no safetensors file. {CURE}")
        if name.startswith("/") or ":" in name or ".." in name.replace("\\", "/").split("/"):
            raise source.refused(file, f"it names {name!r} as weights, which lies outside.")
