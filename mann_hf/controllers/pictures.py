"""Pictures in one form, whether they come as a path, a PIL image, an array or a tensor."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..errors import InvalidInputError, InvalidTypeError, import_extra
from ..wording import is_url, shown
from .picture_pixels import as_array, as_bytes, deep_numbers, on_white
from .processor import digest_of

MODES = {1: "L", 3: "RGB"}
"""Modes of PIL by the channels that an encoder reads."""
MOST_PIXELS = 2**26
"""The most pixels of one picture; larger ones are refused before they are unpacked."""
UNREADABLE = (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, struct.error, zlib.error)
"""Exceptions that Pillow raises for files that it cannot read, damaged ones among them."""
FORMATS = ("PNG", "JPEG", "JPEG2000", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "ICO", "PPM", "TGA", "QOI", "MPO")
"""Formats that are read, as Pillow calls them; for some others it starts programs."""
FILES = (str, os.PathLike, io.BytesIO)
"""Paths of files, and what was read of one."""
LETTERS_OF_NAME = 300
"""The most letters of a path that an error shows."""
END_OF_JPEG = b"\xff\xd9"


class Content(io.BytesIO):
    """What was read of a file.

    Args:
        content: its bytes.
        name: what errors call it.
    """

    def __init__(self, content: bytes, name: str = "the content of a file") -> None:
        super().__init__(content)
        self.name = name


class Picture:
    """A picture that was looked at; a file is decoded when its pixels are needed, as many would fill the memory.

    Args:
        image: a PIL image, as `as_image` gives it; the path of a file; or a cell of a data set.
        channels: of the pixels: 3 for colour, 1 for grey.
        content: identifies the picture, see `content_of`; by default it is found with the pixels.
        name: what errors call it, before what is wrong.
    """

    def __init__(self, image: Any, channels: int = 3, content: str | None = None, name: str = "") -> None:
        self.image, self.channels, self.name, self._content = image, channels, name, content

    def __repr__(self) -> str:
        return repr(self.image)

    def pixels(self) -> Any:
        """The picture as `as_image` gives it.

        Raises:
            InvalidInputError: its file has gone or changed since it was looked at, or is damaged.
        """
        if hasattr(self.image, "getexif"):
            return self.image
        with naming_picture(self.name):
            image = as_image(self.image, self.channels)
        self._content = self._content or content_of(image)
        return image

    @property
    def content(self) -> str:
        """What identifies the picture; its file is decoded where that was not done before."""
        if self._content is None:
            image = self.pixels()
            self._content = self._content or content_of(image)
        return self._content


def check_pictures(pictures: Any, channels: int = 3, start: int | None = 0) -> list[Picture]:
    """Pictures as a list, one picture as a list of one. Of files, only what tells that they are whole is read.

    Args:
        pictures: a picture, or a list or other sized collection of them. A picture is a PIL image; the path of a file,
            a file that is open, or the bytes of one, also in a dict as a data set has them (`bytes`, `path`); an array
            [h, w] or [h, w, C]; or a tensor [C, h, w]. Numbers are bytes from 0 to 255, or floating-point from 0 to 1.
        channels: 3 for colour, 1 for grey.
        start: the place of the first in what the user gave, from which errors count; None where it is not known, and
            they name none.

    Raises:
        InvalidTypeError: it is neither, or holds something else than pictures.
        InvalidInputError: a picture that cannot be read, without a pixel, too large, or of other numbers.
    """
    if is_picture(pictures):
        return [_checked(pictures, channels)]
    if isinstance(pictures, (set, frozenset, Mapping)) or not (
        isinstance(pictures, Iterable) and hasattr(pictures, "__len__")
    ):
        raise InvalidTypeError(
            f"images must be an image or a list of images, not {shown(pictures, 40)} (of type "
            f"{type(pictures).__name__})."
        )
    return [
        _checked(picture, channels, "" if start is None else f"image {start + position} (counted from 0): ")
        for position, picture in enumerate(_encoded(pictures))
    ]


def is_picture(value: Any) -> bool:
    """Whether it is meant as one picture: by its type, or as an array by its dimensions."""
    if isinstance(value, (Picture, *FILES)) or hasattr(value, "getexif") or _holds_file(value):
        return True
    return getattr(value, "ndim", 0) in (2, 3) and str(getattr(value, "dtype", "")) != "object"


class _Cell(NamedTuple):
    """A cell of a data set's column of pictures, which is read when it is needed."""

    rows: Any
    row: int
    column: str

    @property
    def content(self) -> Any:
        """The bytes of its file, or the path; of an empty cell no bytes."""
        return self.rows[self.row][self.column] or {"bytes": b""}


def _encoded(pictures: Any) -> Iterable[Any]:
    """The cells of a data set's column of pictures, which would be read otherwise; of anything else its pictures."""
    name: Any = getattr(pictures, "column_name", None)
    source = getattr(pictures, "source", None)
    feature: Any = (getattr(source, "features", None) or {}).get(name)
    is_plain = getattr(feature, "mode", None) is None or not getattr(feature, "decode", False)
    if source is None or type(feature).__name__ != "Image" or not is_plain or source.format["type"] == "custom":
        return pictures  # also where a user's own function changes them
    rows = source.with_format(None).cast_column(name, type(feature)(decode=False))
    return (_Cell(rows, row, name) for row in range(len(rows)))


def _checked(picture: Any, channels: int, name: str = "") -> Picture:
    if isinstance(picture, Picture):
        return picture if picture.channels == channels else _checked(picture.image, channels, picture.name)
    with naming_picture(name):
        file = as_file(picture)
        if not isinstance(file, FILES):
            return Picture(as_image(picture, channels), channels, None, name)
        content = None if _is_whole(file) else content_of(as_image(file, channels))
        return Picture(picture if isinstance(picture, _Cell) else file, channels, content, name)


@contextmanager
def naming_picture(name: str) -> Iterator[None]:
    """Says of which picture an error is."""
    try:
        yield
    except (InvalidInputError, InvalidTypeError) as error:
        raise type(error)(f"{name}{error}") from None


def as_image(picture: Any, channels: int = 3) -> Any:
    """A picture as a PIL image of 8 bits a channel, upright as its file says it is to be shown, on white ground.

    Args:
        picture: as `check_pictures` takes it.
        channels: 3 for colour, 1 for grey.
    """
    pillow: Any = import_extra("PIL.Image", "images", "images")
    picture = as_file(picture)
    if isinstance(picture, FILES):
        picture = _decoded(picture, FORMATS)
    elif not isinstance(picture, pillow.Image):
        picture = pillow.fromarray(as_bytes(as_array(picture)))
    _check_size(*picture.size)
    try:
        upright: Any = import_extra("PIL.ImageOps", "images", "images").exif_transpose(picture)
        if (deep := deep_numbers(upright)) is not None:
            upright = pillow.fromarray(as_bytes(deep))
        return on_white(upright).convert(MODES[channels])
    except InvalidInputError:
        raise
    except (*UNREADABLE, pillow.DecompressionBombError) as error:
        raise InvalidInputError(f"a damaged picture ({why_unreadable(error)}).") from None


def as_png(image: Any, side: int) -> bytes:
    """A picture as the file of a PNG, made smaller where its shorter side is longer than `side` pixels."""
    shorter = min(image.size)
    if shorter > side:
        image = image.resize([max(1, round(length * side / shorter)) for length in image.size])
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def from_png(content: bytes) -> Any:
    """The picture in the file of a PNG, which a stranger may have written.

    Raises:
        InvalidInputError: it is none that can be read, or too large.
    """
    return _decoded(Content(content, "the stored picture"), ("PNG",))


def content_of(image: Any) -> str:
    """What identifies a picture: a digest of its pixels, whichever file or array they came from."""
    return digest_of(np.asarray(image))


def _decoded(file: Any, formats: Sequence[str]) -> Any:
    """The picture in a file, which is then closed."""
    with _opened(file, formats) as image:
        image.load()
        return image


def _is_whole(file: Any) -> bool:
    """Whether a file is seen to be whole without decoding it: a PNG by its checksums, a JPEG by its end."""
    with _opened(file, FORMATS) as image:
        if image.format == "PNG":
            image.verify()
        elif image.format in ("JPEG", "MPO"):
            image.fp.seek(-len(END_OF_JPEG), os.SEEK_END)
            return image.fp.read() == END_OF_JPEG
        return image.format == "PNG"


@contextmanager
def without_size_warning() -> Iterator[None]:
    """Keeps Pillow's warning of large pictures inside, as they are refused in any case."""
    pillow: Any = import_extra("PIL.Image", "images", "images")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
        yield


@contextmanager
def _opened(file: Any, formats: Sequence[str]) -> Iterator[Any]:
    """Opens the picture in a file, looks at its size, and says what of it cannot be read."""
    pillow: Any = import_extra("PIL.Image", "images", "images")
    name = _check_file(file)
    pillow.init()
    try:
        with without_size_warning():
            opened = pillow.open(file, formats=[one for one in formats if one in pillow.OPEN])
        with opened as image:
            _check_size(*image.size)
            yield image
    except InvalidInputError:
        raise
    except (*UNREADABLE, pillow.DecompressionBombError) as error:
        raise InvalidInputError(f"{name} is no picture that can be read ({why_unreadable(error)}).") from None


def _check_file(file: Any) -> str:
    """What errors call a file, once it is seen to be there."""
    if isinstance(file, io.BytesIO):
        name = getattr(file, "name", "the content of a file")
        if not file.getbuffer().nbytes:
            raise InvalidInputError(f"{name} is no picture that can be read (it is empty).")
        return name
    path = os.fspath(file)
    name = shown(path, LETTERS_OF_NAME)
    if os.path.isfile(file):
        return name
    if isinstance(path, str) and is_url(path):
        if path.lstrip()[:5].lower() == "data:":
            cure = "give the bytes that it holds, as base64.b64decode(url.partition(',')[2]) gives them"
        else:
            cure = "download the picture, and give the file"
        raise InvalidInputError(f"{shown(path, 60)} is a URL, and URLs are not fetched: {cure}.")
    raise InvalidInputError(f"{name} is no file." if os.path.exists(file) else f"there is no file {name}.")


def why_unreadable(error: BaseException) -> str:
    """What is wrong with a picture that Pillow does not read, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {shown(error.filename, LETTERS_OF_NAME)}" if error.filename else error.strerror
    said = " ".join(str(error).split())
    if "truncated" in said.lower():
        return "it is truncated"
    if type(error).__name__ == "UnidentifiedImageError":
        return "of no format that is read"
    if type(error).__name__ == "DecompressionBombError":
        return f"too large; there may be {MOST_PIXELS:,} pixels"
    return f"{type(error).__name__}: {said[:100]}" if said else type(error).__name__


def _holds_file(value: Any) -> bool:
    """Whether it is the bytes of a file, a file that is open, or a dict of bytes and path as a data set has it."""
    if isinstance(value, Mapping):
        return bool(value) and value.keys() <= {"bytes", "path"}
    return isinstance(value, (bytes, bytearray, memoryview)) or callable(getattr(value, "read", None))


def as_file(picture: Any) -> Any:
    """The path of a picture's file, or the content of that; anything else as it is.

    Raises:
        InvalidInputError, InvalidTypeError: a file that is open and cannot be read.
    """
    picture = picture.content if isinstance(picture, _Cell) else picture
    if isinstance(picture, FILES) or not _holds_file(picture):
        return picture
    if isinstance(picture, Mapping):
        content, path = picture.get("bytes"), picture.get("path")
        if content is None and path is None:
            raise InvalidInputError("an image with neither bytes nor the path of a file.")
        if content is None:
            return path
        return Content(content, shown(path, LETTERS_OF_NAME) if path else "the content of a file")
    return _read(picture) if hasattr(picture, "read") else Content(picture)


def _read(file: Any) -> Content:
    """The content of a file that is open, from its beginning, as it may be closed when the pixels are needed."""
    name = getattr(file, "name", None)
    name = shown(name, LETTERS_OF_NAME) if isinstance(name, str | os.PathLike) else "the open file"
    if isinstance(file, io.TextIOBase):
        raise InvalidTypeError(f'{name} is open as text; open it with "rb".')
    try:
        if file.seekable():
            file.seek(0)
        return Content(file.read(), name)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InvalidInputError(f"{name} cannot be read ({why_unreadable(error)}).") from None


def _check_size(width: int, height: int) -> None:
    if not width or not height:
        raise InvalidInputError(f"a picture of {width} x {height} pixels has nothing to see.")
    if width * height > MOST_PIXELS:
        raise InvalidInputError(
            f"a picture of {width:,} x {height:,} pixels is too large; there may be {MOST_PIXELS:,}: make it smaller."
        )
