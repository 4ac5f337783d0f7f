"""A batch of episodes on its way from a data loader to a model."""

from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from mann_hf.episodes import EpisodeBatch
from mann_hf.errors import InvalidInputError

PICTURES: list[dict[str, Any]] = [
    {"pixel_values": torch.rand(2, 3, 8, 8)},
    {"pixel_values": torch.rand(1, 3, 8, 8), "size": 8},
]


def batch(**parts: Any) -> EpisodeBatch:
    """Two episodes over three inputs."""
    given: dict[str, Any] = {
        "inputs": PICTURES,
        "support_index": torch.tensor([[0, 1], [1, 2]]),
        "support_labels": torch.tensor([[0, 1], [1, 0]]),
        "query_index": torch.tensor([[2], [0]]),
        "labels": torch.tensor([[0], [1]]),
        "n_way": 2,
        "seeds": torch.tensor([3, 4]),
    }
    return EpisodeBatch(**given | parts)


def devices(found: EpisodeBatch) -> set[str]:
    return {leaf.device.type for leaf in pytree.tree_leaves(found) if isinstance(leaf, Tensor)}


def test_it_counts_episodes_and_inputs_of_any_kind() -> None:
    assert len(batch()) == 2 and batch().input_count == 3
    assert "labels" in batch() and "name_index" not in batch() and "pixel_values" not in batch()


def test_it_moves_whole() -> None:
    moved = batch().to("meta")
    assert devices(moved) == {"meta"} and len(pytree.tree_leaves(moved)) == len(pytree.tree_leaves(batch()))
    assert moved.n_way == 2 and moved.inputs[1]["size"] == 8 and moved.name_index is None
    assert devices(send_to_device(batch(), "meta", non_blocking=True)) == {"meta"}


def test_it_is_pinned_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor, *device: pinned.append(tensor) or tensor)  # type: ignore[func-returns-value]
    torch.utils.data._utils.pin_memory.pin_memory(batch())  # as a DataLoader does
    assert len(pinned) == 2 + 5


def test_a_trainer_takes_it_as_it_is(tmp_path: Any) -> None:
    trainer = Trainer(torch.nn.Linear(1, 1), TrainingArguments(str(tmp_path), use_cpu=True, report_to="none"))
    assert isinstance(trainer._prepare_inputs(batch()), EpisodeBatch)  # type: ignore[arg-type]
    batches, count = trainer.get_batch_samples(iter([batch()]), 1, torch.device("cpu"))
    assert len(batches) == 1 and count is None


def test_a_loader_of_accelerate_gives_it_whole() -> None:
    numbers: Any = [0, 1, 2]
    loader: Any = DataLoader(numbers, batch_size=2, collate_fn=lambda some: batch(seeds=torch.tensor(some)))
    found: list[Any] = list(Accelerator(cpu=True).prepare(loader))
    assert [each.seeds.tolist() for each in found] == [[0, 1], [2]]
    assert torch.equal(found[0].inputs[0]["pixel_values"], PICTURES[0]["pixel_values"])


@pytest.mark.parametrize(
    "parts, says",
    [
        ({"inputs": []}, "has no inputs"),
        ({"support_labels": torch.zeros(2, 3)}, r"support_labels \(2, 3\), .* must be \[B, S\]"),
        ({"query_index": torch.zeros(2)}, r"query_index \(2,\): they must be"),
        ({"query_index": torch.zeros(3, 1)}, r"query_index \(3, 1\): they must be"),
        ({"name_index": torch.zeros(1, 2)}, r"name_index is \(1, 2\); it must be \[B, N\] with B = 2"),
    ],
)  # fmt: skip
def test_parts_that_do_not_go_together(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        batch(**parts)
