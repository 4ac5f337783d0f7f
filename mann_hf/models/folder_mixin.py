"""Models as folders and repositories: loading, saving and publishing them, and what they need beside their weights."""

import copy
import os
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import CommitInfo

from ..cards import MANNModelCardData, TrainingRecord
from ..controllers.processor import InputProcessor
from ..errors import EmptyMemoryError, InvalidInputError, MannError
from ..hub.configs import is_quantized, no_model
from ..hub.files import CONFIG, check_hub_arguments, check_place
from ..hub.guard import UnloadedModel, as_folder_error, called_by_pipeline
from ..hub.loading_arguments import check_loading_arguments
from ..hub.processing import PROCESSING_CLASSES, load_processing_class
from ..hub.resolve import check_reachable, resolve_encoder
from ..hub.saving import recover, take_upload
from ..hub.source import ARGUMENTS, Source
from ..hub.tokenizers import check_before_use
from ..hub.weight_files import safetensors_alone, weights_of
from ..hub.weight_sizes import check_fits
from ..persistent.memory_sources import check_with_model, fetch_beside, find_memory, folder_of_memory
from . import adapters, base_weights, card_files, folder_saves, publishing
from .adapter_switches import has_adapter
from .arguments import naming_unknown_arguments, no_such_argument
from .configuration_base import MANNBaseConfig
from .loaded_weights import load_whole

if TYPE_CHECKING:  # what it is mixed in beside
    from .memory_mixin import MemoryMixin as Mixed
else:
    Mixed = object


class FolderMixin(Mixed):
    """Loads, saves and publishes a model with its memory, its card, and its tokenizer or image processor.

    Attributes:
        model_card_data: what the model card says beyond weights and memory.
        loaded_training: the record of training with which the model was loaded.
        loaded_encoder: what is known of the encoder as it was loaded.
        seen_memories: the digest of the memory in each folder that the model was loaded from or saved to.
    """

    config: MANNBaseConfig
    model_card_data: MANNModelCardData
    loaded_training: TrainingRecord | None
    loaded_encoder: base_weights.LoadedEncoder
    seen_memories: dict[str, str | None]

    @classmethod
    @torch.inference_mode(False)  # what is made in inference mode cannot be trained with later
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any,
        *args: Any,
        reencode: bool = False,
        processing_class: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Loads weights, configuration, and the memory if there is one.

        The folder or repository may come from a stranger: none of its code is run, weights and memory are read from
        safetensors only, and sizes are checked before memory is allocated.

        Args:
            pretrained_model_name_or_path: a folder, or a Hub repository.
            args: further arguments of `PreTrainedModel.from_pretrained`.
            reencode: whether to compute the memory's keys again from its inputs, with the loaded encoder, if that
                was trained after its memory was taught.
            processing_class: the tokenizer or image processor for `reencode`; by default that of
                `load_processing_class`.
            kwargs: further arguments of `PreTrainedModel.from_pretrained`. `use_safetensors=False` reads a pickle, with
                the `weights_only` loading of transformers.

        Raises:
            MemoryFileError: the memory is damaged, or there is no model with it.
            FolderError: a file is missing or damaged, or the configuration and the weights do not belong together.
            UnsafeFileError: the weights are a pickle, or a file lies outside of the folder or repository, has no end,
                or is larger than such a file gets.
            EncoderMismatchError: other weights than those beside it wrote the memory, and `reencode` is off.
            InvalidInputError: `reencode` is on, and the memory keeps no inputs, or no processing class is found; or
                the memory is of another problem type.
            InvalidTypeError: an argument that there is not, or of a type that it does not have.
        """
        try:
            kind: Any = cls.config_class
            with naming_unknown_arguments("from_pretrained", kwargs, kind):
                loaded = cls._load(pretrained_model_name_or_path, reencode, processing_class, *args, **kwargs)
            if called_by_pipeline():  # which then reads the tokenizer by itself, without our checks
                check_before_use(Source.of(pretrained_model_name_or_path, kwargs))
            return loaded
        except MannError as error:
            if not called_by_pipeline():
                raise
            return UnloadedModel(error)

    @classmethod
    def _load(cls, place: Any, reencode: bool, processing_class: Any, *args: Any, **kwargs: Any) -> Any:
        """What `from_pretrained` gives."""
        check_loading_arguments(kwargs)
        source = Source.of(place, kwargs)
        folder = source.folder
        if folder is not None and recover(folder):
            kwargs.pop("config", None)  # it was read before the save was finished
        if kwargs.get("config") is None:
            check_reachable(source)
        source = source.at_one_commit()
        kwargs |= source.arguments
        if folder is not None and kwargs.get("config") is None and not (folder / CONFIG).exists():
            check_with_model(source)
            raise no_model(folder)
        config = adapters.config_of(cls, source, kwargs)
        kwargs = safetensors_alone(source, config, kwargs)
        files = weights_of(source, config, kwargs)
        if config is not None and config.adapter is None:
            quantized = is_quantized(config)
            check_fits(config.encoder_config, files, lambda: cls(copy.deepcopy(config)), place, quantized)
        with as_folder_error(place, adapters.WEIGHTS, kwargs):
            if config is not None and config.adapter is not None:
                loaded: Any = adapters.load(cls, source, **kwargs)
            elif place is None:  # a configuration and weights of the caller's
                loaded = super().from_pretrained(place, *args, **kwargs)  # type: ignore[misc]
            else:
                loaded = load_whole(super().from_pretrained, source, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        if not has_adapter(model):
            model.loaded_encoder = base_weights.LoadedEncoder(base_weights.sample(model.encoder))
        model.model_card_data = card_files.read_card_data(source)
        model.loaded_training = model.model_card_data.training
        with as_folder_error(place, CONFIG), folder_saves.reading_memory(model, folder):
            path = find_memory(source, optional=True)
            if path is None:
                model.update_memory(lambda memory: (memory.to(model.device), None))
            else:
                if reencode and processing_class is None:
                    processing_class = model.load_processing_class(**source.arguments)
                processor = model.processor(processing_class) if reencode else None
                model.take_memory(path, str(place), processor)
                fetch_beside(source, path, model.files_beside_memory())
        return loaded

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        *args: Any,
        create_model_card: bool = True,
        overwrite: bool = False,
        **kwargs: Any,
    ) -> None:
        """Saves weights, configuration, memory and model card; with an adapter, only the adapter's weights.

        If the save is killed, the folder loads as it was before or as it is after. Other savers wait.

        Args:
            save_directory: the folder.
            is_main_process: whether this process saves.
            args: further arguments of `PreTrainedModel.save_pretrained`.
            create_model_card: whether to write `README.md`; the card of an earlier save is written again in any case. A
                card of your own is kept: see its first line.
            overwrite: whether to replace a memory that another process saved there after this model was loaded from or
                saved to the folder.
            kwargs: further arguments of `PreTrainedModel.save_pretrained`.

        Raises:
            InvalidInputError: the model does not match its configuration, so it could not be loaded again.
            EncoderMismatchError: the memory was written through other adapters than are on the encoder now, and keeps
                no inputs to write it again from.
            NotAFolderError: `save_directory` is a file, or below one.
            FolderChangedError: the save would lose a memory that another process saved, and `overwrite` is off; or the
                folder was removed or replaced meanwhile.
        """
        if not is_main_process:
            return
        upload = take_upload(save_directory, kwargs)
        kwargs |= {"create_model_card": create_model_card, "overwrite": overwrite}
        folder_saves.save_folder(self, save_directory, None, *args, **kwargs)
        if upload is not None:
            self.push_to_hub(**upload)

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        processing_class: Any = None,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        max_shard_size: int | str = "50GB",
        tags: str | list[str] | None = None,
    ) -> CommitInfo:
        """Uploads weights, configuration, processing class, memory and model card as one commit.

        If the upload is cut off, the repository stays as it was. Files that have not changed are not sent again. The
        model card is written again from the model, its memory and `model_card_data`; a card of your own is kept.

        Args:
            repo_id: `"name"` or `"owner/name"`; created if needed. It will hold what the memory keeps of its inputs.
            processing_class: the encoder's tokenizer or image processor; by default that of `load_processing_class`.
            commit_message: default "Upload model".
            commit_description: longer description of the commit.
            private: whether a new repository is private; by default it is public, or as your organisation has set it.
            token: Hub token; by default the stored one.
            revision: the branch to commit to, created if needed; default `main`.
            create_pr: whether to open a pull request.
            max_shard_size: largest size of a weights file.
            tags: further tags of the model card.

        Returns:
            The commit; its `oid` is the `revision` that loads exactly this version.

        Raises:
            InvalidInputError: no processing class is found, or `private=True` and the repository exists and is public.
            HubError: there is no token, the Hub refuses, or it cannot be reached.
            HFValidationError: `repo_id` is not a valid name.
        """
        return publishing.push_model(
            self,
            repo_id,
            self.processor(processing_class),
            {"max_shard_size": max_shard_size},
            tags,
            commit_message=commit_message,
            commit_description=commit_description,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
        )

    def push_memory_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> CommitInfo:
        """Uploads the memory alone, a few KB that any model with the same encoder can load with `load_memory`.

        Args:
            repo_id: `"name"` or `"owner/name"`; created if needed. In the repository of a model, its memory is
                replaced, and configuration and card are updated.
            commit_message: default "Upload memory".
            commit_description: longer description of the commit.
            private: whether a new repository is private; by default it is public, or as your organisation has set it.
            token: Hub token; by default the stored one.
            revision: the branch to commit to, created if needed; default `main`.
            create_pr: whether to open a pull request.

        Returns:
            The commit; pass its `oid` as `revision` of `load_memory` to go back to this version.

        Raises:
            EmptyMemoryError: the memory is empty.
            InvalidInputError: `private=True` and the repository exists and is public.
            EncoderMismatchError: the repository's memory was written by another encoder.
            HubError: there is no token, the Hub refuses, or it cannot be reached.
            HFValidationError: `repo_id` is not a valid name.
        """
        if not len(self.memory):
            raise EmptyMemoryError("the memory is empty, so there is nothing to publish: teach it first.")
        return publishing.push_memory(
            self,
            repo_id,
            commit_message=commit_message,
            commit_description=commit_description,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
        )

    def save_memory(self, save_directory: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Writes `memory.safetensors` and its readable copy `memory.json` into a folder, without the weights.

        In a model's folder its configuration and card follow, so that nothing there keeps what has been forgotten.

        Args:
            save_directory: a folder.
            overwrite: as for `save_pretrained`.

        Raises:
            NotAFolderError: `save_directory` is a file, or below one.
            FolderChangedError: as for `save_pretrained`.
        """
        folder_saves.save_memory(self, save_directory, overwrite)

    @torch.inference_mode(False)  # what is made in inference mode cannot be trained with later
    def load_memory(
        self,
        folder_or_repo: str | os.PathLike,
        *,
        reencode: bool = False,
        processing_class: Any = None,
        **kwargs: Any,
    ) -> None:
        """Replaces the model's memory with a saved one.

        Args:
            folder_or_repo: a folder, a Hub repository, or a memory file (`memory.safetensors`, under any name).
            reencode: whether to compute the keys again from the memory's inputs, with this model's encoder.
            processing_class: the tokenizer or image processor for `reencode`; by default that of
                `load_processing_class`.
            kwargs: `revision`, `token`, `cache_dir`, `subfolder`, `local_files_only` or `force_download`.

        Raises:
            InvalidTypeError: any other argument, or one of a type that it does not have.
            MemoryFileError: there is no memory, or it is damaged. The model keeps its memory.
            EncoderMismatchError: another encoder wrote it and `reencode` is off. The model keeps its memory.
            InvalidInputError: `reencode` is on, and the memory keeps no inputs, or no processing class is found; or
                the problem types differ.
        """
        for name in sorted(kwargs.keys() - {*ARGUMENTS}):
            raise no_such_argument("load_memory", name, {*ARGUMENTS, "reencode", "processing_class"})
        check_place(folder_or_repo, "folder_or_repo")
        check_hub_arguments(kwargs)
        source = Source.of(folder_or_repo, kwargs)
        if (folder := folder_of_memory(source)) is not None:
            recover(folder)
        path = find_memory(source, optional=False)
        assert path is not None
        with folder_saves.reading_memory(self, folder):
            self.take_memory(path, str(folder_or_repo), self.processor(processing_class) if reencode else None)
            fetch_beside(source, path, self.files_beside_memory())

    def processor(self, processing_class: Any = None) -> InputProcessor:
        """The processor that gives inputs to this model as its configuration says.

        Args:
            processing_class: the encoder's tokenizer or image processor, or an `InputProcessor`, which is given back;
                by default that of `load_processing_class`.
        """
        if isinstance(processing_class, InputProcessor):
            return processing_class
        found = self.load_processing_class() if processing_class is None else processing_class
        return self.config.controller.processor(self.config, self.encoder, found)

    def load_processing_class(
        self, place: str | os.PathLike[str] | None = None, alone: bool = False, **kwargs: Any
    ) -> Any:
        """Loads the tokenizer or image processor from the model's folder or repository, or else by the encoder's name.

        With `truncation=True` a tokenizer cuts texts where this model does. One that is code of the repository is not
        loaded: load it yourself and pass it.

        Args:
            place: another folder or repository, which alone is looked at.
            alone: whether to load an image processor without the tokenizer beside it.
            kwargs: how the folder or repository was loaded: `subfolder`, `revision`, `token`, `cache_dir` or
                `local_files_only`.

        Raises:
            InvalidInputError: there is none.
            FolderError, UnsafeFileError: one is there, and is damaged or not to be read.
        """
        check_hub_arguments(kwargs)
        controller, own = self.config.controller, self.config.encoder_config
        if (kind := controller.processing_class) is None:
            return None
        name = self.name_or_path if place is None else os.fspath(place)
        places: list[Any] = [(name, str, kwargs)] if name else []
        encoder = self.config.encoder_name if place is None else None
        if encoder and encoder != name:
            places.append((encoder, resolve_encoder, {}))
        options = {} if alone else controller.loading_options(self.config)
        found, why = load_processing_class(kind, places, **options)
        if found is None and place is None and encoder is None:  # of one that was made from its configuration
            found = controller.processing_class_from(own)
        if found is None:
            raise InvalidInputError(f"no {PROCESSING_CLASSES[kind].noun} was found ({why}); pass one.")
        controller.limit(found, self.config, self.encoder)
        return found
