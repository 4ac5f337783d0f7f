"""Writing a file of safetensors part by part: its own writer takes whole tensors, which may be larger than memory."""

import io
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from torch import Tensor

DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
}
"""Types as headers write them."""


class Column(NamedTuple):
    """One tensor of a file.

    Attributes:
        name: of the tensor.
        dtype: its type.
        shape: its shape.
        parts: its rows, in parts of this type.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    parts: Iterable[Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_columns(path: Path, columns: Iterable[Column], metadata: dict[str, str]) -> None:
    """Writes a file whole: a reader finds what was there before or all of the new.

    The [format](https://huggingface.co/docs/safetensors) is the length of a header in JSON, the header, and the bytes
    of the tensors in its order.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with open(temporary, "xb") as file:
            _write_all(file, list(columns), metadata)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # others may have mapped what was there
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def columns_as_bytes(columns: Iterable[Column], metadata: dict[str, str]) -> bytes:
    """The content of the file that `write_columns` writes."""
    file = io.BytesIO()
    _write_all(file, list(columns), metadata)
    return file.getvalue()


def _write_all(file: BinaryIO, columns: Sequence[Column], metadata: dict[str, str]) -> None:
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for column in columns:
        offsets = [end, end := end + column.nbytes]
        header[column.name] = {"dtype": DTYPES[column.dtype], "shape": column.shape, "data_offsets": offsets}
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    file.write(len(written).to_bytes(8, "little") + written)
    for column in columns:
        _write(file, column)


def _write(file: BinaryIO, column: Column) -> None:
    size = 0
    for part in column.parts:
        letters = part.detach().cpu().contiguous().flatten().view(torch.uint8)
        size += file.write(letters.numpy().data)
    if size != column.nbytes:
        raise ValueError(f"{column.name} has {size:,} bytes, and its shape {column.shape} stands for {column.nbytes:,}")
