"""Models whose memory holds labelled examples: an encoder, a projection to keys, and a way of reading the memory."""

import math
import os
from typing import Any, ClassVar, TypeVar

import torch
import transformers.initialization as init
from torch import Tensor, nn

from ..controllers.base import to_unit_length
from ..controllers.progress import Progress, following
from ..controllers.projection import Dense, Projection
from ..hub.sentence_transformers import load_projection
from ..memory.reading import READINGS, Reading
from ..memory.similarity import BilinearSimilarity
from ..memory.stores import STORES
from ..persistent.holder import MemoryHolder
from ..targets.kinds import targets_of
from .arguments import naming_unknown_arguments
from .configuration_mann import MANNConfig
from .embedding import embed_checked, evaluating
from .encoder_settings import read_encoder
from .episode_batch import EpisodeBatch
from .episode_keys import EpisodeKeys, episode_keys
from .labelled_memory_mixin import LabelledMemoryMixin
from .modeling_mann import MANNPreTrainedModel

Model = TypeVar("Model", bound="MANNLabelledModel")


class _LeftOut:
    def __repr__(self) -> str:  # as `help` shows it
        return "<default>"


LEFT_OUT: Any = _LeftOut()
"""The default of arguments that are left to the encoder's files, and then to `MANNConfig`."""


class MANNLabelledModel(LabelledMemoryMixin, MANNPreTrainedModel):
    """A model whose memory holds examples with labels.

    A task is a subclass with a `forward`, and names the modality of its inputs. By itself this class has no task: it
    makes keys, and writes and reads its memory.

    Attributes:
        projection: what turns the encoder's pooled states into keys.
        reading: how answers are computed from the memory.
        key_size: K, the size of keys, as `config.key_size` was when the model was made.
    """

    config_class = MANNConfig
    key_parts: ClassVar[tuple[str, ...]] = ("projection",)
    start_values: ClassVar[tuple[str, ...]] = ("reading",)

    config: MANNConfig

    def __init__(self, config: MANNConfig) -> None:
        super().__init__(config)
        self.projection = Projection(config.projection, config.pooled_size)
        self.reading: Reading = READINGS[config.reading](
            self.key_size,
            problem_type=targets_of(config.problem_type).name,
            similarity=config.similarity,
            **{"learn_sharpness": True, **config.reading_options},
        )
        STORES[config.store].check_installed()  # not when the memory has grown
        self.post_init()

    def new_holder(self) -> MemoryHolder:
        """What holds the memory; an empty one."""
        return MemoryHolder(self.empty_memory(), self.config.store)

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

    @torch.no_grad()
    def probe_states(self) -> Tensor:
        """[P, H]: the pooled states of the encoder for a few fixed inputs."""
        config, controller = self.config, self.config.controller
        inputs = controller.probe_inputs(config.encoder_config, self.device)
        with evaluating(self):
            return controller.pool(self.encoder, config.pooling, **inputs)

    @torch.no_grad()
    def probe_keys(self, states: Tensor) -> Tensor:
        """[P, K]: the keys that pooled states [P, H] give with the projection."""
        with evaluating(self):
            keys = self.projection(states.to(self.device))
        return (to_unit_length(keys) if self.config.normalize else keys).float()

    def encoder_probe(self) -> Tensor:
        """[P, K]: the keys of a few fixed inputs, which identify this encoder; see `MANNPreTrainedModel`."""
        return self.probe_keys(self.probe_states())

    @property
    def key_settings(self) -> tuple[Any, ...]:
        """Settings on which keys depend."""
        return self.config.pooling, self.config.normalize
