"""Episodes of pairs as tensors: every pair once, and each where its episode has it."""

from typing import Any

import pytest
import torch

from mann_hf.episodes import Episode, Examples, Pair, PairCollator
from mann_hf.errors import InvalidInputError

A, B, C = Pair("a a a", "x"), Pair("b", "y y"), Pair("c c", "z z z z")


class LetterProcessor:
    """Letters as numbers, in the protocol of a processor of pairs."""

    def check(self, sources: list[str]) -> list[str]:
        return sources

    def check_targets(self, targets: list[str], count: int) -> list[str]:
        assert len(targets) == count
        return targets

    def encode(self, sources: list[str]) -> list[list[int]]:
        return [[ord(word) for word in source.split()] for source in sources]

    encode_targets = encode

    def batches(self, encodings: Any, targets: Any) -> list[list[int]]:
        return [[place] for place in sorted(range(len(encodings)), key=lambda place: -len(encodings[place]))]

    def collate_pairs(self, encodings: Any, targets: Any, rows: list[int]) -> dict[str, torch.Tensor]:
        def padded(lists: Any, filler: int) -> torch.Tensor:
            width = max(len(lists[row]) for row in rows)
            return torch.tensor([[*lists[row], *[filler] * (width - len(lists[row]))] for row in rows])

        sources = padded(encodings, 0)
        return {"input_ids": sources, "attention_mask": (sources > 0).long(), "labels": padded(targets, -100)}


def episode(support: list[Pair], query: list[Pair], seed: int = 0) -> Episode:
    return Episode(Examples(support, [0] * len(support)), Examples(query, [0] * len(query)), ("pair",), seed)


@pytest.mark.parametrize("grouped", [True, False])
def test_each_pair_is_there_once_and_found_where_its_episodes_have_it(grouped: bool) -> None:
    batch = PairCollator(LetterProcessor(), group_by_length=grouped)(
        [episode([A, B], [C]), episode([C], [A, Pair(*B)], 7)]
    )
    assert batch.input_count == 3 and len(batch.inputs) == (3 if grouped else 1)
    rows = [
        row for group in batch.inputs for row in zip(group["input_ids"].tolist(), group["labels"].tolist(), strict=True)
    ]
    held = [
        ("".join(chr(n) for n in source if n > 0), "".join(chr(n) for n in target if n > 0)) for source, target in rows
    ]

    def pairs(index: torch.Tensor) -> list[list[Any]]:
        return [[None if place < 0 else held[place] for place in row] for row in index.tolist()]

    a, b, c = ("aaa", "x"), ("b", "yy"), ("cc", "zzzz")
    assert pairs(batch.support_index) == [[a, b], [c, None]] and pairs(batch.query_index) == [[c, None], [a, b]]
    assert batch.support_labels.tolist() == [[0, 0], [0, -100]]
    assert batch.labels is not None and batch.labels.tolist() == [[0, -100], [0, 0]]
    assert batch.seeds is not None and batch.seeds.tolist() == [0, 7]


def test_an_episode_may_have_no_support() -> None:
    batch = PairCollator(LetterProcessor())([episode([], [A])])
    assert batch.support_index.shape == (1, 0) and batch.query_index.shape == (1, 1)


def test_the_processor_is_the_models() -> None:
    class Model:
        def processor(self, processing_class: str) -> Any:
            assert processing_class == "tokenizer"
            return LetterProcessor()

    collator = PairCollator.for_model(Model(), "tokenizer", label_names=False, group_by_length=False)
    assert isinstance(collator.processor, LetterProcessor) and not collator.group_by_length


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no episodes"):
        PairCollator(LetterProcessor())([])
    with pytest.raises(InvalidInputError, match="label_names=True"):
        PairCollator(LetterProcessor(), label_names=True)
