"""Whether a memory's keys are those that an encoder gives, and what to say where they are not."""

from typing import NamedTuple

from torch import Tensor

from ..errors import EncoderMismatchError
from ..wording import listed
from .values import MemoryValue

SAME_ENCODER = 0.05
"""The most that keys of one encoder for the same input differ between precisions, as a share of their length."""


class EncoderIdentity(NamedTuple):
    """What an encoder is known by.

    Attributes:
        noun: what one of its inputs is called.
        name: by which it was loaded; None if it has none.
        kind: its type in transformers, such as "bert".
        key_size: K.
    """

    noun: str
    name: str | None
    kind: str
    key_size: int

    @property
    def shown(self) -> str:
        """What messages call it."""
        return self.name or self.kind


def same_keys(before: Tensor, now: Tensor) -> bool:
    """Whether keys for the same inputs are those of one encoder, in whichever precision."""
    if before.shape != now.shape:
        return False
    return bool(((before.to(now) - now).norm(dim=-1) <= SAME_ENCODER * now.norm(dim=-1)).all())


def mismatch(encoder_name: str | None, key_size: int, own: EncoderIdentity, source: str) -> EncoderMismatchError:
    """The error for the memory of a source that another encoder wrote, of this name and key size, than our own."""
    here, theirs = own.shown, encoder_name or "an encoder without a name"
    if encoder_name != own.name or key_size != own.key_size:
        difference = "another model"
    elif encoder_name is not None:
        difference = "with other weights"
    else:
        difference = "with other weights or of another type"  # a memory does not hold the type
    return EncoderMismatchError(
        f"the memory {source} was written by {theirs!r} (key size {key_size}), this model's encoder "
        f"is {here!r} (key size {own.key_size}, {difference}): keys of one mean nothing to the "
        f"other. model.reencode_memory() writes the model's own memory again from its {own.noun}s, once it was "
        "quantised or trained; from_pretrained(folder, reencode=True) and load_memory(folder, reencode=True) a saved "
        "one.",
        theirs,
        here,
    )


def why_old(memory: MemoryValue, on: tuple[str, ...], lacking: bool, noun: str) -> str:
    """What is wrong with a memory that the encoder of before wrote, and what helps.

    Args:
        memory: whose probe is another than that of the encoder.
        on: the names of the adapters that are on the encoder now.
        lacking: whether the memory lacks the inputs (of this noun) by which its keys could be computed again.
    """
    reencode = (
        f"write the memory again from its {noun}s with reencode_memory(), or train within "
        "`with model.memory_set_aside(processing_class):`, which does so at its end"
    )
    cure = f"teach the memory again, as it keeps no {noun}s" if lacking else reencode
    if memory.adapters != on:
        return (
            f"the memory was written with {_named(memory.adapters)}, and now the encoder has {_named(on)}: keys of one "
            "mean nothing to the other. Switch back (enable_adapters, disable_adapters, set_adapter), or "
            f"{cure}."
        )
    return (
        "the encoder was trained, quantised or changed in another way after its memory was taught, so the keys in the "
        f"memory are not those that it would give now: {cure}."
    )


def _named(adapters_on: tuple[str, ...]) -> str:
    return f"the adapter {listed(map(repr, adapters_on))}" if adapters_on else "no adapter"
