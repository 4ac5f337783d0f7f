"""Indexes of pairs in files of their own beside the memory: a search that was prepared once need not be again."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers.utils import logging

from ...errors import FolderError, InvalidInputError, MissingExtraError, UnsafeFileError
from ...hub.files import escapes_folder
from ...hub.weight_sizes import headers
from ...memory.stores import STORES
from ..file_entries import expect
from .index import Index
from .memory import PairMemory

INDEX_FILES = {"pairs": "memory.index-pairs.safetensors", "tokens": "memory.index-tokens.safetensors"}
"""The files of indexes, by what they are of."""
FORMAT, VERSION = "mann_hf.pairs_index", "1"

logger = logging.get_logger(f"transformers.{__name__}")


def write_indexes(memory: PairMemory, folder: Path) -> None:
    """Writes the indexes that were made of these pairs into a folder that nobody reads yet."""
    ids = memory.ids_in_order.numpy()
    for part, index in memory.indexes.items():
        with index.lock:
            there, held = index.rows_in_memory()
            if index.lost or not np.array_equal(held, ids):  # it has gone on with another memory
                continue
            parts = index.store.parts()
            slots = parts["slots"].numpy()
            pairs = index.firsts.searchsorted(slots, side="right") - 1
            parts["slots"] = torch.from_numpy(there[pairs] + slots - index.firsts[pairs])
            sizes = np.diff(index.firsts)[index.present]
        tensors = {f"store.{name}": tensor.contiguous() for name, tensor in parts.items()}
        tensors |= {"ids": torch.from_numpy(held), "sizes": torch.from_numpy(sizes)}
        # one entry alone: safetensors writes several in an order that changes from save to save
        described = json.dumps([f"{FORMAT}/{VERSION}", index.store_name, part, _encoder(memory)])
        save_file(tensors, folder / INDEX_FILES[part], metadata={"format": described})


def load_index(memory: PairMemory, part: str, store: str | None = None) -> Index | None:
    """The saved index of these pairs, or of most of them; None if there is none of this encoder and store.

    Without a store it is that of any store whose packages are installed.

    A stranger may have written it: what it claims is checked, and it can at worst lead to pairs that are not the
    nearest. One that is damaged is passed over with a warning.
    """
    if memory.index_folder is None or not (path := memory.index_folder / INDEX_FILES[part]).is_file():
        return None
    try:
        expect(not escapes_folder(path), "it is a link out of its folder")
        headers([path])
        with safe_open(path, framework="pt") as file:
            described = json.loads((file.metadata() or {}).get("format", "null"))
            written = described[1] if isinstance(described, list) and len(described) == 4 else None
            if described != [f"{FORMAT}/{VERSION}", store or written, part, _encoder(memory)]:
                return None
            assert isinstance(written, str)
            return _assemble({name: file.get_tensor(name) for name in file.keys()}, written)  # noqa: SIM118 no mapping
    except MissingExtraError:
        return None
    except (
        *(SafetensorError, InvalidInputError, FolderError, UnsafeFileError, OSError),
        *(LookupError, TypeError, ValueError, RuntimeError),
    ) as error:
        logger.warning_once(f"{path} is damaged, so the index is made anew: {str(error)[:300]}")
        return None


def _assemble(tensors: dict[str, Tensor], store: str) -> Index:
    ids, sizes = tensors.pop("ids"), tensors.pop("sizes")
    parts = {name.removeprefix("store."): tensor for name, tensor in tensors.items()}
    slots = parts["slots"]
    expect(ids.dtype == sizes.dtype == slots.dtype == torch.int64, "its numbers are not whole")
    expect(ids.dim() == 1 and ids.shape == sizes.shape and slots.dim() == 1, "its shapes do not fit")
    expect(bool((sizes > 0).all()) and bool((sizes <= len(slots)).all()), "its sizes do not fit")
    expect(int(sizes.sum()) == len(slots) and len(ids.unique()) == len(ids), "its pairs do not fit")
    expect(bool(((slots >= 0) & (slots < len(slots))).all()), "a slot is out of range")
    firsts = np.concatenate([[0], sizes.numpy().cumsum()]).astype(np.int64)
    return Index.loaded(store, STORES[store].of_parts(parts), ids.numpy().copy(), firsts)


def _encoder(memory: PairMemory) -> Any:
    """A short text for the encoder whose keys are indexed."""
    if memory.probe is None:
        return None
    return hashlib.blake2b(memory.probe.detach().float().cpu().numpy().tobytes(), digest_size=8).hexdigest()
