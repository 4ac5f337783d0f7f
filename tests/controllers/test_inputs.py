"""What no encoder can read is refused in words, whichever door it comes by."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AlbertConfig, ElectraConfig

from mann_hf import MANNConfig, MANNForSequenceClassification
from mann_hf.controllers.inputs import check_inputs
from mann_hf.errors import InvalidInputError, InvalidTypeError

IDS = torch.tensor([[2, 7, 8, 9, 3], [2, 9, 3, 0, 0]])
MASK = (IDS != 0).long()
VECTORS = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model(tiny_classifier: Callable[..., MANNForSequenceClassification]) -> Any:
    model = tiny_classifier()
    model.remember(torch.eye(2, 32), ["a", "b"])
    return model


def test_masks_of_every_type_are_one(model: Any) -> None:
    expected = model(IDS, MASK).logits
    for mask in (MASK.bool(), MASK.float(), MASK.half(), MASK.int()):
        assert torch.equal(model(IDS, mask).logits, expected)
    assert torch.allclose(model(IDS.int(), MASK).logits, expected)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"input_ids": "where is my card"}, "type str.* pipeline few-shot-text-classification"),
        ({"input_ids": ["where is my card"]}, "type list.* pipeline few-shot-text-classification"),
        ({"input_ids": [[1, 2]]}, "type list.* return_tensors"),
        ({"input_ids": {"input_ids": IDS}}, r"type dict.* model\(\*\*inputs\)"),
        ({"input_ids": np.ones((2, 3), dtype=int)}, "type ndarray"),
        ({"input_ids": IDS.float()}, r"torch.float32; .*long\(\)"),
        ({"input_ids": IDS[0]}, r"shape \[5\].* input_ids\[None\]"),
        ({"input_ids": IDS[None]}, r"shape \[1, 2, 5\].* one row a text"),
        ({"input_ids": IDS[:0]}, "without a text"),
        ({"input_ids": IDS[:, :0]}, "without a token"),
        ({"input_ids": IDS + 100_000}, "token 100009, and the encoder has"),
        ({"input_ids": IDS - 50}, "token -50"),
        ({}, "got no text"),
        ({"input_ids": IDS, "inputs_embeds": VECTORS}, "got both"),
        ({"inputs_embeds": VECTORS[0]}, r"\[5, 32\] .* \[B, L, H\]"),
        ({"inputs_embeds": IDS}, "must be floating-point"),
        ({"inputs_embeds": VECTORS[..., :7]}, "vectors of 7 numbers"),
        ({"inputs_embeds": VECTORS * float("nan")}, "query 0 .*NaN"),
        ({"input_ids": IDS, "attention_mask": MASK[0]}, r"attention_mask has the shape \[5\]"),
        ({"input_ids": IDS, "attention_mask": MASK[:, :4]}, r"attention_mask has the shape \[2, 4\]"),
        ({"input_ids": IDS, "attention_mask": MASK[:, None, None]}, r"attention_mask has the shape \[2, 1, 1, 5\]"),
        ({"input_ids": IDS, "attention_mask": MASK.tolist()}, "attention_mask: .*type list"),
        ({"input_ids": IDS, "attention_mask": (MASK - 1) * 1e9}, "other numbers than 0 and 1"),
        ({"input_ids": IDS, "attention_mask": MASK * float("nan")}, "other numbers than 0 and 1"),
        ({"input_ids": IDS, "attention_mask": MASK * torch.tensor([[1], [0]])}, "text 1 .*has no token"),
        ({"input_ids": IDS, "token_type_ids": MASK[:, :3]}, r"token_type_ids has the shape \[2, 3\]"),
        ({"input_ids": IDS, "token_type_ids": MASK * 9}, "token_type_ids go up to 9, and it has 2"),
        ({"input_ids": IDS, "position_ids": IDS * 100}, "position_ids go up to 900, and it has 64"),
        ({"input_ids": IDS.repeat(1, 20)}, "reads 64 tokens, and the texts have up to 100: .*truncation=True"),
        ({"input_ids": IDS, "labels": [0, 1]}, "labels: .*type list"),
        ({"input_ids": IDS, "labels": torch.tensor([0.0, float("nan")])}, "labels are of torch.float32"),
        ({"input_ids": IDS, "support_input_ids": "text", "support_labels": MASK[0]}, "support_input_ids: .*type str"),
        ({"input_ids": IDS, "support_input_ids": IDS, "support_labels": [0, 1]}, "support_labels: .*type list"),
        ({"input_ids": IDS, "support_input_ids": IDS, "support_labels": MASK[1, 2:4], "n_way": 2.5}, "n_way is 2.5"),
        (
            {"input_ids": IDS, "support_input_ids": IDS, "support_labels": MASK[1, 2:4]}
            | {"support_attention_mask": MASK * torch.tensor([[0], [1]])},
            "support text 0 .*has no token",
        ),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else None,
)
def test_what_is_no_batch_of_tokens_is_refused(inputs: dict[str, Any], says: str, model: Any) -> None:
    with pytest.raises((InvalidInputError, InvalidTypeError), match=says):
        model(**inputs)


def test_texts_of_padding_that_is_left_out_may_be_empty(model: Any) -> None:
    mask = MASK * torch.tensor([[1], [0]])
    support = {"support_input_ids": IDS, "support_attention_mask": mask, "support_labels": torch.tensor([0, -100])}
    output = model(IDS, mask, labels=torch.tensor([0, -100]), n_way=2, **support)
    assert output.loss.isfinite()
    with pytest.raises(InvalidInputError, match="query 1 .*has no token"):
        model(IDS, mask, n_way=2, **support)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("out of memory"), RuntimeError("CUDA error: device-side assert triggered")]
)
@pytest.mark.parametrize(
    "inputs", [{"input_ids": IDS}, {"input_ids": IDS.repeat(1, 20)}, {"inputs_embeds": VECTORS[..., :7]}]
)
def test_errors_of_the_device_stay_as_they_are(
    model: Any, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, inputs: dict[str, Any]
) -> None:
    def failing(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(model.encoder, "forward", failing)
    for call in (lambda: model(**inputs), lambda: model.embed_texts(tiny_tokenizer, ["where is my card"])):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error


@pytest.mark.parametrize("family", [AlbertConfig, ElectraConfig])
def test_vectors_of_tokens_may_be_shorter_than_states(family: Any) -> None:
    config = family(
        vocab_size=100,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    model = MANNForSequenceClassification(MANNConfig(encoder_config=config))
    assert model.embed(inputs_embeds=VECTORS[..., :16]).shape == (2, 32)
    with pytest.raises(InvalidInputError, match="vectors of 32 numbers, and it takes vectors of 16"):
        model.embed(inputs_embeds=VECTORS)


def test_a_device_is_not_waited_for_number_by_number(model: Any) -> None:
    with CountedNumbers() as numbers:
        check_inputs(model.encoder, {"input_ids": IDS, "attention_mask": MASK})
    assert not numbers.count


class CountedNumbers(TorchDispatchMode):
    """Counts the numbers that are brought to Python by themselves."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))
