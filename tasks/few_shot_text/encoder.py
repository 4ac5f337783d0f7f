"""The frozen encoder, by name, and as the classifier uses it."""

import hashlib
from typing import NamedTuple

import numpy as np

import mann_hf

from .vectors import Encode


class Encoder(NamedTuple):
    """An encoder.

    Attributes:
        name: as it was asked for.
        fingerprint: tells it from every encoder that gives other vectors.
        encode: texts to vectors.
    """

    name: str
    fingerprint: str
    encode: Encode


def load_encoder(name: str) -> Encoder:
    """The encoder that a name or folder stands for, with the pooling, the prompt and the length limit it asks for."""
    return encoder_of(mann_hf.MANNForSequenceClassification.from_encoder_pretrained(name), name)


def encoder_of(model: mann_hf.MANNForSequenceClassification, name: str) -> Encoder:
    """The encoder of a model, a trained one for example."""
    model.eval()
    tokenizer = model.load_tokenizer()
    config = model.config
    prepares = [config.pooling, config.normalize, config.prompt, config.max_seq_length]
    digest = hashlib.sha256(repr((*prepares, *(["lower_case"] if config.lower_case else []))).encode())
    for key, tensor in sorted(model.encoder.state_dict().items()):
        digest.update(key.encode() + tensor.contiguous().numpy().tobytes())

    def encode(texts: list[str]) -> np.ndarray:
        return model.embed_texts(tokenizer, texts).numpy()

    return Encoder(name, digest.hexdigest(), encode)
