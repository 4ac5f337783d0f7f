"""Whether a configuration is that of the weights beside it, judged by their headers before anything is built."""

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ..errors import FolderError
from .files import CONFIG, WEIGHTS, check_file, damaged, parse_json
from .guard import as_folder_error

LARGEST_HEADER = 2**26
"""Bytes; headers have some hundred for a tensor."""
FEW = 64
"""Layers and the like that a configuration may name whatever its weights are."""
COUNTS = re.compile(
    r"(num|n)_(\w+_)?(layers?|blocks?|groups?|experts)|(encoder_|decoder_)?layers|inner_group_num|depths?"
)
"""Fields that say how many parts of a kind are built."""
FEW_POSITIONS = 2**14
POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_source_positions", "seq_length")
"""Fields that may be the length of a table."""
WITHOUT_TABLE = re.compile(r"rope|rotary|alibi|relative")
"""Parts of the names of fields in families that need no table for positions."""
WINDOW = "attention_window"
"""A field to a multiple of which texts are padded."""
NUMBERS = re.compile(r"[IU]\d+|BOOL|C\d+")
"""Types of tensors, as headers write them, that are none of weights: whole numbers, truth values, complex numbers."""
SLACK = 2**22
"""Numbers that a model may hold beyond twice those of its weights."""
PACKED = 16
"""Numbers that a quantised one may stand for."""


class _Tensor(NamedTuple):
    """Shape and type of a tensor, as a header states them."""

    shape: tuple[int, ...]
    dtype: str


def headers(paths: Iterable[str | os.PathLike[str]]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in files of safetensors, read from their headers alone.

    Raises:
        UnsafeFileError: one is no regular file of its folder.
        FolderError: one is damaged.
    """
    return {name: tensor.shape for path in paths for name, tensor in _header(Path(path))}


def check_fits(
    config: Any,
    files: Iterable[str | os.PathLike[str]],
    build: Callable[[], nn.Module],
    place: Any,
    quantized: bool = False,
) -> None:
    """Refuses a configuration that asks for much more than its weights hold, before memory is taken for it.

    And weights that are whole numbers where the model has fractions: they would be taken for fractions.

    Args:
        config: of the encoder.
        files: its weights; if there are none, nothing is refused.
        build: makes the model; it is called on the meta device, where tensors take no memory.
        place: the folder or repository, for the message.
        quantized: whether transformers turns the numbers that are stored into weights.

    Raises:
        FolderError: it names the field, or how much is asked for; or a file of weights or the configuration is damaged.
    """
    if found := {name: tensor for path in files for name, tensor in _header(Path(path))}:
        with as_folder_error(place, CONFIG):
            shapes = {name: tensor.shape for name, tensor in found.items()}
            model = _check_shapes(config, shapes, PACKED if quantized else 1, build, place)
            if not quantized:
                _check_types(found, model, place)


def _check_shapes(
    config: Any, shapes: dict[str, tuple[int, ...]], packed: int, build: Callable[[], nn.Module], place: Any
) -> nn.Module:
    """The model on the meta device, if it is no larger than its weights."""
    content = config.to_dict()
    largest = max((size for shape in shapes.values() for size in shape), default=0)
    for name, value in _numbers(content):
        if COUNTS.fullmatch(name) and value > max(FEW, len(shapes)):
            raise not_together(
                place, f"it has {name} = {value:,}, and the weights beside it hold {len(shapes):,} tensors"
            )
        if name in POSITIONS and value > max(FEW_POSITIONS, largest) and not any(map(WITHOUT_TABLE.search, content)):
            raise not_together(
                place, f"it has {name} = {value:,}, and no tensor of the weights is longer than {largest:,}"
            )
        if name == WINDOW and value > max(FEW, content.get("max_position_embeddings") or 0):
            raise not_together(place, f"it has {name} = {value:,}, which is wider than the longest text")
    held = sum(map(math.prod, shapes.values())) * packed
    with torch.device("meta"):
        model = build()
    wanted = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    if wanted > 2 * held + SLACK:
        raise not_together(place, f"it asks for {wanted:,} numbers, and the weights beside it hold {held:,}")
    return model


def _check_types(found: dict[str, _Tensor], model: nn.Module, place: Any) -> None:
    floats = {name for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    for name, tensor in found.items():
        if NUMBERS.fullmatch(tensor.dtype) and floats.intersection(endings(name)):
            raise not_together(
                place,
                f"the weights {name!r} are stored as {tensor.dtype}, which are no fractions, and quantization_config "
                f"of {CONFIG} names no way that transformers knows to make fractions of them",
                WEIGHTS,
            )


def endings(name: str) -> Iterator[str]:
    """A name of weights, and what is left without the first of its parts, the first two, and so on."""
    parts = name.split(".")
    return (".".join(parts[start:]) for start in range(len(parts)))


def metadata_of(path: str | os.PathLike[str]) -> Any:
    """The metadata in the header of a file of safetensors, as they stand there; an empty dict where it has none.

    Raises:
        UnsafeFileError: it is no regular file of its folder.
        FolderError: it is damaged.
    """
    with _reading(path := Path(path)):
        return _written(path)[0].get("__metadata__") or {}


def _header(path: Path) -> Iterator[tuple[str, _Tensor]]:
    """Names, shapes and types of the tensors in a file."""
    with _reading(path):
        found, held = _written(path)
        shapes = {
            name: (one["shape"], one["data_offsets"], str(one["dtype"]))
            for name, one in found.items()
            if name != "__metadata__"
        }
        ends = [offsets[1] for _, offsets, _ in shapes.values()]
        if max(ends, default=0) != held:
            raise damaged(path, f"it holds {held:,} bytes of tensors, and its header names {max(ends, default=0):,}")
        for name, (shape, _, dtype) in shapes.items():
            if any(type(number) is not int or number < 0 for number in shape):
                raise damaged(path, f"the shape of {name[:60]!r} is {str(shape)[:60]}")
            yield name, _Tensor(tuple(shape), dtype)


def _written(path: Path) -> tuple[Any, int]:
    """The header of a file as it is written there, and how many bytes of tensors follow it."""
    check_file(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if length > min(LARGEST_HEADER, size - 8):
            raise damaged(path, f"it has {size:,} bytes, and its header alone {length:,}")
        return parse_json(file.read(length), path), size - 8 - length


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Says of what is no header that the file is damaged."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, FolderError):
            raise
        raise damaged(
            path, f"its header is none of safetensors ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def _numbers(content: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """The whole numbers in a configuration with the names of their fields, at whatever depth."""
    for name, value in content.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int) and not isinstance(one, bool):
                yield name, one
            elif isinstance(one, dict):
                yield from _numbers(one)


def not_together(place: Any, why: str, file: str = CONFIG) -> FolderError:
    """The error for a configuration and weights that are not those of one model."""
    return FolderError(
        f"{CONFIG} in {os.fspath(place)!r} and the weights beside it do not belong together: {why}. Download or save "
        "the folder again.",
        file,
    )
