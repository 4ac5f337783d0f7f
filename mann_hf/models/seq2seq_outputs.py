"""What encoder-decoders with a memory give, and the encoder that `generate` calls."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from .token_retrieval import Retrieved, TokenRetrieval


@dataclass
class MemoryEncoderOutput(BaseModelOutput):
    """Output of the encoder with what the memory is asked for its sources.

    Attributes:
        memory_rows: [R], the source of each sequence: beams have that in common.
        retrieval: what tokens are read from; None where nothing is read.
        read_weights: [B, L, S], the weights with which the states read the pairs of a memory of examples.
        read_pairs: [B, S] or [1, S], the numbers of these pairs in the memory.
    """

    memory_rows: Tensor | None = None
    retrieval: TokenRetrieval | None = None
    read_weights: Tensor | None = None
    read_pairs: Tensor | None = None


@dataclass
class MANNSeq2SeqOutput(Seq2SeqLMOutput):
    """Output of an encoder-decoder with a memory: `Seq2SeqLMOutput`, whose logits are those of model and memory.

    Attributes:
        retrieved: what a memory of tokens said; None where nothing was read.
    """

    retrieved: Retrieved | None = None


class SourceEncoder:
    """The encoder of a model, which reads its memory as well; what `generate` calls once for its sources.

    Args:
        model: the model.
    """

    main_input_name = "input_ids"

    def __init__(self, model: Any) -> None:
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> MemoryEncoderOutput:
        """States of sources, and what is read for them; arguments are those of the wrapped model's encoder."""
        return self.model.encode_sources(*args, **kwargs)

    __call__ = forward
