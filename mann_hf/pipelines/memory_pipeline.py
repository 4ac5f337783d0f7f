"""What the pipelines of all models with a memory share: parts, streams, saving and publishing."""

import copy
import inspect
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from typing import Any, ClassVar, TypeVar

import torch
from huggingface_hub import CommitInfo
from transformers import Pipeline

from ..controllers.processor import InputProcessor
from ..controllers.progress import Progress, following
from ..controllers.text import unboxed
from ..errors import InvalidTypeError
from ..hub.saving import take_upload
from ..models.folder_saves import save_folder
from ..models.plain_modules import unwrap_hint
from .parts import PARTS, processing_class_of

Kind = TypeVar("Kind", bound="MemoryPipeline")


class MemoryPipeline(Pipeline):
    """A pipeline of a model that can be taught and can forget: what it takes, how many at a time, how it is saved.

    A tokenizer or image processor is given by the argument of that name, which the controller of the model's inputs
    says (`processing_class`), or in a `processor`; if none is given, that of the model is loaded.

    Attributes:
        model_class: of the models that it takes.
        made_by: how one of these is made, for the error where another came.
        chunk: inputs that are answered at a time when many are given.
    """

    model_class: ClassVar[type[Any]]
    made_by: ClassVar[str] = "from_encoder_pretrained(name)"
    chunk: ClassVar[int] = 4096

    # found from the model, where none is given
    _load_tokenizer: Any = None
    _load_image_processor: Any = False
    _load_feature_extractor: Any = False
    _load_processor: Any = False
    model: Any

    def __init__(self, *, progress: Progress = None, **kwargs: Any) -> None:
        model = kwargs.get("model")
        if not isinstance(model, self.model_class):
            wanted = self.model_class.__name__
            raise InvalidTypeError(
                f"the model is of type {type(model).__name__}; this pipeline takes a {wanted}, such as "
                f"{wanted}.{self.made_by}.{unwrap_hint(model)}"
            )
        name, own = model.config.controller.processing_class, {}
        if name is not None and name not in inspect.signature(Pipeline.__init__).parameters:
            own = {name: kwargs.pop(name, None)}
        self._progress = progress
        super().__init__(**kwargs)
        vars(self).update(own)
        if name is not None:
            given = {part: one for part in {*PARTS, name} if (one := getattr(self, part, None)) is not None}
            setattr(self, name, processing_class_of(model, given, self.processor))

    @property
    def processing_class(self) -> Any:
        """The tokenizer or image processor; None for a modality that has neither."""
        name = self.model.config.controller.processing_class
        return None if name is None else getattr(self, name)

    @property
    def input_processor(self) -> InputProcessor:
        """Turns a user's inputs into tensors, as the model's configuration says."""
        return self.model.processor(self.processing_class)

    def with_own_memory(self: Kind) -> Kind:
        """A pipeline that shares these weights and has its own copy of the memory."""
        own = copy.copy(self)
        own.model = self.model.with_own_memory()
        return own

    def load_memory(self, folder_or_repo: str | os.PathLike, *, reencode: bool = False, **kwargs: Any) -> None:
        """Replaces the memory with a saved one; see `MANNPreTrainedModel.load_memory`."""
        self.model.load_memory(folder_or_repo, reencode=reencode, processing_class=self.processing_class, **kwargs)

    def save_memory(self, save_directory: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Saves the memory without the weights; see `MANNPreTrainedModel.save_memory`."""
        self.model.save_memory(save_directory, overwrite=overwrite)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        *,
        create_model_card: bool = True,
        overwrite: bool = False,
        **kwargs: Any,
    ) -> None:
        """Saves model, memory, tokenizer (or image processor) and card.

        If the save is killed, the folder loads as before or as after it. No code is saved: the installed library reads
        the folder. Arguments and errors are those of `MANNPreTrainedModel.save_pretrained`.
        """
        if not kwargs.pop("is_main_process", True):
            return
        upload = take_upload(save_directory, kwargs)
        options = {"create_model_card": create_model_card, "overwrite": overwrite, **kwargs}
        save_folder(self.model, save_directory, self.input_processor, **options)
        if upload is not None:
            self.push_to_hub(**upload)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> CommitInfo:  # type: ignore[override]
        """Uploads model, memory, processing class and card; see `MANNPreTrainedModel.push_to_hub`."""
        return self.model.push_to_hub(repo_id, processing_class=self.processing_class, **kwargs)

    def push_memory_to_hub(self, repo_id: str, **kwargs: Any) -> CommitInfo:
        """Uploads the memory alone; see `MANNPreTrainedModel.push_memory_to_hub`."""
        return self.model.push_memory_to_hub(repo_id, **kwargs)

    def _answer_all(self, inputs: Any, batch_size: int | None, progress: Progress, options: dict[str, Any]) -> Any:
        """The answers to one input or a collection, as a list; those to a stream as they are taken.

        Args:
            inputs: one, a collection, or a torch data set or generator of them.
            batch_size: inputs in a batch; None for what is fast.
            progress: as users give it.
            options: of `postprocess`.

        Raises:
            InvalidInputError, InvalidTypeError: something that is no such input; of a stream once it is taken.
        """
        inputs, processor = unboxed(inputs), self.input_processor
        noun, one = processor.noun, processor.is_one(inputs)
        if not one and hasattr(inputs, "column_names"):  # a datasets.Dataset, or a table of pyarrow
            raise InvalidTypeError(
                f"{noun}s came as a table ({type(inputs).__name__}); give its column, as in table[{noun!r}]."
            )
        lazy = isinstance(inputs, torch.utils.data.Dataset)
        if one or (isinstance(inputs, Sized) and not lazy and not isinstance(inputs, (Mapping, bytes))):
            answers: list[Any] = []
            checked = processor.check(inputs) if one or len(inputs) else []
            with following(progress, len(checked), noun) as advance:
                for start in range(0, len(checked), self.chunk):
                    part = checked[start : start + self.chunk]
                    answers += self._answer(part, processor, batch_size, advance, options)
            return answers
        if lazy and not isinstance(inputs, Iterable):
            known = len(inputs)
            return self._stream((inputs[n] for n in range(known)), known, batch_size, progress, options)
        if not isinstance(inputs, Iterable) or isinstance(inputs, (dict, bytes)):
            raise InvalidTypeError(
                f"something of type {type(inputs).__name__} came; give one {noun}, a list or a dataset of {noun}s."
            )
        count = len(inputs) if isinstance(inputs, Sized) else None
        return self._stream(iter(inputs), count, batch_size, progress, options)

    def _stream(
        self, inputs: Iterator[Any], count: int | None, batch_size: int | None, progress: Progress, options: dict
    ) -> Iterator[Any]:
        processor, start = self.input_processor, 0
        with following(progress, count, processor.noun) as advance:
            while part := list(islice(inputs, self.chunk)):
                yield from self._answer(processor.check_part(part, start), processor, batch_size, advance, options)
                start += len(part)

    @abstractmethod
    def _answer(
        self,
        checked: Sequence[Any],
        processor: InputProcessor,
        batch_size: int | None,
        progress: Progress,
        options: dict[str, Any],
    ) -> list[Any]:
        """The answers to inputs that were checked, one each.

        Args:
            checked: at most `chunk` of them.
            processor: that checked them.
            batch_size: inputs in a batch; None for what is fast.
            progress: to be followed.
            options: of `postprocess`.
        """

    def preprocess(self, input_: Any, **preprocess_parameters: Any) -> dict[str, Any]:  # type: ignore[override]
        return {"inputs": self.input_processor.check(input_)}
