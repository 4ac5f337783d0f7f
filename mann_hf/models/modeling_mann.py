"""The base class of memory-augmented models: an encoder, a memory, and a way of reading it."""

import math
import os
from typing import Any, ClassVar, TypeVar

import torch
import transformers.initialization as init
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from ..cards import MANNModelCardData
from ..controllers.progress import Progress, following
from ..controllers.projection import Dense, Projection
from ..errors import InvalidTypeError
from ..hub.sentence_transformers import load_projection
from ..memory.reading import READINGS, Reading
from ..memory.similarity import BilinearSimilarity
from ..memory.stores import STORES
from ..persistent.holder import MemoryHolder
from ..targets.kinds import targets_of
from . import adapter_base
from .adapter_switches import enable_all
from .arguments import SETTABLE, encoder_configuration, naming_unknown_arguments
from .base_weights import LoadedEncoder, sample
from .configuration_mann import MANNConfig
from .embedding import embed_checked, keys_of, probe_states
from .encoder_settings import read_encoder
from .episode_batch import EpisodeBatch
from .episode_keys import EpisodeKeys, episode_keys
from .folder_mixin import FolderMixin
from .memory_mixin import MemoryMixin

Model = TypeVar("Model", bound="MANNPreTrainedModel")


class _LeftOut:
    def __repr__(self) -> str:  # as `help` shows it
        return "<default>"


LEFT_OUT: Any = _LeftOut()
"""The default of arguments that are left to the encoder's files, and then to `MANNConfig`."""


class MANNPreTrainedModel(FolderMixin, MemoryMixin, PreTrainedModel):
    """A model of transformers whose encoder is the controller of a memory.

    A task is a subclass with a `forward`, and names the modality of its inputs. By itself this class has no task: it
    makes keys, and writes and reads its memory.

    Attributes:
        modality: of a subclass: the name of its inputs' controller in `CONTROLLERS`; None for any.
        encoder: the pretrained encoder.
        projection: what turns its pooled states into keys.
        reading: how answers are computed from the memory.
        key_size: K, the size of keys, as `config.key_size` was when the model was made.
    """

    modality: ClassVar[str | None] = None
    config_class = MANNConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # a loss is a mean, so the Trainer divides it by the number of batches in a step
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _tied_weights_keys: dict = {}

    config: MANNConfig

    def __init__(self, config: MANNConfig) -> None:
        if self.modality not in (None, config.modality):
            raise InvalidTypeError(
                f"{type(self).__name__} is for inputs of the modality {self.modality!r}, and the configuration is of a "
                f"model of {config.controller.noun}s (modality={config.modality!r}): load it with the class of that "
                "modality."
            )
        super().__init__(config)
        self.main_input_name, self.input_modalities = config.controller.main_input, [config.modality]
        own = config.encoder_config
        self.encoder = config.controller.build(own, config.pooling, attn_implementation=own._attn_implementation)
        config.encoder_config = self.encoder.config  # one object, so that what changes the encoder is saved
        self.projection = Projection(config.projection, config.pooled_size)
        self.key_size = config.key_size
        self.reading: Reading = READINGS[config.reading](
            self.key_size,
            problem_type=targets_of(config.problem_type).name,
            similarity=config.similarity,
            **{"learn_sharpness": True, **config.reading_options},
        )
        STORES[config.store].check_installed()  # not when the memory has grown
        self._holder = MemoryHolder(self.empty_memory(), config.store)
        self.model_card_data, self.loaded_encoder = MANNModelCardData(), LoadedEncoder()
        self.loaded_training, self.seen_memories = None, {}
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, Reading):
            init.constant_(module.log_sharpness, math.log(module.initial_sharpness))
        elif isinstance(module, BilinearSimilarity):
            init.eye_(module.weight)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, Dense):
            init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                init.zeros_(module.bias)

    @classmethod
    def from_encoder_pretrained(
        cls: type[Model],
        encoder_name: str | os.PathLike,
        *,
        pooling: str | None = LEFT_OUT,
        normalize: bool = LEFT_OUT,
        max_seq_length: int | None = LEFT_OUT,
        prompts: dict[str, str] | None = LEFT_OUT,
        prompt_name: str | None = LEFT_OUT,
        lower_case: bool = LEFT_OUT,
        reading: str | None = LEFT_OUT,
        similarity: str = LEFT_OUT,
        reading_options: dict[str, Any] | None = LEFT_OUT,
        capacity: int | None = LEFT_OUT,
        eviction: str = LEFT_OUT,
        label_names: bool | None = LEFT_OUT,
        store_texts: bool = LEFT_OUT,
        problem_type: str | None = LEFT_OUT,
        pool_prompt: bool = LEFT_OUT,
        store: str = LEFT_OUT,
        store_inputs: bool = LEFT_OUT,
        modality: str = LEFT_OUT,
        num_labels: int = LEFT_OUT,
        id2label: dict[int, str] = LEFT_OUT,
        label2id: dict[str, int] = LEFT_OUT,
        **kwargs: Any,
    ) -> Model:
        """Makes a model with an empty memory from a pretrained encoder.

        Pooling, dense layers, normalisation, length limit and prompts of a sentence-transformers model are kept.

        Args:
            encoder_name: a folder, a Hub id, or a name that `resolve_encoder` knows.
            pooling: a field of `MANNConfig`, as are the arguments up to `label2id`; see there. Fields that are not
                given are those of the sentence-transformers model, or the defaults. Those of texts alone are refused
                for other inputs.
            modality: of the inputs, for a class that takes any; by default that of the class.
            kwargs: further arguments of the encoder's `from_pretrained` (`dtype`, `attn_implementation`, `revision`,
                `token`, `cache_dir`, ...).

        Raises:
            EncoderNotFoundError: no encoder of this name was found.
            UnsafeFileError: its weights are a pickle, or lie outside of the folder or repository; see `load_encoder`.
            UnknownNameError: there is no such reading, pooling, similarity or eviction rule.
            InvalidTypeError: an argument that there is not, or of a type that it does not have.
        """
        fields = {
            "pooling": pooling,
            "normalize": normalize,
            "max_seq_length": max_seq_length,
            "prompts": prompts,
            "prompt_name": prompt_name,
            "lower_case": lower_case,
            "reading": reading,
            "similarity": similarity,
            "reading_options": reading_options,
            "capacity": capacity,
            "eviction": eviction,
            "label_names": label_names,
            "store_texts": store_texts,
            "problem_type": problem_type,
            "pool_prompt": pool_prompt,
            "store": store,
            "store_inputs": store_inputs,
            "modality": cls.modality or LEFT_OUT if modality is LEFT_OUT else modality,
            "num_labels": num_labels,
            "id2label": id2label,
            "label2id": label2id,
        }
        given = {name: value for name, value in fields.items() if value is not LEFT_OUT}
        with naming_unknown_arguments("from_encoder_pretrained", kwargs):
            encoder, config, settings = read_encoder(encoder_name, {**given, **kwargs})
        model = cls.from_encoder(encoder, config)
        if settings is not None and config.projection == list(settings.projection):
            load_projection(model.projection, settings)
            model.projection.to(encoder.device, encoder.dtype)
        return model

    @classmethod
    def from_encoder_config(cls: type[Model], encoder: str | PreTrainedConfig, **kwargs: Any) -> Model:
        """Makes a model with an empty memory around an encoder with random weights, to be trained from scratch.

        Args:
            encoder: the type of an encoder in transformers, such as `"conv4"` or `"bert"`; or its configuration.
            kwargs: fields of `MANNConfig`; any others are fields of the encoder's configuration.

        Raises:
            UnknownNameError: there is no such type, reading, pooling, similarity or eviction rule.
            InvalidInputError: a field that cannot be meant, or the encoder reads inputs of another modality.
            InvalidTypeError: a field that there is not, or another modality than that of the class.
        """
        fields = {name: value for name, value in kwargs.items() if name in SETTABLE}
        others = {name: value for name, value in kwargs.items() if name not in fields}
        own = encoder_configuration(encoder, others)
        if cls.modality is not None:
            fields.setdefault("modality", cls.modality)
        return cls(MANNConfig(encoder_config=own.to_dict(), **fields)).eval()

    @classmethod
    def from_encoder(cls: type[Model], encoder: PreTrainedModel, config: MANNConfig) -> Model:
        """Makes a model with an empty memory around an encoder that is loaded already.

        Args:
            encoder: the encoder.
            config: of the model; its `encoder_config` becomes that of the encoder.
        """
        with init.no_init_weights():
            model = cls(config)
        for module in (*model.reading.modules(), *model.projection.modules()):
            model._init_weights(module)
        model.encoder, model.config.encoder_config = encoder, encoder.config
        model.config.dtype = encoder.dtype
        model.loaded_encoder = LoadedEncoder(sample(encoder))
        return model.eval()

    def embed(self, *leading: Tensor | None, **inputs: Any) -> Tensor:
        """Keys for a batch of inputs, in float32: [B, K].

        Args:
            leading: the encoder's main input, of texts also its mask, without their names.
            inputs: of the encoder by name: of texts `input_ids` and `attention_mask` [B, L], of images `pixel_values`
                [B, C, h, w].
        """
        config = self.config
        names = (config.controller.main_input, *config.controller.more_inputs)
        inputs |= zip(names[: len(leading)], leading, strict=True)
        inputs = {name: part for name, part in inputs.items() if part is not None}
        return config.controller.embed(self.encoder, config.pooling, config.normalize, self.projection, **inputs)

    def embed_inputs(
        self, processing_class: Any, inputs: Any, batch_size: int | None = None, progress: Progress = None
    ) -> Tensor:
        """Keys for inputs as users give them, [N, K], without gradients.

        Args:
            processing_class: of the encoder: a tokenizer, an image processor, or an `InputProcessor`.
            inputs: N inputs: texts, images.
            batch_size: inputs in a batch; by default what is fast.
            progress: True for a bar, or a function that is called with the number of inputs done after each batch.

        Raises:
            InvalidTypeError, InvalidInputError: of inputs that are none, as `InputProcessor.check` says.
            InvalidInputError: a key that is not finite, and it names the input; or the encoder failed.
        """
        processor = self.processor(processing_class)
        checked = processor.check(inputs)
        with following(progress, len(checked), processor.noun) as advance:
            return embed_checked(self, processor, checked, batch_size, advance)

    def embed_episodes(self, batch: EpisodeBatch) -> EpisodeKeys:
        """Keys for a batch of episodes, by `embed` of each group of its inputs.

        `EpisodeKeys` is what objectives take, and `read_episodes(model.reading, keys)` answers its queries.

        Args:
            batch: B episodes, as from `EpisodeCollator`.

        Raises:
            InvalidInputError: positions of inputs that do not exist, or labels of another shape or range.
        """
        return episode_keys(self, batch)

    def encoder_probe(self) -> Tensor:
        """[P, K]: the keys of a few fixed inputs, which identify this encoder.

        Computed at each call: adapters are switched and merged without a trace in the weights' versions.
        """
        return keys_of(self, probe_states(self))

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """Puts an adapter on the encoder; see `PreTrainedModel.add_adapter`.

        Raises:
            InvalidInputError: its initialisation changes the encoder in a way that loading cannot repeat.
        """
        with adapter_base.noting_base(self, adapter_name or "default", adapter_config):
            super().add_adapter(adapter_config, adapter_name)

    def enable_adapters(self) -> None:
        """Switches the adapters on again; see `PreTrainedModel.enable_adapters`."""
        super().enable_adapters()
        enable_all(self)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Makes room for more or fewer tokens; see `PreTrainedModel.resize_token_embeddings`."""
        return self.encoder.resize_token_embeddings(*args, **kwargs)
