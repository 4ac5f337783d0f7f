import inspect
from typing import Any

import pytest
import torch

from mann_hf import EpisodeBatch, MANNConfig, MANNForImageClassification
from mann_hf.errors import InvalidInputError, InvalidTypeError
from tests.pictures import SIZE, image_encoder

Q, S, N = 4, 6, 3


@pytest.fixture
def model() -> MANNForImageClassification:
    torch.manual_seed(0)
    return MANNForImageClassification.from_encoder_config("conv4", image_size=SIZE, num_channels=3, hidden_size=8)


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, 3, SIZE, SIZE)


def test_an_episode_is_answered_alone_as_among_others(model: MANNForImageClassification) -> None:
    asked, shown = images(2, Q), images(2, S)
    labels, support_labels = torch.randint(N, (2, Q)), torch.arange(S).expand(2, S) % N
    together: Any = model(asked, labels, shown, support_labels)
    assert together.logits.shape == (2, Q, N) and together.read_keys.shape == (2, Q, model.config.key_size)
    for episode in range(2):
        alone: Any = model(asked[episode], labels[episode], shown[episode], support_labels[episode])
        torch.testing.assert_close(alone.logits, together.logits[episode], atol=1e-5, rtol=1e-5)
        assert alone.slot_ids.shape == (Q, 8)


def test_a_lasting_memory_and_one_for_a_call_answer_the_same(model: MANNForImageClassification) -> None:
    asked, shown, labels = images(Q), images(S), torch.arange(S) % N
    model.remember(model.embed(pixel_values=shown), [str(int(label)) for label in labels])
    with torch.no_grad():
        own, made = model(asked), model(asked, support_pixel_values=shown, support_labels=labels)
    torch.testing.assert_close(own.logits / own.logits.norm(), made.logits / made.logits.norm(), atol=1e-4, rtol=1e-4)


def test_the_number_of_labels_and_the_kind_of_output_are_named(model: MANNForImageClassification) -> None:
    assert {"n_way", "return_dict"} <= {*inspect.signature(model.forward).parameters}
    made: Any = model(images(Q), None, images(S), torch.arange(S) % N, N + 2, False)
    assert isinstance(made, tuple) and made[0].shape == (Q, N + 2)


def test_gradients_reach_the_encoder(model: MANNForImageClassification) -> None:
    batch = EpisodeBatch(
        inputs=[{"pixel_values": images(4)}],
        support_index=torch.tensor([[0, 1]]),
        support_labels=torch.tensor([[0, 1]]),
        query_index=torch.tensor([[2, 3]]),
        labels=torch.tensor([[0, 1]]),
    )
    keys = model.train().embed_episodes(batch)
    assert keys.support.shape == (1, 2, model.config.key_size)
    keys.queries.sum().backward()
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (
            {"pixel_values": torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)},
            InvalidTypeError,
            "floating-point numbers",
        ),
        ({"pixel_values": images()}, InvalidInputError, r"must be \[B, C, h, w\]"),
        ({"pixel_values": torch.randn(2, 1, SIZE, SIZE)}, InvalidInputError, "this model takes"),
        ({"pixel_values": images(2), "support_labels": torch.tensor([0])}, InvalidInputError, "support_pixel_values"),
        ({"pixel_values": images(2), "support_pixel_values": images(2)}, InvalidInputError, "without support_labels"),
        (
            {"pixel_values": images(2), "support_pixel_values": images(3), "support_labels": torch.tensor([0, 1])},
            InvalidInputError,
            "they must agree in episodes",
        ),
    ],
)
def test_what_cannot_be_meant(
    model: MANNForImageClassification, inputs: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model(**inputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("conv5",), "unknown type of encoder 'conv5'; choose one of 'conv4'.*, or another type that"),
        (("bert",), "BertModel is no image encoder"),
        (("conv4",), "image_size is 3"),
    ],
)
def test_from_a_configuration_that_makes_no_image_encoder(arguments: Any, message: str) -> None:
    options: Any = {"image_size": 3} if arguments == ("conv4",) else {}
    with pytest.raises(ValueError, match=message):
        MANNForImageClassification.from_encoder_config(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_siz": 32}, r"from_encoder_config\(\) has no argument 'image_siz': did you mean image_size"),
        ({"num_chanels": 3}, "did you mean num_channels"),
        ({"readin": "prototype"}, "did you mean reading"),
        ({"to_dict": 3}, "has no argument 'to_dict'"),
        ({"kwargs": {}}, "has no argument 'kwargs'"),
        ({"modality": "text"}, "MANNForImageClassification is for inputs of the modality 'image'"),
    ],
)
def test_fields_that_there_are_not(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidTypeError, match=message):
        MANNForImageClassification.from_encoder_config("conv4", **arguments)


def test_fields_that_a_configuration_takes_without_naming_them() -> None:
    made = MANNForImageClassification.from_encoder_config(
        "vit",
        modality="image",
        num_hidden_layers=1,
        image_size=32,
        output_attentions=True,
    )
    own = made.config.encoder_config
    assert own.output_attentions and own.image_size == 32


def test_a_configuration_of_its_own_takes_no_more_fields(model: MANNForImageClassification) -> None:
    made = MANNForImageClassification.from_encoder_config(model.config.encoder_config, reading="prototype")
    assert made.config.reading == "prototype" and made.config.encoder_config.hidden_size == 8
    with pytest.raises(InvalidInputError, match="image_size: fields of the encoder are set in the configuration"):
        MANNForImageClassification.from_encoder_config(model.config.encoder_config, image_size=28)


def test_a_call_without_images_is_refused_in_words(model: MANNForImageClassification) -> None:
    for call in (
        model,
        lambda: model(pixel_values=None),
        lambda: model.embed(),
        lambda: model(input_ids=torch.ones(1)),
    ):
        with pytest.raises(
            InvalidInputError, match=r"^the encoder got no image: give pixel_values \[B, C, h, w\]. The"
        ):
            call()


def test_a_call_without_images_and_words_is_refused_in_words() -> None:
    encoder = image_encoder("clip")
    config = MANNConfig(encoder_config=encoder.config.to_dict(), modality="image")
    with pytest.raises(InvalidInputError, match=r"got no image: give pixel_values \[B, C, h, w\] or input_ids"):
        MANNForImageClassification.from_encoder(encoder, config)()
