"""What every controller in the registry does, on a tiny encoder of its modality."""

from typing import Any, NamedTuple

import pytest
import torch
from transformers import AutoConfig, BertConfig, PreTrainedConfig, ViTConfig

from mann_hf import MANNConfig, MANNSeq2SeqConfig
from mann_hf.controllers import CONTROLLERS, InputProcessor
from mann_hf.controllers.kinds import controller_of
from mann_hf.errors import InvalidInputError, UnknownNameError
from mann_hf.persistent.entries import Entry
from mann_hf.persistent.pairs import PairEntry
from tests.pictures import SIZE, VISION, image_encoder, shape
from tests.tiny_seq2seq import SOURCES, tiny_config, word_tokenizer


class Case(NamedTuple):
    """An encoder of a modality, inputs for it, and something that is none of them."""

    encoder: PreTrainedConfig
    inputs: list[Any]
    other: Any
    config: type = MANNConfig
    entry: Any = lambda content, stored: Entry(0, content, "x", stored=stored)


SMALL: Any = VISION
CASES = {
    "text": Case(BertConfig(**SMALL, vocab_size=300), ["my card", "where is my new card", "the money"], 3),
    "seq2seq": Case(
        tiny_config("t5"),
        SOURCES,
        3,
        MANNSeq2SeqConfig,
        lambda content, stored: PairEntry(0, content, content),
    ),
    "image": Case(ViTConfig(**SMALL, image_size=SIZE, patch_size=8), [shape("disc", n) for n in range(3)], 3),
}


@pytest.fixture(params=list(CONTROLLERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def made(name: str, tiny_tokenizer: Any) -> tuple[MANNConfig, Any, InputProcessor]:
    """A configuration, an encoder with random weights, and the processor of its inputs."""
    torch.manual_seed(0)
    config = CASES[name].config(encoder_config=CASES[name].encoder, modality=name)
    encoder = config.controller.build(config.encoder_config, config.pooling).eval()
    found = config.controller.processing_class_from(config.encoder_config)
    found = word_tokenizer() if name == "seq2seq" else tiny_tokenizer if found is None else found
    return config, encoder, config.controller.processor(config, encoder, found)


def embed(config: Any, encoder: Any, batch: Any, **options: Any) -> torch.Tensor:
    with torch.no_grad():
        pooling = config.pooling or config.controller.default_pooling(config.encoder_config)
        return config.controller.embed(encoder, pooling, True, **batch, **options)


def test_it_has_its_name_and_one_value(name: str) -> None:
    controller = controller_of(name)
    assert controller.modality == name and controller is controller_of(name) and type(controller).__doc__
    assert controller.main_input in controller.probe_inputs(CASES[name].encoder, torch.device("cpu"))


def test_keys_are_of_the_size_that_the_configuration_says(name: str, made: Any) -> None:
    config, encoder, processor = made
    encodings = processor.encode(processor.check(CASES[name].inputs))
    keys = embed(config, encoder, processor.collate(encodings, [0, 1, 2]), **processor.embed_options)
    pooling = config.pooling or config.controller.default_pooling(config.encoder_config)
    assert keys.shape == (3, config.controller.pooled_size(config.encoder_config, pooling)) and keys.isfinite().all()
    torch.testing.assert_close(keys.norm(dim=-1), torch.ones(3))
    alone = torch.cat([embed(config, encoder, processor.collate(encodings, [row])) for row in range(3)])
    torch.testing.assert_close(alone, keys, atol=1e-5, rtol=1e-5)


def test_batches_stacked_are_one(name: str, made: Any) -> None:
    config, encoder, processor = made
    encodings = processor.encode(processor.check(CASES[name].inputs))
    parts = [processor.collate(encodings, [0]), processor.collate(encodings, [1, 2])]
    whole = embed(config, encoder, config.controller.stacked(parts, config.encoder_config))
    apart = torch.cat([embed(config, encoder, part) for part in parts])
    torch.testing.assert_close(whole, apart, atol=1e-5, rtol=1e-5)


def test_the_probe_tells_encoders_apart(name: str, made: Any) -> None:
    config, encoder, _ = made
    probe, again = (
        {part: tensor for part, tensor in found.items() if part != "labels"}  # of a target
        for found in (config.controller.probe_inputs(config.encoder_config, torch.device("cpu")) for _ in range(2))
    )
    assert all(torch.equal(probe[part], again[part]) for part in probe)
    torch.manual_seed(1)
    other = config.controller.build(config.encoder_config, config.pooling).eval()
    assert (embed(config, encoder, probe) - embed(config, other, probe)).norm() > 0.1


def test_inputs_are_checked_cut_into_batches_and_told_apart(name: str, made: Any) -> None:
    _, _, processor = made
    inputs = CASES[name].inputs
    checked = processor.check(inputs)
    assert processor.is_one(inputs[0]) and not processor.is_one(inputs)
    assert len(processor.check(inputs[0])) == 1 and len(checked) == 3
    contents = processor.contents(checked)
    assert len({*contents}) == 3 and contents == processor.contents(processor.check(inputs))
    for size in (None, 1, 2):
        rows = processor.batches(processor.encode(checked), size)
        assert sorted(row for batch in rows for row in batch) == [0, 1, 2]
        assert size is None or max(map(len, rows)) == size
    with pytest.raises((TypeError, ValueError), match=processor.noun):
        processor.check([CASES[name].other])


def test_what_is_kept_of_an_input_gives_its_key_again(name: str, made: Any) -> None:
    config, encoder, processor = made
    checked = processor.check(CASES[name].inputs)
    contents, stored = processor.contents(checked), processor.stored(checked)
    again = processor.check([processor.restored(*each) for each in zip(contents, stored, strict=True)])
    keys, then = (
        embed(config, encoder, processor.collate(processor.encode(inputs), [0, 1, 2])) for inputs in (checked, again)
    )
    assert torch.equal(keys, then) and processor.contents(again) == contents
    entry = CASES[name].entry
    kept = [config.controller.keeps(entry(*each)) for each in zip(contents, stored, strict=True)]
    assert kept == [True] * 3 and not config.controller.keeps(entry(None, None))


def test_poolings_and_modalities_are_known_by_name(name: str) -> None:
    with pytest.raises(UnknownNameError, match="pooling 'nope'; choose one of"):
        controller_of(name).pooled_size(CASES[name].encoder, "nope")
    with pytest.raises(UnknownNameError, match="modality 'smell'; choose one of 'image', 'seq2seq', 'text', or first"):
        MANNConfig(modality="smell")


FAMILIES: dict[str, tuple[dict[str, Any], str, int]] = {
    "vit": ({**SMALL, "patch_size": 8}, "cls", 32),
    "deit": ({**SMALL, "patch_size": 8}, "cls", 32),
    "dinov2": ({"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 8}, "cls", 32),
    "beit": ({**SMALL, "patch_size": 8}, "cls", 32),
    "vit_mae": ({**SMALL, "patch_size": 8}, "cls", 32),
    "resnet": ({"embedding_size": 8, "hidden_sizes": [8, 40], "depths": [1, 1]}, "pooler", 40),
    "regnet": ({"embedding_size": 8, "hidden_sizes": [8, 40], "depths": [1, 1], "groups_width": 8}, "pooler", 40),
    "convnext": ({"num_stages": 2, "hidden_sizes": [8, 24], "depths": [1, 1]}, "pooler", 24),
    "swin": ({"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "patch_size": 2}, "pooler", 16),
    "pvt_v2": ({"hidden_sizes": [8, 8, 16, 32], "depths": [1] * 4, "num_attention_heads": [1] * 4}, "pooler", 32),
    "clip_vision_model": ({**SMALL, "patch_size": 8, "projection_dim": 99}, "pooler", 32),
    "siglip_vision_model": ({**SMALL, "patch_size": 8}, "pooler", 32),
    "conv4": ({"hidden_size": 8, "num_channels": 3}, "pooler", 32),
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_families_of_image_encoders(kind: str) -> None:
    """Each has keys of the size that is measured of its configuration, and an image's key is its own."""
    options, pooling, size = FAMILIES[kind]
    config = MANNConfig(encoder_config=AutoConfig.for_model(kind, image_size=SIZE, **options), modality="image")
    assert (config.pooling, config.key_size, config.label_names) == (pooling, size, False)
    torch.manual_seed(0)
    encoder = config.controller.build(config.encoder_config, config.pooling).eval()
    pixels = torch.randn(3, 3, SIZE, SIZE)
    keys = embed(config, encoder, {"pixel_values": pixels})
    assert keys.shape == (3, size)
    torch.testing.assert_close(embed(config, encoder, {"pixel_values": pixels[1:2]}), keys[1:2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("kind", "size"), [("clip", 24), ("siglip", 32)])
def test_families_with_a_text_half(kind: str, size: int) -> None:
    config = MANNConfig(encoder_config=image_encoder(kind).config, modality="image")
    assert (config.pooling, config.key_size, config.label_names) == ("pooler", size, True)


def test_what_is_no_encoder_of_images() -> None:
    with pytest.raises(InvalidInputError, match="BertModel is no image encoder: it takes no pixel_values"):
        MANNConfig(encoder_config=BertConfig(**SMALL), modality="image")
    with pytest.raises(InvalidInputError, match="no image encoder can be made of the configuration of type 'vit'"):
        MANNConfig(encoder_config=ViTConfig(**SMALL, image_size=30, patch_size=64), modality="image")


@pytest.mark.parametrize("size", [10**6, 0.5, "large", [32], [32, -1]])
def test_a_size_of_images_that_would_fill_the_memory(size: Any) -> None:
    """As an encoder may state that works with images of any size."""
    config = AutoConfig.for_model("resnet", embedding_size=8, hidden_sizes=[8, 40], depths=[1, 1])
    config.image_size = size
    with pytest.raises(InvalidInputError, match="image_size of the encoder is .* up to 2,048"):
        MANNConfig(encoder_config=config, modality="image")
