"""What all memory-augmented models share: the encoder as controller, the lasting memory, saving and loading."""

import inspect
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import count, islice
from typing import Any, TypeVar

import torch
import transformers.initialization as init
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..controllers.encoder import build_encoder, load_encoder
from ..controllers.resolve import resolve_encoder
from ..controllers.sentence_transformers import read_sentence_transformers
from ..errors import EncoderMismatchError, InvalidInputError
from ..memory.reading import READINGS, REGRESSION, SINGLE_LABEL, Reading
from ..memory.similarity import BilinearSimilarity
from . import adapters, memory_files
from .configuration_mann import MANNConfig
from .encoding import EncodingModel
from .labelled_memory import Label, LabelledMemory, label_names, label_words
from .memory_holder import MemoryHolder
from .saving import recover, take_upload, whole_save

Model = TypeVar("Model", bound="MANNPreTrainedModel")

HUB_ARGUMENTS = ("cache_dir", "local_files_only", "revision", "token")


class MANNPreTrainedModel(EncodingModel):
    """Loads, saves and initialises memory-augmented models, and keeps their memory.

    The memory is apart from the weights: a value that is swapped whole (see `LabelledMemory`), saved as
    `memory.safetensors` beside `model.safetensors`. `config.id2label` follows the memory: while another thread writes,
    the labels that belong to an answer are those of the memory that was read (`ready_memory().memory.labels`).
    """

    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _tied_weights_keys: dict = {}

    def __init__(self, config: MANNConfig) -> None:
        super().__init__(config)
        self.encoder = build_encoder(
            config.encoder_config, attn_implementation=config.encoder_config._attn_implementation
        )
        config.encoder_config = self.encoder.config  # one object, so that what changes the encoder is saved
        self.reading = READINGS[config.reading](
            config.hidden_size,
            problem_type=config.problem_type or SINGLE_LABEL,
            similarity=config.similarity,
            **{"learn_sharpness": True, **config.reading_options},
        )
        self._holder = MemoryHolder(self._empty_memory())

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, Reading):
            init.constant_(module.log_sharpness, math.log(module.initial_sharpness))
        elif isinstance(module, BilinearSimilarity):
            init.eye_(module.weight)

    @classmethod
    def from_encoder_pretrained(cls: type[Model], encoder_name: str | os.PathLike, **kwargs: Any) -> Model:
        """A model with an empty memory around a pretrained text encoder.

        Pooling, normalisation, length limit and prompts of a sentence-transformers model are taken over.

        Args:
            encoder_name: a folder, a Hub id, or a name that `resolve_encoder` knows.
            kwargs: fields of `MANNConfig`; any other goes to the encoder's `from_pretrained` (`dtype`,
                `attn_implementation`, `revision`, `token`, `cache_dir`, ...).

        Raises:
            EncoderNotFoundError: nothing within reach has this name.
            UnknownNameError: a reading, pooling, similarity or eviction rule that there is not.
        """
        places = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
        place = resolve_encoder(str(encoder_name), **places)
        fields = {name: kwargs.pop(name) for name in list(kwargs) if name in _config_fields()}
        settings = read_sentence_transformers(place, **places)
        if settings is not None:
            known = {
                "pooling": settings.pooling,
                "normalize": settings.normalize,
                "max_seq_length": settings.max_length,
                "prompts": settings.prompts,
                "prompt_name": settings.default_prompt_name,
                "lower_case": settings.lower_case,
            }
            fields = {**{name: value for name, value in known.items() if value is not None}, **fields}
        encoder = load_encoder(place, **kwargs)
        encoder.config.name_or_path = ""  # a folder of this machine, maybe that of a package
        if fields.get("problem_type") == REGRESSION and not fields.keys() & {"num_labels", "id2label"}:
            fields["num_labels"] = 1
        config = MANNConfig(encoder_config=encoder.config.to_dict(), encoder_name=str(encoder_name), **fields)
        return cls._around(encoder, config)

    @classmethod
    def _around(cls: type[Model], encoder: PreTrainedModel, config: MANNConfig) -> Model:
        """A model with fresh memory parameters around an encoder that is loaded already."""
        with init.no_init_weights():
            model = cls(config)
        for module in model.reading.modules():
            model._init_weights(module)
        model.encoder, model.config.encoder_config = encoder, encoder.config
        model.config.dtype = encoder.dtype
        return model.eval()

    @classmethod
    @torch.inference_mode(False)  # what is made in inference mode cannot be trained with later
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any,
        *args: Any,
        reencode: bool = False,
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Loads weights, configuration, and the memory if one lies beside them.

        Args:
            pretrained_model_name_or_path: a folder, or a Hub repository.
            args: of `PreTrainedModel.from_pretrained`.
            reencode: writes the memory again from its texts, with the loaded encoder: for one that was trained after
                it had been taught.
            tokenizer: for `reencode`; by default that of `load_tokenizer`.
            kwargs: of `PreTrainedModel.from_pretrained`.

        Raises:
            MemoryFileError: the memory is damaged.
            EncoderMismatchError: other weights than those beside it wrote the memory, and `reencode` is off.
            InvalidInputError: `reencode` is on, and the memory keeps no texts or no tokenizer is found; or the memory
                is one of another problem type.
        """
        folder = memory_files.local_folder(pretrained_model_name_or_path, kwargs.get("subfolder"))
        if folder is not None and recover(folder):
            kwargs.pop("config", None)  # it was read before the save was finished
        if adapters.found(pretrained_model_name_or_path, kwargs):
            loaded: Any = adapters.load(cls, pretrained_model_name_or_path, **kwargs)
        else:
            loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        hub = {name: kwargs[name] for name in (*HUB_ARGUMENTS, "subfolder") if kwargs.get(name) is not None}
        path = memory_files.find_memory(pretrained_model_name_or_path, optional=True, **hub)
        if path is None:
            model._swap(lambda memory: (memory.to(model.device), None))
        else:
            find_tokenizer = (lambda: tokenizer or model.load_tokenizer(**hub)) if reencode else None
            model._take_file(path, str(pretrained_model_name_or_path), find_tokenizer)
        return loaded

    def save_pretrained(
        self, save_directory: str | os.PathLike, is_main_process: bool = True, *args: Any, **kwargs: Any
    ) -> None:
        """Saves weights, configuration and memory; of an encoder with an adapter, the adapter's weights alone.

        A save that is killed leaves a folder that loads as it was before, or as it is after. Arguments are those of
        `PreTrainedModel.save_pretrained`.
        """
        if not is_main_process:
            return
        upload = take_upload(save_directory, kwargs)
        with whole_save(save_directory) as staging:
            if adapters.has_adapter(self):
                adapters.save(self, staging, kwargs.get("state_dict"))
            else:
                super().save_pretrained(staging, True, *args, **kwargs)
            if len(self.memory):
                memory_files.save_memory(self.memory, staging)
        if upload is not None:
            self.push_to_hub(**upload)

    @property
    def memory(self) -> LabelledMemory:
        """What the model remembers: a value that never changes; writes put a new one in its place."""
        return self._holder.memory

    def save_memory(self, save_directory: str | os.PathLike) -> None:
        """Writes `memory.safetensors` and its readable copy `memory.json` into a folder, without the weights."""
        memory_files.save_memory(self.memory, save_directory)

    @torch.inference_mode(False)  # what is made in inference mode cannot be trained with later
    def load_memory(
        self,
        folder_or_repo: str | os.PathLike,
        *,
        reencode: bool = False,
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Puts a saved memory in place of the present one.

        Args:
            folder_or_repo: a folder, or a Hub repository.
            reencode: writes the memory again from its texts, with this model's encoder.
            tokenizer: for `reencode`; by default that of `load_tokenizer`.
            kwargs: `revision`, `token`, `cache_dir`, `subfolder`, `local_files_only` or `force_download`.

        Raises:
            TypeError: any other argument.
            MemoryFileError: there is no memory, or it is damaged. The present memory stays.
            EncoderMismatchError: another encoder wrote it and `reencode` is off. The present memory stays.
            InvalidInputError: `reencode` is on, and the memory keeps no texts or no tokenizer is found; or the problem
                types differ.
        """
        unknown = kwargs.keys() - {*HUB_ARGUMENTS, "subfolder", "force_download"}
        if unknown:
            raise TypeError(f"load_memory() has no argument {', '.join(sorted(unknown))}.")
        folder = memory_files.local_folder(folder_or_repo, kwargs.get("subfolder"))
        if folder is not None:
            recover(folder)
        path = memory_files.find_memory(folder_or_repo, optional=False, **kwargs)
        assert path is not None
        find_tokenizer = (lambda: tokenizer or self.load_tokenizer()) if reencode else None
        self._take_file(path, str(folder_or_repo), find_tokenizer)

    def name_keys(
        self, labels: Iterable[Label], tokenizer: Any, known: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The keys [K] of the words of labels, for labels that have words.

        Args:
            labels: of examples.
            tokenizer: of the encoder.
            known: keys that need not be encoded again.
        """
        if not self.config.label_names:
            return {}
        known = known or {}
        names = dict.fromkeys(name for label in labels for name in label_names(label))
        words = {name: text for name in names if name not in known and (text := label_words(name)) is not None}
        keys = {name: known[name] for name in names if name in known}
        if words:
            keys |= zip(words, self.embed_texts(tokenizer, list(words.values())), strict=True)
        return keys

    def reencode_memory(self, tokenizer: Any = None) -> None:
        """Writes the model's own memory again from its texts, after the encoder was trained.

        Args:
            tokenizer: by default that of `load_tokenizer`.

        Raises:
            InvalidInputError: the memory keeps no texts. It stays as it was.
        """
        if len(self.memory):
            tokenizer = tokenizer or self.load_tokenizer()
            self._swap(lambda memory: (self._reencoded(memory, tokenizer), None))

    @contextmanager
    def memory_set_aside(
        self, find_tokenizer: Callable[[], Any], encoding: Callable[[], AbstractContextManager] = nullcontext
    ) -> Iterator[None]:
        """Empties the memory while the encoder changes, and writes it again in the end from its texts.

        Args:
            find_tokenizer: gives the encoder's tokenizer.
            encoding: gives a context in which the encoder can be called.
        """
        kept = self.memory
        if not len(kept):
            yield
            return
        self._swap(lambda _: (self._empty_memory(), None))
        try:
            yield
        finally:
            with encoding():
                self._swap(lambda _: (self._reencoded(kept, find_tokenizer()), None))

    def _reencoded(self, memory: LabelledMemory, tokenizer: Any) -> LabelledMemory:
        texts = [entry.text for entry in memory.entries]
        if any(text is None for text in texts):
            raise InvalidInputError("the memory keeps no texts (store_texts=False), so it cannot be written again.")
        fresh = self._stamped(self._empty_memory(), self.encoder_probe())
        if fresh.problem_type != memory.problem_type:
            return memory  # refused with both named when it is taken
        keys = self.embed_texts(tokenizer, [text for text in texts if text is not None])
        words = self.name_keys([entry.label for entry in memory.entries], tokenizer)
        filled, _ = fresh.remember(
            keys, [e.label for e in memory.entries], texts, [e.kind for e in memory.entries], words
        )
        return filled.with_counts_of(memory.to(self.device))

    def _take_file(self, path: str, source: str, find_tokenizer: Callable[[], Any] | None) -> None:
        """Swaps in the memory of a file, written again from its texts where there is a tokenizer for that."""
        memory = memory_files.load_memory(path)
        self._take(memory if find_tokenizer is None else self._reencoded(memory, find_tokenizer()), source)

    def _take(self, memory: LabelledMemory, source: str) -> None:
        """Swaps in a memory that fits this model.

        Raises:
            InvalidInputError: it is of another problem.
            EncoderMismatchError: it was written by another encoder.
        """
        mine = self._empty_memory()
        if memory.problem_type != mine.problem_type:
            raise InvalidInputError(
                f"the memory {source} is one of {memory.problem_type}, this model one of {mine.problem_type}."
            )
        if memory.problem_type == REGRESSION and memory.law.value_size != mine.law.value_size:
            raise InvalidInputError(
                f"the memory {source} holds {memory.law.value_size} numbers for each text, this model predicts "
                f"{mine.law.value_size} (num_labels)."
            )
        self._check_encoder(memory, self.encoder_probe(), source)
        try:
            memory = memory.under(mine.law, self.config.label_names)
        except InvalidInputError as error:
            raise InvalidInputError(
                f"the memory {source} does not fit this model: {error} Give the model more room, or write the memory "
                "again with reencode=True, which evicts as teaching does."
            ) from None
        if not self.config.store_texts:
            memory = replace(memory, entries=tuple(entry._replace(text=None) for entry in memory.entries))
        self._swap(lambda _: (memory.to(self.device), None))

    def _check_encoder(self, memory: LabelledMemory, probe: Tensor, source: str) -> None:
        here = self.config.encoder_name or self.config.encoder_config.model_type
        theirs = memory.encoder_name or "an encoder without a name"
        written = memory.probe
        same = memory.law.key_size == self.config.hidden_size
        if same and written is not None:
            same = adapters.same_keys(written, probe)
        if not same:
            if memory.encoder_name != self.config.encoder_name or memory.law.key_size != self.config.hidden_size:
                difference = "another model"
            elif memory.encoder_name is not None:
                difference = "with other weights"
            else:
                difference = "with other weights or of another type"  # a memory does not tell the type
            raise EncoderMismatchError(
                f"the memory {source} was written by {theirs!r} (key size {memory.law.key_size}), this model's encoder "
                f"is {here!r} (key size {self.config.hidden_size}, {difference}): keys of one mean nothing to the "
                "other. from_pretrained(folder, reencode=True) and load_memory(folder, reencode=True) write a saved "
                "memory again from its texts.",
                theirs,
                here,
            )

    def _stamped(self, memory: LabelledMemory, probe: Tensor) -> LabelledMemory:
        """The memory with the mark of the encoder that is about to write it."""
        return replace(memory, probe=probe, encoder_name=self.config.encoder_name)

    def _swap(self, change: Callable[[LabelledMemory], tuple[LabelledMemory, Any]]) -> Any:
        """Updates the memory and, after it, the labels in the configuration."""

        def follow(before: LabelledMemory, memory: LabelledMemory) -> None:
            if memory.labels == before.labels:
                return
            names = [*memory.labels]
            if len(names) < 2 and memory.problem_type == SINGLE_LABEL:
                # with one label alone transformers would take a sigmoid for the score, not a softmax
                numbered = (f"LABEL_{number}" for number in count(len(names)))
                names += islice((name for name in numbered if name not in memory.labels), 2 - len(names))
            self.config.id2label = dict(enumerate(names))
            self.config.label2id = {label: number for number, label in enumerate(names)}

        return self._holder.update(change, follow)

    def _empty_memory(self) -> LabelledMemory:
        config, device = self.config, self.device
        problem_type = config.problem_type or SINGLE_LABEL
        return LabelledMemory.empty(
            config.hidden_size,
            problem_type,
            (config.num_labels or 1) if problem_type == REGRESSION else 0,
            config.capacity,
            config.eviction,
            torch.device("cpu") if device.type == "meta" else device,  # a model is loaded on the meta device
        )

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> Any:
        result = super()._apply(fn, *args, **kwargs)
        holder = self.__dict__.get("_holder")
        if holder is not None:  # the memory moves with the weights, but stays in float32
            device = next(self.parameters()).device
            if device.type != "meta" and device != holder.memory.state.keys.device:
                holder.update(lambda memory: (memory.to(device), None))
        return result


def _config_fields() -> set[str]:
    """The names of a configuration's fields that a user may set beside an encoder's name."""
    own = set(inspect.signature(MANNConfig.__init__).parameters) - {"self", "kwargs", "encoder_config", "encoder_name"}
    return own | {"num_labels", "id2label", "label2id"}
