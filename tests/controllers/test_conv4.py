"""Conv-4 against the literature's network in plain torch, then what must stay true of any image encoder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, set_seed

import mann_hf  # noqa: F401  # the Auto classes know conv4 from then on
from mann_hf.controllers.conv4 import Conv4Config, Conv4Model
from mann_hf.errors import InvalidInputError, InvalidTypeError


def made(seed: int = 0, **fields: Any) -> Conv4Model:
    set_seed(seed)
    return Conv4Model(Conv4Config(**{"image_size": 28, "hidden_size": 8, **fields}))


def images(count: int = 6, size: int = 28, channels: int = 1, seed: int = 1) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def as_published(model: Conv4Model) -> nn.Sequential:
    """Convolution, batch normalization, ReLU and max-pooling, four times, with the model's weights."""
    layers: list[nn.Module] = []
    for block in model.blocks:
        own: Any = block
        convolution = nn.Conv2d(own.convolution.in_channels, own.convolution.out_channels, 3, padding=1)
        normalization = nn.BatchNorm2d(own.convolution.out_channels)
        convolution.load_state_dict(own.convolution.state_dict())
        normalization.load_state_dict(own.normalization.state_dict())
        layers += [convolution, normalization, nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten())


@pytest.mark.parametrize("size, channels", [(28, 1), (84, 3)])
def test_is_the_published_network_in_values_and_gradients(size: int, channels: int) -> None:
    model = made(image_size=size, num_channels=channels)
    with torch.no_grad():
        for block in model.blocks:  # some scales below zero, too
            nn.init.normal_(block.normalization.weight)  # type: ignore[arg-type, union-attr]
    reference = as_published(model)
    pixels = images(size=size, channels=channels)
    for training in (True, False):
        model.train(training), reference.train(training)
        expected, found = reference(pixels), model(pixels).pooler_output
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    expected.square().sum().backward()
    found.square().sum().backward()
    for own, other in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "size, pooler, positions, key_size",
    [
        (28, "flatten", 1, 64),
        (28, "mean", 1, 64),
        (84, "flatten", 5, 1600),
        (84, "mean", 5, 64),
        (16, "flatten", 1, 64),
    ],
)
def test_shapes_are_those_of_the_literature(size: int, pooler: str, positions: int, key_size: int) -> None:
    model = made(image_size=size, hidden_size=64, pooler=pooler).eval()
    output = model(images(2, size), output_hidden_states=True)
    assert output.last_hidden_state.shape == (2, 64, positions, positions)
    assert output.pooler_output.shape == (2, key_size) == (2, model.config.pooler_output_size)
    assert len(output.hidden_states) == 4 and output.hidden_states[-1] is output.last_hidden_state


def test_the_mean_is_over_positions() -> None:
    output = made(image_size=40, pooler="mean").eval()(images(size=40))
    torch.testing.assert_close(output.pooler_output, output.last_hidden_state.mean((2, 3)))


def test_a_flat_vector_is_in_the_order_of_channels_then_positions() -> None:
    output = made(image_size=40).eval()(images(size=40))
    torch.testing.assert_close(output.pooler_output, output.last_hidden_state.contiguous().flatten(1))


def test_a_tuple_if_asked_for() -> None:
    model = made().eval()
    states, pooled = model(images(), return_dict=False)
    assert torch.equal(states, model(images()).last_hidden_state)
    assert torch.equal(pooled, model(images()).pooler_output)


def trained() -> Conv4Model:
    """A model whose running statistics are no longer those of a new one."""
    model = made().train()
    for step in range(3):
        model(images(seed=step))
    return model


def test_in_evaluation_an_image_is_encoded_by_itself() -> None:
    model, pixels = trained().eval(), images()
    together = model(pixels).pooler_output
    alone = torch.cat([model(pixel[None]).pooler_output for pixel in pixels])
    torch.testing.assert_close(alone, together, atol=1e-6, rtol=1e-5)


def test_in_training_the_batch_is_normalized_by_its_own_statistics() -> None:
    model, pixels = trained(), images()
    before = model(pixels[:3]).pooler_output
    assert not torch.allclose(before, model(pixels).pooler_output[:3], atol=1e-3)


def test_saved_and_loaded_by_the_auto_classes(tmp_path: Path) -> None:
    model = trained().eval()
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert type(again) is Conv4Model and not again.training
    assert torch.equal(again(images()).pooler_output, model(images()).pooler_output)
    assert again.state_dict().keys() == model.state_dict().keys() == load_file(tmp_path / "model.safetensors").keys()
    assert AutoConfig.from_pretrained(tmp_path).to_diff_dict() == model.config.to_diff_dict()


def test_the_auto_classes_make_one_by_its_name() -> None:
    config = AutoConfig.for_model("conv4", image_size=32, num_channels=3)
    assert isinstance(config, Conv4Config) and config.pooler_output_size == 256
    model = AutoModel.from_config(config)
    assert model(images(size=32, channels=3)).pooler_output.shape == (6, 256)


def test_new_weights_are_drawn_as_documented() -> None:
    model = made(hidden_size=64)
    for block in model.blocks:
        own: Any = block
        expected = (2 / (9 * 64)) ** 0.5  # of outputs, 3 x 3 positions and 64 channels
        assert own.convolution.weight.std().item() == pytest.approx(expected, rel=0.1)
        assert not own.convolution.bias.any()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), made(hidden_size=64).parameters(), strict=True))


def test_gradients_are_those_of_finite_differences() -> None:
    model = made(image_size=16, hidden_size=2).double().eval()
    pixels = images(2, 16).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x).pooler_output, pixels)


def test_takes_pixels_of_another_precision_than_its_weights() -> None:
    assert made().double()(images()).pooler_output.dtype == torch.float64
    half = made().bfloat16().eval()(images()).pooler_output
    torch.testing.assert_close(half.float(), made().eval()(images()).pooler_output, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 1, 32, 32), (2, 1, 28, 27), (1, 28, 28)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match=r"C = 1 and h = w = 28"):
        made()(torch.rand(shape))


def test_pixels_that_are_no_floats_are_refused() -> None:
    for pixels in (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), images().numpy(), None):
        with pytest.raises(InvalidTypeError, match="pixel_values must be"):
            made()(pixels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [{"image_size": 15}, {"num_channels": 0}, {"hidden_size": 1.5}, {"pooler": "max"}, {"image_size": (28, 28)}],
)
def test_fields_that_cannot_be_meant_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(fields))):
        Conv4Config(**fields)
