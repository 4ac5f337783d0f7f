"""Loading an image processor from a folder or repository that a stranger may have made."""

import os
from typing import Any

from transformers import AutoImageProcessor, AutoProcessor

from ..controllers.image_controller import LARGEST_SIDE
from ..controllers.image_processor import with_tokenizer
from ..errors import FolderError, MissingExtraError, UnsafeFileError, import_extra
from .files import check_folder, damaged, read_object
from .guard import CODE, as_folder_error
from .resolve import VOCABULARIES
from .source import Source
from .tokenizers import TOKENIZER, check_before_use, has_words, load_tokenizer

SETTINGS = ("preprocessor_config.json", "processor_config.json")
"""The settings of an image processor by itself, and of one that is saved with a tokenizer."""
SIZES = ("size", "crop_size", "pad_size", "max_image_size", "min_image_size", "size_divisor", "max_num_patches")


def load_image_processor(place: str | os.PathLike[str], with_words: bool | None = False, **kwargs: Any) -> Any:
    """The image processor of a folder or repository. Code that it brings along does not run.

    Args:
        place: a folder, or a Hub repository.
        with_words: whether to load its tokenizer with it, as a processor of both; None for where there is one.
        kwargs: `subfolder`, `revision`, `token`, `cache_dir`, `local_files_only`.

    Raises:
        UnsafeFileError: a file is none that may be read.
        FolderError: a file is damaged, or there is no image processor.
        OSError: the Hub does not give one.
        MissingExtraError: Pillow is not installed.
    """
    import_extra("PIL.Image", "images", "images")
    source = Source.of(place, kwargs).at_one_commit()
    kwargs |= source.arguments
    if source.folder is not None and source.folder.is_dir():
        check_folder(source.folder)
    for name in SETTINGS:
        if (path := source.path(name)) is not None:
            _check_sizes(read_object(path), path)
    if with_words is None:
        with_words = any(map(source.has, VOCABULARIES))
    if with_words:
        check_before_use(source)
    kind: Any = AutoProcessor if with_words else AutoImageProcessor
    try:
        with as_folder_error(place, SETTINGS[0], kwargs):
            found = kind.from_pretrained(place, trust_remote_code=False, **kwargs)
    except FolderError:
        if with_words:
            _check_words(source, place)  # which says more than that the class of a tokenizer failed without a file
        raise
    if with_words:  # some tokenizers are made without a file, and know no words
        _check_words(source, place)
        if not hasattr(found, "image_processor"):  # nothing there says that the two belong together
            found = with_tokenizer(load_image_processor(place, **kwargs), load_tokenizer(place, **kwargs))
    return found


def has_image_processor(error: Exception, place: str | os.PathLike[str], **kwargs: Any) -> bool:
    """Whether an error of `load_image_processor` is about what is there, and not that there is no image processor."""
    if isinstance(error, (MissingExtraError, UnsafeFileError)):
        return True
    source = Source.of(place, kwargs)
    return isinstance(error, FolderError) and CODE not in str(error) and any(map(source.has, SETTINGS))


def _check_words(source: Source, place: Any) -> None:
    """Refuses images and words without a tokenizer."""
    if any(map(source.has, SETTINGS)) and not has_words(source):
        raise FolderError(
            f"{os.fspath(place)!r} has an image processor and no tokenizer ({' or '.join(VOCABULARIES)}), which its "
            "encoder of images and words needs: save that of the encoder there with tokenizer.save_pretrained. For a "
            "classifier without words pass image_processor=AutoImageProcessor.from_pretrained(...).",
            TOKENIZER,
        )


def _check_sizes(settings: Any, path: Any) -> None:
    """Refuses sizes for which an image could take any memory."""
    for name, value in settings.items():
        if isinstance(value, dict) and name not in SIZES:
            _check_sizes(value, path)
        elif name in SIZES:
            sides = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
            if any(isinstance(side, (int, float)) and not 0 <= side <= LARGEST_SIDE for side in sides):
                raise damaged(path, f"its {name} is {value!r:.80}; a side may have {LARGEST_SIDE:,} pixels")
