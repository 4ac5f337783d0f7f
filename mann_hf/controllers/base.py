"""The protocol of controllers: how inputs of one modality become keys."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import MODEL_MAPPING, AutoModel, PreTrainedConfig, PreTrainedModel

from ..errors import UnknownNameError
from ..registry import Registry
from . import IMAGE as IMAGE
from . import TEXT as TEXT
from .processor import InputProcessor
from .samples import SampleInputs

POOLER = "pooler"
"""The pooling that takes the encoder's own vector of an input, its `pooler_output`."""
LONG = 1e12
"""Numbers above this are divided before they are squared."""


class Controller(ABC):
    """How inputs of one modality go through their encoder: loading, pooling, and the processor of a user's inputs.

    A controller keeps nothing: encoder and configuration are given to each call. A new modality is a class in a file of
    its own, registered in `CONTROLLERS`, and named by the `modality` of a model's configuration.

    Shapes: B inputs, H the size of pooled states, K of keys.

    Attributes:
        modality: its name in `CONTROLLERS`.
        noun: what one input is called in messages.
        main_input: the name of the encoder's main input.
        input_dims: the number of dimensions of one input in it.
        processing_class: what is loaded with an encoder for its inputs: a name of `PROCESSING_CLASSES` of `hub`; None
            for nothing.
        task: the Hub's name of what its classifiers do, such as `"text-classification"`, for cards, and for the name
            `few-shot-...` of a pipeline of its own, if it has one; None for none.
        pipeline_task: the name by which `transformers.pipeline` makes the pipeline of its models, where it is another.
        extra: the extra of this package that its inputs need; None for none.
        samples: inputs for the code in model cards; None where code has none, such as for rows of numbers.
        in_shell: whether the shell command takes its inputs: it is one of `MODALITIES` of `cli`.
        readable: whether what identifies an input is text that people read, as a text itself is.
        stored_by: the field of `MANNConfig` that has a memory keep inputs, so that their keys can be computed again.
        stored_as: how model cards say in which form they are then kept.
        own_fields: further fields of `MANNConfig` that not every modality has; others are refused another value of them
            than the default.
        more_inputs: names of inputs that follow the main one where they are given without a name.
        optional_inputs: inputs that `stacked` fills in where some of its batches lack them.
        uses_sentence_transformers: whether files of that library beside an encoder say how its states become keys.
    """

    modality: ClassVar[str]
    noun: ClassVar[str]
    main_input: ClassVar[str]
    input_dims: ClassVar[int] = 1
    processing_class: ClassVar[str | None] = None
    task: ClassVar[str | None] = None
    pipeline_task: ClassVar[str | None] = None
    extra: ClassVar[str | None] = None
    samples: ClassVar[SampleInputs | None] = None
    in_shell: ClassVar[bool] = False
    readable: ClassVar[bool] = False
    stored_by: ClassVar[str] = "store_inputs"
    stored_as: ClassVar[str] = "as small files"
    own_fields: ClassVar[frozenset[str]] = frozenset()
    more_inputs: ClassVar[tuple[str, ...]] = ()
    optional_inputs: ClassVar[frozenset[str]] = frozenset()
    uses_sentence_transformers: ClassVar[bool] = False

    @property
    def is_foreign(self) -> bool:
        """Whether it comes from another package, which has to be imported first."""
        return type(self).__module__.partition(".")[0] != __name__.partition(".")[0]

    def auto_class(self, config: PreTrainedConfig) -> Any:
        """The Auto class that loads an encoder of this configuration."""
        return AutoModel

    def prepare(self, config: PreTrainedConfig) -> None:  # noqa: B027  # nothing, in most modalities
        """Changes settings of an encoder's configuration that would spoil keys, before the encoder is made."""

    def options(self, config: PreTrainedConfig, pooling: str | None) -> dict[str, Any]:
        """Further arguments with which an encoder is made, such as those that leave out what keys do not need.

        Args:
            config: the encoder's configuration.
            pooling: of the model; None for the default.
        """
        return {}

    def finish(self, encoder: Any) -> PreTrainedModel:
        """Takes from a loaded model the part that encodes.

        Raises:
            InvalidInputError: it is no encoder of this modality.
        """
        return encoder

    def build(self, config: PreTrainedConfig, pooling: str | None = None, **kwargs: Any) -> PreTrainedModel:
        """The encoder of a configuration, with random weights.

        Args:
            config: the encoder's own configuration; it is left as it is.
            pooling: of the model; None for the default.
            kwargs: what `from_config` takes, such as `dtype` and `attn_implementation`.
        """
        config = type(config).from_dict(config.to_dict())
        self.prepare(config)
        several: Any = MODEL_MAPPING.get(type(config), None)
        if isinstance(several, tuple) and not config.architectures:
            config.architectures = [several[0].__name__]
        made = self.auto_class(config).from_config(config, **self.options(config, pooling), **kwargs)
        return self.finish(made)

    def default_pooling(self, config: PreTrainedConfig) -> str:
        """How an encoder of this configuration is pooled if nothing else is asked for."""
        return POOLER

    def pooled_size(self, config: PreTrainedConfig, pooling: str) -> int:
        """H, the size of pooled states.

        Raises:
            UnknownNameError: there is no such pooling.
            InvalidInputError: the configuration does not say it.
        """
        if pooling != POOLER:
            raise UnknownNameError("pooling", pooling, [POOLER])
        return config.hidden_size

    def pool(self, encoder: nn.Module, pooling: str, **inputs: Any) -> Tensor:
        """The pooled states [B, H] of a batch of inputs; by default the encoder's `pooler_output`.

        Args:
            encoder: as `finish` gives it.
            pooling: a name that `pooled_size` takes.
            inputs: by name.

        Raises:
            InvalidTypeError: inputs that are no tensors.
            InvalidInputError: tensors of another shape, or that the encoder cannot read.
        """
        return encoder(**inputs).pooler_output

    def embed(
        self, encoder: nn.Module, pooling: str, normalize: bool, projection: nn.Module | None = None, **inputs: Any
    ) -> Tensor:
        """The keys [B, K] of a batch of inputs: encoded, pooled, projected and optionally scaled to unit length."""
        keys = self.pool(encoder, pooling, **inputs)
        if projection is not None:
            keys = projection(keys)
        return to_unit_length(keys) if normalize else keys

    def reads_words(self, config: PreTrainedConfig) -> bool:
        """Whether an encoder of this configuration reads words, so that those of labels can be stored."""
        return False

    @abstractmethod
    def probe_inputs(self, config: PreTrainedConfig, device: torch.device) -> dict[str, Tensor]:
        """A few fixed inputs, whose keys identify an encoder."""

    @abstractmethod
    def processor(self, config: Any, encoder: nn.Module, processing_class: Any) -> InputProcessor:
        """The processor that gives a user's inputs to an encoder.

        Args:
            config: of the model, a `MANNBaseConfig` of its class.
            encoder: of the model.
            processing_class: a tokenizer, an image processor or what else this modality has.
        """

    def loading_options(self, config: Any) -> dict[str, Any]:
        """Further arguments with which the processing class of a model is loaded.

        Args:
            config: of the model, a `MANNBaseConfig` of its class.
        """
        return {}

    def max_length(self, config: Any, encoder: nn.Module, processing_class: Any = None) -> int | None:
        """The largest number of tokens of an input that a model reads; None for no limit.

        Args:
            config: of the model, a `MANNBaseConfig` of its class.
            encoder: of the model.
            processing_class: whose own limit holds, too.
        """
        return None

    def limit(self, processing_class: Any, config: Any, encoder: nn.Module) -> None:  # noqa: B027
        """Sets the length at which a tokenizer cuts texts to that of the model, so that stock pipelines cut there, too.

        Args:
            processing_class: a loaded tokenizer or the like, which is changed.
            config: of the model, a `MANNBaseConfig` of its class.
            encoder: of the model.
        """

    def keeps(self, entry: Any) -> bool:
        """Whether an entry of a memory holds its input."""
        return entry.stored is not None

    def processing_class_from(self, config: PreTrainedConfig) -> Any:
        """The image processor that a configuration alone implies; None where it implies none."""
        return None

    def check_not_empty(self, inputs: Mapping[str, Tensor], asked: Tensor | None, noun: str) -> None:  # noqa: B027
        """Refuses inputs of padding alone.

        Args:
            inputs: by name, [..., *].
            asked: [...], which of them are no padding between inputs; all by default.
            noun: what one is called.

        Raises:
            InvalidInputError: it names the first.
        """

    def num_tokens(self, inputs: Mapping[str, Any]) -> int:
        """The tokens of a batch, padding included; 0 of inputs that are none."""
        return 0

    def embedding_together(self, encoder: nn.Module, batches: Sequence[Mapping[str, Any]]) -> AbstractContextManager:
        """A context in which an encoder is called with several batches, and may share work between them."""
        return nullcontext()

    def stacked(self, batches: Sequence[Mapping[str, Tensor]], config: PreTrainedConfig) -> dict[str, Tensor]:
        """Several batches of inputs as one.

        Args:
            batches: each [B, ...] by name, with the same names.
            config: the encoder's configuration.
        """
        return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


CONTROLLERS: Registry[type[Controller]] = Registry("modality", ", or first import the code that registers it")


@functools.cache
def controller_of(modality: str) -> Controller:
    """The controller of a modality, one value for all.

    Raises:
        UnknownNameError: there is none of that name.
    """
    return CONTROLLERS[modality]()


def to_unit_length(keys: Tensor) -> Tensor:
    """Keys of unit length; those so long that their squares overflow, too."""
    largest = keys.detach().abs().amax(dim=-1, keepdim=True)
    return F.normalize(keys / torch.where(largest > LONG, largest, 1), dim=-1)
