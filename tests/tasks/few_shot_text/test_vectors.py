"""Every text is encoded once, whatever happens in between."""

from pathlib import Path

import numpy as np
import pytest

from tasks.few_shot_text import vectors
from tasks.few_shot_text.vectors import VectorStore


class CountingEncoder:
    def __init__(self, fails_at: str | None = None) -> None:
        self.seen: list[str] = []
        self.fails_at = fails_at

    def __call__(self, texts: list[str]) -> np.ndarray:
        if self.fails_at in texts:
            raise KeyboardInterrupt
        self.seen += texts
        return np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)


def test_vectors_come_in_the_order_of_the_texts(tmp_path: Path) -> None:
    store = VectorStore(CountingEncoder(), tmp_path)
    assert store(["ccc", "a", "bb", "a"]).tolist() == [[3, 99], [1, 97], [2, 98], [1, 97]]


def test_a_text_is_encoded_once(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    first = VectorStore(encoder, tmp_path)(["a", "bb", "a"])
    again = VectorStore(encoder, tmp_path)
    assert (again(["a", "bb", "a"]) == first).all()
    again(["bb", "ccc"])
    assert sorted(encoder.seen) == ["a", "bb", "ccc"]


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "SHARD", 2)
    stopped = CountingEncoder(fails_at="eeeee")
    texts = ["a", "bb", "ccc", "dddd", "eeeee"]
    with pytest.raises(KeyboardInterrupt):
        VectorStore(stopped, tmp_path)(texts)
    encoder = CountingEncoder()
    assert VectorStore(encoder, tmp_path)(texts)[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert encoder.seen == ["eeeee"]
    assert not list(tmp_path.glob("*.unfinished"))
