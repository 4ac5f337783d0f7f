"""The exceptions of the library. Each is also the built-in exception that a caller would expect."""

import importlib
from importlib.util import find_spec
from typing import Any


class MannError(Exception):
    """Base class of all errors that the library raises on purpose."""


class UnknownNameError(MannError, ValueError):
    """A name is not in its registry.

    Attributes:
        kind: the kind of name, for example `"reading"`.
        name: the unknown name.
        choices: the known names.
    """

    def __init__(self, kind: str, name: object, choices: list[str], or_else: str = "") -> None:
        self.kind, self.name, self.choices = kind, name, choices
        super().__init__(f"unknown {kind} {name!r}; choose one of {', '.join(map(repr, choices))}{or_else}.")


class InvalidInputError(MannError, ValueError):
    """Texts, labels, tensors or ids that a call cannot use. Nothing has changed when it is raised."""


class InvalidTypeError(MannError, TypeError):
    """An argument of a type that a call cannot use. Nothing has changed when it is raised."""


class EmptyMemoryError(MannError, ValueError):
    """A prediction was requested from an empty memory."""


class NotInMemoryError(MannError, KeyError):
    """An id, a label or a text is not stored.

    Attributes:
        missing: the ids, labels or texts that were not found.
    """

    def __init__(self, message: str, missing: list) -> None:
        self.missing = missing
        super().__init__(message)

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0])


class MemoryFileError(MannError, OSError):
    """A memory file is missing, damaged, or not a memory."""


class EncoderMismatchError(MannError, ValueError):
    """A memory was written by another encoder than the model's.

    Attributes:
        written_by: the name of the encoder that wrote the memory.
        read_by: the name of the model's encoder.
    """

    def __init__(self, message: str, written_by: str, read_by: str) -> None:
        self.written_by, self.read_by = written_by, read_by
        super().__init__(message)


class TokenizerMismatchError(EncoderMismatchError):
    """A memory was written with another tokenizer than the model's; the attributes name the tokenizers."""


class UnsafeFileError(MannError, OSError):
    """A file of a folder or repository is not read: it could run code, leads elsewhere, has no end or is too large.

    Attributes:
        file: its name.
    """

    def __init__(self, message: str, file: str) -> None:
        self.file = file
        super().__init__(message)


class FolderError(MannError, OSError, ValueError):
    """A folder or repository cannot be loaded or saved to: a file is missing, damaged, in the way, or of another model.

    Attributes:
        file: the name of the file; of several that do not belong together, one of them.
    """

    def __init__(self, message: str, file: str) -> None:
        self.file = file
        super().__init__(message)


class FolderChangedError(MannError, OSError):
    """Another process has changed, replaced or removed a folder since this one read it. Nothing has been saved.

    Attributes:
        folder: its path.
    """

    def __init__(self, message: str, folder: str) -> None:
        self.folder = folder
        super().__init__(message)


class FolderNotWritableError(MannError, PermissionError):
    """This user may not write to a folder. Nothing has been saved.

    Attributes:
        folder: its path.
    """

    def __init__(self, message: str, folder: str) -> None:
        self.folder = folder
        super().__init__(message)


class NotAFolderError(FolderError, NotADirectoryError):
    """A file lies where a folder to save into was named. Nothing has been saved."""


class HubError(MannError, OSError):
    """The Hub refuses an upload, there is no token for it, or the Hub cannot be reached.

    Attributes:
        repo_id: the repository.
        status: the HTTP status, 401 without a token; None if the Hub did not answer.
    """

    def __init__(self, message: str, repo_id: str, status: int | None = None) -> None:
        self.repo_id, self.status = repo_id, status
        super().__init__(message)


class EncoderNotFoundError(MannError, OSError):
    """There is no folder, Hub repository or installed package for an encoder's name, or it cannot be reached."""


class MissingExtraError(MannError, ImportError):
    """A feature needs a package that is not installed.

    Args:
        feature: what needs the package.
        package: the missing package.
        extra: the extra of `mann_hf` that installs it.
    """

    def __init__(self, feature: str, package: str, extra: str) -> None:
        self.feature, self.package, self.extra = feature, package, extra
        super().__init__(f"{feature} needs the package {package!r}: pip install 'mann_hf[{extra}]'.")


def import_extra(module: str, feature: str, extra: str) -> Any:
    """Imports a module of an optional package.

    Args:
        module: its dotted name, the package's first.
        feature: what needs it.
        extra: the extra of `mann_hf` that installs it.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, module.partition(".")[0], extra) from error


def check_extra(module: str, feature: str, extra: str) -> None:
    """Looks whether an optional package is installed, without importing it; arguments are those of `import_extra`.

    Raises:
        MissingExtraError: it is not.
    """
    if find_spec(module) is None:
        raise MissingExtraError(feature, module, extra)
