"""Texts as unit vectors, each text encoded once and kept in a folder."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

SHARD = 2048
"""Texts that are encoded before they are written to the folder."""

Encode = Callable[[list[str]], np.ndarray]
"""Texts to unit vectors [n, K], float32."""


def text_digest(text: str) -> bytes:
    """The name under which the vector of a text is kept."""
    return hashlib.sha256(text.encode()).digest()


class VectorStore:
    """The vectors of texts, from the folder where they are there, and else from the encoder.

    Shards are written one by one, so that a stopped run goes on where it was.

    Args:
        encode: the encoder.
        folder: of this encoder alone; made when something is written.
    """

    def __init__(self, encode: Encode, folder: Path) -> None:
        self._encode, self._folder = encode, folder
        self._vectors: dict[bytes, np.ndarray] = {}
        for shard in sorted(folder.glob("*.safetensors")):
            tensors = load_file(shard)
            self._add([digest.tobytes() for digest in tensors["digests"]], tensors["vectors"])

    def __call__(self, texts: list[str]) -> np.ndarray:
        """[n, K] float32."""
        missing = {digest: text for text in texts if (digest := text_digest(text)) not in self._vectors}
        order = sorted(missing, key=lambda digest: len(missing[digest]))  # like lengths together pad little
        for start in range(0, len(order), SHARD):
            print(f"\rencoding {start} of {len(order)} texts", end="", file=sys.stderr, flush=True)
            digests = order[start : start + SHARD]
            vectors = np.ascontiguousarray(self._encode([missing[digest] for digest in digests]), dtype=np.float32)
            self._save(digests, vectors)
            self._add(digests, vectors)
        if order:
            print(f"\rencoded {len(order)} texts" + " " * 20, file=sys.stderr)
        return np.stack([self._vectors[text_digest(text)] for text in texts])

    def _add(self, digests: list[bytes], vectors: np.ndarray) -> None:
        self._vectors.update(zip(digests, vectors, strict=True))

    def _save(self, digests: list[bytes], vectors: np.ndarray) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(b"".join(digests)).hexdigest()[:16]
        unfinished = self._folder / f"{name}.unfinished"
        rows = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), -1)
        save_file({"digests": rows, "vectors": vectors}, unfinished)
        unfinished.replace(self._folder / f"{name}.safetensors")
