import inspect
import pickle  # noqa: TID251 what is tested here is that users may

import torch
from torch import Tensor, nn
from transformers.utils.generic import find_labels

from mann_hf import MANNForSequenceClassification
from mann_hf.models.trainer_labels import labels_for_trainers


class Model(nn.Module):
    @labels_for_trainers("labels")
    def forward(self, x: Tensor, labels: Tensor | None = None, other_labels: Tensor | None = None) -> Tensor:
        """Adds."""
        return x if other_labels is None else x + other_labels


class Child(Model):
    @labels_for_trainers("labels")
    def forward(self, x: Tensor, labels: Tensor | None = None, other_labels: Tensor | None = None) -> Tensor:
        return 2 * super().forward(x, labels, other_labels)


def test_a_trainer_finds_the_labels_named_alone_and_keeps_every_column() -> None:
    assert find_labels(Model) == find_labels(Child) == find_labels(MANNForSequenceClassification) == ["labels"]
    assert [*inspect.signature(Model().forward).parameters] == ["x", "labels", "other_labels"]
    assert "support_labels" in inspect.signature(MANNForSequenceClassification.forward.__wrapped__).parameters


def test_it_is_called_as_any_other() -> None:
    x = torch.ones(2)
    assert Model()(x, other_labels=x).tolist() == Model.forward(Model(), x, None, x).tolist() == [2, 2]
    assert Child()(x, None, x).tolist() == [4, 4]
    assert Model.forward.__doc__ == Model().forward.__doc__ == "Adds."
    assert pickle.loads(pickle.dumps(Model()))(x).tolist() == [1, 1]
